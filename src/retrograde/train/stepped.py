"""The driver of a run that comes back to Python within an epoch: for the next chunk of a stream, or for callbacks of `Every`."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from retrograde import random
from retrograde.compile import jit
from retrograde.errors import DataError, ModelError
from retrograde.train.callbacks import Every, Steps
from retrograde.train.data import Data
from retrograde.train.driver import Driver
from retrograde.train.metrics import columns, metrics_of
from retrograde.train.program import Carry, make_parts
from retrograde.train.replay import Replay
from retrograde.train.run import Run
from retrograde.train.segment import make_segment, make_single
from retrograde.train.stream import Chunk, Stream


@dataclass
class _Due:
    """A callback of `Every`, with the losses and the points since its last call."""

    every: Every
    loss: float = 0.0
    seen: float = 0.0


class SteppedDriver(Driver):
    """A run of one start. Points come from a `stream`, or are those in memory; validation points are in memory or a stream."""

    def __init__(
        self, *args: Any, stream: Stream | None, held: tuple[np.ndarray, np.ndarray] | Stream | None,
        check: Callable[[Any, Data], None],
    ):  # fmt: skip
        self.stream, self.held, self.check = stream, held, check
        super().__init__(*args)
        self.due = [_Due(callback) for callback in self.callbacks if isinstance(callback, Every)]
        self.callbacks = [callback for callback in self.callbacks if not isinstance(callback, Every)]
        self.taken = self.begun = 0  # updates made, and those of them before the epoch that goes on
        self.inner: tuple = ()  # what an update takes and gives
        self.told = False  # whether a callback of `Every` ended the run
        self.segment: Any = None
        permute = partial(_permuted, 0 if stream is not None else self.points.n)
        self.permute = jit(permute) if self.programs is not None else permute

    def _modes(self) -> dict[str, str | None]:
        """Of a stream it is its first chunk that tells whether there are labels, and so an accuracy."""
        return columns(self.settings.metrics, False, self.held is not None)

    def _wanted(self) -> list[str] | None:
        return None if self.stream is not None else super()._wanted()

    def _take_up(self, source: Any) -> None:
        super()._take_up(source)
        self.taken = self.begun = super()._updates(0)

    def _train(self, show: Callable) -> None:
        try:
            while self.done[0] < self.epochs and not (self.interrupted or self.told or self._ended(self.carries[0])):
                self._epoch(self.carries[0])
                show(self.done[0], self._history(), self.taken / self.seconds)
                if self._called_back():
                    break
        except KeyboardInterrupt:  # no figures of the epoch that was begun; what is finished is whole
            self.taken = self.begun
            raise

    def _epoch(self, carry: Carry) -> None:
        """One pass over the points, or the part of it until Ctrl-C or a callback's word."""
        began, compiling = time.perf_counter(), self.compile_seconds
        number, self.begun = int(carry["epoch"]), self.taken
        key = random.fold_in(carry["key"], carry["epoch"])
        self.inner = (carry["params"], carry["state"], carry["scaling"], np.zeros(()), np.zeros(()))
        try:
            with closing(self._chunks(number, key)) as chunks:
                for chunk in chunks:
                    self._look_at(chunk)
                    self._train_on(chunk, key, number + 1)
                    if self.interrupted or self.told:
                        break
        except KeyboardInterrupt:
            if self.taken == self.begun:
                raise
            self.interrupted = True
        if self.taken == self.begun:
            raise DataError(f"the stream gave no points in epoch {number + 1}; let it begin anew each time it is asked")
        after, row = self.finish(carry, self.inner, self._figures(self.inner[0]))
        took = time.perf_counter() - began - (self.compile_seconds - compiling)
        self._gather([after], [{name: np.reshape(value, 1) for name, value in row.items()}], took)

    def _chunks(self, number: int, key: np.ndarray) -> Generator[Chunk, None, None]:
        if self.stream is not None:
            yield from self.stream.epoch(number)
            return
        p, batch = self.points, self.settings.batch
        if batch >= p.n:
            yield Chunk(p.X, p.y, p.weight, p.n, p.n + 1)  # less than a full batch: a single update
            return
        yield Chunk(p.X, p.y, p.weight, p.n, batch, np.asarray(self.permute(key)) if self.settings.shuffle else None)

    def _look_at(self, chunk: Chunk) -> None:
        """Check the points of a chunk; make the programs when the first one is there."""
        first = self.segment is None
        if first or self.stream is not None:
            X, y, weight = chunk.points
            held = self.held if first and isinstance(self.held, tuple) else (None, None)
            points = Data(X, y, weight, *held)
            output = self.check(self.inner[0], points)
            if first:
                self._begin(points, output)

    def _begin(self, points: Data, output: Any) -> None:
        batch = self.settings.batch or points.n
        self.settings = replace(self.settings, batch=batch)
        if self.stream is not None:
            self.settings = replace(self.settings, metrics=metrics_of((), False, self.settings.loss, points, output))
            self._settle_columns()
            # what is asked of it from here on is the price of a batch; chunks are overwritten
            self.points = Data(points.X[:batch].copy(), points.y[:batch].copy(), None, None, None)
        parts = make_parts(self.settings)
        functions = make_segment(parts.update), make_single(parts.update), parts.validate
        if self.programs is not None:
            functions = tuple(jit(f, flush_subnormals=True) for f in functions)  # type: ignore[assignment]
        self.segment, self.single, self.validate = functions
        self.finish = parts.finish

    def _settle_columns(self) -> None:
        """What the first chunk of a stream has told: the columns of the history, those of a run gone on with among them."""
        self.modes = self._modes()
        empty = self._no_rows()
        if not any(self.done):
            self.rows = empty
        elif odd := sorted(set(empty[0]) ^ set(self.rows[0])):
            raise ModelError(f"resume: only one of that run and this one has {odd[0]!r} in its history; give the same validation "
                             "and metrics")  # fmt: skip

    def _train_on(self, chunk: Chunk, key: np.ndarray, epoch: int) -> None:
        """The updates of one chunk, stopping where a callback is due."""
        at = 0
        most = min([chunk.most(), *(due.every.n for due in self.due)])
        while at < chunk.whole and not (self.interrupted or self.told):
            last = min([chunk.whole, *(at + due.every.n - self.taken % due.every.n for due in self.due)])
            points = chunk.batches(at, last, most)
            before = np.int64(self.taken - self.begun)
            found, stopped = self._call(self.segment, self.inner, *points, key, before, np.int64(last - at))
            self.inner, part, made = found
            self.interrupted |= stopped
            at += int(made)
            self._count(int(made), part, epoch)
        rest = chunk.rest()
        if rest is not None and not (self.interrupted or self.told):
            (self.inner, part), stopped = self._call(self.single, self.inner, *rest, key, np.int64(self.taken - self.begun))
            self.interrupted |= stopped
            self._count(1, part, epoch)

    def _count(self, updates: int, part: tuple, epoch: int) -> None:
        """Take note of updates that were made, and call what is due after them."""
        self.taken += updates
        for due in self.due:
            due.loss, due.seen = due.loss + float(part[0]), due.seen + float(part[1])
            if self.taken % due.every.n == 0 and due.seen and not self.interrupted:
                steps = Steps(self.taken, epoch, due.loss / due.seen, self.inner[0])
                due.loss = due.seen = 0.0
                self.told |= due.every(steps) is True

    def _figures(self, net: Any) -> dict[str, Any]:
        """The figures of the validation points; of a stream the means over its chunks, each weighing its points."""
        if not isinstance(self.held, Stream):
            return {} if self.held is None else self._validate(net, *self.held)
        found, counts = [], []
        with closing(self.held.epoch(0)) as chunks:
            for chunk in chunks:
                X, y, _ = chunk.points
                self.check(net, Data(X, y, None, None, None))
                found.append(self._validate(net, X, y))
                counts.append(chunk.rows)
        if not found:
            raise DataError("the stream of validation points gave none; let it begin anew each time it is asked")
        return {name: np.average([float(row[name]) for row in found], weights=counts) for name in found[0]}

    def _call(self, program: Any, *args: Any) -> tuple[Any, bool]:
        """Run a program, compiled for these shapes if it is not yet; returns its result, and whether Ctrl-C ended it before."""
        if self.programs is None:
            with np.errstate(all="ignore") if self.settings.narrow is not None else nullcontext():
                return program(*args), False
        self._lower(program, *args)
        return program.run_interruptible(*args)

    def _validate(self, *args: Any) -> dict[str, Any]:
        if self.programs is not None:
            self._lower(self.validate, *args)
        return self.validate(*args)

    def _lower(self, program: Any, *args: Any) -> None:
        began = time.perf_counter()
        plan = program.lower(*args)
        self.compile_seconds += time.perf_counter() - began
        self.plan = self.plan or plan

    def _updates(self, i: int) -> int:
        return self.taken

    def _run_of(self, i: int, carry: Any) -> Run:
        run = super()._run_of(i, carry)
        if self.stream is None:
            return run
        return replace(run, points=int(run.progress.rows["seen"].max()), batch_size=self.stream.batch or 0)

    def _replay(self, i: int) -> Replay | None:
        if self.stream is not None or isinstance(self.held, Stream):
            return None  # a stream's points are gone
        return replace(super()._replay(i), stepped=True)  # type: ignore[type-var]


def _permuted(n: int, key: np.ndarray) -> Any:
    """The order of an epoch in memory, as `program.py` draws it."""
    return random.permutation(random.fold_in(key, 0), n)
