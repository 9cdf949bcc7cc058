"""Backpropagation for the NumPy you already write: traced, differentiated, compiled to native code, and open to look into."""

from retrograde.compile import jit
from retrograde.transforms import grad, jacobian, trace, value_and_grad, vjp

__version__ = "0.1.0"
__all__ = ["grad", "jacobian", "jit", "trace", "value_and_grad", "vjp"]
