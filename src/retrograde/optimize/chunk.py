"""Take a long axis in chunks that stay in the nearest caches, from the first product to the last sum over it.

A full batch of 10,000 points walks every layer's activations through memory, forward and back. But points meet only where
something is summed over them, so the same equations can be run on some hundred of them at a time, and the sums added up: what
lies between is then never larger than a chunk. This is loop tiling across a whole graph (Wolf and Lam, 1991, "A data locality
optimizing algorithm").

The points are divided into `GROUPS` groups, whatever the number of threads, and each group into chunks: a loop over groups,
which carries nothing and so is dealt out among threads, around one over chunks, which carries the group's sums. Those are
added last, in their order. So the bits are the same on any number of threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retrograde.ir import Builder, Equation, Graph, Literal, Var, evaluate
from retrograde.ir.graph import eliminate_dead
from retrograde.ops.control import scan
from retrograde.ops.index import iota
from retrograde.ops.random import random_bits, random_rows
from retrograde.ops.reduce import sum_
from retrograde.ops.shape import broadcast_to, concatenate, reshape, slice_, transpose
from retrograde.ops.symbol import Symbol
from retrograde.types import ArrayType

GROUPS = 16
LEAST = 1024  # rows from which it may pay
FAR_BYTES = 1 << 20  # what does not fit into the second cache of most processors
CHUNK_BYTES = 384 << 10  # of all values between, for the rows of a chunk
SUMS_BYTES = 64 << 10  # of the sums of one group
FEW, MANY = 16, 512  # rows of a chunk


@dataclass
class _Region:
    """The equations that can be run row by row of an axis of length `rows`, and the values that go in and come out."""

    rows: int
    equations: list[Equation] = field(default_factory=list)
    axes: dict[Var, int] = field(default_factory=dict)  # of each value that has the rows, where
    sums: list[Var] = field(default_factory=list)
    last: set[Equation] = field(default_factory=set)  # what reads a sum, or could not be cut


def chunk(graph: Graph) -> Graph:
    """The graph with its longest common axis taken in chunks, where that saves walking through memory."""
    rows = _longest(graph)
    whole, graph = graph, _draws_by_rows(graph, rows) if rows else graph
    region = _region(graph, rows) if rows else None
    if region is None or not region.equations:
        return whole
    between = sum(out.type.nbytes for eq in region.equations for out in eq.outputs if out in region.axes)
    small = sum(var.type.nbytes for var in region.sums) <= SUMS_BYTES
    kernels = any(eq.primitive.lowering == "kernel" for eq in region.equations)
    if _for_sums(region) < max(FAR_BYTES, 1) or not small or not kernels or not region.sums:
        return whole
    return _rebuilt(graph, region, _size(rows, between))


def _draws_by_rows(graph: Graph, rows: int) -> Graph:
    """The graph with draws of random bits made from the numbers of their rows, so that they can be cut: a mask is never whole."""
    draws = [eq for eq in graph.equations if eq.primitive is random_bits and eq.params["shape"][:1] == (rows,)]
    draws = [eq for eq in draws if eq.inputs[0].type.ndim == 1]
    if not draws:
        return graph
    numbers = Var(ArrayType((rows,), np.dtype(np.int64)))
    cut = {
        eq: Equation(random_rows, (eq.inputs[0], numbers), {"row": eq.params["shape"][1:]}, eq.outputs, eq.source) for eq in draws
    }
    first = Equation(iota, (), {"size": rows, "dtype": numbers.type.dtype}, (numbers,), draws[0].source)
    return Graph(graph.inputs, [first, *(cut.get(eq, eq) for eq in graph.equations)], graph.outputs, graph.constants)


def _for_sums(region: _Region) -> int:
    """Bytes of what is computed for the sums: what is done to a weight's rows beside, say, has nothing from being in chunks."""
    nbytes, read = 0, set(region.sums)
    for eq in reversed(region.equations):
        if not read.isdisjoint(eq.outputs):
            read.update(eq.inputs)
            made = [out for out in eq.outputs if out in region.axes and eq.primitive.lowering != "view"]
            nbytes += sum(out.type.nbytes for out in made)
    return nbytes


def _longest(graph: Graph) -> int | None:
    """The length of the axis that holds most of what is computed."""
    weight: Counter[int] = Counter()
    for eq in graph.equations:
        if eq.primitive.lowering == "view":
            continue
        for out in eq.outputs:
            for length in set(out.type.shape):
                weight[length] += out.type.size if length >= LEAST else 0
    found = max(weight, key=lambda length: weight[length], default=None)
    return found if found and weight[found] else None


def _size(rows: int, between: int) -> tuple[int, int]:
    """Chunks of a group, and rows of a chunk."""
    wanted = min(max(CHUNK_BYTES * rows // between, FEW), MANY)
    group = rows // GROUPS
    count = max(1, -(-group // wanted))
    return count, group // count


def _region(graph: Graph, rows: int) -> _Region | None:
    """What can be cut along the axis of this length; None if some value has two of them."""
    region = _Region(rows)
    for eq in graph.equations:
        for atom in (*eq.inputs, *eq.outputs):
            if atom.type.shape.count(rows) > 1:
                return None
            if rows in atom.type.shape:
                region.axes[atom] = atom.type.shape.index(rows)
    made: set[Var] = set()
    late: set[Var] = set()
    for eq in graph.equations:
        axes = [region.axes.get(atom) for atom in eq.inputs]
        if not late.isdisjoint(eq.inputs):
            region.last.add(eq)
            late.update(eq.outputs)
        elif all(axis is None for axis in axes):
            if eq.outputs[0] in region.axes and eq.primitive is broadcast_to:
                region.equations.append(eq)  # nothing but a number for every row
                made.update(eq.outputs)
        elif cuts(eq, axes, region.axes.get(eq.outputs[0])):
            region.equations.append(eq)
            made.update(eq.outputs)
            if eq.outputs[0] not in region.axes:
                region.sums.append(eq.outputs[0])
                late.add(eq.outputs[0])
        elif not made.isdisjoint(eq.inputs):
            region.last.add(eq)
            late.update(eq.outputs)
    return region


def cuts(eq: Equation, axes: Sequence[int | None], out: int | None) -> bool:
    """Whether the output's part at some rows depends on the inputs' parts at these rows alone, or is a sum over rows."""
    rule = eq.primitive.cut
    if rule is None or eq.primitive.multiple:
        return False
    return rule(tuple(axes), [atom.type for atom in eq.inputs], eq.outputs[0].type, out, **eq.params)


def part(eq: Equation, axis: int | None, count: int) -> dict[str, Any]:
    """The parameters for `count` rows, which are this axis of the output: shapes and limits among them change there."""
    return {
        name: (*value[:axis], count, *value[axis + 1 :]) if axis is not None and name in ("shape", "limit") else value
        for name, value in eq.params.items()
    }


def _rebuilt(graph: Graph, region: _Region, size: tuple[int, int]) -> Graph:
    inside = set(region.equations)
    made = dict.fromkeys(out for eq in region.equations for out in eq.outputs)  # in order, so that code is the same each time
    read = dict.fromkeys(a for eq in region.equations for a in eq.inputs if isinstance(a, Var) and a not in made)
    cut, whole = [v for v in read if v in region.axes], [v for v in read if v not in region.axes]
    outside = {a for eq in graph.equations if eq not in inside for a in eq.inputs} | set(graph.outputs)
    kept = [v for v in made if v in region.axes and v in outside]
    builder = Builder(Symbol)
    parts = _Parts(region, cut, whole, kept, size)
    found = {var: builder.atom(x) for var, x in parts.run({var: Symbol(builder, var) for var in read}).items()}
    before = [eq for eq in graph.equations if eq not in inside and eq not in region.last]
    after = [eq.replace(tuple(found.get(a, a) for a in eq.inputs)) for eq in graph.equations if eq in region.last]
    outputs = tuple(found.get(atom, atom) for atom in graph.outputs)
    return eliminate_dead(Graph(graph.inputs, [*before, *builder.equations, *after], outputs, graph.constants))


@dataclass
class _Parts:
    """A region as a loop over groups of chunks, and what is left of its rows: `cut` values are read by row, `kept` written."""

    region: _Region
    cut: list[Var]
    whole: list[Var]
    kept: list[Var]
    size: tuple[int, int]

    def run(self, values: dict[Var, Any]) -> dict[Var, Any]:
        """The sums and the kept values, from what the region reads."""
        region, (count, length) = self.region, self.size
        covered = GROUPS * count * length
        fronted = {v: _to_front(values[v], region.axes[v]) for v in self.cut}
        xs = [reshape(_rows(x, 0, covered), shape=(GROUPS, count, length, *x.shape[1:])) for x in fronted.values()]
        consts = [values[v] for v in self.whole]
        group = self._group()
        found = scan(*consts, *xs, body=group, length=GROUPS, num_consts=len(consts), num_carry=0, reverse=False, exit=None)
        sums = [sum_(x, axes=(0,)) for x in found[: len(region.sums)]]
        kept = [reshape(y, shape=(covered, *y.shape[3:])) for y in found[len(region.sums) :]]
        if rest := region.rows - covered:
            last = self._chunk(rest)
            more = evaluate(last, [*consts, *(_rows(x, covered, region.rows) for x in fronted.values())])
            sums = [x + y for x, y in zip(sums, more)]
            kept = [concatenate(x, y, axis=0) for x, y in zip(kept, more[len(sums) :])]
        kept = [_from_front(y, region.axes[v]) for v, y in zip(self.kept, kept)]
        return dict(zip((*region.sums, *self.kept), (*sums, *kept)))

    def _group(self) -> Graph:
        """(whole values; cut values of a group, chunk by chunk) to the group's sums and kept values."""
        region, (count, length) = self.region, self.size
        builder = Builder(Symbol)
        consts = [builder.input(v.type) for v in self.whole]
        xs = [builder.input(v.type.with_shape((count, length, *_others(v, region)))) for v in self.cut]
        zeros = [builder.record(broadcast_to, (np.zeros((), v.type.dtype)[()],), {"shape": v.type.shape}) for v in region.sums]
        step = Builder(Symbol)
        inputs = [step.input(v.type) for v in self.whole]
        carry = [step.input(v.type) for v in region.sums]
        slices = [step.input(v.type.with_shape((length, *_others(v, region)))) for v in self.cut]
        found = evaluate(self._chunk(length), [*inputs, *slices])
        sums = [x + y for x, y in zip(carry, found)]
        body = step.finish([*sums, *found[len(sums) :]])
        return builder.finish(
            scan(*consts, *zeros, *xs, body=body, length=count, num_consts=len(consts), num_carry=len(zeros), reverse=False,
                 exit=None)
        )  # fmt: skip

    def _chunk(self, count: int) -> Graph:
        """(whole values, `count` rows of the cut ones) to their sums and kept values, rows in front."""
        region = self.region
        builder = Builder(Symbol)
        values = {v: builder.input(v.type) for v in self.whole}
        for v in self.cut:
            values[v] = _from_front(builder.input(v.type.with_shape((count, *_others(v, region)))), region.axes[v])
        for eq in region.equations:
            operands = [a.value if isinstance(a, Literal) else values[a] for a in eq.inputs]
            values[eq.outputs[0]] = builder.record(eq.primitive, operands, part(eq, region.axes.get(eq.outputs[0]), count))
            recorded = builder.equations[-1]
            recorded.source, recorded.outputs[0].name = eq.source, eq.outputs[0].name
        return builder.finish([*(values[v] for v in region.sums), *(_to_front(values[v], region.axes[v]) for v in self.kept)])


def _others(var: Var, region: _Region) -> tuple[int, ...]:
    axis = region.axes[var]
    return (*var.type.shape[:axis], *var.type.shape[axis + 1 :])


def _rows(x: Any, start: int, limit: int) -> Any:
    """Rows `start` to `limit` of the first axis."""
    if (start, limit) == (0, x.shape[0]):
        return x
    others = x.shape[1:]
    return slice_(x, start=(start, *[0] * len(others)), limit=(limit, *others), step=(1,) * len(x.shape))


def _to_front(x: Any, axis: int) -> Any:
    order = (axis, *(a for a in range(len(x.shape)) if a != axis))
    return x if axis == 0 else transpose(x, axes=order)


def _from_front(x: Any, axis: int) -> Any:
    order = [a + 1 for a in range(len(x.shape) - 1)]
    order.insert(axis, 0)
    return x if axis == 0 else transpose(x, axes=tuple(order))
