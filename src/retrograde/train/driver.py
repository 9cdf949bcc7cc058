"""The driver of a run: calls the program for a stretch of epochs at a time, gathers the history of each start, and tells it."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext, suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from retrograde import random, tree
from retrograde.errors import ModelError
from retrograde.train.data import Data
from retrograde.train.folder import Folder, describe
from retrograde.train.lock import locked
from retrograde.train.metrics import columns
from retrograde.train.numbers import split
from retrograde.train.outside import Outside
from retrograde.train.price import price
from retrograde.train.program import Settings, make_many, make_program, start
from retrograde.train.programs import Kept, Programs
from retrograde.train.replay import Replay
from retrograde.train.resume import HIDDEN, Progress, named, resumed
from retrograde.train.run import Run, best_of
from retrograde.train.watch import Watched

PACE = 0.1  # seconds between two looks at a run that is shown or logged


class Driver:
    """One run, of one start or of many."""

    def __init__(
        self, nets: list, points: Data, settings: Settings, epochs: int, seed: int, callbacks: list, progress: bool,
        programs: Programs | None, folder: Folder | None = None, recorded: Mapping[str, Any] | None = None,
    ):  # fmt: skip
        self.nets, self.points, self.settings, self.epochs, self.seed = nets, points, settings, epochs, seed
        self.callbacks, self.progress, self.folder = callbacks, progress, folder
        self.recorded = recorded or {}  # settings that are not in `settings`, for the folder
        self.programs = programs  # without them it is interpreted
        self.many = len(nets) > 1
        self.modes = self._modes()
        self.rows = self._no_rows()
        self.carries = [start(net, settings, random.key(seed + i)) for i, net in enumerate(nets)]
        self.done = [0] * len(nets)
        self.seconds = self.compile_seconds = 0.0
        self.outside = Outside(settings, points, programs is not None)
        self.interrupted = False
        self.cut = False  # whether the last epoch is a part, which the folder's run does not have
        self.plan: Any = None
        self.kept: Kept | None = None

    def _modes(self) -> dict[str, str | None]:
        return columns(self.settings.metrics, self.settings.train_metrics, self.points.Xv is not None)

    def _no_rows(self) -> list[dict[str, np.ndarray]]:
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys((*self.modes, *HIDDEN), ())
        if self.settings.watch is not None:
            shapes |= self.settings.watch.columns(-(-self.points.n // self.settings.batch))
        return [{name: np.zeros((0, *shape)) for name, shape in shapes.items()} for _ in self.nets]

    def _wanted(self) -> list[str] | None:
        """The columns that a run to go on with must have; None where they are not known yet."""
        return list(self.rows[0])

    def run(self, source: Any = None) -> Run:
        """Train, going on from `source` (a file, a list of `Progress`, a folder) if there is one."""
        from retrograde.train.progress import progress_bar

        monitor = self.settings.stopping.monitor if self.settings.stopping is not None else None
        with ExitStack() as stack:
            for callback in self.callbacks:
                if hasattr(callback, "close"):
                    stack.callback(callback.close)
            if self.folder is not None:
                stack.enter_context(locked(self.folder.path))
                if not isinstance(source, Folder):
                    self.folder.check_free()  # once more: another process may have begun and ended meanwhile
            if source is not None:
                self._take_up(source)
            if self.folder is not None:
                self.folder.begin(self._config(), self._so_far())
                self._write()
            show = stack.enter_context(progress_bar(self.progress, self.epochs, self.modes, monitor))
            try:
                self._train(show)
            except KeyboardInterrupt:  # between two stretches: what is finished is whole
                self._keep()
                if not any(self.done):
                    raise
                self.interrupted = True
            except Exception as error:  # of a callback, a metric, somebody's stream
                self._explain(error)
                raise
            if not self.cut:
                self._write()
        return self._result(self.carries)

    def _keep(self) -> None:
        """What there is of a run that was ended from outside is in its folder; it may have been between the lines of two logs."""
        if self.folder is not None and not self.cut:
            self.folder.log_anew(self._so_far())
            self._write()

    def _explain(self, error: Exception) -> None:
        """Tell with an error what becomes of the run that it ends."""
        if self.folder is not None:
            with suppress(OSError, ModelError):  # this error is to be seen, not another one
                self._keep()
                error.add_note(f"the run so far is in its folder: fit(..., resume={str(self.folder.path)!r}) goes on with it")
        elif any(self.done):
            error.add_note(f"the {max(self.done)} epochs before are lost; of a run in a folder (folder=...) they would not be")

    def _compile(self) -> tuple[Callable, Any, dict[str, float]]:
        """The program of the run, the same again if it is a compiled one, and its numbers."""
        make = make_many if self.many else make_program
        settings, numbers = split(self.settings)
        began = time.perf_counter()
        native = None
        if self.programs is not None:
            arguments = (self._join(self.carries), *self._arrays, np.int64(0), numbers)
            self.kept = self.programs.of(settings, make, arguments)
            native = self.kept.run
            self.plan = native.lower(*arguments)
        self.outside(self.carries[0]["params"])  # what cannot be measured is told before training
        self.compile_seconds = time.perf_counter() - began
        return (make(settings) if native is None else native), native, numbers

    @property
    def _arrays(self) -> tuple:
        p = self.points
        return p.X, p.y, p.weight, p.Xv, p.yv

    def _train(self, show: Callable) -> None:
        """Stretch by stretch, until the last epoch, an early stop, a callback's word or Ctrl-C."""
        program, native, numbers = self._compile()
        arrays = self._arrays
        spare: list[np.ndarray] | None = None  # fresh memory is slow to write first, so stretches take turns between two sets
        each = bool(self.callbacks or self.outside.metrics)  # come back after each epoch
        paced = self.progress or self.folder is not None
        stretch = 1 if each or paced else self.epochs
        reached = first = max(self.done)
        while reached < self.epochs and not self.interrupted:
            ahead = min(stretch, self.settings.length, self.folder.until(reached) if self.folder is not None else stretch)
            limit = np.int64(min(reached + ahead, self.epochs))
            given = self._join(self.carries)
            spare = spare or [np.array(leaf) for leaf in tree.tree_leaves(given)]
            began = time.perf_counter()
            if native is None:
                with np.errstate(all="ignore") if self.settings.narrow is not None else nullcontext():
                    found, stopped = program(given, *arrays, limit, numbers), False
            else:
                found, stopped = native.run_interruptible(given, *arrays, limit, numbers, into=spare)
            took = time.perf_counter() - began
            if stopped:  # the epoch that is cut is not part of the folder's run, which does it again, whole
                self._write()
            self.interrupted = self.cut = stopped
            self._gather(*self._part(found), took)
            if native is not None:
                mine = self.many or reached > first  # not the caller's network
                spare = [np.asarray(leaf) for leaf in tree.tree_leaves(given)] if mine else None
            finished, reached = max(self.done) - reached, max(self.done)
            if finished:
                show(reached, self._history(), sum(map(self._updates, range(len(self.nets)))) / self.seconds)
            if not stopped:
                self._record(reached)
            if all(map(self._ended, self.carries)) or self._called_back():
                break
            if paced and not each:
                stretch = max(1, int(finished * PACE / max(took, 1e-6)))

    def _record(self, reached: int) -> None:
        """Log the epochs of a stretch, and write a checkpoint if one is due."""
        if self.folder is not None:
            self.folder.log(self._so_far())
            if self.folder.due(reached):
                self._write()

    def _take_up(self, source: Any) -> None:
        """Begin where another run stopped."""
        wanted = self._wanted()

        def read(source: Any) -> list[Progress]:
            return resumed(source, self.carries, wanted)

        starts = source.newest(read) if isinstance(source, Folder) else read(source)
        self._begin_at(starts)
        self.carries = [s.carry for s in starts]
        self.rows = [{name: s.rows[name] for name in wanted or s.rows} for s in starts]
        self.done = [int(s.carry["epoch"]) for s in starts]
        self.seconds = max(float(s.rows["seconds"].sum()) for s in starts)

    def _begin_at(self, starts: list[Progress]) -> None:
        """Look at where in an epoch a run goes on: this one has its epochs whole."""
        if updates := starts[0].begun.updates:
            raise ModelError(f"resume: that run has made {updates} updates of an epoch, and ends it as it began: give the same "
                             "data and chunk_rows, and Every(n, f) among the callbacks")  # fmt: skip

    def _so_far(self) -> list[Progress]:
        return [Progress(carry, rows) for carry, rows in zip(self.carries, self.rows)]

    def _config(self) -> dict[str, Any]:
        p = self.points
        return describe(
            self.nets[0], self.settings, seed=self.seed, starts=len(self.nets), epochs=self.epochs, points=p.n,
            validation_points=0 if p.Xv is None else len(p.Xv), dtype=p.X.dtype.name, **self.recorded,
        )  # fmt: skip

    def _write(self) -> None:
        """A checkpoint of what is done, where there is a folder."""
        if self.folder is not None:
            starts = self._so_far()
            self.folder.write(max(self.done), starts[0].begun.updates, partial(self._save, starts))

    def _save(self, starts: list[Progress], path: Path) -> None:
        from retrograde import save

        carries = [start.carry for start in starts]
        save(path, self._result(carries).model if any(self.done) else carries[0]["params"], state=named(starts))

    def _join(self, carries: list[Any]) -> Any:
        """The carries of all starts as one, stacked along a first axis where there are many."""
        return tree.tree_map(lambda *leaves: np.stack(leaves), *carries) if self.many else carries[0]

    def _part(self, found: Any) -> tuple[list[Any], list[Any]]:
        """The carries and the history rows of each start."""
        if not self.many:
            return [found[0]], [found[1]]
        carries, rows = found

        def of_start(i: int, whole: Any) -> Any:
            return tree.tree_map(lambda leaf: leaf[i], whole)

        starts = range(len(self.nets))
        return [of_start(i, carries) for i in starts], [of_start(i, rows) for i in starts]

    def _gather(self, carries: list[Any], found: list[Any], took: float) -> None:
        """Take in what a stretch gave to each start that was still going on: all of it, or nothing if Ctrl-C comes meanwhile."""
        new, rows = list(self.carries), list(self.rows)
        for i, after in enumerate(carries):
            finished = int(after["epoch"]) - self.done[i]
            if self._ended(self.carries[i]) or finished <= 0:  # it had stopped, or Ctrl-C came before its turn
                continue
            row = self._hidden(found[i], took / finished) | found[i] | self.outside(after["params"])
            rows[i] = {name: np.concatenate([kept, row[name][:finished]]) for name, kept in self.rows[i].items()}
            new[i] = self._watched(after, row)
        done = [int(carry["epoch"]) for carry in new]
        self.carries, self.rows, self.done, self.seconds = new, rows, done, self.seconds + took

    def _hidden(self, row: dict[str, Any], seconds: float) -> dict[str, np.ndarray]:
        """What is kept beside the figures of these epochs."""
        return {"seconds": np.full(len(row["seen"]), seconds), "updates": np.ceil(row["seen"] / self.settings.batch)}

    def _watched(self, carry: Any, row: dict[str, Any]) -> Any:
        """Early stopping by what the program does not compute."""
        stopping = self.settings.stopping
        if stopping is not None and stopping.monitor in self.outside.columns:
            carry = dict(carry)
            stopping.watch(carry, {stopping.monitor: row[stopping.monitor][0]}, getattr(self.settings.optimizer, "stalled", None))
        return carry

    def _ended(self, carry: Any) -> bool:
        """Whether early stopping ended this start."""
        return self.settings.stopping is not None and bool(self.settings.stopping.ended(carry))

    def _called_back(self) -> bool:
        """Ask each callback, whatever the others say; whether one of them ends the run."""
        run = self._copy() if any(map(wants_run, self.callbacks)) else None
        answers = [callback(self._history(), *([run] if wants_run(callback) else [])) for callback in self.callbacks]
        return any(answer is True for answer in answers)

    def _copy(self) -> Run:
        """The run so far, in memory of its own: stretches write into that of the driver."""
        return self._result([tree.tree_map(np.array, carry) for carry in self.carries])

    def _history(self) -> dict[str, np.ndarray]:
        """What callbacks see: one array a figure, of all starts where there are many, those that Ctrl-C came before, too."""
        each = [self._history_of(i) for i in range(len(self.nets))]
        if not self.many:
            return each[0]
        longest = max(self.done)
        return {
            name: np.stack([np.pad(h[name], (0, longest - len(h[name])), constant_values=np.nan) for h in each])
            for name in each[0]
        }

    def _history_of(self, i: int) -> dict[str, np.ndarray]:
        return {name: values.copy() for name, values in self.rows[i].items() if values.ndim == 1 and name not in HIDDEN}

    def _updates(self, i: int) -> int:
        return int(self.rows[i]["updates"].sum())

    @cached_property
    def _priced(self) -> tuple[float, int]:
        if self.kept is not None and self.kept.price is not None:
            return self.kept.price
        found = price(self.nets[0], self.points, self.settings)
        if self.kept is not None:
            self.kept.price = found
        return found

    def _result(self, carries: list[Any]) -> Run:
        runs = [self._run_of(i, carry) for i, carry in enumerate(carries) if self.done[i]]
        return runs[0] if not self.many else best_of(runs)

    def _run_of(self, i: int, carry: Any) -> Run:
        settings, best = self.settings, None
        model = carry["params"]
        if "best" in carry and int(carry["best_epoch"]) > 0:
            model, best = carry["best"], int(carry["best_epoch"])
        return Run(
            progress=Progress(carry, self.rows[i]), model=model, history=self._history_of(i), seed=self.seed + i,
            points=self.points.n, batch_size=settings.batch, updates=self._updates(i), seconds=self.seconds,
            compile_seconds=self.compile_seconds, interrupted=self.interrupted, optimizer=settings.optimizer,
            optimizer_state=carry["state"], best_epoch=best,
            flops_per_update=self._priced[0], held_bytes=self._priced[1], program=self.plan,
            arena_bytes=0 if self.plan is None else self.plan.executable.arena_bytes,
            precision=None if settings.narrow is None else settings.narrow.name, stopping=settings.stopping, loss=settings.loss,
            skipped_updates=int(carry["scaling"]["skipped"]) if carry["scaling"] is not None else 0,
            watched=None if settings.watch is None else Watched(settings.watch, self.rows[i], settings.batch, self.points.n),
            replay=self._replay(i),
        )  # fmt: skip

    def _replay(self, i: int) -> Replay | None:
        """How to make start `i` again."""
        return Replay(self.nets, self.points, self.settings, self.seed, self.programs, False, i, self.rows[i])


def wants_run(callback: Callable) -> bool:
    """Whether a callback takes the run so far as a second argument: whether it has two that must be given."""
    try:
        parameters = inspect.signature(callback).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is p.empty for p in parameters) == 2
