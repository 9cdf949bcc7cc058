"""The equations of a graph gathered into steps: what a person would call f0, h1, f1, ... or gave a name to.

A step is a named value and the equations that lead to it from other named values. Pieces of a parameter, b[0] of b, are no
steps: they are parameters that a person wrote in one array, and are listed as such.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from retrograde.explore.naming import Call
from retrograde.ir import Equation, Graph, Var
from retrograde.types import kind_of

_LAYER_SYMBOLS = {"weight": "Ω", "bias": "β"}


@dataclass(eq=False)
class Piece:
    """A single element or row of a parameter that the function reads by itself: `view` is how."""

    name: str
    root: Var
    view: Graph


@dataclass(eq=False)
class Stage:
    """A step before it has numbers: its name, what it does, its result, and its equations with what they read."""

    name: str
    op: str
    out: Var
    graph: Graph
    source: tuple | None
    call: Call | None


@dataclass(eq=False)
class Outline:
    """The steps in order, symbols for inputs, pieces of parameters, and further names."""

    stages: list[Stage]
    inputs: dict[Var, str]
    pieces: list[Piece]
    symbols: dict[Var, str]
    aliases: dict[str, Var] = field(default_factory=dict)


def outline(graph: Graph, names: Mapping[str, Var]) -> Outline:
    """The steps of a graph whose variables have these names."""
    loss = graph.outputs[0]
    roots = _views_of_inputs(graph)
    first: dict[Var, str] = {}
    for name, var in names.items():
        first.setdefault(var, name)
    layers = _outputs_of_calls(graph)
    marked = {var for var in first if var not in roots and kind_of(var.type.dtype) in "fc"}
    own = [eq for eq in graph.equations if not all(out in roots for out in eq.outputs)]
    inside = {out for eq in own if (call := _call(eq)) is not None for out in eq.outputs if layers.get(out) is not call}
    made = {out for eq in own for out in eq.outputs}
    marked = {var for var in made if var is loss or var in layers or (var in marked and var not in inside)}
    groups = _gather(own, marked)
    taken: set[str] = set()
    stages, symbols = [], {}
    inputs = _input_symbols(graph, first, layers, taken)
    symbols.update(inputs)
    pieces = _pieces(graph, roots, inputs, first, taken)
    constants = {var: first[var] for var in graph.constants if var in first}
    symbols.update({var: _unique(name, taken) for var, name in constants.items()})
    symbols.update({piece.view.outputs[0]: piece.name for piece in pieces})  # type: ignore[misc]
    unnamed = None if loss in first or not isinstance(loss, Var) or (layers.get(loss) and layers[loss].parameters) else loss
    called = {out: _unique(name, taken) for out, (name, _) in _layer_names(layers).items() if out is not unnamed}
    order, producers = {eq: i for i, eq in enumerate(graph.equations)}, graph.producers()
    for out, equations in groups:
        call = layers.get(out)
        wanted = first.get(out) or ("l" if out is loss else equations[-1].primitive.name)
        name = symbols[out] = called.get(out) or _unique(wanted, taken)
        op = call.name if call is not None else " ".join(dict.fromkeys(
            eq.primitive.name for eq in equations if eq.primitive.lowering != "view" and eq.primitive.name != "astype"
        )) or equations[-1].primitive.name  # fmt: skip
        source = next((eq.source for eq in reversed(equations) if eq.source is not None), None)
        stages.append(Stage(name, op, out, _closed(graph, equations, out, roots, order, producers), source, call))
    aliases = {name: var for name, var in names.items() if name not in taken and var in symbols}
    if called and "h0" not in taken:
        start = next(stage for stage in stages if stage.out in called)
        if data := [var for var in start.graph.inputs if var in inputs and not _is_parameter(var, start)]:
            aliases["h0"] = data[0]
    return Outline(stages, inputs, pieces, symbols, aliases)


def _is_parameter(var: Var, stage: Stage) -> bool:
    return stage.call is not None and var in stage.call.parameters.values()


def _call(eq: Equation) -> Call | None:
    return getattr(eq.source, "call", None)


def _views_of_inputs(graph: Graph) -> dict[Var, Var]:
    """What is an input, or nothing but a view of one; with that input."""
    roots: dict[Var, Var] = {var: var for var in graph.inputs}
    for eq in graph.equations:
        if eq.primitive.lowering == "view" and eq.inputs[0] in roots:
            roots[eq.outputs[0]] = roots[eq.inputs[0]]  # type: ignore[index]
    return roots


def _outputs_of_calls(graph: Graph) -> dict[Var, Call]:
    """The result of each call of a layer: the last that it recorded."""
    last = {call: eq.outputs[0] for eq in graph.equations if (call := _call(eq)) is not None}
    return {out: call for call, out in last.items()}


def _layer_names(layers: Mapping[Var, Call]) -> dict[Var, tuple[str, int]]:
    """f0, h1, f1, ...: a layer with parameters makes the next f, one without the h behind it; losses have no name here."""
    found, k = {}, -1
    for out, call in layers.items():
        if call.parameters:
            k += 1
            found[out] = f"f{k}", k
        elif call.name[0].isupper():
            name = f"h{k + 1}"
            found[out] = (name if all(name != other for other, _ in found.values()) else f"{name}_{call.name.lower()}"), k
    return found


def _gather(equations: Sequence[Equation], marked: set[Var]) -> list[tuple[Var, list[Equation]]]:
    """For each marked value, in order, the equations between it and those before it; what two of them share is marked too."""
    made = {out: eq for eq in equations for out in eq.outputs}
    order = {eq: i for i, eq in enumerate(equations)}
    while True:
        home: dict[Equation, Var] = {}
        groups: list[tuple[Var, list[Equation]]] = []
        shared: set[Var] = set()
        for mark in (out for eq in equations for out in eq.outputs if out in marked):
            group, stack = [], [made[mark]]
            while stack:
                eq = stack.pop()
                if eq in home:
                    continue
                home[eq] = mark
                group.append(eq)
                for atom in eq.inputs:
                    if atom in made and atom not in marked:
                        before = made[atom]  # type: ignore[index]
                        if home.get(before, mark) is not mark:
                            shared.add(atom)  # type: ignore[arg-type]
                        stack.append(before)
            groups.append((mark, sorted(group, key=order.__getitem__)))
        if not shared:
            return [(mark, group) for mark, group in groups if group]
        marked = marked | shared


def _closed(
    graph: Graph, equations: list[Equation], out: Var, roots: Mapping[Var, Var], order: Mapping[Equation, int],
    made: Mapping[Var, Equation],
) -> Graph:
    """The equations as a graph by itself; views of inputs that they read are part of it."""
    wanted = {out for eq in equations for out in eq.outputs}
    views: list[Equation] = []
    inputs: dict[Var, None] = {}
    stack = [atom for eq in equations for atom in eq.inputs if isinstance(atom, Var) and atom not in wanted]
    while stack:
        var = stack.pop(0)
        if var in roots and var in made:
            if made[var] not in views:
                views.append(made[var])
                stack.append(made[var].inputs[0])  # type: ignore[arg-type]
        else:
            inputs[var] = None
    constants = {var: graph.constants[var] for var in inputs if var in graph.constants}
    taken = tuple(var for var in inputs if var not in constants)
    return Graph(taken, sorted([*views, *equations], key=order.__getitem__), (out,), constants)


def _unique(name: str, taken: set[str]) -> str:
    found, n = name, 1
    while found in taken:
        found, n = f"{name}_{n}", n + 1
    taken.add(found)
    return found


def _input_symbols(graph: Graph, first: Mapping[Var, str], layers: Mapping[Var, Call], taken: set[str]) -> dict[Var, str]:
    """Short symbols for arguments: a layer's Ω0 and β0, the user's own variable, or the end of the path to it."""
    found: dict[Var, str] = {}
    for out, (_, k) in _layer_names(layers).items():
        for key, var in layers[out].parameters.items():
            if var in graph.inputs and var not in found:
                found[var] = _unique(f"{_LAYER_SYMBOLS.get(key, key)}{k}", taken)
    for var in graph.inputs:
        if var not in found:
            path = (var.name or "x").split(".")
            end = path[-1] if path[-1].isidentifier() else "".join(path[-2:])
            local = first.get(var) if len(path) > 1 else None
            found[var] = _unique(re.sub(r"\W", "_", local or end), taken)
    return {var: found[var] for var in graph.inputs}


def _pieces(
    graph: Graph, roots: Mapping[Var, Var], inputs: Mapping[Var, str], first: Mapping[Var, str], taken: set[str]
) -> list[Piece]:
    """The x[i] of inputs that are read piece by piece, with names: the user's own, or b0, b1, ... of b."""
    pieces: list[Piece] = []
    consumers = graph.consumers()
    for eq in graph.equations:
        if eq.primitive.name != "slice" or eq.inputs[0] not in inputs:
            continue
        (root,) = eq.inputs
        start, limit = eq.params["start"], eq.params["limit"]
        whole = [(a, b) == (0, n) for a, b, n in zip(start[1:], limit[1:], root.type.shape[1:])]
        if limit[0] != start[0] + 1 or root.type.shape[0] == 1 or not all(whole):
            continue
        out, chain = eq.outputs[0], [eq]
        follow = [e for e in consumers.get(out, ()) if e.primitive.name == "reshape"]
        if len(follow) == 1:
            chain.append(follow[0])
            out = follow[0].outputs[0]
        index = start[0]
        base = inputs[root]  # type: ignore[index]
        name = first.get(out) or f"{base}{index}"
        known = next((p for p in pieces if p.root is root and p.view.equations[0].params == eq.params), None)
        if known is not None:
            pieces.append(Piece(known.name, root, Graph((root,), chain, (out,))))  # type: ignore[arg-type]
        else:
            pieces.append(Piece(_unique(name, taken), root, Graph((root,), chain, (out,))))  # type: ignore[arg-type]
    return pieces


__all__ = ["Outline", "Piece", "Stage", "outline"]
