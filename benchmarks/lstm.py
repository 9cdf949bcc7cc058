"""An LSTM that learns the next character: microseconds an update, against PyTorch and JAX.

    python benchmarks/lstm.py [--rounds 7] [--quick] [--peers retrograde,jax-scan] [--torch-compile]

An embedding of 32, a layer of 64 and a linear layer from the states of all places to 64 characters; 16 sequences of 64 an update,
cross entropy, Adam(1e-3), float32, shuffled each epoch. PyTorch has its nn.LSTM; JAX's loop begins from the product of all
inputs with their weights, as PyTorch's and retrograde's do. Rounds of the peers alternate; times are those of steady state,
without compilation. All begin from the same parameters: their first loss is the same to 1e-4, and that after an epoch without
shuffling to 1 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness import Row, run_script
from retrograde import nn
from sequences import BATCH, CHARACTERS, LENGTH, NAMES, OPTIONAL, UNIT, Task, make_text, measure_task

FEATURES, HIDDEN = 32, 64


class Recurrent(nn.Module):
    """Embedding, LSTM, linear layer."""

    dynamic = ("embedding", "lstm", "linear")

    def __init__(self) -> None:
        self.embedding = nn.Embedding(CHARACTERS, FEATURES)
        self.lstm, self.linear = nn.LSTM(FEATURES, HIDDEN, batch_first=True), nn.Linear(HIDDEN, CHARACTERS)

    def __call__(self, x: Any, key: Any = None) -> Any:
        return self.linear(self.lstm(self.embedding(x))[0])


def make_torch_module() -> Any:
    """PyTorch's own layers, likewise."""
    import torch

    class Twin(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(CHARACTERS, FEATURES)
            self.lstm = torch.nn.LSTM(FEATURES, HIDDEN, batch_first=True)
            self.linear = torch.nn.Linear(HIDDEN, CHARACTERS)

        def forward(self, x: Any) -> Any:
            return self.linear(self.lstm(self.embedding(x))[0])

    return Twin()


def forward_in_jax(params: Mapping[str, Any], x: Any) -> Any:
    """Written out, as JAX has no layers."""
    import jax
    import jax.numpy as jnp

    embedded = params["embedding.weight"][x].swapaxes(0, 1)
    fed = embedded @ params["lstm.weight_ih_l0"].T + (params["lstm.bias_ih_l0"] + params["lstm.bias_hh_l0"])
    recurrent = params["lstm.weight_hh_l0"].T

    def step(state: Any, x: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(x + h @ recurrent, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zeros = jnp.zeros((len(x), HIDDEN), fed.dtype)
    outputs = jax.lax.scan(step, (zeros, zeros), fed)[1]
    return outputs.swapaxes(0, 1) @ params["linear.weight"].T + params["linear.bias"]


def product_flops() -> int:
    """Floating-point operations of an update's products: thrice those of the forward pass."""
    return 3 * 2 * BATCH * LENGTH * (4 * HIDDEN * (FEATURES + HIDDEN) + HIDDEN * CHARACTERS)


def measure(rounds: int = 7, *, quick: bool = False, peers: Sequence[str] | None = None) -> list[Row]:
    """The rows of the table; `quick` takes shorter rounds and fewer sequences."""
    task = Task(Recurrent(), make_torch_module, forward_in_jax, product_flops(), *make_text(128 if quick else 512))
    case = f"LSTM of {HIDDEN}, {BATCH} sequences of {LENGTH}, Adam"
    return measure_task(case, task, rounds, quick, peers)


if __name__ == "__main__":
    run_script(__doc__, NAMES, measure, UNIT, optional=OPTIONAL)
