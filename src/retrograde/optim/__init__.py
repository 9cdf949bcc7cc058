"""Optimizers: `init(params) -> state`, `update(grads, state, params) -> (params, state)`, in plain NumPy over pytrees."""

from retrograde.optim import schedules
from retrograde.optim.adaptive import LAMB, Adadelta, Adamax, Lion, NAdam, RAdam
from retrograde.optim.names import get_optimizer
from retrograde.optim.optimizers import GD, SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from retrograde.optim.wrappers import Averaged, Clipped, Scheduled, clip_grad_norm, clip_grad_value

__all__ = [
    "GD", "LAMB", "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Averaged", "Clipped", "Lion", "NAdam", "Optimizer",
    "RAdam", "RMSprop", "Scheduled", "clip_grad_norm", "clip_grad_value", "get_optimizer", "schedules",
]  # fmt: skip
