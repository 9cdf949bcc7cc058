"""Embedding (rows of a table by number) and Bilinear (a form in two inputs)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograde import numpy as rnp
from retrograde.custom import stop_gradient
from retrograde.errors import DataError, ModelError
from retrograde.nn.module import Module, check_size, require


class Embedding(Module):
    """weight[x]: for whole numbers x of shape (...), rows (..., embedding_dim) of weight (num_embeddings, embedding_dim).

    Weights start standard normal; row `padding_idx` starts at zero and never gets a gradient. x may be of a floating dtype (as
    `fit` makes it) as long as its numbers are whole. A number that names no row raises `DataError`; in compiled code, where
    nothing can be raised, its row is NaN.

    >>> layer = nn.Embedding(10, 4, padding_idx=0).init(0)
    >>> layer(np.array([[1, 2, 0], [9, 0, 0]])).shape, layer(np.array([0]))
    ((2, 3, 4), array([[0., 0., 0., 0.]], dtype=float32))
    """

    dynamic = ("weight",)

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None):
        check_size(self, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if num_embeddings > 2**24:
            raise ModelError(f"Embedding: {num_embeddings:,} rows; float32 counts to {2**24:,} only")
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ModelError(f"Embedding: padding_idx must name one of {num_embeddings} rows; it is {padding_idx!r}")
        self.num_embeddings, self.embedding_dim = int(num_embeddings), int(embedding_dim)
        self.padding_idx = None if padding_idx is None else int(padding_idx) % self.num_embeddings
        self.weight: Any = None

    def initialize(self, rng: np.random.Generator, dtype: np.dtype, follows: Any) -> Any:
        weight = rng.normal(size=(self.num_embeddings, self.embedding_dim)).astype(dtype)
        if self.padding_idx is not None:
            weight[self.padding_idx] = 0
        return self.replace(weight=weight)

    def __call__(self, x: Any, key: Any = None) -> Any:
        weight = require(self.weight, self)
        x = x if hasattr(x, "dtype") else np.asarray(x)
        known = isinstance(x, (np.ndarray, np.generic))
        inside = (x >= 0) & (x < self.num_embeddings)
        if x.dtype.kind == "f":
            inside = inside & (x == np.floor(x))
        elif x.dtype.kind not in "iu":
            raise DataError(f"{self!r} takes whole numbers; these are {x.dtype}")
        if known and not np.all(inside):
            raise DataError(f"{self!r} takes whole numbers from 0 to {self.num_embeddings - 1}; one is {x[~inside].flat[0]}")
        rows = (x if known else np.where(inside, x, 0)).astype(np.int64)
        if self.padding_idx is not None:
            weight = np.where(np.arange(self.num_embeddings)[:, None] == self.padding_idx, stop_gradient(weight), weight)
        found = rnp.take(weight, rows, axis=0)
        return found if known else np.where(np.expand_dims(inside, -1), found, np.nan)


class Bilinear(Module):
    """y_k = x1 @ weight[k] @ x2 + bias_k, for x1 (..., in1_features), x2 (..., in2_features).

    weight is (out_features, in1_features, in2_features). Both start uniform on (-a, a), a = 1 / sqrt(in1_features), as PyTorch's
    do. The two inputs may also come as one pair, as from `nn.Parallel(..., combine="tuple")`. Raises `ModelError` for other
    widths.

    >>> layer = nn.Bilinear(3, 4, 2).init(0)
    >>> layer(np.ones((5, 3)), np.ones((5, 4))).shape, layer.weight.shape
    ((5, 2), (2, 3, 4))
    """

    dynamic = ("weight", "bias")

    def __init__(self, in1_features: int, in2_features: int, out_features: int, bias: bool = True):
        check_size(self, in1_features=in1_features, in2_features=in2_features, out_features=out_features)
        self.in1_features, self.in2_features = int(in1_features), int(in2_features)
        self.out_features, self.use_bias = int(out_features), bool(bias)
        self.weight: Any = None
        self.bias: Any = None

    def optional(self) -> tuple[str, ...]:
        return () if self.use_bias else ("bias",)

    def config(self) -> dict[str, Any]:
        return {"type": "Bilinear", "in1_features": self.in1_features, "in2_features": self.in2_features,
                "out_features": self.out_features, "bias": self.use_bias}  # fmt: skip

    def initialize(self, rng: np.random.Generator, dtype: np.dtype, follows: Any) -> Any:
        a = 1.0 / math.sqrt(self.in1_features)
        weight = rng.uniform(-a, a, (self.out_features, self.in1_features, self.in2_features)).astype(dtype)
        return self.replace(weight=weight, bias=rng.uniform(-a, a, self.out_features).astype(dtype) if self.use_bias else None)

    def __call__(self, input1: Any, input2: Any = None, key: Any = None) -> Any:
        if input2 is None and isinstance(input1, tuple) and len(input1) == 2:
            input1, input2 = input1
        weight = require(self.weight, self)
        shapes = np.shape(input1), np.shape(input2)
        if not all(shapes) or (shapes[0][-1], shapes[1][-1]) != (self.in1_features, self.in2_features):
            raise ModelError(f"{self!r} takes two arrays with last axes {self.in1_features} and {self.in2_features}; their "
                             f"shapes are {shapes[0]} and {shapes[1]}")  # fmt: skip
        y = np.einsum("...i,kij,...j->...k", input1, weight, input2)
        return y if self.bias is None else y + self.bias
