"""NumPy's functions of complex numbers and their parts. Of real arrays a part is the array itself, or zeros."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.numpy.elementwise import where
from retrograde.numpy.shaping import array, zeros_like
from retrograde.numpy.table import FUNCTIONS, implements
from retrograde.ops import complex as cx
from retrograde.ops import elementwise as ew
from retrograde.ops.promote import apply, promote


def _is_complex(x: Any) -> bool:
    return x.dtype.kind == "c"


@implements(np.real)
def real(val: Any) -> Any:
    """The real part; of a real array, itself."""
    val = array(val)
    return cx.real(val) if _is_complex(val) else val


@implements(np.imag)
def imag(val: Any) -> Any:
    """The imaginary part; of a real array, zeros."""
    val = array(val)
    return cx.imag(val) if _is_complex(val) else zeros_like(val)


@implements(np.conjugate)
def conjugate(x: Any) -> Any:
    """The complex conjugate; of a real array, itself."""
    x = promote(np.conjugate, x)[0]
    return cx.conjugate(x) if _is_complex(x) else x


conj = conjugate


@implements(np.angle)
def angle(z: Any, deg: bool = False) -> Any:
    """The angle from the positive real axis, in (-pi, pi], or in degrees; of real numbers 0 or pi, without a derivative."""
    z = array(z)
    if _is_complex(z):
        turn = apply(ew.arctan2, cx.imag(z), cx.real(z))
    else:
        turn = apply(ew.arctan2, np.zeros((), z.dtype)[()], z)
    return apply(ew.multiply, turn, 180.0 / np.pi) if deg else turn


@implements(np.sign)
def sign(x: Any) -> Any:
    """-1, 0 or 1; of a complex number z / |z|, 0 at 0."""
    x = array(x)
    if not _is_complex(x):
        return apply(ew.sign, x)
    size = cx.modulus(x)
    none = apply(ew.equal, size, 0)
    return where(none, 0, apply(ew.divide, x, where(none, 1, size)))


@implements(np.iscomplex)
def iscomplex(x: Any) -> Any:
    """Where the imaginary part is not 0."""
    return apply(ew.not_equal, imag(x), 0)


@implements(np.isreal)
def isreal(x: Any) -> Any:
    """Where the imaginary part is 0."""
    return apply(ew.equal, imag(x), 0)


def abs_square(x: Any) -> Any:
    """|x|**2, real and without a root."""
    if not _is_complex(x):
        return apply(ew.square, x)
    return apply(ew.add, apply(ew.square, cx.real(x)), apply(ew.square, cx.imag(x)))


FUNCTIONS[np.iscomplexobj] = lambda x: _is_complex(array(x))
FUNCTIONS[np.isrealobj] = lambda x: not _is_complex(array(x))
