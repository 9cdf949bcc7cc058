"""Optimizers: `init(params) -> state`, `update(grads, state, params) -> (params, state)`, in plain NumPy over pytrees."""

from retrograde.optim import schedules
from retrograde.optim.adaptive import LAMB, Adadelta, Adamax, Lion, NAdam, RAdam, Rprop
from retrograde.optim.groups import Grouped, decay_weights_only
from retrograde.optim.lbfgs import LBFGS
from retrograde.optim.minimize import Minimum, minimize
from retrograde.optim.names import get_optimizer
from retrograde.optim.optimizers import GD, SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from retrograde.optim.wrappers import Averaged, Clipped, Plateau, Scheduled, clip_grad_norm, clip_grad_value

__all__ = [
    "GD", "LAMB", "LBFGS", "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Averaged", "Clipped", "Grouped", "Lion",
    "Minimum", "NAdam", "Optimizer", "Plateau", "RAdam", "RMSprop", "Rprop", "Scheduled", "clip_grad_norm", "clip_grad_value",
    "decay_weights_only", "get_optimizer", "minimize", "schedules",
]  # fmt: skip
