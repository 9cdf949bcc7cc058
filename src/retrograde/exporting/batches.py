"""A graph for a batch of any length: which sizes in it grow with the batch, found by tracing the model at two lengths."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retrograde.exporting.signature import Traced, traced
from retrograde.ir import Atom, Equation, Graph, Literal
from retrograde.types import type_of

LENGTHS = (5, 7)  # of the batches whose graphs are compared


@dataclass(frozen=True)
class Batches:
    """An open size: `count` times the length of the batch."""

    count: int


Size = int | Batches


class FixedBatchError(Exception):
    """This graph cannot be written for a batch of any length."""


@dataclass
class Opened:
    """A traced model, and, with open sizes in them, parameters of its equations and shapes of its values that have any."""

    model: Traced
    params: dict[Equation, dict[str, Any]] = field(default_factory=dict)
    shapes: dict[Atom, tuple[Size, ...]] = field(default_factory=dict)


def open_batch(model: Any, example: Any) -> Opened:
    """The model with the first axis of its first input, and all that follows from it, open.

    Other inputs whose first axis is as long in the example are of the same batch. Raises `FixedBatchError` where the graphs for
    two lengths differ by more than sizes in proportion to them.
    """
    args = example if isinstance(example, tuple) else (example,)
    shapes = [np.shape(a) for a in args]
    if not shapes or not shapes[0]:
        raise FixedBatchError

    def at(length: int) -> Traced:
        resized = [(length, *s[1:]) if s[:1] == shapes[0][:1] else s for s in shapes]
        return traced(model, tuple(np.zeros(s, type_of(a).dtype) for s, a in zip(resized, args)))

    try:
        one, other = map(at, LENGTHS)
    except (ValueError, TypeError, IndexError):  # the model itself takes no other length
        raise FixedBatchError from None
    found = Opened(one)
    _compare(one.graph, other.graph, found)
    return found


def _compare(one: Graph, other: Graph, found: Opened) -> None:
    """Note the open sizes of the first graph."""
    _require(len(one.equations) == len(other.equations) and len(one.constants) == len(other.constants))
    constants = dict(zip(one.constants, other.constants))
    partner: dict[Atom, Atom] = dict(zip((*one.inputs, *constants), (*other.inputs, *constants.values())))
    _note(partner, found)
    for var, value in one.constants.items():
        thin = thinned(value, found.shapes[var])
        _require(all(_equal(np.broadcast_to(thin, np.shape(v)), v) for v in (value, other.constants[constants[var]])))
    for a, b in zip(one.equations, other.equations):
        _require(a.primitive is b.primitive and a.params.keys() == b.params.keys() and _match(a.inputs, b.inputs, partner))
        outputs: dict[Atom, Atom] = dict(zip(a.outputs, b.outputs))
        _note(outputs, found)
        partner |= outputs
        found.params[a] = {key: _open(value, b.params[key]) for key, value in a.params.items()}
        for (_, inner), (_, its) in zip(a.graphs(), b.graphs()):
            _compare(inner, its, found)
    _require(_match(one.outputs, other.outputs, partner))


def thinned(value: Any, shape: tuple[Size, ...]) -> np.ndarray:
    """Of a constant that is the same for the whole batch, what it is for one point."""
    return np.asarray(value)[tuple(slice(1 if isinstance(n, Batches) else None) for n in shape)]


def _require(condition: bool) -> None:
    if not condition:
        raise FixedBatchError


def _match(ones: Iterable[Atom], others: Iterable[Atom], partner: dict[Atom, Atom]) -> bool:
    """Whether two graphs read the same values."""
    return all(
        isinstance(b, Literal) and _equal(a.value, b.value) if isinstance(a, Literal) else partner[a] is b
        for a, b in zip(ones, others, strict=True)
    )


def _note(pairs: dict[Atom, Atom], found: Opened) -> None:
    for a, b in pairs.items():
        _require(a.type.dtype == b.type.dtype)
        found.shapes[a] = _open(a.type.shape, b.type.shape)


def _open(one: Any, other: Any) -> Any:
    """A parameter that is the same in both, but for sizes in it."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        _require(len(one) == len(other))
        return tuple(map(_open, one, other))
    if isinstance(one, Graph) or callable(one):  # the graph is compared by itself; functions are of derivatives
        return one
    if type(one) is type(other) is int and one != other:
        _require(one % LENGTHS[0] == 0 and one * LENGTHS[1] == other * LENGTHS[0])
        return Batches(one // LENGTHS[0])
    _require(one is other or one == other)
    return one


def _equal(a: Any, b: Any) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
