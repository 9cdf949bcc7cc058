"""The functions of `numpy.linalg` that share a name with one of `numpy`: theirs are stacks of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.errors import ShapeError
from retrograde.numpy import creating, linear, products, shaping
from retrograde.numpy.reductions import sum as _sum
from retrograde.numpy.shaping import array
from retrograde.numpy.table import FUNCTIONS, implements


@implements(np.linalg.outer)
def outer(x1: Any, x2: Any, /) -> Any:
    """All products of two vectors' elements."""
    if len(array(x1).shape) != 1 or len(array(x2).shape) != 1:
        raise ShapeError(f"np.linalg.outer wants vectors; it was given {array(x1).shape} and {array(x2).shape}")
    return linear.outer(x1, x2)


@implements(np.linalg.cross)
def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The cross product of vectors of three numbers."""
    return products.cross(x1, x2, axis=axis)


@implements(np.linalg.diagonal)
def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """The diagonals of matrices."""
    return creating.diagonal(x, offset, -2, -1)


@implements(np.linalg.trace)
def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """The sums of matrices' diagonals."""
    return _sum(diagonal(x, offset=offset), -1, dtype)


@implements(np.linalg.matmul)
def matmul(x1: Any, x2: Any, /) -> Any:
    """The product of matrices."""
    return linear.matmul(x1, x2)


@implements(np.linalg.tensordot)
def tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    """A sum over pairs of axes of two arrays."""
    return linear.tensordot(x1, x2, axes)


@implements(np.linalg.matrix_transpose)
def matrix_transpose(x: Any, /) -> Any:
    """The last two axes swapped."""
    x = array(x)
    if len(x.shape) < 2:
        raise ShapeError(f"a matrix is wanted, an array of two axes or more; this one has shape {tuple(x.shape)}")
    return shaping.swapaxes(x, -1, -2)


FUNCTIONS[np.matrix_transpose] = matrix_transpose


@implements(np.linalg.vecdot)
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The sum of the products along an axis of both, the first conjugate; the others broadcast."""
    return linear.vecdot(x1, x2, axis=axis)
