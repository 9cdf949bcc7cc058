"""The record drawn by matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from retrograde.explore.diagnose import dead_units
from retrograde.explore.tables import norm

if TYPE_CHECKING:
    from retrograde.explore.record import Record

NAMED = 32  # steps of a plot that have their name below them


def figure(record: Record, rate: float | None) -> Any:
    """Four axes: norms of values and cotangents by step; gradients or updates over weights; cotangents; units that are 0."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("plotting needs matplotlib: pip install 'retrograde[plot]'") from None
    made = Figure(figsize=(11, 7), layout="constrained")
    by_step, ratios, sizes, dead = made.subplots(2, 2).ravel()
    _norms(by_step, record)
    _ratios(ratios, record, rate)
    _sizes(sizes, record)
    _dead(dead, record)
    return made


def _norms(ax: Any, record: Record) -> None:
    steps = [s for s in record.steps if s.cotangent is not None]
    places = np.arange(len(steps))
    ax.plot(places, [norm(s.value) for s in steps], "o-", markersize=4, label="value")
    ax.plot(places, [norm(s.cotangent) for s in steps], "s--", markersize=4, label="cotangent")
    _label(ax, [s.symbol.text for s in steps])
    ax.set(yscale="log", title="norm by step")
    ax.legend()


def _label(ax: Any, names: list[str]) -> None:
    """Names below the places 0, 1, ...: every so many where they are too many, upright where they are too long."""
    places = np.arange(0, len(names), max(1, -(-len(names) // NAMED)))
    upright = len(places) > 12 or max(map(len, names), default=0) > 6
    ax.set_xticks(places, [names[i] for i in places], rotation=90 if upright else 0)


def _ratios(ax: Any, record: Record, rate: float | None) -> None:
    """A step of gradient descent of this rate, as a share of the parameter's norm: about 1e-3 is usual."""
    heights = [norm(p.cotangent) for p in record.parameters]
    if rate is not None:
        heights = [rate * h / w if (w := norm(p.value)) else np.nan for h, p in zip(heights, record.parameters)]
    ax.bar(np.arange(len(heights)), heights)
    _label(ax, [p.symbol.text for p in record.parameters])
    ax.set_title("norm of the gradient" if rate is None else f"update over weight at rate {rate:g}")
    if any(h > 0 for h in heights):
        ax.set_yscale("log")


def _sizes(ax: Any, record: Record) -> None:
    """From step to step, between which sizes most elements of the cotangent lie; zeros are left out."""
    sizes = [(s.symbol.text, np.abs(np.asarray(s.cotangent)).ravel()) for s in record.steps if s.cotangent is not None]
    found = [(name, np.quantile(some, (0.05, 0.5, 0.95))) for name, x in sizes if (some := x[np.isfinite(x) & (x > 0)]).size]
    ax.set_title("size of the cotangents' elements by step")
    if not found:
        return
    low, middle, high = np.transpose([quantiles for _, quantiles in found])
    places = np.arange(len(found))
    ax.vlines(places, low, high, linewidth=4, alpha=0.4, label="5% to 95%")
    ax.plot(places, middle, "o", markersize=4, label="median")
    _label(ax, [name for name, _ in found])
    ax.set(yscale="log", ylabel="|dl/d·|")
    ax.legend()


def _dead(ax: Any, record: Record) -> None:
    steps = {step.name: step for step in record}
    found = {s.symbol.text: counts[0] / counts[1] for s in record.steps if (counts := dead_units(s, steps)) is not None}
    ax.bar(np.arange(len(found)), list(found.values()))
    _label(ax, list(found))
    ax.set(title="units of ReLUs that are 0 for all examples", ylabel="share", ylim=(0, 1))
    if not any(found.values()):
        said = "none" if found else "no ReLU"
        ax.text(0.5, 0.5, said, transform=ax.transAxes, ha="center", va="center", color="gray")


__all__ = ["figure"]
