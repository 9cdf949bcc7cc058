"""`retrograde train`: its options and help; the work is in `retrograde.cli.training`."""

from __future__ import annotations

from typing import Annotated

import typer


def train(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="CSV, TSV or Parquet file with a header (.gz is fine).")],
    target: Annotated[str, typer.Option("--target", "-t", help="The column to predict.")],
    out: Annotated[str, typer.Option("--out", "-o", help="Where the model goes.")] = "model.safetensors",
    task: Annotated[
        str | None, typer.Option(help="[cyan]classification[/] or [cyan]regression[/]; found from the target by default.")
    ] = None,
    categorical: Annotated[str, typer.Option(help="Number columns to treat as categories: [cyan]zip,plan[/].")] = "",
    drop: Annotated[str, typer.Option(help="Columns to leave out: [cyan]id,name[/].")] = "",
    hidden: Annotated[
        str, typer.Option(help="Widths of the hidden layers; [cyan]none[/] for a linear model.", rich_help_panel="Network")
    ] = "64,32",
    activation: Annotated[
        str,
        typer.Option(help="relu, leaky_relu, gelu, silu, elu, tanh, sigmoid or softplus.", rich_help_panel="Network"),
    ] = "relu",
    dropout: Annotated[
        float, typer.Option(help="Share of activations dropped in training, 0 to below 1.", rich_help_panel="Network")
    ] = 0.0,
    epochs: Annotated[int, typer.Option(help="Passes over the training rows, at most.", rich_help_panel="Training")] = 100,
    batch_size: Annotated[
        int, typer.Option(help="Rows an update; 0 is full-batch gradient descent, 1 pure SGD.", rich_help_panel="Training")
    ] = 32,
    lr: Annotated[
        float | None,
        typer.Option(help="Learning rate; by default 0.001, for sgd and adagrad 0.01.", rich_help_panel="Training"),
    ] = None,
    optimizer: Annotated[str, typer.Option(help="adam, adamw, sgd, rmsprop or adagrad.", rich_help_panel="Training")] = "adam",
    validation: Annotated[
        float, typer.Option(help="Share of the training rows that early stopping watches.", rich_help_panel="Training")
    ] = 0.1,
    early_stopping: Annotated[
        int,
        typer.Option(help="Epochs without improvement before it stops; 0 never stops.", rich_help_panel="Training"),
    ] = 10,
    test: Annotated[
        float, typer.Option(help="Share of all rows held out for the final test; 0 for none.", rich_help_panel="Training")
    ] = 0.2,
    seed: Annotated[int, typer.Option(help="Same seed, same table: same model, bit for bit.", rich_help_panel="Training")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the test result and the model's path only.")] = False,
) -> None:
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
    """
    from retrograde.cli.training import train_table

    train_table(
        table, target, out=out, task=task, categorical=categorical, drop=drop, hidden=hidden, activation=activation,
        dropout=dropout, epochs=epochs, batch_size=batch_size, lr=lr, optimizer=optimizer, validation=validation,
        early_stopping=early_stopping, test=test, seed=seed, quiet=quiet,
    )  # fmt: skip
