"""Forward mode, from the pullbacks: a value and its tangent, side by side, as the function runs.

An operation's pullback is linear in the cotangent, so its transpose is the push-forward of tangents (the trick of applying
vjp twice: J. Townsend, 2017, "A new trick for calculating Jacobian vector products"): the pullback is recorded as a graph,
and `backprop` of that graph, towards the cotangent, is what tangents go through. So there is one derivative rule for each
operation. Nothing is kept: a value and its tangent are dropped together. An operation with a graph inside runs that graph
on values with tangents (`def_push`), so a loop stays one loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from retrograde.autodiff.backprop import backprop, pull_equation
from retrograde.errors import DifferentiationError
from retrograde.ir import Builder, Equation, Graph, Literal, Primitive, Var, evaluate
from retrograde.ir.builder import leaked, next_level
from retrograde.ops.branch import branch, close_together
from retrograde.ops.control import scan
from retrograde.ops.prune import prune
from retrograde.ops.reduce import sum_to_shape
from retrograde.ops.shape import zeros
from retrograde.ops.symbol import Symbol
from retrograde.types import ArrayType, type_of


class Dual:
    """A value and its tangent, None where it is zero."""

    __slots__ = ("primal", "tangent", "type")

    def __init__(self, primal: Any, tangent: Any = None):
        self.primal, self.tangent, self.type = primal, tangent, type_of(primal)


class Forward:
    """Where values with tangents are computed. It stands where a `Builder` stands, but what it is told, it does at once."""

    concrete = True
    lanes = None

    def __init__(self, wrap: Callable[..., Any], locate: Callable[[], Any] | None = None):
        self.level = next_level()
        self.wrap, self.locate = wrap, locate
        self.closed = False

    def input(self, type: ArrayType, name: str | None = None, value: Any = None) -> Any:
        """A symbol of a value, without a tangent yet."""
        return self.dual(value.snapshot() if hasattr(value, "_builder") else value)

    def give(self, symbol: Any, tangent: Any) -> None:
        """Let the value of a symbol that was just made have this tangent."""
        symbol.atom.tangent = tangent

    def dual(self, primal: Any, tangent: Any = None) -> Any:
        """The symbol of a value with its tangent."""
        return self.wrap(self, Dual(primal, tangent))

    def value(self, atom: Dual) -> Any:
        """The value of a symbol."""
        return atom.primal

    def split(self, x: Any) -> tuple[Any, Any]:
        """Value and tangent of anything; what this forward pass did not make has none."""
        if getattr(x, "_builder", None) is self:
            return x.atom.primal, x.atom.tangent
        return x, None

    def record(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Compute one equation and its push-forward."""
        if self.closed:
            raise leaked(next(a for a in args if getattr(a, "_builder", None) is self))
        primals, tangents = zip(*map(self.split, args)) if args else ((), ())
        inputs = [_atom(x) for x in primals]
        own = primitive.type_rule(*[atom.type for atom in inputs], **params)  # plain arrays would go to NumPy unchecked
        count = len(own) if primitive.multiple else 1
        if all(t is None for t in tangents):
            outs = primitive(*primals, **params)
            found: Sequence[Any] = [None] * count
        elif primitive.push is not None:
            outs, found = primitive.push(primals, tangents, **params)
        else:
            if primitive.keeping is not None:
                params = primitive.keeping([t is not None for t in tangents], primals, **params)
            outs = primitive(*primals, **params)
            found = self._push(primitive, inputs, primals, outs if primitive.multiple else (outs,), tangents, params)
        if not primitive.multiple:
            view_of = args[0] if primitive.lowering == "view" else None
            return self.wrap(self, Dual(outs, found[0]), view_of)
        return tuple(self.dual(out, t) for out, t in zip(outs[:count], found))

    def _push(self, primitive: Any, inputs: Any, primals: Any, outs: Any, tangents: Any, params: dict) -> Sequence[Any]:
        source = self.locate() if self.locate is not None else None
        graph, places = pushforward(primitive, inputs, [t is not None for t in tangents], params, source)
        if all(place is None for place in places):
            return places
        with np.errstate(all="ignore"):
            found = evaluate(graph, [*primals, *outs, *(t for t in tangents if t is not None)])
        return [None if place is None else found[place] for place in places]


def _atom(x: Any) -> Var | Literal:
    if getattr(x, "_builder", None) is None and np.ndim(x) == 0:
        return x if isinstance(x, Literal) else Literal(x)
    return Var(type_of(x))


def pushforward(
    primitive: Primitive, inputs: Sequence[Var | Literal], varying: Sequence[bool], params: dict[str, Any], source: Any = None
) -> tuple[Graph, tuple[int | None, ...]]:
    """The graph (inputs, outputs, tangents of the `varying` inputs) -> tangents of the outputs; and which output has which."""
    told = tuple(
        (atom.type, atom.value.tobytes()) if isinstance(atom, Literal) and not flag else atom.type
        for atom, flag in zip(inputs, varying)
    )
    key = tuple(sorted(params.items()))
    if any(isinstance(value, Graph) for value in params.values()) or not _hashable(key):
        return _transposed(primitive, told, tuple(varying), key, source)
    return _known(primitive, told, tuple(varying), key)


def _hashable(key: Any) -> bool:
    try:
        hash(key)
    except TypeError:
        return False
    return True


def _transposed(
    primitive: Primitive, told: tuple, varying: tuple[bool, ...], items: tuple, source: Any = None
) -> tuple[Graph, tuple[int | None, ...]]:
    """As a graph: the pullback, then its own backward pass towards the cotangents; the cotangents themselves are not read."""
    params = dict(items)
    inputs = tuple(_input(t) for t in told)
    types = primitive.type_rule(*[atom.type for atom in inputs], **params)
    outputs = tuple(Var(t) for t in (types if primitive.multiple else (types,)))
    if primitive.pullback is None and all(out.type.dtype.kind not in "fc" for out in outputs):
        return Graph((), [], ()), (None,) * len(outputs)
    builder = Builder(Symbol)
    cts = [builder.input(out.type) if out.type.dtype.kind in "fc" else None for out in outputs]
    given = [atom for atom, flag in zip(inputs, varying) if flag]

    def value(atom: Any) -> Any:
        return atom.value if isinstance(atom, Literal) else Symbol(builder, atom)

    eq = Equation(primitive, inputs, params, outputs, source)
    found = dict(zip(inputs, pull_equation(eq, cts, value, set(given))))
    wanted = [var for var in given if found[var] is not None]
    pulled = builder.finish([sum_to_shape(found[var], var.type.shape) for var in wanted])
    back = backprop(pulled, pulled.inputs, range(len(wanted)))
    tangents = {var: Var(var.type) for var in given}
    seeds = dict(zip(back.graph.inputs[len(back.kept) :], (tangents[var] for var in wanted)))
    equations = [eq.replace(tuple(seeds.get(a, a) for a in eq.inputs)) for eq in back.graph.equations]
    operands = tuple(atom if isinstance(atom, Var) else Var(atom.type) for atom in inputs)
    graph = prune(Graph(
        (*operands, *outputs, *tangents.values()), [*pulled.equations, *equations],
        tuple(seeds.get(a, a) for a in back.graph.outputs), {**pulled.constants, **back.graph.constants},
    ))  # fmt: skip
    if any(ct in eq.inputs for ct in pulled.inputs for eq in graph.equations):
        where = f" ({source[0]}:{source[1]})" if source else ""
        raise DifferentiationError(
            f"the pullback of {params.get('name', primitive.name)} is not linear in the cotangent, so that it has no push-forward"
            f"{where}: forward mode (jvp, jacfwd, hessian, hvp) cannot go through it. Use reverse mode (grad, vjp, jacrev), or "
            "write the rule without clipping, rounding or comparing the cotangent"
        )
    reached = iter(back.reached)
    return graph, tuple(None if ct is None else next(reached) for ct in cts)


_known = lru_cache(maxsize=4096)(_transposed)


def _input(told: Any) -> Var | Literal:
    if isinstance(told, ArrayType):
        return Var(told)
    return Literal(np.frombuffer(told[1], told[0].dtype)[0])


# -- loops -----------------------------------------------------------------------------------------------------------


def run_dual(graph: Graph, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """The outputs of `graph` and their tangents, None where they are zero."""
    forward = Forward(Symbol)
    found = evaluate(graph, [x if t is None else forward.dual(x, t) for x, t in zip(primals, tangents)])
    pairs = [forward.split(x) for x in found]
    return [x for x, _ in pairs], [t for _, t in pairs]


@scan.def_push
def push(
    primals: Sequence[Any], tangents: Sequence[Any], *, body: Graph, length: int | None, num_consts: int, num_carry: int,
    reverse: bool, exit: int | None,
) -> tuple[Sequence[Any], list[Any]]:  # fmt: skip
    """One loop for values and tangents together.

    Where only the tangents are traced (as for `linearize`), the values get a loop of their own beforehand.
    """
    end = num_consts + num_carry
    flags = [t is not None for t in tangents]
    while True:  # a carry has a tangent if it starts with one or a step gives it one
        graph, found = _step(body, flags, num_consts, num_carry)
        grown = [i for i in range(num_carry) if found[i] and not flags[num_consts + i]]
        if not grown:
            break
        for i in grown:
            flags[num_consts + i] = True
    carried = [i for i in range(num_carry) if flags[num_consts + i]]
    given = [(primals[num_consts + i], tangents[num_consts + i]) for i in carried]
    starts = [zeros(type_of(x)) if t is None else t for x, t in given]
    known = [t for t in tangents[:num_consts] if t is not None]
    slices = [t for t in tangents[end:] if t is not None]
    closed = list(graph.constants.values())
    outs = scan(
        *closed, *primals[:num_consts], *known, *primals[num_consts:end], *starts, *primals[end:], *slices,
        body=Graph((*graph.constants, *graph.inputs), graph.equations, graph.outputs), length=length, reverse=reverse,
        num_consts=len(closed) + num_consts + len(known), num_carry=num_carry + len(carried), exit=exit,
    )  # fmt: skip
    count = len(body.outputs) - num_carry
    moved, rest = outs[num_carry : num_carry + len(carried)], outs[num_carry + len(carried) :]
    values, changes = (*outs[:num_carry], *rest[:count]), iter((*moved, *rest[count:]))
    pushed = [next(changes) if f else None for f in found]
    if _level(tangents) > _level(primals):
        values = scan(*primals, body=body, length=length, num_consts=num_consts, num_carry=num_carry, reverse=reverse, exit=exit)
    return values, pushed


def _step(body: Graph, flags: Sequence[bool], num_consts: int, num_carry: int) -> tuple[Graph, list[bool]]:
    """One step on values and tangents: (constants, theirs; carry, its; slices, theirs) -> (carry, its; ys, theirs)."""
    builder = Builder(Symbol)
    end = num_consts + num_carry
    values: list[Any] = []
    changes: list[Any] = [None] * len(flags)
    for part in (range(num_consts), range(num_consts, end), range(end, len(flags))):
        values += [builder.input(body.inputs[i].type) for i in part]
        for i in part:
            if flags[i]:
                changes[i] = builder.input(body.inputs[i].type)
    outs, pushed = run_dual(body, values, changes)
    found = [t is not None or (i < num_carry and flags[num_consts + i]) for i, t in enumerate(pushed)]
    pushed = [zeros(atom.type) if f and t is None else t for f, t, atom in zip(found, pushed, body.outputs)]
    both = [*outs[:num_carry], *(t for t in pushed[:num_carry] if t is not None)]
    both += [*outs[num_carry:], *(t for t in pushed[num_carry:] if t is not None)]
    return builder.finish(both), found


@branch.def_push
def push_branch(
    primals: Sequence[Any], tangents: Sequence[Any], *, branches: tuple[Graph, ...]
) -> tuple[Sequence[Any], list[Any]]:
    """One branch for values and tangents together; what has a tangent in any way has one in all, perhaps zero."""
    (index, *operands), (_, *changes) = primals, tangents
    given = [t for t in changes if t is not None]
    flags = [False] * len(branches[0].outputs)

    def way(body: Graph) -> Graph:
        builder = Builder(Symbol)
        values = [builder.input(var.type) for var in body.inputs]
        theirs = [None if t is None else builder.input(var.type) for t, var in zip(changes, body.inputs)]
        outs, pushed = run_dual(body, values, theirs)
        flags[:] = [f or t is not None for f, t in zip(flags, pushed)]
        filled = [zeros(atom.type) if t is None else t for t, f, atom in zip(pushed, flags, body.outputs) if f]
        return builder.finish([*outs, *filled])

    for body in branches:  # first to see what has a tangent
        way(body)
    closed, bodies = close_together([way(body) for body in branches])
    outs = branch(index, *closed, *operands, *given, branches=bodies)
    found = iter(outs[len(flags) :])
    values = outs[: len(flags)]
    if _level(tangents) > _level(primals):
        values = branch(index, *operands, branches=branches)
    return values, [next(found) if f else None for f in flags]


def _level(values: Sequence[Any]) -> float:
    return max((x._builder.level for x in values if getattr(x, "_builder", None) is not None), default=0)
