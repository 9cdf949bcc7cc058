"""`retrograde predict`: its options and help; the work is in `retrograde.cli.predicting`."""

from __future__ import annotations

from typing import Annotated

import typer

from retrograde.cli.answer import Answer
from retrograde.cli.commands.shared import Json, Model


def predict(
    model: Model,
    table: Annotated[str, typer.Argument(metavar="TABLE", help="CSV, TSV or Parquet file with the columns of the training.")],
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="Where the predictions go (.csv or .parquet); by default to stdout as CSV.")
    ] = None,
    json: Json = False,
) -> Answer:
    """Predict the target for each row of a table, in the order of its rows.

    A classification gives the column [cyan]prediction[/] and one probability a
    class ([cyan]p_yes[/], [cyan]p_no[/]); a regression gives
    [cyan]prediction[/] in the target's own units. Other columns are ignored;
    where the table has the target too, the score is told on stderr. Categories
    never seen in training count as none of the known ones.

    [bold]Examples[/bold]
    retrograde predict model.safetensors new.csv --out predictions.csv
    retrograde predict model.safetensors new.parquet | head
    """
    from retrograde.cli.predicting import predict_table

    return predict_table(model, table, out)
