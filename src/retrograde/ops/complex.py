"""Complex numbers: parts, conjugate, absolute value, and the number of two parts.

A cotangent w of a complex value z is that of the linear transpose, without conjugation: a change dz changes the loss by
Re(w dz), so w = dL/dRe z - i dL/dIm z. Then a holomorphic operation's pullback is w f'(z), the transpose of a pullback is the
push-forward, and only what is not holomorphic, all here, has a rule with a conjugate in it. What a person gets,
dL/dRe + i dL/dIm, is the conjugate: `transforms.py` conjugates where cotangents come in and go out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError
from retrograde.ir import Primitive
from retrograde.ops import elementwise as ew
from retrograde.ops.define import broadcast_shapes, by_elements, elementwise
from retrograde.ops.promote import apply, as_operand, astype
from retrograde.types import ArrayType


def part_of(dtype: Any) -> np.dtype:
    """The dtype of a complex number's parts; of a real one itself."""
    dtype = np.dtype(dtype)
    return np.dtype(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else dtype


def complex_of(dtype: Any) -> np.dtype:
    """The complex dtype whose parts are of this one (float32 or float64)."""
    return np.result_type(dtype, np.complex64)


def _of_part(reference: Any) -> Any:
    return lambda x: np.array(reference(x))[()]  # NumPy's own is a view


real = elementwise("real", _of_part(np.real), formula="\\operatorname{{Re}}({0})", kinds="c", result=part_of, flops=0,
                   pullback=lambda ct, z, x: (astype(ct, x.dtype),), lower=lambda e, x: e.real(x))
imag = elementwise("imag", _of_part(np.imag), formula="\\operatorname{{Im}}({0})", kinds="c", result=part_of, flops=0,
                   pullback=lambda ct, z, x: (ct * -1j,), lower=lambda e, x: e.imag(x))
conjugate = elementwise("conjugate", np.conjugate, formula="\\overline{{{0}}}", kinds="c", flops=0,
                        pullback=lambda ct, z, x: (conjugate(ct),), lower=lambda e, x: e.conj(x))


def _modulus_pullback(ct, z, x):
    per = ct / ew.select(ew.equal(z, np.zeros((), z.dtype)[()]), np.ones((), z.dtype)[()], z)  # at 0: 0
    return (per * conjugate(x),)


modulus = elementwise("modulus", np.absolute, formula="|{0}|", kinds="c", result=part_of, flops=10,
                      pullback=_modulus_pullback, lower=lambda e, x: e.abs(x),
                      doc="The absolute value of a complex number, by hypot; its derivative at 0 is 0.")  # fmt: skip
modulus.ufunc = real.ufunc = imag.ufunc = conjugate.ufunc = None  # the functions of NumPy take real numbers, too

complex_ = Primitive("complex", formula="{0} + i {1}", flops=0)
complex_.__doc__ = "The complex number of two floats, its real and its imaginary part."


@complex_.def_type
def _complex_type(x: ArrayType, y: ArrayType) -> ArrayType:
    if x.dtype != y.dtype or x.dtype not in (np.float32, np.float64):
        raise GraphTypeError(f"complex wants two float32 or two float64 operands; it was given {x} and {y}")
    return ArrayType(broadcast_shapes("complex", x, y), complex_of(x.dtype))


@complex_.def_reference
def _complex_reference(x, y):
    out = np.empty(np.broadcast_shapes(np.shape(x), np.shape(y)), complex_of(x.dtype))
    out.real, out.imag = x, y  # x + 1j * y would make NaN of infinities
    return out[()]


by_elements(complex_)
complex_.def_lower("elementwise")(lambda e, x, y: e.of(complex_of(e.dtype)).join(x, y))
complex_.def_pullback(lambda ct, z, x, y: (real(ct), -imag(ct)))


@complex_.def_samples
def _complex_samples() -> list:
    x, y = np.linspace(-1, 1, 6).reshape(2, 3), np.linspace(2, 3, 3)
    return [((x, y), {}), ((x.astype(np.float32), np.float32(2.0)), {}), ((np.float64(np.inf), np.float64(1.0)), {}),
            ((x[:0], y), {})]  # fmt: skip


def conj(x: Any) -> Any:
    """The conjugate; a real array is its own."""
    return conjugate(x) if x.dtype.kind == "c" else x


def absolute(x: Any) -> Any:
    """|x|, of complex numbers too."""
    x = as_operand(x)
    return modulus(x) if getattr(x, "dtype", np.dtype(float)).kind == "c" else apply(ew.absolute, x)
