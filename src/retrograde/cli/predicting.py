"""`retrograde predict`: from a model file and a table to predictions."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa

from retrograde.cli.answer import Answer
from retrograde.cli.network import softmax
from retrograde.cli.preprocess import MISSING, Preprocessor
from retrograde.cli.scores import in_units, outputs, score
from retrograde.cli.target import Target
from retrograde.cli.training import KIND
from retrograde.errors import DataError, ModelFileError
from retrograde.io.tables import Table, is_parquet, read_table


def predict_table(model: str, path: str, out: str | None) -> Answer:
    """Predictions for the rows of the table at `path`, written to `out` if given; see the command's help for the columns."""
    net, target, preprocessor = load_table_model(model)
    if out is not None and not Path(out).parent.is_dir():
        raise DataError(f"--out {out}: there is no folder {Path(out).parent}")
    table = read_for_model(path, target, preprocessor)
    output = outputs(net, preprocessor.transform(preprocessor.read(table)))
    found = prediction_columns(target, output)
    if out is not None:
        _write(found, out)
    known = _score(table, target, output)

    def tell() -> None:
        if out is None:
            _write_csv(found, sys.stdout)
        if known is not None:
            print(known[0], file=sys.stderr)
        if out is not None:
            print(f"{table.rows:,} predictions saved to {out}", file=sys.stderr)

    data: dict[str, Any] = {"rows": table.rows, "out": out, "scores": known[1] if known else None}
    return Answer(data | ({} if out is not None else {"columns": found.to_pydict()}), tell)


def read_for_model(path: str, target: Target, preprocessor: Preprocessor) -> Table:
    """The table at `path`, its columns of the kinds that the model was trained on."""
    known = preprocessor.categories | ({target.name: target.classes} if target.classes else {})
    words = [n for n, c in known.items() if isinstance(c[0], str) and not set(c) <= {"true", "false", MISSING}]
    return read_table(path, text=words)


def known_rows(table: Table, target: Target, needed: str) -> np.ndarray:
    """The rows with a value of the target; raises `DataError` where there is none, saying what it is `needed` for."""
    rows = np.flatnonzero(~table.column(target.name).missing())
    if not len(rows):
        raise DataError(f"{table.path}: no row has a value of {target.name!r}{needed}")
    return rows


def load_table_model(path: str, otherwise: str = "") -> tuple[Any, Target, Preprocessor]:
    """The network of a model file, what it predicts, and how it reads a table.

    Raises `ModelFileError` for a file that is missing, cut short, not a model, or whose parts do not belong together; for a
    network without a table it ends in what to do `otherwise`.
    """
    from retrograde.io.model_file import load

    return as_table_model(path, *load(path), otherwise)


def as_table_model(path: str, net: Any, extra: Any, otherwise: str = "") -> tuple[Any, Target, Preprocessor]:
    """As `load_table_model`, of what was loaded."""
    if not isinstance(extra, dict) or extra.get("kind") != KIND:
        missing = "a network but not how to read a table; only `retrograde train` writes that"
        raise ModelFileError(f"{path} holds {missing}{otherwise}")
    target, preprocessor = Target.from_json(extra.get("target")), Preprocessor.from_json(extra.get("preprocessor"))
    try:
        shape = np.shape(net(np.zeros((1, preprocessor.width), np.float32)))
    except (ValueError, TypeError) as error:
        raise ModelFileError(f"{path}: the network does not take its table's {preprocessor.width} features: {error}") from None
    if shape != (1, target.outputs):
        raise ModelFileError(f"{path}: the network gives {shape[-1]} outputs, its target needs {target.outputs}")
    return net, target, preprocessor


def prediction_columns(target: Target, output: np.ndarray) -> pa.Table:
    """What the network's output says, in the target's own terms: `prediction`, and the classes' probabilities."""
    if target.task == "regression":
        return pa.table({"prediction": in_units(target, output)})
    p = softmax(output)
    names = ["prediction", *(f"p_{c}" for c in target.classes)]
    return pa.table([pa.array([target.classes[i] for i in p.argmax(1)]), *(pa.array(column) for column in p.T)], names=names)


def _write(found: pa.Table, out: str) -> None:
    if is_parquet(out):
        from pyarrow import parquet

        parquet.write_table(found, out)
    else:
        with open(out, "w", newline="", encoding="utf-8") as stream:
            _write_csv(found, stream)


def _write_csv(found: pa.Table, stream: TextIO) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(found.column_names)
    writer.writerows(zip(*(column.to_pylist() for column in found.columns)))
    stream.flush()  # so that a reader who has left a pipe is noticed here


def _score(table: Table, target: Target, output: np.ndarray) -> tuple[str, dict[str, float]] | None:
    """Where the table knows the answers, a line and figures of how good the predictions are; else None.

    A target that cannot be read is no obstacle: the line says so.
    """
    if target.name not in table.columns:
        return None
    column = table.columns[target.name]
    known = ~column.missing()
    if not known.any():
        return None
    try:
        line, figures = score(target, output[known], target.values(column.take(np.flatnonzero(known))))
    except DataError as error:
        return f"no score: {error}", {}
    return f"on {int(known.sum()):,} rows with a known {target.name}: {line}", figures
