"""The type of every value in a graph: a shape and a dtype."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np


class ArrayType(NamedTuple):
    """Shape and dtype of an array; hashable, and all that tracing knows of a value."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of a contiguous array of this type."""
        return self.size * self.dtype.itemsize

    def with_shape(self, shape: tuple[int, ...]) -> ArrayType:
        """The same dtype at another shape."""
        return ArrayType(tuple(shape), self.dtype)

    def with_dtype(self, dtype: Any) -> ArrayType:
        """The same shape with another dtype."""
        return ArrayType(self.shape, np.dtype(dtype))

    def __str__(self) -> str:
        name = _SHORT.get(self.dtype.name, self.dtype.name)
        return f"{name}[{','.join(map(str, self.shape))}]"


_SHORT = {
    "float64": "f64", "float32": "f32", "float16": "f16", "bfloat16": "bf16", "bool": "bool",
    "int64": "i64", "int32": "i32", "int16": "i16", "int8": "i8",
    "uint64": "u64", "uint32": "u32", "uint16": "u16", "uint8": "u8",
    "complex64": "c64", "complex128": "c128",
}  # fmt: skip


def type_of(value: Any) -> ArrayType:
    """The `ArrayType` of an array, a NumPy scalar, a Python scalar, or anything with shape and dtype."""
    dtype = getattr(value, "dtype", None)
    if dtype is not None:
        try:
            dtype = np.dtype(dtype)
        except TypeError:  # another library's, of an array that NumPy can read: PyTorch's
            return type_of(np.asarray(value))
        return ArrayType(tuple(value.shape), dtype if dtype.isnative else dtype.newbyteorder("="))  # of values, not of bytes
    array = np.asarray(value)
    return ArrayType(array.shape, array.dtype)


def kind_of(dtype: np.dtype) -> str:
    """NumPy's letter for the kind of number: "b", "i", "u", "f" or "c"; "f" for bfloat16 too, which is "V" to NumPy."""
    return "f" if is_bfloat16(dtype) else dtype.kind


def is_bfloat16(dtype: np.dtype) -> bool:
    """Whether this is the bfloat16 of `ml_dtypes`."""
    return dtype.kind == "V" and dtype.name == "bfloat16"


def bfloat16() -> np.dtype:
    """The dtype bfloat16: float32's exponent and sign with 8 bits of precision (the package `ml_dtypes`, imported when asked)."""
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16)
