"""From a table to what `fit` takes: the target, the features, and the rows that are held out for the test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrograde.cli.network import choose
from retrograde.cli.preprocess import Preprocessor, feature_columns
from retrograde.cli.scores import usual
from retrograde.cli.target import Target, infer_target, split_rows
from retrograde.errors import DataError
from retrograde.io.tables import Table, read_table

FEWEST_ROWS = 5
TASKS = {"classification": "classification", "regression": "regression"}


@dataclass(frozen=True)
class Prepared:
    """Features `x` and encoded answers `y` of the training rows; those held out have their answers in `test_values`.

    `guess` is what one would guess who knows the training's answers only; `dropped` says why columns were left out.
    """

    table: Table
    target: Target
    preprocessor: Preprocessor
    dropped: dict[str, str]
    guess: Any
    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    test_values: np.ndarray
    rows: np.ndarray  # of the training rows, in the table, from 1

    def describe(self, network: str) -> list[tuple[str, str]]:
        """What was understood of the table, by names."""
        table, target, made = self.table, self.target, self.preprocessor
        if target.task == "classification":
            shown = ", ".join(str(c) for c in target.classes[:8]) + (", ..." if len(target.classes) > 8 else "")
            answer = f"{target.name}: classification, {len(target.classes)} classes ({shown})"
        else:
            answer = f"{target.name}: regression, mean {target.mean:.4g}, standard deviation {target.scale:.4g}"
        missing = [n for n in made.names if table.columns[n].missing().any()]
        lines = [
            ("table", f"{table.path}: {table.rows:,} rows, {len(table.columns)} columns"),
            ("target", answer),
            ("numbers", _listed(made.numbers)),
            ("categories", _listed([f"{n} ({len(c)})" for n, c in made.categories.items()])),
            ("missing values", f"filled in and flagged: {_listed(missing)}" if missing else ""),
            ("left out", _listed([f"{n} ({reason})" for n, reason in self.dropped.items()]) if self.dropped else ""),
            ("network", network),
            ("rows", f"{len(self.x):,} to train on, {len(self.x_test):,} held out for the test"),
        ]
        return [(name, text) for name, text in lines if text]


def prepare(options: Mapping[str, Any]) -> Prepared:
    """Read and split the table that the command's options name; raises `DataError` where it cannot be learned from."""
    name, seed = options["target"], options["seed"]
    task = choose("--task", options["task"], TASKS) if options["task"] else None
    categorical, drop = _names(options["categorical"]), _names(options["drop"])
    table, target, columns, dropped = _understand(options["table"], name, task, categorical, drop)
    values = target.values(table.columns[name])
    train, test = split_rows(values, options["test"], seed, target.task == "classification")
    kept = {n: c[train] for n, c in columns.items()}
    preprocessor = Preprocessor.fit(kept)
    if target.task == "regression":
        target.mean, target.scale = float(values[train].mean()), float(values[train].std()) or 1.0
    return Prepared(
        table, target, preprocessor, dropped, usual(target, values[train]),
        preprocessor.transform(kept), target.encode(values[train]),
        preprocessor.transform({n: c[test] for n, c in columns.items()}), values[test], train + 1,
    )  # fmt: skip


def _understand(
    path: str, target_name: str, task: str | None, categorical: list[str], drop: list[str]
) -> tuple[Table, Target, dict[str, np.ndarray], dict[str, str]]:
    table = read_table(path, text=categorical)
    for name in [target_name, *categorical, *drop]:
        table.column(name)
    answer = table.columns[target_name]
    if task == "classification" and answer.kind in ("number", "date") and not answer.is_whole():
        table = read_table(path, text=[*categorical, target_name])  # 1.0 and 1.50 are names of classes, as they are written
    if table.rows < FEWEST_ROWS:
        raise DataError(f"{path} has {table.rows} rows; at least {FEWEST_ROWS} are needed to train and test")
    target = infer_target(table.columns[target_name], task)
    names = [n for n in table.columns if n != target_name and n not in drop]
    columns, dropped = feature_columns(table, names)
    if not columns:
        why = "; ".join(f"{n}: {reason}" for n, reason in dropped.items()) or "there is no other column"
        raise DataError(f"{path} has no column to predict {target_name!r} from ({why})")
    return table, target, columns, dropped


def _listed(names: list[str], most: int = 10) -> str:
    return (", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")) or "none"


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
