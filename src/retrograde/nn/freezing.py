"""Which arrays of a network training changes: `freeze` and `unfreeze`; `partition` takes them out and `combine` puts them back.

What is not trained is constant to `fit`: no derivative by it is taken and no optimizer state made for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrograde.errors import ModelError
from retrograde.nn.module import Leaf, Module, leaves_of, map_modules
from retrograde.tree import tree_fill, tree_flatten, tree_unflatten

SHOWN = 20  # names in the message of an error


def freeze(net: Any, *names: str) -> Any:
    """A copy of `net` in which the layers or arrays of these `names` are held as they are; the whole of it without names.

    Names are those of `state_dict` or how they begin: "0", "2.weight". Running statistics are held with the rest of their layer,
    which then standardizes by them in training, too. Raises `ModelError` for a name that the network does not have.

    >>> net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)).init(0)
    >>> net.num_parameters, nn.freeze(net, "0").num_parameters, nn.freeze(net, "0", "2.bias").num_parameters
    (50, 18, 16)
    """
    return _marked(net, names, lambda own, chosen: own | chosen)


def unfreeze(net: Any, *names: str) -> Any:
    """A copy of `net` in which these are trained again; see `freeze`.

    >>> net = nn.freeze(nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 2)).init(0))
    >>> net.num_parameters, nn.unfreeze(net, "1").num_parameters, nn.unfreeze(net).num_parameters
    (0, 18, 50)
    """
    return _marked(net, names, lambda own, chosen: own - chosen)


def frozen_names(net: Any) -> list[str]:
    """The frozen arrays, by their names in `state_dict`."""
    return [leaf.name for leaf in leaves_of(net) if leaf.frozen]


def partition(net: Any) -> tuple[Any, Any]:
    """Two networks of the same build: one holds the trained arrays alone, one the rest; where it has none, an array is None.

    `rg.grad(lambda p: loss(nn.combine(p, rest), ...))(trained)` is what `fit` differentiates.

    >>> net = nn.freeze(nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 2)).init(0), "0")
    >>> trained, rest = nn.partition(net)
    >>> trained[0].weight is None, trained[1].weight.shape, rest[0].weight.shape, rest[1].weight is None
    (True, (2, 8), (8, 3), True)
    """
    return _split(net, [leaf.trained for leaf in leaves_of(net)])


def without_frozen(net: Any) -> tuple[Any, Any]:
    """As `partition`, with what may change, trained arrays and buffers, in the first one."""
    return _split(net, [not leaf.frozen for leaf in leaves_of(net)])


def _split(net: Any, first: Sequence[bool]) -> tuple[Any, Any]:
    arrays, structure = tree_flatten(net)
    return (tree_unflatten(structure, [x if f else None for x, f in zip(arrays, first)]),
            tree_unflatten(structure, [None if f else x for x, f in zip(arrays, first)]))  # fmt: skip


def combine(first: Any, second: Any) -> Any:
    """The arrays of `first`, and where it has None those of `second`, a network of the same build.

    >>> net = nn.freeze(nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 2)).init(0), "0")
    >>> trained, rest = nn.partition(net)
    >>> np.array_equal(nn.combine(trained, rest)(np.ones((5, 3))), net(np.ones((5, 3))))
    True
    """
    return tree_fill(first, second)


def _marked(net: Any, names: Sequence[str], change: Any) -> Any:
    """The network with the marks of the leaves that are named changed, module by module."""
    if not isinstance(net, Module):
        raise ModelError(f"freeze and unfreeze take an nn.Module; this is {net!r}")
    leaves = leaves_of(net if net.initialized else net.init(0))
    for name in names:
        if not any(_named(leaf, name) for leaf in leaves):
            there = [leaf.name for leaf in leaves]
            shown = ", ".join(there[:SHOWN]) + (", ..." if len(there) > SHOWN else "")
            raise ModelError(f"the network has no layer or array {name!r}; it has {shown}, and what these begin with")
    chosen: dict[tuple, set[str]] = {}
    for leaf in leaves:
        if not names or any(_named(leaf, name) for name in names):
            chosen.setdefault(leaf.place, set()).add(leaf.own)

    def mark(module: Module, made: Module, place: tuple) -> Module:
        marks = change(set(module.frozen_leaves), chosen.get(place, set()))
        made.__dict__.pop("frozen_leaves", None)  # a network without marks is built as one that never had any
        if marks:
            made.frozen_leaves = tuple(sorted(marks))
        return made

    return map_modules(mark, net)


def _named(leaf: Leaf, name: str) -> bool:
    return f"{leaf.name}.".startswith(f"{name}.")
