"""Loops inside traced code, all of them `scan`: `scan`, `map`, `while_loop`, `fori_loop`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrograde.control.body import as_leaves, check_carry, closed_body, trace_body
from retrograde.errors import GraphTypeError, ShapeError
from retrograde.ir import Graph, evaluate
from retrograde.ir.builder import plain
from retrograde.ops.control import scan as _scan
from retrograde.ops.elementwise import logical_not
from retrograde.trace.trace import as_output, opens
from retrograde.tree import tree_flatten, tree_leaves, tree_map, tree_unflatten
from retrograde.types import ArrayType, type_of


def scan(
    f: Callable, init: Any, xs: Any = None, length: int | None = None, *, reverse: bool = False,
    exit: Callable[[Any], Any] | None = None,
) -> tuple[Any, Any]:  # fmt: skip
    """`carry, y = f(carry, x)` for each slice x of `xs` along axis 0, as one loop; returns the last carry and all y's stacked.

    `init` and `xs` are pytrees of arrays; the carry keeps its structure, shapes and dtypes. Without `xs`, `length` says
    how often. `exit(carry)` picks a 0-d bool of the carry: no step is run once it is True, and the y's of steps not run are
    zeros. Under `jit` the body is compiled once, whatever the length.
    """
    carry_leaves, carry_tree = as_leaves(init)
    x_leaves, x_tree = as_leaves(xs)
    lengths = {x.shape[0] if x.shape else None for x in x_leaves} | ({length} if length is not None else set())
    if len(lengths) != 1 or None in lengths:
        given = sorted(str(n) for n in lengths)
        raise ShapeError(f"scan: all of xs must have one first length (and `length` agree); they have {given}")
    (count,) = lengths
    if count is None or count < 0:
        raise ShapeError(f"scan: length is a number of steps, 0 or more; it is {count}")
    types = [type_of(x) for x in carry_leaves]
    slices = [ArrayType(tuple(x.shape[1:]), x.dtype) for x in x_leaves]
    if exit is None and 0 < count <= opens():
        return step_by_step(f, tree_unflatten(carry_tree, carry_leaves), tree_unflatten(x_tree, x_leaves), count, reverse)
    place: list[int | None] = []

    def checked(result: Any) -> Any:  # while the body is traced: `exit` may compute
        new, _ = _pair(result)
        place.append(_exit_place(exit, new, tree_leaves(new)))
        return result

    step = trace_body(f, [(carry_tree, types), (x_tree, slices)], check=checked)
    new_carry, y = step.result
    carry_out, tree_out = tree_flatten(new_carry)
    y_tree = tree_flatten(y)[1]
    check_carry("scan", init, types, carry_out, tree_out, carry_tree)
    consts, body = closed_body(step.graph)
    found = _scan(
        *consts, *carry_leaves, *x_leaves, body=body, length=count, num_consts=len(consts), num_carry=len(carry_leaves),
        reverse=reverse, exit=place[0],
    )  # fmt: skip
    n = len(carry_leaves)
    return tree_unflatten(carry_tree, found[:n]), tree_unflatten(y_tree, found[n:])


def step_by_step(f: Callable, init: Any, xs: Any, count: int, reverse: bool) -> tuple[Any, Any]:
    """The same as `scan`, each step recorded by itself."""
    leaves, structure = tree_flatten(init)
    types = [type_of(x) for x in leaves]
    carry, rows = init, []
    for i in reversed(range(count)) if reverse else range(count):
        new, y = _pair(f(carry, tree_map(lambda x, i=i: x[i], xs)))
        check_carry("scan", init, types, *tree_flatten(new), structure)
        carry = tree_map(as_output, new)
        rows.append(tree_map(as_output, y))
    return carry, tree_map(lambda *slices: np.stack(slices), *(rows[::-1] if reverse else rows)) if rows else None


def map(f: Callable, xs: Any) -> Any:
    """`f(x)` for each slice x of the pytree `xs` along axis 0, results stacked: a loop of steps that carry nothing.

    As `vmap`, but one slice after the other, in the memory of one; under `jit` threads share the steps.
    """
    return scan(lambda _, x: (None, f(x)), None, xs)[1]


def while_loop(cond: Callable, body: Callable, init: Any, *, max_steps: int | None = None) -> Any:
    """`while cond(state): state = body(state)`, as one loop, from the pytree `init`; returns the last state.

    `cond` returns a 0-d bool; `body` keeps the state's structure, shapes and dtypes. With `max_steps` the loop ends after so
    many steps whatever `cond` says. Going back through the steps (`grad`) wants them kept: eagerly as many as were run; where
    that is not known, under `jit` or in a body, `max_steps` must say for how many to have room, or `DifferentiationError` is
    raised.
    """
    if max_steps is not None and (isinstance(max_steps, bool) or not hasattr(max_steps, "__index__") or max_steps < 0):
        raise ShapeError(f"while_loop: max_steps is a number of steps, 0 or more, known while tracing; it is {max_steps!r}")
    leaves, structure = as_leaves(init)
    types = [type_of(x) for x in leaves]

    def step(_over: Any, state: Any) -> Any:
        new = body(state)
        check_carry("while_loop", init, types, *tree_flatten(new), structure)
        return _over_after(cond, new), new

    flag = ArrayType((), np.dtype(bool))
    traced = trace_body(step, [(tree_flatten(0)[1], [flag]), (structure, types)])
    consts, graph = closed_body(traced.graph)
    over = _over_after(cond, tree_unflatten(structure, leaves))
    if (count := _known_length(graph, consts, [over, *leaves], max_steps)) is not None:
        return step_by_step(lambda state, _: (body(state), None), tree_unflatten(structure, leaves), None, count, False)[0]
    found = _scan(
        *consts, over, *leaves, body=graph, length=None if max_steps is None else int(max_steps), num_consts=len(consts),
        num_carry=1 + len(leaves), reverse=False, exit=0,
    )  # fmt: skip
    return tree_unflatten(structure, found[1:])


def fori_loop(lower: Any, upper: Any, body: Callable, init: Any, *, max_steps: int | None = None) -> Any:
    """`for i in range(lower, upper): state = body(i, state)`, as one loop; returns the last state.

    `i` is a 0-d integer array; `body` keeps the state's structure, shapes and dtypes. Bounds that are plain integers make a
    `scan`; traced ones a `while_loop`, to which `max_steps` goes.
    """
    bounds: list[Any] = [x if hasattr(x, "dtype") else np.asarray(x)[()] for x in (lower, upper)]
    if any(x.shape != () or x.dtype.kind not in "iu" for x in bounds):
        raise GraphTypeError(f"fori_loop: the bounds are two integers; they are {lower!r} and {upper!r}")
    if all(isinstance(x, (np.generic, np.ndarray)) for x in bounds):
        places = np.arange(*bounds, dtype=np.result_type(*bounds))
        if max_steps is not None:
            places = places[:max_steps]
        return scan(lambda state, i: (body(i, state), None), init, places)[0]
    low, high = bounds[0] + 0 * bounds[1], bounds[1]
    return while_loop(lambda s: s[0] < high, lambda s: (s[0] + 1, body(*s)), (low, init), max_steps=max_steps)[1]


def _pair(result: Any) -> Any:
    if not (isinstance(result, tuple) and len(result) == 2):
        raise GraphTypeError("scan: the function must return (carry, y); y may be None")
    return result


def _over_after(cond: Callable, state: Any) -> Any:
    """Whether a while loop in this state is over."""
    go = cond(state)
    made = as_output(go)
    if made.shape != () or made.dtype != bool:
        raise GraphTypeError(
            f"while_loop: cond must return a 0-d bool; it returned {type_of(made)}. Write a comparison, or np.any or np.all of it"
        )
    return logical_not(made if made is go else made[()])


def _known_length(body: Graph, consts: list[Any], carry: list[Any], max_steps: int | None) -> int | None:
    """How many steps a while loop takes, where it is to be recorded step by step and they are no more than that allows."""
    given, state = [plain(x) for x in consts], [plain(x) for x in carry]
    if not opens() or any(x is None for x in (*given, *state)):
        return None
    for count in range(opens() + 1):
        if state[0] or count == max_steps:
            return count
        state = evaluate(body, [*given, *state])
    return None


def _exit_place(exit: Callable[[Any], Any] | None, carry: Any, leaves: list[Any]) -> int | None:
    if exit is None:
        return None
    flag = exit(carry)
    for i, leaf in enumerate(tree_leaves(carry)):
        if leaf is flag:
            if leaf.shape != () or leaf.dtype != bool:
                raise GraphTypeError(f"scan: exit must pick a 0-d bool of the carry; it picked {leaf!r}")
            return i
    raise GraphTypeError("scan: exit must return one of the carry's own leaves; compute the flag in the body and carry it")


__all__ = ["fori_loop", "map", "scan", "step_by_step", "while_loop"]
