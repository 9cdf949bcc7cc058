"""`retrograde demo`: its options and help; the work is in `retrograde.cli.demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from retrograde.cli.answer import Answer
from retrograde.cli.commands.shared import Json


def demo(
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = 60,
    seed: Annotated[int, typer.Option(help="Start of the random numbers.")] = 0,
    image: Annotated[int, typer.Option(help="Which test image the chain is shown for.")] = 0,
    out: Annotated[str | None, typer.Option("--out", "-o", help="Keep the network in this file.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    json: Json = False,
) -> Answer:
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
