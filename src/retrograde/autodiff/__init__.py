"""Derivatives as graph-to-graph functions; nothing here touches a number."""

from retrograde.autodiff.backprop import Backward, backprop

__all__ = ["Backward", "backprop"]
