"""`elementwise`: the short form in which a whole family of primitives is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError, ShapeError
from retrograde.ir import Primitive
from retrograde.ops.shape import reshape
from retrograde.types import ArrayType


def broadcast_shapes(name: str, *types: ArrayType) -> tuple[int, ...]:
    """NumPy's broadcast of the operands' shapes."""
    shapes = {t.shape for t in types}
    if len(shapes) == 1:
        return types[0].shape
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        shown = " and ".join(str(t.shape) for t in types)
        raise ShapeError(
            f"{name}: shapes {shown} do not broadcast together; counted from the last axis, each pair of lengths must "
            "be equal or one of them 1"
        ) from None


def by_elements(primitive: Primitive) -> None:
    """The rules of the family: mapped, ranks are filled up behind the mapped axis, then broadcasting lines up."""

    @primitive.def_cut
    def cut(where: Sequence[int | None], types: Sequence[ArrayType], out: ArrayType, out_axis: int | None, **_: Any) -> bool:
        from_last = None if out_axis is None else out.ndim - out_axis
        return all(axis is None or type_.ndim - axis == from_last for axis, type_ in zip(where, types))

    @primitive.def_batch
    def batch(lanes: Any, mapped: Sequence[bool], *xs: Any, **params: Any) -> Any:
        rank = max(len(x.shape) - m for x, m in zip(xs, mapped))
        return primitive(*[fill_rank(x, rank + 1) if m else x for x, m in zip(xs, mapped)], **params)


def fill_rank(x: Any, rank: int) -> Any:
    """`x` with axes of length 1 behind its first, so that it has `rank` of them."""
    missing = rank - len(x.shape)
    return reshape(x, shape=(x.shape[0], *[1] * missing, *x.shape[1:])) if missing else x


def elementwise(
    name: str,
    reference: Callable[..., Any],
    *,
    formula: str,
    pullback: Callable[..., Any] | None,
    lower: str | Callable[..., Any],
    kinds: str = "fiub",
    result: str | Callable[[np.dtype], np.dtype] | None = None,
    domain: tuple[float, float] = (-2.0, 2.0),
    flops: float = 1.0,
    arity: int = 1,
    ufunc: Any = None,
    doc: str = "",
) -> Primitive:
    """A primitive that works element by element, with NumPy's broadcasting, on operands of one dtype.

    `kinds` are the dtype kinds it takes, `result` a fixed result dtype (comparisons: bool) or a function of the operands'
    dtype, `domain` where the samples (of complex ones the real parts) lie, `lower` a math function's name or a function of the
    scalar emitter and the scalars. The pullback may ignore broadcasting: backpropagation sums each cotangent to its operand's
    shape.
    """
    primitive = Primitive(name, formula=formula, flops=flops)
    primitive.__doc__ = doc or None
    primitive.ufunc = ufunc if ufunc is not None else (reference if isinstance(reference, np.ufunc) else None)

    @primitive.def_type
    def type_rule(*types: ArrayType) -> ArrayType:
        dtype = types[0].dtype
        if any(t.dtype != dtype for t in types) or dtype.kind not in kinds:
            given = ", ".join(str(t) for t in types)
            raise GraphTypeError(f"{name} wants operands of one dtype among kinds {kinds!r}; it was given {given}")
        found = result(dtype) if callable(result) else np.dtype(result) if result else dtype
        return ArrayType(broadcast_shapes(name, *types), found)

    primitive.def_reference(reference)
    by_elements(primitive)
    if pullback is not None:
        primitive.def_pullback(pullback)
    if isinstance(lower, str):
        math_name = lower
        primitive.def_lower("elementwise")(lambda e, *xs: e.math(math_name, *xs))
    else:
        primitive.def_lower("elementwise")(lower)

    @primitive.def_samples
    def samples() -> list:
        return _samples(arity, kinds, domain)

    return primitive


def _samples(arity: int, kinds: str, domain: tuple[float, float]) -> list:
    rng = np.random.default_rng(7)
    low, high = domain
    cases: list = []
    shapes = [(), (5,), (0,), (2, 3), (17,)]
    if "f" in kinds:
        for dtype in (np.float64, np.float32):
            for shape in shapes:
                # evenly spread operands, shuffled against one another: no two tie
                arrays = [rng.uniform(low, high, shape).astype(dtype) for _ in range(arity)]
                cases.append((tuple(arrays), {}))
        if arity == 2:
            pair = rng.uniform(low, high, (4, 1)), rng.uniform(low, high, (3,))
            cases.append((pair, {}))
            cases.append(((pair[0], np.float64(0.5 * (low + high) + 0.1)), {}))
    elif "b" in kinds:
        for shape in shapes:
            cases.append((tuple(rng.integers(0, 2, shape).astype(bool) for _ in range(arity)), {}))
    if "i" in kinds:
        cases.append((tuple(rng.integers(1, 6, (2, 3)) for _ in range(arity)), {}))
        cases.append((tuple(rng.integers(1, 6, (4,)).astype(np.int32) for _ in range(arity)), {}))
    return cases
