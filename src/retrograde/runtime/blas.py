"""BLAS, through SciPy's cython pointers: the same OpenBLAS that NumPy users have, without a Python call."""

from __future__ import annotations

import ctypes
import functools

from retrograde.runtime.llvm import add_symbol


@functools.lru_cache(maxsize=1)
def register_blas() -> None:
    """Make `rg_sgemm` and `rg_dgemm` known to compiled code; imports scipy.linalg."""
    from scipy.linalg import cython_blas

    name_of = ctypes.pythonapi.PyCapsule_GetName
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    for routine in ("sgemm", "dgemm"):
        capsule = cython_blas.__pyx_capi__[routine]
        add_symbol(f"rg_{routine}", pointer_of(capsule, name_of(capsule)))
