"""`retrograde export`: from a model file to files for other programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from retrograde.cli.answer import Answer
from retrograde.cli.network import softmax, zeros_for
from retrograde.cli.predicting import as_table_model
from retrograde.cli.preprocess import Preprocessor
from retrograde.cli.target import Target
from retrograde.cli.training import KIND
from retrograde.errors import DataError, ModelError
from retrograde.exporting.export import export


def export_model(
    model: str, to: str, format: str | None, batch_size: int, shape: str, cpu: str, name: str | None, quiet: bool
) -> Answer:
    """Write the model for use elsewhere, and answer how it is used; see the command's help."""
    from retrograde.io.model_file import load

    if not Path(to).parent.is_dir():
        raise DataError(f"--to {to}: there is no folder {Path(to).parent}")
    if Path(to).exists() and Path(model).exists() and Path(to).samefile(model):
        raise DataError(f"--to {to} is the model itself, which retrograde could not read afterwards; choose another name")
    if batch_size < 1:
        raise ModelError(f"--batch-size is the number of rows of a call, 1 or more; it is {batch_size}")
    net, extra = load(model)
    what: Any = net
    example: np.ndarray | None
    metadata: dict[str, str] = {}
    if isinstance(extra, dict) and extra.get("kind") == KIND:
        net, target, preprocessor = as_table_model(model, net, extra)
        example = np.zeros((batch_size, len(preprocessor.names)))
        if (format or Path(to).suffix.lower().removeprefix(".")) in ("safetensors", "npz"):  # the network alone
            what = net
            metadata = {"table": json.dumps({"target": target.to_json(), "preprocessor": preprocessor.to_json()})}
        else:
            what, metadata = table_function(net, target, preprocessor), describe(target, preprocessor)
    else:
        example = zeros_for(net, shape, batch_size)
    try:
        found = export(what, to, example=example, format=format, name=name, cpu=cpu, metadata=metadata)
    except ImportError as error:  # of an extra that is not installed
        raise ModelError(str(error)) from None
    files = [str(path) for path in found.files]

    def tell() -> None:
        for path in files:
            print(f"saved to {path}", file=sys.stderr)
        print("\n".join(files) if quiet else found)

    return Answer({"model": model, "files": files, "use": str(found)}, tell)


def table_function(net: Any, target: Target, preprocessor: Preprocessor) -> Callable[[Any], dict[str, Any]]:
    """From the columns, as `Preprocessor.encode` makes them, to the target: the whole way of `retrograde predict`, in NumPy."""

    def predict(columns: Any) -> dict[str, Any]:
        output = net(preprocessor.features(columns))
        if target.task == "regression":
            return {"prediction": output[:, 0].astype(np.float64) * target.scale + target.mean}
        return {"logits": output, "probabilities": softmax(output)}

    return predict


def describe(target: Target, preprocessor: Preprocessor) -> dict[str, str]:
    """What goes in and comes out, for people."""
    lines = [f"{i}: {name}, a number, NaN where it is missing" for i, name in enumerate(preprocessor.numbers)]
    for i, (name, words) in enumerate(preprocessor.categories.items(), len(lines)):
        codes = ", ".join(f"{code} = {json.dumps(word, ensure_ascii=False)}" for code, word in enumerate(words))
        lines.append(f"{i}: {name}, the number of its category: {codes}; -1 = any other")
    told = {"columns": "\n".join(lines), "target": target.name}
    if target.task == "classification":
        told["classes"] = ", ".join(f"{code} = {json.dumps(c, ensure_ascii=False)}" for code, c in enumerate(target.classes))
    return told
