"""What a command answers: an object for scripts, the same in words for people, and an exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from retrograde.io.jsonable import jsonable


@dataclass(frozen=True)
class Answer:
    """`data` is JSON-able, but for NumPy's numbers and NaN; `tell()` prints it for people."""

    data: dict[str, Any]
    tell: Callable[[], None]
    code: int = 0

    def show(self, as_json: bool) -> int:
        """Print one or the other on stdout; returns the exit code."""
        if as_json:
            print(to_json(self.data))
        else:
            self.tell()
        return self.code


def to_json(data: Any) -> str:
    """One line of JSON; what is not finite is null, for JSON has no word for it."""
    return json.dumps(jsonable(data), allow_nan=False, ensure_ascii=False)


def print_pairs(pairs: list[tuple[str, str]]) -> None:
    """Names and texts in two columns."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    width = max(len(name) for name, _ in pairs)
    for name, text in pairs:
        console.print(f"{name:<{width}}  {text}", markup=False)


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """A table of texts: the first column to the left, numbers to the right."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False, soft_wrap=True).print(table)
