"""A loop whose steps work on each row of a batch by itself becomes one loop for each group of rows, which threads share.

The steps of a recurrence follow one another, and each is too short to be shared. But what becomes of a sequence does not depend
on the others of its batch: so each thread can take some sequences through all steps, and waits for nobody meanwhile. The groups
do not depend on the number of threads, hence neither do the bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from retrograde.ir import Atom, Builder, Equation, Graph, Literal, Var
from retrograde.ir.graph import eliminate_dead
from retrograde.ops.control import scan
from retrograde.ops.shape import broadcast_to, reshape, transpose
from retrograde.ops.symbol import Symbol
from retrograde.optimize.chunk import cuts, part
from retrograde.optimize.simplify import simplify

GROUPS = 16
FEW = 8  # rows of a group; of fewer, products are slower
LEAST_FLOPS = 4_000_000  # of a loop
NEAR_BYTES = 512 << 10  # of what is carried, and of what every step reads, such as weights: it stays in a core's own cache


def deal(graph: Graph) -> Graph:
    """The same graph with such loops dealt out by rows."""
    found: dict[Atom, Atom] = {}
    equations: list[Equation] = []
    for eq in graph.equations:
        eq = eq.replace(tuple(found.get(a, a) for a in eq.inputs))
        loop = _find(eq) if eq.primitive is scan and eq.params["length"] and eq.params["exit"] is None else None
        if loop is None:
            equations.append(eq)
            continue
        builder = Builder(Symbol)
        results = loop.dealt([a.value if isinstance(a, Literal) else Symbol(builder, a) for a in eq.inputs])
        found |= {out: builder.atom(x) for out, x in zip(eq.outputs, results)}
        equations += builder.equations
    if not found:
        return graph
    outputs = tuple(found.get(a, a) for a in graph.outputs)
    return simplify(eliminate_dead(Graph(graph.inputs, equations, outputs, graph.constants)))


@dataclass
class _Loop:
    """A loop over a batch of so many `rows`, and the axis that these are in every value of its body that has them."""

    eq: Equation
    rows: int
    groups: int
    axes: dict[Atom, int]

    @property
    def size(self) -> int:
        return self.rows // self.groups

    def dealt(self, operands: list[Any]) -> tuple[Any, ...]:
        """What the loop puts out, from its operands."""
        places = self._places(self.eq.params["body"].inputs, self.eq.params["num_consts"] + self.eq.params["num_carry"])
        whole = [x for x, place in zip(operands, places) if place is None]
        cut = [self._apart(x, place) for x, place in zip(operands, places) if place is not None]
        found = scan(*whole, *cut, body=self._group(places), length=self.groups, num_consts=len(whole), num_carry=0,
                     reverse=False, exit=None)  # fmt: skip
        places = self._places(self.eq.params["body"].outputs, self.eq.params["num_carry"])
        return tuple(self._together(y, place) for y, place in zip(found, places))

    def _places(self, atoms: tuple[Atom, ...], end: int) -> list[int | None]:
        """Where the loop's operands, or results, have the rows: from number `end` on they are stacked."""
        axes = [self.axes.get(atom) for atom in atoms]
        return [axis if axis is None or i < end else axis + 1 for i, axis in enumerate(axes)]

    def _group(self, places: list[int | None]) -> Graph:
        """The loop over one group's rows, as the body of the loop over groups."""
        builder = Builder(Symbol)
        symbols = {}
        for wanted in (True, False):
            for i, (atom, place) in enumerate(zip(self.eq.inputs, places)):
                if (place is None) == wanted:
                    symbols[i] = builder.input(atom.type.with_shape(self._short(atom, place)))
        operands = [symbols[i] for i in range(len(places))]
        return builder.finish(builder.record(scan, operands, {**self.eq.params, "body": self._body()}))

    def _body(self) -> Graph:
        """The loop's body for one group's rows."""
        body: Graph = self.eq.params["body"]
        builder = Builder(Symbol)
        values = {v: builder.input(v.type.with_shape(self._short(v, self.axes.get(v)))) for v in body.inputs}
        for eq in body.equations:
            operands = [a.value if isinstance(a, Literal) else values[a] for a in eq.inputs]
            out = eq.outputs[0]
            values[out] = builder.record(eq.primitive, operands, part(eq, self.axes.get(out), self.size))
            builder.equations[-1].source, builder.equations[-1].outputs[0].name = eq.source, out.name
        return builder.finish([values[out] for out in body.outputs])

    def _short(self, atom: Atom, axis: int | None) -> tuple[int, ...]:
        return tuple(self.size if a == axis else n for a, n in enumerate(atom.type.shape))

    def _apart(self, x: Any, axis: int) -> Any:
        """The groups in front, of the axis of rows."""
        order = (axis, *(a for a in range(len(x.shape) + 1) if a != axis))
        return transpose(reshape(x, shape=(*x.shape[:axis], self.groups, self.size, *x.shape[axis + 1 :])), axes=order)

    def _together(self, y: Any, axis: int) -> Any:
        """The groups from the front as one axis of rows again."""
        order = (*range(1, axis + 1), 0, *range(axis + 1, len(y.shape)))
        y = transpose(y, axes=order)
        return reshape(y, shape=(*y.shape[:axis], self.rows, *y.shape[axis + 2 :]))


def _find(eq: Equation) -> _Loop | None:
    """The loop, if it pays to deal it out."""
    body, first = eq.params["body"], eq.params["num_consts"]
    carries = body.inputs[first : first + eq.params["num_carry"]]
    work = sum(inner.flops for inner in body.equations if not inner.primitive.multiple)
    if not carries or body.constants or work * eq.params["length"] < LEAST_FLOPS:
        return None
    for rows in dict.fromkeys(carries[0].type.shape):
        groups = max((n for n in range(1, GROUPS + 1) if rows % n == 0 and rows >= n * FEW), default=1)
        axes = _axes(body, rows, first, len(carries)) if groups > 1 else None
        whole = [var for var in body.inputs[:first] if axes is not None and var not in axes]
        if axes is not None and sum(var.type.nbytes for var in (*whole, *carries)) <= NEAR_BYTES:
            return _Loop(eq, rows, groups, axes)
    return None


def _axes(body: Graph, rows: int, first: int, carries: int) -> dict[Atom, int] | None:
    """Where each value of the body has the rows, if every row of what it puts out depends on that row of what it reads."""
    axes: dict[Atom, int] = {}
    for atom in (*body.inputs, *(a for eq in body.equations for a in (*eq.inputs, *eq.outputs))):
        if atom.type.shape.count(rows) > 1:
            return None
        if rows in atom.type.shape:
            axes[atom] = atom.type.shape.index(rows)
    for eq in body.equations:
        where, out = [axes.get(a) for a in eq.inputs], axes.get(eq.outputs[0])
        apart = out is None or eq.primitive is broadcast_to  # no rows, or the same in all
        if not (apart if all(axis is None for axis in where) else out is not None and cuts(eq, where, out)):
            return None
    carried = [axes.get(var) for var in body.inputs[first : first + carries]]
    ends = [axes.get(out) if isinstance(out, Var) else None for out in body.outputs]
    return axes if None not in ends and carried == ends[:carries] else None
