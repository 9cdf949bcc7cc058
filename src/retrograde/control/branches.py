"""Branches inside traced code: `cond` and `switch`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograde.control.body import Traced, as_leaves, trace_body
from retrograde.errors import GraphTypeError
from retrograde.ir.builder import plain
from retrograde.ops.branch import branch, close_together
from retrograde.ops.promote import astype
from retrograde.trace.trace import as_output, opens
from retrograde.tree import tree_paths, tree_unflatten
from retrograde.types import ArrayType, type_of


def cond(pred: Any, true_fun: Callable, false_fun: Callable, *operands: Any) -> Any:
    """`true_fun(*operands) if pred else false_fun(*operands)`, where only the one that is taken runs.

    `pred` is a 0-d bool (or number: nonzero is True). Both functions take the pytrees `operands` and return the same
    structure, shapes and dtypes. Where `vmap` maps `pred` both run and a select picks: then neither may divide by zero, or a
    gradient of it may be NaN.
    """
    pred = pred if hasattr(pred, "dtype") else np.asarray(pred)[()]
    if pred.shape != () or pred.dtype.kind not in "biuf":
        raise GraphTypeError(f"cond: pred is one bool; it is {type_of(pred)}. Of an array take np.any or np.all")
    taken = pred if pred.dtype == bool else pred != 0
    return _branch("cond", taken, [false_fun, true_fun], ["false_fun", "true_fun"], operands)


def switch(index: Any, branches: Sequence[Callable], *operands: Any) -> Any:
    """`branches[index](*operands)`, where only the one that is taken runs.

    `index` is a 0-d integer; a negative one counts from the end. One out of range is an `IndexError` eagerly; compiled code
    takes the nearest branch. For the functions, operands and `vmap` see `cond`.
    """
    index = index if hasattr(index, "dtype") else np.asarray(index)[()]
    if index.shape != () or index.dtype.kind not in "iu":
        raise GraphTypeError(f"switch: index is one integer; it is {type_of(index)}")
    if not branches:
        raise GraphTypeError("switch: there are no branches; give one function at least")
    return _branch("switch", index, list(branches), [f"branches[{i}]" for i in range(len(branches))], operands)


def _branch(name: str, index: Any, functions: list[Callable], names: list[str], operands: tuple) -> Any:
    flat = [as_leaves(x) for x in operands]
    leaves = [leaf for found, _ in flat for leaf in found]
    args = [(structure, [type_of(x) for x in found]) for found, structure in flat]
    traced = [trace_body(f, args, keeps=True) for f in functions]
    types = _common_types(name, traced, names)
    if opens() and (place := plain(index)) is not None:
        taken = as_leaves(functions[int(place)](*operands))[0]
        return tree_unflatten(traced[0].structure, [astype(as_output(x), t.dtype) for x, t in zip(taken, types)])
    if any(type_of(as_output(x)).dtype != t.dtype for found in traced for x, t in zip(found.leaves, types)):
        again = [lambda *xs, f=f: [astype(as_output(x), t.dtype) for x, t in zip(as_leaves(f(*xs))[0], types)] for f in functions]
        graphs = [trace_body(f, args, keeps=True).graph for f in again]
    else:
        graphs = [found.graph for found in traced]
    consts, bodies = close_together(graphs)
    made = branch(index, *consts, *leaves, branches=bodies)
    return tree_unflatten(traced[0].structure, made)


def _common_types(name: str, traced: Sequence[Traced], names: Sequence[str]) -> list[ArrayType]:
    """The types of the results; a Python number takes the dtype that the other branch has at its place."""
    first = traced[0]
    for found, other in zip(traced[1:], names[1:]):
        if found.structure != first.structure:
            raise GraphTypeError(
                f"{name}: all branches must return one structure; {names[0]} returns {first.structure}, {other} {found.structure}"
            )
    types = []
    for i, path in enumerate(tree_paths(tree_unflatten(first.structure, first.leaves))):
        given = [type_of(as_output(found.leaves[i])) for found in traced]
        strong = [t for t, found in zip(given, traced) if not _is_weak(found.leaves[i])]
        wanted = strong[0] if strong else ArrayType((), np.result_type(*(t.dtype for t in given)))
        for t, found, other in zip(given, traced, names):
            weak = _is_weak(found.leaves[i]) and wanted.shape == () and np.can_cast(t.dtype, wanted.dtype, "same_kind")
            if t != wanted and not weak:
                who = names[next(j for j, g in enumerate(traced) if not strong or not _is_weak(g.leaves[i]))]
                where = "".join(f"[{key!r}]" for key in path)
                raise GraphTypeError(
                    f"{name}: all branches must return the same shapes and dtypes; {who} returns {wanted} and {other} {t}"
                    + (f" at {where}" if where else "") + ". Convert one (np.broadcast_to, x.astype)"
                )
        types.append(wanted)
    return types


def _is_weak(leaf: Any) -> bool:
    return type(leaf) in (bool, int, float, complex) or getattr(leaf, "weak", False)


__all__ = ["cond", "switch"]
