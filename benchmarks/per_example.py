"""The gradient of each example's loss (`per_example_grad`) against that of the mean loss; JAX and PyTorch beside it.

    python benchmarks/per_example.py [--rounds 7] [--quick] [--peers retrograde,jax]

float32, tanh networks, squared error. Every peer's gradients are checked against the others'. "Writing the result" fills as
many bytes as the per-example gradients have: what no way of computing them can do without.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from harness import Missing, Row, clock, quartiles, run_script

UNIT = "µs a call"
NAMES = {
    "retrograde": "retrograde", "mean": "retrograde, gradient of the mean", "fill": "writing the result",
    "loop": "retrograde, a loop of jitted gradients", "jax": "JAX", "torch": "PyTorch (torch.func)",
}  # fmt: skip
CASES = [((8, 16, 1), 1024), ((64, 32, 10), 256), ((64, 128, 128, 10), 128)]


def parameters(sizes: Sequence[int], rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """A weight and a bias for each layer."""
    return [
        ((rng.normal(size=(m, n)) / np.sqrt(m)).astype(np.float32), np.zeros(n, np.float32)) for m, n in zip(sizes, sizes[1:])
    ]


def loss_of(tanh: Callable, mean: Callable) -> Callable:
    """The loss of one example, written once for all libraries."""

    def loss(layers: Any, x: Any, y: Any) -> Any:
        for i, (weight, bias) in enumerate(layers):
            x = x @ weight + bias
            x = tanh(x) if i < len(layers) - 1 else x
        return mean((x - y) ** 2)

    return loss


def make(name: str, layers: list, x: np.ndarray, y: np.ndarray) -> Callable[[], Any]:
    """A call that computes the peer's gradients."""
    if name == "jax":
        import jax
        import jax.numpy as jnp

        per_example = jax.jit(jax.vmap(jax.grad(loss_of(jnp.tanh, jnp.mean)), (None, 0, 0)))
        own = jax.tree_util.tree_map(jnp.asarray, (layers, x, y))
        return lambda: jax.block_until_ready(per_example(*own))
    if name == "torch":
        import torch

        gradient = torch.func.vmap(torch.func.grad(loss_of(torch.tanh, torch.mean)), (None, 0, 0))
        tensors = [(torch.from_numpy(w), torch.from_numpy(b)) for w, b in layers]
        return lambda: gradient(tensors, torch.from_numpy(x), torch.from_numpy(y))
    import retrograde as rg

    loss = loss_of(np.tanh, np.mean)
    if name == "fill":
        size = len(x) * sum(w.size + b.size for w, b in layers)
        return lambda: np.ones(size, np.float32)
    if name == "loop":
        one = rg.jit(rg.grad(loss))
        return lambda: [one(layers, a, b) for a, b in zip(x, y)]
    made = rg.jit(rg.per_example_grad(loss) if name == "retrograde" else rg.grad(loss))
    return lambda: made(layers, x, y)


def check(found: dict[str, Any], layers: list) -> None:
    """Raise where peers disagree."""
    means = {}
    for name in found.keys() & {"retrograde", "jax", "torch"}:
        means[name] = np.concatenate([np.asarray(g).mean(0).ravel() for pair in found[name] for g in pair])
    if "mean" in found:
        means["mean"] = np.concatenate([g.ravel() for pair in found["mean"] for g in pair])
    for name, value in means.items():
        other = next(iter(means.values()))
        if not np.allclose(value, other, rtol=1e-3, atol=1e-5):
            raise SystemExit(f"{name} disagrees with the others by {np.abs(value - other).max()}")


def measure(rounds: int = 7, *, quick: bool = False, peers: Sequence[str] | None = None) -> list[Row]:
    """The rows of all tables."""
    rows = []
    for sizes, batch in CASES:
        rng = np.random.default_rng(0)
        layers = parameters(sizes, rng)
        x, y = (rng.normal(size=(batch, n)).astype(np.float32) for n in (sizes[0], sizes[-1]))
        calls = {}
        for name in peers or NAMES:
            try:
                calls[name] = make(name, layers, x, y)
                calls[name]()
            except (Missing, ImportError) as error:
                print(f"{name}: skipped, {error}", file=sys.stderr)
        check({name: call() for name, call in calls.items()}, layers)
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(rounds):
            for name, call in calls.items():
                count = (1 if quick else 3) if name == "loop" else (5 if quick else 20)
                times[name].append(1e6 * min(clock(call) for _ in range(count)))
        megabytes = batch * sum(w.size + b.size for w, b in layers) * 4e-6
        case = f"{'-'.join(map(str, sizes))}, {batch} examples, {megabytes:.1f} MB of gradients"
        base = quartiles(times["retrograde"])[0] if "retrograde" in times else None
        for name, values in times.items():
            median, low, high = quartiles(values)
            rows.append(Row(case, NAMES[name], median, low, high, median / base if base else None, {}, name))
    return rows


if __name__ == "__main__":
    run_script(__doc__, NAMES, measure, UNIT)
