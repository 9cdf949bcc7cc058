"""The record as a table in the terminal."""

from __future__ import annotations

import io
import shutil
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from retrograde.explore.record import Record
    from retrograde.explore.step import Step

WIDEST = 160  # characters of a formula
WIDTH = 130  # of a line where no terminal says how many there are


def norm(value: Any) -> float:
    """Euclidean (Frobenius) norm."""
    return float(np.sqrt(np.sum(np.square(np.abs(np.asarray(value)), dtype=np.float64))))


def size_text(shape: tuple[int, ...]) -> str:
    """3 × 4, or "number"."""
    return " × ".join(map(str, shape)) or "number"


def number_text(value: Any) -> str:
    """A single number to three decimals, as a textbook prints it (in powers of ten where that shows nothing); else the norm."""
    array = np.asarray(value)
    if array.size != 1:
        return f"‖·‖ {norm(array):.4g}"
    number = array.item()
    if isinstance(number, complex):
        return f"{_decimal(number.real)} {'-' if number.imag < 0 else '+'} {_decimal(abs(number.imag))}i"
    return _decimal(number)


def _decimal(number: float) -> str:
    return f"{number:.3f}" if number == 0 or 5e-4 <= abs(number) < 1e6 else f"{number:.3e}"


def rows(record: Record) -> list[tuple[str, str, Any, bool]]:
    """Name, formula, value and whether it belongs to the backward pass, in the order in which they are computed."""
    found = [(step.symbol.text, step.formula.text, step.value, False) for step in record.steps]
    start = record._by_name.get("h0")
    if start is not None and start.kind == "input":
        found.insert(0, ("h0", start.name, start.value, False))
    pending = list(record.parameters)
    for step in reversed(record.steps):
        if step.cotangent is None:
            continue
        if step.name != record.loss_name:
            found.append(_backward_row(record, step))
        for parameter in parameters_of(record, step):
            found.append(_backward_row(record, parameter))
            pending.remove(parameter)
    found += [_backward_row(record, parameter) for parameter in pending]
    return found


def parameters_of(record: Record, step: Step) -> list[Step]:
    """The parameters that a step is the first to read, biases in front: whose derivatives drop out at its cotangent."""
    mine = [p for p in record.parameters if p.readers and p.readers[0] == step.name]
    return sorted(mine, key=lambda p: p.shape != step.shape[len(step.shape) - len(p.shape) :])


def _backward_row(record: Record, step: Step) -> tuple[str, str, Any, bool]:
    formula = step.backward.text if step.backward is not None else "0"
    return record.derivative(step).text, formula, step.cotangent, True


def record_table(record: Record, title: str | None = None) -> Any:
    """Forward, then backward: name, formula, shape, and the number or the norm."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    title = f"{record.title}: {record.loss_name} = {record.loss:.6g}" if title is None else title
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for heading in ("name", "formula", "shape", "value"):
        table.add_column(
            heading, justify="left" if heading in ("name", "formula") else "right", no_wrap=heading != "formula", overflow="fold"
        )
    before = False
    for name, formula, value, backward in rows(record):
        if backward and not before:
            table.add_section()
        before = backward
        shown = formula if len(formula) <= WIDEST else formula[: WIDEST - 1] + "…"
        table.add_row(Text(name), Text(shown), size_text(np.shape(value)), number_text(value))
    return table


def as_text(table: Any) -> str:
    """A rich table as plain text, no wider than the terminal where there is one."""
    from rich.console import Console

    file = io.StringIO()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH
    Console(file=file, width=width, color_system=None, force_terminal=False, legacy_windows=False).print(table)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()).rstrip()


__all__ = ["as_text", "norm", "number_text", "parameters_of", "record_table", "rows", "size_text"]
