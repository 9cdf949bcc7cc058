"""Training: `fit`, the `Run` it returns, what it is told to stop and to keep, and loggers among its callbacks."""

from retrograde.train.fit import fit
from retrograde.train.folder import Checkpoints
from retrograde.train.loggers import MLflow, TensorBoard
from retrograde.train.programs import Programs
from retrograde.train.run import Run
from retrograde.train.stopping import EarlyStopping

__all__ = ["Checkpoints", "EarlyStopping", "MLflow", "Programs", "Run", "TensorBoard", "fit"]
