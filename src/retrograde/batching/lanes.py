"""`Lanes`: run a graph once for all values along an axis, equation by equation, by each primitive's batching rule.

A value that differs between the lanes has one more axis, in front. What no lane differs in is computed once, without it.
Run on plain arrays, the graph computes; run on traced ones, it records: so `vmap` nests, differentiates and compiles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from retrograde.ir import Equation, Graph, Primitive, Var, evaluate
from retrograde.ops.control import scan
from retrograde.types import type_of


class _Mapped:
    """A value with the mapped axis in front; `_builder` is where primitives ask for what is to be done with it."""

    __slots__ = ("_builder", "value")

    def __init__(self, lanes: Lanes, value: Any):
        self._builder = lanes
        self.value = value


class Lanes:
    """`size` values side by side."""

    level = math.inf  # a mapped value is asked before any traced one that it meets

    def __init__(self, size: int):
        self.size = size

    def evaluate(self, graph: Graph, inputs: Sequence[Any], mapped: Sequence[bool]) -> tuple[list[Any], tuple[bool, ...]]:
        """The outputs of `graph` for all lanes, and which of them differ between lanes, so have the axis."""
        found = evaluate(graph, [_Mapped(self, x) if m else x for x, m in zip(inputs, mapped, strict=True)])
        flags = tuple(isinstance(x, _Mapped) for x in found)
        return [x.value if f else x for x, f in zip(found, flags)], flags

    def record(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """One equation for all lanes."""
        mapped = tuple(isinstance(arg, _Mapped) for arg in args)
        values = [arg.value if m else arg for arg, m in zip(args, mapped)]
        if primitive.batch is None:
            results, flags = self._one_by_one(primitive, mapped, values, params)
        elif primitive.multiple:
            results, flags = primitive.batch(self, mapped, *values, **params)
        else:
            results, flags = (primitive.batch(self, mapped, *values, **params),), (True,)
        wrapped = tuple(_Mapped(self, x) if f else x for x, f in zip(results, flags))
        return wrapped if primitive.multiple else wrapped[0]

    def _one_by_one(self, primitive: Primitive, mapped: Sequence[bool], values: Sequence[Any], params: dict[str, Any]) -> Any:
        """Without a rule: a loop over the lanes."""
        types = [type_of(x) for x in values]
        inner = [t.with_shape(t.shape[1:]) if m else t for t, m in zip(types, mapped)]
        inputs = tuple(Var(t) for t in inner)
        made = primitive.type_rule(*inner, **params)
        outputs = tuple(Var(t) for t in (made if primitive.multiple else (made,)))
        same = [i for i, m in enumerate(mapped) if not m]
        order = [*same, *(i for i, m in enumerate(mapped) if m)]
        body = Graph(tuple(inputs[i] for i in order), [Equation(primitive, inputs, params, outputs)], outputs)
        found = scan(
            *[values[i] for i in order], body=body, length=self.size, num_consts=len(same), num_carry=0, reverse=False, exit=None
        )
        return found, (True,) * len(found)
