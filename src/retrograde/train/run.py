"""`Run`: what a training run was and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Run:
    """`model` is the trained network (the best one, with early stopping); `history` one float64 array an epoch's figure."""

    model: Any
    history: dict[str, np.ndarray]
    seed: int
    points: int
    batch_size: int
    updates: int
    seconds: float
    compile_seconds: float
    interrupted: bool
    optimizer: Any
    optimizer_state: Any
    best_epoch: int | None = None
    flops_per_update: float = 0.0
    held_bytes: int = 0
    program: Any = field(default=None, repr=False)

    @property
    def epochs(self) -> int:
        """Epochs that were run."""
        return len(self.history["loss"])

    @property
    def updates_per_second(self) -> float:
        """Updates by seconds of training, without compilation."""
        return self.updates / self.seconds if self.seconds else 0.0

    def summary(self) -> str:
        """What the run was, as a lecture counts it."""
        per_epoch = -(-self.points // self.batch_size)
        kind = "full batch" if self.batch_size >= self.points else "pure SGD" if self.batch_size == 1 else "mini-batch"
        lines = [
            ("parameters", f"{self.model.num_parameters:,}"),
            ("training points", f"{self.points:,}"),
            ("batch size", f"{self.batch_size:,} ({kind})"),
            ("updates", f"{per_epoch:,} an epoch, {self.epochs:,} epochs, {self.updates:,} in all"),
            ("passes", f"{self.updates:,} forward and {self.updates:,} backward, of {self.batch_size:,} points each"),
            ("work", f"{self.flops_per_update:,.0f} floating-point operations an update"),
            ("held for the backward pass", f"{self.held_bytes:,} bytes, from the forward pass to their last use"),
            ("speed", f"{self.updates_per_second:,.0f} updates/s"),
            ("time", f"{self.seconds:.3f} s of training, after {self.compile_seconds:.3f} s of compiling"),
            ("loss", f"{self.history['loss'][0]:.6g} in the first epoch, {self.history['loss'][-1]:.6g} in the last"),
        ]
        if self.best_epoch is not None:
            lines.append(("kept", f"the parameters of epoch {self.best_epoch}, the best on validation"))
        if self.interrupted:
            lines.append(("interrupted", "by Ctrl-C; the last epoch may be a part"))
        width = max(len(name) for name, _ in lines)
        return "\n".join(f"{name:<{width}}  {text}" for name, text in lines)

    def plot(self, ax: Any = None) -> Any:
        """Draw the losses by epoch; returns matplotlib's axes."""
        try:
            import matplotlib.pyplot as plt
        except ImportError:
            raise ImportError("plotting needs matplotlib: pip install 'retrograde[plot]'") from None
        ax = ax or plt.subplots()[1]
        for name, values in self.history.items():
            if "loss" in name:
                ax.plot(np.arange(1, len(values) + 1), values, label=name)
        ax.set_xlabel("epoch")
        ax.set_ylabel("loss")
        ax.legend()
        return ax
