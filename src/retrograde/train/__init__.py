"""Training: `fit`, the `Run` it returns, `EarlyStopping`, and `Programs` that are kept."""

from retrograde.train.fit import fit
from retrograde.train.programs import Programs
from retrograde.train.run import Run
from retrograde.train.stopping import EarlyStopping

__all__ = ["EarlyStopping", "Programs", "Run", "fit"]
