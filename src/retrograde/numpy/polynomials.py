"""NumPy's functions of polynomials, which are arrays of coefficients, the highest power first.

Coefficients that happen to be 0 in front are kept: how many there are would decide the result's shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.numpy.creating import asarray
from retrograde.numpy.indexing import getitem
from retrograde.numpy.linear import matmul
from retrograde.numpy.shaping import concatenate, zeros_like
from retrograde.numpy.table import implements
from retrograde.ops import elementwise as ew
from retrograde.ops.promote import apply


def _coefficients(p: Any) -> Any:
    p = asarray(p)
    return getitem(p, None) if not p.shape else p


@implements(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """The polynomial's values, by Horner's rule."""
    p, x = _coefficients(p), asarray(x)
    y = zeros_like(x)
    for i in range(len(p)):
        y = apply(ew.add, apply(ew.multiply, y, x), getitem(p, i))
    return y


def _aligned(p: Any, n: int) -> Any:
    return p if len(p) == n else concatenate([np.zeros(n - len(p), p.dtype), p])


def _joined(primitive: Any, name: str) -> Any:
    def call(a1: Any, a2: Any) -> Any:
        a1, a2 = _coefficients(a1), _coefficients(a2)
        n = max(len(a1), len(a2))
        return apply(primitive, _aligned(a1, n), _aligned(a2, n))

    call.__name__, call.__doc__ = name, f"As `numpy.{name}`."
    return implements(getattr(np, name))(call)


polyadd, polysub = _joined(ew.add, "polyadd"), _joined(ew.subtract, "polysub")


@implements(np.polymul)
def polymul(a1: Any, a2: Any) -> Any:
    """The product: one's coefficients times the matrix of the other's, each row moved on by one."""
    a1, a2 = _coefficients(a1), _coefficients(a2)
    n, m = len(a1), len(a2)
    places = np.arange(n + m - 1) - np.arange(n)[:, None]
    rows = getitem(concatenate([a2, np.zeros(1, a2.dtype)]), np.where((places >= 0) & (places < m), places, m))
    return matmul(a1, rows)


@implements(np.polyder)
def polyder(p: Any, m: int = 1) -> Any:
    """The m-th derivative's coefficients."""
    p, m = _coefficients(p), int(m)
    if m < 0:
        raise ValueError("Order of derivative must be positive (see polyint)")
    for _ in range(m):
        p = apply(ew.multiply, getitem(p, slice(-1)), np.arange(len(p) - 1, 0, -1))
    return p


@implements(np.polyint)
def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """The m-th antiderivative's coefficients, with the constants of integration `k` (0)."""
    m = int(m)
    if m == 0:
        return asarray(p)
    p = _coefficients(p)
    if m < 0:
        raise ValueError("Order of integral must be positive (see polyder)")
    k = np.zeros(m) if k is None else _coefficients(k)
    if len(k) == 1 and m > 1:
        k = getitem(k, np.zeros(m, int))
    if len(k) < m:
        raise ValueError("k must be a scalar or a rank-1 array of length 1 or >m.")
    for i in range(m):
        p = concatenate([apply(ew.divide, p, np.arange(len(p), 0, -1)), getitem(k, slice(i, i + 1))])
    return p
