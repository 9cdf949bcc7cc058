"""Training: `fit` and the `Run` it returns."""

from retrograde.train.fit import fit
from retrograde.train.run import Run

__all__ = ["Run", "fit"]
