"""Passes: each a function from a graph to a better graph of the same meaning, each printable."""

from retrograde.optimize.pipeline import optimize

__all__ = ["optimize"]
