"""Print a graph: one equation a line, with dtype and shape."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from retrograde.ir.graph import Atom, Equation, Graph, Literal, Var


def namer(graph: Graph) -> Callable[[Atom], str]:
    """Stable names: the user's where known (made unique), else a, b, ..., z, aa, ... in order of definition."""
    names: dict[Var, str] = {}
    taken: set[str] = set()
    counter = 0

    def name(atom: Atom) -> str:
        nonlocal counter
        if isinstance(atom, Literal):
            return str(atom.value)
        if atom in names:
            return names[atom]
        candidate = atom.name
        if candidate is None:
            while candidate is None or candidate in taken:
                candidate, counter = _letters(counter), counter + 1
        else:
            base, suffix = candidate, 1
            while candidate in taken:
                candidate, suffix = f"{base}_{suffix}", suffix + 1
        taken.add(candidate)
        names[atom] = candidate
        return candidate

    for var in (*graph.constants, *graph.inputs):
        name(var)
    for eq in graph.equations:
        for out in eq.outputs:
            name(out)
    return name


def _letters(n: int) -> str:
    text = ""
    n += 1
    while n:
        n, digit = divmod(n - 1, 26)
        text = chr(ord("a") + digit) + text
    return text


def format_equation(eq: Equation, names: Callable[[Atom], str], indent: str = "") -> str:
    """`c:f32[4,3] = add a b`, parameters in brackets, nested graphs indented below."""
    outputs = " ".join(f"{names(out)}:{out.type}" for out in eq.outputs)
    graphs = eq.graphs()
    nested = {key.partition("[")[0] for key, _ in graphs}
    plain = {k: v for k, v in eq.params.items() if k not in nested}
    params = "[" + " ".join(f"{k}={_format_param(v)}" for k, v in plain.items()) + "]" if plain else ""
    line = f"{indent}{outputs} = {eq.primitive.name}{params} {' '.join(names(a) for a in eq.inputs)}".rstrip()
    for key, graph in graphs:
        line += f"\n{indent}  {key}:\n" + format_graph(graph, indent + "    ")
    return line


def _format_param(value: object) -> str:
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, tuple):
        return "(" + ",".join(_format_param(v) for v in value) + ")"
    return str(value)


def format_graph(graph: Graph, indent: str = "") -> str:
    """The whole graph as text."""
    names = namer(graph)
    head = ", ".join(f"{names(var)}:{var.type}" for var in graph.inputs)
    lines = [f"{indent}graph({head}):"]
    lines += [f"{indent}  {names(var)}:{var.type} = constant" for var in graph.constants]
    lines += [format_equation(eq, names, indent + "  ") for eq in graph.equations]
    lines.append(f"{indent}  return {', '.join(names(a) for a in graph.outputs)}")
    return "\n".join(lines)
