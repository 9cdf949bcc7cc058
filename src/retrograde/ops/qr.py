"""Linear algebra: QR, for matrices of any shape. Matrices are the last two axes; see `ops/linalg.py`.

Pullback: S. F. Walter and L. Lehmann, 2018, "Algorithmic differentiation of linear algebra functions with application in optimum
experimental design". Complex factors are unique as real ones are, for the diagonal of r is real.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.ir import Primitive
from retrograde.ir.layout import room_bytes
from retrograde.ops.complex import conj
from retrograde.ops.linalg import (
    BLOCK,
    add_up,
    adjoint,
    by_lapack,
    by_matrices,
    check_matrix,
    columns_of,
    complex_matrices,
    letter,
    lower_half,
    matrices,
    triangular_solve,
)
from retrograde.ops.matmul import matmul
from retrograde.ops.shape import concatenate
from retrograde.types import ArrayType

qr = Primitive("qr", formula="\\operatorname{{qr}}({0})", multiple=True, flops=lambda a: 4.0 * a.size * min(a.shape[-2:]))
qr.__doc__ = "(q, r), reduced: q has orthonormal columns, r is upper triangular with a real diagonal, q r is the matrix."


@qr.def_type
def _qr_type(a: ArrayType) -> tuple:
    check_matrix("qr", a, square=False)
    *batch, m, n = a.shape
    return a.with_shape((*batch, m, min(m, n))), a.with_shape((*batch, min(m, n), n))


qr.def_reference(lambda a: tuple(np.linalg.qr(a)))
by_matrices(qr)


@qr.def_lower("kernel")
def _qr_lower(k: Any, outputs: Any, inputs: Any) -> None:
    """Rows are columns to LAPACK: it finds a' = l q', of which nothing needs to be turned."""
    (q, r), (a,) = outputs, inputs
    m, n = a.shape[-2:]
    if 0 in (m, n):
        return
    size, name = min(m, n), letter(a)
    for index in k.loop(*a.shape[:-2]):
        tau, work = k.room(*_qr_room(a))
        amount, (matrix, q1, r1) = work.shape[0], (k.matrix(x, index) for x in (a, q, r))
        held = q1 if m >= n else r1
        k.copy(held, matrix)
        k.call("lapack", f"{name}gelqf", n, m, held, n, tau, work, amount)
        if m >= n:
            k.copy(r1, held.with_layout(held.layout.slice((0, 0), (n, n), (1, 1))))
        else:
            k.copy(q1, held.with_layout(held.layout.slice((0, 0), (m, m), (1, 1))))
        k.fill_lower(r1)
        k.call("lapack", f"{name}{'un' if a.dtype.kind == 'c' else 'or'}glq", size, m, size, q1, size, tau, work, amount)


def _qr_room(a: Any) -> tuple:
    return (a.dtype, (min(a.shape[-2:]),)), (a.dtype, (BLOCK * max(a.shape[-2:]),))


qr.solo = by_lapack
qr.scratch = lambda a: room_bytes(*_qr_room(a))


@qr.def_pullback
def _qr_pullback(cts: tuple, outs: tuple, a: Any) -> tuple:
    """Walter and Lehmann (2018); a wide matrix is a square one x with more columns y, whose r is q' y."""
    (by_q, by_r), (q, r), a = cts, map(conj, outs), conj(a)
    m, n = a.shape[-2:]
    if m >= n:
        return (_tall_pullback(by_q, by_r, q, r),)
    rest = None
    if by_r is not None:
        rest = columns_of(by_r, m, n)
        by_q = add_up(by_q, matmul(columns_of(a, m, n), adjoint(rest)))
        by_r, rest = columns_of(by_r, 0, m), matmul(q, rest)
    square = _tall_pullback(by_q, by_r, q, columns_of(r, 0, m))
    rest = 0.0 * columns_of(a, m, n) if rest is None else rest
    return (concatenate(square, rest, axis=len(a.shape) - 1),)


def _tall_pullback(by_q: Any, by_r: Any, q: Any, r: Any) -> Any:
    inner = add_up(None if by_r is None else matmul(r, adjoint(by_r)), None if by_q is None else -matmul(adjoint(by_q), q))
    half = lower_half(inner)
    whole = add_up(by_q, matmul(q, half + adjoint(half)))
    return adjoint(triangular_solve(r, adjoint(whole), lower=False, transposed=False, unit=False))


@qr.def_samples
def _qr_samples() -> list:
    rng = np.random.default_rng(29)
    shapes = [(3, 3), (1, 1), (4, 2), (2, 4), (0, 3), (3, 0), (2, 3, 2), (5, 5)]
    return [((x,), {}) for x in [*matrices(rng, *shapes), *complex_matrices(rng, *shapes[:4])]]
