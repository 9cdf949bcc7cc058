"""A small transformer that learns the next character: microseconds an update, against PyTorch and JAX.

    python benchmarks/tiny_transformer.py [--rounds 7] [--quick] [--peers retrograde,jax-scan] [--torch-compile]

Two encoder layers of width 64 with 4 heads, a causal mask and a feed-forward part of 256 (ReLU, layer norm after each sum, no
dropout), between an embedding with learned positions and a linear layer to 64 characters; 16 sequences of 64 an update, cross
entropy, Adam(1e-3), float32, shuffled each epoch. PyTorch has its nn.TransformerEncoderLayer. Rounds of the peers alternate;
times are those of steady state, without compilation. All begin from the same parameters: their first loss is the same to 1e-4,
and that after an epoch without shuffling to 1 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness import Row, run_script
from retrograde import nn
from sequences import BATCH, CHARACTERS, LENGTH, NAMES, OPTIONAL, UNIT, Task, make_text, measure_task

WIDTH, HEADS, HIDDEN, LAYERS = 64, 4, 256, 2


class Transformer(nn.Module):
    """Embedding and positions, encoder layers, a linear layer."""

    dynamic = ("embedding", "positions", "layers", "linear")

    def __init__(self) -> None:
        self.embedding, self.positions = nn.Embedding(CHARACTERS, WIDTH), None
        self.layers = (nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, dropout=0.0, batch_first=True),) * LAYERS
        self.linear = nn.Linear(WIDTH, CHARACTERS)

    def initialize(self, rng: np.random.Generator, dtype: np.dtype, follows: Any) -> Any:
        return self.replace(positions=rng.normal(size=(LENGTH, WIDTH)).astype(dtype))

    def __call__(self, x: Any, key: Any = None) -> Any:
        x = self.embedding(x) + self.positions
        for layer in self.layers:
            x = layer(x, src_mask=np.triu(np.ones((LENGTH, LENGTH), bool), 1))
        return self.linear(x)


def make_torch_module() -> Any:
    """PyTorch's own layers, likewise."""
    import torch

    class Twin(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(CHARACTERS, WIDTH)
            self.positions = torch.nn.Parameter(torch.zeros(LENGTH, WIDTH))
            layer = torch.nn.TransformerEncoderLayer
            self.layers = torch.nn.ModuleList(
                [layer(WIDTH, HEADS, HIDDEN, dropout=0.0, batch_first=True) for _ in range(LAYERS)]
            )  # fmt: skip
            self.linear = torch.nn.Linear(WIDTH, CHARACTERS)
            self.register_buffer("mask", torch.nn.Transformer.generate_square_subsequent_mask(LENGTH), persistent=False)

        def forward(self, x: Any) -> Any:
            x = self.embedding(x) + self.positions
            for layer in self.layers:
                x = layer(x, src_mask=self.mask, is_causal=True)
            return self.linear(x)

    return Twin()


def forward_in_jax(params: Mapping[str, Any], x: Any) -> Any:
    """Written out, as JAX has no layers."""
    import jax
    import jax.numpy as jnp

    def linear(x: Any, name: str) -> Any:
        return x @ params[f"{name}.weight"].T + params[f"{name}.bias"]

    def norm(x: Any, name: str) -> Any:
        centered = x - x.mean(-1, keepdims=True)
        scaled = centered * jax.lax.rsqrt(jnp.mean(centered**2, -1, keepdims=True) + 1e-5)
        return scaled * params[f"{name}.weight"] + params[f"{name}.bias"]

    def attention(x: Any, name: str) -> Any:
        projected = x @ params[f"{name}.in_proj_weight"].T + params[f"{name}.in_proj_bias"]
        q, k, v = (a.reshape(*a.shape[:2], HEADS, -1) for a in jnp.split(projected, 3, -1))
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(WIDTH // HEADS)
        weights = jax.nn.softmax(jnp.where(np.tri(LENGTH, dtype=bool), scores, -jnp.inf))
        return linear(jnp.einsum("bhqk,bkhd->bqhd", weights, v).reshape(x.shape), f"{name}.out_proj")

    x = params["embedding.weight"][x] + params["positions"]
    for i in range(LAYERS):
        x = norm(x + attention(x, f"layers.{i}.self_attn"), f"layers.{i}.norm1")
        x = norm(x + linear(jax.nn.relu(linear(x, f"layers.{i}.linear1")), f"layers.{i}.linear2"), f"layers.{i}.norm2")
    return linear(x, "linear")


def product_flops() -> int:
    """Floating-point operations of an update's products: thrice those of the forward pass, attention whole."""
    points = BATCH * LENGTH
    layer = WIDTH * (4 * WIDTH + 2 * HIDDEN) + 2 * LENGTH * WIDTH
    return 3 * 2 * points * (LAYERS * layer + WIDTH * CHARACTERS)


def measure(rounds: int = 7, *, quick: bool = False, peers: Sequence[str] | None = None) -> list[Row]:
    """The rows of the table; `quick` takes shorter rounds and fewer sequences."""
    task = Task(Transformer(), make_torch_module, forward_in_jax, product_flops(), *make_text(128 if quick else 512))
    case = f"Transformer: {LAYERS} layers of {WIDTH}, {HEADS} heads, {BATCH} sequences of {LENGTH}, Adam"
    return measure_task(case, task, rounds, quick, peers)


if __name__ == "__main__":
    run_script(__doc__, NAMES, measure, UNIT, optional=OPTIONAL)
