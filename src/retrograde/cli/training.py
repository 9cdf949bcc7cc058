"""`retrograde train`: from a table to a model file, and with --folder to all that belongs to a run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from retrograde.cli.answer import Answer, print_pairs
from retrograde.cli.config import Option
from retrograde.cli.network import OPTIMIZERS, build, choose, make_optimizer, parse_hidden, widths
from retrograde.cli.places import REPORT, Places, places_of
from retrograde.cli.prepare import Prepared, prepare
from retrograde.cli.report import report_html
from retrograde.cli.scores import all_scores, outputs, score
from retrograde.errors import DivergenceWarning, ModelError
from retrograde.io.atomic import replace_file
from retrograde.train import Checkpoints, EarlyStopping

KIND = "table"
LOSSES = {"classification": ("cross_entropy",), "regression": ("mse", "mae", "huber")}
LEAST = {"epochs": 1, "batch_size": 0, "early_stopping": 0, "seed": 0, "starts": 1, "checkpoint_every": 1}


def train_table(options: dict[str, Any], known: Mapping[str, Option]) -> Answer:
    """Read, split, fit, test and save; `options` are those of the command, by name, of which it is `known` what they are."""
    import retrograde as rg

    hidden = parse_hidden(options["hidden"])
    make_optimizer(options, 1)  # what is wrong with it is told before a table is read
    _check_options(options)
    places = places_of(options)
    prepared = prepare(options)
    options = _settled(options, prepared)
    net = build(prepared.preprocessor.width, hidden, prepared.target.outputs, options["activation"], options["dropout"])
    how = _how(options, prepared, places)
    places.begin(options, known)
    if not options["quiet"]:
        print_pairs(prepared.describe(widths(net)))
        print()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DivergenceWarning)  # it is an error here
        run = rg.fit(net, (prepared.x, prepared.y), progress=not options["quiet"], **how)
    if not np.isfinite(run.history["loss"][-1]):
        raise ModelError(f"training diverged: {run.diagnose(prepared.rows)[0]}; try a smaller --lr")
    if not options["quiet"]:
        print(f"\n{run.summary()}\n")
    kept = {name: options[name] for name in known if name != "table" and options[name] is not None}
    return _finish(kept, places, prepared, run)


def _finish(options: dict[str, Any], places: Places, prepared: Prepared, run: Any) -> Answer:
    """Score the run's model on the rows held out, save it, and say so.

    The options are those that the model file tells: all but where the table lies and where the run goes.
    """
    from retrograde.io.model_file import save

    line, figures = None, {}
    if len(prepared.x_test):
        given = prepared.target, outputs(run.model, prepared.x_test), prepared.test_values, prepared.guess
        line, figures = score(*given)[0], all_scores(*given)
    scalars = {name: value for name, value in figures.items() if isinstance(value, float)}
    extra = {
        "kind": KIND, "target": prepared.target.to_json(), "preprocessor": prepared.preprocessor.to_json(), "test": scalars,
        "trained": {"rows": len(prepared.x), "epochs": run.epochs, "updates": run.updates, "seed": options["seed"]},
        "guess": prepared.guess, "options": options,
    }  # fmt: skip
    save(places.model, run.model, extra=extra)
    if places.folder is not None:
        replace_file(places.folder / REPORT, report_html(prepared, run, figures, options).encode())

    def tell() -> None:
        if line is not None:
            print(f"test on {len(prepared.x_test):,} held-out rows: {line}")
        print(f"model saved to {places.model}")
        if places.folder is not None:
            print(f"report: {places.folder / REPORT}")

    return Answer(_data(places, prepared, run) | {"test": figures}, tell)


def _data(places: Places, prepared: Prepared, run: Any) -> dict[str, Any]:
    """The run as scripts want it."""
    last = run.epochs if run.best_epoch is None else run.best_epoch
    return {
        "model": str(places.model), "folder": None if places.folder is None else str(places.folder),
        "target": prepared.target.name, "task": prepared.target.task, "classes": prepared.target.classes,
        "rows": {"training": run.points, "validation": len(prepared.x) - run.points, "test": len(prepared.x_test)},
        "features": prepared.preprocessor.width, "network": widths(run.model), "parameters": run.model.num_parameters,
        "epochs": run.epochs, "best_epoch": run.best_epoch, "updates": run.updates, "interrupted": run.interrupted,
        "seconds": run.seconds, "compile_seconds": run.compile_seconds, "updates_per_second": run.updates_per_second,
        "flops_per_update": run.flops_per_update, "held_bytes": run.held_bytes, "seed": run.seed,
        "figures": {name: values[last - 1] for name, values in run.history.items()},
    }  # fmt: skip


def _settled(options: dict[str, Any], prepared: Prepared) -> dict[str, Any]:
    """The options with what follows from the table in the place of None."""
    task = prepared.target.task
    loss = options["loss"] or LOSSES[task][0]
    if loss not in LOSSES[task]:
        raise ModelError(f"--loss {loss!r} is not for {task}; there is {', '.join(LOSSES[task])}")
    usual = choose("--optimizer", options["optimizer"], OPTIMIZERS)[1]
    return {**options, "task": task, "loss": loss, "lr": usual if options["lr"] is None else options["lr"]}


def _how(options: Mapping[str, Any], prepared: Prepared, places: Places) -> dict[str, Any]:
    """The arguments of `fit` that say how to train."""
    rows = len(prepared.x)
    held = round(options["validation"] * rows)
    if held >= rows:
        raise ModelError(f"--validation {options['validation']:g} of {rows:,} rows leaves none to train on")
    batch = min(options["batch_size"] or rows, rows - held)
    metrics, monitor = _watched(options, held)
    patience = options["early_stopping"]
    return {
        "loss": options["loss"], "optimizer": make_optimizer(options, options["epochs"] * -(-(rows - held) // batch)),
        "batch_size": options["batch_size"] or None, "epochs": options["epochs"], "seed": options["seed"],
        "validation": options["validation"] if held else None, "metrics": metrics,
        "early_stopping": EarlyStopping(patience, monitor) if patience and monitor else None,
        "starts": options["starts"], "precision": options["precision"], "l1": options["l1"], "l2": options["l2"],
        "folder": places.folder, "resume": places.resuming or None,
        "checkpoint": None if options["checkpoint_every"] is None else Checkpoints(epochs=options["checkpoint_every"]),
    }  # fmt: skip


def _watched(options: Mapping[str, Any], held: int) -> tuple[list[str], str | None]:
    """The metrics, and the column of the history that early stopping watches, if there is one."""
    metrics, monitor = list(dict.fromkeys(options["metric"] or [])), options["monitor"]
    if monitor is None:
        monitor = "val_loss" if held else None
    elif monitor not in ("loss", "val_loss"):
        name = monitor.removeprefix("val_")
        metrics += [name] if name not in metrics else []
        monitor = f"val_{name}"
    if not held and (metrics or monitor == "val_loss"):
        raise ModelError(f"--metric and --monitor are of validation rows, and --validation {options['validation']:g} leaves none")
    return metrics, monitor


def _check_options(options: Mapping[str, Any]) -> None:
    for name, least in LEAST.items():
        if options[name] is not None and options[name] < least:
            raise ModelError(f"--{name.replace('_', '-')} must be at least {least}; it is {options[name]}")
    for name in ("validation", "test"):
        if not 0 <= options[name] < 1:
            raise ModelError(f"--{name} is a share of the rows, at least 0 and below 1; it is {options[name]:g}")
    if options["precision"] not in (None, "bf16", "f16"):
        raise ModelError(f"--precision is bf16 or f16; it is {options['precision']!r}")
