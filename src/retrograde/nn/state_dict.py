"""Parameters and buffers by PyTorch's names: `state_dict` and `load_state_dict`.

A PyTorch network saved by `safetensors.torch.save_file(net.state_dict(), path)` loads into the same layers here; a dict of arrays
does as well. Weights pickled by `torch.save` are not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from retrograde.errors import ModelError, ModelFileError
from retrograde.nn.module import Module, leaves_of
from retrograde.tree import tree_leaves, tree_structure, tree_unflatten

SHOWN = 6  # names in the message of an error


def state_dict(net: Module) -> dict[str, np.ndarray]:
    """The parameters and buffers of an initialized network by PyTorch's names; `ModelError` if it has none yet.

    >>> net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).init(0)
    >>> [(name, array.shape) for name, array in nn.state_dict(net).items()][:3]
    [('0.weight', (2, 3)), ('0.bias', (2,)), ('1.weight', (2,))]
    """
    if not net.initialized:
        raise ModelError("the network has no parameters yet; init or train it first")
    return {leaf.name: array for leaf, array in zip(leaves_of(net), tree_leaves(net))}


def load_state_dict(net: Any, source: Any, *, dtype: Any = None) -> Any:
    """A copy of `net` with the parameters of `source`: a dict of arrays by PyTorch's names, or the path of a safetensors file.

    Every name must be there, with the right shape, and none else. The parameters are of `dtype`, by default the source's (which
    must be one for all). Raises `ModelError` for names or shapes that differ and `ModelFileError` for a file that is none.

    >>> given = {"weight": np.ones((2, 3), np.float32), "bias": np.zeros(2, np.float32)}
    >>> nn.load_state_dict(nn.Linear(3, 2), given)(np.ones(3))
    array([3., 3.])
    """
    given = source if isinstance(source, Mapping) else _read(Path(source))
    arrays = {name: np.asarray(array) for name, array in given.items()}
    template = net.init(0)
    names, leaves = [leaf.name for leaf in leaves_of(template)], tree_leaves(template)
    missing, odd = [n for n in names if n not in arrays], sorted(set(arrays) - set(names))
    if missing or odd:
        said = [f"{what} {', '.join(ns[:SHOWN])}{', ...' if len(ns) > SHOWN else ''}"
                for what, ns in (("it lacks", missing), ("it has beside them", odd)) if ns]  # fmt: skip
        raise ModelError(f"these parameters are not those of the network: {'; '.join(said)}")
    for name, leaf in zip(names, leaves):
        letters, kind = ("fV", "floats") if leaf.dtype.kind == "f" else ("iu", "integers")
        if arrays[name].shape != leaf.shape or arrays[name].dtype.kind not in letters:
            raise ModelError(f"{name} is {arrays[name].dtype} {arrays[name].shape}; {leaf.shape} {kind} are wanted")
    counts = {name: leaf.dtype for name, leaf in zip(names, leaves) if leaf.dtype.kind != "f"}
    kinds = {arrays[name].dtype for name in names if name not in counts} if dtype is None else {np.dtype(dtype)}
    if len(kinds) > 1:
        raise ModelError(f"the parameters have several dtypes, {', '.join(sorted(map(str, kinds)))}; say dtype=np.float32")
    floats = next(iter(kinds), None)
    return tree_unflatten(tree_structure(template), [np.array(arrays[name], counts.get(name, floats)) for name in names])


def _read(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(path.read_bytes())
    except FileNotFoundError:
        raise ModelFileError(f"there is no file {path}") from None
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ModelFileError(f"{path} is not a whole safetensors file: {error}. Save one by safetensors.torch.save_file(net."
                             "state_dict(), path); files of torch.save are pickles and not read") from None  # fmt: skip
