"""`Builder`: records equations into a graph.

A builder hands out symbols, the values that stand for its variables; which class they are is the caller's choice
(`wrap`), so that tracing a user's function and running a pullback share this one mechanism. A concrete builder also
computes each equation at once, on values that may themselves belong to an outer builder: that is how transforms nest.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograde.errors import LeakedTracerError
from retrograde.ir.graph import Atom, Equation, Graph, Literal, Var, eliminate_dead
from retrograde.ir.primitive import Primitive
from retrograde.types import ArrayType, kind_of, type_of

_levels = itertools.count(1)


def next_level() -> int:
    """A level above all that there are: a trace that begins later lies further inside."""
    return next(_levels)


class Builder:
    """A graph under construction. `wrap(builder, atom, view_of)` makes the symbols; `locate()` gives the user's line."""

    def __init__(
        self,
        wrap: Callable[..., Any],
        *,
        concrete: bool = False,
        locate: Callable[[], tuple[str, int, str] | None] | None = None,
    ):
        self.level = next_level()
        self.wrap = wrap
        self.concrete = concrete
        self.locate = locate
        self.closed = False
        self.lanes: int | None = None  # how many values each symbol stands for, when it is one lane of a `vmap`
        self.inputs: list[Var] = []
        self.equations: list[Equation] = []
        self.constants: dict[Var, Any] = {}
        self.values: dict[Var, Any] = {}
        self._lifted: dict[int, tuple[Any, Var]] = {}

    def input(self, type: ArrayType, name: str | None = None, value: Any = None) -> Any:
        """A new input of the graph, as a symbol; `value` is what it is now, when the builder is concrete."""
        var = Var(type, name)
        self.inputs.append(var)
        if self.concrete:
            self.values[var] = _snapshot(value) if hasattr(value, "_builder") else value
        return self.wrap(self, var)

    def atom(self, value: Any) -> Atom:
        """The atom that stands for a value: a symbol's own, a literal for a number, a constant for other arrays."""
        builder = getattr(value, "_builder", None)
        if builder is self:
            return value.atom
        if isinstance(value, Literal):
            return value
        if builder is not None and builder.closed:
            raise leaked(value)
        if builder is None and np.ndim(value) == 0:
            return Literal(value)
        _, known = self._lifted.get(id(value), (None, None))
        if known is None or _changed(value, self.constants[known]):
            known = Var(type_of(value))
            self._lifted[id(value)] = value, known  # keeps `value` alive, so its id stays its own
            self.constants[known] = self.values[known] = _snapshot(value)
        return known

    def value(self, atom: Atom) -> Any:
        """The value of an atom in a concrete builder."""
        return atom.value if isinstance(atom, Literal) else self.values[atom]

    def record(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Append one equation; returns its symbol, or a tuple of them.

        A concrete builder records for a derivative: what an operation must keep for its pullback becomes outputs of the
        equation, behind those that are returned.
        """
        if self.closed:
            raise leaked(next(a for a in args if getattr(a, "_builder", None) is self))
        inputs = tuple(self.atom(arg) for arg in args)
        types = primitive.type_rule(*[atom.type for atom in inputs], **params)
        own = len(types) if primitive.multiple else 1
        if self.concrete and primitive.keeping is not None:
            varying = [getattr(arg, "_builder", None) is self and kind_of(arg.dtype) in "fc" for arg in args]
            params = primitive.keeping(varying, [self.value(atom) for atom in inputs], **params)
            types = primitive.type_rule(*[atom.type for atom in inputs], **params)
        outputs = tuple(Var(t) for t in (types if primitive.multiple else (types,)))
        source = self.locate() if self.locate is not None else None
        self.equations.append(Equation(primitive, inputs, params, outputs, source))
        if self.concrete:
            results = primitive(*[self.value(atom) for atom in inputs], **params)
            self.values.update(zip(outputs, results if primitive.multiple else (results,)))
        view_of = args[0] if primitive.lowering == "view" else None
        symbols = tuple(self.wrap(self, out, view_of) for out in outputs[:own])
        return symbols if primitive.multiple else symbols[0]

    def finish(self, outputs: Sequence[Any]) -> Graph:
        """Close the builder: the graph from its inputs to `outputs`, dead equations dropped."""
        atoms = tuple(self.atom(out) for out in outputs)
        self.closed = True
        return eliminate_dead(Graph(tuple(self.inputs), self.equations, atoms, dict(self.constants)))


def _snapshot(value: Any) -> Any:
    """A constant as it is now: whoever owns the array may write into it before the graph is run or differentiated."""
    if hasattr(value, "_builder"):
        return value.snapshot()
    if not isinstance(value, np.ndarray) or not (value.flags.writeable or value.base is not None):
        return value
    held = value.copy()
    held.flags.writeable = False
    return held


def plain(value: Any) -> Any:
    """The array behind a symbol, through traces that compute as they record; None where there is none yet."""
    while (builder := getattr(value, "_builder", None)) is not None:
        if not getattr(builder, "concrete", False) or builder.closed:
            return None
        value = builder.value(value.atom)
    return value


def _changed(value: Any, held: Any) -> bool:
    if hasattr(value, "_builder"):
        return held.atom is not value.atom
    return held is not value and isinstance(value, np.ndarray) and not np.array_equal(value, held, equal_nan=True)


def leaked(value: Any) -> LeakedTracerError:
    """The error for a symbol that outlived its trace."""
    return LeakedTracerError(
        f"{value!r} was kept from an earlier trace and used in a later one; its trace has ended, so it has no meaning "
        "now.\nReturn the value from the traced function (has_aux=True for extra results) instead of storing it in a "
        "global, an attribute or a list."
    )
