"""`Basins`: the starts of a run, grouped by the score they ended in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from retrograde.train.run import Run

BAR = 24  # columns of the longest bar
SEEDS = 8  # shown of each basin


@dataclass(frozen=True)
class Basin:
    """Starts that ended in about the same score, best first."""

    runs: tuple[Run, ...] = field(repr=False)

    @property
    def scores(self) -> np.ndarray:
        """One a start, rising."""
        return np.array([run.score for run in self.runs])

    @property
    def seeds(self) -> list[int]:
        """That of each start."""
        return [run.seed for run in self.runs]

    def __len__(self) -> int:
        return len(self.runs)


@dataclass(frozen=True)
class Basins:
    """All basins, best first, and the runs that `diverged`: whose score is not finite.

    Scores are sorted; where one is above the one before by more than atol + rtol |score|, a new basin begins (single linkage).
    That is a statement about losses alone: two networks of one basin have much the same loss; they need not be the same function,
    let alone have the same weights.
    """

    found: tuple[Basin, ...]
    diverged: tuple[Run, ...] = field(repr=False)
    rtol: float
    atol: float

    def __len__(self) -> int:
        return len(self.found)

    def __iter__(self) -> Iterator[Basin]:
        return iter(self.found)

    def __getitem__(self, i: int) -> Basin:
        return self.found[i]

    @property
    def scores(self) -> np.ndarray:
        """Of all starts that did not diverge, rising."""
        return np.concatenate([np.zeros(0), *(basin.scores for basin in self.found)])

    def __str__(self) -> str:
        starts = len(self.scores) + len(self.diverged)
        groups = [(f"{b.scores[0]:.6g} to {b.scores[-1]:.6g}", b.runs) for b in self.found]
        groups += [("diverged", self.diverged)] if self.diverged else []
        most = max(len(runs) for _, runs in groups)
        width = max(len(words) for words, _ in groups)
        lines = [f"{starts:,} starts in {len(self):,} basins{f', {len(self.diverged):,} diverged' if self.diverged else ''}"]
        if len(self.scores):
            lines[0] += f"; scores from {self.scores[0]:.6g} to {self.scores[-1]:.6g}, the median {np.median(self.scores):.6g}"
        for words, runs in groups:
            bar = "█" * max(1, round(BAR * len(runs) / most))
            seeds = ", ".join(str(run.seed) for run in runs[:SEEDS]) + (", ..." if len(runs) > SEEDS else "")
            lines.append(f"{words:<{width}}  {bar:<{BAR}}  {len(runs):>5,}  seeds {seeds}")
        return "\n".join(lines)


def basins_of(runs: tuple[Run, ...], rtol: float, atol: float) -> Basins:
    """The basins of these runs."""
    ranked = sorted((run for run in runs if np.isfinite(run.score)), key=lambda run: run.score)
    scores = np.array([run.score for run in ranked])
    begins = [0, *(1 + np.flatnonzero(np.diff(scores) > atol + rtol * np.abs(scores[1:])))] if ranked else []
    found = tuple(Basin(tuple(ranked[a:b])) for a, b in zip(begins, [*begins[1:], len(ranked)]))
    return Basins(found, tuple(run for run in runs if not np.isfinite(run.score)), rtol, atol)
