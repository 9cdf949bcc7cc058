"""The matrix product, batched: everything from `dot` to `einsum` comes down to this one primitive.

With `precision`, bfloat16 or float16, it takes float32 operands as rounded to that dtype, or operands of it, and multiplies and
adds in float32: a product of two such numbers is exact there.
"""

from __future__ import annotations

import numpy as np

from retrograde.errors import GraphTypeError, ShapeError
from retrograde.ir import Primitive
from retrograde.ops import elementwise as ew
from retrograde.ops.promote import astype
from retrograde.ops.shape import reshape, spread, transpose
from retrograde.types import ArrayType, bfloat16, is_bfloat16

matmul = Primitive(
    "matmul", formula="{0} {1}", flops=lambda x, y, precision=None: 2.0 * x.size * y.shape[-1]
)


@matmul.def_type
def _matmul_type(x: ArrayType, y: ArrayType, *, precision: np.dtype | None = None) -> ArrayType:
    if x.ndim != y.ndim or x.ndim < 2 or x.shape[:-2] != y.shape[:-2] or x.shape[-1] != y.shape[-2]:
        raise ShapeError(f"matmul: (..., m, k) times (..., k, n) is wanted; it was given {x} and {y}")
    shape = (*x.shape[:-1], y.shape[-1])
    if precision is None and x.dtype == y.dtype and not is_bfloat16(x.dtype):
        return x.with_shape(shape)
    if precision is None or any(t.dtype not in (np.float32, precision) for t in (x, y)):
        wanted = "operands of one dtype are" if precision is None else f"float32 or {precision} is"
        raise GraphTypeError(f"matmul: {wanted} wanted; it was given {x} and {y}")
    return ArrayType(shape, np.dtype(np.float32))


@matmul.def_reference
def _matmul_reference(x, y, *, precision=None):
    if precision is None:
        return np.matmul(x, y)
    with np.errstate(over="ignore"):  # past 65504 float16 has infinity
        return np.matmul(*[np.asarray(a).astype(precision).astype(np.float32) for a in (x, y)])


matmul.def_lower("kernel")(None)  # emitted by codegen/products.py


def swap_last(x):
    """The last two axes swapped."""
    n = len(x.shape)
    return transpose(x, axes=(*range(n - 2), n - 1, n - 2))


@matmul.def_pullback
def _matmul_pullback(ct, z, x, y, **precision):
    return astype(matmul(ct, swap_last(y), **precision), x.dtype), astype(matmul(swap_last(x), ct, **precision), y.dtype)


@matmul.def_batch
def _matmul_batch(lanes, mapped, x, y, **precision):
    """One product for all lanes where one operand is the same in all: (s, m, k) @ (k, n) is (s m, k) @ (k, n)."""
    if x.shape[-1] == 1 and x.dtype.kind != "b" and not precision:  # an outer product sums nothing: it can be fused
        return ew.multiply(x, y)
    plain = len(x.shape) - mapped[0] == 2
    if plain and not mapped[1]:
        flat = matmul(reshape(x, shape=(lanes.size * x.shape[1], x.shape[2])), y, **precision)
        return reshape(flat, shape=(*x.shape[:2], y.shape[-1]))
    if plain and not mapped[0] and y.shape[-1] <= _NARROW:
        return swap_last(_matmul_batch(lanes, (True, False), swap_last(y), swap_last(x), **precision))
    return matmul(spread(lanes, x, mapped[0]), spread(lanes, y, mapped[1]), **precision)


@matmul.def_cut
def _matmul_cut(where, types, out, out_axis, **_):
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
    for m, k, n, dtype in [(2, 3, 4, np.complex128), (5, 40, 33, np.complex64), (0, 3, 2, np.complex128)]:
        pair = [rng.normal(size=shape) + 1j * rng.normal(size=shape) for shape in ((m, k), (k, n))]
        cases.append((tuple(x.astype(dtype) for x in pair), {}))
    half, brain = {"precision": np.dtype(np.float16)}, {"precision": bfloat16()}
    single = [rng.normal(size=shape).astype(np.float32) for shape in ((9, 6), (6, 5), (2, 40, 64), (2, 64, 24))]
    cases += [((single[0], single[1]), half), ((single[0], single[1]), brain), ((single[2], single[3]), brain)]
    cases.append(((single[2][0].astype(bfloat16()), single[3][0].astype(bfloat16())), brain))
    return cases
