"""The counterparts of `scipy.linalg` and `scipy.special` on traced arrays; imported when first asked for."""

from retrograde.scipy import linalg, special

__all__ = ["linalg", "special"]
