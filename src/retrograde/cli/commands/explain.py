"""`retrograde explain`: its options and help; the work is in `retrograde.cli.explaining`."""

from __future__ import annotations

from typing import Annotated

import typer

from retrograde.cli.answer import Answer
from retrograde.cli.commands.shared import Json


def explain(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="A file that [cyan]retrograde train[/] wrote.", show_default=False)
    ] = None,
    table: Annotated[
        str | None, typer.Argument(metavar="[TABLE]", help="A table that has the target of the row, too.", show_default=False)
    ] = None,
    row: Annotated[int, typer.Option(help="Which row, from 1.")] = 1,
    toy: Annotated[bool, typer.Option("--toy", help="The textbook's chain of eight parameters, without a table.")] = False,
    out: Annotated[str, typer.Option("--out", "-o", help="Where the page goes.")] = "explain.html",
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    lang: Annotated[str | None, typer.Option(help="Language of the page and of the diagnosis: en or ko.")] = None,
    json: Json = False,
) -> Answer:
    """Look into backpropagation for one row of a table.

    Runs the network forward on the row and the loss backward, prints each step
    with its formula and number, and writes a page to walk through both passes
    in a browser: one HTML file that needs neither a network nor Python.

    [bold]Examples[/bold]
    retrograde explain --toy --open
    retrograde explain model.safetensors houses.csv --row 3
    retrograde explain model.safetensors houses.csv --row 3 --lang ko --out run.html
    """
    from retrograde.cli.explaining import explain

    return explain(model, table, row=row, toy=toy, out=out, open_it=open_it, lang=lang)
