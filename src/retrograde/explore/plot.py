"""The record drawn by matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from retrograde.explore.diagnose import dead_units
from retrograde.explore.tables import norm

if TYPE_CHECKING:
    from retrograde.explore.record import Record


def figure(record: Record, rate: float | None) -> Any:
    """Four axes: norms of values and cotangents by step; gradients or updates over weights; cotangents; units that are 0."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("plotting needs matplotlib: pip install 'retrograde[plot]'") from None
    made = Figure(figsize=(11, 7), layout="constrained")
    by_step, ratios, histogram, dead = made.subplots(2, 2).ravel()
    _norms(by_step, record)
    _ratios(ratios, record, rate)
    _histograms(histogram, record)
    _dead(dead, record)
    return made


def _norms(ax: Any, record: Record) -> None:
    steps = [s for s in record.steps if s.cotangent is not None]
    places = np.arange(len(steps))
    ax.plot(places, [norm(s.value) for s in steps], "o-", label="value")
    ax.plot(places, [norm(s.cotangent) for s in steps], "s--", label="cotangent")
    ax.set_xticks(places, [s.symbol.text for s in steps], rotation=90 if len(steps) > 12 else 0)
    ax.set(yscale="log", title="norm by step")
    ax.legend()


def _ratios(ax: Any, record: Record, rate: float | None) -> None:
    """A step of gradient descent of this rate, as a share of the parameter's norm: about 1e-3 is usual."""
    heights = [norm(p.cotangent) for p in record.parameters]
    if rate is not None:
        heights = [rate * h / w if (w := norm(p.value)) else np.nan for h, p in zip(heights, record.parameters)]
    places = np.arange(len(heights))
    ax.bar(places, heights)
    ax.set_xticks(places, [p.symbol.text for p in record.parameters], rotation=90 if len(heights) > 12 else 0)
    ax.set_title("norm of the gradient" if rate is None else f"update over weight at rate {rate:g}")
    if any(h > 0 for h in heights):
        ax.set_yscale("log")


def _histograms(ax: Any, record: Record) -> None:
    for step in record.steps:
        ct = None if step.cotangent is None else np.abs(np.asarray(step.cotangent)).astype(np.float64).ravel()
        if ct is not None and ct.size > 1 and np.isfinite(ct).all() and ct.any():
            counts, edges = np.histogram(np.log10(ct[ct > 0]), bins=min(30, max(5, ct.size // 4)))
            ax.stairs(counts / ct.size, edges, label=step.symbol.text)
    ax.set(title="size of cotangents", xlabel="log10 |dl/d·|", ylabel="share")
    if ax.get_legend_handles_labels()[0]:
        ax.legend()


def _dead(ax: Any, record: Record) -> None:
    steps = {step.name: step for step in record}
    found = {s.symbol.text: counts[0] / counts[1] for s in record.steps if (counts := dead_units(s, steps)) is not None}
    ax.bar(list(found), list(found.values()))
    ax.set(title="units of ReLUs that are 0 for all examples", ylabel="share", ylim=(0, 1))


__all__ = ["figure"]
