"""Full batch: every update takes all 10,000 points; against PyTorch and JAX.

    python benchmarks/full_batch.py [--rounds 7] [--quick] [--peers retrograde,torch]

4-32-16-4 with tanh and squared error, Adam(1e-3), float32: the network of SimpleChains.jl's published comparison. No peer
shuffles. JAX takes one jitted call an update, or one for all (`lax.fori_loop`). Rounds of the peers alternate; times are
those of steady state, without compilation; all must reach the same loss. GFLOP/s counts the eight products of an update, not
the hyperbolic tangents; the limit is as many multiply-adds in registers alone, on all cores, timed in the same rounds.
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
    "jax-scan": "JAX, all updates in one call",
    "jax": "JAX, one jitted step a call",
    "torch": "PyTorch, eager",
    "torch-1": "PyTorch, eager, one thread",
    "sklearn": "scikit-learn, MLPRegressor",
}


def make_task(points: int = 10_000) -> Task:
    """Four smooth functions of four numbers."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(points, 4)).astype(np.float32)
    Y = np.tanh(X @ rng.normal(size=(4, 8))) @ rng.normal(size=(8, 4))
    return Task((4, 32, 16, 4), X, Y.astype(np.float32), points, "mse", True, 1e-3, "tanh")


def measure(rounds: int = 7, *, quick: bool = False, peers: Sequence[str] | None = None) -> list[Row]:
    """The rows of the table; `quick` takes shorter rounds."""
    task = make_task()
    makers: dict[str, Callable[[], Peer]] = {
        "retrograde": partial(make_retrograde, task),
        "limit": partial(make_limit, task.product_flops * task.updates),
        "products": partial(make_products, task),
        "jax-scan": partial(make_jax, task, True),
        "jax": partial(make_jax, task, False),
        "torch": partial(make_torch, task),
        "torch-1": partial(make_torch, task, 1),
        "sklearn": partial(make_sklearn, task),
    }
    flops = task.product_flops
    return compare(
        "Full batch: 4-32-16-4, tanh, Adam, squared error, 10,000 points", makers, NAMES, peers, rounds=rounds,
        seconds=0.1 if quick else 0.3, most_epochs=2000, updates=1, in_order=50, tolerance=1e-2,
        cells=lambda micro: {"GFLOP/s": f"{flops / micro / 1e3:.1f}"},
    )  # fmt: skip


if __name__ == "__main__":
    run_script(__doc__, NAMES, measure, UNIT)
