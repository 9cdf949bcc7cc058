"""Training: `fit`, the `Run` it returns, and `EarlyStopping`."""

from retrograde.train.fit import fit
from retrograde.train.run import Run
from retrograde.train.stopping import EarlyStopping

__all__ = ["EarlyStopping", "Run", "fit"]
