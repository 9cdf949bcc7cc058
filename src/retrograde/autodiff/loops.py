"""The pullback of `scan`: a loop over the same steps in the opposite order.

Its carry is the cotangents of the carry and the sums of those of the constants; its ys are the cotangents of the xs. What
the pullback of one step reads, the forward loop puts out, stacked, as further ys (`keep`): as many times as there are steps.
What does not change from step to step is a constant of the backward loop, and what costs less than storing it, a view or a
single cheap operation on values that are at hand anyway, is computed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrograde.autodiff.backprop import Backward, backprop, varying_in
from retrograde.errors import DifferentiationError
from retrograde.ir import Builder, Equation, Graph, Literal, Var, evaluate
from retrograde.ir.builder import plain
from retrograde.ops.control import scan
from retrograde.ops.elementwise import convert
from retrograde.ops.index import gather, iota
from retrograde.ops.reduce import sum_
from retrograde.ops.shape import broadcast_to
from retrograde.ops.symbol import Symbol
from retrograde.types import ArrayType

INT = np.dtype(np.int64)


@dataclass(frozen=True)
class _Step:
    """The backward pass of one step: towards constants, carries and xs of these numbers, from these outputs of the body.

    `stored` are the body's variables that the forward loop must put out, `again` the equations that make the rest of what
    is read from them, from inputs that do not change (`fixed`) and from the xs.
    """

    backward: Backward
    consts: list[int]
    carry: list[int]
    xs: list[int]
    seeds: list[int]
    stored: list[Var]
    fixed: list[Var]
    again: list[Equation]


def _step(body: Graph, num_consts: int, num_carry: int, varying: Sequence[bool], wanted: Sequence[bool]) -> _Step:
    """How to pull cotangents of the outputs that are `wanted` back through one step, towards the inputs that are `varying`."""
    end = num_consts + num_carry
    carried = body.inputs[num_consts:end]
    reach = _reach(body, num_consts, num_carry, varying)
    seeds = {i for i, (atom, want) in enumerate(zip(body.outputs, wanted)) if want and atom in reach}
    while True:  # a carry gets a cotangent from its own, or from what later steps make of it
        live = {body.outputs[i] for i in seeds}
        for eq in reversed(body.equations):
            if any(out in live for out in eq.outputs):
                live.update(atom for atom in eq.inputs if isinstance(atom, Var))
        carry = [i for i, var in enumerate(carried) if var in reach and (i in seeds or var in live)]
        grown = seeds | {i for i in carry if body.outputs[i] in reach}
        if grown == seeds:
            break
        seeds = grown
    consts = [i for i in range(num_consts) if varying[i]]
    xs = [i for i in range(end, len(body.inputs)) if varying[i]]
    wrt = [body.inputs[i] for i in (*consts, *(num_consts + i for i in carry), *xs)]
    order = sorted(seeds)
    backward = backprop(body, wrt, order)
    stored, fixed, again = sources(body, backward.kept, num_consts, end)
    return _Step(backward, consts, carry, [i - end for i in xs], order, stored, fixed, again)


def _reach(body: Graph, num_consts: int, num_carry: int, varying: Sequence[bool]) -> set:
    """The body's variables that depend on a varying input, now or through the carry of an earlier step."""
    flags = list(varying)
    while True:
        found = varying_in(body, [var for var, flag in zip(body.inputs, flags) if flag])
        carried = [i for i in range(num_carry) if body.outputs[i] in found and not flags[num_consts + i]]
        if not carried:
            return found
        for i in carried:
            flags[num_consts + i] = True


def sources(body: Graph, kept: Sequence[Var], first: int, end: int) -> tuple[list[Var], list[Var], list[Equation]]:
    """What of `kept` to store, what is fixed, and the equations that make the rest from these and the xs."""
    producers = body.producers()
    changing = set(body.inputs[first:])
    for eq in body.equations:
        if any(atom in changing for atom in eq.inputs):
            changing.update(eq.outputs)
    roots: dict[Var, None] = {}
    again: set[Equation] = set()
    work = list(kept)
    while work:
        var = work.pop()
        eq = producers.get(var)
        if eq is not None and eq.primitive.lowering == "view" and var in changing:
            again.add(eq)
            work.extend(atom for atom in eq.inputs if isinstance(atom, Var))
        else:
            roots[var] = None
    free = set(body.inputs[:first]) | set(body.inputs[end:])
    made = {out for eq in again for out in eq.outputs}
    for var in list(roots):
        eq = producers.get(var)
        cheap = eq is not None and eq.primitive.lowering == "elementwise" and eq.primitive.flops in (0, 1)
        if cheap and all(isinstance(a, Literal) or a in free or a in roots or a in made for a in eq.inputs):
            again.add(eq)
    made = {out for eq in again for out in eq.outputs}
    inputs = dict.fromkeys(a for eq in body.equations if eq in again for a in eq.inputs if isinstance(a, Var) and a not in made)
    needed = dict.fromkeys((*(var for var in roots if var not in made), *inputs))
    stored = [var for var in needed if var in changing and var not in free]
    return stored, [var for var in needed if var not in changing], [eq for eq in body.equations if eq in again]


@scan.def_keeping
def keep(
    varying: Sequence[bool], operands: Sequence[Any] | None, *, body: Graph, length: int | None, num_consts: int, num_carry: int,
    reverse: bool, exit: int | None,
) -> dict[str, Any]:  # fmt: skip
    """The parameters of the same loop with what its pullback reads as further ys; where it may `exit`, which steps were run.

    A while loop whose `operands` are known becomes a loop of as many steps as it takes.
    """
    if length is None and (length := _count(operands, body, num_consts, exit)) is not None:
        exit = None
    params = {"body": body, "length": length, "num_consts": num_consts, "num_carry": num_carry, "reverse": reverse, "exit": exit}
    if not length:
        return params
    try:
        inner = keep_inside(body, _reach(body, num_consts, num_carry, varying))
        step = _step(inner, num_consts, num_carry, varying, [True] * len(body.outputs))
    except DifferentiationError:  # it is raised again if the loss does depend on a parameter through that
        return params
    if not step.seeds:
        return params
    ys = inner.outputs[num_carry:]
    more: list[Any] = [var for var in step.stored if var not in ys]
    if exit is not None and _run_flag(ys) is None:
        more.append(Literal(True))
    return {**params, "body": Graph(inner.inputs, inner.equations, (*inner.outputs, *more))}


def _count(operands: Sequence[Any] | None, body: Graph, num_consts: int, exit: int) -> int | None:
    """How many steps a while loop takes from these operands; None if they have no numbers yet."""
    values = [plain(x) for x in operands or [None]]
    if any(x is None for x in values):
        return None
    consts, carry, steps = values[:num_consts], values[num_consts:], 0
    while not carry[exit]:
        carry, steps = evaluate(body, [*consts, *carry]), steps + 1
    return steps


def keep_inside(body: Graph, varying: set) -> Graph:
    """The graph with its own loops keeping what their pullbacks read."""
    equations = []
    for eq in body.equations:
        flags = [atom in varying for atom in eq.inputs]
        if eq.primitive.keeping is not None and any(flags):
            params = eq.primitive.keeping(flags, None, **eq.params)
            types = eq.primitive.type_rule(*[atom.type for atom in eq.inputs], **params)
            more = tuple(Var(t) for t in types[len(eq.outputs) :])
            eq = Equation(eq.primitive, eq.inputs, params, (*eq.outputs, *more), eq.source)
        equations.append(eq)
    return Graph(body.inputs, equations, body.outputs, body.constants)


def _run_flag(ys: Sequence[Any]) -> int | None:
    """Which y is True in every step that is run."""
    return next((i for i, y in enumerate(ys) if isinstance(y, Literal) and y.value is np.True_), None)


@scan.def_pullback
def pull(
    cts: Sequence[Any], outs: Sequence[Any], *operands: Any, varying: Sequence[bool], body: Graph, length: int | None,
    num_consts: int, num_carry: int, reverse: bool, exit: int | None,
) -> list[Any]:  # fmt: skip
    """Cotangents of constants, first carry and xs."""
    if length is None:
        raise DifferentiationError(
            "while_loop: to go back through its steps they must be kept, and how many there are at most is not known where it is "
            "traced without numbers (under jit, in a loop or a branch). Say it: rg.while_loop(cond, body, init, max_steps=...)"
        )
    end = num_consts + num_carry
    if not length:
        return [*[None] * num_consts, *cts[:num_carry], *[None] * (len(operands) - end)]
    wanted = [ct is not None for ct in cts]
    step = _step(body, num_consts, num_carry, varying, wanted)
    ys = body.outputs[num_carry:]
    if any(var not in ys for var in step.stored) or (exit is not None and _run_flag(ys) is None):
        # the graph was recorded without a derivative in mind: run the loop again, now keeping what is read
        given = {"body": body, "length": length, "num_consts": num_consts, "num_carry": num_carry}
        params = keep(varying, None, **given, reverse=reverse, exit=exit)
        body = params["body"]
        outs, ys = scan(*operands, **params), body.outputs[num_carry:]
        step = _step(body, num_consts, num_carry, varying, [*wanted, *[False] * (len(body.outputs) - len(wanted))])
    record = next(ct for ct in cts if ct is not None)._builder.record
    arrays = dict(zip(body.inputs, operands))
    constants = _fixed(body, step.fixed, operands[:num_consts])
    slices = [var for var in body.inputs[end:] if _reads(step, var)]
    stacks = [*(outs[num_carry + ys.index(var)] for var in step.stored), *(arrays[var] for var in slices)]
    stacks += [cts[i] for i in step.seeds if i >= num_carry and cts[i] is not None]
    last = inverse = None
    if exit is not None:
        ended, last, order, inverse = _order(record, outs[num_carry + _run_flag(ys)], length, reverse)
        stacks, reverse = [gather(x, order, axis=0) for x in stacks], True
    carry = [zeros_of(record, body.inputs[num_consts + i].type) if cts[i] is None else cts[i] for i in step.carry]
    reached = [i for i, place in zip(step.consts, step.backward.reached) if place is not None]
    sums = [zeros_of(record, body.inputs[i].type) for i in reached]
    graph = _backward_body(body, step, slices, cts, num_consts, num_carry, last is not None)
    closed = list(graph.constants.values())
    flag = [] if last is None else [ended]
    found = scan(
        *closed, *constants, *flag, *carry, *sums, *([] if last is None else [last]), *stacks,
        body=Graph((*graph.constants, *graph.inputs), graph.equations, graph.outputs), length=length, reverse=not reverse,
        num_consts=len(closed) + len(constants), num_carry=len(flag) + len(carry) + len(sums), exit=None if last is None else 0,
    )[len(flag) :]  # fmt: skip
    result: list[Any] = [None] * len(operands)
    for i, ct in zip((*(num_consts + i for i in step.carry), *reached), found):
        result[i] = ct
    by_xs = [i for i, place in zip(step.xs, step.backward.reached[len(step.consts) + len(step.carry) :]) if place is not None]
    for i, ct in zip(by_xs, found[len(carry) + len(sums) :]):
        result[end + i] = ct if inverse is None else gather(ct, inverse, axis=0)
    return result


def _reads(step: _Step, var: Var) -> bool:
    return var in step.backward.kept or any(var in eq.inputs for eq in step.again)


def _fixed(body: Graph, wanted: Sequence[Var], consts: Sequence[Any]) -> list[Any]:
    """Values of the body that are the same in all steps, from its constants."""
    live, chain = set(wanted), []
    for eq in reversed(body.equations):
        if any(out in live for out in eq.outputs):
            chain.append(eq)
            live.update(atom for atom in eq.inputs if isinstance(atom, Var))
    return evaluate(Graph(body.inputs[: len(consts)], chain[::-1], tuple(wanted)), consts)


def _order(record: Any, run: Any, length: int, reverse: bool) -> tuple[Any, Any, Any, Any]:
    """For a loop that may have ended early, the steps to walk back: the last that was run comes first.

    Returns whether there is none, which turn is the last, the place in the stacks of each turn's step, and the turn of each
    place.
    """
    turns = record(iota, (), {"size": length, "dtype": INT})
    count = sum_(convert(run, dtype=INT), axes=(0,))
    step = (count - 1 - turns) % length  # its own inverse
    if not reverse:
        return count == 0, turns == count - 1, step, step
    return count == 0, turns == count - 1, length - 1 - step, (turns + count) % length


def zeros_of(record: Any, type_: ArrayType) -> Any:
    """Zeros, as few as can be: a number, stretched."""
    zero = np.zeros((), type_.dtype)[()]
    return record(broadcast_to, (zero,), {"shape": type_.shape}) if type_.shape else zero


def _backward_body(
    body: Graph, step: _Step, slices: Sequence[Var], cts: Sequence[Any], num_consts: int, num_carry: int, exits: bool
) -> Graph:
    """One step back: (fixed; cotangents of carries, sums; stored, slices, cotangents of ys) to the new carry and those of xs."""
    builder = Builder(Symbol)
    fixed = {var: builder.input(var.type) for var in step.fixed}
    if exits:
        builder.input(ArrayType((), np.dtype(bool)))
    carry = {i: builder.input(body.inputs[num_consts + i].type) for i in step.carry}
    n_consts, n_carry = len(step.consts), len(step.carry)
    reached = step.backward.reached
    sums = [builder.input(body.inputs[i].type) for i, place in zip(step.consts, reached) if place is not None]
    last = [builder.input(ArrayType((), np.dtype(bool)))] if exits else []
    known = fixed | {var: builder.input(var.type) for var in (*step.stored, *slices)}
    by_ys = {i: builder.input(body.outputs[i].type) for i in step.seeds if i >= num_carry and cts[i] is not None}
    kept = evaluate(Graph(tuple(known), step.again, step.backward.kept), list(known.values()))
    seeds = [carry[i] if i < num_carry else by_ys[i] for i in step.seeds]
    found = evaluate(step.backward.graph, [*kept, *seeds])
    pulled = [None if place is None else found[place] for place in reached]
    new = [
        zeros_of(builder.record, body.inputs[num_consts + i].type) if ct is None else ct
        for i, ct in zip(step.carry, pulled[n_consts : n_consts + n_carry])
    ]
    added = [total + ct for total, ct in zip(sums, (ct for ct in pulled[:n_consts] if ct is not None))]
    return builder.finish([*last, *new, *added, *(ct for ct in pulled[n_consts + n_carry :] if ct is not None)])
