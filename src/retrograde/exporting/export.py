"""`export`: the one door through which models leave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrograde.errors import ModelError
from retrograde.io.atomic import replace_file

Files = dict[Path, bytes]
FORMATS = {
    ".safetensors": "safetensors", ".npz": "npz", ".o": "object", ".obj": "object", ".so": "shared", ".dylib": "shared",
    ".onnx": "onnx",
}  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """The files that were written, and, printed, how to use them: PyTorch's code, the C header, or ONNX Runtime's calls."""

    files: list[Path]
    usage: str

    def __str__(self) -> str:
        return self.usage


def export(
    model: Any, path: Any, *, example: Any = None, format: str | None = None, name: str | None = None, cpu: str = "generic",
    metadata: Mapping[str, str] | None = None,
) -> Exported:  # fmt: skip
    """Write a network, or any function of arrays that `jit` compiles, for use without retrograde.

    The path's suffix, or `format`, says how: "safetensors" and "npz" hold a network's `nn.state_dict`, for PyTorch; "object"
    (.o) and "shared" (.so) a C function, with a header beside; "onnx" a graph (extra `onnx`). The last three are of the model in
    use, not in training, and want an `example`: an input, or a tuple of them, of the shapes and dtypes that the function is to
    take (the numbers do not matter; ONNX leaves the length of the first axis open where it can). `name` is the C function's, by
    default the file's name with `_predict`; `cpu` what it may run on: "generic" for every processor of this architecture,
    "native" for those that can do what this one can, on x86 also "x86-64-v2" to "x86-64-v4". `metadata` is text that goes with
    the model.

    Files are replaced whole. Raises `ModelError` for what does not fit together, `UnsupportedError` for a model that has no
    counterpart in the format, `CompileError` where there is no C compiler to link a shared library.
    """
    path = Path(path)
    write = _writer(path, format)
    files, usage = write(model, path, example=example, name=name, cpu=cpu, metadata=dict(metadata or {}))
    return Exported([replace_file(place, content) for place, content in files.items()], usage)


def _writer(path: Path, format: str | None) -> Callable[..., tuple[Files, str]]:
    """The function that makes files of this format, and the text that says how to use them."""
    chosen = FORMATS.get(path.suffix.lower()) if format is None else format
    if chosen in ("safetensors", "npz"):
        from retrograde.exporting import pytorch

        return getattr(pytorch, chosen)
    if chosen in ("object", "shared"):
        from retrograde.exporting import native

        return getattr(native, f"{chosen}_file")
    if chosen == "onnx":
        from retrograde.exporting.onnx_file import onnx_file

        return onnx_file
    given = f"the format {format!r}" if format is not None else f"a file named {path.name}"
    raise ModelError(
        f"a model is not exported as {given}; there are {', '.join(dict.fromkeys(FORMATS.values()))}, chosen by format= "
        f"(--format) or the suffix {', '.join(FORMATS)}"
    )
