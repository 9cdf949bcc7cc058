"""Training: `fit`, the `Run` it returns, how to stop and what to keep, loggers, `Every` for callbacks within an epoch."""

from retrograde.train.callbacks import Every, Steps
from retrograde.train.fit import fit
from retrograde.train.folder import Checkpoints
from retrograde.train.loggers import MLflow, TensorBoard
from retrograde.train.programs import Programs
from retrograde.train.run import Run
from retrograde.train.stopping import EarlyStopping
from retrograde.train.watch import Watch, Watched

__all__ = [
    "Checkpoints", "EarlyStopping", "Every", "MLflow", "Programs", "Run", "Steps", "TensorBoard", "Watch", "Watched", "fit",
]  # fmt: skip
