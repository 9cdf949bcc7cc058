"""Networks made of others: Residual, Parallel; and Lambda, any NumPy code as a layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrograde import random
from retrograde.errors import ModelError
from retrograde.nn.layers import Sequential, stacked
from retrograde.nn.module import Module, check_layers
from retrograde.tree import tree_map


class Residual(Sequential):
    """x + f(x), where f is the layers one after another (K. He et al., 2016, eq. 1).

    f must keep the shape of x, else `ModelError` is raised.

    >>> block = nn.Residual(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 4)).init(0)
    >>> block(np.ones((5, 4))).shape
    (5, 4)
    """

    def config(self) -> dict[str, Any]:
        return {"type": "Residual", "layers": [layer.config() for layer in self.layers]}

    def __call__(self, x: Any, key: Any = None) -> Any:
        y = super().__call__(x, key)
        if np.shape(y) != np.shape(x):
            raise ModelError(f"Residual: its layers make {np.shape(y)} of an input of shape {np.shape(x)}; they must keep it")
        return x + y


class Parallel(Module):
    """The same input through each layer; the outputs joined along `dim` ("concat"), added ("sum") or as a "tuple".

    Raises `ModelError` for outputs that cannot be added, and for another `combine`.

    >>> x, a, b = np.ones((5, 4)), nn.Linear(4, 2), nn.Linear(4, 3)
    >>> nn.Parallel(a, b).init(0)(x).shape
    (5, 5)
    >>> [y.shape for y in nn.Parallel(a, b, combine="tuple").init(0)(x)]
    [(5, 2), (5, 3)]
    """

    dynamic = ("layers",)
    unnamed = ("layers",)

    def __init__(self, *layers: Module, combine: str = "concat", dim: int = -1):
        self.layers = check_layers("Parallel", layers)
        if not self.layers:
            raise ModelError("Parallel: give one layer at least")
        if combine not in ("concat", "sum", "tuple"):
            raise ModelError(f'Parallel: combine is "concat", "sum" or "tuple", not {combine!r}')
        self.combine, self.dim = combine, int(dim)

    def config(self) -> dict[str, Any]:
        return {"type": "Parallel", "layers": [layer.config() for layer in self.layers], "combine": self.combine, "dim": self.dim}

    def __call__(self, x: Any, key: Any = None) -> Any:
        outputs = [
            layer(x) if key is None else layer(x, key=random.fold_in(key, i)) for i, layer in enumerate(self.layers)
        ]
        if self.combine == "tuple":
            return tuple(outputs)
        if self.combine == "concat":
            return np.concatenate(outputs, axis=self.dim)
        if len({np.shape(y) for y in outputs}) > 1:
            raise ModelError(f"Parallel: outputs of shapes {[np.shape(y) for y in outputs]} cannot be added")
        total = outputs[0]
        for y in outputs[1:]:
            total = total + y
        return total

    def __repr__(self) -> str:
        return stacked(self, f"combine={self.combine!r}")


class Lambda(Module):
    """Any NumPy code as a layer: f(x); or, given a pytree of arrays to train, f(params, x).

    The arrays are where training starts; they take the network's dtype. A file holds no code: such a network cannot be saved by
    `save`, but its arrays can.

    >>> nn.Lambda(np.sin)(np.zeros((2, 3))).shape
    (2, 3)
    >>> wave = nn.Lambda(lambda p, x: p["height"] * np.sin(x), {"height": 2.0}).init(0)
    >>> wave(np.array([0.0, np.pi / 2])), wave.num_parameters
    (array([0., 2.]), 1)
    """

    dynamic = ("params",)

    def __init__(self, f: Callable, params: Any = None):
        if not callable(f):
            raise ModelError(f"Lambda: f is a function of the input (or of params and the input); it is {f!r}")
        self.f, self.params = f, params

    def optional(self) -> tuple[str, ...]:
        return ("params",)

    def config(self) -> dict[str, Any]:
        raise ModelError(f"{self!r} holds Python code, which a model file does not; write an nn.Module, or save its arrays alone")

    def initialize(self, rng: np.random.Generator, dtype: np.dtype, follows: Any) -> Any:
        return self.replace(params=tree_map(lambda leaf: np.array(leaf, dtype), self.params))

    def __call__(self, x: Any, key: Any = None) -> Any:
        return self.f(x) if self.params is None else self.f(self.params, x)

    def __repr__(self) -> str:
        return f"Lambda({getattr(self.f, '__name__', repr(self.f))})"
