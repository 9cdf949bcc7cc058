"""How layers say what their buffers have become, while a network is called: `Module.apply` collects it.

A layer's `__call__` returns its output alone, so that modules that call others need not pass state on; it notes the new values
of its buffers here, and `apply` puts them into the network that it returns.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from retrograde.errors import LeakedTracerError, ModelError
from retrograde.nn.module import Module, map_modules
from retrograde.tree import tree_map

_open: ContextVar[dict[int, tuple[Module, dict[str, Any]]] | None] = ContextVar("open", default=None)


def noted(layer: Module, name: str) -> Any:
    """What the layer's buffer is now: as noted last, or as it was when the call began.

    Raises `LeakedTracerError` if it was noted inside a loop, a branch or the like, out of which it cannot come.

    >>> layer = nn.BatchNorm1d(2).init(0)
    >>> nn.noted(layer, "running_mean")
    array([0., 0.], dtype=float32)
    """
    value = (_open.get() or {}).get(id(layer), (layer, {}))[1].get(name, getattr(layer, name))
    return _whole(layer, name, value)


def note(layer: Module, **buffers: Any) -> None:
    """Say what the layer's buffers are from now on; frozen ones stay, and without an `apply` around nobody asks.

    Raises `ModelError` for a name that is none of its `buffers`.

    >>> class Count(nn.Module):
    ...     dynamic = buffers = ("seen",)
    ...
    ...     def __init__(self):
    ...         self.seen = np.zeros((), np.int64)
    ...
    ...     def __call__(self, x, key=None):
    ...         if key is not None:
    ...             nn.note(self, seen=nn.noted(self, "seen") + len(x))
    ...         return x
    >>> _, moved = Count().apply(np.ones((5, 3)), rg.random.key(0))
    >>> moved.seen
    np.int64(5)
    """
    for name in buffers:
        if name not in layer.buffers:
            raise ModelError(f"{layer!r} has no buffer {name!r}; it has {layer.buffers}. Name it in `buffers` and in `dynamic`")
    found = _open.get()
    if found is not None:
        moved = {name: value for name, value in buffers.items() if name not in layer.frozen_leaves}
        found.setdefault(id(layer), (layer, {}))[1].update(moved)


def collect(net: Any, call: Callable[[Any], Any]) -> tuple[Any, Any]:
    """`call(net)`, and the network with the buffers that its layers noted."""
    net = tree_map(lambda leaf: leaf, net)  # a layer that stands in two places is two: each has buffers of its own
    found: dict[int, tuple[Module, dict[str, Any]]] = {}
    token = _open.set(found)
    try:
        output = call(net)
    finally:
        _open.reset(token)
    return output, _moved(net, found) if found else net


def as_noted(net: Any) -> Any:
    """The network with its buffers as its layers noted them last."""

    def move(module: Module, made: Module, _place: tuple) -> Module:
        made.__dict__.update({name: noted(module, name) for name in module.buffers})
        return made

    return map_modules(move, net)


def note_moved(net: Any, moved: Any) -> None:
    """Note for the layers of `net` the buffers that they have in `moved`: the same network, called elsewhere, as in a vmap."""
    for layer, after in zip(_modules(net), _modules(moved)):
        note(layer, **{name: value for name in layer.buffers if (value := getattr(after, name)) is not None})


def _modules(net: Any) -> list[Module]:
    found: list[Module] = []
    map_modules(lambda module, made, _place: found.append(module) or made, net)  # type: ignore[func-returns-value]
    return found


def _moved(net: Any, found: dict[int, tuple[Module, dict[str, Any]]]) -> Any:
    def move(module: Module, made: Module, _place: tuple) -> Module:
        _, buffers = found.pop(id(module), (module, {}))
        made.__dict__.update({name: _whole(module, name, value) for name, value in buffers.items()})
        return made

    moved = map_modules(move, net)
    for layer, _ in found.values():
        raise ModelError(
            f"{layer!r} was called in training, but it is not part of the network, so its running statistics would be lost. "
            "Name the attribute that holds it in `dynamic`, and call it as it is there (self.layer(x, key=key)), no copy of it"
        )
    return moved


def _whole(layer: Module, name: str, value: Any) -> Any:
    """The value, if it means something out here."""
    if getattr(value, "ended", False):
        raise LeakedTracerError(
            f"{layer!r} was called in training inside a loop, a branch, a vmap, a checkpoint, a gradient or a jit, out of which "
            f"its new {name} cannot come. Call it outside of that, or make it with track_running_stats=False"
        )
    return value
