"""Options of the command line as networks and optimizers."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from retrograde import nn, optim
from retrograde import numpy as rnp
from retrograde.errors import ModelError
from retrograde.tree import tree_leaves

ACTIVATIONS = {
    "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "gelu": nn.GELU, "silu": nn.SiLU, "elu": nn.ELU, "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid, "softplus": nn.Softplus,
}  # fmt: skip
OPTIMIZERS = {
    "adam": (optim.Adam, 1e-3), "adamw": (optim.AdamW, 1e-3), "sgd": (optim.SGD, 1e-2), "rmsprop": (optim.RMSprop, 1e-3),
    "adagrad": (optim.Adagrad, 1e-2),
}  # fmt: skip
SCHEDULES = {
    "constant": lambda optimizer, lr, updates: optimizer,
    "cosine": lambda optimizer, lr, updates: optim.Scheduled(optimizer, optim.schedules.CosineAnnealingLR(lr, updates)),
    "onecycle": lambda optimizer, lr, updates: optim.Scheduled(optimizer, optim.schedules.OneCycleLR(lr, max(updates, 8))),
    "plateau": lambda optimizer, lr, updates: optim.Plateau(optimizer, factor=0.5, patience=5),
}
WIDEST = 1_000_000


def parse_hidden(text: str) -> list[int]:
    """Widths of hidden layers from "64,32"; "none" or "" is no hidden layer."""
    if text.strip().lower() in ("", "none", "0"):
        return []
    widths = []
    for word in text.split(","):
        if not word.strip().isdecimal() or not 0 < int(word) <= WIDEST:
            wanted = f"whole numbers from 1 to {WIDEST:,} like 64,32, or none"
            raise ModelError(f"--hidden takes {wanted}; {text!r} has {word.strip()!r}")
        widths.append(int(word))
    return widths


def build(inputs: int, hidden: list[int], outputs: int, activation: str, dropout: float) -> nn.Sequential:
    """Linear layers with activations (and dropout) between them."""
    if not 0 <= dropout < 1:
        raise ModelError(f"--dropout must be at least 0 and below 1; it is {dropout:g}")
    make = choose("--activation", activation, ACTIVATIONS)
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(inputs, width), make()] + ([nn.Dropout(dropout)] if dropout else [])
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


def widths(net: nn.Sequential) -> str:
    """The features and the width of each linear layer: 4-64-32-2."""
    linear = [layer for layer in net if isinstance(layer, nn.Linear)]
    return "-".join(map(str, [linear[0].in_features, *(layer.out_features for layer in linear)]))


def make_optimizer(options: Mapping[str, Any], updates: int) -> Any:
    """The optimizer that the options describe, at its usual learning rate if none is given; a schedule is for `updates`."""
    make, usual = choose("--optimizer", options["optimizer"], OPTIMIZERS)
    schedule = choose("--schedule", options["schedule"], SCHEDULES)
    for name in ("lr", "weight_decay", "clip_norm"):
        _check_number(name, options[name], zero=name == "weight_decay")
    lr = usual if options["lr"] is None else options["lr"]
    decay = {} if options["weight_decay"] is None else {"weight_decay": options["weight_decay"]}
    optimizer = schedule(make(lr=lr, **decay), lr, updates)
    return optimizer if options["clip_norm"] is None else optim.Clipped(optimizer, max_norm=options["clip_norm"])


def _check_number(name: str, value: float | None, zero: bool) -> None:
    if value is not None and not (math.isfinite(value) and (value > 0 or (zero and value == 0))):
        wanted = "number of at least 0" if zero else "positive number"
        raise ModelError(f"--{name.replace('_', '-')} must be a {wanted}; it is {value:g}")


def choose(option: str, name: str, known: dict[str, Any]) -> Any:
    """`known[name]`, or an error that lists the names."""
    key = name.strip().lower().replace("-", "_")
    if key in known:
        return known[key]
    near = difflib.get_close_matches(key, known, n=1)
    raise ModelError(f"{option} {name!r} is unknown{f'; did you mean {near[0]}?' if near else ''}; there are {', '.join(known)}")


def zeros_for(net: Any, shape: str, batch: int) -> np.ndarray | None:
    """A batch of zeros, each point as "3,32,32" says or as wide as the first layer takes; None if neither tells."""
    first = _first(net)
    words = [word.strip() for word in shape.split(",") if word.strip()]
    if not all(word.isdecimal() and int(word) for word in words):
        raise ModelError(f"--input is the shape of one point, like 64 or 3,32,32; it is {shape!r}")
    if not words and not isinstance(first, nn.Linear):
        return None
    floats = [leaf.dtype for leaf in tree_leaves(net) if leaf.dtype.kind == "f"]
    dtype = np.dtype(np.int64) if isinstance(first, nn.Embedding) else [*floats, np.dtype(np.float32)][0]
    return np.zeros([batch, *(map(int, words) if words else [first.in_features])], dtype)


def zeros_of(net: Any, shape: str, batch: int) -> np.ndarray:
    """The same; raises `ModelError` if neither tells."""
    found = zeros_for(net, shape, batch)
    if found is None:
        kind = type(_first(net)).__name__
        raise ModelError(f"the network begins with {kind}, which does not tell the shape of a point; give --input, like 3,32,32")
    return found


def points_for(net: Any, shape: str, batch: int, rng: np.random.Generator) -> np.ndarray:
    """Random points like `zeros_of`: normal, or numbers of what an embedding has."""
    zeros, first = zeros_of(net, shape, batch), _first(net)
    if isinstance(first, nn.Embedding):
        return rng.integers(first.num_embeddings, size=zeros.shape)
    return rng.normal(size=zeros.shape).astype(zeros.dtype)


def _first(net: Any) -> Any:
    """The layer that takes the points."""
    while isinstance(net, nn.Sequential) and len(net):
        net = net[0]
    return net


def softmax(logits: Any) -> Any:
    """Probabilities of shape (rows, classes), in float64 so that they add up."""
    return rnp.softmax(logits.astype(np.float64))
