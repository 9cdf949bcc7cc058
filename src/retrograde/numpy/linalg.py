"""`numpy.linalg` for plain and traced arrays.

Errors: where NumPy raises LinAlgError for a matrix that has no answer (singular, not positive definite, no convergence), so does
eager code, traced or not. Compiled code cannot raise half way: it fills the answer for that matrix with NaN, and that of
no other matrix of the batch. Derivatives: `cholesky` and `eigh` read one triangle only, so their derivatives are by
that triangle. Eigenvectors and singular vectors that belong to equal values are not unique, and complex ones have a phase that
is free; see `eigh`. Of plain arrays all is NumPy's own.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from retrograde.errors import MatrixError, ShapeError, UnsupportedError
from retrograde.ir.builder import plain
from retrograde.numpy.complex import abs_square
from retrograde.numpy.complex import sign as phase
from retrograde.numpy.elementwise import absolute, where
from retrograde.numpy.last_axes import (  # noqa: F401
    cross,
    diagonal,
    matmul,
    matrix_transpose,
    outer,
    tensordot,
    trace,
    vecdot,
)
from retrograde.numpy.norms import matrix_norm, norm, singular_values, vector_norm  # noqa: F401
from retrograde.numpy.reductions import max as _max
from retrograde.numpy.reductions import prod as _prod
from retrograde.numpy.reductions import sum as _sum
from retrograde.numpy.shaping import array, broadcast_to, expand_dims, normalize_axis, reshape, swapaxes, transpose
from retrograde.numpy.table import implements, implements_traced, refuse
from retrograde.ops import complex as cx
from retrograde.ops import elementwise as ew
from retrograde.ops import implicit as im
from retrograde.ops import linalg as la
from retrograde.ops import qr as qr_op
from retrograde.ops import spectral as sp
from retrograde.ops.promote import apply, astype

_LAPACK = (np.float32, np.float64, np.complex64, np.complex128)


class QRResult(NamedTuple):
    """q and r."""

    Q: Any
    R: Any


class EighResult(NamedTuple):
    """Eigenvalues and eigenvectors."""

    eigenvalues: Any
    eigenvectors: Any


class SVDResult(NamedTuple):
    """u, s and vh."""

    U: Any
    S: Any
    Vh: Any


class SlogdetResult(NamedTuple):
    """Sign and logarithm of the absolute value."""

    sign: Any
    logabsdet: Any


def matrices(*xs: Any, square: bool = False) -> tuple:
    """The operands as numbers of one dtype, as numpy.linalg has them: single precision stays, all else is double."""
    found = [array(x) for x in xs]
    for x in found:
        if x.dtype == np.float16 or x.dtype.kind == "V":
            raise UnsupportedError(f"linear algebra of {x.dtype} is not supported, as in NumPy; use x.astype(np.float32)")
    wanted = np.result_type(np.float32, *[x.dtype if x.dtype in _LAPACK else np.float64 for x in found])
    found = [astype(x, wanted) for x in found]
    if len(found[0].shape) < 2:
        raise MatrixError(f"{found[0].shape[:-1]}-dimensional array given; an array with at least two axes is wanted")
    if square and found[0].shape[-1] != found[0].shape[-2]:
        raise MatrixError(f"the last two axes of the array must be of one length; its shape is {found[0].shape}")
    return tuple(found)


def eye(n: int, like: Any) -> Any:
    """The identity of the dtype and batch of `like`."""
    return broadcast_to(np.eye(n, dtype=like.dtype), (*like.shape[:-2], n, n))


def mT(x: Any) -> Any:
    """The last two axes swapped."""
    return swapaxes(x, -1, -2)


def mH(x: Any) -> Any:
    """The conjugate transpose."""
    return cx.conj(mT(x))


# -- linear systems --------------------------------------------------------------------------------------------------


@implements_traced(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    """x with a x = b. (..., n, n) and (..., n, k), or a vector (n,). Singular: LinAlgError, compiled NaN."""
    a, b = matrices(a, b, square=True)
    vector = len(b.shape) == 1
    b = expand_dims(b, 1) if vector else b
    a, b = _one_batch(a, b)
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(f"solve: {a.shape[-1]} unknowns, but the right side has {b.shape[-2]} rows")
    x = im.linear_solve(a, b, *im.factorize(a))
    return x[..., 0] if vector else x


def _one_batch(a: Any, b: Any) -> tuple:
    if len(b.shape) < 2:
        raise ShapeError(f"a vector or a matrix is wanted on the right side; its shape is {b.shape}")
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return tuple(broadcast_to(x, (*batch, *x.shape[-2:])) for x in (a, b))


@implements_traced(np.linalg.inv)
def inv(a: Any) -> Any:
    """The inverse. Singular: LinAlgError, compiled NaN."""
    (a,) = matrices(a, square=True)
    return im.linear_solve(a, eye(a.shape[-1], a), *im.factorize(a))


@implements_traced(np.linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """x with tensordot(a, x, x.ndim) = b."""
    a, b = array(a), array(b)
    rank = len(a.shape)
    if axes is not None:
        moved = [normalize_axis(x, rank) for x in axes]
        a = transpose(a, [x for x in range(rank) if x not in moved] + moved)
    shape = a.shape[len(b.shape) :]
    n = math.prod(shape)
    if a.size != n**2 or a.size != n * b.size:
        raise MatrixError(f"tensorsolve: a of shape {a.shape} is no square matrix from {shape} to {b.shape}")
    return reshape(solve(reshape(a, (n, n)), reshape(b, (n,))), shape)


@implements_traced(np.linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Any:
    """The inverse of the map that tensordot(a, x, ind) is."""
    a = array(a)
    if ind <= 0:
        raise ShapeError(f"tensorinv: ind counts the first axes, so it is at least 1; it is {ind}")
    n = math.prod(a.shape[ind:])
    if math.prod(a.shape[:ind]) != n:
        raise MatrixError(f"tensorinv: the first {ind} axes of {a.shape} and the others differ in size")
    return reshape(inv(reshape(a, (n, n))), (*a.shape[ind:], *a.shape[:ind]))


@implements_traced(np.linalg.det)
def det(a: Any) -> Any:
    """The determinant. Its gradient is the cofactors, at a singular matrix too, but no second one there: LinAlgError or NaN."""
    (a,) = matrices(a, square=True)
    factors, pivots = im.factorize(a)
    return im.determinant(apply(ew.multiply, _sign(pivots, a), _prod(_diagonal(factors), -1)), a, factors, pivots)


@implements_traced(np.linalg.slogdet)
def slogdet(a: Any) -> SlogdetResult:
    """Sign and log|det|: (0, -inf) of a singular matrix, where the gradient is not finite. A real sign has no derivative."""
    (a,) = matrices(a, square=True)
    factors, pivots = im.factorize(a)
    d = _diagonal(factors)
    sign = apply(ew.multiply, _sign(pivots, a), _prod(phase(d), -1))
    if a.dtype.kind == "c":
        sign = im.determinant_phase(sign, a, factors, pivots)
    with np.errstate(divide="ignore"):
        size = _sum(apply(ew.log, absolute(d)), -1)
    return SlogdetResult(sign, im.log_determinant(size, a, factors, pivots))


def _sign(pivots: Any, a: Any) -> Any:
    """1 after an even number of exchanges, -1 after an odd one."""
    moved = apply(ew.not_equal, pivots, np.arange(pivots.shape[-1], dtype=np.int32))
    one = a.dtype.type(1)
    return _prod(ew.select(moved, -one, one), -1)


def _diagonal(x: Any) -> Any:
    n = x.shape[-1]
    return _sum(where(np.eye(n, dtype=bool), x, x.dtype.type(0)), -1)


@implements_traced(np.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> tuple:
    """(x, residuals, rank, s): the shortest x for which |b - a x| is least, by the pseudoinverse; the rank must be known for
    the residuals' shape, so under `jit` they are empty unless a has more rows than columns, and then those of full rank.
    """
    a, b = matrices(a, b)
    if len(a.shape) != 2 or len(b.shape) not in (1, 2):
        raise MatrixError(f"lstsq: a matrix and a vector or a matrix are wanted; the shapes are {a.shape} and {b.shape}")
    if a.shape[0] != b.shape[0]:
        raise MatrixError(f"lstsq: {a.shape[0]} equations, but the right side has {b.shape[0]} rows")
    (m, n), cuts = a.shape, _cuts(rcond) and 0 < rcond < 1
    if rcond is None:
        rcond = float(np.finfo(a.dtype).eps) * max(m, n)
    elif not 0 < rcond < 1:  # so LAPACK takes what is no fraction
        rcond = float(np.finfo(a.dtype).eps)
    p, s = _pseudoinverse(a, rcond, cuts)
    x = matmul(p, b)
    top = _max(s, -1, keepdims=True) if s.size else s
    rank = _sum(apply(ew.greater, s, apply(ew.multiply, top, rcond)))
    left = _sum(abs_square(apply(ew.subtract, b, matmul(a, x))), 0)
    left = expand_dims(left, 0) if len(b.shape) == 1 else left
    known = plain(rank)
    empty = m <= n or (known is not None and known < n)
    return x, (np.zeros(0, s.dtype) if empty else left), astype(rank, np.int32), s


# -- factors ---------------------------------------------------------------------------------------------------------


@implements_traced(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """The lower (`upper`: the upper) triangular factor of a positive definite matrix, of which that triangle alone is read."""
    (a,) = matrices(a, square=True)
    return mH(la.cholesky(mH(a))) if upper else la.cholesky(a)


@implements_traced(np.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    """(Q, R), or R alone for mode "r". Mode "complete" adds columns that have no derivative, so that it is refused for tall a."""
    (a,) = matrices(a)
    if mode == "r":
        return qr_op.qr(a)[1]
    if mode == "reduced" or (mode == "complete" and a.shape[-2] <= a.shape[-1]):
        return QRResult(*qr_op.qr(a))
    raise UnsupportedError(
        f"np.linalg.qr(mode={mode!r}) is not supported on traced arrays; modes are 'reduced' and 'r', and 'complete' where there "
        "are no more rows than columns"
    )


@implements_traced(np.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> EighResult:
    """Eigenvalues, ascending, and orthonormal eigenvectors, as columns, of a symmetric or Hermitian matrix; one triangle is read.

    Vectors of equal values are not unique and have no derivative: NaN comes out of their pullback, as in JAX and PyTorch. What
    reads values only is right there too; `eigvalsh` says so. Complex vectors may be multiplied by any number of absolute value 1:
    the derivative is right for what does not depend on it, such as np.abs(v) or (v * f(w)) @ v.conj().T, as in JAX and PyTorch.
    """
    return EighResult(*sp.eigh(_triangle(a, UPLO), vectors=True, unique=True))


@implements_traced(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """Eigenvalues, ascending, of a symmetric or Hermitian matrix of which one triangle is read."""
    return sp.eigh(_triangle(a, UPLO), vectors=False, unique=True)[0]


def _triangle(a: Any, UPLO: str) -> Any:
    if UPLO.upper() not in ("L", "U"):
        raise ValueError(f"UPLO is 'L' or 'U'; it is {UPLO!r}")
    (a,) = matrices(a, square=True)
    return a if UPLO.upper() == "L" else mH(a)


@implements_traced(np.linalg.svd)
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """(U, S, Vh), S descending; S alone without `compute_uv`. Of a matrix that is not square, write full_matrices=False: the
    further vectors are not unique and have no derivative. Vectors of equal or zero values, and complex ones: see `eigh`.
    """
    refuse("linalg.svd", hermitian=hermitian or None)
    (a,) = matrices(a)
    if not compute_uv:
        return singular_values(a)
    if full_matrices and a.shape[-1] != a.shape[-2]:
        raise UnsupportedError(
            "np.linalg.svd(full_matrices=True) of a matrix that is not square is not supported on traced arrays: the vectors "
            "that are added are not unique, so they have no derivative. Write full_matrices=False"
        )
    s, u, vh = sp.svd(a, vectors=True, unique=True)
    return SVDResult(u, s, vh)


@implements_traced(np.linalg.svdvals)
def svdvals(x: Any, /) -> Any:
    """Singular values, descending."""
    return svd(x, compute_uv=False)


@implements_traced(np.linalg.pinv)
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = np._NoValue) -> Any:
    """The Moore-Penrose pseudoinverse; singular values up to rcond (1e-15, as NumPy) times the largest count as zero.

    The derivative is that for a rank that stays as it is. With an `rcond` (or `rtol`) that cuts off more than rounding, above
    1e-10, it goes by the singular vectors, and is NaN where two values are equal.
    """
    refuse("linalg.pinv", hermitian=hermitian or None)
    (a,) = matrices(a)
    cuts = _cuts(rcond if rcond is not None else None if rtol is np._NoValue else rtol)
    if rcond is None:
        given = rtol is not np._NoValue and rtol is not None
        default = max(a.shape[-2:]) * float(np.finfo(a.dtype).eps) if rtol is None else 1e-15
        rcond = rtol if given else default
    return _pseudoinverse(a, rcond, cuts)[0]


def _cuts(rcond: Any) -> bool:
    """Whether singular values up to this part of the largest may be more than rounding."""
    return rcond is not None and not (isinstance(rcond, (int, float, np.floating)) and rcond <= 1e-10)


def _pseudoinverse(a: Any, rcond: Any, cuts: bool = False) -> tuple:
    """The pseudoinverse and the singular values; `cuts` says that what is cut off need not be zero in truth."""
    if not a.size:
        return np.zeros((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype), np.zeros((*a.shape[:-2], 0), cx.part_of(a.dtype))
    s, u, vh = sp.svd(a if cuts else ew.stop_gradient(a), vectors=True, unique=cuts)
    limit = apply(ew.multiply, expand_dims(array(rcond), -1) if np.ndim(rcond) else rcond, _max(s, -1, keepdims=True))
    large = apply(ew.greater, s, limit)
    inverse = where(large, apply(ew.divide, 1, where(large, s, 1)), 0)
    value = matmul(mH(vh), apply(ew.multiply, expand_dims(astype(inverse, s.dtype), -1), mH(u)))
    return (value, s) if cuts else (im.pseudoinverse(value, a), sp.svd(a, vectors=False, unique=True)[0])


@implements_traced(np.linalg.matrix_rank)
def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """How many singular values are above `tol`, by default max(m, n) eps times the largest; no derivative."""
    A = array(A)
    if len(A.shape) < 2:
        return astype(apply(ew.not_equal, _sum(absolute(A)), 0), np.int64)
    (A,) = matrices(A)
    s = absolute(eigvalsh(A)) if hermitian else svdvals(A)
    s = ew.stop_gradient(s)
    if tol is None:
        relative = max(A.shape[-2:]) * float(np.finfo(A.dtype).eps) if rtol is None else rtol
        tol = apply(ew.multiply, _max(s, -1, keepdims=True), expand_dims(array(relative), -1) if np.ndim(relative) else relative)
    elif np.ndim(tol):
        tol = expand_dims(array(tol), -1)
    return _sum(apply(ew.greater, s, tol), -1)


@implements_traced(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    """The condition number in a norm, by default the largest singular value over the smallest; infinite of a singular matrix."""
    (x,) = matrices(x)
    if not x.size:
        raise MatrixError("cond is not defined on empty arrays")
    if p is None or p in (2, -2):
        s = svdvals(x)
        large, small = (s[..., 0], s[..., -1]) if p != -2 else (s[..., -1], s[..., 0])
        with np.errstate(divide="ignore", invalid="ignore"):
            return apply(ew.divide, large, small)
    (x,) = matrices(x, square=True)
    return apply(ew.multiply, norm(x, p, (-2, -1)), norm(inv(x), p, (-2, -1)))


# -- products --------------------------------------------------------------------------------------------------------


@implements_traced(np.linalg.matrix_power)
def matrix_power(a: Any, n: int) -> Any:
    """A whole power of a square matrix, by squaring; of its inverse where n is negative."""
    a = array(a)
    if len(a.shape) < 2 or a.shape[-1] != a.shape[-2]:
        raise MatrixError(f"matrix_power: the last two axes must be of one length; the shape is {a.shape}")
    try:
        n = n.__index__()
    except AttributeError:
        raise TypeError(f"matrix_power: the exponent is a whole number; it is {n!r}") from None
    if n == 0:
        return apply(ew.add, apply(ew.multiply, a, 0), np.eye(a.shape[-1], dtype=a.dtype))
    if n < 0:
        a, n = inv(a), -n
    result = None
    while n:
        if n & 1:
            result = a if result is None else matmul(result, a)
        n >>= 1
        a = matmul(a, a) if n else a
    return result


@implements(np.linalg.multi_dot)
def multi_dot(arrays: Any, *, out: Any = None) -> Any:
    """The product of several matrices in the order that takes the fewest operations; the first and the last may be vectors."""
    refuse("linalg.multi_dot", out=out)
    xs = [array(x) for x in arrays]
    if len(xs) < 2:
        raise ValueError("multi_dot: at least two arrays are wanted")
    row, column = len(xs[0].shape) == 1, len(xs[-1].shape) == 1
    xs[0] = expand_dims(xs[0], 0) if row else xs[0]
    xs[-1] = expand_dims(xs[-1], 1) if column else xs[-1]
    if any(len(x.shape) != 2 for x in xs):
        raise MatrixError("multi_dot: all arrays but the first and the last must be matrices")
    sizes = [xs[0].shape[0], *(x.shape[1] for x in xs)]
    best: dict = {}

    def cost(i: int, j: int) -> float:
        """Of the product of arrays i to j (Cormen et al., Introduction to Algorithms, 15.2)."""
        if i == j:
            return 0
        if (i, j) not in best:
            best[i, j] = min((cost(i, s) + cost(s + 1, j) + sizes[i] * sizes[s + 1] * sizes[j + 1], s) for s in range(i, j))
        return best[i, j][0]

    def product(i: int, j: int) -> Any:
        if i == j:
            return xs[i]
        cost(i, j)
        s = best[i, j][1]
        return matmul(product(i, s), product(s + 1, j))

    out = product(0, len(xs) - 1)
    kept = (() if row else out.shape[:1]) + (() if column else out.shape[1:])
    return reshape(out, kept)
