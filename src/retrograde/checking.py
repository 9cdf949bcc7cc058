"""`check`: the derivatives of a function against finite differences, operation by operation."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retrograde.autodiff.backprop import backprop, varying_in
from retrograde.autodiff.forward import run_dual
from retrograde.errors import CheckError
from retrograde.ir import Equation, Graph, Literal, Var, evaluate
from retrograde.ops.control import scan
from retrograde.ops.elementwise import stop_gradient
from retrograde.ops.implicit import RULES, implicit
from retrograde.ops.nested import checkpoint
from retrograde.pushforward import jvp
from retrograde.trace import tracing
from retrograde.trace.trace import as_output, input_names, new_input
from retrograde.transforms import vjp
from retrograde.tree import tree_flatten, tree_leaves, tree_unflatten

ELEMENTS = 24  # of an operand that are moved one by one; more are drawn by chance
SHOWN = 10  # faults in the message of an error


@dataclass
class Row:
    """What was found of one operation: how many elements were compared, the largest error, how many lie at a kink."""

    op: str
    source: tuple[str, int, str] | None
    compared: int = 0
    error: float = 0.0
    kinks: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass
class Report:
    """What `check` compared; print it."""

    rows: list[Row]
    stopped: int

    def __str__(self) -> str:
        lines = [f"{'operation':<18}{'times':>6}{'elements':>10}{'largest error':>15}"]
        names = dict.fromkeys(row.op for row in self.rows)
        for name in names:
            rows = [row for row in self.rows if row.op == name]
            kinks = sum(row.kinks for row in rows)
            note = f"  {kinks} at a kink: the rule gives a subgradient" if kinks else ""
            found = sum(row.compared for row in rows), max(row.error for row in rows)
            lines.append(f"{name:<18}{len(rows):>6}{found[0]:>10}{found[1]:>15.1e}{note}")
        if self.stopped:
            lines.append(f"{self.stopped} stop_gradient: the function as a whole is compared forward against reverse only")
        return "\n".join(lines)


def check(f: Callable, *, tolerance: float = 1e-5, dtype: Any = np.float64, seed: int = 0) -> Callable[..., Report]:
    """`check(f)(*args)` compares every derivative that `f` takes at `args`; raises `CheckError` where one is off.

    For each operation: its pullback against central differences, element by element (of a large operand, 24 drawn by `seed`;
    of complex ones along both parts), and its push-forward against its pullback, <ct, J t> = <J' ct, t>; then the same for `f` as
    a whole, along a random direction. Floats are first cast to `dtype` (None leaves them), complex numbers likewise by
    their parts. The error names the operation, the line, the element and both numbers. At a kink (|x| at 0) the rule passes if it
    lies between the two one-sided derivatives. Returns a `Report`; print it. What is relative to `tolerance` is the difference,
    to one plus the size of the numbers compared.
    """

    @functools.wraps(f)
    def checked(*args: Any) -> Report:
        rng = np.random.default_rng(seed)
        flat = [tree_flatten(arg) for arg in args]
        cast = [[_cast(leaf, dtype) for leaf in leaves] for leaves, _ in flat]
        args = tuple(tree_unflatten(structure, leaves) for leaves, (_, structure) in zip(cast, flat))
        graph, values = _traced(f, args)
        with np.errstate(all="ignore"):
            rows = _check_graph(graph, values, rng, tolerance)
            stopped = sum(eq.primitive is stop_gradient for eq in graph.equations)
            if not any(row.faults for row in rows):
                rows.append(_check_whole(f, args, rng, tolerance, not stopped))
        faults = [fault for row in rows for fault in row.faults]
        if faults:
            more = f"\nand {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
            raise CheckError("\n".join([f"{len(faults)} derivative(s) of {_name(f)} are off:", *faults[:SHOWN]]) + more)
        return Report(rows, stopped)

    return checked


def _name(f: Callable) -> str:
    return getattr(f, "__name__", "the function")


def _cast(leaf: Any, dtype: Any) -> Any:
    array = np.asarray(leaf)
    if dtype is None or array.dtype.kind not in "fc":
        return leaf
    return array.astype(dtype if array.dtype.kind == "f" else np.result_type(dtype, np.complex64))[()]


def _is_float(leaf: Any) -> bool:
    return np.asarray(leaf).dtype.kind in "fc"


def _pair(ct: Any, t: Any) -> Any:
    """What a change t does to a loss of cotangent ct, element by element: of complex numbers Re(ct t), see `ops/complex.py`."""
    return np.real(ct * t)


def _draw(rng: np.random.Generator, x: Any) -> Any:
    """Random numbers of the shape and dtype of `x`."""
    drawn = rng.normal(size=np.shape(x))
    return (drawn + 1j * rng.normal(size=np.shape(x)) if x.dtype.kind == "c" else drawn).astype(x.dtype)[()]


def _traced(f: Callable, args: Sequence[Any]) -> tuple[Graph, dict]:
    """The graph of `f` and what every variable of it is."""
    builder = tracing(concrete=True)
    given = []
    for arg, names in zip(args, input_names(f, args)):
        leaves, structure = tree_flatten(arg)
        given.append(tree_unflatten(structure, [new_input(builder, x, n) if _is_float(x) else x for x, n in zip(leaves, names)]))
    graph = builder.finish([as_output(out) for out in tree_leaves(f(*given))])
    return graph, builder.values


def _check_graph(graph: Graph, values: dict, rng: np.random.Generator, tolerance: float) -> list[Row]:
    """A row for each operation that a derivative goes through."""
    varying = varying_in(graph, [var for var in graph.inputs if var.type.dtype.kind in "fc"])
    rows = []
    for eq in graph.equations:
        flags = [atom in varying for atom in eq.inputs]
        if eq.primitive is stop_gradient or not any(flags) or all(out.type.dtype.kind not in "fc" for out in eq.outputs):
            continue
        if eq.primitive is implicit:  # what it was computed from has no part in its derivative
            count = RULES[eq.params["rule"]].count
            flags = [0 < i <= count and flag for i, flag in enumerate(flags)]
            eq = eq.replace(eq.inputs, again=True)
        given = [atom.value if isinstance(atom, Literal) else values[atom] for atom in eq.inputs]
        row = _check_equation(eq, given, flags, rng, tolerance)
        inner = _look_inside(eq, given, rng, tolerance) if row.faults else []
        rows += [found for found in inner if found.faults] or [row]
    return rows


def _look_inside(eq: Equation, given: list[Any], rng: np.random.Generator, tolerance: float) -> list[Row]:
    """The operations of a checkpoint, or of a loop's first step."""
    if eq.primitive is scan and eq.params["length"]:
        end, first = eq.params["num_consts"] + eq.params["num_carry"], -1 if eq.params["reverse"] else 0
        given = [*given[:end], *(x[first] for x in given[end:])]
    elif eq.primitive is not checkpoint:
        return []
    body: Graph = eq.params["body"]
    names = [out for e in body.equations for out in e.outputs]
    found = evaluate(Graph(body.inputs, body.equations, tuple(names)), given)
    return _check_graph(body, dict(zip((*body.inputs, *names), (*given, *found))), rng, tolerance)


def _check_equation(eq: Equation, given: list[Any], flags: list[bool], rng: np.random.Generator, tolerance: float) -> Row:
    row = Row(eq.params.get("name", eq.primitive.name), eq.source)
    where = f"{eq.source[0]}:{eq.source[1]}: " if eq.source else ""
    inputs = tuple(atom if isinstance(atom, Literal) else Var(atom.type) for atom in eq.inputs)
    operands = [i for i, atom in enumerate(inputs) if isinstance(atom, Var)]
    taken = tuple(atom for atom in inputs if isinstance(atom, Var))
    graph = Graph(taken, [Equation(eq.primitive, inputs, eq.params, eq.outputs)], eq.outputs)
    args = [np.asarray(given[i])[()] for i in operands]
    wanted = [k for k, i in enumerate(operands) if flags[i]]
    seeds = [j for j, out in enumerate(eq.outputs) if out.type.dtype.kind in "fc"]

    outs = evaluate(graph, args)

    def at(k: int, x: Any) -> list[Any]:
        found = evaluate(graph, [*args[:k], x, *args[k + 1 :]])
        aligned = eq.primitive.align(found, outs) if eq.primitive.align else found
        return [np.asarray(aligned[j]) for j in seeds]

    here = [np.asarray(outs[j]) for j in seeds]
    cts = [_draw(rng, out) for out in here]
    tangents = [_draw(rng, x) if k in wanted else None for k, x in enumerate(args)]
    pulled = _pull(graph, args, wanted, seeds, cts)
    pushed = [run_dual(graph, args, tangents)[1][j] for j in seeds]
    forward = float(sum((np.sum(_pair(ct, t)) for ct, t in zip(cts, pushed) if t is not None), 0.0))
    terms = [np.sum(_pair(pulled[k], tangents[k])) for k in wanted]
    scale = 1 + sum(np.sum(np.abs(pulled[k] * tangents[k])) for k in wanted)
    if not abs(forward - sum(terms)) <= tolerance * scale:
        numbers = f"<ct, J t> = {forward:.9g}, reverse <J' ct, t> = {sum(terms):.9g}"
        row.faults.append(f"  {where}{row.op}: forward mode gives {numbers}")
    for k in wanted:
        _check_operand(row, where, k, args[k], pulled[k], here, functools.partial(at, k), cts, rng, tolerance)
    return row


def _pull(graph: Graph, args: list[Any], wanted: list[int], seeds: list[int], cts: list[Any]) -> dict[int, Any]:
    """The cotangent of each wanted operand."""
    backward = backprop(graph, [graph.inputs[k] for k in wanted], seeds)
    known = dict(zip(graph.inputs, args))
    (eq,) = graph.equations
    known.update(zip(eq.outputs, evaluate(graph, args)))
    found = evaluate(backward.graph, [*(known[var] for var in backward.kept), *cts])
    return {k: np.zeros_like(args[k]) if place is None else found[place] for k, place in zip(wanted, backward.reached)}


def _check_operand(
    row: Row, where: str, k: int, x: Any, pulled: Any, here: list[Any], at: Callable, cts: list[Any], rng: Any, tolerance: float
) -> None:
    """Central differences by single elements against the pullback's."""
    size, shape = np.size(x), np.shape(x)
    picked = range(size) if size <= ELEMENTS else np.sort(rng.choice(size, ELEMENTS, replace=False))
    eps = float(np.finfo(x.dtype).eps)
    noise = 16 * eps * float(sum(np.sum(np.abs(ct * out)) for ct, out in zip(cts, here)))

    def value(i: int, by: complex) -> float:
        moved = np.array(x)
        moved.flat[i] += by
        return float(sum(np.sum(_pair(ct, out - old)) for ct, out, old in zip(cts, at(moved[()]), here)))

    for i, unit in itertools.product(map(int, picked), (1, 1j) if x.dtype.kind == "c" else (1,)):
        number = np.asarray(x).flat[i].item()
        step = eps ** (1 / 3) * max(1.0, abs(number))
        up, down = value(i, step * unit) / step, -value(i, -step * unit) / step
        found, expected = float(_pair(np.asarray(pulled).flat[i], unit)), (up + down) / 2
        allowed = tolerance * (1 + max(abs(expected), abs(found))) + noise / step
        row.compared += 1
        if abs(found - expected) <= allowed:
            row.error = max(row.error, abs(found - expected) / (1 + abs(expected)))
        elif abs(up - down) > 1e-2 * (1 + abs(expected)) and min(up, down) - allowed <= found <= max(up, down) + allowed:
            row.kinks += 1
        else:
            index = tuple(int(j) for j in np.unravel_index(i, shape))
            part = {"f": "", "c": ", real part" if unit == 1 else ", imaginary part"}[x.dtype.kind]
            row.faults.append(
                f"  {where}{row.op}: operand {k}, element {index}{part}, which is {number:.9g}: the pullback gives {found:.9g}, "
                f"central differences {expected:.9g}"
            )


def _check_whole(f: Callable, args: Sequence[Any], rng: np.random.Generator, tolerance: float, differences: bool) -> Row:
    """Reverse against forward mode along a random direction, and against central differences of the plain function."""
    row = Row("the function", None, compared=1)
    flat, structure = tree_flatten(args)
    places = [i for i, leaf in enumerate(flat) if _is_float(leaf)]
    xs = [np.asarray(flat[i])[()] for i in places]

    def call(*moved: Any) -> list[Any]:
        leaves = list(flat)
        for i, x in zip(places, moved):
            leaves[i] = x
        return [out for out in map(as_output, tree_leaves(f(*tree_unflatten(structure, leaves)))) if out.dtype.kind in "fc"]

    outs, pull = vjp(call, *xs)
    ts = [_draw(rng, x) for x in xs]
    cts = [_draw(rng, out) for out in outs]
    terms = [np.sum(_pair(np.conj(ct), t)) for ct, t in zip(pull(cts), ts)]
    reverse, scale = float(sum(terms)), 1 + float(sum(map(abs, terms)))
    numbers = {"forward mode": float(sum(np.sum(_pair(np.conj(ct), t)) for ct, t in zip(cts, jvp(call, xs, ts)[1])))}
    if differences:
        step = float(np.finfo(np.result_type(*xs)).eps) ** (1 / 3)
        ahead, behind = (call(*(x + s * t for x, t in zip(xs, ts))) for s in (step, -step))
        numbers["central differences"] = float(sum(np.sum(_pair(np.conj(ct), a - b)) for ct, a, b in zip(cts, ahead, behind)))
        numbers["central differences"] /= 2 * step
    for name, number in numbers.items():
        error = abs(number - reverse) / scale
        row.error = max(row.error, error)
        if not error <= 100 * tolerance:
            row.faults.append(
                f"  {_name(f)} as a whole, along a random direction: reverse mode gives {reverse:.9g}, {name} {number:.9g}; "
                "each operation is right by itself, so look for values that bypass the trace (a global, an attribute), a kink, "
                "or the free phase of complex vectors (see np.linalg.eigh)"
            )
    return row


__all__ = ["CheckError", "Report", "check"]
