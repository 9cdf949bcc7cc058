"""The record in a notebook: one table in HTML with its style inside, nothing fetched."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from retrograde.explore.tables import number_text, rows, size_text

if TYPE_CHECKING:
    from retrograde.explore.record import Record

_STYLE = (
    ".retrograde table{border-collapse:collapse;font-family:ui-monospace,monospace;font-size:13px}"
    ".retrograde td,.retrograde th{padding:2px 12px 2px 0;text-align:left;border:0}"
    ".retrograde .number{text-align:right;white-space:nowrap}"
    ".retrograde tbody th{white-space:nowrap;vertical-align:baseline}"
    ".retrograde details{margin-top:6px}"
    ".retrograde tbody+tbody{border-top:1px solid currentColor}"
    ".retrograde caption{text-align:left;font-weight:600;padding-bottom:4px}"
    ".retrograde pre{font-size:12px;white-space:pre-wrap}"
)


def record_html(record: Record) -> str:
    """Forward and backward pass as a table; what is wrong, what is reused and what is held below it."""
    parts = [f"<style>{_STYLE}</style><div class='retrograde'><table>"]
    parts.append(f"<caption>{escape(record.title)}: {escape(record.loss_name)} = {record.loss:.6g}</caption>")
    parts.append("<thead><tr><th scope='col'>name<th scope='col'>formula")
    parts.append("<th scope='col' class='number'>shape<th scope='col' class='number'>value</tr></thead>")
    for backward in (False, True):
        parts.append("<tbody>")
        for name, formula, value, later in rows(record):
            if later is backward:
                source = _source(record, name)
                parts.append(
                    f"<tr{source}><th scope='row'>{escape(name)}<td>{escape(formula)}<td class='number'>"
                    f"{escape(size_text(np.shape(value)))}<td class='number'>{escape(number_text(value))}</tr>"
                )
        parts.append("</tbody>")
    parts.append("</table>")
    for sentence in record.diagnose():
        parts.append(f"<p>{escape(sentence)}</p>")
    for title, text in (("reuse", str(record.reuse())), ("memory", str(record.memory()))):
        parts.append(f"<details><summary>{title}</summary><pre>{escape(text)}</pre></details>")
    parts.append("</div>")
    return "".join(parts)


def _source(record: Record, name: str) -> str:
    step = next((s for s in record.steps if s.symbol.text == name), None)
    if step is None or step.source is None:
        return ""
    return f" title='{escape(f'{step.source[0]}:{step.source[1]}: {step.source[2]}', quote=True)}'"


__all__ = ["record_html"]
