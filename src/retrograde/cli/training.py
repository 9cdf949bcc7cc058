"""`retrograde train`: from a table to a model file."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from retrograde.cli.network import build, choose, make_optimizer, parse_hidden
from retrograde.cli.preprocess import Preprocessor, feature_columns
from retrograde.cli.scores import outputs, score
from retrograde.cli.target import Target, infer_target, split_rows
from retrograde.errors import DataError, ModelError
from retrograde.io.tables import Table, read_table

KIND = "table"
FEWEST_ROWS = 5


def train_table(
    path: str, target_name: str, *, out: str, task: str | None, categorical: str, drop: str, quiet: bool, **options: Any
) -> None:
    """Read, split, fit, test and save; `options` are those of the command."""
    from rich.console import Console

    import retrograde as rg
    from retrograde.io.model_file import save

    console = Console(highlight=False, soft_wrap=True)
    hidden, optimizer = parse_hidden(options["hidden"]), make_optimizer(options["optimizer"], options["lr"])
    _check_options(out, options)
    task = choose("--task", task, {"classification": "classification", "regression": "regression"}) if task else None
    table, target, columns, dropped = _understand(path, target_name, task, _names(categorical), _names(drop))
    values = target.values(table.columns[target.name])
    train, test = split_rows(values, options["test"], options["seed"], target.task == "classification")
    kept = {n: c[train] for n, c in columns.items()}
    preprocessor = Preprocessor.fit(kept)
    if target.task == "regression":
        target.mean, target.scale = float(values[train].mean()), float(values[train].std()) or 1.0
    net = build(preprocessor.width, hidden, target.outputs, options["activation"], options["dropout"])
    if not quiet:
        _describe(console, table, target, preprocessor, dropped, net, len(train), len(test))

    enough = round(options["validation"] * len(train)) > 0
    watched = options["validation"] if options["validation"] and enough else None
    patience = options["early_stopping"] or None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the loss is", RuntimeWarning)  # it is an error here
        run = rg.fit(
            net, (preprocessor.transform(kept), target.encode(values[train])),
            loss="cross_entropy" if target.task == "classification" else "mse", optimizer=optimizer,
            batch_size=options["batch_size"] or None, epochs=options["epochs"], validation=watched,
            early_stopping=patience if watched else None, seed=options["seed"], progress=not quiet,
        )  # fmt: skip
    if not np.isfinite(run.history["loss"][-1]):
        raise ModelError(f"training diverged: the loss became {run.history['loss'][-1]}; try a smaller --lr")
    if not quiet:
        console.print(f"\n{run.summary()}\n", markup=False)
    figures: dict[str, float] = {}
    if len(test):
        x = preprocessor.transform({n: c[test] for n, c in columns.items()})
        line, figures = score(target, outputs(run.model, x), values[test], values[train])
        console.print(f"test on {len(test):,} held-out rows: {line}", markup=False)
    extra = {
        "kind": KIND, "target": target.to_json(), "preprocessor": preprocessor.to_json(), "test": figures,
        "trained": {"rows": len(train), "epochs": run.epochs, "updates": run.updates, "seed": options["seed"]},
    }  # fmt: skip
    save(out, run.model, extra=extra)
    console.print(f"model saved to {out}", markup=False)


def _understand(
    path: str, target_name: str, task: str | None, categorical: list[str], drop: list[str]
) -> tuple[Table, Target, dict[str, np.ndarray], dict[str, str]]:
    table = read_table(path, text=categorical)
    for name in [target_name, *categorical, *drop]:
        table.column(name)
    answer = table.columns[target_name]
    if task == "classification" and answer.kind in ("number", "date") and not answer.is_whole():
        table = read_table(path, text=[*categorical, target_name])  # 1.0 and 1.50 are names of classes, as they are written
    if table.rows < FEWEST_ROWS:
        raise DataError(f"{path} has {table.rows} rows; at least {FEWEST_ROWS} are needed to train and test")
    target = infer_target(table.columns[target_name], task)
    names = [n for n in table.columns if n != target_name and n not in drop]
    columns, dropped = feature_columns(table, names)
    if not columns:
        why = "; ".join(f"{n}: {reason}" for n, reason in dropped.items()) or "there is no other column"
        raise DataError(f"{path} has no column to predict {target_name!r} from ({why})")
    return table, target, columns, dropped


def _describe(
    console: Any, table: Table, target: Target, made: Preprocessor, dropped: dict[str, str], net: Any, train: int, test: int
) -> None:
    missing = [n for n in made.names if table.columns[n].missing().any()]
    lines = [("table", f"{table.path}: {table.rows:,} rows, {len(table.columns)} columns")]
    if target.task == "classification":
        shown = ", ".join(str(c) for c in target.classes[:8]) + (", ..." if len(target.classes) > 8 else "")
        lines.append(("target", f"{target.name}: classification, {len(target.classes)} classes ({shown})"))
    else:
        lines.append(("target", f"{target.name}: regression, mean {target.mean:.4g}, standard deviation {target.scale:.4g}"))
    lines.append(("numbers", _listed(made.numbers)))
    lines.append(("categories", _listed([f"{n} ({len(c)})" for n, c in made.categories.items()])))
    if missing:
        lines.append(("missing values", f"filled in and flagged: {_listed(missing)}"))
    if dropped:
        lines.append(("left out", _listed([f"{n} ({reason})" for n, reason in dropped.items()])))
    widths = [made.width, *(layer.out_features for layer in net if hasattr(layer, "out_features"))]
    lines.append(("network", f"{'-'.join(map(str, widths))}"))
    lines.append(("rows", f"{train:,} to train on, {test:,} held out for the test"))
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        console.print(f"{name:<{width}}  {text}", markup=False)
    console.print()


def _listed(names: list[str], most: int = 10) -> str:
    return (", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")) or "none"


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _check_options(out: str, options: dict[str, Any]) -> None:
    for name, least in (("epochs", 1), ("batch_size", 0), ("early_stopping", 0), ("seed", 0)):
        if options[name] < least:
            raise ModelError(f"--{name.replace('_', '-')} must be at least {least}; it is {options[name]}")
    for name in ("validation", "test"):
        if not 0 <= options[name] < 1:
            raise ModelError(f"--{name} is a share of the rows, at least 0 and below 1; it is {options[name]:g}")
    check_out(out)


def check_out(out: str) -> None:
    """Refuse a place where no file can be written, before the work is done rather than after."""
    parent = Path(out).parent
    if not parent.is_dir():
        raise DataError(f"--out {out}: there is no folder {parent}")
    if Path(out).is_dir():
        raise DataError(f"--out {out} is a folder; name a file, like {Path(out) / 'model.safetensors'}")
    if not os.access(parent, os.W_OK):
        raise DataError(f"--out {out}: no file may be written in the folder {parent}")
