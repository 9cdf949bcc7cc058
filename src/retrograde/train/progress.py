"""The progress bar of a run (rich), imported only when wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress_bar(wanted: bool, epochs: int) -> Iterator[Callable[[int, dict[str, Any], float], None]]:
    """Yields `show(epochs done, history, updates per second)`."""
    if not wanted:
        yield lambda done, history, speed: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    figures = TextColumn("{task.fields[figures]}")
    columns = (TextColumn("epoch"), MofNCompleteColumn(), BarColumn(), figures, TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("epochs", total=epochs, figures="")

        def show(done: int, history: dict[str, Any], speed: float) -> None:
            figures = "  ".join(f"{name} {values[-1]:.4g}" for name, values in history.items())
            bar.update(task, completed=done, figures=f"{figures}  {speed:,.0f} updates/s")

        yield show
