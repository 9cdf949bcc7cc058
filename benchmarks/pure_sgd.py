"""Pure SGD on a network that fits in registers: microseconds an update, against C, JAX, PyTorch and scikit-learn.

    python benchmarks/pure_sgd.py [--rounds 7] [--quick] [--peers retrograde,c]

3-4-2-3-2 with ReLU, squared error, 1,000 points in float32, one point an update, shuffled each epoch. The C is
`pure_sgd.c`, the same algorithm with the same random order. Rounds of the peers alternate; times are those of steady state,
without compilation. Before that every peer trains from the same parameters without shuffling, and all must reach the same
loss.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from harness import Missing, Peer, Row, clock, compare, run_script
from peers import Task, make_jax, make_retrograde, make_sklearn, make_torch

UNIT = "µs an update"
NAMES = {
    "retrograde": "retrograde, rg.fit",
    "c": "C, -O3 -march=native",
    "c-fast-math": "C, the same and -ffast-math",
    "jax-scan": "JAX, lax.scan over an epoch, unroll=4",
    "jax": "JAX, one jitted step a call",
    "torch": "PyTorch, eager, one thread",
    "sklearn": "scikit-learn, MLPRegressor",
}


def make_task() -> Task:
    """1,000 points of a smooth function from three numbers to two, with a little noise."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 3)).astype(np.float32)
    Y = np.stack([np.sin(X[:, 0]) + X[:, 1], np.abs(X[:, 1]) - X[:, 2]], 1) + 0.05 * rng.normal(size=(1000, 2))
    return Task((3, 4, 2, 3, 2), X, Y.astype(np.float32), 1, "mse", False, 0.01)


def make_c(task: Task, *flags: str) -> Peer:
    """`pure_sgd.c`, compiled by the machine's C compiler."""
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None:
        raise Missing("there is no C compiler (cc, gcc, clang) on the path")
    source = Path(__file__).with_name("pure_sgd.c")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "pure_sgd.so"
        command = [compiler, "-O3", "-march=native", *flags, "-shared", "-fPIC", "-o", str(library), str(source)]

        def build() -> None:
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise Missing(f"{' '.join(command)} fails: {done.stderr.strip()[:200]}")

        compiling = clock(build)
        native = ctypes.CDLL(str(library))  # it stays loaded when the folder goes
    pointer, i64 = ctypes.c_void_p, ctypes.c_int64
    native.train.argtypes = [*[pointer] * 3, *[i64] * 3, ctypes.c_uint64, ctypes.c_int, ctypes.c_float, pointer]
    state: dict[str, Any] = {"seed": 0}

    def train(epochs: int, seed: int, shuffle: bool) -> float:
        state["params"] = params = _flat(task)
        losses = np.zeros(epochs)
        arguments = (
            params.ctypes.data, task.X.ctypes.data, task.Y.ctypes.data, len(task.X), 0, epochs, seed, shuffle, task.lr,
            losses.ctypes.data,
        )  # fmt: skip
        return clock(lambda: native.train(*arguments))

    def timed(epochs: int) -> float:
        state["seed"] += 1
        return train(epochs, state["seed"] - 1, True)

    def in_order(epochs: int) -> float:
        train(epochs, 0, False)
        return _value(task, state["params"])

    return Peer(timed, lambda: _value(task, state["params"]), in_order, lambda: compiling)


def _flat(task: Task) -> np.ndarray:
    """The first parameters in the order of the C struct."""
    return np.concatenate([part.ravel() for layer in task.weighted for part in (layer.weight, layer.bias)])


def _value(task: Task, flat: np.ndarray) -> float:
    layers, at = [], 0
    for fan_in, fan_out in zip(task.sizes, task.sizes[1:]):
        weight = flat[at : at + fan_in * fan_out].reshape(fan_out, fan_in)
        at += weight.size
        layers.append((weight, flat[at : at + fan_out]))
        at += fan_out
    return task.value(lambda x: task.forward(layers, x))


def measure(rounds: int = 7, *, quick: bool = False, peers: Sequence[str] | None = None) -> list[Row]:
    """The rows of the table; `quick` takes shorter rounds."""
    task = make_task()
    makers: dict[str, Callable[[], Peer]] = {
        "retrograde": partial(make_retrograde, task),
        "c": partial(make_c, task),
        "c-fast-math": partial(make_c, task, "-ffast-math"),
        "jax-scan": partial(make_jax, task, True, unroll=4),
        "jax": partial(make_jax, task, False),
        "torch": partial(make_torch, task, 1),
        "sklearn": partial(make_sklearn, task),
    }
    return compare(
        "Pure SGD: 3-4-2-3-2, ReLU, squared error, 1,000 points", makers, NAMES, peers, rounds=rounds,
        seconds=0.03 if quick else 0.3, most_epochs=8192, updates=task.updates, in_order=3, tolerance=1e-3,
    )  # fmt: skip


if __name__ == "__main__":
    run_script(__doc__, NAMES, measure, UNIT)
