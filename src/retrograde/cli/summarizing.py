"""`retrograde summary`: what is in a model file, layer by layer, and how it was trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograde import tree
from retrograde.cli.answer import Answer, print_pairs, print_table
from retrograde.cli.network import zeros_of
from retrograde.cli.predicting import as_table_model
from retrograde.cli.training import KIND
from retrograde.errors import ModelError
from retrograde.io.model_file import load
from retrograde.nn import Module, Sequential, combine, partition
from retrograde.transforms import held_for_backward, trace

COUNTS = ("parameters", "bytes", "flops")


def summarize(path: str, batch: int, shape: str) -> Answer:
    """Layers with shapes, parameters, bytes and operations; the table and the training, where the file knows them."""
    if batch < 1:
        raise ModelError(f"--batch-size must be at least 1; it is {batch}")
    net, extra = load(path)
    x = zeros_of(net, shape, batch)
    layers = list(_layers(net, x))
    data: dict[str, Any] = {
        "model": path, "parameters": net.num_parameters, "bytes": _bytes(net), "batch_size": batch, "input": list(x.shape[1:]),
        "flops": sum(layer["flops"] for layer in layers), "held_bytes": _held(net, x), "layers": layers,
    }  # fmt: skip
    if extra.get("kind") == KIND:
        data |= _of_table(path, net, extra)
    return Answer(data, lambda: _tell(data))


def _layers(net: Any, x: Any) -> Iterator[dict[str, Any]]:
    """What each layer of a Sequential (or the network as a whole) makes of a batch."""
    for layer in net.layers if type(net) is Sequential else (net,):
        try:
            flops = sum(int(eq.flops) for eq in trace(layer)(x).equations)
            made = layer(x)
        except (ValueError, TypeError) as error:
            raise ModelError(f"{type(layer).__name__} does not take a batch of shape {np.shape(x)}: {error}") from None
        yield {
            "layer": type(layer).__name__, "output": list(np.shape(tree.tree_leaves(made)[0])),
            "parameters": layer.num_parameters, "bytes": _bytes(layer), "flops": flops,
        }  # fmt: skip
        x = made


def _bytes(layer: Module) -> int:
    return sum(leaf.nbytes for leaf in tree.tree_leaves(layer))


def _held(net: Any, x: np.ndarray) -> int:
    """Bytes that a batch's backward pass needs of the forward pass, without parameters and input."""
    trained, rest = partition(net)
    held = held_for_backward(lambda p: combine(p, rest)(x))(trained)
    return sum(kind.nbytes for name, kind in held if name != "input")


def _of_table(path: str, net: Any, extra: dict[str, Any]) -> dict[str, Any]:
    _, target, preprocessor = as_table_model(path, net, extra)
    return {
        "target": target.name, "task": target.task, "classes": target.classes, "numbers": preprocessor.numbers,
        "categories": preprocessor.categories, "trained": extra.get("trained", {}), "test": extra.get("test", {}),
        "options": extra.get("options", {}),
    }  # fmt: skip


def _tell(data: dict[str, Any]) -> None:
    rows = [
        [f"{i} {layer['layer']}", " × ".join(map(str, layer["output"])), *(f"{layer[k]:,}" for k in COUNTS)]
        for i, layer in enumerate(data["layers"])
    ]
    print_table(["layer", "output", "parameters", "bytes", "operations"], rows)
    print()
    batch = f"a batch of {data['batch_size']:,}"
    pairs = [
        ("parameters", f"{data['parameters']:,} in {data['bytes']:,} bytes"),
        ("forward pass", f"{data['flops']:,} floating-point operations for {batch}"),
        ("backward pass", f"{data['held_bytes']:,} bytes held for it of {batch}"),
    ]
    if "target" in data:
        pairs += _table_pairs(data)
    print_pairs(pairs)


def _table_pairs(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    classes = f", {len(data['classes'])} classes: {', '.join(map(str, data['classes'][:8]))}" if data["classes"] else ""
    yield "target", f"{data['target']}: {data['task']}{classes}"
    yield "numbers", ", ".join(data["numbers"]) or "none"
    yield "categories", ", ".join(f"{n} ({len(c)})" for n, c in data["categories"].items()) or "none"
    if data["trained"]:
        yield "trained", ", ".join(f"{name} {value:,}" for name, value in data["trained"].items())
    if data["options"]:
        shown = ("activation", "optimizer", "lr", "batch_size", "loss", "dropout", "l1", "l2", "schedule")
        yield "options", ", ".join(f"{name} {data['options'][name]}" for name in shown if data["options"].get(name))
    if data["test"]:
        yield "test", ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in data["test"].items())
