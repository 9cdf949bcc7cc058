"""`retrograde check`: its options and help; the work is in `retrograde.cli.checking`."""

from __future__ import annotations

from typing import Annotated

import typer

from retrograde.cli.answer import Answer
from retrograde.cli.commands.shared import Input, Json, Network


def check(
    model: Network,
    table: Annotated[
        str | None, typer.Argument(metavar="[TABLE]", help="Rows with known answers; by default points are drawn at random.")
    ] = None,
    rows: Annotated[int, typer.Option(help="Rows that finite differences are taken for.")] = 8,
    shape: Input = "",
    seed: Annotated[int, typer.Option(help="Of the rows, and of the elements that are compared.")] = 0,
    json: Json = False,
) -> Answer:
    """Check a model's gradient against finite differences, and its health.

    Every operation's derivative is compared with central differences in
    float64, and the gradient as a whole along a random direction. Then one
    backward pass is looked at: numbers that are NaN or infinite, parameters
    that no derivative reaches, dead or saturated units, derivatives that vanish
    or explode, features of odd scale. The exit code is 1 where the gradient is
    off, where a number is not finite or where a parameter cannot learn.

    [bold]Examples[/bold]
    retrograde check model.safetensors houses.csv
    retrograde check lenet.safetensors --input 1,28,28
    """
    from retrograde.cli.checking import check_model

    return check_model(model, table, rows, shape, seed)
