"""Multilayer perceptrons with Adam: microseconds an update, against PyTorch, JAX, scikit-learn and the bare products.

    python benchmarks/mlp.py [--rounds 7] [--quick] [--peers retrograde,torch] [--torch-compile]

30-64-32-2 at batch 32 (1,024 points), 784-256-128-10 at batch 128 (12,800 points) and, unless `--quick`,
1024-2048-2048-1024 at batch 512 (5,120 points): ReLU, cross-entropy from logits, Adam(1e-3), float32, shuffled each epoch.
Rounds of the peers alternate; times are those of steady state, without compilation. Before that every peer trains from the
same parameters without shuffling, and all that have the same network must reach the same loss. GFLOP/s counts the eight
products of an update, for every peer; "products alone" is these eight as `np.matmul` with `out=` and nothing else, in the
OpenBLAS of NumPy. The limit is as many multiply-adds in registers alone, on all cores, timed in the same rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from harness import Peer, Row, compare, run_script
from limits import make_limit
from peers import Task, make_jax, make_products, make_retrograde, make_sklearn, make_torch

UNIT = "µs an update"
NAMES = {
    "retrograde": "retrograde, rg.fit",
    "limit": "multiply-adds alone, all cores",
    "products": "products alone, np.matmul",
    "products-1": "products alone, one thread",
    "jax-scan": "JAX, lax.scan over an epoch",
    "jax": "JAX, one jitted step a call",
    "torch": "PyTorch, eager",
    "torch-1": "PyTorch, eager, one thread",
    "torch-compile": "PyTorch, torch.compile",
    "sklearn": "scikit-learn, MLPClassifier",
}
OPTIONAL = ("torch-compile",)
# sizes, points, batch, most epochs a round (more would learn all by heart, and reckon with subnormal gradients), epochs in order
CASES = [((30, 64, 32, 2), 1024, 32, 200, 3), ((784, 256, 128, 10), 12_800, 128, 50, 1)]
LARGE = ((1024, 2048, 2048, 1024), 5_120, 512, 3, 1)


def make_task(sizes: tuple[int, ...], points: int, batch: int) -> Task:
    """Normal points with the labels that a random network of one hidden layer gives them."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(points, sizes[0])).astype(np.float32)
    hidden = np.tanh(X @ rng.normal(size=(sizes[0], 16)) / np.sqrt(sizes[0]))
    labels = np.argmax(hidden @ rng.normal(size=(16, sizes[-1])), axis=1)
    return Task(sizes, X, labels, batch, "cross_entropy", True, 1e-3)


def measure(rounds: int = 7, *, quick: bool = False, peers: Sequence[str] | None = None) -> list[Row]:
    """The rows of the table; `quick` takes shorter rounds."""
    wanted = peers or [name for name in NAMES if name not in OPTIONAL]
    rows = []
    for sizes, points, batch, most_epochs, in_order in CASES if quick else [*CASES, LARGE]:
        in_round = 5 if sizes == LARGE[0] else 1  # so long that what a run begins with, fresh memory say, counts for little
        points //= 4 if quick and points > 10_000 else 1
        task = make_task(sizes, points, batch)
        makers: dict[str, Callable[[], Peer]] = {
            "retrograde": partial(make_retrograde, task),
            "limit": partial(make_limit, task.product_flops * task.updates),
            "products": partial(make_products, task),
            "products-1": partial(make_products, task, 1),
            "jax-scan": partial(make_jax, task, True),
            "jax": partial(make_jax, task, False),
            "torch": partial(make_torch, task),
            "torch-1": partial(make_torch, task, 1),
            "torch-compile": partial(make_torch, task, compiled=True),
            "sklearn": partial(make_sklearn, task),
        }
        flops = task.product_flops
        rows += compare(
            f"{'-'.join(map(str, sizes))}, batch {batch}, Adam, {points:,} points", makers, NAMES, wanted, rounds=rounds,
            seconds=0.03 if quick else 0.3 * in_round, most_epochs=most_epochs, updates=task.updates, in_order=in_order,
            tolerance=1e-2, cells=lambda micro, flops=flops: {"GFLOP/s": f"{flops / micro / 1e3:.1f}"},
        )  # fmt: skip
    return rows


if __name__ == "__main__":
    run_script(__doc__, NAMES, measure, UNIT, optional=OPTIONAL)
