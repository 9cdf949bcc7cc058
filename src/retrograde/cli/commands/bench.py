"""`retrograde bench`: its options and help; the work is in `retrograde.cli.benching`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from retrograde.cli.answer import Answer
from retrograde.cli.commands.shared import Json


def bench(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="A file with a dense network; by default there is one of --hidden.")
    ] = None,
    hidden: Annotated[str, typer.Option(help="Widths of the hidden layers.")] = "64,32",
    inputs: Annotated[int, typer.Option(help="Features.")] = 20,
    outputs: Annotated[int, typer.Option(help="Classes; 1 is a regression.")] = 3,
    batch_size: Annotated[int, typer.Option(help="Rows an update.")] = 32,
    rows: Annotated[int, typer.Option(help="Rows of the (random) table.")] = 4096,
    seconds: Annotated[float, typer.Option(help="How long each measurement takes.")] = 1.0,
    against: Annotated[
        str, typer.Option(help="Other libraries: [cyan]scikit-learn,torch,jax[/], [cyan]none[/], or those installed.")
    ] = "installed",
    json: Json = False,
) -> Answer:
    """Measure how fast a dense network trains and predicts on this machine.

    Updates, examples and predictions a second (1,024 rows at once, and one by
    one), the time of compiling, and the operations a second beside those of
    a product of large matrices. Then the same of scikit-learn's MLP, and
    of PyTorch (its eager loop) and JAX (a jitted update) where they are
    installed: the same layers with ReLU, the same Adam, shuffled batches.

    [bold]Examples[/bold]
    retrograde bench
    retrograde bench model.safetensors --batch-size 256
    retrograde bench --hidden 512,512 --inputs 100 --against scikit-learn --json
    """
    options: dict[str, Any] = dict(locals())
    from retrograde.cli.benching import run_bench

    return run_bench(options.pop("model"), options)
