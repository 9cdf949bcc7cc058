"""Linear algebra: LU's factors, and solutions by them. Matrices are the last two axes; see `ops/linalg.py`.

All of it is holomorphic: of complex matrices too a transpose is one without conjugation, in values and in pullbacks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError
from retrograde.ir import Primitive
from retrograde.ir.layout import room_bytes
from retrograde.ops import elementwise as ew
from retrograde.ops.index import nearest, take_along
from retrograde.ops.linalg import (
    INT32,
    INT64,
    by_lapack,
    by_matrices,
    check_matrix,
    coordinates,
    eye_like,
    letter,
    matrices,
    one_by_one,
    triangular_solve,
    tril,
    triu,
)
from retrograde.ops.matmul import matmul, swap_last
from retrograde.ops.shape import broadcast_to, embed, reshape, slice_
from retrograde.types import ArrayType

lu = Primitive("lu", formula="\\operatorname{{lu}}({0})", multiple=True, flops=lambda a: 2 / 3 * a.size * min(a.shape[-2:]))
lu.__doc__ = (
    "(factors, pivots) of a matrix, square or not: row i was exchanged for row pivots[i], one after the other; the factors lie "
    "in one matrix, l without its diagonal of ones. A singular matrix has factors too, with a zero on the diagonal of u."
)


@lu.def_type
def _lu_type(a: ArrayType) -> tuple:
    check_matrix("lu", a, square=False)
    return a, ArrayType((*a.shape[:-2], min(a.shape[-2:])), INT32)


@lu.def_reference
def _lu_reference(a: Any) -> tuple:
    if a.size == 0:
        return np.zeros_like(a), np.zeros((*a.shape[:-2], min(a.shape[-2:])), np.int32)
    from scipy.linalg.lapack import get_lapack_funcs

    (getrf,) = get_lapack_funcs(("getrf",), (a,))
    return one_by_one(lambda m: getrf(m)[:2], a)


by_matrices(lu)


@lu.def_lower("kernel")
def _lu_lower(k: Any, outputs: Any, inputs: Any) -> None:
    (out, pivots), (a,) = outputs, inputs
    if a.type.size == 0:
        return k.fill(pivots, 0)
    (m, n), e = a.shape[-2:], k.scalar(INT32)
    for index in k.loop(*a.shape[:-2]):
        held, places = k.room((a.dtype, (m, n)), (INT32, (min(m, n),)))
        k.copy(held, k.matrix(a, index))
        k.call("lapack", f"{letter(a)}getrf", m, n, held, m, places)
        k.copy(k.matrix(out, index), held)
        for (i,) in k.loop(min(m, n)):
            k.store(pivots, (*index, i), e.sub(k.load(places, (i,)), e.const(1)))
    return None


lu.solo = by_lapack
lu.scratch = lambda a: room_bytes((a.dtype, a.shape[-2:]), (INT32, (min(a.shape[-2:]),)))


def lower_factor(factors: Any) -> Any:
    """l, square: with ones on its diagonal, and of the identity what the factors have no columns for."""
    whole = _square(factors, factors.shape[-2])
    return tril(whole, -1) + eye_like(whole)


def _square(factors: Any, size: int) -> Any:
    """The factors cut to this size, or filled up with zeros."""
    *batch, m, n = factors.shape
    stop = (*batch, min(m, size), min(n, size))
    ones, zeros = (1,) * len(stop), (0,) * len(stop)
    cut = slice_(factors, start=zeros, limit=stop, step=ones)
    return cut if (m, n) == (size, size) else embed(cut, shape=(*batch, size, size), start=zeros, limit=stop, step=ones)


def upper_factor(factors: Any) -> Any:
    """u, square: with ones on the diagonal where the factors have no rows for it."""
    m, n = factors.shape[-2:]
    whole = triu(_square(factors, n))
    rows, columns = coordinates(whole, 0)
    one = np.ones((), factors.dtype)[()]
    filled = ew.logical_and(ew.equal(rows, columns), ew.greater_equal(rows, np.int64(m)))
    return ew.select(filled, one, whole) if m < n else whole


@lu.def_pullback
def _lu_pullback(cts: tuple, outs: tuple, a: Any) -> tuple:
    """From da = p' (dl u + l du): what is below the diagonal of l^-1 p da u^-1 is l^-1 dl, the rest is du u^-1."""
    ct, (factors, pivots) = cts[0], outs
    if ct is None:
        return (None,)
    m = factors.shape[-2]
    l, u = lower_factor(factors), upper_factor(factors)
    inner = tril(matmul(swap_last(l), ct), -1) + triu(matmul(ct, swap_last(u)))
    left = triangular_solve(l, inner, lower=True, transposed=True, unit=True)
    both = swap_last(triangular_solve(u, swap_last(left), lower=False, transposed=False, unit=False))
    return (take_rows(both, permutation(pivots, size=m, inverse=True)),)


@lu.def_samples
def _lu_samples() -> list:
    rng = np.random.default_rng(23)
    shapes = [(3, 3), (1, 1), (4, 2), (2, 4), (0, 3), (2, 0), (2, 3, 3), (5, 5)]
    real = matrices(rng, *shapes)
    mixed = [x + 1j * np.flip(x, -1) for x in real[:4]]
    return [((x,), {}) for x in (*real, *mixed, mixed[0].astype(np.complex64))]


permutation = Primitive("row_exchanges", formula="{0}", flops=0)
permutation.__doc__ = (
    "Where the rows came from that LU's pivots exchanged: p a has the rows a[permutation]; or, `inverse`, where they went. No "
    "derivative."
)


@permutation.def_type
def _permutation_type(pivots: ArrayType, *, size: int, inverse: bool) -> ArrayType:
    if pivots.dtype.kind not in "iu" or pivots.ndim < 1 or pivots.shape[-1] > size:
        raise GraphTypeError(f"pivots are integers, at most {size} for a matrix of as many rows; they are {pivots}")
    return ArrayType((*pivots.shape[:-1], size), INT64)


@permutation.def_reference
def _permutation_reference(pivots: Any, *, size: int, inverse: bool) -> Any:
    pivots = np.asarray(pivots)
    out = np.empty((*pivots.shape[:-1], size), np.int64)
    for index in np.ndindex(*pivots.shape[:-1]):
        row = np.arange(size)
        for i, j in enumerate(pivots[index]):
            row[[i, j]] = row[[j, i]]
        out[index] = np.argsort(row) if inverse else row
    return out


@permutation.def_lower("kernel")
def _permutation_lower(k: Any, outputs: Any, inputs: Any, *, size: int, inverse: bool) -> None:
    """The exchanges in order; for the inverse, in reverse order."""
    (out,), (pivots,) = outputs, inputs
    at, count = k.scalar(INT64), pivots.shape[-1]
    for index in k.loop(*out.shape[:-1]):
        for (i,) in k.loop(size):
            k.store(out, (*index, i), i)
        for (step,) in k.loop(count) if out.type.size else ():
            i = at.sub(at.const(count - 1), step) if inverse else step
            j = nearest(at, k.to_index(k.load(pivots, (*index, i)), pivots.dtype), size)
            one, other = k.load(out, (*index, i)), k.load(out, (*index, j))
            k.store(out, (*index, i), other)
            k.store(out, (*index, j), one)


by_matrices(permutation)


@permutation.def_samples
def _permutation_samples() -> list:
    pivots = np.array([[2, 1, 4, 3], [0, 3, 2, 3]], np.int32)
    given = [(pivots, 5), (pivots[0], 7), (pivots[:, :0], 2), (pivots[:, :0], 0)]
    return [((p,), {"size": size, "inverse": inverse}) for p, size in given for inverse in (False, True)]


def take_rows(x: Any, rows: Any) -> Any:
    """The rows of each matrix at its own places."""
    places = broadcast_to(reshape(rows, shape=(*rows.shape, 1)), shape=(*rows.shape, x.shape[-1]))
    return take_along(x, places, axis=len(x.shape) - 2)


def solve_by_factors(factors: Any, pivots: Any, b: Any, transposed: bool = False) -> Any:
    """x with a x = b, or a' x = b, for square matrices whose LU factors these are."""
    size = factors.shape[-1]
    l, u = {"lower": True, "unit": True}, {"lower": False, "unit": False}
    if transposed:
        x = triangular_solve(factors, triangular_solve(factors, b, transposed=True, **u), transposed=True, **l)
        return take_rows(x, permutation(pivots, size=size, inverse=True))
    x = take_rows(b, permutation(pivots, size=size, inverse=False))
    return triangular_solve(factors, triangular_solve(factors, x, transposed=False, **l), transposed=False, **u)
