"""TransformerEncoderLayer and TransformerEncoder, with PyTorch's arguments and parameter names (A. Vaswani et al., 2017, 3.1)."""

from __future__ import annotations

from typing import Any

from retrograde import random
from retrograde.errors import ModelError
from retrograde.nn.activations import GELU, ReLU
from retrograde.nn.attention import MultiheadAttention
from retrograde.nn.layers import Dropout, Linear
from retrograde.nn.module import Module
from retrograde.nn.normalization import LayerNorm


class TransformerEncoderLayer(Module):
    """Self-attention, then two linear layers with an activation between them; each added to its input and normalized.

    A. Vaswani et al. (2017), section 3.1. `norm_first` normalizes before each part instead of after the sum (R. Xiong et al.,
    2020). activation: "relu", "gelu" or a module, else `ModelError` is raised. src is (time, batch, d_model), batch first with
    `batch_first`; `key`, a random key as in training, turns dropout on.

    >>> layer = nn.TransformerEncoderLayer(8, nhead=2, dim_feedforward=32, batch_first=True).init(0)
    >>> layer(np.ones((5, 12, 8)), is_causal=True).shape
    (5, 12, 8)
    """

    dynamic = ("self_attn", "linear1", "linear2", "norm1", "norm2", "activation")

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1, activation: Any = "relu",
        layer_norm_eps: float = 1e-5, batch_first: bool = False, norm_first: bool = False, bias: bool = True,
    ):  # fmt: skip
        known = {"relu": ReLU, "gelu": GELU}
        if not isinstance(activation, Module) and activation not in known:
            raise ModelError(f'TransformerEncoderLayer: activation is "relu", "gelu" or a module, not {activation!r}')
        self.d_model, self.nhead, self.dim_feedforward = int(d_model), int(nhead), int(dim_feedforward)
        self.dropout, self.layer_norm_eps, self.batch_first = float(dropout), float(layer_norm_eps), bool(batch_first)
        self.norm_first, self.bias = bool(norm_first), bool(bias)
        self.activation = activation if isinstance(activation, Module) else known[activation]()
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first)
        self.linear1, self.linear2 = Linear(d_model, dim_feedforward, bias), Linear(dim_feedforward, d_model, bias)
        self.norm1, self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias), LayerNorm(d_model, layer_norm_eps, bias=bias)

    def __call__(
        self, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False, *, key: Any = None
    ) -> Any:
        """The same shape as src. Masks as in `MultiheadAttention`; `is_causal` alone is a causal mask."""
        keys: Any = [None] * 4 if key is None else [random.fold_in(key, i) for i in range(4)]
        drop = Dropout(self.dropout)

        def attention(x: Any) -> Any:
            y, _ = self.self_attn(x, key=keys[0], attn_mask=src_mask, key_padding_mask=src_key_padding_mask,
                                  is_causal=is_causal, need_weights=False)  # fmt: skip
            return drop(y, key=keys[1])

        def feed_forward(x: Any) -> Any:
            return drop(self.linear2(drop(self.activation(self.linear1(x)), key=keys[2])), key=keys[3])

        if self.norm_first:
            src = src + attention(self.norm1(src))
            return src + feed_forward(self.norm2(src))
        src = self.norm1(src + attention(src))
        return self.norm2(src + feed_forward(src))


class TransformerEncoder(Module):
    """`num_layers` layers built as `encoder_layer`, each with parameters of its own, then `norm` if there is one.

    src is (time, batch, d_model), batch first where the layer is. Raises `ModelError` for what is no `TransformerEncoderLayer`.

    >>> layer = nn.TransformerEncoderLayer(8, nhead=2, dim_feedforward=32, batch_first=True)
    >>> net = nn.TransformerEncoder(layer, num_layers=3).init(0)
    >>> net(np.ones((5, 12, 8))).shape, np.array_equal(net.layers[0].linear1.weight, net.layers[1].linear1.weight)
    ((5, 12, 8), False)
    """

    dynamic = ("layers", "norm")

    def __init__(self, encoder_layer: Any, num_layers: int, norm: Module | None = None):
        if not isinstance(encoder_layer, TransformerEncoderLayer):
            raise ModelError(f"TransformerEncoder takes a TransformerEncoderLayer; this is {encoder_layer!r}")
        if not isinstance(num_layers, int) or num_layers <= 0:
            raise ModelError(f"TransformerEncoder: num_layers must be a positive integer; it is {num_layers!r}")
        self.layers, self.norm, self.num_layers = (encoder_layer,) * num_layers, norm, num_layers

    def optional(self) -> tuple[str, ...]:
        return ("norm",)

    def config(self) -> dict[str, Any]:
        return {"type": "TransformerEncoder", "encoder_layer": self.layers[0].config(), "num_layers": self.num_layers,
                "norm": None if self.norm is None else self.norm.config()}  # fmt: skip

    def __call__(
        self, src: Any, mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False, *, key: Any = None
    ) -> Any:
        """The same shape as src; masks go to each layer."""
        for i, layer in enumerate(self.layers):
            src = layer(src, mask, src_key_padding_mask, is_causal, key=None if key is None else random.fold_in(key, i))
        return src if self.norm is None else self.norm(src)
