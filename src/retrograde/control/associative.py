"""`associative_scan`: all running results of an associative operation, in logarithmic depth.

The recursion is Blelloch's ("Prefix sums and their applications", 1990): neighbors are joined in pairs, the half as many
results scanned likewise, and the elements in between joined with what stands before them. It is made of slices and
concatenations, so each transform and the compiler know all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrograde import numpy as rnp
from retrograde.control.body import as_leaves
from retrograde.errors import GraphTypeError, ShapeError
from retrograde.tree import tree_unflatten
from retrograde.types import type_of


def associative_scan(f: Callable, xs: Any, reverse: bool = False, axis: int = 0) -> Any:
    """x0, f(x0, x1), f(f(x0, x1), x2), ... along `axis`, for an associative `f`, in about 2 log n rounds of it.

    `xs` is a pytree of arrays with one length along `axis`. `f(a, b)` takes two such trees and joins them element by element
    along that axis (write `rg.vmap(g)` for a `g` that joins two elements); it keeps shapes and dtypes. With `reverse`
    it starts at the end: f(x[-1], x[-2]) and so on.
    """
    leaves, structure = as_leaves(xs)
    lengths: set[Any] = {x.shape[axis] if -len(x.shape) <= axis < len(x.shape) else None for x in leaves}
    if len(lengths) != 1 or None in lengths:
        raise ShapeError(f"associative_scan: all arrays must have one length along axis {axis}; they are {_shown(leaves)}")
    axes = [axis % len(x.shape) for x in leaves]

    def join(a: list[Any], b: list[Any]) -> list[Any]:
        made, found = as_leaves(f(tree_unflatten(structure, a), tree_unflatten(structure, b)))
        if found != structure:
            raise GraphTypeError(f"associative_scan: f takes trees {structure} and must return such; it returned {found}")
        if [type_of(x) for x in made] != [type_of(x) for x in a]:
            raise GraphTypeError(
                f"associative_scan: f must keep shapes and dtypes; it was given {_shown(a)} and returned {_shown(made)}. It "
                "works on whole slices along the axis: write rg.vmap(f) if yours joins two elements"
            )
        return made

    def part(x: Any, a: int, start: int, stop: int, step: int = 1) -> Any:
        return rnp.getitem(x, (*[slice(None)] * a, slice(start, stop, step)))

    def parts(xs: list[Any], start: int, stop: int, step: int = 1) -> list[Any]:
        return [part(x, a, start, stop, step) for x, a in zip(xs, axes)]

    def running(xs: list[Any], n: int) -> list[Any]:
        if n < 2:
            return xs
        pairs = join(parts(xs, 0, n - 1, 2), parts(xs, 1, n, 2))
        odd = running(pairs, n // 2)
        even = parts(xs, 0, 1)
        if n > 2:
            later = join(parts(odd, 0, (n - 1) // 2), parts(xs, 2, n, 2))
            even = [rnp.concatenate([x, y], a) for x, y, a in zip(even, later, axes)]
        return [_interleaved(x, y, a, n) for x, y, a in zip(even, odd, axes)]

    if reverse:
        leaves = [rnp.flip(x, a) for x, a in zip(leaves, axes)]
    found = running(leaves, lengths.pop())
    return tree_unflatten(structure, [rnp.flip(x, a) for x, a in zip(found, axes)] if reverse else found)


def _interleaved(even: Any, odd: Any, axis: int, n: int) -> Any:
    """even[0], odd[0], even[1], ... along the axis."""
    head = rnp.getitem(even, (*[slice(None)] * axis, slice(0, n // 2)))
    both = rnp.stack([head, odd], axis + 1)
    joined = rnp.reshape(both, (*odd.shape[:axis], 2 * (n // 2), *odd.shape[axis + 1 :]))
    last = rnp.getitem(even, (*[slice(None)] * axis, slice(n // 2, None)))
    return rnp.concatenate([joined, last], axis) if n % 2 else joined


def _shown(leaves: list[Any]) -> str:
    return "(" + ", ".join(str(type_of(x)) for x in leaves) + ")"


__all__ = ["associative_scan"]
