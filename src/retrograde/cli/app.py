"""The typer application: arguments and help texts. The work is in `training`, `predicting`, `demo`, imported when needed."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from retrograde.errors import RetrogradeError

app = typer.Typer(
    name="retrograde",
    add_completion=False,
    rich_markup_mode="rich",
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_USAGE_ERROR: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the application; see `retrograde.cli.main`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        result = app(args=words or ["--help"], standalone_mode=False, prog_name="retrograde")
    except _USAGE_ERROR as error:
        return complain(f"{' '.join(error.format_message().split())} (see: {_help_for(words)})")
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print("retrograde: interrupted", file=sys.stderr)
        return 130
    return result if isinstance(result, int) else 0


def complain(message: str) -> int:
    """One line on stderr; returns the exit code for bad input."""
    print(f"retrograde: error: {' '.join(str(message).split())}", file=sys.stderr)
    return 2


def _help_for(words: Sequence[str]) -> str:
    command = [w for w in words[:1] if w in ("train", "predict", "demo")]
    return " ".join(["retrograde", *command, "--help"])


def _tidy(command: Callable[..., int | None]) -> Callable[..., None]:
    """Errors that a person can mend become one line and exit code 2; a closed pipe ends quietly."""

    @functools.wraps(command)
    def wrapped(**options: Any) -> None:
        try:
            code = command(**options)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of a pipe has left; nobody is to hear
            code = 0
        except (RetrogradeError, OSError) as error:
            code = complain(str(error))
        except MemoryError:
            code = complain("there is not enough memory; a smaller --batch-size, --hidden or table needs less")
        if code:
            raise typer.Exit(code)

    return wrapped


def _show_version(wanted: bool) -> None:
    if wanted:
        import retrograde

        print(f"retrograde {retrograde.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Train neural networks on tables, by backpropagation compiled to native code.

    [bold]Start here[/bold]
    retrograde demo                                handwritten digits
    retrograde train houses.csv --target price     a network for your table
    retrograde predict model.safetensors new.csv   what it says of new rows

    Each command has its own --help with examples. Bad input gets one line on
    stderr and exit code 2.
    """


@app.command()
@_tidy
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


@app.command()
@_tidy
def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A file that [cyan]retrograde train[/] wrote.")],
    table: Annotated[str, typer.Argument(metavar="TABLE", help="CSV, TSV or Parquet file with the columns of the training.")],
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="Where the predictions go (.csv or .parquet); by default to stdout as CSV.")
    ] = None,
) -> None:
    """Predict the target for each row of a table, in the order of its rows.

    A classification gives the column [cyan]prediction[/] and one probability a
    class ([cyan]p_yes[/], [cyan]p_no[/]); a regression gives
    [cyan]prediction[/] in the target's own units. Other columns are ignored;
    where the table has the target too, the score is told on stderr. Categories
    never seen in training count as none of the known ones.

    [bold]Examples[/bold]
    retrograde predict model.safetensors new.csv --out predictions.csv
    retrograde predict model.safetensors new.parquet | head
    """
    from retrograde.cli.predicting import predict_table

    predict_table(model, table, out)


@app.command()
@_tidy
def demo(
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = 60,
    seed: Annotated[int, typer.Option(help="Start of the random numbers.")] = 0,
    image: Annotated[int, typer.Option(help="Which test image the chain is shown for.")] = 0,
    out: Annotated[str | None, typer.Option("--out", "-o", help="Keep the network in this file.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> int | None:
    """Learn to read 1,797 handwritten digits, then look into one backward pass.

    Trains a 64-64-32-10 ReLU network on three quarters of scikit-learn's digits
    and tests it on the rest: at least 97 of 100 are read right. Ends with the
    chain of backpropagation for one test image, layer by layer: every
    preactivation f, activation h, and the derivatives of the loss by each of
    them, by the biases and by the weights.

    [bold]Examples[/bold]
    retrograde demo
    retrograde demo --seed 3 --image 17 --out digits.safetensors
    """
    from retrograde.cli.demo import run_demo

    return run_demo(epochs=epochs, seed=seed, image=image, out=out, quiet=quiet)
