"""Chunks of a source: filled while native code runs on the one before, their rows in random order, cut into batches.

A chunk takes the next rows from 8 or more places of arrays on disk, from as many row groups of Parquet files as it holds, or the
next batches of an iterable, and every batch takes rows from all over its chunk. Batches run on across the border of two chunks,
so all but the last one of an epoch are full.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from retrograde.errors import DataError
from retrograde.train.sources import Source
from retrograde.train.tabular import Arrays

CHUNK_BYTES = 2**26
PLACES = 8  # that a chunk's rows come from


@dataclass(frozen=True)
class Chunk:
    """Points in memory, the first `rows` of these arrays, as batches in this order (None: as they lie).

    Orders of many starts are (rows, starts).
    """

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None
    rows: int
    batch: int
    order: np.ndarray | None = None

    @property
    def points(self) -> Arrays:
        """The rows that are filled."""
        return self._slice(0, self.rows)

    @property
    def whole(self) -> int:
        """The number of full batches."""
        return self.rows // self.batch

    @property
    def updates(self) -> int:
        """The number of all of them."""
        return -(-self.rows // self.batch)

    def most(self) -> int:
        """Of how many batches the arrays have room for."""
        return len(self.X if self.order is None else self.order) // self.batch

    def batches(self, first: int, last: int, most: int) -> tuple:
        """X, y, weight and order for `most` updates, of which those with the batches `first` to `last` are to be made.

        Without an order the points are (most, batch, ...); else they are all there, and the order is (most, batch).
        """
        a, b, room = first * self.batch, last * self.batch, most * self.batch
        if self.order is not None:
            return self.X, self.y, self.weight, _room(self.order, a, b, room).reshape(most, self.batch, *self.order.shape[1:])
        held = (None if v is None else _room(v, a, b, room) for v in (self.X, self.y, self.weight))
        return *(None if v is None else v.reshape(most, self.batch, *v.shape[1:]) for v in held), None

    def rest(self) -> tuple:
        """X, y, weight and the rows (None: all) of the smaller batch at the end, where there is one."""
        a = self.whole * self.batch
        return (*self._slice(a, self.rows), None) if self.order is None else (*self._arrays, self.order[a : self.rows])

    @property
    def _arrays(self) -> Arrays:
        return self.X, self.y, self.weight

    def _slice(self, a: int, b: int) -> Arrays:
        return self.X[a:b], self.y[a:b], None if self.weight is None else self.weight[a:b]


def _room(values: np.ndarray, a: int, b: int, room: int) -> np.ndarray:
    """An array of `room` rows that begins with those from a to b: a view where it can be."""
    if a + room <= len(values):
        return values[a : a + room]
    copy = np.zeros((room, *values.shape[1:]), values.dtype)
    copy[: b - a] = values[a:b]
    return copy


class Stream:
    """The chunks of a source, epoch by epoch. `batch` None takes its pieces as the batches."""

    def __init__(self, source: Source, batch: int | None, rows: int | None, shuffle: bool, seed: int):
        self.source, self.batch, self.shuffle, self.seed = source, batch, shuffle, seed
        self.rows = rows if rows is not None or source.row_bytes is None else max(1, CHUNK_BYTES // source.row_bytes)
        self.stopped = self.warned = False
        self.longest = 0  # points of a pass
        self.buffers: Iterator[Arrays] | None = None  # two in turn: one is filled while the other is trained on

    def epoch(self, number: int) -> Generator[Chunk, None, None]:
        """The chunks of one pass, each good until the one after the next is asked for. Errors of the source come as they are."""
        chunks, self.stopped, points = self._chunks(number), False, 0
        with ThreadPoolExecutor(1, "retrograde-reader") as reader:
            coming = reader.submit(next, chunks, None)
            try:
                while (chunk := coming.result()) is not None:
                    coming = reader.submit(next, chunks, None)
                    points += chunk.rows
                    yield chunk
                self._compare(points)
            finally:
                self.stopped = True

    def _compare(self, points: int) -> None:
        """Warn, once, of a pass that has ended before where another did: the source may have lost some of its points."""
        if points < self.longest and not self.warned:
            self.warned = True
            warnings.warn(f"{self.source.name}: a pass gave {points:,} points, one before it {self.longest:,}; let the stream "
                          "begin anew each time it is asked", stacklevel=2)  # fmt: skip
        self.longest = max(self.longest, points)

    def _chunks(self, number: int) -> Iterator[Chunk]:
        rng = np.random.default_rng((self.seed, number)) if self.shuffle else None
        pieces = self.source.pieces(rng, self._piece_rows())
        if self.batch is None:
            for piece in pieces:
                yield Chunk(*piece, len(piece[0]), len(piece[0]) + 1)  # less than a full batch: a single update
            return
        buffer, filled, first = None, 0, None
        for piece in pieces:
            first = first or piece
            _check_alike(piece, first)
            at = 0
            while at < len(piece[0]) and not self.stopped:
                if buffer is None:
                    buffer = self._next_buffer(piece, self.batch)
                more = min(len(piece[0]) - at, len(buffer[0]) - filled)
                for into, values in zip(buffer, piece):
                    if into is not None and values is not None:
                        into[filled : filled + more] = values[at : at + more]
                at, filled = at + more, filled + more
                if filled == len(buffer[0]):
                    yield self._cut(buffer, filled, self.batch, rng)
                    buffer, filled = None, 0
            if self.stopped:
                return
        if buffer is not None:
            yield self._cut(buffer, filled, self.batch, rng)

    def _piece_rows(self) -> int:
        return max(1, (self.rows or CHUNK_BYTES) // PLACES) if self.shuffle else self.rows or CHUNK_BYTES

    def _next_buffer(self, piece: Arrays, batch: int) -> Arrays:
        if self.buffers is None:
            a_row = sum(v.nbytes // len(v) for v in piece if v is not None)
            rows = self.rows or max(1, CHUNK_BYTES // max(a_row, 1))
            if self.source.rows is not None:
                rows = min(rows, self.source.rows)
            rows = -(-rows // batch) * batch
            made = [[None if v is None else np.empty((rows, *v.shape[1:]), v.dtype) for v in piece] for _ in range(2)]
            self.buffers = itertools.cycle(tuple(made))  # type: ignore[arg-type]
        return next(self.buffers)

    def _cut(self, buffer: Arrays, filled: int, batch: int, rng: np.random.Generator | None) -> Chunk:
        order = None
        if rng is not None:
            order = np.zeros(len(buffer[0]), np.int64)
            order[:filled] = rng.permutation(filled)
        return Chunk(*buffer, filled, batch, order)


def _check_alike(piece: Arrays, first: Arrays) -> None:
    for name, a, b in zip(("x", "y", "weight"), piece, first):
        if (a is None) != (b is None):
            raise DataError("some batches of the stream have weights and some have none; give all of them (x, y, weight)")
        if a is not None and b is not None and (a.shape[1:], a.dtype) != (b.shape[1:], b.dtype):
            raise DataError(
                f"the {name} of all batches must be alike: the first has rows of {b.dtype} {b.shape[1:]}, another of {a.dtype} "
                f"{a.shape[1:]}; batch_size=None takes batches of different shapes as they come"
            )
