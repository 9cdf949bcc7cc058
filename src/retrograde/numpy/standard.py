"""What the Python Array API standard (2024.12) asks of a namespace beside its functions: dtypes, constants, and what it can do.

https://data-apis.org/array-api/2024.12/
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import (  # noqa: F401  # of the functions none is of a traced array: of unique_* numpy/refused.py says why
    bool,
    complex64,
    complex128,
    e,
    float32,
    float64,
    inf,
    int8,
    int16,
    int32,
    int64,
    isdtype,
    nan,
    newaxis,
    pi,
    uint8,
    uint16,
    uint32,
    uint64,
    unique_all,
    unique_counts,
    unique_inverse,
    unique_values,
)

from retrograde.numpy.table import check_device
from retrograde.ops.promote import is_traced

VERSION = "2024.12"
_KNOWN = ("2021.12", "2022.12", "2023.12", VERSION)
_DTYPES = {
    str(np.dtype(kind)): np.dtype(kind)
    for kind in (
        bool, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float32, float64, complex64, complex128,
    )
}  # fmt: skip


def check_version(api_version: str | None) -> None:
    """Raise for a version of the standard that this is not, or is not known to hold."""
    if api_version not in (None, *_KNOWN):
        raise ValueError(f"api_version={api_version!r} of the Array API is not known here; pass None, or one of {_KNOWN}")


def finfo(type: Any, /) -> np.finfo:
    """As `numpy.finfo`, of a dtype or an array, which may be traced."""
    return np.finfo(_dtype_of(type))


def iinfo(type: Any, /) -> np.iinfo:
    """As `numpy.iinfo`, of a dtype or an array, which may be traced."""
    return np.iinfo(_dtype_of(type))


def _dtype_of(x: Any) -> Any:
    return x.dtype if is_traced(x) or isinstance(x, np.ndarray) else x


class Info:
    """What the namespace can do, by the standard's inspection API."""

    def capabilities(self) -> dict[str, Any]:
        """What holds of traced arrays as well: a shape may not depend on values, as a mask's selection does."""
        return {"boolean indexing": False, "data-dependent shapes": False, "max dimensions": 64}

    def default_device(self) -> str:
        """Where arrays are."""
        return "cpu"

    def devices(self) -> list[str]:
        """All there are."""
        return ["cpu"]

    def default_dtypes(self, *, device: Any = None) -> dict[str, np.dtype]:
        """What a number, a complex number, an integer and an index become, as in NumPy."""
        check_device(device)
        return {
            "real floating": np.dtype(float64), "complex floating": np.dtype(complex128),
            "integral": np.dtype(np.intp), "indexing": np.dtype(np.intp),
        }  # fmt: skip

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, np.dtype]:
        """The standard's dtypes by their names, of one kind or of some."""
        check_device(device)
        return {name: dtype for name, dtype in _DTYPES.items() if kind is None or isdtype(dtype, kind)}
