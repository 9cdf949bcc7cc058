"""The layers of a multilayer perceptron, with PyTorch's names and arguments."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograde import numpy as rnp
from retrograde import random
from retrograde.errors import ModelError
from retrograde.nn.initializers import draw_weight, get_initializer
from retrograde.nn.module import Module, child_seeds, require


class Linear(Module):
    """y = x @ weight.T + bias, for x of shape (..., in_features); weight (out_features, in_features), bias zeros at first.

    `init` names an initializer; by default it is the right one for the activation that follows in a `Sequential`.
    """

    dynamic = ("weight", "bias")

    def __init__(self, in_features: int, out_features: int, bias: bool = True, init: str | None = None):
        for name, value in (("in_features", in_features), ("out_features", out_features)):
            if not isinstance(value, (int, np.integer)) or value <= 0:
                raise ModelError(f"Linear: {name} must be a positive integer; it is {value!r}")
        if init is not None:
            get_initializer(init)
        self.in_features, self.out_features, self.init_name = int(in_features), int(out_features), init
        self.use_bias = bool(bias)
        self.weight: Any = None
        self.bias: Any = None

    def optional(self) -> tuple[str, ...]:
        return () if self.use_bias else ("bias",)

    def config(self) -> dict[str, Any]:
        return {"type": "Linear", "in_features": self.in_features, "out_features": self.out_features, "bias": self.use_bias,
                "init": self.init_name}  # fmt: skip

    def initialize(self, rng: np.random.Generator, dtype: np.dtype, follows: Any) -> Any:
        weight = draw_weight(rng, (self.out_features, self.in_features), self.init_name, follows)
        return self.replace(weight=weight.astype(dtype), bias=np.zeros(self.out_features, dtype) if self.use_bias else None)

    def __call__(self, x: Any, key: Any = None) -> Any:
        weight = require(self.weight, self)
        if np.ndim(x) == 0 or np.shape(x)[-1] != self.in_features:
            raise ModelError(f"{self!r} takes arrays whose last axis is {self.in_features}; this one has shape {np.shape(x)}")
        y = np.matmul(x, weight.T)
        return y if self.bias is None else y + self.bias


class ReLU(Module):
    """max(x, 0); derivative 0 at 0."""

    def __init__(self) -> None:
        pass

    def __call__(self, x: Any, key: Any = None) -> Any:
        return np.maximum(x, 0)


class LeakyReLU(Module):
    """x where positive, else negative_slope * x; derivative negative_slope at 0."""

    def __init__(self, negative_slope: float = 0.01):
        self.negative_slope = float(negative_slope)

    def __call__(self, x: Any, key: Any = None) -> Any:
        return np.where(x > 0, x, x * self.negative_slope)


class ELU(Module):
    """x where positive, else alpha * (exp(x) - 1); derivative alpha at 0."""

    def __init__(self, alpha: float = 1.0):
        self.alpha = float(alpha)

    def __call__(self, x: Any, key: Any = None) -> Any:
        return np.where(x > 0, x, self.alpha * np.expm1(np.where(x > 0, 0, x)))


class GELU(Module):
    """x times the normal distribution function of x; `approximate="tanh"` for the usual formula in tanh."""

    def __init__(self, approximate: str = "none"):
        if approximate not in ("none", "tanh"):
            raise ModelError(f'GELU: approximate is "none" or "tanh", not {approximate!r}')
        self.approximate = approximate

    def __call__(self, x: Any, key: Any = None) -> Any:
        if self.approximate == "tanh":
            return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))
        return 0.5 * x * (1.0 + rnp.erf(x * math.sqrt(0.5)))


class SiLU(Module):
    """x * sigmoid(x)."""

    def __init__(self) -> None:
        pass

    def __call__(self, x: Any, key: Any = None) -> Any:
        return x * rnp.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent."""

    def __init__(self) -> None:
        pass

    def __call__(self, x: Any, key: Any = None) -> Any:
        return np.tanh(x)


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def __init__(self) -> None:
        pass

    def __call__(self, x: Any, key: Any = None) -> Any:
        return rnp.sigmoid(x)


class Softplus(Module):
    """log(1 + exp(beta x)) / beta; x itself where beta x is over the threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        if beta <= 0:
            raise ModelError(f"Softplus: beta must be positive; it is {beta!r}")
        self.beta, self.threshold = float(beta), float(threshold)

    def __call__(self, x: Any, key: Any = None) -> Any:
        scaled = x * self.beta
        return np.where(scaled > self.threshold, x, rnp.softplus(scaled) / self.beta)


class Softmax(Module):
    """exp(x) over its sum along `axis`."""

    def __init__(self, axis: int = -1):
        self.axis = int(axis)

    def __call__(self, x: Any, key: Any = None) -> Any:
        return rnp.softmax(x, self.axis)


class Identity(Module):
    """x itself."""

    def __init__(self) -> None:
        pass

    def __call__(self, x: Any, key: Any = None) -> Any:
        return x


class Flatten(Module):
    """All axes from `start_dim` on as one."""

    def __init__(self, start_dim: int = 1):
        self.start_dim = int(start_dim)

    def __call__(self, x: Any, key: Any = None) -> Any:
        lead = np.shape(x)[: self.start_dim]
        return np.reshape(x, (*lead, math.prod(np.shape(x)[self.start_dim :])))


class Dropout(Module):
    """In training (called with a key) each element is 0 with probability p, the others are scaled by 1 / (1 - p)."""

    def __init__(self, p: float = 0.5):
        if not 0.0 <= p < 1.0:
            raise ModelError(f"Dropout: p is a probability in [0, 1); it is {p!r}")
        self.p = float(p)

    def __call__(self, x: Any, key: Any = None) -> Any:
        if key is None or self.p == 0.0:
            return x
        keep = random.bernoulli(key, 1.0 - self.p, np.shape(x))
        return np.where(keep, x * (1.0 / (1.0 - self.p)), 0)


def _met_first(layer: Module, follows: Any) -> Any:
    """The layer that shapes what enters `layer`: what only passes values on, or hides others, is looked through."""
    if isinstance(layer, Sequential):
        for inner in reversed(layer.layers):
            follows = _met_first(inner, follows)
        return follows
    return follows if isinstance(layer, (Dropout, Flatten, Identity)) else layer


class Sequential(Module):
    """Layers one after another. In training each is called with a random key of its own."""

    dynamic = ("layers",)

    def __init__(self, *layers: Module):
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                kind = type(layer).__name__
                raise ModelError(f"Sequential: layer {i} is a {kind}, not a module; wrap functions in an nn.Module")
        self.layers = tuple(layers)

    @property
    def initialized(self) -> bool:
        return all(layer.initialized for layer in self.layers)

    def config(self) -> dict[str, Any]:
        return {"type": "Sequential", "layers": [layer.config() for layer in self.layers]}

    def initialize_from(self, seeds: np.random.SeedSequence, dtype: np.dtype, follows: Any) -> Any:
        made = []
        for i, layer in reversed(list(enumerate(self.layers))):
            made.append(layer.initialize_from(child_seeds(seeds, i), dtype, follows))
            follows = _met_first(layer, follows)
        return self.replace(layers=tuple(reversed(made)))

    def __call__(self, x: Any, key: Any = None) -> Any:
        for i, layer in enumerate(self.layers):
            x = layer(x) if key is None else layer(x, key=random.fold_in(key, i))
        return x

    def __getitem__(self, i: int | slice) -> Any:
        return Sequential(*self.layers[i]) if isinstance(i, slice) else self.layers[i]

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)

    def __repr__(self) -> str:
        return "Sequential(\n" + "".join(f"  ({i}): {layer!r}\n" for i, layer in enumerate(self.layers)) + ")"
