"""Give each graph the form that memory planning wants.

Every output is a variable of its own, written by an equation that owns its memory (not an input, a number, a view, or
the same variable twice), every view can be said in strides, and what a kernel reads line by line lies so. Where not so, a copy is
put in between.
"""

from __future__ import annotations

from retrograde.ir import Atom, Equation, Graph, Var
from retrograde.ir.layout import Layout
from retrograde.ops import elementwise as ew


def settle(graph: Graph, given: dict[Var, Layout]) -> tuple[Graph, dict[Var, Layout]]:
    """The graph with copies where a value needs memory of its own, and the layouts of its views.

    `given` are the layouts of inputs that are views themselves: what a loop's body is given of the graph around it.
    """
    layouts = dict(given)
    owned: set[Var] = set()
    equations: list[Equation] = []

    def copied(atom: Atom) -> Var:
        fresh = Var(atom.type, getattr(atom, "name", None))
        equations.append(Equation(ew.copy, (atom,), {}, (fresh,)))
        owned.add(fresh)
        return fresh

    for eq in graph.equations:
        if eq.primitive.lowering == "view":
            source = eq.inputs[0]
            layout = layouts.get(source) or Layout.of(source.type.shape)
            seen = eq.primitive.lower(layout, **eq.params)
            if seen is None:
                eq = eq.replace((copied(source),))
                seen = eq.primitive.lower(Layout.of(source.type.shape), **eq.params)
            layouts[eq.outputs[0]] = seen
        else:
            eq = eq.replace(tuple(copied(a) if i in eq.primitive.lines and not _in_lines(layouts.get(a)) else a
                                  for i, a in enumerate(eq.inputs)))  # fmt: skip
            owned.update(eq.outputs)
        equations.append(eq)
    outputs: list[Atom] = []
    for atom in graph.outputs:
        outputs.append(atom if atom in owned and atom not in outputs else copied(atom))
    return Graph(graph.inputs, equations, tuple(outputs), graph.constants), layouts


def _in_lines(layout: Layout | None) -> bool:
    """Whether the last axis is one stretch of memory."""
    return layout is None or layout.shape[-1] == 1 or layout.strides[-1] == 1
