"""NumPy's promotion (NEP 50) in front of the strict primitives.

A Python number is weak: it takes the dtype of what it meets. So is a symbol that stands for one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError, UnsupportedError
from retrograde.ir import Primitive
from retrograde.ops.elementwise import convert
from retrograde.types import is_bfloat16, kind_of

_WEAK = {bool: np.dtype(bool), int: int, float: float, complex: complex}
_KIND = {"i": int, "f": float, "c": complex}


def is_traced(x: Any) -> bool:
    """Whether `x` is a symbol of a graph under construction."""
    return hasattr(x, "_builder")


def refuse_subclasses(value: Any) -> None:
    """Raise for arrays whose operations mean something else than ndarray's."""
    if type(value) is not np.ndarray and isinstance(value, (np.ma.MaskedArray, np.matrix)):
        raise UnsupportedError(
            f"a {type(value).__name__} cannot be traced: its own meaning of operations would be lost. Pass a plain array, "
            "such as np.asarray(x) or x.filled(0)"
        )


def as_operand(x: Any) -> Any:
    """A symbol as it is, a Python number as it is (weak), anything else as an array that has no objects in it."""
    if is_traced(x) or type(x) in _WEAK or isinstance(x, np.generic):
        return x
    refuse_subclasses(x)
    array = np.asarray(x)
    if kind_of(array.dtype) not in "fiubc":
        raise UnsupportedError(
            f"an array of dtype {array.dtype} cannot be traced; retrograde works on real, integer, bool and complex "
            "arrays. Convert it first, for example with np.asarray(x, dtype=float)"
        )
    return array


def astype(x: Any, dtype: Any) -> Any:
    """Cast, unless it is a cast to what it is already."""
    dtype = np.dtype(dtype)
    if type(x) in _WEAK:
        return np.asarray(x, dtype)[()]
    if x.dtype == dtype:
        return x
    return convert(x, dtype=dtype) if is_traced(x) else np.asarray(x).astype(dtype)[()]


def own(x: Any) -> Any:
    """The same elements as an array of its own, which writing into `x` leaves as they are."""
    return x.snapshot() if is_traced(x) else x.copy() if isinstance(x, np.ndarray) else x


@lru_cache(maxsize=4096)
def _resolve(ufunc: np.ufunc, kinds: tuple) -> tuple[np.dtype, ...]:
    return ufunc.resolve_dtypes((*kinds, *[None] * ufunc.nout))


def _kind(x: Any) -> Any:
    if type(x) in _WEAK:
        return _WEAK[type(x)]
    if getattr(x, "weak", False):
        return _KIND.get(x.dtype.kind, x.dtype)
    return x.dtype


def promote(ufunc: np.ufunc, *args: Any) -> tuple[Any, ...]:
    """The operands, cast to the dtypes of the loop that NumPy would choose for this ufunc."""
    operands = [as_operand(x) for x in args]
    kinds = tuple(_kind(x) for x in operands)
    if not any(isinstance(kind, np.dtype) for kind in kinds):  # numbers alone: NumPy makes arrays of them
        kinds = tuple(np.dtype(kind) for kind in kinds)
    try:
        dtypes = _resolve(ufunc, kinds)
    except TypeError as error:
        given = ", ".join(str(getattr(x, "dtype", type(x).__name__)) for x in operands)
        raise GraphTypeError(f"{ufunc.__name__} is not defined for ({given}): {error}") from None
    return tuple(astype(x, dtype) for x, dtype in zip(operands, dtypes))


def apply(primitive: Primitive, *args: Any) -> Any:
    """Call an elementwise primitive as NumPy would call its ufunc: operands promoted and broadcast.

    bfloat16 is reckoned with in float32 and rounded, as `ml_dtypes` does.
    """
    operands = promote(_ufunc(primitive), *args)
    if is_bfloat16(narrow := operands[-1].dtype):
        out = primitive(*[astype(x, np.float32) for x in operands])
        return astype(out, narrow) if out.dtype == np.float32 else out
    out = primitive(*operands)
    if is_traced(out) and all(type(x) in _WEAK or getattr(x, "weak", False) for x in args):
        out.weak = True
    return out


def _ufunc(primitive: Primitive) -> np.ufunc:
    # a function that is no ufunc of NumPy's (erf, sigmoid) promotes as a float function does
    return primitive.ufunc if primitive.ufunc is not None else np.exp
