"""What `fit` was given to train and validate on: points in memory, or streams."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from retrograde.errors import DataError, ModelError
from retrograde.train.data import Data, check_alike, pair, prepare
from retrograde.train.sources import ArraySource, BatchSource, Pair, Source, resolve
from retrograde.train.stream import Stream
from retrograde.train.tabular import Wanted


@dataclass(frozen=True)
class Given:
    """Points in memory, or the `stream` they come from, with `held` to validate on.

    Of a stream, `points` are the first ones, repeated to a batch, with some of those to validate on: what they tell is known
    before the run.
    """

    batch: int
    points: Data
    stream: Stream | None = None
    held: tuple[np.ndarray, np.ndarray] | Stream | None = None

    @property
    def streamed(self) -> bool:
        """Whether anything of it is."""
        return self.stream is not None or isinstance(self.held, Stream)


@dataclass(frozen=True)
class Pass:
    """How points are gone through; the arguments of `fit`."""

    batch_size: int | None
    epochs: int
    shuffle: bool
    seed: int
    chunk_rows: int | None


def gather(net: Any, data: Any, target: Any, weight: Any, validation: Any, dtype: np.dtype, how: Pass) -> Given:
    """Resolve `data` and `validation`; a target given by name is (rows, 1) for a network of one output.

    Raises `DataError` for unusable data, `ModelError` for a network that does not take the columns.
    """
    wanted = None if target is None else Wanted(target, weight if isinstance(weight, str) else None, _single(net, dtype))
    source = resolve(data, "data", weight, wanted, dtype, how.chunk_rows is not None)
    fraction = isinstance(validation, (int, float, np.number)) and not isinstance(validation, bool)
    held: Any = None
    if validation is not None and not fraction:
        held = resolve(validation, "validation", None, wanted, dtype, False)
        held = pair((held.X, held.y), "validation", dtype) if isinstance(held, Pair) else _held_stream(held, how)
    if isinstance(source, Pair):
        in_points = validation if fraction else held if isinstance(held, tuple) else None
        points = prepare((source.X, source.y), source.weight, in_points, dtype, how.seed)
        held = held if isinstance(held, Stream) else points.held
        points = _with_held(points, held)
        if how.chunk_rows is None:
            batch = points.n if how.batch_size is None else min(how.batch_size, points.n)
            return Given(batch, points, None, held)
        source = ArraySource(points.X, points.y, points.weight, dtype)
    elif fraction:
        raise DataError(f"validation={validation!r} takes points out of memory, but these are streamed; give (X, y) or a stream")
    stream = _stream(source, how)
    first = stream.source.first()
    batch = stream.batch or len(first[0])
    X, y, weight = (None if v is None else np.resize(v, (batch, *v.shape[1:])) for v in first)
    return Given(batch, _with_held(Data(X, y, weight, None, None), held), stream, held)  # type: ignore[arg-type]


def _with_held(points: Data, held: tuple[np.ndarray, np.ndarray] | Stream | None) -> Data:
    """The points with those to validate on, of a stream the first ones."""
    Xv, yv = held if isinstance(held, tuple) else (None, None) if held is None else held.source.first()[:2]
    return check_alike(replace(points, Xv=Xv, yv=yv))


def again(stream: Stream) -> Stream:
    """The points of a stream, to be gone through in their order once more, after an epoch.

    Raises `DataError` where they can be had only once.
    """
    source = stream.source
    if isinstance(source, BatchSource) and source.once:
        raise DataError(f"train_metrics=True goes through the points once more, but a {type(source.make).__name__} is used up "
                        "after one pass; give a function that makes it anew")  # fmt: skip
    return Stream(source, None if stream.batch is None else 1, stream.rows, False, stream.seed)


def _stream(source: Source, how: Pass) -> Stream:
    _check_passes(source, how, "data")
    if how.batch_size is None and not isinstance(source, BatchSource):
        raise ModelError("batch_size=None is the full batch, which a stream never has in memory; give a number")
    batch = how.batch_size if source.rows is None or how.batch_size is None else min(how.batch_size, source.rows)
    return Stream(source, batch, how.chunk_rows, how.shuffle, how.seed)


def _held_stream(source: Source, how: Pass) -> Stream:
    _check_passes(source, how, "validation")
    as_they_come = isinstance(source, BatchSource) and how.batch_size is None
    return Stream(source, None if as_they_come else 1, how.chunk_rows, False, how.seed)


def _check_passes(source: Source, how: Pass, name: str) -> None:
    if isinstance(source, BatchSource) and source.once and how.epochs > 1:
        raise DataError(
            f"{name} is a {type(source.make).__name__}, used up after one pass, but epochs={how.epochs}; give a function that "
            "makes it anew, or epochs=1"
        )


def _single(net: Any, dtype: np.dtype) -> Any:
    def single(features: int) -> bool:
        try:
            with np.errstate(all="ignore"):
                return np.shape(net(np.zeros((1, features), dtype)))[1:] == (1,)
        except ModelError as error:
            raise ModelError(f"the network does not take the {features} columns beside the target: {error}") from None

    return single
