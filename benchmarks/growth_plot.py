"""The figure of `growth.py`: small multiples, log-log, an axis of growth a column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness import LIMIT

# colors of Okabe and Ito (2008), which color-blind people tell apart; markers and dashes say the same once more
LOOKS = {
    "retrograde": ("retrograde", {"color": "#0072B2", "marker": "o", "linewidth": 1.8, "zorder": 3}),
    "jax-scan": ("JAX, lax.scan", {"color": "#D55E00", "marker": "s", "linewidth": 1.2, "linestyle": "--", "zorder": 2}),
    LIMIT: ("limit of this machine", {"color": "#444444", "linewidth": 1.2, "linestyle": ":", "zorder": 1}),
}


def draw(figures: dict[str, list[dict[str, Any]]], names: Sequence[str], path: Path) -> None:
    """`figures` are those of each axis, by its words; above the time of an update, below operations by time."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plain = {"font.size": 9, "svg.hashsalt": "retrograde", "axes.spines.top": False, "axes.spines.right": False}
    with plt.rc_context(plain):
        count = len(figures)
        figure, axes = plt.subplots(2, count, figsize=(3.1 * count, 5.6), sharex="col", sharey="row", squeeze=False)
        for column, (words, found) in enumerate(figures.items()):
            top, bottom = axes[:, column]
            parameters = names[column] == "parameters"
            x = [one["parameters"] if parameters else one["n"] for one in found]
            for name, (label, look) in LOOKS.items():
                if not all(name in one["micro"] for one in found):
                    continue
                micro = np.array([np.median(one["micro"][name]) for one in found])
                look = {"markersize": 3, **look}
                top.loglog(x, micro, label=label, **look)
                bottom.loglog(x, np.array([one["flops"] for one in found]) / micro / 1e3, **look)
            top.set_title(words.split(":")[0], fontsize=9)
            bottom.set_xlabel("number of parameters" if parameters else f"{names[column]}, n")
            for panel in (top, bottom):
                panel.grid(True, which="major", color="0.9", linewidth=0.6)
                panel.tick_params(which="minor", length=0)
        axes[0, 0].set_ylabel("µs an update")
        axes[1, 0].set_ylabel("GFLOP/s of its products")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="upper center", ncols=3, frameon=False)
        figure.tight_layout(rect=(0, 0, 1, 0.95))
        options = {"metadata": {"Date": None}} if path.suffix == ".svg" else {"dpi": 110}
        figure.savefig(path, **options)
        plt.close(figure)
