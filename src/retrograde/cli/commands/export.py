"""`retrograde export`: its options and help; the work is in `retrograde.cli.exporting`."""

from __future__ import annotations

from typing import Annotated

import typer

from retrograde.cli.answer import Answer
from retrograde.cli.commands.shared import Input, Json, Network


def export(
    model: Network,
    to: Annotated[str, typer.Option("--to", help="Where it goes: .safetensors, .npz, .o, .so or .onnx.")],
    format: Annotated[
        str | None, typer.Option(help="[cyan]safetensors[/], npz, object, shared or onnx; by default the suffix of --to says.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Rows of a call of the C function.")] = 1,
    shape: Input = "",
    cpu: Annotated[
        str, typer.Option(help="What the C function may run on: generic, native, on x86 also x86-64-v2 to x86-64-v4.")
    ] = "generic",
    name: Annotated[str | None, typer.Option(help="Name of the C function; by default the file's with _predict.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the names of the files only.")] = False,
    json: Json = False,
) -> Answer:
    """Write a model for use without retrograde, and print how to use it.

    [cyan].safetensors[/] and [cyan].npz[/] are PyTorch's state_dict; the code that
    builds the same network in PyTorch is printed. [cyan].o[/] (object code) and
    [cyan].so[/] (a shared library, linked by cc) hold one C function, with a
    header beside. [cyan].onnx[/] needs the extra onnx.

    The C function and the ONNX graph of a table's model take its columns as
    they are, float64: numbers (NaN for a missing one), and for each text column
    the number of its category; they give logits and probabilities, or the
    prediction in the target's own units. The header names columns and
    categories.

    [bold]Examples[/bold]
    retrograde export model.safetensors --to model.o --cpu native
    retrograde export model.safetensors --to model.so --batch-size 32
    retrograde export digits.safetensors --to torch.safetensors
    retrograde export images.safetensors --to images.onnx --input 3,32,32
    """
    from retrograde.cli.exporting import export_model

    return export_model(model, to, format=format, batch_size=batch_size, shape=shape, cpu=cpu, name=name, quiet=quiet)
