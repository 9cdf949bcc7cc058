"""A network of convolutions with Adam: microseconds an update of 64 images, against PyTorch and JAX.

    python benchmarks/lenet.py [--rounds 7] [--quick] [--peers retrograde,torch] [--torch-compile]

Images of 28 x 28 through a convolution to 16 channels, ReLU, max pooling by 2, a convolution to 32, ReLU, pooling, 128 units
with ReLU and 10 logits: with kernels of 5 x 5 (padded by 2), and of 3 x 3 (by 1). Batch 64, Adam(1e-3), cross-entropy, float32,
shuffled each epoch. Rounds of the peers alternate; times are those of steady state, without compilation. Before that every peer
trains from the same parameters without shuffling and must reach the same loss. GFLOP/s counts the convolutions and products of
an update, for every peer; the limit is as many multiply-adds in registers alone, on all cores. JAX has its channels last, where
it is faster, and makes a call a step: its convolutions inside `lax.scan` are slower by far. PyTorch is timed in both of its
memory formats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from harness import Peer, Row, compare, run_script
from limits import make_limit
from peers import Task, make_jax, make_retrograde, make_torch
from retrograde import nn
from retrograde.tree import tree_structure, tree_unflatten

UNIT = "µs an update"
NAMES = {
    "retrograde": "retrograde, rg.fit",
    "limit": "multiply-adds alone, all cores",
    "jax": "JAX, one jitted step a call",
    "torch": "PyTorch, eager",
    "torch-last": "PyTorch, eager, channels last",
    "torch-compile": "PyTorch, torch.compile",
}
OPTIONAL = ("torch-compile",)
POINTS, BATCH, PIECE = 6_400, 64, 128  # of images; the last for values of the loss, whose windows NumPy copies


@dataclass
class LeNet(Task):
    """The network; `kernel` is the length of a side of both kernels."""

    kernel: int = 5

    def describe(self) -> Any:
        settings = {"kernel_size": self.kernel, "padding": "same"}
        return nn.Sequential(
            nn.Conv2d(1, 16, **settings), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, **settings), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10),
        )  # fmt: skip

    @property
    def product_flops(self) -> int:
        """Forward, by weights, and by inputs but the first."""
        first, others = 784 * 16 * self.kernel**2, 196 * 16 * 32 * self.kernel**2 + 1568 * 128 + 1280
        return 2 * self.batch * (2 * first + 3 * others)

    def torch_layers(self) -> list[Any]:
        import torch

        return [getattr(torch.nn, type(layer).__name__)(**_arguments(layer)) for layer in self.net]

    def jax_forward(self, params: Any, x: Any) -> Any:
        import jax

        def block(x: Any, weight: Any, bias: Any) -> Any:
            z = jax.lax.conv_general_dilated(x, weight, (1, 1), "SAME", dimension_numbers=("NHWC", "OIHW", "NHWC"))
            return jax.lax.reduce_window(jax.nn.relu(z + bias), -np.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

        x = x.transpose(0, 2, 3, 1)
        for weight, bias in params[:2]:
            x = block(x, weight, bias)
        x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        return jax.nn.relu(x @ params[2][0].T + params[2][1]) @ params[3][0].T + params[3][1]

    def forward(self, layers: Any, x: np.ndarray) -> np.ndarray:
        arrays = [np.asarray(array) for layer in layers for array in layer]
        return tree_unflatten(tree_structure(self.net), arrays)(x)

    def value(self, forward: Callable[[np.ndarray], np.ndarray]) -> float:
        return super().value(lambda X: np.concatenate([forward(x) for x in np.split(X, len(X) // PIECE)]))


def _arguments(layer: Any) -> dict[str, Any]:
    return {name: value for name, value in layer.config().items() if name not in ("type", "init")}


def make_task(kernel: int, points: int) -> LeNet:
    """Noise, and in each image a blob at one of ten places, which is its label."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, points)
    X = rng.normal(size=(points, 1, 28, 28)).astype(np.float32)
    for x, label in zip(X[:, 0], labels):
        row, column = 4 + 12 * (label // 5), 1 + 5 * (label % 5)
        x[row : row + 6, column : column + 6] += 1
    return LeNet((), X, labels, BATCH, "cross_entropy", True, 1e-3, kernel=kernel)


def measure(rounds: int = 7, *, quick: bool = False, peers: Sequence[str] | None = None) -> list[Row]:
    """The rows of the table; `quick` takes fewer images and shorter rounds."""
    wanted = peers or [name for name in NAMES if name not in OPTIONAL]
    rows = []
    for kernel in (5, 3):
        task = make_task(kernel, POINTS // 5 if quick else POINTS)
        makers: dict[str, Callable[[], Peer]] = {
            "retrograde": partial(make_retrograde, task),
            "limit": partial(make_limit, task.product_flops * task.updates),
            "jax": partial(make_jax, task, False),
            "torch": partial(make_torch, task),
            "torch-last": partial(make_torch, task, channels_last=True),
            "torch-compile": partial(make_torch, task, compiled=True),
        }
        case = f"28 x 28, {kernel} x {kernel}: 16, 32 channels, 128-10, batch {BATCH}, Adam, {len(task.X):,} images"
        rows += compare(
            case, makers, NAMES, wanted, rounds=rounds, seconds=0.03 if quick else 0.3, most_epochs=20, updates=task.updates,
            in_order=1, tolerance=1e-2, cells=lambda micro, flops=task.product_flops: {
                "images/s": f"{BATCH * 1e6 / micro:,.0f}", "GFLOP/s": f"{flops / micro / 1e3:.0f}",
            },
        )  # fmt: skip
    return rows


if __name__ == "__main__":
    run_script(__doc__, NAMES, measure, UNIT, optional=OPTIONAL)
