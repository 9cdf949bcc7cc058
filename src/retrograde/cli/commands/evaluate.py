"""`retrograde evaluate`: its options and help; the work is in `retrograde.cli.evaluating`."""

from __future__ import annotations

from typing import Annotated

import typer

from retrograde.cli import completing
from retrograde.cli.answer import Answer
from retrograde.cli.commands.shared import Json, Model


def evaluate(
    model: Model,
    table: Annotated[str, typer.Argument(metavar="TABLE", help="CSV, TSV or Parquet file with the target's column, too.")],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Also this, by scikit-learn's name: [cyan]roc_auc[/]. Repeatable.", autocompletion=completing.metrics
        ),
    ] = None,
    json: Json = False,
) -> Answer:
    """Score a model on a table whose answers are known.

    Of classes: accuracy, cross-entropy, how far confidence is from accuracy (the
    expected calibration error), precision, recall and F1 of each class, and the
    confusion matrix. Of numbers: R², root mean square, mean, median and largest
    error, in the target's units. Always beside them: what guessing the training's
    most frequent class, or its mean, reaches.

    [bold]Examples[/bold]
    retrograde evaluate model.safetensors test.csv
    retrograde evaluate model.safetensors test.csv --metric roc_auc --json
    """
    from retrograde.cli.evaluating import evaluate_table

    return evaluate_table(model, table, metric or [])
