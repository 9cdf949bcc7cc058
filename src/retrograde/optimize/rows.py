"""Short rows that are worked on one by one, such as the logits of a batch, in one loop over the rows: a `by_rows` equation.

A softmax, its loss and their derivatives reduce each row and spread the result over it again, several times; each time would
be a loop nest of its own. Here a row's elements stay in registers from the first to the last, and the loop over rows is the
one that is widened, so that neighbouring rows lie in the lanes of a vector.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograde.ir import Atom, Builder, Equation, Graph, Literal, Var
from retrograde.ops import elementwise as ew
from retrograde.ops.control import by_rows
from retrograde.ops.index import iota, put_along, take_along
from retrograde.ops.shape import reshape
from retrograde.ops.symbol import Symbol
from retrograde.optimize.chunk import part
from retrograde.optimize.order import in_order
from retrograde.optimize.straighten import work

COLUMNS = 16  # elements of a row
LEAST_ROWS = 8
STEPS = 2000  # scalar operations of a row
LEAST_NESTS = 4  # equations that would be a loop nest or more without


def rows(graph: Graph) -> Graph:
    """The graph with its stretches of work on short rows each in one equation."""
    for length in sorted({a.type.shape[0] for eq in graph.equations for a in eq.inputs if _is_reduced_by_row(eq, a)}):
        for group in _groups(graph, length):
            if _pays(group, length):
                graph = _rebuilt(graph, group, length)
    return graph


def _is_reduced_by_row(eq: Equation, atom: Atom) -> bool:
    shape = atom.type.shape
    short = len(shape) == 2 and shape[1] <= COLUMNS and shape[0] >= LEAST_ROWS
    return short and eq.primitive.lowering == "reduction" and eq.params["axes"] == (1,)


def _has_rows(atom: Atom, length: int) -> bool:
    shape = atom.type.shape
    return shape[:1] == (length,) and atom.type.size <= COLUMNS * length and length not in shape[1:]


def _fits(eq: Equation, length: int) -> bool:
    """Whether it can be done row by row: from rows to a row, or to a sum over rows."""
    known = eq.primitive.lowering in ("elementwise", "reduction", "view") or eq.primitive in (take_along, put_along)
    known = known and all(a.type.dtype.kind != "c" for a in (*eq.inputs, *eq.outputs))
    if not known or eq.primitive.cut is None or len(eq.outputs) != 1:
        return False
    if any(length in a.type.shape and not _has_rows(a, length) for a in (*eq.inputs, *eq.outputs)):
        return False
    if eq.primitive is put_along and (eq.inputs[1].type.shape[1:] != (1,) or eq.params["axis"] != 1):
        return False
    where = tuple(0 if _has_rows(a, length) else None for a in eq.inputs)
    out = eq.outputs[0]
    if all(axis is None for axis in where):
        return False
    return eq.primitive.cut(where, [a.type for a in eq.inputs], out.type, 0 if _has_rows(out, length) else None, **eq.params)


def _groups(graph: Graph, length: int) -> Iterator[list[Equation]]:
    """Equations that fit, apart where something that does not fit, or a sum over all rows, lies between.

    What only one group reads is computed in it.
    """
    producers, consumers, outputs = graph.producers(), graph.consumers(), set(graph.outputs)
    depth: dict[Equation, int] = {}
    fits = {eq: _fits(eq, length) for eq in graph.equations}
    for eq in graph.equations:
        before = [producers[a] for a in eq.inputs if a in producers]
        passes = [fits[eq] and fits[p] and _has_rows(p.outputs[0], length) for p in before]
        depth[eq] = max((depth[p] + (not on) for p, on in zip(before, passes)), default=0)
    for eq in reversed(graph.equations):
        out = eq.outputs[0]
        readers = consumers.get(out, ())
        homes = {depth[reader] for reader in readers}
        if len(homes) == 1 and fits[eq] and out not in outputs and _has_rows(out, length) and all(map(fits.get, readers)):
            depth[eq] = homes.pop()
    found: dict[int, list[Equation]] = {}
    for eq in graph.equations:
        if fits[eq]:
            found.setdefault(depth[eq], []).append(eq)
    yield from found.values()


def _pays(group: list[Equation], length: int) -> bool:
    nests = [eq for eq in group if eq.primitive.lowering != "view"]
    reduces = any(_is_reduced_by_row(eq, eq.inputs[0]) for eq in nests)
    steps = sum(COLUMNS if eq.primitive is put_along else work(eq) / length for eq in nests)
    return reduces and len(nests) >= LEAST_NESTS and steps <= STEPS


def _rebuilt(graph: Graph, group: list[Equation], length: int) -> Graph:
    inside, outputs = set(group), set(graph.outputs)
    needed = {a for eq in graph.equations if eq not in inside for a in eq.inputs} | outputs
    for eq in reversed(group):  # a view that somebody else wants too is looked at there once more
        if eq.primitive.lowering == "view" and eq.outputs[0] in needed:
            needed.update(eq.inputs)
    made = dict.fromkeys(eq.outputs[0] for eq in group)
    read = dict.fromkeys(a for eq in group for a in eq.inputs if isinstance(a, Var) and a not in made)
    wanted = [eq.outputs[0] for eq in group if eq.primitive.lowering != "view" and eq.outputs[0] in needed]
    results = sorted(wanted, key=lambda out: not _has_rows(out, length))  # sums last
    cut = tuple(_has_rows(a, length) for a in read)
    kept = sum(_has_rows(out, length) for out in results)
    params = {"body": _row(group, tuple(read), results, length), "length": length, "cut": cut, "kept": kept}
    whole = Equation(by_rows, tuple(read), params, tuple(results), group[-1].source)
    views = {eq for eq in group if eq.primitive.lowering == "view" and eq.outputs[0] in needed}
    last = graph.equations.index(group[-1])
    items = [(i, eq) for i, eq in enumerate(graph.equations) if eq not in inside or eq in views]
    return Graph(graph.inputs, in_order([*items, (last, whole)]), graph.outputs, graph.constants)


def _row(group: list[Equation], read: tuple[Var, ...], results: list[Var], length: int) -> Graph:
    """The group for one row: shapes keep the axis of rows, with a length of 1."""
    builder = Builder(Symbol)

    def one(var: Var) -> Any:
        return var.type.with_shape((1, *var.type.shape[1:])) if _has_rows(var, length) else var.type

    values: dict[Var, Any] = {var: builder.input(one(var)) for var in read}
    for eq in group:
        operands = [a.value if isinstance(a, Literal) else values[a] for a in eq.inputs]
        if eq.primitive is put_along:
            values[eq.outputs[0]] = _put(*operands, eq.params["size"])
            continue
        axis = 0 if _has_rows(eq.outputs[0], length) else None
        values[eq.outputs[0]] = builder.record(eq.primitive, operands, part(eq, axis, 1))
    return builder.finish([values[out] for out in results])


def _put(update: Any, index: Any, size: int) -> Any:
    """`put_along_axis` of one element, by comparing each place with the index."""
    zero, top = (np.asarray(n, index.dtype)[()] for n in (0, size - 1))
    index = ew.select(ew.less(index, zero), index + np.asarray(size, index.dtype)[()], index)
    index = ew.minimum(ew.maximum(index, zero), top)
    places = iota.beside(index, size=size, dtype=np.dtype(index.dtype))
    return ew.select(ew.equal(index, reshape(places, shape=(1, size))), update, np.zeros((), update.dtype)[()])
