"""The graph: the one object that is shown, interpreted by NumPy and compiled."""

from retrograde.ir.builder import Builder
from retrograde.ir.check import check_graph
from retrograde.ir.evaluate import evaluate
from retrograde.ir.graph import Atom, Equation, Graph, Literal, Var
from retrograde.ir.pretty import format_graph
from retrograde.ir.primitive import Primitive

__all__ = [
    "Atom", "Builder", "Equation", "Graph", "Literal", "Primitive", "Var",
    "check_graph", "evaluate", "format_graph",
]  # fmt: skip
