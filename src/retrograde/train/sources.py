"""Where points come from when they are not all in memory: arrays on disk, sparse matrices, Parquet files, batches that are made.

A source gives its points piece by piece, converted and checked, any number of times. What reads it is `stream.py`.
"""

from __future__ import annotations

import itertools
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from retrograde.errors import DataError
from retrograde.io.frames import arrow_of, is_tabular
from retrograde.train.data import array, check_rows, check_weights
from retrograde.train.tabular import Arrays, Wanted

FEW = 256  # rows that tell what a source gives
HELD = 2**30  # bytes of a file that are read into memory, to train on without a stream


@runtime_checkable
class Source(Protocol):
    """Points that are read when they are wanted; `rows` and `row_bytes` (in the network's dtype) where known beforehand."""

    name: str
    rows: int | None
    row_bytes: int | None

    def pieces(self, rng: np.random.Generator | None, most: int) -> Iterator[Arrays]:
        """One pass, in pieces of at most `most` rows where that can be chosen, which `rng` puts into another order."""
        ...

    def first(self) -> Arrays:
        """Some points, which the next pass gives too. Raises `DataError` if there are none."""
        ...


class Pair(NamedTuple):
    """Arrays in memory, not looked at yet."""

    X: Any
    y: Any
    weight: Any


class ArraySource:
    """Rows of arrays: memory-mapped files, sparse matrices (a piece at a time becomes dense), or arrays in memory."""

    def __init__(self, X: Any, y: Any, weight: Any, dtype: np.dtype, name: str = "data"):
        self.dtype, self.name = dtype, name
        self.X, self.y = self._sliceable(X, "X"), self._sliceable(y, "y")
        check_rows(self.X, self.y, name)
        self.rows: int | None = self.X.shape[0]
        self.row_bytes: int | None = (_values_a_row(self.X) + _values_a_row(self.y)) * dtype.itemsize
        self.weight = None if weight is None else check_weights(weight, self.X.shape[0], dtype)

    def _sliceable(self, values: Any, which: str) -> Any:
        if _is_sparse(values):
            return values.tocsr()
        return values if isinstance(values, np.memmap) else array(values, f"{self.name}: {which}", self.dtype)

    def pieces(self, rng: np.random.Generator | None, most: int) -> Iterator[Arrays]:
        """Slices of consecutive rows, the slices in random order."""
        starts = np.arange(0, self.rows or 0, most)
        for a in map(int, starts if rng is None else rng.permutation(starts)):
            part, where = slice(a, a + most), f"{self.name}, rows from {a:,}"
            X, y = (array(_dense(v[part]), f"{where}: {name}", self.dtype) for v, name in ((self.X, "X"), (self.y, "y")))
            yield X, y, None if self.weight is None else self.weight[part]

    def first(self) -> Arrays:
        """The first rows."""
        return next(self.pieces(None, FEW))


class ParquetSource:
    """A Parquet file, or a folder of them (hive partitions are columns): the row groups in random order."""

    def __init__(self, path: Path, wanted: Wanted, dtype: np.dtype):
        import pyarrow as pa
        from pyarrow import dataset

        self.path, self.wanted, self.dtype, self.name = path, wanted, dtype, str(path)
        try:
            self.dataset = dataset.dataset(str(path), format="parquet", partitioning="hive" if path.is_dir() else None)
            self.rows: int | None = self.dataset.count_rows()
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} cannot be read as a Parquet table: {' '.join(str(error).split())}") from None
        if not self.rows:
            raise DataError(f"{path} has no rows" + (": no Parquet files are in it" if path.is_dir() else ""))
        self.columns = wanted.among([name.strip() for name in self.dataset.schema.names], str(path))
        self.row_bytes: int | None = len(self.columns.names) * dtype.itemsize

    def pieces(self, rng: np.random.Generator | None, most: int) -> Iterator[Arrays]:
        """Slices of row groups, from the first to the last row of each."""
        wanted = [name for name in self.dataset.schema.names if name.strip() in self.columns.names]
        groups = [group for fragment in self.dataset.get_fragments() for group in fragment.split_by_row_group()]
        for i in range(len(groups)) if rng is None else rng.permutation(len(groups)):
            group, first = groups[i], 0
            for batch in group.to_batches(
                schema=self.dataset.schema, columns=wanted, batch_size=most, batch_readahead=1, fragment_readahead=1
            ):
                if len(batch):
                    where = f"{group.path}, row group {group.row_groups[0].id}, rows from {first:,}"
                    yield self.wanted.split(batch, where, self.dtype)
                    first += len(batch)

    def first(self) -> Arrays:
        """The first rows."""
        return next(self.pieces(None, FEW))


class BatchSource:
    """An iterable, or a function that makes an iterator, of batches (x, y) or (x, y, weight); with `wanted`, of tables."""

    rows: int | None = None
    row_bytes: int | None = None

    def __init__(self, make: Callable[[], Iterable] | Iterable, wanted: Wanted | None, dtype: np.dtype, name: str = "data"):
        self.make, self.wanted, self.dtype, self.name = make, wanted, dtype, name
        self.once = not callable(make) and isinstance(make, Iterator)  # a generator is used up after one pass
        self.begun: Iterator[Arrays] | None = None  # the pass whose first batch was looked at

    def pieces(self, rng: np.random.Generator | None, most: int) -> Iterator[Arrays]:
        """The batches as they come."""
        begun, self.begun = self.begun, None
        return self._batches() if begun is None else begun

    def first(self) -> Arrays:
        """The first batch."""
        batches = self._batches()
        for batch in batches:
            self.begun = itertools.chain([batch], batches)
            return batch
        raise DataError(f"{self.name}: the stream gave no points; let it begin anew each time it is asked")

    def _batches(self) -> Iterator[Arrays]:
        made = self.make() if callable(self.make) else self.make
        if not isinstance(made, Iterable):
            raise DataError(f"{self.name} is a function, so it must return an iterator of batches (x, y); it returned {made!r}")
        for i, batch in enumerate(made):
            yield self._batch(batch, f"{self.name}, batch {i}")

    def _batch(self, batch: Any, where: str) -> Arrays:
        if self.wanted is not None:
            if not is_tabular(batch):
                raise DataError(f"{where} is a {type(batch).__name__}; with target= given, a batch is a table")
            return self.wanted.split(arrow_of(batch, where), where, self.dtype)
        if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
            raise DataError(f"{where} is a {type(batch).__name__}; a stream gives batches (x, y) or (x, y, weight)")
        X, y = array(_dense(batch[0]), f"{where}: X", self.dtype), array(_dense(batch[1]), f"{where}: y", self.dtype)
        check_rows(X, y, where)
        return X, y, check_weights(batch[2], len(X), self.dtype, f"{where}: weight", none=True) if len(batch) == 3 else None


def resolve(data: Any, name: str, weight: Any, wanted: Wanted | None, dtype: np.dtype, chunked: bool) -> Pair | Source:
    """Arrays in memory, or a source where the data are larger than `HELD` or have no known size; with `chunked`, wherever it can.

    Raises `DataError` for what is neither arrays, a table with its target, a file of one, nor batches.
    """
    if isinstance(data, (str, os.PathLike)) or (is_tabular(data) and not isinstance(data, Iterator)):
        if wanted is None:
            raise DataError(f'{name} is one table: say which column is to be predicted, target="name", or give (X, y)')
        return _of_table(data, name, weight, wanted, dtype, chunked)
    if isinstance(data, (tuple, list)) and len(data) == 2:
        if wanted is not None or isinstance(weight, str):
            raise DataError(f"target and sample_weight name columns of a table, but {name} is a pair (X, y); give arrays")
        large = [v for v in data if isinstance(v, np.memmap) or _is_sparse(v)]
        if large and (chunked or sum(v.shape[0] * _values_a_row(v) for v in large) * dtype.itemsize > HELD):
            return ArraySource(data[0], data[1], weight, dtype, name)
        return Pair(_dense(data[0]), _dense(data[1]), weight)
    if callable(data) or (isinstance(data, Iterable) and not isinstance(data, (tuple, list, dict, np.ndarray))):
        if weight is not None and (wanted is None or wanted.weight is None):
            raise DataError("sample_weight does not know the batches of a stream; let them be (x, y, weight)")
        return BatchSource(data, wanted, dtype, name)
    raise DataError(
        f"{name} must be a pair (X, y) of arrays, a table with target=..., or batches; it is a {type(data).__name__}"
        + " (batches in a list: give a function, lambda: batches)" * isinstance(data, (list, tuple))
    )


def _of_table(data: Any, name: str, weight: Any, wanted: Wanted, dtype: np.dtype, chunked: bool) -> Pair | Source:
    from retrograde.io.tables import is_parquet, read_table

    if is_tabular(data):
        X, y, own = wanted.split(arrow_of(data, name), name, dtype)
    elif (path := Path(data)).is_dir() or (path.is_file() and is_parquet(path)):
        source = ParquetSource(path, wanted, dtype)
        if chunked or (source.rows or 0) * (source.row_bytes or 0) > HELD:
            if weight is not None and wanted.weight is None:
                raise DataError(f"{path} is streamed, so sample_weight must be the name of a column of it")
            return source
        X, y, own = _whole(source)
    else:
        X, y, own = wanted.split_table(read_table(path), dtype)
    return Pair(X, y, weight if own is None else own)


def _whole(source: ParquetSource) -> Arrays:
    """All of a source, each array written once."""
    made: list[np.ndarray | None] = []
    at = 0
    for piece in source.pieces(None, 2**16):
        made = made or [None if v is None else np.empty((source.rows or 0, *v.shape[1:]), v.dtype) for v in piece]
        for into, values in zip(made, piece):
            if into is not None and values is not None:
                into[at : at + len(values)] = values
        at += len(piece[0])
    return tuple(made)  # type: ignore[return-value]


def _is_sparse(values: Any) -> bool:
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and sparse.issparse(values)


def _dense(values: Any) -> Any:
    return values.toarray() if _is_sparse(values) else values


def _values_a_row(values: Any) -> int:
    return math.prod(values.shape[1:])
