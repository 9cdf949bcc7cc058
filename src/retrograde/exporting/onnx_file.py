"""A model as an ONNX file, from the primitives of its graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import retrograde
from retrograde.exporting.batches import FixedBatchError, Opened, open_batch
from retrograde.exporting.signature import traced

OPSET, IR_VERSION = 18, 8  # of 2023, so that older runtimes read it


def onnx_file(model: Any, path: Path, example: Any, metadata: dict[str, str], **unused: Any) -> tuple[dict[Path, bytes], str]:
    """The model for a batch of any length, where nothing but sizes depends on it; else for the example's."""
    try:
        import onnx
    except ImportError:
        raise ImportError("ONNX files need onnx: pip install 'retrograde[onnx]'") from None

    found = Opened(traced(model, example))
    try:
        made = _model(open_batch(model, example), metadata)
    except FixedBatchError:
        made = _model(found, metadata)
    onnx.checker.check_model(made)
    return {path: made.SerializeToString()}, _usage(found, made, path)


def _model(found: Opened, metadata: dict[str, str]) -> Any:
    from onnx import helper

    from retrograde.exporting.onnx_nodes import NODES
    from retrograde.exporting.onnx_writer import Writer

    model = found.model
    writer = Writer(NODES, found, model.inputs[0] if model.inputs else "")
    for name, result in zip(model.outputs, writer.graph(model.graph, model.inputs)):
        writer.emit("Identity", [result], [name])
    inputs = list(map(writer.info, model.inputs, model.graph.inputs))
    outputs = list(map(writer.info, model.outputs, model.graph.outputs))
    graph = helper.make_graph(writer.nodes, "model", inputs, outputs, initializer=writer.initializers())
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
                             producer_name="retrograde", producer_version=retrograde.__version__)  # fmt: skip
    helper.set_model_props(made, metadata)
    return made


def _usage(found: Opened, made: Any, path: Path) -> str:
    """How ONNX Runtime runs it."""
    model = found.model
    shapes = {info.name: [d.dim_param or d.dim_value for d in info.type.tensor_type.shape.dim]
              for info in (*made.graph.input, *made.graph.output)}  # fmt: skip
    said = "".join(
        f"# {name}: {type_.dtype.name} ({', '.join(map(str, shapes[name]))})\n" for name, type_, _ in model.types()
    )
    given = ", ".join(f"{name!r}: {name}" for name in model.inputs)
    return (
        f"import onnxruntime\n\n{said}session = onnxruntime.InferenceSession({path.name!r})\n"
        f"{', '.join(model.outputs)}{',' if len(model.outputs) == 1 else ''} = session.run(None, {{{given}}})\n"
    )

