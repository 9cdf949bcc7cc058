"""The discrete Fourier transform along one axis, unscaled; all of `np.fft` is composed of it.

X_k = sum_j x_j w^(j k), w = exp(-2 pi i / n), or its conjugate for the inverse. Its matrix is symmetric, so the transform is its
own transpose: its pullback is itself. Native code is O(n log n) for any n (`fft_kernel.py`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError, ShapeError
from retrograde.ir import Primitive
from retrograde.ops.fft_kernel import dft_scratch, emit_dft
from retrograde.types import ArrayType

dft = Primitive("dft", formula="\\operatorname{{DFT}} {0}", flops=lambda x, **_: 5.0 * x.size * math.log2(max(x.size, 2)))


@dft.def_type
def _dft_type(x: ArrayType, *, axis: int, inverse: bool) -> ArrayType:
    if x.dtype.kind != "c":
        raise GraphTypeError(f"dft wants complex numbers; it was given {x}")
    if not 0 <= axis < x.ndim or x.shape[axis] == 0:
        raise ShapeError(f"dft along axis {axis} of {x}: a transform wants at least one point")
    return x


@dft.def_reference
def _dft_reference(x: Any, *, axis: int, inverse: bool) -> Any:
    return np.fft.ifft(x, axis=axis, norm="forward") if inverse else np.fft.fft(x, axis=axis)


dft.def_pullback(lambda ct, z, x, *, axis, inverse: (dft(ct, axis=axis, inverse=inverse),))
dft.def_batch(lambda lanes, mapped, x, *, axis, inverse: dft(x, axis=axis + 1, inverse=inverse))
dft.def_cut(lambda where, types, out, out_axis, *, axis, inverse: where[0] is not None and where[0] == out_axis != axis)
dft.def_lower("kernel")(emit_dft)
dft.scratch = dft_scratch


@dft.def_samples
def _dft_samples() -> list:
    rng = np.random.default_rng(2)

    def draw(*shape: int) -> Any:
        return rng.normal(size=shape) + 1j * rng.normal(size=shape)

    cases = [((draw(n),), {"axis": 0, "inverse": n % 2 == 0}) for n in (1, 2, 3, 4, 5, 8, 12, 17, 60, 97)]
    cases += [((draw(3, 6),), {"axis": 0, "inverse": False}), ((draw(2, 5, 4).transpose(2, 0, 1),), {"axis": 2, "inverse": True}),
              ((draw(0, 4),), {"axis": 1, "inverse": False})]  # fmt: skip
    return [*cases, ((draw(2, 7).astype(np.complex64),), {"axis": 1, "inverse": False})]
