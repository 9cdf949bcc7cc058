"""The pullback of `branch`: a branch over the pullbacks of the branches.

What they read from inside the branch that was taken, the forward branch puts out as further outputs (`keep`). Branches
share these: there are as many of a type as the branch that wants most, and what one does not want is zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from retrograde.autodiff.backprop import Backward, backprop, varying_in
from retrograde.autodiff.loops import keep_inside, sources, zeros_of
from retrograde.errors import DifferentiationError
from retrograde.ir import Builder, Equation, Graph, Var, evaluate
from retrograde.ops.branch import branch, close_together
from retrograde.ops.symbol import Symbol
from retrograde.types import ArrayType


@dataclass(frozen=True)
class _Way:
    """How to go back through one branch: from its outputs number `seeds` towards its inputs `wrt`.

    `stored` are its variables that it must put out, `again` the equations that make the rest of what is read.
    """

    body: Graph
    wrt: list[Var]
    seeds: list[int]
    backward: Backward
    stored: list[Var]
    again: list[Equation]

    def reads(self, i: int) -> bool:
        """Whether operand number `i` is read."""
        var = self.body.inputs[i]
        return var in self.backward.kept or any(var in eq.inputs for eq in self.again)


def _way(body: Graph, varying: Sequence[bool], seeds: Sequence[int]) -> _Way:
    wrt = [var for var, flag in zip(body.inputs, varying) if flag]
    reach = varying_in(body, wrt)
    seeds = [i for i in seeds if body.outputs[i] in reach]
    backward = backprop(body, wrt, seeds)
    stored, fixed, again = sources(body, backward.kept, 0, 0)
    return _Way(body, wrt, seeds, backward, [var for var in (*stored, *fixed) if var not in body.inputs], again)


@branch.def_keeping
def keep(varying: Sequence[bool], inputs: Sequence[Any] | None, *, branches: tuple[Graph, ...]) -> dict[str, Any]:
    """The parameters of the same branch with what its pullback reads as further outputs."""
    flags = varying[1:]
    try:
        inner = [keep_inside(b, varying_in(b, [var for var, flag in zip(b.inputs, flags) if flag])) for b in branches]
        ways = [_way(body, flags, range(len(body.outputs))) for body in inner]
    except DifferentiationError:  # it is raised again if the loss does depend on a parameter through that
        return {"branches": branches}
    slots: list[ArrayType] = []
    places = []
    for way in ways:
        own: list[int] = []
        for var in way.stored:
            at = next((i for i, t in enumerate(slots) if t == var.type and i not in own), len(slots))
            slots[at : at + 1] = [var.type]
            own.append(at)
        places.append(dict(zip(own, way.stored)))
    return {"branches": tuple(_putting_out(way.body, own, slots) for way, own in zip(ways, places))}


def _putting_out(body: Graph, own: dict[int, Var], slots: Sequence[ArrayType]) -> Graph:
    builder = Builder(Symbol)
    blank = [i for i in range(len(slots)) if i not in own]
    zeros = builder.finish([zeros_of(builder.record, slots[i]) for i in blank])
    more = {**own, **dict(zip(blank, zeros.outputs))}
    return Graph(body.inputs, [*body.equations, *zeros.equations], (*body.outputs, *(more[i] for i in range(len(slots)))))


@branch.def_pullback
def pull(
    cts: Sequence[Any], outs: Sequence[Any], index: Any, *operands: Any, varying: Sequence[bool], branches: tuple[Graph, ...]
) -> list[Any]:
    """Cotangents of the operands, from the branch that was taken."""
    flags, seeds = varying[1:], [i for i, ct in enumerate(cts) if ct is not None]
    ways = [_way(body, flags, seeds) for body in branches]
    if any(var not in way.body.outputs for way in ways for var in way.stored):
        # recorded without a derivative in mind: run the branch again, now keeping what is read
        branches = keep(varying, None, branches=branches)["branches"]
        outs = branch(index, *operands, branches=branches)
        ways = [_way(body, flags, seeds) for body in branches]
    reached = [any(place is not None for place in places) for places in zip(*(way.backward.reached for way in ways))]
    slots = sorted({way.body.outputs.index(var) for way in ways for var in way.stored})
    read = [i for i in range(len(operands)) if any(way.reads(i) for way in ways)]
    consts, bodies = close_together([_back(way, slots, read, seeds, reached) for way in ways])
    values = [*(outs[i] for i in slots), *(operands[i] for i in read), *(cts[i] for i in seeds)]
    found = iter(branch(index, *consts, *values, branches=bodies))
    pulled = iter([next(found) if hit else None for hit in reached])
    return [None, *(next(pulled) if flag else None for flag in flags)]


def _back(way: _Way, slots: Sequence[int], read: Sequence[int], seeds: Sequence[int], reached: Sequence[bool]) -> Graph:
    """One branch back: (kept outputs, operands, cotangents) to the cotangents of all operands that any branch reaches."""
    builder, body = Builder(Symbol), way.body
    outputs = {i: builder.input(body.outputs[i].type) for i in slots}
    operands = {body.inputs[i]: builder.input(body.inputs[i].type) for i in read}
    known = operands | {var: outputs[body.outputs.index(var)] for var in way.stored}
    given = {i: builder.input(body.outputs[i].type) for i in seeds}
    kept = evaluate(Graph(tuple(known), way.again, way.backward.kept), list(known.values()))
    found = evaluate(way.backward.graph, [*kept, *(given[i] for i in way.seeds)])
    each = zip(way.wrt, way.backward.reached, reached)
    return builder.finish([zeros_of(builder.record, v.type) if at is None else found[at] for v, at, hit in each if hit])
