"""Linear algebra, first part: triangular systems and Cholesky's factor (LU's are in `lu.py`). Matrices are the last two axes.

Compiled code calls SciPy's LAPACK from one thread. NumPy raises LinAlgError where there is no answer; compiled code, which cannot
raise half way, fills the matrix concerned with NaN. Pullbacks: M. Giles, 2008, "Collected matrix derivative results for forward
and reverse mode algorithmic differentiation"; I. Murray, 2016, "Differentiation of the Cholesky decomposition". Papers have them
for gradients G with dL = Re tr(G^H dA). Here dL = Re tr(w' dA), w the conjugate of G, so that a formula of theirs, which is one
of sums, products and adjoints, holds for w with the conjugates of the matrices in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError, MatrixError, ShapeError
from retrograde.ir import Primitive
from retrograde.ir.layout import room_bytes
from retrograde.ops import elementwise as ew
from retrograde.ops.complex import conj
from retrograde.ops.index import iota
from retrograde.ops.matmul import matmul, swap_last
from retrograde.ops.shape import broadcast_to, reshape, slice_, spread, transpose
from retrograde.types import ArrayType

INT32, INT64 = np.dtype(np.int32), np.dtype(np.int64)
BLOCK = 64  # rows or columns that LAPACK takes at once


# -- what the family shares ------------------------------------------------------------------------------------------


def check_matrix(name: str, a: ArrayType, square: bool = True) -> None:
    """Raise unless these are matrices of float32, float64, complex64 or complex128."""
    if a.dtype.kind not in "fc" or a.dtype.itemsize < 4:
        known = "float32, float64, complex64 and complex128"
        raise GraphTypeError(f"{name} works on {known}; it was given {a}. Convert it with x.astype")
    if a.ndim < 2:
        raise MatrixError(f"{name}: an array with at least two axes is wanted; it was given {a}")
    if square and a.shape[-1] != a.shape[-2]:
        raise MatrixError(f"{name}: the last two axes must be of one length; it was given {a}")


def letter(a: Any) -> str:
    """LAPACK's letter for the dtype."""
    return {"f4": "s", "f8": "d", "c8": "c", "c16": "z"}[a.dtype.str[1:]]


def one_by_one(f: Callable[..., Any], *arrays: Any) -> tuple:
    """`f` at each matrix of the batch, with its results stacked as tuples of arrays."""
    batch = arrays[0].shape[:-2]
    found = [f(*[x[index] for x in arrays]) for index in np.ndindex(*batch)]
    return tuple(np.stack(xs).reshape(*batch, *xs[0].shape) for xs in zip(*found))


def coordinates(x: Any, ahead: int) -> tuple[Any, Any]:
    """Row numbers (plus `ahead`) and column numbers, to compare: made where they are used, so that no mask is stored."""
    m, n = x.shape[-2:]
    rows, columns = (iota.beside(x, size=size, dtype=INT64) if hasattr(x, "_builder") else np.arange(size) for size in (m, n))
    return ew.add(reshape(rows, shape=(m, 1)), np.int64(ahead)), reshape(columns, shape=(1, n))


def tril(x: Any, k: int = 0) -> Any:
    """`x` with zeros above its `k`-th diagonal."""
    rows, columns = coordinates(x, k)
    return ew.where_else_zero(ew.less_equal(columns, rows), x)


def triu(x: Any, k: int = 0) -> Any:
    """`x` with zeros below its `k`-th diagonal."""
    rows, columns = coordinates(x, k)
    return ew.where_else_zero(ew.greater_equal(columns, rows), x)


def eye_like(x: Any) -> Any:
    """The identity, of the shape and dtype of `x`."""
    rows, columns = coordinates(x, 0)
    one, zero = np.ones((), x.dtype)[()], np.zeros((), x.dtype)[()]
    return broadcast_to(ew.select(ew.equal(rows, columns), one, zero), shape=x.shape)


def adjoint(x: Any) -> Any:
    """The conjugate transpose."""
    return conj(swap_last(x))


def lower_half(x: Any) -> Any:
    """The lower triangle with half the diagonal: of a Hermitian matrix, what gives it with its own adjoint."""
    rows, columns = coordinates(x, 0)
    return ew.where_else_zero(ew.less(columns, rows), x) + 0.5 * ew.where_else_zero(ew.equal(columns, rows), x)


def of_lower(g: Any) -> Any:
    """The derivative by the lower triangle of a Hermitian matrix from that by a whole one; by a diagonal's real part alone."""
    return lower_half(g + adjoint(g))


def columns_of(x: Any, start: int, stop: int) -> Any:
    """Some columns, side by side; of more axes, elements along the last one."""
    lead = (0,) * (len(x.shape) - 1)
    return slice_(x, start=(*lead, start), limit=(*x.shape[:-1], stop), step=(1,) * len(x.shape))


def add_up(*terms: Any) -> Any:
    """The sum of those that are not None."""
    found = [t for t in terms if t is not None]
    total = found[0]
    for t in found[1:]:
        total = total + t
    return total


def by_matrices(primitive: Primitive) -> None:
    """The batching rule of a primitive of one operand: a mapped axis is one more batch axis."""

    @primitive.def_batch
    def batch(lanes: Any, mapped: Sequence[bool], x: Any, **params: Any) -> Any:
        out = primitive(x, **params)
        return (out, (True,) * len(out)) if primitive.multiple else out


def by_lapack(a: ArrayType, *_others: ArrayType, **_params: Any) -> bool:
    """Whether OpenBLAS may bring threads of its own: for matrices that are not small."""
    return max(a.shape[-2:]) > 64


def matrices(rng: Any, *shapes: tuple[int, ...]) -> list:
    """Random matrices of these shapes, and the last as float32 and transposed in memory."""
    found = [rng.normal(size=shape) for shape in shapes]
    return [*found, found[-1].astype(np.float32), np.swapaxes(np.swapaxes(found[-1], -1, -2).copy(), -1, -2)]


def complex_matrices(rng: Any, *shapes: tuple[int, ...]) -> list:
    """As `matrices`, of complex numbers."""
    return [(x + 1j * rng.normal(size=x.shape)).astype(np.result_type(x, np.complex64)) for x in matrices(rng, *shapes)]


# -- triangular systems ----------------------------------------------------------------------------------------------

triangular_solve = Primitive(
    "triangular_solve", formula="{0}^{{-1}} {1}", flops=lambda a, b, **_: float(a.shape[-1] * b.size)
)
triangular_solve.__doc__ = (
    "x with a x = b, or a' x = b where `transposed`; of `a` only the lower (or the upper) triangle is read, and not its diagonal "
    "where it is a `unit` one. A zero on the diagonal: LinAlgError, compiled NaN."
)


@triangular_solve.def_type
def _triangular_type(a: ArrayType, b: ArrayType, *, lower: bool, transposed: bool, unit: bool) -> ArrayType:
    check_matrix("solve_triangular", a)
    if b.dtype != a.dtype:
        raise GraphTypeError(f"solve_triangular: operands of one dtype are wanted; it was given {a} and {b}")
    if b.ndim != a.ndim or b.shape[:-1] != a.shape[:-1]:
        raise ShapeError(f"solve_triangular: (..., n, n) and (..., n, k) are wanted; it was given {a} and {b}")
    return b


@triangular_solve.def_reference
def _triangular_reference(a: Any, b: Any, *, lower: bool, transposed: bool, unit: bool) -> Any:
    if b.size == 0:
        return np.zeros_like(b)
    from scipy.linalg import solve_triangular

    how = {"lower": lower, "trans": int(transposed), "unit_diagonal": unit, "check_finite": False}
    return one_by_one(lambda m, r: (solve_triangular(m, r, **how),), a, b)[0]


@triangular_solve.def_lower("kernel")
def _triangular_lower(k: Any, outputs: Any, inputs: Any, *, lower: bool, transposed: bool, unit: bool) -> None:
    """In place of a copy of b. BLAS sees rows as columns: it solves x' a' = b', from the right."""
    (x,), (a, b) = outputs, inputs
    if x.type.size == 0:
        return
    if x.pointer is not b.pointer:
        k.copy(x, b)
    (n, columns), (down, right), e = x.shape[-2:], a.strides[-2:], k.scalar(a.dtype)
    if right == 1 and down >= n:  # rows are contiguous: a' for BLAS
        direct, ld, flip = True, down, False
    elif down == 1 and right >= n:  # columns are: a itself
        direct, ld, flip = True, right, True
    else:
        direct, ld, flip = n == 1, n, False
    side = ("U" if lower else "L") if not flip else ("L" if lower else "U")
    trans = "N" if transposed == flip else "T"
    for index in k.loop(*x.shape[:-2]):
        matrix, target = k.matrix(a, index), k.matrix(x, index)
        if not direct:
            (held,) = k.room((a.dtype, (n, n)))
            k.copy(held, k.transposed(matrix))
            matrix = held
        one = 1.0 if a.dtype.kind == "f" else k.table(np.ones(1, a.dtype))
        k.call("blas", f"{letter(a)}trsm", "R", side, trans, "U" if unit else "N", columns, n, one, matrix, ld, target, columns)
        if not unit:
            with k.unless(k.all_of(k.diagonal(matrix), lambda d: e.compare("!=", d, e.const(0)))):
                k.fill(target, np.nan)


triangular_solve.overwrites, triangular_solve.solo = 1, by_lapack
triangular_solve.scratch = lambda a, b, **_: room_bytes((a.dtype, a.shape[-2:]))


@triangular_solve.def_pullback
def _triangular_pullback(ct: Any, x: Any, a: Any, b: Any, *, lower: bool, transposed: bool, unit: bool) -> tuple:
    by_b = triangular_solve(a, ct, lower=lower, transposed=not transposed, unit=unit)
    by_a = matmul(x, swap_last(by_b)) if transposed else matmul(by_b, swap_last(x))
    return -(tril(by_a, -unit) if lower else triu(by_a, int(unit))), by_b


@triangular_solve.def_batch
def _triangular_batch(lanes: Any, mapped: Sequence[bool], a: Any, b: Any, **how: Any) -> Any:
    if not mapped[0] and len(a.shape) == 2:  # one matrix for all lanes: their columns side by side
        s, n, columns = b.shape
        side_by_side = reshape(transpose(b, axes=(1, 0, 2)), shape=(n, s * columns))
        return transpose(reshape(triangular_solve(a, side_by_side, **how), shape=(n, s, columns)), axes=(1, 0, 2))
    return triangular_solve(spread(lanes, a, mapped[0]), spread(lanes, b, mapped[1]), **how)


@triangular_solve.def_samples
def _triangular_samples() -> list:
    rng = np.random.default_rng(17)
    cases: list = []
    for n, columns, batch in [(3, 2, ()), (1, 1, ()), (4, 1, (2,)), (6, 5, ()), (0, 2, ()), (3, 0, ()), (2, 3, (2, 2))]:
        a, b = rng.normal(size=(*batch, n, n)) / (n + 1) + 2 * np.eye(n), rng.normal(size=(*batch, n, columns))
        for lower in (True, False):
            cases.append(((a, b), {"lower": lower, "transposed": n == 3, "unit": n == 6}))
    how = {"lower": True, "transposed": False, "unit": False}
    cases.append(((a.astype(np.float32), b.astype(np.float32)), how))
    a, b = a + 1j * np.swapaxes(a, -1, -2), b * (1 - 2j)
    for transposed in (False, True):
        cases += [((a, b), {**how, "transposed": transposed}), ((np.swapaxes(a, -1, -2), b), {**how, "transposed": transposed})]
    return [*cases, ((a.astype(np.complex64), b.astype(np.complex64)), how)]


# -- Cholesky --------------------------------------------------------------------------------------------------------

cholesky = Primitive("cholesky", formula="\\operatorname{{chol}}({0})", flops=lambda a: a.size * a.shape[-1] / 3.0)
cholesky.__doc__ = (
    "The lower triangular l with a = l l^H, reading only the lower triangle of `a`, and of its diagonal the real part; so is its "
    "derivative one by that triangle. Not positive definite: LinAlgError, compiled NaN."
)


@cholesky.def_type
def _cholesky_type(a: ArrayType) -> ArrayType:
    check_matrix("cholesky", a)
    return a


cholesky.def_reference(lambda a: np.linalg.cholesky(a))
by_matrices(cholesky)


@cholesky.def_lower("kernel")
def _cholesky_lower(k: Any, outputs: Any, inputs: Any) -> None:
    """In place of a copy: rows are columns to LAPACK, so the lower triangle is its upper one, and what it finds is l."""
    (out,), (a,) = outputs, inputs
    if out.type.size == 0:
        return
    if out.pointer is not a.pointer:
        k.copy(out, a)
    n = a.shape[-1]
    for index in k.loop(*a.shape[:-2]):
        matrix = k.matrix(out, index)
        good = k.call("lapack", f"{letter(a)}potrf", "U", n, matrix, n)
        k.fill_lower(k.transposed(matrix))
        with k.unless(good):
            k.fill(matrix, np.nan)


cholesky.overwrites, cholesky.solo = 0, by_lapack


@cholesky.def_pullback
def _cholesky_pullback(ct: Any, l: Any, a: Any) -> tuple:
    back = {"lower": True, "transposed": True, "unit": False}
    half = triangular_solve(l, lower_half(matmul(swap_last(l), ct)), **back)
    return (of_lower(swap_last(triangular_solve(conj(l), swap_last(half), **back))),)


@cholesky.def_samples
def _cholesky_samples() -> list:
    rng = np.random.default_rng(19)
    cases = []
    real = matrices(rng, (3, 3), (1, 1), (0, 0), (2, 2, 3, 3), (0, 2, 2), (5, 5))
    for x in [*real, *complex_matrices(rng, (3, 3), (2, 4, 4))]:
        a = x @ np.conj(np.swapaxes(x, -1, -2)) / max(x.shape[-1], 1) + np.eye(x.shape[-1], dtype=x.dtype)
        cases.append(((a,), {}))
    return cases
