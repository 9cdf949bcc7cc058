"""How good predictions are, in one line for people."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.cli.network import softmax
from retrograde.cli.target import Target


def outputs(net: Any, x: np.ndarray, rows: int = 4096) -> np.ndarray:
    """The network's output for all rows of `x`, some at a time so that memory stays small."""
    return np.concatenate([np.asarray(net(x[i : i + rows])) for i in range(0, len(x), rows)])


def score(target: Target, output: np.ndarray, values: np.ndarray, baseline: np.ndarray) -> tuple[str, dict[str, float]]:
    """A line and its figures: accuracy and log loss, or R², RMSE and mean absolute error in the target's units.

    `baseline` are target values of the training: the line also says what always guessing their most frequent class, or
    their mean, would reach.
    """
    if target.task == "classification":
        codes = target.encode(values)
        p = softmax(output)
        right = float((output.argmax(1) == codes).mean())
        loss = float(-np.log(np.maximum(p[np.arange(len(p)), codes], 1e-300)).mean())
        line = f"accuracy {right:.4f}, cross-entropy {loss:.4f}"
        if len(baseline):
            often = np.bincount(target.encode(baseline), minlength=len(target.classes)).argmax()
            line += f" (always {target.classes[often]!s}: {float((codes == often).mean()):.4f})"
        return line, {"accuracy": right, "cross_entropy": loss}
    found = output[:, 0].astype(np.float64) * target.scale + target.mean
    error = found - values
    rmse, mae = float(np.sqrt(np.mean(error**2))), float(np.abs(error).mean())
    spread = float(np.sum((values - values.mean()) ** 2))
    r2 = 1 - float(np.sum(error**2)) / spread if spread else float("nan")
    line = f"R² {r2:.4f}, RMSE {rmse:.4g}, mean absolute error {mae:.4g}"
    if len(baseline):
        line += f" (always the mean: RMSE {float(np.sqrt(np.mean((values - baseline.mean()) ** 2))):.4g})"
    return line, {"r2": r2, "rmse": rmse, "mae": mae}
