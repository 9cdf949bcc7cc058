"""Derivatives as graph-to-graph functions; nothing here touches a number."""

from retrograde.autodiff import branches as _branches  # noqa: F401  # gives branch its pullback
from retrograde.autodiff import loops as _loops  # noqa: F401  # gives scan its pullback
from retrograde.autodiff import nested as _nested  # noqa: F401  # gives checkpoint and custom theirs
from retrograde.autodiff.backprop import Backward, Trail, backprop
from retrograde.autodiff.forward import Forward

__all__ = ["Backward", "Forward", "Trail", "backprop"]
