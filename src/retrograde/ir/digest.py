"""`digest_graph`: a name for a graph by what it computes, the same in every process.

It covers primitives, parameters (nested graphs too), types, the bits of literals, the wiring and the order of inputs and
outputs. Names of variables and lines of source are no part of it, nor are the values of constants: code takes both kinds of
operand alike.
"""

from __future__ import annotations

import hashlib
import json
import struct
from types import FunctionType
from typing import Any

import numpy as np

from retrograde.ir.graph import Atom, Equation, Graph, Literal, Var
from retrograde.ir.primitive import Primitive
from retrograde.types import ArrayType

_PACKAGE = __name__.partition(".")[0] + "."


class _Foreign(Exception):
    """Something that the digest cannot vouch for."""


def digest_graph(graph: Graph) -> str | None:
    """SHA-256 in hexadecimal; None where a primitive is not of this package, or a parameter of no plain kind."""
    try:
        return hashlib.sha256(_graph(graph).encode()).hexdigest()
    except _Foreign:
        return None


def digest_equation(eq: Equation) -> str | None:
    """The same for one equation: its primitive, parameters and types, and which of its operands are one."""
    inputs = dict.fromkeys(atom for atom in eq.inputs if isinstance(atom, Var))
    return digest_graph(Graph(tuple(inputs), [eq], eq.outputs))


def digest_text(parts: Any) -> str:
    """SHA-256 in hexadecimal of plain values (JSON)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _graph(graph: Graph) -> str:
    numbers: dict[Var, int] = {}
    lines = []
    for kind, given in (("inputs", graph.inputs), ("constants", graph.constants)):
        numbers.update((var, len(numbers) + i) for i, var in enumerate(given))
        lines.append(f"{kind} {' '.join(_type(var.type) for var in given)}")
    for eq in graph.equations:
        operands = " ".join([_atom(atom, numbers) for atom in eq.inputs])
        params = ",".join([f"{name}={_param(eq.params[name])}" for name in sorted(eq.params)])
        types = " ".join([_type(out.type) for out in eq.outputs])
        lines.append(f"{_primitive(eq.primitive)}[{params}] {operands} -> {types}")
        for out in eq.outputs:
            numbers[out] = len(numbers)
    lines.append("return " + " ".join([_atom(atom, numbers) for atom in graph.outputs]))
    return "{" + "\n".join(lines) + "}"


def _primitive(primitive: Primitive) -> str:
    return f"{primitive.name}{_rule(primitive.type_rule)}{_rule(primitive.lower)}"


def _rule(rule: Any) -> str:
    """What a rule closes over, say the name of a math function; somebody else's rule may change without our knowing."""
    if rule is None:
        return ""
    if not (getattr(rule, "__module__", None) or "").startswith(_PACKAGE):
        raise _Foreign
    held = [cell.cell_contents for cell in getattr(rule, "__closure__", None) or ()]
    return "".join([f"<{x}>" if isinstance(x, str) else _rule(x) for x in held if isinstance(x, (str, FunctionType))])


def _type(type: ArrayType) -> str:
    return f"{type.dtype.str}{type.shape}"


def _atom(atom: Atom, numbers: dict[Var, int]) -> str:
    if isinstance(atom, Literal):
        return f"#{_scalar(atom.value)}"
    if atom not in numbers:
        raise _Foreign
    return f"%{numbers[atom]}"


def _scalar(value: Any) -> str:
    return f"{value.dtype.str}{value.tobytes().hex()}"


def _param(value: Any) -> str:
    """Text from which the value could be told, its type included: 1, 1.0 and True differ, as do 0.0 and -0.0."""
    kind = type(value)
    if kind in (int, bool, str, type(None)):
        return f"{kind.__name__}:{value!r}"
    if kind is float:
        return f"float:{struct.pack('<d', value).hex()}"
    if kind is complex:
        return f"complex:{struct.pack('<dd', value.real, value.imag).hex()}"
    if kind in (tuple, list):
        return f"{kind.__name__}({','.join(map(_param, value))})"
    if kind is Graph:
        return _graph(value)
    if isinstance(value, np.dtype):
        return f"dtype:{value.str}"
    if isinstance(value, np.generic):
        return _scalar(value)
    raise _Foreign
