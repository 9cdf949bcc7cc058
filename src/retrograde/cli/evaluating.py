"""`retrograde evaluate`: all scores of a model on a table with known answers."""

from __future__ import annotations

from typing import Any

from retrograde.cli.answer import Answer, print_pairs, print_table
from retrograde.cli.predicting import as_table_model, known_rows, read_for_model
from retrograde.cli.scores import all_scores, metrics, outputs, usual
from retrograde.cli.target import Target
from retrograde.io.model_file import load

CELLS = 20  # classes of a confusion matrix that a terminal has room for
NAMES = {
    "accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "cross_entropy": "cross-entropy",
    "calibration_error": "calibration error", "r2": "R²", "rmse": "RMSE", "mae": "mean absolute error",
    "median_error": "median error", "largest_error": "largest error",
}  # fmt: skip


def evaluate_table(model: str, path: str, names: list[str]) -> Answer:
    """Every score of the rows of the table whose answer is known, and what guessing would reach."""
    net, extra = load(model)
    net, target, preprocessor = as_table_model(model, net, extra)
    table = read_for_model(path, target, preprocessor)
    rows = known_rows(table, target, " to compare with")
    values = target.values(table.column(target.name).take(rows))
    output = outputs(net, preprocessor.transform(preprocessor.read(table.take(rows))))
    guess = target.mean if target.task == "regression" else extra.get("guess")
    if target.classes and guess not in target.classes:  # an older file
        guess = usual(target, values)
    figures = all_scores(target, output, values, guess) | metrics(target, names, output, values)
    left = table.rows - len(rows)

    def tell() -> None:
        print(f"{model} on {len(rows):,} rows of {path}" + (f" ({left:,} without a {target.name})" if left else "") + "\n")
        print_pairs(_pairs(target, figures, names, guess))
        if target.task == "classification":
            _tell_classes(figures)

    return Answer({"model": model, "table": path, "target": target.name, "task": target.task, "rows": len(rows), **figures}, tell)


def _pairs(target: Target, figures: dict[str, Any], names: list[str], guess: Any) -> list[tuple[str, str]]:
    pairs = [(shown, f"{figures[name]:.4g}") for name, shown in NAMES.items() if name in figures]
    pairs += [(name, f"{figures[name]:.4g}") for name in names if name not in NAMES]
    if target.task == "classification":
        return [*pairs, ("baseline", f"accuracy {figures['baseline_accuracy']:.4g}, by always guessing {guess!s}")]
    return [*pairs, ("baseline", f"RMSE {figures['baseline_rmse']:.4g}, by always guessing the training's mean, {guess:.4g}")]


def _tell_classes(figures: dict[str, Any]) -> None:
    each = figures["classes"]
    rows = [[str(c["class"]), *(f"{c[k]:.4f}" for k in ("precision", "recall", "f1")), f"{c['rows']:,}"] for c in each]
    print()
    print_table(["class", "precision", "recall", "F1", "rows"], rows)
    if len(each) <= CELLS:
        names = [str(c["class"]) for c in each]
        print()
        print_table(["true \\ predicted", *names], [[n, *(f"{k:,}" for k in row)] for n, row in zip(names, figures["confusion"])])
