"""From one value to many: a graph applied along an axis by its primitives' batching rules."""

from retrograde.batching.lanes import Lanes

__all__ = ["Lanes"]
