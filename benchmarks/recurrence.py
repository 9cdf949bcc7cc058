"""A recurrence of scalars: microseconds for loss and gradient of a model of 1,000 steps, against JAX and PyTorch.

    python benchmarks/recurrence.py [--rounds 9] [--quick] [--peers retrograde,jax]

Two predators and two prey in seasons, by Euler's method: four states, written out in scalars with 60 parameters (sines,
exponentials, hyperbolic tangents, products). The loss is the sum of squares of what the states of every step miss; its
gradient is by all parameters. Rounds of the peers alternate; PyTorch, which is slow here, takes part in the first only. Times
are those of a call in steady state, without compilation; before that all peers must agree on the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

import retrograde as rg
from harness import PAUSE, Row, clock, make_peers, quartiles, run_script

UNIT = "µs a gradient"
NAMES = {
    "retrograde": "retrograde, rg.scan",
    "jax": "JAX, lax.scan",
    "torch": "PyTorch, eager, one thread",
}
STEPS, PARAMETERS, DT = 1000, 60, 0.01


def rates(x: Any, y: Any, u: Any, v: Any, t: Any, p: Sequence[Any], m: Any) -> tuple[Any, ...]:
    """How the four states change, with the functions of the module `m`; 15 parameters each."""
    dx = (
        p[0] * x - p[1] * x * y + p[2] * m.tanh(p[3] * u + p[4]) + p[5] * m.sin(p[6] * v + p[7])
        + p[8] * m.exp(-(p[9] * x) * x) + p[10] * x * u - p[11] * x * x + p[12] * m.sin(p[13] * t + p[14])
    )  # fmt: skip
    dy = (
        p[15] * x * y - p[16] * y + p[17] * m.tanh(p[18] * v + p[19]) + p[20] * m.sin(p[21] * u + p[22])
        + p[23] * m.exp(-(p[24] * y) * y) + p[25] * y * v - p[26] * y * y + p[27] * m.sin(p[28] * t + p[29])
    )  # fmt: skip
    du = (
        p[30] * u - p[31] * u * v + p[32] * m.tanh(p[33] * x + p[34]) + p[35] * m.sin(p[36] * y + p[37])
        + p[38] * m.exp(-(p[39] * u) * u) + p[40] * u * y - p[41] * u * u + p[42] * m.sin(p[43] * t + p[44])
    )  # fmt: skip
    dv = (
        p[45] * u * v - p[46] * v + p[47] * m.tanh(p[48] * y + p[49]) + p[50] * m.sin(p[51] * x + p[52])
        + p[53] * m.exp(-(p[54] * v) * v) + p[55] * v * x - p[56] * v * v + p[57] * m.sin(p[58] * t + p[59])
    )  # fmt: skip
    return dx, dy, du, dv


def step(state: tuple, row: Any, p: Sequence[Any], m: Any) -> tuple[tuple, Any]:
    """One step, and by how much it misses its row of the data (the time, then the four states), squared."""
    state = tuple(s + DT * d for s, d in zip(state, rates(*state, row[0], p, m)))
    return state, sum((s - row[i + 1]) ** 2 for i, s in enumerate(state))


def make_task(dtype: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parameters, first state, and rows of data: those of other parameters, with a little noise."""
    rng = np.random.default_rng(0)
    true = rng.uniform(0.2, 1.2, PARAMETERS)
    state, rows = tuple(np.ones(4)), np.zeros((STEPS, 5))
    for i in range(STEPS):
        state = step(state, np.array([i * DT, 0, 0, 0, 0]), true, np)[0]
        rows[i] = [i * DT, *state]
    rows[:, 1:] += 0.05 * rng.normal(size=(STEPS, 4))
    return (true + 0.1 * rng.normal(size=PARAMETERS)).astype(dtype), np.ones(4, dtype), rows.astype(dtype)


class Peer:
    """A function from parameters to (loss, gradient), and one that waits for what it returns."""

    def __init__(self, f: Callable[[Any], Any], p: Any, wait: Callable[[Any], Any] = lambda found: found):
        self.f, self.p, self.wait = f, p, wait
        self.compile_seconds = clock(lambda: wait(f(p)))

    def timed(self, count: int) -> float:
        """Seconds of so many calls, one after another."""

        def run() -> None:
            for _ in range(count):
                self.wait(self.f(self.p))

        return clock(run)

    def gradient(self) -> np.ndarray:
        """By all parameters, in float64."""
        return np.asarray(self.wait(self.f(self.p))[1], np.float64)


def make_retrograde(task: tuple) -> Peer:
    """`rg.jit` of the gradient of a loss through `rg.scan`."""
    p, start, rows = task

    def loss(p: Any) -> Any:
        parts = [p[i] for i in range(PARAMETERS)]
        return np.sum(rg.scan(lambda c, row: step(c, row, parts, np), tuple(start), rows)[1])

    return Peer(rg.jit(rg.value_and_grad(loss)), p)


def make_jax(task: tuple) -> Peer:
    """The same with `jax.lax.scan`."""
    import jax

    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    p, start, rows = task

    def loss(p: Any) -> Any:
        parts = [p[i] for i in range(PARAMETERS)]
        first = tuple(jnp.asarray(s) for s in start)
        return jnp.sum(jax.lax.scan(lambda c, row: step(c, row, parts, jnp), first, jnp.asarray(rows))[1])

    return Peer(jax.jit(jax.value_and_grad(loss)), jnp.asarray(p), jax.block_until_ready)


def make_torch(task: tuple) -> Peer:
    """A loop in Python, operation by operation."""
    import torch

    torch.set_num_threads(1)
    p, start, rows = task
    parameters, table = torch.from_numpy(p).requires_grad_(), torch.from_numpy(rows)

    def run(p: Any) -> Any:
        parts, state, loss = p.unbind(), tuple(torch.from_numpy(start).unbind()), torch.zeros((), dtype=p.dtype)
        for row in table.unbind():
            state, miss = step(state, row.unbind(), parts, torch)
            loss = loss + miss
        return loss, torch.autograd.grad(loss, p)[0]

    return Peer(run, parameters, lambda found: (found[0].item(), found[1].numpy()))


def measure(rounds: int = 9, *, quick: bool = False, peers: Sequence[str] | None = None) -> list[Row]:
    """The rows of the tables, one table a dtype; `quick` takes shorter rounds."""
    rows = []
    for dtype in ("float32", "float64"):
        task = make_task(dtype)
        made = make_peers({"retrograde": partial(make_retrograde, task), "jax": partial(make_jax, task),
                           "torch": partial(make_torch, task)}, peers)  # fmt: skip
        _check({name: peer.gradient() for name, peer in made.items()}, 1e-9 if dtype == "float64" else 1e-2)
        times = _interleave(made, rounds, 0.03 if quick else 0.2)
        base = quartiles(times["retrograde"])[0] if "retrograde" in times else None
        for name, peer in made.items():
            median, low, high = quartiles([1e6 * t for t in times[name]])
            cells = {"ns a step": f"{1e3 * median / STEPS:,.0f}", "first call s": f"{peer.compile_seconds:.2f}"}
            ratio = None if base is None else median / (1e6 * base)
            case = f"Recurrence of 1,000 steps with 60 scalar parameters, {dtype}"
            rows.append(Row(case, NAMES[name], median, low, high, ratio, cells, name))
    return rows


def _interleave(peers: dict[str, Peer], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Seconds of a call, in every round; PyTorch's in the first alone."""
    import time

    counts = {name: 1 if name == "torch" else max(1, round(seconds / peer.timed(3) * 3)) for name, peer in peers.items()}
    times: dict[str, list[float]] = {name: [] for name in peers}
    for i in range(rounds):
        for name, peer in peers.items():
            if i and name == "torch":
                continue
            time.sleep(PAUSE)
            times[name].append(peer.timed(counts[name]) / counts[name])
    return times


def _check(gradients: dict[str, np.ndarray], tolerance: float) -> None:
    (first, expected), *others = gradients.items()
    for name, found in others:
        worst = np.max(np.abs(found - expected)) / np.max(np.abs(expected))
        if not worst <= tolerance:
            raise SystemExit(f"{first} and {name} disagree on the gradient: by {worst:.1e} of its largest part")


if __name__ == "__main__":
    run_script(__doc__, NAMES, measure, UNIT, default_rounds=9)
