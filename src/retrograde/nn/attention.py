"""Attention (A. Vaswani et al., 2017, eq. 1, section 3.2.2), with PyTorch's arguments and parameter names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograde import numpy as rnp
from retrograde.custom import stop_gradient
from retrograde.errors import ModelError
from retrograde.nn.initializers import glorot_uniform
from retrograde.nn.layers import Dropout, Linear
from retrograde.nn.module import Module, check_probability, check_size


def scaled_dot_product_attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
    scale: float | None = None, *, rng: Any = None,
) -> Any:  # fmt: skip
    """softmax(query @ key.T * scale + mask) @ value, for (..., L, E), (..., S, E) and (..., S, D); scale is 1 / sqrt(E).

    A. Vaswani et al. (2017), eq. 1. attn_mask broadcasts to (..., L, S): booleans, True where a query may look, or floats that
    are added. `is_causal` lets query i look at keys 0 to i. A query that may look nowhere gets zeros. Dropout of the weights
    needs a random key, `rng`; without one there is none. Raises `ModelError` for shapes or masks that do not fit.

    >>> query, key, value = np.ones((2, 3, 8)), np.ones((2, 5, 8)), np.ones((2, 5, 4))
    >>> nn.scaled_dot_product_attention(query, key, value).shape
    (2, 3, 4)
    >>> nn.scaled_dot_product_attention(query, key, value, attn_mask=np.arange(5) < 4).shape
    (2, 3, 4)
    """
    allowed, added = (attn_mask, None) if _is_bool(attn_mask, "attn_mask") else (None, attn_mask)
    return _attend(query, key, value, allowed, added, is_causal, scale, dropout_p, rng)[0]


def _attend(
    query: Any, key: Any, value: Any, allowed: Any, added: Any, is_causal: bool, scale: float | None, dropout: float, rng: Any
) -> tuple[Any, Any]:  # fmt: skip
    """The output and the weights (..., L, S)."""
    width, keys = np.shape(query)[-1], np.shape(key)
    if min(np.ndim(query), len(keys), np.ndim(value)) < 2 or keys[-1] != width or keys[-2] != np.shape(value)[-2]:
        raise ModelError(f"attention takes query (..., L, E), key (..., S, E) and value (..., S, D); their shapes are "
                         f"{np.shape(query)}, {keys} and {np.shape(value)}")  # fmt: skip
    scores = np.matmul(query * (1.0 / math.sqrt(width) if scale is None else scale), np.swapaxes(key, -1, -2))
    if is_causal:
        lower = np.tri(np.shape(query)[-2], keys[-2], dtype=bool)
        allowed = lower if allowed is None else allowed & lower
    if added is not None:
        scores = scores + added.astype(scores.dtype)
    weights = rnp.softmax(scores) if allowed is None and added is None else _masked_softmax(scores, allowed)
    if rng is not None:
        weights = Dropout(dropout)(weights, key=rng)
    return np.matmul(weights, value), weights


def _masked_softmax(scores: Any, allowed: Any) -> Any:
    """Softmax of scores of which some are -inf or not allowed; a row of nothing else gives zeros, not NaN."""
    least = float(np.finfo(scores.dtype).min)
    scores = scores if allowed is None else np.where(allowed, scores, least)
    top = stop_gradient(np.maximum(np.max(scores, axis=-1, keepdims=True), least))
    e = np.exp(scores - top)
    e = e if allowed is None else np.where(allowed, e, 0.0)
    total = np.sum(e, axis=-1, keepdims=True)
    return e / np.where(total == 0, 1.0, total)


def _is_bool(mask: Any, name: str) -> bool:
    if mask is None:
        return False
    if not hasattr(mask, "dtype") or not (mask.dtype == bool or mask.dtype.kind == "f"):
        raise ModelError(f"{name} is an array of booleans or of floats; it is {getattr(mask, 'dtype', type(mask).__name__)}")
    return mask.dtype == bool


class MultiheadAttention(Module):
    """`num_heads` attentions side by side, each of embed_dim / num_heads features, between learned projections.

    A. Vaswani et al. (2017), section 3.2.2. Called as `layer(query)` or `layer(query, keys, values)`, of shapes (L, batch,
    embed_dim) and (S, batch, kdim or vdim), batch first with `batch_first`; returns (output, weights). Parameters have PyTorch's
    names and shapes: in_proj_weight (3 embed_dim, embed_dim), or q_, k_ and v_proj_weight where `kdim` or `vdim` differ from
    embed_dim; in_proj_bias (3 embed_dim,); out_proj. PyTorch's add_bias_kv and add_zero_attn are not here. Raises `ModelError`
    for shapes and masks that do not fit.

    >>> layer, x = nn.MultiheadAttention(8, num_heads=2, batch_first=True).init(0), np.ones((5, 12, 8))
    >>> output, weights = layer(x)
    >>> output.shape, weights.shape
    ((5, 12, 8), (5, 12, 12))
    >>> layer(x, np.ones((5, 20, 8)), need_weights=False)[0].shape
    (5, 12, 8)
    """

    dynamic = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_bias", "out_proj")

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, kdim: int | None = None,
        vdim: int | None = None, batch_first: bool = False,
    ):  # fmt: skip
        kdim, vdim = embed_dim if kdim is None else kdim, embed_dim if vdim is None else vdim
        check_size(self, embed_dim=embed_dim, num_heads=num_heads, kdim=kdim, vdim=vdim)
        check_probability(self, dropout=dropout)
        if embed_dim % num_heads:
            raise ModelError(f"MultiheadAttention: embed_dim {embed_dim} is not a multiple of num_heads {num_heads}")
        self.embed_dim, self.num_heads, self.dropout = int(embed_dim), int(num_heads), float(dropout)
        self.kdim, self.vdim, self.bias, self.batch_first = int(kdim), int(vdim), bool(bias), bool(batch_first)
        self.in_proj_weight: Any = None
        self.q_proj_weight: Any = None
        self.k_proj_weight: Any = None
        self.v_proj_weight: Any = None
        self.in_proj_bias: Any = None
        self.out_proj = Linear(embed_dim, embed_dim, bias)

    @property
    def _packed(self) -> bool:
        return self.kdim == self.vdim == self.embed_dim

    def optional(self) -> tuple[str, ...]:
        unused = self.dynamic[1:4] if self._packed else self.dynamic[:1]
        return unused if self.bias else (*unused, "in_proj_bias")

    def initialize(self, rng: np.random.Generator, dtype: np.dtype, follows: Any) -> Any:
        """Glorot's uniform distribution, biases zero, as PyTorch's."""
        n, made = self.embed_dim, {}
        shapes = {"in_proj_weight": (3 * n, n)} if self._packed else {
            "q_proj_weight": (n, n), "k_proj_weight": (n, self.kdim), "v_proj_weight": (n, self.vdim)}  # fmt: skip
        made = {name: glorot_uniform(rng, shape, 1.0).astype(dtype) for name, shape in shapes.items()}
        return self.replace(**made, in_proj_bias=np.zeros(3 * n, dtype) if self.bias else None)

    def __call__(
        self, query: Any, keys: Any = None, values: Any = None, *, key: Any = None, key_padding_mask: Any = None,
        need_weights: bool = True, attn_mask: Any = None, average_attn_weights: bool = True, is_causal: bool = False,
    ) -> tuple[Any, Any]:  # fmt: skip
        """(output, weights) of shapes (L, batch, embed_dim) and (batch, L, S), batch first with `batch_first`, or with none.

        `keys` and `values`, PyTorch's key and value, are the query (keys) by default; `key` is the random key, as for all layers.
        key_padding_mask is (batch, S), attn_mask (L, S) or (batch * num_heads, L, S): booleans, True where a query may NOT look,
        as in PyTorch, or floats that are added. Weights are the heads' mean, or (batch, num_heads, L, S) with
        `average_attn_weights=False`; None with `need_weights=False`. A query that may look nowhere gets zeros (and the bias).
        """
        if not self.initialized:
            raise ModelError(f"{self!r} has no parameters yet: net = net.init(seed) draws them (rg.fit does it for you)")
        keys = query if keys is None else keys
        values = keys if values is None else values
        self._check(query, keys, values)
        alone = np.ndim(query) == 2
        swap = not alone and not self.batch_first

        def heads(x: Any) -> Any:
            """(batch, num_heads, length, features a head)."""
            x = np.expand_dims(x, 0) if alone else np.swapaxes(x, 0, 1) if swap else x
            return np.swapaxes(np.reshape(x, (*np.shape(x)[:2], self.num_heads, -1)), 1, 2)

        q, k, v = map(heads, self._projected(query, keys, values))
        (n, _, rows, _), columns = np.shape(q), np.shape(k)[2]
        allowed, added = self._mask(key_padding_mask, attn_mask, n, rows, columns)
        y, weights = _attend(q, k, v, allowed, added, is_causal, None, self.dropout, key)
        y = self.out_proj(np.reshape(np.swapaxes(y, 1, 2), (n, rows, self.embed_dim)))
        y = y[0] if alone else np.swapaxes(y, 0, 1) if swap else y
        if not need_weights:
            return y, None
        weights = np.mean(weights, axis=1) if average_attn_weights else weights
        return y, weights[0] if alone else weights

    def _check(self, query: Any, keys: Any, values: Any) -> None:
        shapes = [np.shape(query), np.shape(keys), np.shape(values)]
        widths = [self.embed_dim, self.kdim, self.vdim]
        ends = [s[-1] if s else 0 for s in shapes]
        if len({len(s) for s in shapes}) > 1 or len(shapes[0]) not in (2, 3) or ends != widths:
            raise ModelError(f"{self!r} takes query, keys and values of 3 axes (2 without a batch), the last of {widths}; their "
                             f"shapes are {shapes}")  # fmt: skip

    def _projected(self, query: Any, keys: Any, values: Any) -> list[Any]:
        n, bias = self.embed_dim, self.in_proj_bias
        if self._packed and query is keys and keys is values:  # one product for all three
            y = np.matmul(query, self.in_proj_weight.T)
            return np.split(y if bias is None else y + bias, 3, axis=-1)
        parts = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        if self._packed:
            parts = [self.in_proj_weight[i * n : (i + 1) * n] for i in range(3)]
        products = [np.matmul(x, w.T) for x, w in zip((query, keys, values), parts)]
        return products if bias is None else [y + bias[i * n : (i + 1) * n] for i, y in enumerate(products)]

    def _mask(self, padding: Any, mask: Any, batch: int, rows: int, columns: int) -> tuple[Any, Any]:
        """What may be looked at and what is added, each None or broadcasting to (batch, num_heads, rows, columns)."""
        allowed = added = None
        if padding is not None:
            if np.shape(padding) not in ((batch, columns), (columns,)[: 1 if batch == 1 else 0]):
                raise ModelError(f"key_padding_mask must have shape {(batch, columns)}; it has {np.shape(padding)}")
            padding = np.reshape(padding, (batch, 1, 1, columns))
        if mask is not None:
            full = (batch * self.num_heads, rows, columns)
            if np.shape(mask) not in ((rows, columns), full):
                raise ModelError(f"attn_mask must have shape {(rows, columns)} or {full}; it has {np.shape(mask)}")
            mask = np.reshape(mask, (batch, self.num_heads, rows, columns)) if np.ndim(mask) == 3 else mask
        for name, each in (("key_padding_mask", padding), ("attn_mask", mask)):
            if _is_bool(each, name):
                allowed = ~each if allowed is None else allowed & ~each
            elif each is not None:
                added = each if added is None else added + each
        return allowed, added
