"""`Replay`: a run made again, as far as one of its updates, to open that update in the glass box.

Epochs before it are made by the run's own program, to the same bits, and checked by their losses: they tell whether data were
changed meanwhile. Within its epoch the updates come one by one, as with `Every`; they are the same, but the last bit of a sum may
be rounded otherwise than in the program of the whole run.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from retrograde import nn, random, tree
from retrograde.errors import DivergenceWarning, ModelError
from retrograde.nn.module import leaves_of
from retrograde.train.callbacks import Every, Steps
from retrograde.train.data import Data
from retrograde.train.program import Settings, start
from retrograde.train.programs import Programs
from retrograde.train.resume import HIDDEN, Progress

if TYPE_CHECKING:
    from retrograde.explore.record import Record
    from retrograde.train.driver import Driver
    from retrograde.train.run import Run


@dataclass(frozen=True)
class Replay:
    """What a run was made of: start `index` of `nets`. It holds the points as they were given, not a copy of them."""

    nets: Sequence[Any]
    points: Data
    settings: Settings
    seed: int
    programs: Programs | None
    stepped: bool
    index: int
    rows: dict[str, np.ndarray]

    def __reduce__(self) -> tuple[type, tuple]:
        return type(None), ()  # a pickled run goes without it: without its code, and its data

    def __deepcopy__(self, memo: dict) -> Replay:
        return self

    @property
    def per_epoch(self) -> int:
        """Updates of an epoch."""
        return -(-self.points.n // self.settings.batch)

    @property
    def key(self) -> Any:
        """The random key of the start."""
        return random.key(self.seed + self.index)

    def _place(self, step: int) -> tuple[int, int]:
        """The epoch of update `step` and its place in that, all from 0 on; a negative one counts from the last."""
        made = self.rows["updates"].astype(int)
        if (made[:-1] < self.per_epoch).any():
            raise ModelError("Ctrl-C ended this run in the middle of an epoch, and it was gone on with: it cannot be made again")
        if isinstance(step, bool) or not isinstance(step, (int, np.integer)):
            raise ModelError(f"step is the number of an update; it is {step!r}")
        if not -made.sum() <= step < made.sum():
            raise IndexError(f"update {step} of a run of {made.sum():,}: from 0 to {made.sum() - 1:,}")
        epoch, own = divmod(int(step) % int(made.sum()), self.per_epoch)
        return epoch, own

    def _taken(self, step: int) -> np.ndarray:
        """The places of an update's points among those that were trained on, in the order of the batch."""
        epoch, own = self._place(step)
        n, batch = self.points.n, self.settings.batch
        if batch >= n or not self.settings.shuffle:
            return np.arange(own * batch, min((own + 1) * batch, n))
        order = random.permutation(random.fold_in(random.fold_in(self.key, epoch), 0), n)
        return np.asarray(order)[own * batch : (own + 1) * batch]

    def batch(self, step: int) -> np.ndarray:
        """The rows of an update's points in the data that were given."""
        taken = self._taken(step)
        return taken if self.points.rows is None else self.points.rows[taken]

    def numbered(self, rows: Any) -> Replay:
        """The same, with rows of the data told by these numbers."""
        places = np.arange(self.points.n) if self.points.rows is None else self.points.rows
        if len(rows) <= places[-1]:
            raise ModelError(f"rows are the numbers of all {places[-1] + 1} or more points given to fit; here are {len(rows)}")
        return replace(self, points=replace(self.points, rows=np.asarray(rows)[places]))

    def explore(self, step: int) -> Record:
        """The record of one update: the parameters before it, its batch, its random key."""
        epoch, own = self._place(step)
        carry = self._after(epoch)
        if own == 0:
            return self._record(carry["params"], step)
        found: list[Any] = []

        def look(steps: Steps) -> bool:
            found.append(steps.model)
            return True

        self._walk(carry, Every(epoch * self.per_epoch + own, look))
        return self._record(found[0], step)

    def diagnose(self) -> list[str]:
        """Where the first number came from that is not finite; of a run that has none, what is wrong with its last update."""
        bad = np.flatnonzero(~np.isfinite(self.rows["loss"]))
        if not bad.size:
            return self.explore(-1).diagnose()
        epoch = int(bad[0])
        carry = self._after(epoch)
        if not _finite(carry["params"]):  # the last update before made them so, after the losses of that epoch
            epoch -= 1
            carry = self._after(epoch)
        before, found = [carry["params"]], []

        def look(steps: Steps) -> bool:
            if np.isfinite(steps.loss) and _finite(steps.params):
                before[0] = steps.model
                return False
            found.append((steps.step - 1, steps.model))
            return True

        self._walk(carry, Every(1, look))
        if not found:
            return [f"the loss is not finite in epoch {epoch + 1}; made again update by update, which rounds otherwise, it is"]
        return [self._sentence(*found[0], before[0])]

    def _sentence(self, step: int, after: Any, before: Any) -> str:
        from retrograde.explore.diagnose import not_finite
        from retrograde.explore.sentences import say

        epoch, own = self._place(step)
        where = f"update {step:,} ({own + 1} of {self.per_epoch:,} in epoch {epoch + 1})"
        record = self._record(before, step)
        if remark := not_finite(record):
            return f"{where}: {say(remark, 'en')}"
        if self.settings.narrow is not None:
            return f"{where}: it overflows in {self.settings.narrow}; in float32 its loss is {record.loss:.6g}"
        leaves = zip(leaves_of(after), tree.tree_leaves(after))
        name = next((leaf.name for leaf, x in leaves if not _finite(x)), "the loss")
        steepest = max(float(np.max(np.abs(step.cotangent), initial=0.0)) for step in record.parameters)
        return f"{where}: both passes are finite, but not what the optimizer makes of {name}; derivatives reach {steepest:.3g}"

    def _record(self, net: Any, step: int) -> Record:
        from retrograde.explore.record import run_record

        (epoch, own), taken, p = self._place(step), self._taken(step), self.points
        key = random.fold_in(random.fold_in(self.key, epoch), own + 1)
        batch = p.X[taken], p.y[taken], None if p.weight is None else p.weight[taken]
        with np.errstate(all="ignore"):
            x, y, weight = self.settings.regularized(batch, key)
        f = self.settings.objective(net, weight, key)
        f.__name__ = f"update {epoch * self.per_epoch + own}" + ("" if self.settings.narrow is None else ", in float32")
        record = run_record(f, (nn.partition(net)[0], x, y), {}, 0)
        record.rows = self.batch(step)
        return record

    def _after(self, epochs: int) -> dict[str, Any]:
        """What the run carries after so many epochs, made again."""
        first = start(self.nets[self.index], self.settings, self.key)
        made = epochs or int(self.rows["seen"][0] == self.points.n)  # the first epoch tells whether it is the same run, too
        if made == 0:
            return first
        run = _run(self._driver(self.nets, self.settings, made, self.seed, []))
        run = next(r for r in (run.starts or [run]) if r.seed == self.seed + self.index)
        if not np.array_equal(run.history["loss"], self.rows["loss"][:made], equal_nan=True):
            raise ModelError("made again, this run comes to other losses: its data or its network were changed meanwhile, or it "
                             "was gone on with under other settings. Give fit copies of what you write into")  # fmt: skip
        return run.progress.carry if epochs else first

    def _walk(self, carry: dict[str, Any], every: Every) -> None:
        """Make the updates of one epoch again, for `every` to see."""
        settings = replace(self.settings, metrics=(), train_metrics=False, watch=None)
        epoch, nets = int(carry["epoch"]), [self.nets[self.index]]
        alone = replace(self, points=replace(self.points, Xv=None, yv=None), stepped=True)  # nothing is measured
        driver = alone._driver(nets, settings, epoch + 1, self.seed + self.index, [every])
        _run(driver, [Progress(carry, {name: self.rows[name][:epoch] for name in ("loss", *HIDDEN)})])

    def _driver(
        self, nets: Sequence[Any], settings: Settings, epochs: int, seed: int, callbacks: list[Callable]
    ) -> Driver:  # fmt: skip
        from retrograde.train.driver import Driver
        from retrograde.train.stepped import SteppedDriver

        given = list(nets), self.points, settings, epochs, seed, callbacks, False, self.programs
        if self.stepped:
            return SteppedDriver(*given, stream=None, held=self.points.held, check=lambda net, points: None)
        return Driver(*given)


def _run(driver: Driver, source: Any = None) -> Run:
    with np.errstate(all="ignore"):  # `diagnose` says where a NaN comes from
        run = driver.run(source)
    if run.interrupted:
        raise KeyboardInterrupt
    return run


def _finite(net: Any) -> bool:
    return all(np.isfinite(leaf).all() for leaf in tree.tree_leaves(net))


def told(run: Run) -> Run:
    """The run; warns of a loss that became infinite or NaN."""
    epoch = run.diverged
    if epoch is not None:
        value = run.history["loss"][epoch - 1]
        how = "" if run.replay is None else "; diagnose() of the run that fit returns says where that began"
        warnings.warn(f"the loss is {value} in epoch {epoch}{how}", DivergenceWarning, stacklevel=3)
    return run
