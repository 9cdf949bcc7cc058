"""`scipy.linalg` for plain and traced arrays; batches lead, as in `numpy.linalg`, whose promises about errors hold here too.

Arguments that only say how to do it (`overwrite_a`, `check_finite`, `lapack_driver`) are taken and change nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograde.errors import MatrixError, ShapeError, UnsupportedError
from retrograde.numpy import linalg as nl
from retrograde.numpy.elementwise import absolute, where
from retrograde.numpy.indexing import take
from retrograde.numpy.linalg import det, eye, inv, mH, norm, pinv, svdvals
from retrograde.numpy.linear import matmul
from retrograde.numpy.reductions import max as _max
from retrograde.numpy.reductions import sum as _sum
from retrograde.numpy.shaping import array, broadcast_to, concatenate, expand_dims, ravel
from retrograde.ops import elementwise as ew
from retrograde.ops import implicit as im
from retrograde.ops import linalg as la
from retrograde.ops import lu as lu_ops
from retrograde.ops import qr as qr_op
from retrograde.ops.complex import conj, part_of
from retrograde.ops.control import scan
from retrograde.ops.nested import record
from retrograde.ops.promote import apply, astype
from retrograde.ops.reduce import all_
from retrograde.ops.shape import reshape
from retrograde.types import type_of

# -- linear systems --------------------------------------------------------------------------------------------------


def solve(
    a: Any, b: Any, lower: bool = False, overwrite_a: bool = False, overwrite_b: bool = False, check_finite: bool = True,
    assume_a: str | None = None, transposed: bool = False,
) -> Any:  # fmt: skip
    """x with a x = b, or a' x = b (a' without conjugation) where `transposed`. For assume_a="pos", by Cholesky's factor of one
    triangle of a.

    All else that `assume_a` can say is solved as a general matrix of which both triangles are read.
    """
    if assume_a in ("pos", "positive definite"):
        return cho_solve(cho_factor(a, lower), b)
    a, b = nl.matrices(a, b, square=True)

    def how(x: Any, y: Any) -> Any:
        factors, pivots = im.factorize(x)
        return im.linear_solve(x, y, factors, pivots, transposed)

    return _solving(a, b, how)


def _solving(a: Any, b: Any, how: Any) -> Any:
    """`how(a, b)` with one batch for both; a vector b is a column meanwhile."""
    vector = len(b.shape) == 1
    b = expand_dims(b, -1) if vector else b
    if len(b.shape) < 2 or a.shape[-2] != b.shape[-2]:
        raise ShapeError(f"the right side, of shape {b.shape}, has not as many rows as the matrix, of shape {a.shape}")
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    x = how(*(broadcast_to(x, (*batch, *x.shape[-2:])) for x in (a, b)))
    return x[..., 0] if vector else x


def solve_triangular(
    a: Any, b: Any, trans: int | str = 0, lower: bool = False, unit_diagonal: bool = False, overwrite_b: bool = False,
    check_finite: bool = True,
) -> Any:  # fmt: skip
    """x with a x = b (`trans` 0 or "N"), a' x = b (1 or "T") or a^H x = b (2 or "C"), reading one triangle of a. Singular:
    compiled NaN.
    """
    if trans not in (0, 1, 2, "N", "T", "C"):
        raise ValueError(f"trans is 0, 1, 2, 'N', 'T' or 'C'; it is {trans!r}")
    a, b = nl.matrices(a, b, square=True)
    a = conj(a) if trans in (2, "C") else a
    how = {"lower": bool(lower), "transposed": trans not in (0, "N"), "unit": bool(unit_diagonal)}
    return _solving(a, b, lambda x, y: la.triangular_solve(x, y, **how))


def cholesky(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The upper (`lower`: the lower) triangular factor of a positive definite matrix, of which that triangle alone is read."""
    return nl.cholesky(a, upper=not lower)


def cho_factor(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> tuple:
    """(factor, lower) for `cho_solve`."""
    return cholesky(a, lower), lower


def cho_solve(c_and_lower: Any, b: Any, overwrite_b: bool = False, check_finite: bool = True) -> Any:
    """x with a x = b, by Cholesky's factor of a."""
    c, lower = c_and_lower
    c, b = nl.matrices(c, b, square=True)
    how = {"lower": bool(lower), "unit": False}

    def twice(x: Any, y: Any) -> Any:
        plain, turned = {"transposed": False, **how}, {"transposed": True, **how}
        if lower:
            return la.triangular_solve(conj(x), la.triangular_solve(x, y, **plain), **turned)
        return la.triangular_solve(x, la.triangular_solve(conj(x), y, **turned), **plain)

    return _solving(c, b, twice)


# -- factors ---------------------------------------------------------------------------------------------------------


def lu_factor(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> tuple:
    """(factors in one matrix, pivots) for `lu_solve`."""
    (a,) = nl.matrices(a)
    return lu_ops.lu(a)


def lu_solve(lu_and_piv: Any, b: Any, trans: int = 0, overwrite_b: bool = False, check_finite: bool = True) -> Any:
    """x with a x = b, a' x = b for `trans` 1 or a^H x = b for 2, by LU's factors of a."""
    factors, pivots = lu_and_piv
    factors, b = nl.matrices(factors, b, square=True)
    factors, pivots = conj(factors) if trans == 2 else factors, array(pivots)

    def how(x: Any, y: Any) -> Any:
        return lu_ops.solve_by_factors(x, broadcast_to(pivots, (*x.shape[:-2], pivots.shape[-1])), y, trans != 0)

    return _solving(factors, b, how)


def lu(
    a: Any, permute_l: bool = False, overwrite_a: bool = False, check_finite: bool = True, p_indices: bool = False
) -> tuple:
    """(p, l, u) with a = p l u; (p l, u) with `permute_l`; with `p_indices` p as the rows' numbers: a = l[p] u."""
    (a,) = nl.matrices(a)
    factors, pivots = lu_ops.lu(a)
    m, n = a.shape[-2:]
    size = min(m, n)
    l = la.tril(factors[..., :size], -1) + np.eye(m, size, dtype=a.dtype)
    u = la.triu(factors[..., :size, :])
    rows = lu_ops.permutation(pivots, size=m, inverse=True)
    if permute_l:
        return lu_ops.take_rows(l, rows), u
    if p_indices:
        return rows, l, u
    one = broadcast_to(np.eye(m, dtype=part_of(a.dtype)), (*a.shape[:-2], m, m))
    return lu_ops.take_rows(one, rows), l, u


def qr(
    a: Any, overwrite_a: bool = False, lwork: Any = None, mode: str = "full", pivoting: bool = False, check_finite: bool = True
) -> Any:
    """(q, r); (r,) for mode "r". Of a matrix with more rows than columns write mode="economic"."""
    if pivoting or mode not in ("full", "economic", "r"):
        raise UnsupportedError("scipy.linalg.qr with pivoting or mode='raw' is not supported on traced arrays")
    (a,) = nl.matrices(a)
    if mode == "r" and a.shape[-2] <= a.shape[-1]:
        return (qr_op.qr(a)[1],)
    if mode != "economic" and a.shape[-2] > a.shape[-1]:
        raise UnsupportedError(
            f"scipy.linalg.qr(mode={mode!r}) of a matrix with more rows than columns adds vectors that have no derivative; "
            "write mode='economic'"
        )
    return tuple(qr_op.qr(a))


def svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, overwrite_a: bool = False, check_finite: bool = True,
    lapack_driver: str = "gesdd",
) -> Any:  # fmt: skip
    """As `numpy.linalg.svd`."""
    found = nl.svd(a, full_matrices, compute_uv)
    return tuple(found) if compute_uv else found


def eigh(
    a: Any, b: Any = None, *, lower: bool = True, eigvals_only: bool = False, overwrite_a: bool = False,
    overwrite_b: bool = False, type: int = 1, check_finite: bool = True, subset_by_index: Any = None,
    subset_by_value: Any = None, driver: str | None = None,
) -> Any:  # fmt: skip
    """Eigenvalues and eigenvectors of a symmetric or Hermitian matrix, or of a x = w b x with a positive definite b (type 1)."""
    if type != 1 or subset_by_index is not None or subset_by_value is not None:
        raise UnsupportedError("scipy.linalg.eigh: type= and subset_by_...= are not supported on traced arrays; leave them out")
    UPLO = "L" if lower else "U"
    if b is None:
        return nl.eigvalsh(a, UPLO) if eigvals_only else tuple(nl.eigh(a, UPLO))
    a, b = nl.matrices(a, b, square=True)
    a, c = _mirrored(a, lower), nl.cholesky(b, upper=not lower)
    c = c if lower else mH(c)
    half = solve_triangular(c, a, lower=True)
    reduced = solve_triangular(c, mH(half), lower=True)
    if eigvals_only:
        return nl.eigvalsh(reduced)
    w, v = nl.eigh(reduced)
    return w, solve_triangular(c, v, trans=2, lower=True)


def _mirrored(a: Any, lower: bool) -> Any:
    """The symmetric or Hermitian matrix of which one triangle is given."""
    half = la.lower_half(a if lower else mH(a))
    return half + mH(half)


def eigvalsh(a: Any, b: Any = None, *, lower: bool = True, **how: Any) -> Any:
    """The eigenvalues alone, as `eigh` has them."""
    return eigh(a, b, lower=lower, eigvals_only=True, **how)


# -- functions of matrices -------------------------------------------------------------------------------------------

_SQUARINGS = 32  # past norms of 2e10 the answer is NaN


def expm(A: Any) -> Any:
    """The exponential of square matrices: scaling and squaring around Pade's approximant.

    N. Higham, 2005, "The scaling and squaring method for the matrix exponential revisited": of order 13 in float64, 7 in float32,
    also for small matrices, where fewer terms would do; the scaling is by the 1-norm. NaN for norms above 2e10.
    """
    A = array(A)
    if len(A.shape) < 2 and A.size == 1:
        return apply(ew.exp, A)
    (a,) = nl.matrices(A, square=True)
    if not a.size:
        return a
    part = part_of(a.dtype)
    order, limit = (7, 3.925724783138660) if part.itemsize == 4 else (13, 5.371920351148152)
    size = ew.stop_gradient(_max(_sum(absolute(a), -2), -1))
    size = where(apply(ew.isfinite, size), size, limit)
    times = apply(ew.ceil, apply(ew.log2, apply(ew.maximum, apply(ew.divide, size, limit), 1.0)))
    scaled = apply(ew.multiply, a, expand_dims(expand_dims(apply(ew.exp2, apply(ew.negative, times)), -1), -1))
    u, v = _pade(scaled, order)
    found = _squared(_solve(v - u, v + u), astype(times, part))
    return where(expand_dims(expand_dims(apply(ew.greater, times, _SQUARINGS), -1), -1), np.nan, found)


def _solve(a: Any, b: Any) -> Any:
    """x with a x = b."""
    return im.linear_solve(a, b, *im.factorize(a))


def _pade(a: Any, order: int) -> tuple:
    """The odd and the even part of the numerator; the denominator is their difference."""
    b = [float(math.comb(order, k) * math.factorial(2 * order - k) // math.factorial(order)) for k in range(order + 1)]
    one = eye(a.shape[-1], a)
    a2 = matmul(a, a)
    a4 = matmul(a2, a2)
    a6 = matmul(a2, a4)

    def part(k: int) -> Any:
        low = b[k + 6] * a6 + b[k + 4] * a4 + b[k + 2] * a2 + b[k] * one
        return low if order == 7 else low + matmul(a6, b[k + 12] * a6 + b[k + 10] * a4 + b[k + 8] * a2)

    return matmul(a, part(1)), part(0)


def _squared(x: Any, times: Any) -> Any:
    """Each matrix squared so many times, in a loop that ends when all are done."""
    zero = times.dtype.type(0)

    def step(state: list) -> list:
        _, left, x = state
        more = reshape(ew.greater(left, zero), shape=(*left.shape, 1, 1))
        left = left - 1.0
        return [_done(left), left, ew.select(more, matmul(x, x), x)]

    def _done(left: Any) -> Any:
        done = ew.less_equal(left, zero)
        return all_(done, axes=tuple(range(len(left.shape)))) if left.shape else done

    state = [_done(times), times, x]
    body = record([type_of(s) for s in state], step)
    how = {"num_consts": 0, "num_carry": 3, "reverse": False, "exit": 0}
    return scan(*state, body=body, length=_SQUARINGS, **how)[2]


def _refused(name: str) -> Any:
    def call(*_args: Any, **_kwargs: Any) -> Any:
        raise UnsupportedError(
            f"scipy.linalg.{name} is not supported on traced arrays: its way leads through Schur's form, which has no rule. Of a "
            "Hermitian matrix it is (v * f(w)) @ v.conj().T with w, v = np.linalg.eigh(a)"
        )

    call.__name__, call.__doc__ = name, "Refused: its way leads through Schur's form."
    return call


sqrtm, logm, funm, schur, eig, eigvals = map(_refused, ("sqrtm", "logm", "funm", "schur", "eig", "eigvals"))

# -- matrices of a pattern -------------------------------------------------------------------------------------------


def block_diag(*arrs: Any) -> Any:
    """The matrix with these blocks along its diagonal and zeros elsewhere; vectors are rows."""
    blocks = [array(x) for x in arrs]
    if any(len(x.shape) > 2 for x in blocks):
        raise MatrixError(f"block_diag: matrices are wanted; the shapes are {[x.shape for x in blocks]}")
    blocks = [reshape(x, shape=(1,) * (2 - len(x.shape)) + x.shape) for x in blocks]
    if not blocks:
        return np.zeros((1, 0))
    dtype = np.result_type(*[x.dtype for x in blocks])
    width, before, rows = sum(x.shape[1] for x in blocks), 0, []
    for x in blocks:
        m, n = x.shape
        sides = np.zeros((m, before), dtype), np.zeros((m, width - before - n), dtype)
        rows.append(concatenate([sides[0], astype(x, dtype), sides[1]], 1))
        before += n
    return concatenate(rows, 0)


def toeplitz(c: Any, r: Any = None) -> Any:
    """The matrix with one number on each diagonal: first column c, first row r (by default c too), whose r[0] is not read."""
    c = ravel(c)
    r = c if r is None else ravel(r)
    i, j = np.arange(c.shape[0])[:, None], np.arange(r.shape[0])
    return take(concatenate([c[::-1], r[1:]]), c.shape[0] - 1 - i + j, 0)


def hankel(c: Any, r: Any = None) -> Any:
    """The matrix with one number on each antidiagonal: first column c, last row r (by default zeros), whose r[0] is not read."""
    c = ravel(c)
    r = c * 0 if r is None else ravel(r)
    return take(concatenate([c, r[1:]]), np.arange(c.shape[0])[:, None] + np.arange(r.shape[0]), 0)


def circulant(c: Any) -> Any:
    """The matrix whose columns are c, turned by one more step each."""
    c = ravel(c)
    n = np.arange(c.shape[0])
    return take(c, (n[:, None] - n) % max(c.shape[0], 1), 0)


__all__ = [
    "block_diag", "cho_factor", "cho_solve", "cholesky", "circulant", "det", "eig", "eigh", "eigvals", "eigvalsh", "expm", "funm",
    "hankel", "inv", "logm", "lu", "lu_factor", "lu_solve", "norm", "pinv", "qr", "schur", "solve", "solve_triangular", "sqrtm",
    "svd", "svdvals", "toeplitz",
]  # fmt: skip
