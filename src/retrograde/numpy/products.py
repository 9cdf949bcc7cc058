"""Products beside `linear`'s: Kronecker's, the cross product, matrices times vectors, and `ufunc.outer`."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograde.errors import ShapeError
from retrograde.numpy.complex import conjugate
from retrograde.numpy.indexing import getitem
from retrograde.numpy.linear import matmul
from retrograde.numpy.shaping import array, expand_dims, moveaxis, reshape, squeeze, stack
from retrograde.numpy.table import FUNCTIONS, implements
from retrograde.ops import elementwise as ew
from retrograde.ops.promote import apply


@implements(np.kron)
def kron(a: Any, b: Any) -> Any:
    """Kronecker's product: the second array times every element of the first, side by side."""
    a, b = array(a), array(b)
    n = max(len(a.shape), len(b.shape))
    left, right = ((1,) * (n - len(x.shape)) + x.shape for x in (a, b))
    apart = [tuple(itertools.chain.from_iterable(pairs)) for pairs in (((m, 1) for m in left), ((1, m) for m in right))]
    both = apply(ew.multiply, reshape(a, apart[0]), reshape(b, apart[1]))
    return reshape(both, tuple(m * k for m, k in zip(left, right)))


@implements(np.cross)
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None) -> Any:
    """The cross product of vectors of three numbers."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ShapeError(f"cross: vectors must have 3 numbers; these have {a.shape[-1]} and {b.shape[-1]}")
    x, y = ([getitem(v, (..., i)) for i in range(3)] for v in (a, b))
    parts = [
        apply(ew.subtract, apply(ew.multiply, x[i], y[j]), apply(ew.multiply, x[j], y[i])) for i, j in ((1, 2), (2, 0), (0, 1))
    ]
    return stack(parts, axisc)


def matvec(x1: Any, x2: Any, /) -> Any:
    """Matrices times vectors, both with axes in front that broadcast."""
    return squeeze(matmul(x1, expand_dims(x2, -1)), -1)


def vecmat(x1: Any, x2: Any, /) -> Any:
    """Vectors, conjugate, times matrices, both with axes in front that broadcast."""
    return squeeze(matmul(expand_dims(conjugate(x1), -2), x2), -2)


for _name, _rule in (("matvec", matvec), ("vecmat", vecmat)):
    if hasattr(np, _name):
        FUNCTIONS[getattr(np, _name)] = _rule


def outer_of(ufunc: Any) -> Callable:
    """`ufunc.outer`: the operation on every pair of elements."""

    def call(a: Any, b: Any, /) -> Any:
        a, b = array(a), array(b)
        return FUNCTIONS[ufunc](reshape(a, a.shape + (1,) * len(b.shape)), b)

    return call
