"""The progress of a run in the terminal (rich), imported only when wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

BAR = 8  # columns


@contextmanager
def progress_bar(
    wanted: bool, epochs: int, modes: Mapping[str, str | None], monitor: str | None
) -> Iterator[Callable[[int, dict[str, Any], float], None]]:
    """Yields `show(epochs done, history, updates per second)`; one line as wide as the terminal, of as many figures as it takes.

    The loss, the monitored figure and the validation loss come first. Of many starts the best is shown, by the columns' modes.
    """
    if not wanted:
        yield lambda done, history, speed: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    figures = TextColumn("{task.fields[figures]}")
    columns = (TextColumn("epoch"), MofNCompleteColumn(), BarColumn(bar_width=BAR), figures, TimeRemainingColumn(compact=True))
    with Progress(*columns) as bar:
        task = bar.add_task("epochs", total=epochs, figures="")
        room = bar.console.width - len(f"epoch {epochs}/{epochs}  ") - BAR - len(" --:--:--")

        first = ["loss", monitor, "val_loss"]

        def show(done: int, history: dict[str, Any], speed: float) -> None:
            told, pace = "", f"{_thousands(speed)} upd/s"
            shown = [name for name in history if name in modes]  # what is watched is not
            for name in sorted(shown, key=lambda name: first.index(name) if name in first else len(first)):
                best = np.nanmax if modes[name] == "max" else np.nanmin
                figure = f"{_short(name)} {best(history[name][..., -1]):.3g}"
                if len(told) + len(figure) + len(pace) <= room:
                    told += f"{figure} "
            bar.update(task, completed=done, figures=told + pace)

        yield show


def _short(name: str) -> str:
    """Figures of validation points lose their prefix; metrics of training points have one."""
    if name in ("loss", "val_loss"):
        return name.removesuffix("_loss")
    short = name.removeprefix("val_").replace("accuracy", "acc")
    return short if name.startswith("val_") else f"train_{short}"


def _thousands(x: float) -> str:
    """1234567 as 1.23M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if x >= size:
            return f"{x / size:.3g}{letter}"
    return f"{x:.3g}"
