"""Training: `fit` and the `Run` it returns."""

from retrograde.train.fit import fit
from retrograde.train.folder import Checkpoints
from retrograde.train.run import Run
from retrograde.train.stopping import EarlyStopping

__all__ = ["Checkpoints", "EarlyStopping", "Run", "fit"]
