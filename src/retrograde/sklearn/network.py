"""scikit-learn's multilayer perceptron as a network of layers, and the outputs of any network for many points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograde import jit, nn
from retrograde.tree import tree_leaves

ACTIVATIONS: dict[str, type[nn.Module]] = {"identity": nn.Identity, "logistic": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}
CHUNK = 512  # points that NumPy takes at once at most, so that what is between two layers stays in the caches
ALONE = 2**18  # multiplications that OpenBLAS does in one thread; else its others spin for 0.1 s after, in the way of a fit
LEAST = 32  # fewer are not worth a call
BLOCK = 4096  # points that a compiled network takes at once, of a table that has so many


def perceptron(sizes: Sequence[int], activation: str, dropout: float, init: str | None) -> nn.Sequential:
    """Linear layers from size to size, with the activation (and dropout) between them; its outputs are raw."""
    layers: list[nn.Module] = []
    for i, (fan_in, fan_out) in enumerate(zip(sizes, sizes[1:])):
        if i:
            layers += [ACTIVATIONS[activation](), *([nn.Dropout(dropout)] if dropout else [])]
        layers.append(nn.Linear(fan_in, fan_out, init=init))
    return nn.Sequential(*layers)


def linears(net: nn.Sequential) -> list[nn.Linear]:
    """Its linear layers, from the input on."""
    return [layer for layer in net if isinstance(layer, nn.Linear)]


def drawn(net: nn.Sequential, rng: np.random.RandomState, activation: str, dtype: np.dtype) -> nn.Sequential:
    """The network with the very numbers that scikit-learn draws: weights and biases uniform within Glorot's bound."""

    def draw(layer: nn.Module) -> Any:
        if not isinstance(layer, nn.Linear):
            return layer
        bound = np.sqrt((2.0 if activation == "logistic" else 6.0) / (layer.in_features + layer.out_features))
        weight = rng.uniform(-bound, bound, (layer.in_features, layer.out_features))
        bias = rng.uniform(-bound, bound, layer.out_features)
        return layer.replace(weight=np.ascontiguousarray(weight.T, dtype), bias=bias.astype(dtype))

    return nn.Sequential(*[draw(layer) for layer in net])


@jit(flush_subnormals=True)
def _compiled(net: Any, X: Any) -> Any:
    return net(X)


def outputs_of(net: Any, X: np.ndarray) -> np.ndarray:
    """The network's outputs: by NumPy in chunks, of a large table by native code in blocks."""
    n, largest = len(X), max((leaf.size for leaf in tree_leaves(net) if leaf.ndim > 1), default=1)
    chunk = min(ALONE // largest, CHUNK) if largest * LEAST <= ALONE else CHUNK
    if n <= chunk:
        return np.asarray(net(X))
    whole = n - n % BLOCK
    parts = [_compiled(net, X[i : i + BLOCK]) for i in range(0, whole, BLOCK)]
    parts += [net(X[i : i + chunk]) for i in range(whole, n, chunk)]
    return np.concatenate(parts)
