"""Optimizers: `init(params) -> state`, `update(grads, state, params) -> (params, state)`, in plain NumPy over pytrees."""

from retrograde.optim.optimizers import GD, SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop, get_optimizer

__all__ = ["GD", "SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "get_optimizer"]
