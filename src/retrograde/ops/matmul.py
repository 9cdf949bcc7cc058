"""The matrix product, batched: everything from `dot` to `einsum` comes down to this one primitive."""

from __future__ import annotations

import numpy as np

from retrograde.errors import ShapeError
from retrograde.ir import Primitive
from retrograde.ops import elementwise as ew
from retrograde.ops.shape import reshape, spread, transpose
from retrograde.types import ArrayType

matmul = Primitive(
    "matmul", formula="{0} {1}", flops=lambda x, y: 2.0 * x.size * y.shape[-1]
)


@matmul.def_type
def _matmul_type(x: ArrayType, y: ArrayType) -> ArrayType:
    fits = x.ndim == y.ndim >= 2 and x.shape[:-2] == y.shape[:-2] and x.shape[-1] == y.shape[-2] and x.dtype == y.dtype
    if not fits:
        raise ShapeError(f"matmul: (..., m, k) times (..., k, n) of one dtype is wanted; it was given {x} and {y}")
    return x.with_shape((*x.shape[:-1], y.shape[-1]))


matmul.def_reference(lambda x, y: np.matmul(x, y))
matmul.def_lower("kernel")(None)  # emitted by codegen/products.py


def swap_last(x):
    """The last two axes swapped."""
    n = len(x.shape)
    return transpose(x, axes=(*range(n - 2), n - 1, n - 2))


matmul.def_pullback(lambda ct, z, x, y: (matmul(ct, swap_last(y)), matmul(swap_last(x), ct)))


@matmul.def_batch
def _matmul_batch(lanes, mapped, x, y):
    """One product for all lanes where one operand is the same in all: (s, m, k) @ (k, n) is (s m, k) @ (k, n)."""
    if x.shape[-1] == 1 and x.dtype.kind != "b":  # an outer product sums nothing, so it can be fused with what reads it
        return ew.multiply(x, y)
    plain = len(x.shape) - mapped[0] == 2
    if plain and not mapped[1]:
        flat = matmul(reshape(x, shape=(lanes.size * x.shape[1], x.shape[2])), y)
        return reshape(flat, shape=(*x.shape[:2], y.shape[-1]))
    if plain and not mapped[0] and y.shape[-1] <= _NARROW:
        return swap_last(_matmul_batch(lanes, (True, False), swap_last(y), swap_last(x)))
    return matmul(spread(lanes, x, mapped[0]), spread(lanes, y, mapped[1]))


@matmul.def_cut
def _matmul_cut(where, types, out, out_axis):
    (x, y), rank = where, out.ndim
    if out_axis is None:  # summed over
        return (x, y) == (rank - 1, rank - 2)
    return (x, y) in ((rank - 2, None), (None, rank - 1)) or (x is not None and x == y < rank - 2)


_NARROW = 8  # columns; (m, k) @ (s, k, n) with more is s products of a size that pays by itself, and y need not be copied


@matmul.def_samples
def _matmul_samples() -> list:
    rng = np.random.default_rng(11)
    cases = []
    for m, k, n in [(2, 3, 4), (1, 1, 1), (5, 7, 1), (1, 17, 3), (0, 3, 2), (2, 0, 3), (33, 31, 17)]:
        cases.append(((rng.normal(size=(m, k)), rng.normal(size=(k, n))), {}))
    cases.append(((rng.normal(size=(3, 2, 4)), rng.normal(size=(3, 4, 5))), {}))
    cases.append(((rng.normal(size=(4, 3)).T, rng.normal(size=(5, 4)).T), {}))
    cases.append(((rng.normal(size=(2, 3)).astype(np.float32), rng.normal(size=(3, 4)).astype(np.float32)), {}))
    cases.append(((rng.integers(-4, 4, (2, 3)), rng.integers(-4, 4, (3, 4))), {}))
    return cases
