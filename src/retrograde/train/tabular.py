"""Columns of a table as what a network takes: numbers in its dtype, whole numbers as labels; nothing is guessed or filled in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from retrograde.errors import DataError
from retrograde.io.frames import arrow_of, is_column

if TYPE_CHECKING:
    from retrograde.io.tables import Column, Table

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray | None]
_UNFIT = {
    "text": "text or categories; encode it as numbers first (pandas.get_dummies: a column a category) or leave it out",
    "date": "dates; make numbers of them first, such as days since one of them, or leave the column out",
    "empty": "no values; leave it out",
}


def array_of(values: Any, name: str, dtype: np.dtype, labels: bool) -> np.ndarray:
    """A tabular thing as an array: (rows,) of a Series or an Arrow array, (rows, columns) of a table.

    With `labels`, a single column of whole numbers comes as int64. Raises `DataError` naming the column that cannot be.
    """
    from retrograde.io.tables import table_of

    table = table_of(arrow_of(values, name), name)
    if is_column(values):
        return _column(next(iter(table.columns.values())), name, dtype, labels)
    return matrix(table, list(table.columns), dtype)


def matrix(table: Table, names: Sequence[str], dtype: np.dtype) -> np.ndarray:
    """These columns side by side, (rows, columns)."""
    result = np.empty((table.rows, len(names)), dtype)
    for i, name in enumerate(names):
        result[:, i] = _column(table.columns[name], table.path, dtype, labels=False)
    return result


@dataclass(frozen=True)
class Columns:
    """Which columns are features, which one or ones the target, and which, if any, weighs the points."""

    features: tuple[str, ...]
    target: str | tuple[str, ...]
    weight: str | None = None

    @property
    def names(self) -> list[str]:
        """All of them."""
        targets = [self.target] if isinstance(self.target, str) else self.target
        return list(dict.fromkeys([*self.features, *targets, *([self.weight] if self.weight is not None else [])]))

    def split(self, table: Table, dtype: np.dtype) -> Arrays:
        """X, y and the weights of a table: y is (rows,), whole numbers as int64, for one name and (rows, columns) for several."""
        X = matrix(table, self.features, dtype)
        if isinstance(self.target, str):
            y = _column(table.columns[self.target], table.path, dtype, labels=True)
        else:
            y = matrix(table, self.target, dtype)
        return X, y, None if self.weight is None else _column(table.columns[self.weight], table.path, dtype, labels=False)


@dataclass
class Wanted:
    """A target, and a column of weights, by name. The first table settles the columns; all after it are read by their names."""

    target: Any
    weight: str | None
    single: Callable[[int], bool]  # whether the network, of so many features, has a single output
    columns: Columns | None = None

    def __post_init__(self) -> None:
        names = (self.target,) if isinstance(self.target, str) else self.target
        if not isinstance(names, (list, tuple)) or not names or not all(isinstance(name, str) for name in names):
            raise DataError(f'target is the name of a column, or a list of names such as ["x", "y"]; it is {self.target!r}')

    def among(self, names: Sequence[str], where: str) -> Columns:
        """The columns; raises `DataError` where the table does not have them."""
        from retrograde.io.tables import did_you_mean

        targets = (self.target,) if isinstance(self.target, str) else tuple(self.target)
        others = () if self.weight is None else (self.weight,)
        for name in self.columns.names if self.columns is not None else (*targets, *others):
            if name not in names:
                raise DataError(f"{where} has no column {name!r}{did_you_mean(name, names)}")
        if self.columns is None:
            features = tuple(name for name in names if name not in (*targets, *others))
            if not features:
                raise DataError(f"{where} has no column but the target; a network needs features")
            flat = isinstance(self.target, str) and not self.single(len(features))
            self.columns = Columns(features, self.target if flat else targets, self.weight)
        return self.columns

    def split(self, raw: Any, where: str, dtype: np.dtype) -> Arrays:
        """X, y and the weights, if any, of an Arrow table."""
        from retrograde.io.tables import table_of

        return self.split_table(table_of(raw, where), dtype)

    def split_table(self, table: Table, dtype: np.dtype) -> Arrays:
        """X, y and the weights, if any, of a table."""
        return self.among(list(table.columns), table.path).split(table, dtype)


def _column(column: Column, where: str, dtype: np.dtype, labels: bool) -> np.ndarray:
    name = f"{where}: column {column.name!r}" if column.name != where else where
    if column.kind in _UNFIT:
        raise DataError(f"{name} holds {_UNFIT[column.kind]}")
    values = column.floats()
    if not (good := np.isfinite(values)).all():
        row, count = int(np.argmin(good)) + 1, int((~good).sum())
        raise DataError(f"{name} has {count:,} missing, NaN or infinite values, the first in row {row}; fill or drop them first")
    if labels and column.is_whole():
        if abs(values).max() >= 2.0**63:
            raise DataError(f"{name} has labels up to {abs(values).max():g}; number the classes from 0")
        return column.integers()
    with np.errstate(over="ignore"):
        converted = values.astype(dtype)
    if not np.isfinite(converted).all():
        raise DataError(f"{name} has numbers up to {abs(values).max():g}, too large for {dtype}; scale them")
    return converted
