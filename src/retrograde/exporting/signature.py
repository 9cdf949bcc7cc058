"""A model traced for export: its graph, with a name that any language takes for each input and output."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from retrograde.errors import ModelError
from retrograde.ir import Graph
from retrograde.nn import Module
from retrograde.trace import trace_to_graph
from retrograde.tree import tree_leaves, tree_names, tree_unflatten
from retrograde.types import ArrayType


@dataclass(frozen=True)
class Traced:
    """The graph of a model in use, and names of its inputs and outputs in their order."""

    graph: Graph
    inputs: list[str]
    outputs: list[str]

    def types(self) -> Iterator[tuple[str, ArrayType, bool]]:
        """Name and type of each input, then of each output, and whether it is an input."""
        yield from ((name, var.type, True) for name, var in zip(self.inputs, self.graph.inputs))
        yield from ((name, atom.type, False) for name, atom in zip(self.outputs, self.graph.outputs))


def traced(model: Any, example: Any) -> Traced:
    """The model at an example, which is its input or a tuple of them. Outputs in a dict have its keys for names, sorted."""
    if example is None:
        raise ModelError(
            "this format holds the model for inputs of one shape and dtype: pass example=x, such as the first row of the data "
            "x[:1] (on the command line --input, the shape of one input without its batch, such as --input 3,32,32)"
        )
    if isinstance(model, Module) and not model.initialized:
        raise ModelError("the network has no parameters to export yet; init or train it first")
    graph, structure = trace_to_graph(model, example if isinstance(example, tuple) else (example,))
    outputs = tree_unflatten(structure, list(range(len(graph.outputs))))
    names = [f"y{name}" if name[:1] in ("", *"0123456789") else name for name in tree_names(outputs)]
    if not tree_leaves(outputs):
        raise ModelError("the model gives no arrays; a model to export returns one, or a tuple or dict of them")
    return Traced(graph, *_identifiers([var.name or "x" for var in graph.inputs], names))


def _identifiers(*lists: Sequence[str]) -> list[list[str]]:
    """These names with nothing in them but letters, digits and _, no two alike."""
    taken: set[str] = set()
    found: list[list[str]] = []
    for names in lists:
        found.append([])
        for name in names:
            word = re.sub(r"\W", "_", name, flags=re.ASCII)
            while word in taken:
                word += "_"
            taken.add(word)
            found[-1].append(word)
    return found
