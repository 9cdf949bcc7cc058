"""`retrograde summary`: its options and help; the work is in `retrograde.cli.summarizing`."""

from __future__ import annotations

from typing import Annotated

import typer

from retrograde.cli.answer import Answer
from retrograde.cli.commands.shared import Input, Json, Network


def summary(
    model: Network,
    batch_size: Annotated[int, typer.Option(help="Points of the batch that operations and memory are counted for.")] = 32,
    shape: Input = "",
    json: Json = False,
) -> Answer:
    """Say what is in a model file: layers, table, training.

    Each layer comes with its output's shape for a batch, its parameters, their
    bytes, and the floating-point operations of its forward pass. Below: what
    the backward pass needs kept of the forward pass, the target, the columns,
    how the model was trained and how its test went.

    [bold]Examples[/bold]
    retrograde summary model.safetensors
    retrograde summary lenet.safetensors --input 1,28,28 --batch-size 64
    """
    from retrograde.cli.summarizing import summarize

    return summarize(model, batch_size, shape)
