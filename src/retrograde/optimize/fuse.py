"""Group elementwise operations and reductions into `fused` equations, each of which becomes one loop nest.

A group has one iteration space. First every value that only one group reads moves into it; then groups over the same
space merge where one reads what the other reads or writes. A value is stored only if something outside its group reads
it. Views stay outside: they cost nothing.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import merge
from operator import attrgetter

from retrograde.ir import Equation, Graph, Var
from retrograde.ops.control import fused
from retrograde.optimize.narrow import widens
from retrograde.optimize.order import in_order

_position = attrgetter("position")
_GROUPED = {"elementwise", "element", "reduction"}
MAX_GROUP = 96  # equations; more would only spill registers


@dataclass(eq=False)
class _Group:
    space: tuple[int, ...]
    position: int
    equations: list[Equation] = field(default_factory=list)


def _reads_in_place(eq: Equation, var: Var) -> bool:
    """Whether the equation reads `var` at its own index only, so that the value may stay in a register."""
    return eq.primitive.lowering in ("elementwise", "reduction") and var.type.shape == eq.space


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
            group = _Group(eq.space, position)
            size[group] = 0
        home[eq] = group
        size[group] += 1
    return home


def _merge(graph: Graph, home: dict[Equation, _Group]) -> list[_Group]:
    """Merge later groups into earlier ones over the same space, where everything they read is there by then.

    Groups come in the order of their positions. What is read outside a group is what its last equation makes, so that all
    that a group reads has its place when the group's turn comes, and keeps it.
    """
    members: dict[_Group, list[Equation]] = {}
    for eq in graph.equations:
        if eq in home:
            members.setdefault(home[eq], []).append(eq)
    least: dict[tuple[int, ...], int] = {}
    room: dict[_Group, int] = {}  # that the smallest of this group and the later ones over its space wants
    for group in sorted(members, key=_position, reverse=True):
        room[group] = least[group.space] = min(least.get(group.space, MAX_GROUP), len(members[group]))
    producers = graph.producers()
    places: dict[Var, tuple[int, _Group | None]] = {}  # when a value is there, and from which group (through views: none)
    merged = _Merged()
    for position, eq in enumerate(graph.equations):
        group = home.get(eq)
        if group is None:
            sources = [places.get(a, _GIVEN)[0] for a in eq.inputs] if eq.primitive.lowering == "view" else [position]
            places.update(dict.fromkeys(eq.outputs, (max(sources, default=-1), None)))
        elif group.position == position:
            own = members[group]
            other = None if all(map(widens, own)) else _partner(group, own, room[group], merged, places, producers)
            for member in own:  # those that widen wait for their readers: what they read is half as long to hold
                home[member] = other or group
                places.update(dict.fromkeys(member.outputs, (home[member].position, home[member])))
            merged.add(other or group, own)
    return list(merged.size)


_GIVEN = (-1, None)  # the place of inputs, constants and numbers


def _partner(
    group: _Group, own: list[Equation], room: int, merged: _Merged, places: dict[Var, tuple[int, _Group | None]], producers: dict
) -> _Group | None:
    """The latest of the groups before over the same space, and with a variable in common, that this one may join."""
    inside = {out for eq in own for out in eq.outputs}
    reads = {(eq, a): places.get(a, _GIVEN) for eq in own for a in eq.inputs if isinstance(a, Var) and a not in inside}
    latest = max((when for when, _ in reads.values()), default=-1)
    for other in merged.latest_first(group.space, {a for _, a in reads}, room):
        if other.position < latest:
            return None
        if merged.size[other] + len(own) <= MAX_GROUP and all(
            producers[a].primitive.lowering != "reduction" and _reads_in_place(eq, a) if where is other else when < other.position
            for (eq, a), (when, where) in reads.items()
        ):
            return other
    return None


class _Merged:
    """The groups there are, by space and by the variables they touch; numbers, which cost no memory, are all in one place."""

    def __init__(self) -> None:
        self.size: dict[_Group, int] = {}
        self._touching: dict[tuple[tuple[int, ...], Var | None], list[_Group]] = {}  # by position
        self._keys: dict[_Group, set[tuple[tuple[int, ...], Var | None]]] = {}

    def add(self, group: _Group, equations: list[Equation]) -> None:
        """More equations of a group."""
        keys = self._keys.setdefault(group, set())
        self.size[group] = self.size.get(group, 0) + len(equations)
        touched = {a if group.space else None for eq in equations for a in (*eq.inputs, *eq.outputs) if isinstance(a, Var)}
        for key in {(group.space, a) for a in touched} - keys:
            keys.add(key)
            insort(self._touching.setdefault(key, []), group, key=_position)

    def latest_first(self, space: tuple[int, ...], variables: set[Var], room: int) -> Iterator[_Group]:
        """Those over a space that touch one of these variables (of numbers: all); some come twice.

        Those that have no such room left are met for the last time.
        """
        keys = [(space, a) for a in variables] if space else [(space, None)]
        found = [self._touching[key][::-1] for key in keys if key in self._touching]
        for group in merge(*found, key=_position, reverse=True):
            if self.size[group] + room > MAX_GROUP:
                self._drop(group)
            else:
                yield group

    def _drop(self, group: _Group) -> None:
        for key in self._keys[group]:
            del self._touching[key][bisect_left(self._touching[key], group.position, key=_position)]
        self._keys[group].clear()


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
