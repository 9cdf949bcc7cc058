"""The progress of a run in the terminal (rich), imported only when wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


@contextmanager
def progress_bar(wanted: bool, epochs: int) -> Iterator[Callable[[int, dict[str, Any], float], None]]:
    """Yields `show(epochs done, history, updates per second)`; one line of at most 80 columns."""
    if not wanted:
        yield lambda done, history, speed: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    figures = TextColumn("{task.fields[figures]}")
    columns = (TextColumn("epoch"), MofNCompleteColumn(), BarColumn(bar_width=12), figures, TimeRemainingColumn(compact=True))
    with Progress(*columns) as bar:
        task = bar.add_task("epochs", total=epochs, figures="")

        def show(done: int, history: dict[str, Any], speed: float) -> None:
            figures = " ".join(f"{_SHORT.get(name, name)} {np.nanmin(values[..., -1]):.3g}" for name, values in history.items())
            bar.update(task, completed=done, figures=f"{figures} {_thousands(speed)} updates/s")

        yield show


_SHORT = {"val_loss": "val", "val_accuracy": "acc"}


def _thousands(x: float) -> str:
    """1234567 as 1.23M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if x >= size:
            return f"{x / size:.3g}{letter}"
    return f"{x:.3g}"
