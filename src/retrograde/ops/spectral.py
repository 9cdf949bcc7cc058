"""Linear algebra, second part: eigenvalues of Hermitian matrices and singular values. Matrices are the last two axes.

Pullbacks: M. Giles, 2008, "Collected matrix derivative results" (eigenvalues); J. Townsend, 2016, "Differentiating the singular
value decomposition"; of complex matrices Z.-Q. Wan and S.-X. Zhang, 2019, "Automatic differentiation for complex valued SVD", and
C. Boeddeker et al., 2017, "On the computation of complex-valued gradients" (`ops/linalg.py` says why the pullbacks begin by
conjugating what they read).

Eigenvectors turn by 1 / (difference of eigenvalues). Where two values are equal (up to rounding) the vectors are not unique and
have no derivative. With `unique`, for a caller that may do anything with them, that is NaN. Without, such a pair is left out: it
is right where what is computed does not depend on the choice. What reads values only divides by no difference.

Complex vectors have a phase that is free. The derivative is that in the gauge where a change of v has no part along v, v^H dv = 0
(for u and v of one singular value, which turn together, u^H du + v^H dv = 0). It is right for whatever does not depend on the
phase.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograde.ir import Primitive
from retrograde.ir.layout import room_bytes
from retrograde.ops import elementwise as ew
from retrograde.ops.complex import conj, part_of
from retrograde.ops.linalg import (
    BLOCK,
    INT32,
    add_up,
    adjoint,
    by_lapack,
    by_matrices,
    check_matrix,
    columns_of,
    complex_matrices,
    eye_like,
    letter,
    matrices,
    of_lower,
)
from retrograde.ops.matmul import matmul
from retrograde.ops.shape import reshape
from retrograde.types import ArrayType


def _inverse(x: Any) -> Any:
    """1 / x, 0 where x is 0."""
    zero, one = np.zeros((), x.dtype)[()], np.ones((), x.dtype)[()]
    nothing = ew.equal(x, zero)
    return ew.select(nothing, zero, one / ew.select(nothing, one, x))


def _apart(row: Any, column: Any, largest: Any) -> Any:
    """Where two values differ by more than rounding: what are equal in truth come out of LAPACK with some last bits apart."""
    limit = row.dtype.type(4 * row.shape[-1] * np.finfo(row.dtype).eps)
    return ew.greater(ew.absolute(row - column), limit * largest)


def _turning(apart: Any, inverse: Any, unique: bool) -> Any:
    """How far each vector turns towards each other: `inverse` where their values are `apart`."""
    if not unique:
        return ew.where_else_zero(apart, inverse)
    zero, unknown = np.zeros((), inverse.dtype)[()], np.full((), np.nan, inverse.dtype)[()]
    itself = ew.greater(eye_like(inverse), zero)
    return ew.select(apart, inverse, ew.select(itself, zero, unknown))


def _as_row(v: Any) -> Any:
    return reshape(v, shape=(*v.shape[:-1], 1, v.shape[-1]))


def _as_column(v: Any) -> Any:
    return reshape(v, shape=(*v.shape, 1))


def _only_numbers(k: Any, held: Any) -> Any:
    """Whether all elements are finite. If not, all are set to 0, for LAPACK would write a complaint to the terminal."""
    e, size = k.scalar(held.dtype), k.scalar(part_of(held.dtype))
    fine = k.all_of(held, lambda x: size.compare("<", e.abs(x), size.const(np.inf)))
    with k.unless(fine):
        k.fill(held, 0)
    return fine


# -- eigenvalues of Hermitian matrices -------------------------------------------------------------------------------

eigh = Primitive("eigh", formula="\\operatorname{{eigh}}({0})", multiple=True, flops=lambda a, **_: 9.0 * a.size * a.shape[-1])
eigh.__doc__ = (
    "(values,), ascending, and the vectors as columns where `vectors` are asked for, of a symmetric or Hermitian matrix: "
    "only the lower triangle is read, and the derivative is one by it. No convergence: LinAlgError, compiled NaN."
)


@eigh.def_type
def _eigh_type(a: ArrayType, *, vectors: bool, unique: bool = False) -> tuple:
    check_matrix("eigh", a)
    values = ArrayType(a.shape[:-1], part_of(a.dtype))
    return (values, a) if vectors else (values,)


@eigh.def_reference
def _eigh_reference(a: Any, *, vectors: bool, unique: bool = False) -> tuple:
    return tuple(np.linalg.eigh(a)) if vectors else (np.linalg.eigvalsh(a),)


by_matrices(eigh)


@eigh.def_keeping
def _with_vectors(varying: Sequence[bool], inputs: Any, **params: Any) -> dict:
    return {**params, "vectors": True}


def _turn(overlap: Any) -> Any:
    """The number of absolute value 1 by which to multiply vectors whose product with others is conj(`overlap`)."""
    size = np.abs(overlap)
    return np.where(size > 0, overlap, 1) / np.where(size > 0, size, 1)


@eigh.def_align
def _eigh_align(outputs: Sequence[Any], like: Sequence[Any]) -> Sequence[Any]:
    """Each vector's product with the one it is like is real and positive: the gauge that is said above."""
    if len(outputs) == 1:
        return outputs
    (w, v), (_, other) = outputs, like
    return w, v * _turn(np.sum(np.conj(v) * other, -2, keepdims=True))


def _eigh_room(a: Any, vectors: bool) -> tuple:
    """The matrix, its values, and working memory: numbers, for complex ones also real ones, and integers."""
    n, real = a.shape[-1], part_of(a.dtype)
    amount, whole = (1 + 6 * n + 2 * n * n, 3 + 5 * n) if vectors else (2 * n + 1, 1)
    more = [(real, (amount,))] if a.dtype.kind == "c" else []
    return (a.dtype, (n, n)), (real, (n,)), (a.dtype, (max(amount, BLOCK * (n + 2)),)), *more, (INT32, (whole,))


eigh.solo = by_lapack
eigh.scratch = lambda a, *, vectors, unique=False: room_bytes(*_eigh_room(a, vectors))


@eigh.def_lower("kernel")
def _eigh_lower(k: Any, outputs: Any, inputs: Any, *, vectors: bool, unique: bool = False) -> None:
    a, n = inputs[0], inputs[0].shape[-1]
    if a.type.size == 0:
        return
    name = letter(a) + ("heevd" if a.dtype.kind == "c" else "syevd")
    for index in k.loop(*a.shape[:-2]):
        held, values, *working = k.room(*_eigh_room(a, vectors))
        k.copy(held, k.matrix(a, index))
        fine = _only_numbers(k, held)
        sizes = [x for part in working for x in (part, part.shape[0])]
        good = k.call("lapack", name, "V" if vectors else "N", "L", n, held, n, values, *sizes)
        for out, found in zip(outputs, (values, held)):
            part = k.matrix(out, index)
            k.copy(part, found)
            with k.unless(good, fine):
                k.fill(part, np.nan)


@eigh.def_pullback
def _eigh_pullback(cts: tuple, outs: tuple, a: Any, *, vectors: bool, unique: bool = False, **_: Any) -> tuple:
    by_w, by_v = cts[0], cts[1] if len(cts) > 1 else None
    w, v = outs if len(outs) > 1 else eigh(a, vectors=True, unique=unique)
    v = conj(v)
    if by_v is None:
        inner = None
    else:
        row, column, n = _as_row(w), _as_column(w), w.shape[-1]
        largest = ew.maximum(ew.absolute(columns_of(row, 0, 1)), ew.absolute(columns_of(row, n - 1, n))) if n else row
        turns = _turning(_apart(row, column, largest), _inverse(row - column), unique)
        inner = turns * matmul(adjoint(v), by_v)
        if by_w is not None:
            inner = inner + eye_like(turns) * _as_row(by_w)
    left = v * _as_row(by_w) if inner is None else matmul(v, inner)
    return (of_lower(matmul(left, adjoint(v))),)


@eigh.def_samples
def _eigh_samples() -> list:
    rng = np.random.default_rng(31)
    found = matrices(rng, (3, 3), (1, 1), (0, 0), (2, 4, 4), (5, 5))
    found += complex_matrices(rng, (3, 3), (2, 4, 4))
    return [((x + np.conj(np.swapaxes(x, -1, -2)),), {"vectors": vectors}) for vectors in (False, True) for x in found]


# -- singular values -------------------------------------------------------------------------------------------------

svd = Primitive(
    "svd", formula="\\operatorname{{svd}}({0})", multiple=True, flops=lambda a, **_: 12.0 * a.size * min(a.shape[-2:])
)
svd.__doc__ = (
    "(s,), descending, and (s, u, vh) where `vectors` are asked for: u s vh is the matrix, with as many columns of u and rows of "
    "vh as there are values. No convergence: LinAlgError, compiled NaN."
)


@svd.def_type
def _svd_type(a: ArrayType, *, vectors: bool, unique: bool = False) -> tuple:
    check_matrix("svd", a, square=False)
    *batch, m, n = a.shape
    size = min(m, n)
    s = ArrayType((*batch, size), part_of(a.dtype))
    return (s, a.with_shape((*batch, m, size)), a.with_shape((*batch, size, n))) if vectors else (s,)


@svd.def_reference
def _svd_reference(a: Any, *, vectors: bool, unique: bool = False) -> tuple:
    if not vectors:
        return (np.linalg.svd(a, compute_uv=False),)
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    return s, u, vh


by_matrices(svd)
svd.def_keeping(_with_vectors)


@svd.def_align
def _svd_align(outputs: Sequence[Any], like: Sequence[Any]) -> Sequence[Any]:
    """As eigenvectors, both vectors of a value by the same number."""
    if len(outputs) == 1:
        return outputs
    (s, u, vh), (_, other_u, other_vh) = outputs, like
    turn = _turn(np.sum(np.conj(u) * other_u, -2) + np.sum(vh * np.conj(other_vh), -1))
    return s, u * _as_row(turn), vh * np.conj(_as_column(turn))


def svd_room(a: Any, vectors: bool) -> tuple:
    """The matrix, its values and vectors, and working memory: numbers, for complex ones also real ones, and integers."""
    (m, n), size, real = a.shape[-2:], min(a.shape[-2:]), part_of(a.dtype)
    amount = 4 * size * size + 7 * size + max(m, n) + BLOCK * (m + n)
    u, vh = ((m, size), (size, n)) if vectors else ((1, 1), (1, 1))
    more = [(real, (size * (5 * size + 2 * max(m, n) + 7),))] if a.dtype.kind == "c" else []
    held = [(a.dtype, shape) for shape in (u, vh, (amount,))]
    return (a.dtype, (m, n)), (real, (size,)), *held, *more, (INT32, (8 * size,))


svd.solo = by_lapack
svd.scratch = lambda a, *, vectors, unique=False: room_bytes(*svd_room(a, vectors))


@svd.def_lower("kernel")
def _svd_lower(k: Any, outputs: Any, inputs: Any, *, vectors: bool, unique: bool = False) -> None:
    a = inputs[0]
    if 0 in a.shape[-2:]:
        return
    for index in k.loop(*a.shape[:-2]):
        found, good = decompose(k, k.matrix(a, index), k.room(*svd_room(a, vectors)), vectors)
        for out, x in zip(outputs, found):
            part = k.matrix(out, index)
            k.copy(part, x)
            with k.unless(*good):
                k.fill(part, np.nan)


def decompose(k: Any, matrix: Any, room: Sequence[Any], vectors: bool) -> tuple[tuple, tuple]:
    """(s, u, vh) of a matrix that is not empty, in the room that `svd_room` says, and what holds if they are right."""
    held, s, u, vh, work, *more = room
    k.copy(held, matrix)
    sizes = *held.shape, held, held.shape[0], s, u, u.shape[0], vh, vh.shape[0], work, work.shape[0], *more
    fine = _only_numbers(k, held)
    return (s, u, vh), (k.call("lapack", f"{letter(held)}gesdd", "S" if vectors else "N", *sizes), fine)


@svd.def_pullback
def _svd_pullback(cts: tuple, outs: tuple, a: Any, *, vectors: bool, unique: bool = False, **_: Any) -> tuple:
    """Townsend (2016), equations 29 to 33, where 1 / (t^2 - s^2) is split in two: vectors of equal values turn together, by
    1 / (t - s), as they like, but against one another by 1 / (t + s), which is left out nowhere: on the diagonal it is the phase
    between complex u and v.
    """
    by_s, by_u, by_vh = (*cts, None, None)[:3]
    s, u, vh = outs if len(outs) > 1 else svd(a, vectors=True, unique=unique)
    u, vh = conj(u), conj(vh)
    if by_u is None and by_vh is None:
        return (matmul(u * _as_row(by_s), vh),)
    row, column, v = _as_row(s), _as_column(s), adjoint(vh)
    apart = _apart(row, column, columns_of(row, 0, 1) if s.shape[-1] else row)
    together, against = 0.5 * _turning(apart, _inverse(row - column), unique), 0.5 * _inverse(row + column)
    inverse, outside = _inverse(s), []
    inner = None if by_s is None else eye_like(together) * _as_row(by_s)
    if by_u is not None:
        mixed = matmul(adjoint(u), by_u)
        inner = add_up(inner, (together + against) * (mixed - adjoint(mixed)))
        if a.shape[-2] > a.shape[-1]:
            outside.append(matmul((by_u - matmul(u, mixed)) * _as_row(inverse), vh))
    if by_vh is not None:
        by_v = adjoint(by_vh)
        mixed = matmul(vh, by_v)
        inner = add_up(inner, (together - against) * (mixed - adjoint(mixed)))
        if a.shape[-1] > a.shape[-2]:
            outside.append(matmul(u * _as_row(inverse), adjoint(by_v - matmul(v, mixed))))
    return (add_up(matmul(matmul(u, inner), vh), *outside),)


@svd.def_samples
def _svd_samples() -> list:
    rng = np.random.default_rng(37)
    shapes = [(3, 3), (1, 1), (4, 2), (2, 4), (0, 3), (3, 0), (2, 3, 2), (5, 5)]
    found = [*matrices(rng, *shapes), *complex_matrices(rng, *shapes[:4])]
    return [((x,), {"vectors": vectors}) for vectors in (False, True) for x in found]
