"""A network as a PyTorch state_dict, and the PyTorch code that builds the same network and loads it."""

from __future__ import annotations

import inspect
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from retrograde import nn
from retrograde.errors import ModelError, UnsupportedError

OURS = {  # layers that PyTorch has not
    "Residual": """\
class Residual(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)
""",
    "Parallel": """\
class Parallel(nn.Sequential):
    def __init__(self, *layers, combine="concat", dim=-1):
        super().__init__(*layers)
        self.combine, self.dim = combine, dim

    def forward(self, x):
        y = [layer(x) for layer in self]
        return torch.cat(y, self.dim) if self.combine == "concat" else sum(y) if self.combine == "sum" else tuple(y)
""",
    "TakeOutput": """\
class TakeOutput(nn.Module):
    def __init__(self, step=None, batch_first=True):
        super().__init__()
        self.step, self.batch_first = step, batch_first

    def forward(self, x):
        y = x[0] if isinstance(x, tuple) else x
        return y if self.step is None else y[:, self.step] if self.batch_first else y[self.step]
""",
    "GaussianNoise": """\
class GaussianNoise(nn.Module):
    def __init__(self, std):
        super().__init__()
        self.std = std

    def forward(self, x):
        return x + self.std * torch.randn_like(x) if self.training else x
""",
}
PER_AXIS = ("kernel_size", "stride", "padding", "dilation", "output_padding", "output_size")  # one number says it of all axes


def safetensors(model: Any, path: Path, metadata: dict[str, str], **unused: Any) -> tuple[dict[Path, bytes], str]:
    """The state_dict as a safetensors file; `metadata` is its metadata."""
    from safetensors.numpy import save

    content = save(_arrays(model), metadata=metadata or None)
    loading = f"net.load_state_dict(load_file({path.name!r}))"
    return {path: content}, _usage(model, "from safetensors.torch import load_file", loading)


def npz(model: Any, path: Path, metadata: dict[str, str], **unused: Any) -> tuple[dict[Path, bytes], str]:
    """The state_dict as NumPy's archive; `metadata` is JSON in an array named "metadata", if there is any."""
    arrays, buffer = _arrays(model), io.BytesIO()
    if metadata and "metadata" in arrays:
        raise ModelError('the network has an array named "metadata", which is the name of what goes with it; use .safetensors')
    if metadata:
        arrays["metadata"] = np.array(json.dumps(metadata))
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    but = ' if name != "metadata"' if metadata else ""
    state = f"{{name: torch.from_numpy(arrays[name]) for name in arrays{but}}}"
    loading = f"with np.load({path.name!r}) as arrays:\n    net.load_state_dict({state})"
    return {path: buffer.getvalue()}, _usage(model, "import numpy as np", loading)


def pytorch_code(net: nn.Module) -> str:
    """PyTorch's expression for this network, with classes of ours that it has not; raises `UnsupportedError` for others."""
    used: dict[str, None] = {}
    try:
        expression = _expression(net.config(), used, "")
    except ModelError as error:
        raise UnsupportedError(str(error)) from None
    return "".join(f"{OURS[name]}\n\n" for name in OURS if name in used) + f"net = {expression}"


def _arrays(model: Any) -> dict[str, np.ndarray]:
    if not isinstance(model, nn.Module):
        raise ModelError(f"a state_dict is a network's, an nn.Module's; this model is {model!r}. Export it as .o, .so or .onnx")
    arrays = {name: np.array(array, order="C") for name, array in nn.state_dict(model).items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise UnsupportedError(f"{name} is {array.dtype}; a state_dict for PyTorch is of real numbers that NumPy has itself")
    return arrays


def _usage(model: nn.Module, importing: str, loading: str) -> str:
    try:
        code = pytorch_code(model) + _dtype(model)
    except UnsupportedError as error:
        shapes = "".join(f"#   {name}: {array.dtype} {array.shape}\n" for name, array in nn.state_dict(model).items())
        code = f"# {error}.\n# Write net, an nn.Module, with parameters and buffers of these names and shapes:\n{shapes}"
    return f"import torch\n{importing}\nfrom torch import nn\n\n{_spaced(code)}\n{loading}\nnet.eval()\n"


def _dtype(model: nn.Module) -> str:
    """PyTorch's layers are float32 at first, and `load_state_dict` would round to that."""
    floats = {array.dtype.name for array in nn.state_dict(model).values() if array.dtype.kind == "f"} - {"float32"}
    return "".join(f".to(torch.{name})" for name in sorted(floats))


def _spaced(code: str) -> str:
    return f"\n{code}" if code.startswith("class") else code


def _expression(config: dict[str, Any], used: dict[str, None], indent: str) -> str:
    """The call that makes the layer of this `config()`; what is as by default, here and there, is left out."""
    kind = config["type"]
    cls = getattr(nn, kind, None)
    if cls is None or not (inspect.isclass(cls) and issubclass(cls, nn.Module)):
        raise UnsupportedError(f"{kind} is a layer of your own, which PyTorch has not")
    if cls is nn.Ensemble:
        raise UnsupportedError("Ensemble runs all its members at once, for which PyTorch has no layer")
    if kind in OURS:
        used[kind] = None
    arguments = []
    if layers := config.get("layers"):
        deeper = f"{indent}    "
        arguments = [f"\n{deeper}{_expression(layer, used, deeper)}" for layer in layers]
    for name, parameter in inspect.signature(cls).parameters.items():
        if name not in config or name in ("layers", "recompute") or (name == "init" and kind != "PReLU"):  # these are ours alone
            continue
        value = config[name]
        if isinstance(value, dict):
            said = _expression(value, used, indent)
        elif parameter.default is not parameter.empty and _same(value, parameter.default):
            continue
        else:
            said = _literal(name, value)
        arguments.append(said if parameter.default is parameter.empty else f"{name}={said}")
    head = kind if kind in OURS else f"nn.{kind}"
    lined = bool(layers)
    return f"{head}({(',' if lined else ', ').join(arguments)}{f',{chr(10)}{indent}' if lined else ''})"


def _same(value: Any, default: Any) -> bool:
    return value == default or (isinstance(value, list) and all(v == default for v in value))


def _literal(name: str, value: Any) -> str:
    if isinstance(value, list):
        value = value[0] if name in PER_AXIS and len(set(map(str, value))) == 1 else tuple(value)
    return f'float("{value}")' if isinstance(value, float) and not math.isfinite(value) else repr(value)
