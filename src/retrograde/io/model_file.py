"""Models as safetensors files: arrays, and the architecture as JSON. Loading executes nothing.

A file may also hold the state of a training run (the optimizer's, the random key, ...), arrays under names of their own.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from retrograde.errors import ModelError, ModelFileError
from retrograde.io.atomic import replace_file
from retrograde.nn import freeze, from_config
from retrograde.nn.freezing import frozen_names
from retrograde.tree import tree_flatten, tree_paths, tree_unflatten

FORMAT = "retrograde-1"
STATE = "state:"  # in front of the names of arrays that are no parameters


def save(
    path: Any, net: Any, *, extra: dict[str, Any] | None = None, state: Mapping[str, np.ndarray] | None = None
) -> None:
    """Write an initialized network; `extra` is JSON-able data that comes back from `load`, `state` arrays by name that come
    back from `load_state`. Replaces the file atomically.
    """
    from safetensors.numpy import save as to_bytes

    if not net.initialized:
        raise ModelError("the network has no parameters to save yet; init or train it first")
    names = [".".join(map(str, p)) for p in tree_paths(net)]
    tensors = {name: np.ascontiguousarray(leaf).reshape(np.shape(leaf)) for name, leaf in zip(names, tree_flatten(net)[0])}
    if pairs := [name for name, array in tensors.items() if array.dtype.kind == "c"]:
        raise ModelError(f"model files hold real arrays; {', '.join(pairs)} is complex. Save x.real and x.imag with np.savez")
    tensors |= {STATE + name: np.ascontiguousarray(leaf).reshape(np.shape(leaf)) for name, leaf in (state or {}).items()}
    # one key, for the file format leaves the order of several open: the same model gives the same bytes
    described = architecture(net) if state is None else _architecture_or_none(net)  # a run goes on without it
    header: dict[str, Any] = {"architecture": described, "extra": extra or {}, "crc32": _checksum(tensors)}
    if frozen := frozen_names(net):
        header["frozen"] = frozen
    replace_file(path, to_bytes(tensors, metadata={FORMAT: json.dumps(header)}))


def load(path: Any) -> tuple[Any, dict[str, Any]]:
    """The network of a file and the `extra` data saved with it."""
    path = Path(path)
    described, tensors = _read(path)
    try:
        if described["architecture"] is None:
            raise ModelFileError(f"{path} holds a run whose network has code of its own; only fit(..., resume=...) can read it")
        net, extra = from_config(described["architecture"]), described["extra"]
        net = freeze(net, *frozen) if (frozen := described.get("frozen")) else net
    except (KeyError, TypeError, RecursionError, ModelError) as error:
        raise ModelFileError(f"{path}: its description of the network cannot be read: {error}") from None
    return _filled(path, net, {name: array for name, array in tensors.items() if not name.startswith(STATE)}), extra


def load_state(path: Any) -> dict[str, np.ndarray]:
    """The arrays that were saved as `state`, by name; none of a file that holds a network alone."""
    return {name.removeprefix(STATE): array for name, array in _read(Path(path))[1].items() if name.startswith(STATE)}


def architecture(net: Any) -> dict[str, Any]:
    """The architecture as JSON-able data; `ModelError` for a network that holds more than that, such as code."""
    try:
        return json.loads(json.dumps(net.config()))
    except (TypeError, AttributeError) as error:
        raise ModelError(f"the network cannot be written as JSON, for it holds more than numbers and names: {error}") from None


def _architecture_or_none(net: Any) -> dict[str, Any] | None:
    try:
        return architecture(net)
    except ModelError:
        return None


def _checksum(tensors: Mapping[str, np.ndarray]) -> int:
    """Of names and bytes: tells a file whose numbers were damaged."""
    found = 0
    for name in sorted(tensors):
        found = zlib.crc32(tensors[name].reshape(-1).view(np.uint8).data, zlib.crc32(name.encode(), found))
    return found


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The description and the arrays of one of our files."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ModelFileError(f"there is no model file {path}")
    try:
        with safe_open(str(path), framework="numpy") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError(f"{path} is not a whole safetensors file: {error}") from None
    if FORMAT not in header:
        raise ModelFileError(f"{path} was not written by retrograde: it has no description {FORMAT!r} of a network")
    try:
        described = dict(json.loads(header[FORMAT]))
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{path}: its description of the network cannot be read: {error}") from None
    if described.get("crc32", checksum := _checksum(tensors)) != checksum:
        raise ModelFileError(f"{path} is damaged: its arrays are not those that were written")
    return described, tensors


def _filled(path: Path, net: Any, tensors: dict[str, np.ndarray]) -> Any:
    template = net.init(0)
    leaves, structure = tree_flatten(template)
    names = [".".join(map(str, p)) for p in tree_paths(template)]
    if sorted(names) != sorted(tensors):
        raise ModelFileError(f"{path}: the network has arrays {sorted(names)}, the file {sorted(tensors)}")
    for name, leaf in zip(names, leaves):
        if tensors[name].shape != leaf.shape or tensors[name].dtype.kind != leaf.dtype.kind:
            kind = "floats" if leaf.dtype.kind == "f" else "integers"
            raise ModelFileError(f"{path}: {name} is {tensors[name].dtype} {tensors[name].shape}; {leaf.shape} {kind} are wanted")
    return tree_unflatten(structure, [tensors[name] for name in names])
