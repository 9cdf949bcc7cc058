"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object to stdout, and nothing else there.", rich_help_panel="Output")
]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A file that [cyan]retrograde train[/] wrote.")]
Network = Annotated[
    str, typer.Argument(metavar="MODEL", help="A file that [cyan]retrograde train[/] or [cyan]rg.save[/] wrote.")
]
Input = Annotated[
    str, typer.Option("--input", help="Shape of one point, like [cyan]3,32,32[/], where the network does not tell.")
]
