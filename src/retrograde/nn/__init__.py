"""Layers, losses and initializers: plain NumPy code over pytrees."""

from retrograde.nn import initializers, losses
from retrograde.nn.layers import (
    ELU,
    GELU,
    Dropout,
    Flatten,
    Identity,
    LeakyReLU,
    Linear,
    ReLU,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from retrograde.nn.module import Module, from_config

__all__ = [
    "ELU", "GELU", "Dropout", "Flatten", "Identity", "LeakyReLU", "Linear", "Module", "ReLU", "Sequential", "SiLU", "Sigmoid",
    "Softmax", "Softplus", "Tanh", "from_config", "initializers", "losses",
]  # fmt: skip
