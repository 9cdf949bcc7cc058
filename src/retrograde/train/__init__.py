"""Training: `fit`, the `Run` it returns, how to stop and what to keep, loggers, `Every` within an epoch, `sweep`."""

from retrograde.train.basins import Basin, Basins
from retrograde.train.callbacks import Every, Steps
from retrograde.train.fit import fit
from retrograde.train.folder import Checkpoints
from retrograde.train.loggers import MLflow, TensorBoard
from retrograde.train.programs import Programs
from retrograde.train.run import Run
from retrograde.train.stopping import EarlyStopping
from retrograde.train.sweep import sweep
from retrograde.train.trials import Sweep, Trial
from retrograde.train.watch import Watch, Watched

__all__ = [
    "Basin", "Basins", "Checkpoints", "EarlyStopping", "Every", "MLflow", "Programs", "Run", "Steps", "Sweep", "TensorBoard",
    "Trial", "Watch", "Watched", "fit", "sweep",
]  # fmt: skip
