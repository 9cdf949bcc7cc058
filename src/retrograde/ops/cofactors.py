"""Cofactors: the gradient of the determinant, of singular matrices too. Matrices are the last two axes; see `ops/linalg.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError
from retrograde.ir import Primitive
from retrograde.ir.layout import room_bytes
from retrograde.ops.complex import part_of
from retrograde.ops.linalg import INT32, INT64, by_lapack, check_matrix, complex_matrices, letter, matrices, one_by_one
from retrograde.ops.lu import lu
from retrograde.ops.shape import reshape, spread
from retrograde.ops.spectral import decompose, svd_room
from retrograde.types import ArrayType

cofactors = Primitive("cofactors", formula="\\operatorname{{cof}}({1})", flops=lambda z, a, *_: 2.0 * a.size * a.shape[-1])
cofactors.__doc__ = (
    "The cofactors of square matrices, from their determinants and LU's factors and pivots: the determinant times the inverse, "
    "transposed; where there is none, by singular values, det(u) det(vh) conj(u) g conj(vh), g the product of all other values "
    "(G. W. Stewart, 1998, 'On the adjugate matrix'). No derivative: `implicit` has it."
)


@cofactors.def_type
def _type(z: ArrayType, a: ArrayType, factors: ArrayType, pivots: ArrayType) -> ArrayType:
    check_matrix("cofactors", a)
    if factors != a or z != ArrayType(a.shape[:-2], a.dtype) or pivots != ArrayType(a.shape[:-1], INT32):
        raise GraphTypeError(f"cofactors: a determinant, factors and pivots of {a} are wanted; they are {z}, {factors}, {pivots}")
    return a


@cofactors.def_reference
def _reference(z: Any, a: Any, factors: Any, pivots: Any) -> Any:
    z, pivots = reshape(z, shape=(*z.shape, 1, 1)), reshape(pivots, shape=(*pivots.shape[:-1], 1, pivots.shape[-1]))
    return one_by_one(_of_one, z, a, factors, pivots)[0] if a.size else np.zeros_like(a)


def _of_one(z: Any, a: Any, factors: Any, pivots: Any) -> tuple:
    if np.all(np.diagonal(factors) != 0):
        from scipy.linalg.lapack import get_lapack_funcs

        (getri,) = get_lapack_funcs(("getri",), (a,))
        return (z * getri(factors, pivots[0])[0].T,)
    u, s, vh = np.linalg.svd(a)
    others = np.array([np.prod(np.delete(s, i)) for i in range(len(s))], s.dtype)
    return (np.linalg.det(u) * np.linalg.det(vh) * np.conj((u * others) @ vh),)


def _room(a: Any) -> tuple:
    """For the decomposition, pivots, one more matrix, and two numbers."""
    n = a.shape[-1]
    return *svd_room(a, True), (INT32, (n,)), (a.dtype, (n, n)), (a.dtype, (1,)), (part_of(a.dtype), (1,))


cofactors.solo = lambda z, a, *_: by_lapack(a)
cofactors.scratch = lambda z, a, *_: room_bytes(*_room(a))


@cofactors.def_lower("kernel")
def _lower(k: Any, outputs: Any, inputs: Any) -> None:
    (out,), (z, a, factors, pivots) = outputs, inputs
    if a.type.size == 0:
        return
    e, n = k.scalar(a.dtype), a.shape[-1]
    for index in k.loop(*a.shape[:-2]):
        *room, places, square, number, product = k.room(*_room(a))
        target, known, work = k.matrix(out, index), k.matrix(factors, index), room[4]
        regular = k.all_of(k.diagonal(known), lambda d: e.compare("!=", d, e.const(0)))
        with k.unless(k.b.not_(regular)):
            k.copy(square, known)
            count = k.scalar(INT32)
            for (i,) in k.loop(n):
                k.store(places, (i,), count.add(k.load(pivots, (*index, i)), count.const(1)))
            k.call("lapack", f"{letter(a)}getri", n, square, n, places, work, work.shape[0])
            for i, j in k.loop(n, n):
                k.store(target, (i, j), e.mul(k.load(z, index), k.load(square, (j, i))))
        with k.unless(regular):
            (s, u, vh), found = decompose(k, k.matrix(a, index), room, vectors=True)
            k.store(number, (0,), e.const(1))
            for factor in (u, vh):
                k.copy(square, factor)
                _times_determinant(k, number, square, places)
            _times_others(k, u, s, product)
            one, zero = ((1.0, 0.0) if a.dtype.kind == "f" else (k.table(np.full(1, x, a.dtype)) for x in (1, 0)))
            k.call("blas", f"{letter(a)}gemm", "N", "N", n, n, n, one, u, n, vh, n, zero, square, n)
            for i, j in k.loop(n, n):
                x = k.load(square, (i, j))
                k.store(target, (i, j), e.mul(k.load(number, (0,)), x if a.dtype.kind == "f" else e.conj(x)))
            with k.unless(*found):
                k.fill(target, np.nan)


def _times_determinant(k: Any, number: Any, matrix: Any, places: Any) -> None:
    """Multiply the number by the determinant of the matrix, which is overwritten."""
    n, e, at = matrix.shape[0], k.scalar(matrix.dtype), k.scalar(INT64)
    k.call("lapack", f"{letter(matrix)}getrf", n, n, matrix, n, places)
    for (i,) in k.loop(n):
        pivot, row = k.load(matrix, (i, i)), k.to_index(k.load(places, (i,)), INT32)
        stays = at.compare("==", row, at.add(i, at.const(1)))
        k.store(number, (0,), e.mul(k.load(number, (0,)), e.select(stays, pivot, e.neg(pivot))))


def _times_others(k: Any, u: Any, s: Any, product: Any) -> None:
    """Multiply each column by all values but its own."""
    (n,), e, real, at = s.shape, k.scalar(u.dtype), k.scalar(s.dtype), k.scalar(INT64)
    for (own,) in k.loop(n):
        k.store(product, (0,), real.const(1))
        for (i,) in k.loop(n):
            factor = real.select(at.compare("==", i, own), real.const(1), k.load(s, (i,)))
            k.store(product, (0,), real.mul(k.load(product, (0,)), factor))
        for (i,) in k.loop(n):
            k.store(u, (i, own), e.mul(k.load(u, (i, own)), real.cast(k.load(product, (0,)), u.dtype)))


@cofactors.def_batch
def _batch(lanes: Any, mapped: Sequence[bool], *xs: Any) -> Any:
    return cofactors(*[spread(lanes, x, m) for x, m in zip(xs, mapped)])


@cofactors.def_samples
def _samples() -> list:
    rng = np.random.default_rng(41)
    found = [x for shape in [(3, 3), (1, 1), (0, 0), (2, 4, 4)] for x in (*matrices(rng, shape), *complex_matrices(rng, shape))]
    found += [np.array([[0.0, 2.0], [0.0, 0.0]]), np.zeros((2, 1, 1)), np.zeros((3, 3), complex)]
    found += [x * np.array([[0.0], [1.0], [1.0]], x.dtype) for x in found if x.shape == (3, 3)]
    found.append(np.stack([found[0], found[0] * np.array([[1.0, 1.0, 0.0]])]))
    return [((np.asarray(np.linalg.det(a)), a, *lu(a)), {}) for a in found]
