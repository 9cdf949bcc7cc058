"""Norms of vectors and matrices, as `numpy.linalg` has them."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.numpy.complex import abs_square
from retrograde.numpy.elementwise import absolute, sqrt_or_zero, where
from retrograde.numpy.reductions import max as _max
from retrograde.numpy.reductions import min as _min
from retrograde.numpy.reductions import sum as _sum
from retrograde.numpy.shaping import array, moveaxis, normalize_axis, reshape
from retrograde.numpy.table import implements_traced
from retrograde.ops import elementwise as ew
from retrograde.ops import spectral as sp
from retrograde.ops.complex import part_of
from retrograde.ops.promote import apply, astype
from retrograde.types import kind_of


def singular_values(a: Any) -> Any:
    """Singular values, descending."""
    return sp.svd(a, vectors=False, unique=True)[0]


@implements_traced(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """A norm of vectors or matrices, `ord` as in NumPy. Where it is 0 its derivative is 0, the subgradient of least norm."""
    x = _operand(x)
    rank = len(x.shape)
    if axis is None:
        if ord is None or (ord in ("f", "fro") and rank == 2) or (ord == 2 and rank == 1):
            axes = tuple(range(rank))
            return _euclidean(x, axes, keepdims)
        axes = tuple(range(rank))
    else:
        axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    axes = tuple(normalize_axis(a, rank) for a in axes)
    if len(axes) == 1:
        return _vector_norm(x, 2 if ord is None else ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, "fro" if ord is None else ord, axes, keepdims)
    raise ValueError(f"a norm is one of vectors or of matrices, along one or two axes; there are {len(axes)}")


def _operand(x: Any) -> Any:
    """An array of floats or complex numbers, other kinds as float64."""
    x = array(x)
    return x if kind_of(x.dtype) in "fc" else astype(x, np.float64)


def _euclidean(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return sqrt_or_zero(_sum(abs_square(x), axes, keepdims=keepdims))


def _vector_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if isinstance(ord, str):
        raise ValueError(f"the order of a vector norm is a number; it is {ord!r}")
    if ord == np.inf:
        return _max(absolute(x), axes, keepdims=keepdims)
    if ord == -np.inf:
        return _min(absolute(x), axes, keepdims=keepdims)
    if ord == 0:
        return _sum(astype(apply(ew.not_equal, x, 0), part_of(x.dtype)), axes, keepdims=keepdims)
    if ord == 1:
        return _sum(absolute(x), axes, keepdims=keepdims)
    if ord == 2:
        return _euclidean(x, axes, keepdims)
    size = absolute(x)
    total = _sum(apply(ew.power, size, ord), axes, keepdims=keepdims)
    nothing = apply(ew.equal, total, 0)
    root = apply(ew.power, where(nothing, 1, total), 1.0 / ord)
    return astype(where(nothing, 0.0 if ord > 0 else np.inf, root), part_of(x.dtype))


def _matrix_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    rows, columns = axes
    if rows == columns:
        raise ValueError("duplicate axes given")
    rank = len(x.shape)
    if ord in ("fro", "f"):
        return _euclidean(x, tuple(sorted(axes)), keepdims)
    if ord in (2, -2, "nuc"):
        moved = moveaxis(x, axes, (-2, -1))
        s = singular_values(moved)
        s = where(apply(ew.equal, s, 0), s.dtype.type(0), s)  # a kink as |x| has: no derivative passes
        found = _sum(s, -1) if ord == "nuc" else (_max if ord == 2 else _min)(s, -1)
    elif ord in (1, -1, np.inf, -np.inf):
        add, of = (rows, columns) if abs(ord) == 1 else (columns, rows)
        of = of - (of > add)
        found = (_max if ord > 0 else _min)(_sum(absolute(x), add), of)
    else:
        raise ValueError(f"the order of a matrix norm is 'fro', 'nuc', inf, -inf, 1, -1, 2 or -2; it is {ord!r}")
    if keepdims:
        found = reshape(found, tuple(1 if a in axes else x.shape[a] for a in range(rank)))
    return found


@implements_traced(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """The norm of vectors, by default of all elements."""
    x = _operand(x)
    rank = len(x.shape)
    given = range(rank) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = tuple(sorted(normalize_axis(a, rank) for a in given))
    return _vector_norm(x, ord, axes, keepdims)


@implements_traced(np.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """The norm of the matrices in the last two axes."""
    return norm(x, ord, (-2, -1), keepdims)
