"""Derivatives as graph-to-graph functions; nothing here touches a number."""

from retrograde.autodiff import loops as _loops  # noqa: F401  # gives scan its pullback
from retrograde.autodiff.backprop import Backward, backprop

__all__ = ["Backward", "backprop"]
