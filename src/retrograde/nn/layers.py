"""The layers of a multilayer perceptron but its activations, with PyTorch's names and arguments."""

from __future__ import annotations

import math
from collections.abc import Iterator
from textwrap import indent
from typing import Any

import numpy as np

from retrograde import random
from retrograde.custom import checkpoint
from retrograde.errors import ModelError
from retrograde.nn.initializers import draw_weight, get_initializer
from retrograde.nn.module import Module, check_layers, check_one_array, check_probability, check_size, child_seeds, require
from retrograde.nn.pooling import Pooling


class Linear(Module):
    """y = x @ weight.T + bias, for x of shape (..., in_features); weight (out_features, in_features), bias zeros at first.

    `init` names an initializer; by default it is the right one for the activation that follows in a `Sequential`. Raises
    `ModelError` for x of another last axis.

    >>> layer = nn.Linear(3, 2).init(0)
    >>> layer.weight.shape, layer.bias.shape, layer(np.ones((5, 3))).shape
    ((2, 3), (2,), (5, 2))
    """

    dynamic = ("weight", "bias")

    def __init__(self, in_features: int, out_features: int, bias: bool = True, init: str | None = None):
        check_size(self, in_features=in_features, out_features=out_features)
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
        check_one_array(self, x)
        if np.ndim(x) == 0 or np.shape(x)[-1] != self.in_features:
            raise ModelError(f"{self!r} takes arrays whose last axis is {self.in_features}; this one has shape {np.shape(x)}")
        y = np.matmul(x, weight.T)
        return y if self.bias is None else y + self.bias


class Identity(Module):
    """x itself, of any shape.

    >>> nn.Identity()(np.arange(3.0))
    array([0., 1., 2.])
    """

    def __call__(self, x: Any, key: Any = None) -> Any:
        return x


class Flatten(Module):
    """The axes from `start_dim` to `end_dim`, both included, as one: (batch, 2, 3) to (batch, 6).

    Raises `ModelError` for axes that x does not have.

    >>> nn.Flatten()(np.ones((5, 2, 3, 4))).shape
    (5, 24)
    >>> nn.Flatten(2)(np.ones((5, 2, 3, 4))).shape
    (5, 2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        self.start_dim, self.end_dim = int(start_dim), int(end_dim)

    def __call__(self, x: Any, key: Any = None) -> Any:
        shape, n = np.shape(x), np.ndim(x)
        first, last = (d + n if d < 0 else d for d in (self.start_dim, self.end_dim))
        if n == 1 and (first, last) == (1, 0):  # of one point without its batch
            return x
        if not 0 <= first <= last < n:
            raise ModelError(f"{self!r}: an array of shape {shape} has no axes {self.start_dim} to {self.end_dim}")
        return np.reshape(x, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


class Dropout(Module):
    """In training (called with a key) each element is 0 with probability p, the others are scaled by 1 / (1 - p).

    N. Srivastava et al. (2014). x has any shape, which stays. A p outside [0, 1) raises `ModelError`. For the backward pass the
    mask is held, a byte an element; with `recompute` compiled code draws it once more instead, from the same key, and holds the
    key alone. That takes time: some 0.9 ns an element on one thread.

    >>> layer, x = nn.Dropout(0.5), np.ones((2, 4))
    >>> layer(x)
    array([[1., 1., 1., 1.],
           [1., 1., 1., 1.]])
    >>> layer(x, key=rg.random.key(0))
    array([[2., 0., 0., 0.],
           [0., 2., 0., 2.]])
    """

    def __init__(self, p: float = 0.5, *, recompute: bool = False):
        check_probability(self, p=p)
        self.p, self.recompute = float(p), bool(recompute)

    def __call__(self, x: Any, key: Any = None) -> Any:
        check_one_array(self, x)
        if key is None or self.p == 0.0:
            return x
        return (checkpoint(self._drop) if self.recompute else self._drop)(x, key)

    def _drop(self, x: Any, key: Any) -> Any:
        keep = random.bernoulli(key, 1.0 - self.p, np.shape(x))
        return np.where(keep, x * (1.0 / (1.0 - self.p)), 0)


class GaussianNoise(Module):
    """In training (called with a key) normal noise of standard deviation `std` is added to each element.

    x has any shape, which stays. An std below 0 raises `ModelError`.

    >>> layer, x = nn.GaussianNoise(0.1), np.zeros((2, 1000))
    >>> layer(x).std(), layer(x, key=rg.random.key(0)).std().round(2)
    (np.float64(0.0), np.float64(0.1))
    """

    def __init__(self, std: float):
        if not 0.0 <= std < np.inf:
            raise ModelError(f"GaussianNoise: std is a number, 0 or more; it is {std!r}")
        self.std = float(std)

    def __call__(self, x: Any, key: Any = None) -> Any:
        return x if key is None or self.std == 0.0 else x + self.std * random.normal(key, np.shape(x), x.dtype)


def stacked(module: Any, *settings: str) -> str:
    """A container's layers, one below the other."""
    lines = [*(f"({i}): {layer!r}" for i, layer in enumerate(module.layers)), *settings]
    inside = "".join(indent(line, "  ") + "\n" for line in lines)
    return f"{type(module).__name__}(\n{inside})" if lines else f"{type(module).__name__}()"


def _met_first(layer: Module, follows: Any) -> Any:
    """The layer that shapes what enters `layer`: what only passes values on, or hides others, is looked through."""
    if isinstance(layer, Sequential):
        for inner in reversed(layer.layers):
            follows = _met_first(inner, follows)
        return follows
    return follows if isinstance(layer, (Dropout, Flatten, GaussianNoise, Identity, Pooling)) else layer


class Sequential(Module):
    """Layers one after another. In training each is called with a random key of its own.

    `net[i]` is a layer, `net[i:j]` a network of some. What is no module raises `ModelError`.

    >>> net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).init(0)
    >>> net(np.ones((5, 3))).shape, net[0].weight.shape, net.num_parameters
    ((5, 2), (8, 3), 50)
    """

    dynamic = ("layers",)
    unnamed = ("layers",)

    def __init__(self, *layers: Module):
        self.layers = check_layers("Sequential", layers)

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
        return stacked(self)
