"""The driver of a run that comes back to Python within an epoch: for the next chunk of a stream, or for callbacks of `Every`."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from retrograde import random, tree
from retrograde.compile import jit
from retrograde.errors import DataError
from retrograde.train.callbacks import Every, Steps
from retrograde.train.data import Data
from retrograde.train.driver import Driver
from retrograde.train.evaluate import Evaluation
from retrograde.train.given import again
from retrograde.train.numbers import joined, split
from retrograde.train.outside import Outside
from retrograde.train.program import Carry, make_parts
from retrograde.train.replay import Replay
from retrograde.train.resume import NOT_BEGUN, Begun, Progress
from retrograde.train.run import Run
from retrograde.train.segment import make_many, make_segment, make_single
from retrograde.train.stream import Chunk, Stream


@dataclass
class _Due:
    """A callback of `Every`, with the losses and the points since its last call, of each start where there are many."""

    every: Every
    loss: Any = 0.0
    seen: Any = 0.0


class _Place(NamedTuple):
    """A place in an epoch: what updates take and give, of all starts, after so many updates and seconds of this epoch."""

    epoch: int = -1
    inner: tuple = ()
    updates: int = 0
    seconds: float = 0.0


class SteppedDriver(Driver):
    """A run whose points come from a `stream`, or are those in memory; validation points are in memory or a stream.

    Its `place` is replaced as one, after each piece of native code: whatever ends the run, it goes on from there.
    """

    def __init__(
        self, *args: Any, stream: Stream | None, held: tuple[np.ndarray, np.ndarray] | Stream | None,
        check: Callable[[Any, Data], None],
    ):  # fmt: skip
        self.stream, self.held, self.check = stream, held, check
        super().__init__(*args)
        self.due = [_Due(callback) for callback in self.callbacks if isinstance(callback, Every)]
        self.callbacks = [callback for callback in self.callbacks if not isinstance(callback, Every)]
        self.place = _Place()
        self.stopped_at: list[Progress] | None = None  # in the middle of an epoch
        self.told = False  # whether a callback of `Every` ended the run
        self.earlier = 0  # updates of the epochs before
        parts = make_parts(joined(*split(self.settings)))  # Python's numbers, which widen nothing
        segment, single = make_segment(parts.update), make_single(parts.update)
        self.segment, self.single = map(self._make, make_many(segment, single) if self.many else (segment, single))
        self.finish = parts.finish
        self.permute = self._make(partial(_permuted, self.points.n))
        self.outside = Outside(replace(self.settings, metrics=()), self.points, False)  # evaluations have them all
        self.evaluations = self._evaluations()

    def _evaluations(self) -> list[Evaluation]:
        p, over = self.points, []
        if self.settings.train_metrics:
            over.append(("", (p.X, p.y) if self.stream is None else again(self.stream)))
        if self.held is not None:
            over.append(("val_", self.held))
        return [Evaluation(prefix, at, self.settings, self._make, self._call, self.check) for prefix, at in over]

    def _config(self) -> dict[str, Any]:
        told = super()._config()
        if self.stream is not None:
            told |= {"points": self.stream.source.rows, "batch_size": self.stream.batch}
        return told | ({"validation_points": self.held.source.rows} if isinstance(self.held, Stream) else {})

    def _begin_at(self, starts: list[Progress]) -> None:
        begun = starts[0].begun
        if begun.updates:
            inner = self._join([_inner(s.carry, s.begun) for s in starts])
            epoch = max(int(s.carry["epoch"]) for s in starts)
            self.place = _Place(epoch, inner, begun.updates, begun.seconds)

    def _so_far(self) -> list[Progress]:
        """The starts as they are, those that are still going on in the middle of an epoch."""
        place, found = self.place, super()._so_far()
        if place.epoch != max(self.done) or not place.updates:
            return found
        return [_begun(start, inner, place) for start, inner in zip(found, self._inners())]

    @property
    def taken(self) -> int:
        """Updates made in all."""
        return self.earlier + self.place.updates

    def _train(self, show: Callable) -> None:
        while max(self.done) < self.epochs and not (self.interrupted or self.told or all(map(self._ended, self.carries))):
            self._epoch()
            show(max(self.done), self._history(), self.taken / self.seconds)
            if not self.cut:
                self._record(max(self.done))
            if self._called_back():
                break

    def _epoch(self) -> None:
        """One pass over the points, or the part of it until Ctrl-C or a callback's word."""
        number = max(self.done)
        if self.place.epoch != number:
            self.place = _Place(number, self._join([_inner(carry) for carry in self.carries]))
        self.earlier = max(map(self._updates, range(len(self.nets))))
        self.began = time.perf_counter() - self.compile_seconds - self.place.seconds
        keys = [random.fold_in(carry["key"], np.int64(number)) for carry in self.carries]
        try:
            with closing(self._chunks(number, keys)) as chunks:
                self._pass(chunks, self._join(keys))
        except KeyboardInterrupt:
            if not self.place.updates:
                raise
            self.interrupted = True
        if not self.place.updates:
            if self.interrupted:
                raise KeyboardInterrupt
            raise DataError(f"the stream gave no points in epoch {number + 1}; let it begin anew each time it is asked")
        if self.interrupted or self.told:  # the part is an epoch of the run that is returned, not of what goes on with it
            self._write()
            self.stopped_at, self.cut = self._so_far(), True
        self._finish()

    def _finish(self) -> None:
        """The figures of the epoch, or of its part, of each start that is going on."""
        carries, updates = list(self.carries), float(self.place.updates)
        rows: list[dict[str, Any]] = [{} for _ in self.nets]
        for i, inner in enumerate(self._inners()):
            if not self._ended(carries[i]):
                figures = {name: value for measured in self.evaluations for name, value in measured(inner[0]).items()}
                carries[i], row = self.finish(carries[i], inner, figures)
                rows[i] = {name: np.reshape(value, 1) for name, value in (row | {"updates": updates}).items()}
        self._gather(carries, rows, self._took())

    def _took(self) -> float:
        """Seconds of this epoch, without compilation."""
        return time.perf_counter() - self.compile_seconds - self.began

    def _chunks(self, number: int, keys: list[np.ndarray]) -> Generator[Chunk, None, None]:
        if self.stream is not None:
            yield from self.stream.epoch(number)
            return
        p, batch = self.points, self.settings.batch
        if batch >= p.n:
            yield Chunk(p.X, p.y, p.weight, p.n, p.n + 1)  # less than a full batch: a single update
            return
        orders = [np.asarray(self.permute(key)) for key in keys] if self.settings.shuffle else None
        order = None if orders is None else np.stack(orders, axis=-1) if self.many else orders[0]
        yield Chunk(p.X, p.y, p.weight, p.n, batch, order)

    def _pass(self, chunks: Iterator[Chunk], key: np.ndarray) -> None:
        """The updates of an epoch that were not made yet."""
        behind = self.place.updates
        for chunk in chunks:
            if behind >= chunk.updates:
                behind -= chunk.updates
                continue
            if self.stream is not None:
                self.check(self.nets[0], Data(*chunk.points, None, None))
            self._train_on(chunk, behind, key)
            behind = 0
            if self.interrupted or self.told:
                return
        if behind:
            raise DataError(f"resume: that run had made {self.place.updates} updates of epoch {self.place.epoch + 1}, {behind} "
                            "more than this stream has; give the same data")  # fmt: skip

    def _train_on(self, chunk: Chunk, at: int, key: np.ndarray) -> None:
        """The updates of one chunk, from this one on, stopping where a callback is due."""
        most = min([chunk.most(), *(due.every.n for due in self.due)])
        while at < chunk.updates and not (self.interrupted or self.told):
            before = np.int64(self.place.updates)
            if at < chunk.whole:
                last = min([chunk.whole, *(at + due.every.n - self.taken % due.every.n for due in self.due)])
                count = np.array([0 if self._ended(carry) else last - at for carry in self.carries])
                arguments = (*chunk.batches(at, last, most), key, before, count if self.many else count[0])
                (inner, part, made), stopped = self._run(self.segment, self.place.inner, *arguments)
            else:
                ((inner, part), stopped), made = self._run(self.single, self.place.inner, *chunk.rest(), key, before), 1
            self.interrupted |= stopped
            if stopped and self.many:  # each start stopped after another update
                return
            made = int(np.max(made)) if self.many else int(made)
            self.place = _Place(self.place.epoch, inner, self.place.updates + made, self._took())
            at += made
            self._tell(part)
            if self.folder is not None and self.folder.due_within():
                self._write()

    def _tell(self, part: tuple) -> None:
        """Call what is due after these updates; `part` is the sum of their losses and the points they saw."""
        for due in self.due:
            due.loss, due.seen = due.loss + part[0], due.seen + part[1]
            if self.taken % due.every.n == 0 and np.any(due.seen) and not self.interrupted:
                loss, nets = self._mean(due), tuple(inner[0] for inner in self._inners())
                due.loss = due.seen = 0.0
                self.told |= due.every(Steps(self.taken, self.place.epoch + 1, loss, nets if self.many else nets[0])) is True

    def _mean(self, due: _Due) -> Any:
        if not self.many:
            return float(due.loss / due.seen)
        with np.errstate(invalid="ignore"):
            return np.where([self._ended(carry) for carry in self.carries], np.nan, due.loss / due.seen)

    def _inners(self) -> list[tuple]:
        """What updates have given, by start; of one that has stopped, what it stopped with."""
        joined = self.place.inner
        each = [tree.tree_map(itemgetter(i), joined) for i in range(len(self.nets))] if self.many else [joined]
        return [_inner(carry) if self._ended(carry) else inner for carry, inner in zip(self.carries, each)]

    def _make(self, f: Callable) -> Callable:
        """A program of this function, unless the run is interpreted."""
        return f if self.programs is None else jit(f, flush_subnormals=True)

    def _call(self, program: Any, *args: Any) -> Any:
        """Run a program, compiled for these shapes if it is not yet."""
        if self.programs is None:
            with np.errstate(all="ignore") if self.settings.narrow is not None else nullcontext():
                return program(*args)
        self._lower(program, *args)
        return program(*args)

    def _run(self, program: Any, *args: Any) -> tuple[Any, bool]:
        """The same; returns its result, and whether Ctrl-C ended it before."""
        if self.programs is None:
            return self._call(program, *args), False
        self._lower(program, *args)
        return program.run_interruptible(*args)

    def _lower(self, program: Any, *args: Any) -> None:
        began = time.perf_counter()
        plan = program.lower(*args)
        self.compile_seconds += time.perf_counter() - began
        self.plan = self.plan or plan

    def _hidden(self, row: dict[str, Any], seconds: float) -> dict[str, np.ndarray]:
        return {"seconds": np.full(1, seconds)}

    def _run_of(self, i: int, carry: Any) -> Run:
        run = replace(super()._run_of(i, carry), progress=(self.stopped_at or self._so_far())[i])
        if self.stream is None:
            return run
        return replace(run, points=int(self.rows[i]["seen"].max()), batch_size=self.stream.batch or 0)

    def _replay(self, i: int) -> Replay | None:
        if self.stream is not None or isinstance(self.held, Stream):
            return None  # a stream's points are gone
        return replace(super()._replay(i), stepped=True)  # type: ignore[type-var]


def _inner(carry: Carry, begun: Begun = NOT_BEGUN) -> tuple:
    """What the first update takes, or the one after those of an epoch that was begun."""
    return carry["params"], carry["state"], carry["scaling"], np.array(begun.loss), np.array(begun.seen)


def _begun(start: Progress, inner: tuple, place: _Place) -> Progress:
    params, state, scaling, loss, seen = inner
    carry = start.carry | {"params": params, "state": state, "scaling": scaling}
    return Progress(carry, start.rows, Begun(place.updates, float(loss), float(seen), place.seconds))


def _permuted(n: int, key: np.ndarray) -> Any:
    """The order of an epoch in memory, as `program.py` draws it."""
    return random.permutation(random.fold_in(key, 0), n)
