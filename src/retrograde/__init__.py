"""Backpropagation for the NumPy you already write: traced, differentiated, compiled to native code, and open to look into."""

from typing import TYPE_CHECKING

from retrograde.compile import jit
from retrograde.control import associative_scan, cond, fori_loop, map, scan, switch, while_loop
from retrograde.custom import checkpoint, custom_pullback, stop_gradient
from retrograde.explore import explore
from retrograde.numpy.updating import at
from retrograde.pushforward import hessian, hvp, jacfwd, jvp, linearize
from retrograde.runtime.team import get_threads, set_threads
from retrograde.transforms import grad, held_for_backward, jacobian, jacrev, trace, value_and_grad, vjp
from retrograde.vectorize import per_example_grad, vmap

if TYPE_CHECKING:
    import numpy as _np

    from retrograde import io, nn, numpy, optim, random, scipy, spatial, train, tree
    from retrograde.checking import check
    from retrograde.exporting.export import export
    from retrograde.io.model_file import load, save
    from retrograde.precision import reduced
    from retrograde.train.fit import fit
    from retrograde.train.sweep import sweep

    bfloat16: _np.dtype

__version__ = "0.1.0"
__all__ = [
    "associative_scan", "at", "bfloat16", "check", "checkpoint", "cond", "custom_pullback", "explore", "export", "fit",
    "fori_loop", "get_threads", "grad", "held_for_backward", "hessian", "hvp", "io", "jacfwd", "jacobian", "jacrev", "jit", "jvp",
    "linearize", "load", "map", "nn", "numpy", "optim", "per_example_grad", "random", "reduced", "save", "scan", "scipy",
    "set_threads", "spatial", "stop_gradient", "sweep", "switch", "trace", "train", "tree", "value_and_grad", "vjp", "vmap",
    "while_loop",
]  # fmt: skip

_LAZY = {
    "check": "checking", "export": "exporting.export", "fit": "train.fit",
    "load": "io.model_file", "reduced": "precision", "save": "io.model_file",
    "sweep": "train.sweep",
}  # fmt: skip


def __getattr__(name: str) -> object:
    """Networks, training and files are imported when first asked for."""
    import importlib

    if name in ("nn", "optim", "numpy", "random", "scipy", "spatial", "train", "io", "tree"):
        return importlib.import_module(f"retrograde.{name}")
    if name == "bfloat16":
        return importlib.import_module("retrograde.types").bfloat16()
    if name in _LAZY:
        return getattr(importlib.import_module(f"retrograde.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'retrograde' has no attribute {name!r}")
