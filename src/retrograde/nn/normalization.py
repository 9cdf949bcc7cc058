"""Layers that bring the features of each point to mean 0 and variance 1: LayerNorm, RMSNorm, GroupNorm."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.errors import ModelError
from retrograde.nn.module import Module, check_one_array, check_size


class LayerNorm(Module):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axes, those of `normalized_shape` (J. Ba et al., 2016).

    x is (..., *normalized_shape), else `ModelError` is raised. weight (ones at first) and bias (zeros) have the normalized
    shape; `elementwise_affine=False` leaves both out.

    >>> layer = nn.LayerNorm(4).init(0)
    >>> layer(np.array([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 10.0]])).round(2)
    array([[-1.34, -0.45,  0.45,  1.34],
           [-0.58, -0.58, -0.58,  1.73]])
    """

    dynamic = ("weight", "bias")

    def __init__(self, normalized_shape: Any, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True):
        self.normalized_shape = _shape(self, normalized_shape)
        self.eps, self.elementwise_affine, self.use_bias = _eps(self, eps), bool(elementwise_affine), bool(bias)
        self.weight: Any = None
        self.bias: Any = None

    def optional(self) -> tuple[str, ...]:
        return ("weight", "bias") if not self.elementwise_affine else () if self.use_bias else ("bias",)

    def config(self) -> dict[str, Any]:
        return {"type": "LayerNorm", "normalized_shape": list(self.normalized_shape), "eps": self.eps,
                "elementwise_affine": self.elementwise_affine, "bias": self.use_bias}  # fmt: skip

    def initialize(self, rng: np.random.Generator, dtype: np.dtype, follows: Any) -> Any:
        return self.replace(**_ones_and_zeros(self, self.normalized_shape, dtype))

    def __call__(self, x: Any, key: Any = None) -> Any:
        axes = _last_axes(self, x)
        return _scaled(self, _standardized(x, axes, self.eps), self.weight, self.bias)


class RMSNorm(Module):
    """x / sqrt(mean(x^2) + eps) * weight over the last axes, those of `normalized_shape` (B. Zhang and R. Sennrich, 2019, eq. 4).

    x is (..., *normalized_shape), else `ModelError` is raised; weight (ones at first) has that shape. `eps=None` is the machine
    epsilon of x's dtype.

    >>> layer = nn.RMSNorm(4).init(0)
    >>> layer(np.array([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 10.0]])).round(2)
    array([[1., 1., 1., 1.],
           [0., 0., 0., 2.]])
    """

    dynamic = ("weight",)

    def __init__(self, normalized_shape: Any, eps: float | None = None, elementwise_affine: bool = True):
        self.normalized_shape = _shape(self, normalized_shape)
        self.eps, self.elementwise_affine = None if eps is None else _eps(self, eps), bool(elementwise_affine)
        self.weight: Any = None

    def optional(self) -> tuple[str, ...]:
        return () if self.elementwise_affine else ("weight",)

    def config(self) -> dict[str, Any]:
        return {"type": "RMSNorm", "normalized_shape": list(self.normalized_shape), "eps": self.eps,
                "elementwise_affine": self.elementwise_affine}  # fmt: skip

    def initialize(self, rng: np.random.Generator, dtype: np.dtype, follows: Any) -> Any:
        return self.replace(weight=np.ones(self.normalized_shape, dtype) if self.elementwise_affine else None)

    def __call__(self, x: Any, key: Any = None) -> Any:
        axes = _last_axes(self, x)
        eps = float(np.finfo(x.dtype).eps) if self.eps is None else self.eps
        return _scaled(self, x / np.sqrt(np.mean(np.square(x), axis=axes, keepdims=True) + eps), self.weight, None)


class GroupNorm(Module):
    """Each of `num_groups` groups of channels of each point standardized, then scaled by channel (Y. Wu and K. He, 2018).

    x is (batch, num_channels, ...), else `ModelError` is raised; weight and bias are (num_channels,).

    >>> layer = nn.GroupNorm(2, 6).init(0)
    >>> layer(np.ones((5, 6, 4, 4))).shape, layer.weight.shape
    ((5, 6, 4, 4), (6,))
    """

    dynamic = ("weight", "bias")

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True):
        check_size(self, num_groups=num_groups, num_channels=num_channels)
        if num_channels % num_groups:
            raise ModelError(f"GroupNorm: {num_channels} channels do not make {num_groups} equal groups")
        self.num_groups, self.num_channels = int(num_groups), int(num_channels)
        self.eps, self.affine = _eps(self, eps), bool(affine)
        self.weight: Any = None
        self.bias: Any = None

    def optional(self) -> tuple[str, ...]:
        return () if self.affine else ("weight", "bias")

    def config(self) -> dict[str, Any]:
        return {"type": "GroupNorm", "num_groups": self.num_groups, "num_channels": self.num_channels, "eps": self.eps,
                "affine": self.affine}  # fmt: skip

    def initialize(self, rng: np.random.Generator, dtype: np.dtype, follows: Any) -> Any:
        made = (np.ones(self.num_channels, dtype), np.zeros(self.num_channels, dtype)) if self.affine else (None, None)
        return self.replace(weight=made[0], bias=made[1])

    def __call__(self, x: Any, key: Any = None) -> Any:
        shape = np.shape(x)
        if len(shape) < 2 or shape[1] != self.num_channels:
            raise ModelError(f"{self!r} takes arrays (batch, {self.num_channels}, ...); this one has shape {shape}")
        grouped = np.reshape(x, (shape[0], self.num_groups, -1))
        x = np.reshape(_standardized(grouped, (2,), self.eps), shape)
        ones = (1,) * (len(shape) - 2)
        by_channel = [None if a is None else np.reshape(a, (-1, *ones)) for a in (self.weight, self.bias)]
        return _scaled(self, x, *by_channel)


def _standardized(x: Any, axes: tuple[int, ...], eps: float) -> Any:
    centered = x - np.mean(x, axis=axes, keepdims=True)
    return centered / np.sqrt(np.mean(np.square(centered), axis=axes, keepdims=True) + eps)


def _scaled(module: Any, x: Any, weight: Any, bias: Any) -> Any:
    if weight is None and "weight" not in module.optional():
        raise ModelError(f"{module!r} has no parameters yet: net = net.init(seed) makes them (rg.fit does it for you)")
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _ones_and_zeros(module: Any, shape: tuple[int, ...], dtype: np.dtype) -> dict[str, Any]:
    left_out = module.optional()
    return {"weight": None if "weight" in left_out else np.ones(shape, dtype),
            "bias": None if "bias" in left_out else np.zeros(shape, dtype)}  # fmt: skip


def _shape(module: Any, shape: Any) -> tuple[int, ...]:
    sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if not sizes:
        raise ModelError(f"{type(module).__name__}: normalized_shape needs one axis at least")
    for size in sizes:
        check_size(module, normalized_shape=size)
    return tuple(int(size) for size in sizes)


def _eps(module: Any, eps: float) -> float:
    if not 0 <= eps < np.inf:
        raise ModelError(f"{type(module).__name__}: eps must be a number, 0 or more; it is {eps!r}")
    return float(eps)


def _last_axes(module: Any, x: Any) -> tuple[int, ...]:
    check_one_array(module, x)
    n = len(module.normalized_shape)
    if np.ndim(x) < n or tuple(np.shape(x)[np.ndim(x) - n :]) != module.normalized_shape:
        raise ModelError(f"{module!r} takes arrays whose last axes are {module.normalized_shape}; this one has {np.shape(x)}")
    return tuple(range(-n, 0))
