"""`retrograde explain`: one forward and one backward pass, as a table and as a page; of a row of a table, or of the toy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retrograde import explore
from retrograde.cli.answer import Answer
from retrograde.cli.network import choose
from retrograde.cli.places import check_out
from retrograde.cli.predicting import load_table_model, prediction_columns, read_for_model
from retrograde.cli.preprocess import Preprocessor
from retrograde.cli.scores import outputs
from retrograde.cli.target import Target
from retrograde.cli.toy import PARAMETERS, X, Y, chain
from retrograde.errors import DataError
from retrograde.explore.describe import number
from retrograde.explore.record import Record
from retrograde.io.tables import Table, did_you_mean
from retrograde.nn.losses import cross_entropy, mse

IN_PYTHON = (
    "; in Python: net = rg.load({path!r}); rg.explore(lambda net, x, y: nn.losses.cross_entropy(net(x), y))(net, x, y)"
    ".save('explain.html'), with x and y as the network was trained on"
)


def explain(model: str | None, table: str | None, *, row: int, toy: bool, out: str, open_it: bool, lang: str | None) -> Answer:
    """Write the page, and answer with the chain; `row` counts from 1."""
    language = choose("--lang", lang, {"en": "en", "ko": "ko"}) if lang is not None else None
    check_out(out)
    if toy:
        if model is not None or table is not None:
            raise DataError("--toy takes neither a model nor a table")
        return _answer_with(of_toy(), {}, {}, out, open_it, language)
    if model is None or table is None:
        raise DataError(
            "explain takes a model and a table with the row to look into, like: retrograde explain model.safetensors houses.csv "
            "--row 3; or --toy"
        )
    record, columns, facts = of_row(model, table, row)
    return _answer_with(record, columns, facts, out, open_it, language)


def of_toy() -> Record:
    """The record of the textbook's chain."""
    return explore(chain)(PARAMETERS, X, Y)


def of_row(model: str, path: str, row: int) -> tuple[Record, dict[str, list[str]], dict[str, Any]]:
    """The record of a row's loss, names for its columns, and what is known of the row."""
    net, target, preprocessor = load_table_model(model, IN_PYTHON.format(path=model))
    table = read_for_model(path, target, preprocessor)
    place = _place(table, row)
    answer = _answer(table, target, place)
    x = preprocessor.transform({name: values[place : place + 1] for name, values in preprocessor.read(table).items()})
    record = explore(_classes if target.task == "classification" else _number)(net, x, target.encode(answer))
    prediction = prediction_columns(target, outputs(net, x))["prediction"][0].as_py()
    facts = {"model": model, "table": path, "row": row, "target": target.name}
    facts |= {"answer": _plain(answer[0]), "prediction": _plain(prediction)}
    said = prediction if target.task == "classification" else f"{prediction:.6g}"
    record.title = f"row {row} of {Path(path).name}: {target.name} is {answer[0]}, predicted {said}"
    return record, _columns(record, target, preprocessor), facts


def _classes(net: Any, x: Any, y: Any) -> Any:
    return cross_entropy(net(x), y)


def _number(net: Any, x: Any, y: Any) -> Any:
    return mse(net(x), y)


def _plain(x: Any) -> Any:
    return number(x) if isinstance(x, float) else x


def _place(table: Table, row: int) -> int:
    if not 1 <= row <= table.rows:
        raise DataError(f"--row {row}: {table.path} has rows 1 to {table.rows:,}")
    return row - 1


def _answer(table: Table, target: Target, place: int) -> np.ndarray:
    """The row's value of the target, which the loss compares with."""
    needed = f"the loss compares the prediction with it: explain takes a row with a known {target.name}"
    if target.name not in table.columns:
        raise DataError(f"{table.path} has no column {target.name!r}; {needed}{did_you_mean(target.name, list(table.columns))}")
    column = table.columns[target.name]
    known = np.flatnonzero(~column.missing())
    if place not in known:
        other = f", such as row {known[0] + 1}" if len(known) else ""
        raise DataError(f"row {place + 1} of {table.path} has no value of the target {target.name!r}; {needed}{other}")
    return target.values(column.take(np.array([place])))


def _columns(record: Record, target: Target, preprocessor: Preprocessor) -> dict[str, list[str]]:
    """Features beside the input and the weights that read it; classes beside the output."""
    features, last = preprocessor.feature_names, record.steps[-1].reads[0]
    names = [str(c) for c in target.classes] if target.task == "classification" else [target.name]
    return {"x": features, "Ω0": features, last: names}


def _answer_with(
    record: Record, columns: Mapping[str, Sequence[str]], facts: Mapping[str, Any], out: str, open_it: bool, language: str | None
) -> Answer:
    path = record.save(out, columns=columns, language=language, open=open_it)
    diagnosis = record.diagnose(language or "en")

    def tell() -> None:
        from rich.console import Console

        console = Console(highlight=False, soft_wrap=True)
        console.print(record.table())
        for sentence in diagnosis:
            console.print(f"- {sentence}", markup=False)
        console.print(f"{path}: both passes, step by step, for a browser", markup=False)

    found = record.to_dict() | {"diagnosis": diagnosis}
    return Answer({**facts, "page": str(path), "columns": columns, "record": found}, tell)
