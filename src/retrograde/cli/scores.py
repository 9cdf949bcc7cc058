"""How good predictions are: in one line for people, and all scores that `evaluate` knows, by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograde.cli.network import softmax
from retrograde.cli.target import Target

BINS = 15


def outputs(net: Any, x: np.ndarray, rows: int = 4096) -> np.ndarray:
    """The network's output for all rows of `x`, some at a time so that memory stays small."""
    return np.concatenate([np.asarray(net(x[i : i + rows])) for i in range(0, len(x), rows)])


def in_units(target: Target, output: np.ndarray) -> np.ndarray:
    """The values that a regression's output means, in the target's own units."""
    return output[:, 0].astype(np.float64) * target.scale + target.mean


def usual(target: Target, values: np.ndarray) -> Any:
    """What one would guess who knows these values alone: their most frequent class, or their mean."""
    if target.task == "regression":
        return float(values.mean())
    return target.classes[np.bincount(target.encode(values), minlength=len(target.classes)).argmax()]


def score(target: Target, output: np.ndarray, values: np.ndarray, guess: Any = None) -> tuple[str, dict[str, float]]:
    """A line and its figures: accuracy and cross-entropy, or R², RMSE and mean absolute error in the target's units.

    With a `guess` (see `usual`) also what always guessing that reaches, as "baseline_accuracy" or "baseline_rmse".
    """
    if target.task == "classification":
        codes = target.encode(values)
        p = softmax(output)
        loss = float(-np.log(np.maximum(p[np.arange(len(p)), codes], 1e-300)).mean())
        figures = {"accuracy": float((output.argmax(1) == codes).mean()), "cross_entropy": loss}
        line = f"accuracy {figures['accuracy']:.4f}, cross-entropy {loss:.4f}"
        if guess is not None:
            figures["baseline_accuracy"] = float((codes == target.classes.index(guess)).mean())
            line += f" (always {guess!s}: {figures['baseline_accuracy']:.4f})"
        return line, figures
    error = in_units(target, output) - values
    rmse, mae = float(np.sqrt(np.mean(error**2))), float(np.abs(error).mean())
    spread = float(np.sum((values - values.mean()) ** 2))
    r2 = 1 - float(np.sum(error**2)) / spread if spread else float("nan")
    figures = {"r2": r2, "rmse": rmse, "mae": mae}
    line = f"R² {r2:.4f}, RMSE {rmse:.4g}, mean absolute error {mae:.4g}"
    if guess is not None:
        figures["baseline_rmse"] = float(np.sqrt(np.mean((values - guess) ** 2)))
        line += f" (always the mean: RMSE {figures['baseline_rmse']:.4g})"
    return line, figures


def all_scores(target: Target, output: np.ndarray, values: np.ndarray, guess: Any) -> dict[str, Any]:
    """The figures of `score` and those of scikit-learn: of classes, "classes" has a dict for each and "confusion" a row of
    counts for each true class; of numbers, the median error and the largest.
    """
    figures: dict[str, Any] = score(target, output, values, guess)[1]
    if target.task == "regression":
        error = np.abs(in_units(target, output) - values)
        return figures | {"median_error": float(np.median(error)), "largest_error": float(error.max())}
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    codes, found, every = target.encode(values), output.argmax(1), range(len(target.classes))
    each = precision_recall_fscore_support(codes, found, labels=every, zero_division=0.0)
    classes = [
        {"class": name, "precision": float(p), "recall": float(r), "f1": float(f), "rows": int(n)}
        for name, p, r, f, n in zip(target.classes, *each)
    ]
    occurring = [c for c in classes if c["rows"]]
    return figures | {
        "balanced_accuracy": float(np.mean([c["recall"] for c in occurring])),
        "calibration_error": calibration_error(softmax(output), codes),
        "classes": classes, "confusion": confusion_matrix(codes, found, labels=every).tolist(),
    }  # fmt: skip


def calibration_error(p: np.ndarray, codes: np.ndarray) -> float:
    """The expected calibration error: how far confidence is from accuracy, over 15 bins (C. Guo et al., 2017, eq. 3)."""
    confidence, right = p.max(axis=1), p.argmax(axis=1) == codes
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gap = np.bincount(bins, weights=right - confidence, minlength=BINS)
    return float(np.abs(gap).sum() / len(codes))


def metrics(target: Target, names: Sequence[str], output: np.ndarray, values: np.ndarray) -> dict[str, float]:
    """Scores by scikit-learn's names, as `fit` takes them; of a regression in the target's units."""
    from retrograde.nn.losses import cross_entropy, mse
    from retrograde.train.metrics import get_metrics

    if target.task == "regression":
        loss, y, output = mse, values[:, None], in_units(target, output)[:, None]
    else:
        loss, y = cross_entropy, target.encode(values)
    return {m.name: float(m(y, output)) for m in get_metrics(list(names), loss, y, output[:1], len(y))}
