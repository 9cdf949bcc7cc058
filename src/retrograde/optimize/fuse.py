"""Group elementwise operations and reductions into `fused` equations, each of which becomes one loop nest.

A group has one iteration space. First every value that only one group reads moves into it; then groups over the same
space merge where one reads what the other reads or writes. A value is stored only if something outside its group reads
it. Views stay outside: they cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from retrograde.ir import Equation, Graph, Var
from retrograde.ops.control import fused
from retrograde.optimize.narrow import widens
from retrograde.optimize.order import in_order

_GROUPED = {"elementwise", "element", "reduction"}
MAX_GROUP = 96  # equations; more would only spill registers


@dataclass(eq=False)
class _Group:
    space: tuple[int, ...]
    position: int
    equations: list[Equation] = field(default_factory=list)


def _space(eq: Equation) -> tuple[int, ...]:
    return (eq.inputs[0] if eq.primitive.lowering == "reduction" else eq.outputs[0]).type.shape


def _reads_in_place(eq: Equation, var: Var) -> bool:
    """Whether the equation reads `var` at its own index only, so that the value may stay in a register."""
    return eq.primitive.lowering in ("elementwise", "reduction") and var.type.shape == _space(eq)


def fuse(graph: Graph) -> Graph:
    """The same graph with its elementwise and reducing equations grouped."""
    home = _pull_producers(graph)
    groups = _merge(graph, home)
    for eq in graph.equations:
        if eq in home:
            home[eq].equations.append(eq)
    outputs = set(graph.outputs)
    consumers = graph.consumers()
    items: list[tuple[int, Equation]] = [(i, eq) for i, eq in enumerate(graph.equations) if eq not in home]
    for group in groups:
        items.append((group.position, _as_equation(group, home, consumers, outputs)))
    return Graph(graph.inputs, in_order(items), graph.outputs, graph.constants)


def _pull_producers(graph: Graph) -> dict[Equation, _Group]:
    """Walking backwards, each groupable equation joins its readers' group if they share one, else starts its own."""
    consumers = graph.consumers()
    home: dict[Equation, _Group] = {}
    size: dict[_Group, int] = {}
    for position in reversed(range(len(graph.equations))):
        eq = graph.equations[position]
        if eq.primitive.lowering not in _GROUPED:
            continue
        out = eq.outputs[0]
        readers = consumers.get(out, [])
        groups = {home.get(reader) for reader in readers}
        group = next(iter(groups)) if len(groups) == 1 else None
        fits = (
            group is not None
            and eq.primitive.lowering != "reduction"
            and group.space == out.type.shape
            and size[group] < MAX_GROUP
            and all(_reads_in_place(reader, out) for reader in readers)
        )
        if not fits:
            group = _Group(_space(eq), position)
            size[group] = 0
        home[eq] = group
        size[group] += 1
    return home


def _merge(graph: Graph, home: dict[Equation, _Group]) -> list[_Group]:
    """Merge later groups into earlier ones over the same space, where everything they read is there by then."""
    members: dict[_Group, list[Equation]] = {}
    for eq in graph.equations:
        if eq in home:
            members.setdefault(home[eq], []).append(eq)
    producers = graph.producers()
    order = sorted(members, key=lambda g: g.position)
    merged: list[_Group] = []

    def origin(var: Var) -> tuple[int, _Group | None]:
        """When a value is there, and from which group (through views)."""
        eq = producers.get(var)
        if eq is None:
            return -1, None
        if eq in home:
            return home[eq].position, home[eq]
        if eq.primitive.lowering == "view":
            sources = [origin(a) for a in eq.inputs if isinstance(a, Var)]
            return max((s[0] for s in sources), default=-1), None
        return index[eq], None

    index = {eq: i for i, eq in enumerate(graph.equations)}
    for group in order:
        inside = {out for eq in members[group] for out in eq.outputs}
        reads = {(eq, a) for eq in members[group] for a in eq.inputs if isinstance(a, Var) and a not in inside}
        external = {a for _, a in reads}
        alone = all(map(widens, members[group]))  # waits for its reader: what it reads is half as long to hold
        for other in () if alone else reversed(merged):
            if other.space != group.space or len(members[other]) + len(members[group]) > MAX_GROUP:
                continue
            theirs = {a for eq in members[other] for a in (*eq.inputs, *eq.outputs)}
            if other.space and not (external & theirs):
                continue
            ok = True
            for eq, var in reads:
                when, where = origin(var)
                if where is other:
                    producer = producers[var]
                    ok = producer.primitive.lowering != "reduction" and _reads_in_place(eq, var)
                else:
                    ok = when < other.position
                if not ok:
                    break
            if ok:
                for eq in members[group]:
                    home[eq] = other
                members[other] += members.pop(group)
                break
        else:
            merged.append(group)
    return merged


def _as_equation(group: _Group, home: dict, consumers: dict, outputs: set) -> Equation:
    inside = {out for eq in group.equations for out in eq.outputs}
    stored = [
        out
        for eq in group.equations
        for out in eq.outputs
        if out in outputs or any(home.get(reader) is not group for reader in consumers.get(out, []))
    ]
    operands: dict[Var, Var] = {}
    for eq in group.equations:
        for atom in eq.inputs:
            if isinstance(atom, Var) and atom not in inside and atom not in operands:
                operands[atom] = Var(atom.type, atom.name)
    fresh = {out: Var(out.type, out.name) for out in inside}
    rename = {**operands, **fresh}
    body = [
        Equation(
            eq.primitive, tuple(rename.get(a, a) for a in eq.inputs), eq.params, tuple(fresh[o] for o in eq.outputs), eq.source
        )
        for eq in group.equations
    ]
    inner = Graph(tuple(operands.values()), body, tuple(fresh[out] for out in stored))
    return Equation(fused, tuple(operands), {"body": inner}, tuple(stored), group.equations[-1].source)
