"""`Symbol`: a value of a graph under construction, with Python's operators.

Pullbacks and passes compute with symbols; the tracer that a user's function meets is one too, with NumPy's protocols added.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.ir import Atom, Builder
from retrograde.ops import elementwise as ew
from retrograde.ops.complex import absolute
from retrograde.ops.promote import apply


def _binary(primitive, swapped: bool = False):
    def method(self, other):
        if not _is_operand(other):
            return NotImplemented
        return apply(primitive, other, self) if swapped else apply(primitive, self, other)

    return method


def _is_operand(x: Any) -> bool:
    return isinstance(x, (Symbol, np.ndarray, np.generic, bool, int, float, complex, list, tuple))


def power(x: Any, y: Any) -> Any:
    """x ** y; small whole exponents become products, as NumPy's own fast paths do."""
    if type(y) in (int, float) and getattr(x, "dtype", np.dtype(int)).kind in "fc":
        if y == 1:
            return x
        if y in _POWERS:
            return apply(_POWERS[y], x)
    return apply(ew.power, x, y)


_POWERS = {2: ew.square, 0.5: ew.sqrt, -1: ew.reciprocal}


class Symbol:
    """A variable (or literal) of the graph that `_builder` is recording."""

    __slots__ = ("__weakref__", "_builder", "atom", "weak")
    __array_priority__ = 1000

    def __init__(self, builder: Builder, atom: Atom, view_of: Any = None):
        """`view_of` is the symbol whose elements a view shows; it matters to those that can be written into."""
        self._builder = builder
        self.atom = atom
        self.weak = False

    def snapshot(self) -> Any:
        """Another symbol of the value that this one has now, and keeps if this one is written into."""
        result = type(self)(self._builder, self.atom)
        result.weak = self.weak
        return result

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self.atom.type.shape

    @property
    def dtype(self) -> np.dtype:
        """The element type."""
        return self.atom.type.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.atom.type.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.atom.type.size

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return self.atom.type.nbytes

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    def __repr__(self) -> str:
        return f"{type(self).__name__}<{self.atom.type}>"

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d array")
        return self.shape[0]

    __hash__ = None  # type: ignore[assignment]  # == is elementwise, as for ndarray

    __add__, __radd__ = _binary(ew.add), _binary(ew.add, True)
    __sub__, __rsub__ = _binary(ew.subtract), _binary(ew.subtract, True)
    __mul__, __rmul__ = _binary(ew.multiply), _binary(ew.multiply, True)
    __truediv__, __rtruediv__ = _binary(ew.divide), _binary(ew.divide, True)
    __floordiv__, __rfloordiv__ = _binary(ew.floor_divide), _binary(ew.floor_divide, True)
    __mod__, __rmod__ = _binary(ew.remainder), _binary(ew.remainder, True)
    __lt__, __le__, __gt__, __ge__ = map(_binary, (ew.less, ew.less_equal, ew.greater, ew.greater_equal))
    __eq__, __ne__ = _binary(ew.equal), _binary(ew.not_equal)
    __and__, __rand__ = _binary(ew.bitwise_and), _binary(ew.bitwise_and, True)
    __or__, __ror__ = _binary(ew.bitwise_or), _binary(ew.bitwise_or, True)
    __xor__, __rxor__ = _binary(ew.bitwise_xor), _binary(ew.bitwise_xor, True)
    __lshift__, __rshift__ = _binary(ew.left_shift), _binary(ew.right_shift)
    __rlshift__, __rrshift__ = _binary(ew.left_shift, True), _binary(ew.right_shift, True)

    def __neg__(self):
        return apply(ew.negative, self)

    def __pos__(self):
        return self.snapshot()

    def __abs__(self):
        return absolute(self)

    def __invert__(self):
        return apply(ew.invert, self)

    def __divmod__(self, other):
        return (self // other, self % other) if _is_operand(other) else NotImplemented

    def __rdivmod__(self, other):
        return (other // self, other % self) if _is_operand(other) else NotImplemented

    def __pow__(self, other):
        return power(self, other) if _is_operand(other) else NotImplemented

    def __rpow__(self, other):
        return apply(ew.power, other, self) if _is_operand(other) else NotImplemented
