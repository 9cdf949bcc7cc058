"""`Trial` and `Sweep`: what a sweep tried, ranked; and its file."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrograde.errors import ModelError, ModelFileError
from retrograde.io.atomic import replace_file
from retrograde.io.jsonable import jsonable
from retrograde.train.space import Parameters, as_json, shown

if TYPE_CHECKING:
    from retrograde.train.run import Run

FORMAT = "retrograde-sweep-1"
FAILED = ("diverged", "failed")  # without a score


@dataclass(frozen=True)
class Trial:
    """One call of the function: its parameters, its seed, and the score it came to, the lower the better (NaN: none).

    state: "done"; "pruned", stopped early because others were ahead; "diverged", whose score is not finite; "failed", whose
    `error` says why; "interrupted" by Ctrl-C. `figures` are those of the history for the parameters kept. `run` is None where the
    function returned a number, where the trial was read from a file, and, without keep_runs, of all but the best.
    """

    number: int
    parameters: Parameters
    seed: int
    score: float = math.nan
    state: str = "done"
    epochs: int = 0
    seconds: float = 0.0
    figures: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None
    curve: tuple[float, ...] = field(default=(), repr=False)  # what the pruner was told, an epoch each
    run: Run | None = field(default=None, repr=False, compare=False)

    def row(self) -> dict[str, Any]:
        """As a flat row: parameters are `param_<name>`, as in scikit-learn's searches."""
        of_parameters = {f"param_{name}": shown(value) for name, value in self.parameters.items()}
        return {
            "trial": self.number, "score": self.score, **of_parameters, **self.figures, "epochs": self.epochs,
            "seconds": self.seconds, "seed": self.seed, "state": self.state, "error": self.error,
        }  # fmt: skip


@dataclass(frozen=True)
class Sweep:
    """All trials in the order they were made; prints as a table of the best."""

    trials: tuple[Trial, ...]
    interrupted: bool = False

    def __len__(self) -> int:
        return len(self.trials)

    def __iter__(self) -> Iterator[Trial]:
        return iter(self.trials)

    @property
    def ranked(self) -> list[Trial]:
        """Best first: those that were done by their score, then those that were stopped early, then those without a score."""
        return sorted(self.trials, key=lambda t: (t.state != "done", not math.isfinite(t.score), t.score, t.number))

    @property
    def best(self) -> Trial:
        """The trial that was done with the lowest score. Raises `ModelError` if there is none."""
        first = next(iter(self.ranked), None)
        if first is None or first.state != "done":
            why = next((f"; trial {t.number}: {t.error}" for t in self.trials if t.error), "")
            raise ModelError(f"of {len(self.trials)} trials none was done{why}")
        return first

    def to_frame(self) -> Any:
        """All trials, best first, as a pandas DataFrame."""
        try:
            import pandas as pd
        except ImportError:
            raise ImportError("to_frame makes a table of pandas: pip install pandas") from None
        return pd.DataFrame([trial.row() for trial in self.ranked])

    def table(self, most: int | None = None) -> Any:
        """The best `most` trials (None: all) as a table of rich, which its console prints."""
        from rich import box
        from rich.table import Table

        rows = [trial.row() for trial in self.ranked[:most]]
        names = list(dict.fromkeys(name for row in rows for name in row if name not in ("seed", "error")))
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in names:
            table.add_column(name.removeprefix("param_"), justify="left" if name == "state" else "right", no_wrap=True)
        for row in rows:
            table.add_row(*(_cell(row.get(name, "")) for name in names))
        return table

    def __str__(self) -> str:
        from rich.console import Console

        text = io.StringIO()
        Console(file=text, width=160, color_system=None, force_terminal=False, legacy_windows=False).print(self.table(20))
        lines = [line.rstrip() for line in text.getvalue().splitlines()]
        failed = sum(trial.state in FAILED for trial in self.trials)
        head = f"{len(self):,} trials" + (f", {failed} without a score" if failed else "")
        return "\n".join([head + (", interrupted" if self.interrupted else ""), *lines]).rstrip()


class Log:
    """`sweep.jsonl` in a folder: a line that says what is swept, and a line a trial; beside it the best run so far."""

    def __init__(self, folder: Any, about: Mapping[str, Any], resume: bool):
        self.path, self.about = Path(folder) / "sweep.jsonl", json.dumps({"format": FORMAT, **about})
        self.best = Path(folder) / "best.safetensors"
        if self.path.exists() and not resume:
            raise ModelError(f"{folder} holds a sweep already: resume=True goes on with it, or choose another folder")

    def read(self) -> list[Trial]:
        """The trials of an earlier sweep of the same space; what a killed one left of its last line is taken off the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = self.path.read_text().splitlines(keepends=True) if self.path.exists() else []
        whole = [line for line in lines if line.endswith("\n")]
        if whole and whole[0].strip() != self.about:
            raise ModelError(f"{self.path} is of another sweep, {whole[0].strip()}, and this one is {self.about}; give the same "
                             "space, method and seed, or another folder")  # fmt: skip
        replace_file(self.path, "".join(whole or [self.about + "\n"]).encode())
        try:
            return [_trial(json.loads(line)) for line in whole[1:]]
        except (TypeError, ValueError, KeyError) as error:
            raise ModelFileError(f"{self.path} is damaged: {error}") from None

    def write(self, trial: Trial, best: bool) -> None:
        """Add a trial; keep its run if it is the best."""
        if best and trial.run is not None:
            trial.run.save(self.best, extra={"trial": trial.number, "parameters": as_json(trial.parameters)})
        values = {f.name: getattr(trial, f.name) for f in fields(Trial) if f.name != "run"}
        with open(self.path, "a") as file:
            file.write(json.dumps(jsonable({**values, "parameters": as_json(trial.parameters)})) + "\n")


def _trial(line: dict[str, Any]) -> Trial:
    """The trial of a line."""
    numbers = {name: math.nan if value is None else value for name, value in line["figures"].items()}
    curve = tuple(math.nan if value is None else value for value in line["curve"])
    return Trial(**{**line, "score": math.nan if line["score"] is None else line["score"], "figures": numbers, "curve": curve})


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
