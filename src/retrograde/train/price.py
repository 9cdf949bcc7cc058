"""The price of one gradient of a batch: floating-point operations, and memory that the backward pass needs kept."""

from __future__ import annotations

from typing import Any

from retrograde import random
from retrograde.train.data import Data
from retrograde.train.gradient import held_values, make_gradient
from retrograde.train.program import Settings
from retrograde.transforms import trace


def price(net: Any, points: Data, settings: Settings) -> tuple[float, int]:
    """Operations, and bytes held from the forward pass on, the points and the parameters apart, in traced programs of a batch."""
    x, y = points.X[: settings.batch], points.y[: settings.batch]
    gradient = make_gradient(settings.loss, settings.narrow, settings.penalty)
    graph = trace(lambda net, x, y, key: gradient(net, x, y, None, key))(net, x, y, random.key(0))
    flops = sum(eq.flops for eq in graph.equations)
    return flops, _made_bytes(trace(held_values(settings.loss, settings.narrow))(net, x, y, random.key(0)))


def _made_bytes(graph: Any) -> int:
    """Of the outputs that are computed: what came in, and views of it, is there anyway. A frozen layer's output is computed."""
    made: set[Any] = set()
    for eq in graph.equations:
        if eq.primitive.lowering != "view" or eq.inputs[0] in made:
            made.update(eq.outputs)
    return sum(out.type.nbytes for out in made.intersection(graph.outputs))
