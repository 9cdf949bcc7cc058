"""The pullbacks of `checkpoint` and of a user's own rule.

A checkpoint's pullback computes the body again and pulls back through that, all as one operation that is itself such a
checkpoint (A. Griewank, 1992, "Achieving logarithmic growth of temporal and spatial complexity in reverse automatic
differentiation"): what is held between the forward and the backward pass is the operands that this reads, to any order. The price
is one more evaluation of the body. Forward mode keeps nothing anyway, so tangents go through the body as if it stood there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrograde.autodiff.backprop import backprop, varying_in
from retrograde.autodiff.forward import run_dual
from retrograde.autodiff.loops import keep_inside
from retrograde.errors import DifferentiationError
from retrograde.ir import Graph, evaluate
from retrograde.ir.graph import eliminate_dead
from retrograde.ops.complex import conjugate
from retrograde.ops.nested import checkpoint, close, custom, record
from retrograde.ops.reduce import sum_to_shape
from retrograde.ops.shape import zeros
from retrograde.types import kind_of


@checkpoint.def_keeping
def keep_nothing(varying: Sequence[bool], inputs: Any, **params: Any) -> dict[str, Any]:
    """A checkpoint keeps no more than its operands."""
    return params


@checkpoint.def_pullback
def pull_again(
    cts: Sequence[Any], outs: Sequence[Any], *operands: Any, varying: Sequence[bool], body: Graph, again: bool
) -> list[Any]:
    """One more checkpoint: operands and cotangents, those that are read, to cotangents of the operands."""
    given = [i for i, ct in enumerate(cts) if ct is not None]
    graph, reached = pulled_through(body, varying, given)
    graph = eliminate_dead(graph)
    read = {atom for eq in graph.equations for atom in eq.inputs} | set(graph.outputs)
    used = [(var, x) for var, x in zip(graph.inputs, (*operands, *(cts[i] for i in given))) if var in read]
    graph = Graph(tuple(var for var, _ in used), graph.equations, graph.outputs, graph.constants)
    (graph,), closed = close([graph], len(used))
    found = iter(checkpoint(*(x for _, x in used), *closed, body=graph, again=True)) if graph.outputs else iter(())
    return [next(found) if hit else None for hit in reached]


def pulled_through(body: Graph, varying: Sequence[bool], seeds: Sequence[int]) -> tuple[Graph, list[bool]]:
    """The graph (inputs of `body`, cotangents of the outputs `seeds`) -> cotangents of those varying inputs that are reached."""
    wrt = [var for var, flag in zip(body.inputs, varying) if flag]
    inner = keep_inside(body, varying_in(body, wrt))
    back = backprop(inner, wrt, seeds)
    forward = Graph(inner.inputs, inner.equations, back.kept)
    count = len(body.inputs)
    types = [atom.type for atom in (*body.inputs, *(body.outputs[i] for i in seeds))]
    graph = record(types, lambda xs: evaluate(back.graph, [*evaluate(forward, xs[:count]), *xs[count:]]))
    hits = iter(place is not None for place in back.reached)
    return graph, [flag and next(hits) for flag in varying]


@checkpoint.def_push
def push_through(primals: Sequence[Any], tangents: Sequence[Any], *, body: Graph, again: bool) -> tuple[list[Any], list[Any]]:
    """Nothing would be kept, so there is nothing to compute again."""
    return run_dual(body, primals, tangents)


@custom.def_keeping
def keep_residuals(varying: Sequence[bool], inputs: Any, **params: Any) -> dict[str, Any]:
    """The residuals, which only the rule reads."""
    return {**params, "kept": True}


@custom.def_pullback
def pull_by_rule(
    cts: Sequence[Any], outs: Sequence[Any], *operands: Any, varying: Sequence[bool], body: Graph, forward: Graph, rule: Graph,
    kept: bool, count: int, name: str,
) -> list[Any]:  # fmt: skip
    """The user's rule on the cotangents of the function's outputs; those of residuals go back through what made them."""
    if any(varying[count:]):
        raise DifferentiationError(
            f"{name} has a pullback of its own, but closes over a traced value that the derivative is taken by; its rule gives "
            "cotangents of arguments only. Pass the value as an argument"
        )
    own = len(body.outputs)
    if not kept:
        outs = custom(*operands, body=body, forward=forward, rule=rule, kept=True, count=count, name=name)
    by_out: list[Any] = [*cts[:own]]
    rest = {}
    for i in range(own, len(cts)):
        if cts[i] is None:
            continue
        same = next((j for j in range(own) if forward.outputs[j] is forward.outputs[i]), None)
        if same is None:
            rest[i] = cts[i]
        else:  # a residual that is the output itself: the rule knows its derivative
            by_out[same] = cts[i] if by_out[same] is None else by_out[same] + cts[i]
    result: list[Any] = [None] * len(operands)
    if any(ct is not None for ct in by_out):
        floats = [i for i in range(own) if kind_of(body.outputs[i].type.dtype) in "fc"]
        full = [zeros(body.outputs[i].type) if by_out[i] is None else by_out[i] for i in floats]
        found = iter(evaluate(rule, [*operands, *outs[own:], *map(_conjugate, full)]))  # the rule is of what `grad` gives
        for i in range(count):
            if kind_of(body.inputs[i].type.dtype) in "fc":
                result[i] = _conjugate(next(found))
    if rest:
        graph, reached = pulled_through(forward, varying, list(rest))
        found = iter(evaluate(graph, [*operands, *rest.values()]))
        for i, hit in enumerate(reached):
            if hit:
                ct = sum_to_shape(next(found), forward.inputs[i].type.shape)
                result[i] = ct if result[i] is None else result[i] + ct
    return result


def _conjugate(ct: Any) -> Any:
    return conjugate(ct) if ct.dtype.kind == "c" else ct
