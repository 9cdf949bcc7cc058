"""Training: `fit`, the `Run` it returns, and `Every` for callbacks within an epoch."""

from retrograde.train.callbacks import Every, Steps
from retrograde.train.fit import fit
from retrograde.train.run import Run

__all__ = ["Every", "Run", "Steps", "fit"]
