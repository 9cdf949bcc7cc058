"""`retrograde train`: its options and help; the work is in `retrograde.cli.training`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from retrograde.cli import completing
from retrograde.cli.answer import Answer
from retrograde.cli.commands.shared import Json

NETWORK, TRAINING, REGULAR, OUTPUT = "Network", "Training", "Regularization", "Output"


def _take_config(ctx: typer.Context, path: str | None) -> str | None:
    """What the file says takes the place of the defaults; words on the command line win."""
    if path is not None and not ctx.resilient_parsing:
        from retrograde.cli.config import options_of, read_config
        from retrograde.errors import RetrogradeError

        try:
            ctx.default_map = read_config(Path(path), options_of(train))
        except (RetrogradeError, OSError) as error:
            raise typer.BadParameter(str(error)) from None
    return path


def _take_folder(ctx: typer.Context, folder: str | None) -> str | None:
    """As `--config`, of the run in this folder."""
    if folder is not None:
        _take_config(ctx, str(Path(folder) / "config.toml"))
    return folder


def train(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="CSV, TSV or Parquet file with a header (.gz is fine).")],
    target: Annotated[str, typer.Option("--target", "-t", help="The column to predict.", autocompletion=completing.columns)],
    task: Annotated[
        str | None,
        typer.Option(
            help="[cyan]classification[/] or [cyan]regression[/]; found from the target by default.",
            autocompletion=completing.tasks,
        ),
    ] = None,
    categorical: Annotated[str, typer.Option(help="Number columns to treat as categories: [cyan]zip,plan[/].")] = "",
    drop: Annotated[str, typer.Option(help="Columns to leave out: [cyan]id,name[/].")] = "",
    test: Annotated[float, typer.Option(help="Share of all rows held out for the final test; 0 for none.")] = 0.2,
    hidden: Annotated[
        str, typer.Option(help="Widths of the hidden layers; [cyan]none[/] for a linear model.", rich_help_panel=NETWORK)
    ] = "64,32",
    activation: Annotated[
        str,
        typer.Option(
            help="relu, leaky_relu, gelu, silu, elu, tanh, sigmoid or softplus.", rich_help_panel=NETWORK,
            autocompletion=completing.activations,
        ),
    ] = "relu",
    epochs: Annotated[int, typer.Option(help="Passes over the training rows, at most.", rich_help_panel=TRAINING)] = 100,
    batch_size: Annotated[
        int, typer.Option(help="Rows an update; 0 is full-batch gradient descent, 1 pure SGD.", rich_help_panel=TRAINING)
    ] = 32,
    loss: Annotated[
        str | None,
        typer.Option(help="Of a regression: mse (the default), mae or huber.", rich_help_panel=TRAINING),
    ] = None,
    optimizer: Annotated[
        str,
        typer.Option(
            help="adam, adamw, sgd, rmsprop or adagrad.", rich_help_panel=TRAINING, autocompletion=completing.optimizers
        ),
    ] = "adam",
    lr: Annotated[
        float | None,
        typer.Option(help="Learning rate; by default 0.001, for sgd and adagrad 0.01.", rich_help_panel=TRAINING),
    ] = None,
    schedule: Annotated[
        str,
        typer.Option(
            help="The learning rate over time: constant, cosine, onecycle or plateau.", rich_help_panel=TRAINING,
            autocompletion=completing.schedules,
        ),
    ] = "constant",
    validation: Annotated[
        float, typer.Option(help="Share of the training rows that early stopping watches.", rich_help_panel=TRAINING)
    ] = 0.1,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Also measure this on the validation rows, by scikit-learn's name: [cyan]f1_macro[/]. Repeatable.",
            rich_help_panel=TRAINING, autocompletion=completing.metrics,
        ),
    ] = None,
    early_stopping: Annotated[
        int,
        typer.Option(help="Epochs without improvement before it stops; 0 never stops.", rich_help_panel=TRAINING),
    ] = 10,
    monitor: Annotated[
        str | None,
        typer.Option(
            help="What early stopping watches: a metric, or [cyan]loss[/]; by default the validation loss.",
            rich_help_panel=TRAINING, autocompletion=completing.metrics,
        ),
    ] = None,
    starts: Annotated[
        int, typer.Option(help="Train from this many initial points at once and keep the best.", rich_help_panel=TRAINING)
    ] = 1,
    precision: Annotated[
        str | None,
        typer.Option(help="bf16 or f16 for matrix products in half precision.", rich_help_panel=TRAINING),
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same table: same model, bit for bit.", rich_help_panel=TRAINING)] = 0,
    dropout: Annotated[
        float, typer.Option(help="Share of activations dropped in training, 0 to below 1.", rich_help_panel=REGULAR)
    ] = 0.0,
    l1: Annotated[float, typer.Option(help="Add this times the sum of |w| to the loss.", rich_help_panel=REGULAR)] = 0.0,
    l2: Annotated[float, typer.Option(help="Add this times the sum of w² to the loss.", rich_help_panel=REGULAR)] = 0.0,
    weight_decay: Annotated[
        float | None,
        typer.Option(help="The optimizer's weight decay; by default 0, for adamw 0.01.", rich_help_panel=REGULAR),
    ] = None,
    clip_norm: Annotated[
        float | None, typer.Option(help="Clip each update's gradient to this norm.", rich_help_panel=REGULAR)
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="Where the model goes; by default model.safetensors.", rich_help_panel=OUTPUT),
    ] = None,
    folder: Annotated[
        str | None,
        typer.Option(
            help="Keep the whole run here: config.toml, metrics.csv, log.jsonl, checkpoints, model, report.html.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    checkpoint_every: Annotated[
        int | None,
        typer.Option(help="Epochs between checkpoints in the folder; by default one each 30 seconds.", rich_help_panel=OUTPUT),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            help="Take options from this TOML file, such as a run's config.toml; those given here win.",
            rich_help_panel=OUTPUT, is_eager=True, callback=_take_config,
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            help="Go on with the run in this folder, whatever ended it.", rich_help_panel=OUTPUT, is_eager=True,
            callback=_take_folder,
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print the test result and the model's path only.", rich_help_panel=OUTPUT)
    ] = False,
    json: Json = False,
) -> Answer:
    """Train a network to predict one column of a table from the others.

    Numbers are standardized and text and true/false columns one-hot encoded;
    missing values are filled in and flagged. A text, true/false or few-valued
    integer target makes it a classification, any other number a regression. A
    part of the rows (--test) is held out from the beginning and scored at the
    end. The model file holds the network and how to read a table; it is plain
    data, and loading it runs no code.

    [bold]Examples[/bold]
    retrograde train houses.csv --target price
    retrograde train churn.parquet --target left --hidden 128,64 --dropout 0.2
    retrograde train wine.csv --target quality --task regression --epochs 500
    retrograde train points.csv --target y --optimizer sgd --batch-size 1
    retrograde train churn.csv -t left --metric f1_macro --monitor f1_macro
    retrograde train houses.csv --target price --folder runs/1
    retrograde train --config runs/1/config.toml --lr 0.01 --folder runs/2
    retrograde train --resume runs/1 --epochs 500
    """
    options: dict[str, Any] = dict(locals())
    from retrograde.cli.config import options_of
    from retrograde.cli.training import train_table

    return train_table(options, options_of(train))
