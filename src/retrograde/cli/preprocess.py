"""Columns of a table -> float32 features: fitted by scikit-learn, kept as plain JSON, applied by NumPy alone.

Numbers: missing ones become the median (with an extra 0/1 feature that says so), then mean 0 and standard deviation 1.
Text and booleans: one feature a category (one-hot), "missing" being a category of its own; a category never seen in
training gives zeros. Nothing is pickled: a fitted `Preprocessor` is lists of numbers and words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from retrograde.errors import DataError, ModelFileError
from retrograde.io.tables import Column, Table, as_number, did_you_mean

MISSING = "(missing)"
MOST_CATEGORIES = 100
"""A text column keeps this many categories, the most frequent; the others count as unseen."""


@dataclass
class Preprocessor:
    """The fitted transformation of feature columns.

    `numbers` are the numeric columns with `fill` (medians) for missing values; `flagged` indexes the ones that get a
    missing-value feature; `mean` and `scale` belong to the numbers followed by those flags. `categories` has a list of
    words per categorical column. Features come in that order: numbers, flags, categories.
    """

    numbers: list[str] = field(default_factory=list)
    fill: list[float] = field(default_factory=list)
    flagged: list[int] = field(default_factory=list)
    mean: list[float] = field(default_factory=list)
    scale: list[float] = field(default_factory=list)
    categories: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def fit(cls, columns: Mapping[str, np.ndarray]) -> Preprocessor:
        """Fit on columns: float64 arrays (NaN = missing) and object arrays of text (None = missing), by scikit-learn."""
        numbers = [n for n, c in columns.items() if c.dtype != object]
        categories = {n: _most_frequent(c) for n, c in columns.items() if c.dtype == object}
        pipeline = sklearn_pipeline(numbers, categories).fit(stack(columns, numbers, categories))
        result = cls(numbers=numbers, categories=categories)
        if numbers:
            numeric = pipeline.named_transformers_["numbers"]
            imputer, scaler = numeric["impute"], numeric["standardize"]
            result.fill = [float(v) for v in imputer.statistics_]
            result.flagged = [] if imputer.indicator_ is None else [int(i) for i in imputer.indicator_.features_]
            result.mean = [float(v) for v in scaler.mean_]
            result.scale = [float(v) for v in scaler.scale_]
        return result

    @property
    def names(self) -> list[str]:
        """The columns it reads."""
        return [*self.numbers, *self.categories]

    @property
    def width(self) -> int:
        """The number of features it makes."""
        return len(self.mean) + sum(len(c) for c in self.categories.values())

    @property
    def feature_names(self) -> list[str]:
        """Names of the features it makes, in their order."""
        flags = [f"{self.numbers[i]} is missing" for i in self.flagged]
        words = [(name, word) for name, known in self.categories.items() for word in known]
        return [*self.numbers, *flags, *(f"{n} is missing" if word == MISSING else f"{n} = {word}" for n, word in words)]

    def transform(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Features of shape (rows, width), float32: what scikit-learn's fitted pipeline gives, without scikit-learn.

        Raises `DataError` for a number so far from those it was fitted on that float32 does not hold the feature.
        """
        with np.errstate(over="ignore"):
            features = self.features(self.encode(columns))
        bad = np.argwhere(~np.isfinite(features))
        if len(bad):
            row, i = bad[0]
            name = self.numbers[i]
            raise DataError(f"column {name!r} holds {columns[name][row]:g} in row {row + 1}, too far from the "
                            f"{self.mean[i]:g} it was trained around; correct it or leave it empty")  # fmt: skip
        return features

    def encode(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """The columns it reads as float64 of shape (rows, columns): a category is its place among the known ones, or -1."""
        coded = [np.asarray(columns[n], np.float64) for n in self.numbers]
        for name, known in self.categories.items():
            place = {word: i for i, word in enumerate(known)}
            coded.append(np.array([place.get(MISSING if w is None else w, -1) for w in columns[name]], np.float64))
        return np.stack(coded, axis=1)

    def features(self, encoded: Any) -> Any:
        """Features of what `encode` gives: NumPy that can be traced, and so leaves the house with the network (`export`)."""
        parts, count = [], len(self.numbers)
        if count:
            x = encoded[:, :count]
            missing = np.isnan(x)
            x = np.where(missing, np.array(self.fill), x)
            flags = [missing[:, i : i + 1].astype(np.float64) for i in self.flagged]
            parts.append((np.concatenate([x, *flags], axis=1) - np.array(self.mean)) / np.array(self.scale))
        for i, known in enumerate(self.categories.values(), count):
            parts.append((encoded[:, i : i + 1] == np.arange(len(known))).astype(np.float64))
        return np.concatenate(parts, axis=1).astype(np.float32)

    def read(self, table: Table) -> dict[str, np.ndarray]:
        """The columns it needs from a table; raises `DataError` for missing columns and for text where numbers belong."""
        lost = [n for n in self.names if n not in table.columns]
        if lost:
            listed = ", ".join(repr(n) for n in lost[:8]) + (f" and {len(lost) - 8} more" if len(lost) > 8 else "")
            spare = [n for n in table.columns if n not in self.names]
            hint = did_you_mean(lost[0], spare) if len(lost) == 1 else ""
            raise DataError(f"{table.path} lacks {_count(len(lost), 'column')} that the model was trained on: {listed}{hint}")
        return {n: table.columns[n].numbers() for n in self.numbers} | {
            n: _words(table.columns[n], known) for n, known in self.categories.items()
        }

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, words, lists and dicts."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> Preprocessor:
        """The inverse of `to_json`; raises `ModelFileError` where `data` is not such a record."""
        try:
            made = cls(
                numbers=[str(n) for n in data["numbers"]],
                fill=[float(v) for v in data["fill"]],
                flagged=[int(i) for i in data["flagged"]],
                mean=[float(v) for v in data["mean"]],
                scale=[float(v) for v in data["scale"]],
                categories={str(n): [str(w) for w in words] for n, words in data["categories"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelFileError(f"the model file's record of its columns is damaged: {error!r}") from None
        widths = {len(made.mean), len(made.scale), len(made.fill) + len(made.flagged), len(made.numbers) + len(made.flagged)}
        if len(widths) > 1 or any(not 0 <= i < len(made.numbers) for i in made.flagged):
            raise ModelFileError("the model file's record of its columns is damaged: its lists differ in length")
        return made


def sklearn_pipeline(numbers: Sequence[str], categories: Mapping[str, Sequence[str]]) -> Any:
    """The `ColumnTransformer` that defines the transformation, over the object array that `stack` makes."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

    numeric = Pipeline([
        ("floats", FunctionTransformer(_as_floats)),
        ("impute", SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)),
        ("standardize", StandardScaler()),
    ])  # fmt: skip
    categorical = Pipeline([
        ("impute", SimpleImputer(missing_values=None, strategy="constant", fill_value=MISSING)),
        ("one_hot", OneHotEncoder(categories=[np.array(c, object) for c in categories.values()],
                                  handle_unknown="ignore", sparse_output=False)),
    ])  # fmt: skip
    split = len(numbers)
    steps = [("numbers", numeric, list(range(split))), ("categories", categorical, list(range(split, split + len(categories))))]
    return ColumnTransformer([step for step in steps if step[2]])


def stack(columns: Mapping[str, np.ndarray], numbers: Sequence[str], categories: Mapping[str, Any]) -> np.ndarray:
    """One object array (rows, columns), numbers first: scikit-learn takes mixed columns so without pandas."""
    return np.stack([columns[n].astype(object) for n in [*numbers, *categories]], axis=1)


def feature_columns(table: Table, names: Sequence[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays of the columns that can be features, and for each of the others the reason why it cannot.

    Left out are columns with no value or one value only, and text that differs in nearly every row (names, identifiers).
    Raises `DataError` for a column of numbers with a few words among them.
    """
    kept: dict[str, np.ndarray] = {}
    dropped: dict[str, str] = {}
    for name in names:
        column = table.columns[name]
        if column.kind == "empty":
            dropped[name] = "no values"
            continue
        values = column.numbers() if column.kind in ("number", "date") else column.texts()
        distinct = set(values[~np.isnan(values)]) if values.dtype != object else {w for w in values if w is not None}
        if len(distinct) < 2 and not (len(distinct) == 1 and column.missing().any()):
            dropped[name] = "one value only" if distinct else "no values"
        elif values.dtype == object and column.kind == "text":
            if _spoiled_number(column, values, distinct):
                values = column.numbers()
            elif len(distinct) > max(50, table.rows // 2):
                dropped[name] = f"text that differs in {len(distinct):,} of {table.rows:,} rows"
                continue
            kept[name] = values
        else:
            kept[name] = values
    return kept, dropped


def _spoiled_number(column: Column, words: np.ndarray, distinct: set[str]) -> bool:
    """Whether text is numbers throughout (Parquet can store them so); raises where a few words stand among many numbers."""
    spelled = sum(as_number(w) == as_number(w) for w in distinct)
    if spelled > 10 and 0.9 * len(distinct) <= spelled < len(distinct):
        row = next(i for i, w in enumerate(words) if w is not None and as_number(w) != as_number(w))
        raise DataError(
            f"column {column.name!r} holds text where numbers belong: {words[row]!r} in row {row + 1}; correct it or leave it "
            f"empty, or pass --categorical {column.name} or --drop {column.name}"
        )
    return spelled > 10 and spelled == len(distinct) and len(distinct) > MOST_CATEGORIES


def _words(column: Column, known: Sequence[str]) -> np.ndarray:
    words = column.texts()
    if set(known) <= {"true", "false", MISSING}:  # booleans, which other files spell True or TRUE
        words = np.array([*(w if w is None else w.lower() for w in words), None], object)[:-1]
    return words


def _most_frequent(words: np.ndarray) -> list[str]:
    counts = Counter(MISSING if w is None else w for w in words)
    return sorted(w for w, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_CATEGORIES])


def _as_floats(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float64)


def _count(n: int, thing: str) -> str:
    return f"{n:,} {thing}" + ("" if n == 1 else "s")
