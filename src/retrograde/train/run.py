"""`Run`: what a training run was and what came of it; of many starts, the best with all of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from retrograde.errors import ModelError
from retrograde.train.basins import Basins, basins_of

if TYPE_CHECKING:
    from retrograde.nn import Ensemble


HABITS = {"predict": "run.model(X)", "evaluate": "rg.fit(..., validation=(X, y), metrics=...)", "fit": "rg.fit(..., resume=run)"}


@dataclass
class Run:
    """`model` is the trained network (the best one, with early stopping); `history` one float64 array an epoch's figure.

    `points` are those of an epoch; `batch_size` is 0 where batches were taken as a stream gave them.
    """

    model: Any
    history: dict[str, np.ndarray]
    seed: int
    points: int
    batch_size: int
    updates: int
    seconds: float
    compile_seconds: float
    interrupted: bool
    optimizer: Any
    optimizer_state: Any
    best_epoch: int | None = None
    flops_per_update: float = 0.0
    held_bytes: int = 0
    arena_bytes: int = 0  # of all that the native program computes on the way, at its peak
    precision: str | None = None
    skipped_updates: int = 0
    program: Any = field(default=None, repr=False)
    starts: tuple[Run, ...] = field(default=(), repr=False)
    progress: Any = field(default=None, repr=False)
    stopping: Any = None
    loss: Any = field(default=None, repr=False)
    watched: Any = field(default=None, repr=False)
    replay: Any = field(default=None, repr=False)

    def __getattr__(self, name: str) -> Any:
        if name in HABITS:
            raise AttributeError(f"a Run has no {name!r}: write {HABITS[name]}", name=name, obj=self)
        return self.__getattribute__(name)  # the error that led here, once more

    def _held(self) -> str:
        at_once = f"; compiled, never more than {self.arena_bytes:,} at once" if 0 < self.arena_bytes < self.held_bytes else ""
        return f"{self.held_bytes:,} bytes, from the forward pass to their last use{at_once}"

    @property
    def score(self) -> float:
        """What starts are ranked by, the lower the better: what early stopping watched (negative where more is better) for the
        parameters kept, else their validation loss, else the last training loss.
        """
        values = self.history.get("val_loss", self.history["loss"])
        if self.stopping is not None:
            values = self.history[self.stopping.monitor] * (1.0 if self.stopping.mode == "min" else -1.0)
        return float(values[self.best_epoch - 1 if self.best_epoch is not None else -1])

    @property
    def last(self) -> Any:
        """The network after the last epoch, whichever was kept as `model`."""
        return self.progress.carry["params"]

    @property
    def epochs(self) -> int:
        """Epochs that were run."""
        return len(self.history["loss"])

    @property
    def updates_per_second(self) -> float:
        """Updates (of all starts) by seconds of training, without compilation."""
        updates = sum(run.updates for run in self.starts) or self.updates
        return updates / self.seconds if self.seconds else 0.0

    def summary(self) -> str:
        """What the run was, as a lecture counts it."""
        batch = self.batch_size or self.points
        per_epoch = f"{-(-self.points // batch):,} an epoch, " if self.batch_size else ""
        each = f"{batch:,} points" if self.batch_size else "a batch"
        in_all = sum(run.updates for run in self.starts) or self.updates
        kind = "full batch" if batch >= self.points else "pure SGD" if batch == 1 else "mini-batch"
        lines = [
            ("parameters", f"{self.model.num_parameters:,}"),
            ("training points", f"{self.points:,}"),
            ("batch size", f"{batch:,} ({kind})" if self.batch_size else "as the stream gave them"),
            ("updates", f"{per_epoch}{self.epochs:,} epochs, {in_all:,} in all"),
            ("passes", f"{in_all:,} forward and {in_all:,} backward, of {each} each"),
            ("work", f"{self.flops_per_update:,.0f} floating-point operations an update"),
            ("held for the backward pass", self._held()),
            ("speed", f"{self.updates_per_second:,.0f} updates/s"),
            ("time", f"{self.seconds:.3f} s of training, after {self.compile_seconds:.3f} s of compiling"),
            ("loss", f"{self.history['loss'][0]:.6g} in the first epoch, {self.history['loss'][-1]:.6g} in the last"),
        ]
        if self.arena_bytes:
            lines.insert(7, ("memory of the program", f"{self.arena_bytes:,} bytes at the peak, beside points and results"))
        if self.precision is not None:
            left_out = f"; {self.skipped_updates:,} updates left out, their gradients overflowed" if self.skipped_updates else ""
            lines.append(("precision", f"{self.precision} products and held values, float32 parameters and sums{left_out}"))
        if self.best_epoch is not None:
            watched = "on validation" if self.stopping.monitor == "val_loss" else f"by {self.stopping.monitor}"
            lines.append(("kept", f"the parameters of epoch {self.best_epoch}, the best {watched}"))
        if self.starts:
            scores = sorted(run.score for run in self.starts)
            spread = f"from {scores[0]:.6g} to {scores[-1]:.6g}, the median {scores[len(scores) // 2]:.6g}"
            lines.append(("starts", f"{len(self.starts):,}; their losses run {spread}; kept: that of seed {self.seed}"))
        if self.diverged is not None:
            lines.append(("diverged", f"the loss is not finite in epoch {self.diverged}; run.diagnose() says where that began"))
        if self.interrupted:
            lines.append(("interrupted", "by Ctrl-C; the last epoch may be a part"))
        width = max(len(name) for name, _ in lines)
        return "\n".join(f"{name:<{width}}  {text}" for name, text in lines)

    def basins(self, rtol: float = 0.05, atol: float = 1e-8) -> Basins:
        """The starts in groups that ended in about the same score; prints as a histogram.

        Of the sorted scores one that is above the one before by more than atol + rtol |score| begins a new basin.
        """
        if not (0 <= rtol < np.inf and 0 <= atol < np.inf):
            raise ModelError(f"basins: rtol and atol are numbers, 0 or more; they are {rtol!r} and {atol!r}")
        return basins_of(self.starts or (self,), rtol, atol)

    def ensemble(self, k: int | None = None) -> Ensemble:
        """The average of the best `k` starts (None: of all whose score is finite) as one network; see `nn.Ensemble`.

        Trained by a cross entropy their probabilities are averaged, else their outputs.
        """
        from retrograde.nn.ensemble import Ensemble, average_for

        whole = [run for run in self.starts if np.isfinite(run.score)]
        if not whole:
            raise ModelError("an ensemble is of many starts: rg.fit(..., starts=8); here are none, or none whose score is finite")
        if k is not None and (isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= len(whole)):
            raise ModelError(f"ensemble(k) averages the best k starts whose score is finite, 1 to {len(whole)}; k is {k!r}")
        return Ensemble.of([run.model for run in whole[:k]], average_for(self.loss))

    def explore(self, step: int = -1) -> Any:
        """The `Record` of an update, from 0 on (a negative one counts from the last): its parameters, batch and random numbers.

        The run is made again up to there, so it holds the points that it was given, not a copy; `run.without("replay")` does not.
        Epochs before that of the update come to the same bits; within it the last bit of a sum may be rounded otherwise. A mixed
        precision's pass is shown in float32. Raises `ModelError` for points of a stream, and where data were changed meanwhile.
        """
        return self._again.explore(step)

    def batch(self, step: int = -1) -> np.ndarray:
        """The rows of an update's points, in the data that were given to `fit`."""
        return self._again.batch(step)

    def diagnose(self, rows: Any = None) -> list[str]:
        """Of a loss that is not finite: which update made the first such number, in which step, of which row of the data, where.

        Else what is wrong with the last update, as `Record.diagnose` says it; an empty list where nothing is. `rows` are the
        numbers by which the rows of the data are told; by default 0, 1, ...
        """
        return (self._again if rows is None else self._again.numbered(rows)).diagnose()

    @property
    def diverged(self) -> int | None:
        """The first epoch whose loss is not finite, from 1 on; None where all are."""
        bad = np.flatnonzero(~np.isfinite(self.history["loss"]))
        return int(bad[0]) + 1 if bad.size else None

    @property
    def _again(self) -> Any:
        if self.replay is None:
            raise ModelError("this run does not hold its points, so no update of it can be opened: they came as a stream, or "
                             "they were let go. Train on arrays in memory, by rg.fit")  # fmt: skip
        return self.replay

    def without(self, *names: str) -> Run:
        """The run, and its starts, with None for these fields: without "replay" it holds no points, without "program" no code."""
        changes: dict[str, Any] = dict.fromkeys(names)
        return replace(self, **changes, starts=tuple(start.without(*names) for start in self.starts))

    def save(self, path: Any, *, extra: dict[str, Any] | None = None) -> None:
        """Write the model with optimizer states, random keys and histories, of all starts: `fit(..., resume=path)` goes on.

        `rg.load(path)` reads the model from it, with `extra`. Replaces the file atomically.
        """
        from retrograde import save
        from retrograde.train.resume import named

        save(path, self.model, extra=extra, state=named(self.all_progress))

    @property
    def all_progress(self) -> list[Any]:
        """What to go on with, of each start, in the order of their seeds."""
        return [run.progress for run in sorted(self.starts, key=lambda run: run.seed)] or [self.progress]

    def plot(self, ax: Any = None) -> Any:
        """Draw the losses by epoch, those of other starts in grey; returns matplotlib's axes."""
        try:
            import matplotlib.pyplot as plt
        except ImportError:
            raise ImportError("plotting needs matplotlib: pip install 'retrograde[plot]'") from None
        ax = ax or plt.subplots()[1]
        name = "val_loss" if "val_loss" in self.history else "loss"
        for run in self.starts:
            ax.plot(np.arange(1, run.epochs + 1), run.history[name], color="0.8", linewidth=0.8)
        for name, values in self.history.items():
            if "loss" in name:
                ax.plot(np.arange(1, len(values) + 1), values, label=name)
        ax.set_xlabel("epoch")
        ax.set_ylabel("loss")
        ax.legend()
        return ax


def best_of(runs: list[Run]) -> Run:
    """The run with the lowest score (NaN counts as the highest), with all of them as its `starts`, best first."""
    ranked = sorted(runs, key=lambda run: run.score if np.isfinite(run.score) else np.inf)
    return replace(ranked[0], starts=tuple(ranked))
