"""The chain of the backward pass for one example, layer by layer, as the textbooks write it.

A network f_k = β_k + Ω_k h_k, h_{k+1} = ReLU(f_k), h_0 = x, ends in the softmax cross-entropy l = log Σ exp(f_K) - f_K[y].
Every preactivation and activation gets a zero added to it; the derivative of the loss by that zero *is* dl/df_k or dl/dh_k.
So all the numbers are cotangents from one backward pass of `retrograde.value_and_grad`, none is worked out by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True)
class Link:
    """One quantity of the chain: its name, its formula, and its numbers."""

    name: str
    formula: str
    value: np.ndarray
    backward: bool

    @property
    def norm(self) -> float:
        """Euclidean (Frobenius) norm."""
        return float(np.sqrt(np.sum(np.square(self.value, dtype=np.float64))))


def backward_chain(omega: Sequence[np.ndarray], beta: Sequence[np.ndarray], x: np.ndarray, label: int) -> list[Link]:
    """The forward and then the backward pass through a ReLU network with weights `omega` (out, in) and biases `beta`.

    `x` has shape (inputs,), `label` is the index of the right class. Raises `ValueError` where the numbers of weights and
    biases differ.
    """
    import retrograde as rg

    if len(omega) != len(beta) or not omega:
        raise ValueError(f"{len(omega)} weight matrices and {len(beta)} bias vectors; a layer has one of each")
    last = len(omega) - 1

    def loss(parts: dict) -> tuple:
        h, fs, hs = x, [], []
        for k in range(last + 1):
            f = parts["beta"][k] + parts["omega"][k] @ h + parts["f"][k]
            fs.append(f)
            if k < last:
                h = np.maximum(f, 0) + parts["h"][k]
                hs.append(h)
        top = np.max(f)
        return top + np.log(np.sum(np.exp(f - top))) - f[label], (fs, hs)

    parts = {
        "omega": list(omega),
        "beta": list(beta),
        "f": [np.zeros_like(b) for b in beta],
        "h": [np.zeros_like(b) for b in beta[:-1]],
    }
    (value, (fs, hs)), found = rg.value_and_grad(loss, has_aux=True)(parts)
    links = [Link("h0", "x", x, False)]
    for k in range(last + 1):
        links.append(Link(f"f{k}", f"β{k} + Ω{k} h{k}", np.asarray(fs[k]), False))
        if k < last:
            links.append(Link(f"h{k + 1}", f"ReLU(f{k})", np.asarray(hs[k]), False))
    links.append(Link("l", f"log Σ exp(f{last}) - f{last}[{label}]", np.asarray(value), False))
    for k in range(last, -1, -1):
        if k == last:
            links.append(Link(f"dl/df{k}", f"softmax(f{k}) - onehot({label})", found["f"][k], True))
        else:
            links.append(Link(f"dl/dh{k + 1}", f"Ω{k + 1}ᵀ dl/df{k + 1}", found["h"][k], True))
            links.append(Link(f"dl/df{k}", f"[f{k} > 0] ⊙ dl/dh{k + 1}", found["f"][k], True))
        links.append(Link(f"dl/dβ{k}", f"dl/df{k}", found["beta"][k], True))
        links.append(Link(f"dl/dΩ{k}", f"dl/df{k} h{k}ᵀ", found["omega"][k], True))
    return links


def chain_table(links: Sequence[Link], title: str) -> Any:
    """The links as a rich table: name, formula, shape, norm."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    columns: tuple[tuple[str, Literal["left", "right"]], ...] = (
        ("name", "left"), ("formula", "left"), ("shape", "right"), ("norm", "right"),
    )  # fmt: skip
    for heading, justify in columns:
        table.add_column(heading, justify=justify, no_wrap=True)
    before = False
    for link in links:
        if link.backward and not before:
            table.add_section()
        before = link.backward
        shape = " × ".join(map(str, link.value.shape)) or "number"
        table.add_row(Text(link.name), Text(link.formula), shape, f"{link.norm:.4g}")
    return table
