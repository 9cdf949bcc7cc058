"""Functions of SciPy's that compiled code calls by name: LAPACK, BLAS and the special functions.

SciPy publishes C pointers to them as capsules. Object code, which is kept on disk, holds names only, such as
`rg_lapack_dpotrf` or `rg_special_gammaln`; before it is loaded each gets this process's address. SciPy is imported when a
module asks for one, and not otherwise.
"""

from __future__ import annotations

import ctypes
import importlib
import re

import llvmlite.binding as llvm

from retrograde.errors import CompileError

_HOMES = {
    "lapack": "scipy.linalg.cython_lapack",
    "blas": "scipy.linalg.cython_blas",
    "special": "scipy.special.cython_special",
}
_NAME = re.compile(rb"rg_(lapack|blas|special)_(\w+)")
_OF_DOUBLES = re.compile(r"double \((double, )+int __pyx_skip_dispatch\)")
_provided: set[str] = set()


def wanted(code: bytes) -> set[tuple[str, str]]:
    """Home and name of each of these functions that object code names in its table of strings."""
    return {(a.decode(), b.decode()) for a, b in _NAME.findall(code)}


def provide(code: bytes) -> None:
    """Give an address to every function of SciPy's that object code calls."""
    for home, name in wanted(code):
        symbol = f"rg_{home}_{name}"
        if symbol not in _provided:
            llvm.add_symbol(symbol, _address(_HOMES[home], name))
            _provided.add(symbol)


def _address(module: str, name: str) -> int:
    """Where the function is; of a special function that SciPy has for several types, the one of doubles."""
    capsules = importlib.import_module(module).__pyx_capi__
    name_of, pointer_of = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    for key in (name, *(f"__pyx_fuse_{i}{name}" for i in range(4))):
        if key in capsules:
            signature = name_of(capsules[key])
            if not module.endswith("special") or _OF_DOUBLES.fullmatch(signature.decode()):
                return pointer_of(capsules[key], signature)
    raise CompileError(f"compiled code calls {name}, which this version of SciPy has not in {module}; use SciPy 1.13 or later")
