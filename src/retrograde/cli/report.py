"""A run as one HTML page: what was learned from what, how well, and how it went; readable from disk, light or dark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from retrograde.cli.network import widths
from retrograde.cli.prepare import Prepared

STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #667; --line: #d8dadf; --a: #2463eb; --b: #d9480f; --paper: #fff }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7e9ee; --soft: #99a; --line: #3a3d44; --a: #7aa5ff; --b: #ff9a5c; --paper: #17181c } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 46rem; margin: 2rem auto;
  padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: 0 }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem } p { color: var(--soft); margin: .2rem 0 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } .wide { overflow-x: auto }
th, td { text-align: right; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); font-weight: normal }
th:first-child, td:first-child { text-align: left; color: var(--soft) } .words td { text-align: left }
.right { font-weight: 600 } svg { width: 100%; height: auto } svg text { font-size: 12px; fill: var(--soft) }
.a { stroke: var(--a) } .b { stroke: var(--b) } text.a { fill: var(--a); stroke: none } text.b { fill: var(--b); stroke: none }
.a, .b, .axis { fill: none; stroke-width: 1.6 } .axis { stroke: var(--line); stroke-width: 1 }
"""
WIDTH, HEIGHT, LEFT, BOTTOM = 640, 220, 56, 24
POINTS = 800  # of a curve, at most
CELLS = 30  # classes of a confusion matrix that a page has room for


def report_html(prepared: Prepared, run: Any, figures: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """The page, whole."""
    name = prepared.target.name
    parts = [f"<h1>{escape(name)}</h1><p>{prepared.target.task}, from {escape(prepared.table.path)}</p>"]
    if figures:
        parts.append(f"<h2>Test on {len(prepared.x_test):,} rows that were held out</h2>{_scores(figures)}{_classes(figures)}")
    parts.append(f"<h2>Loss by epoch</h2><p>on a logarithmic scale</p>{_curves(run.history, run.best_epoch)}")
    parts.append(f"<h2>Figures</h2>{_table(['', 'first epoch', 'last epoch', 'kept'], _history(run))}")
    parts.append(f"<h2>The table</h2>{_words(prepared.describe(widths(run.model)))}")
    parts.append(f"<h2>The run</h2>{_words([line.split('  ', 1) for line in run.summary().splitlines()])}")
    parts.append(f"<h2>Options</h2>{_words(_told(options))}")
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(name)}</title>'
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body>{"".join(parts)}</body></html>\n'


def _told(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in options.items():
        if value not in ("", []):
            yield name, ", ".join(value) if isinstance(value, list) else str(value)


def _scores(figures: Mapping[str, Any]) -> str:
    return _words((name.replace("_", " "), f"{value:.4g}") for name, value in figures.items() if isinstance(value, float))


def _classes(figures: Mapping[str, Any]) -> str:
    """Figures of each class, and how often each was taken for each."""
    if "classes" not in figures:
        return ""
    each, counts = figures["classes"], figures["confusion"]
    rows = [[c["class"], *(f"{c[k]:.3f}" for k in ("precision", "recall", "f1")), f"{c['rows']:,}"] for c in each]
    text = f"<h2>By class</h2>{_table(['class', 'precision', 'recall', 'F1', 'rows'], rows)}"
    if len(each) > CELLS:
        return text
    names = [str(c["class"]) for c in each]
    matrix = [[name, *(f"{n:,}" for n in row)] for name, row in zip(names, counts)]
    return text + f"<h2>Confusion</h2><p>a row is a true class, a column a predicted one</p>{_table(['', *names], matrix, True)}"


def _history(run: Any) -> list[list[str]]:
    at = (0, -1, run.epochs - 1 if run.best_epoch is None else run.best_epoch - 1)
    return [[name, *(f"{values[i]:.4g}" for i in at)] for name, values in run.history.items()]


def _words(pairs: Iterable[Sequence[Any]]) -> str:
    return _wrap("".join(f"<tr>{_cell(a)}{_cell(b)}</tr>" for a, b in pairs), "words")


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]], diagonal: bool = False) -> str:
    top = "".join(f"<th>{escape(str(name))}</th>" for name in head)
    body = "".join(
        f"<tr>{''.join(_cell(x, 'right' if diagonal and j == i + 1 else '') for j, x in enumerate(row))}</tr>"
        for i, row in enumerate(rows)
    )
    return _wrap(f"<tr>{top}</tr>{body}")


def _cell(value: Any, kind: str = "") -> str:
    return f"<td{f' class={kind}' if kind else ''}>{escape(str(value).strip())}</td>"


def _wrap(rows: str, kind: str = "") -> str:
    return f'<div class="wide"><table class="{kind}">{rows}</table></div>'


def _curves(history: Mapping[str, np.ndarray], best: int | None) -> str:
    """The losses as lines, on a logarithmic scale: what is not positive (or finite) has no place there and is left out."""
    names = [name for name in ("loss", "val_loss") if name in history]
    values = np.concatenate([history[name] for name in names])
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):
        return "<p>no loss that is positive and finite</p>"
    low, high = np.log(values.min()), np.log(values.max())
    epochs = len(history["loss"])

    def x(epoch: float) -> float:
        return LEFT + (WIDTH - LEFT - 10) * (epoch - 1) / max(epochs - 1, 1)

    def y(value: Any) -> Any:
        return 10 + (HEIGHT - BOTTOM - 20) * (high - np.log(value)) / ((high - low) or 1.0)

    drawn = [f'<path class="axis" d="M{LEFT} 5V{HEIGHT - BOTTOM}H{WIDTH}"/>']
    shown = np.unique(np.linspace(1, epochs, min(epochs, POINTS)).round().astype(int))
    for i, (name, kind) in enumerate(zip(names, "ab")):
        points = [f"{x(e):.1f},{y(v):.1f}" for e, v in zip(shown, history[name][shown - 1]) if np.isfinite(v) and v > 0]
        drawn.append(f'<polyline class="{kind}" points="{" ".join(points)}"/>')
        drawn.append(f'<text class="{kind}" x="{WIDTH - 90}" y="{18 + 16 * i}">{name.replace("val_loss", "validation")}</text>')
    if best is not None:
        drawn.append(f'<path class="axis" stroke-dasharray="4 4" d="M{x(best):.1f} 5V{HEIGHT - BOTTOM}"/>')
        drawn.append(f'<text text-anchor="middle" x="{x(best):.1f}" y="{HEIGHT - 6}">kept: {best}</text>')
    for value in (values.min(), values.max()):
        drawn.append(f'<text text-anchor="end" x="{LEFT - 6}" y="{y(value) + 4:.1f}">{value:.2g}</text>')
    drawn.append(f'<text x="{LEFT}" y="{HEIGHT - 6}">1</text>')
    drawn.append(f'<text text-anchor="end" x="{WIDTH}" y="{HEIGHT - 6}">{epochs}</text>')
    label = f"training and validation loss over {epochs} epochs"
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(drawn)}</svg>'
