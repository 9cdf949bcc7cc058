"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object to stdout, and nothing else there.", rich_help_panel="Output")
]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A file that [cyan]retrograde train[/] wrote.")]
