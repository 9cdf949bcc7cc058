"""`jvp`, `linearize`, `jacfwd`, `hessian`, `hvp`: forward mode, and forward over reverse.

A tangent goes through each operation right after its value, so forward mode keeps nothing. It is derived from the pullbacks
(see `autodiff/forward.py`) and nests with every other transform as these do with each other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograde.autodiff import Forward
from retrograde.batching import Lanes
from retrograde.errors import DifferentiationError
from retrograde.ir import Atom, Graph, evaluate
from retrograde.ir.graph import eliminate_dead
from retrograde.ops import elementwise as ew
from retrograde.ops.shape import spread
from retrograde.trace import Tracer, refuse_subclasses, tracing, user_location
from retrograde.trace.trace import as_output, input_names, new_input
from retrograde.transforms import (
    ROWS,
    basis,
    check_directions,
    check_holomorphic,
    differentiable,
    grad,
    jacobian,
    owned,
    positions_of,
    split_aux,
    wanted_of,
    with_kwargs,
)
from retrograde.tree import tree_flatten, tree_leaves, tree_map, tree_unflatten
from retrograde.types import kind_of, type_of


class _Run:
    """One forward pass on values with tangents; `tangent(leaf)` says each differentiated leaf's, in their order."""

    def __init__(self, f: Callable, args: Sequence[Any], argnums: Sequence[int], has_aux: bool, tangent: Callable[[Any], Any]):
        args = list(args)
        names = input_names(f, args)
        taken = []
        for i in argnums:
            leaves, structure = tree_flatten(args[i])
            leaves = [differentiable(leaf, n) for leaf, n in zip(leaves, names[i])]
            taken.append((i, leaves, names[i], structure))
        self.leaves = [leaf for _, leaves, _, _ in taken for leaf in leaves]
        self.structures = [(structure, len(leaves)) for _, leaves, _, structure in taken]
        given = iter([tangent(leaf) for leaf in self.leaves])
        forward = Forward(Tracer, user_location)
        for i, leaves, found, structure in taken:
            symbols = [new_input(forward, leaf, name) for leaf, name in zip(leaves, found)]
            for symbol in symbols:
                forward.give(symbol, next(given))
            args[i] = tree_unflatten(structure, symbols)
        result, aux = split_aux(f(*args), has_aux)
        outputs, self.structure = tree_flatten(result)
        pairs = [forward.split(as_output(out)) for out in outputs]
        self.outputs = [x for x, _ in pairs]
        self.tangents = [np.zeros(np.shape(x), x.dtype)[()] if t is None else t for x, t in pairs]
        self.aux = tree_map(lambda leaf: forward.split(leaf)[0], aux)
        forward.closed = True


def jvp(f: Callable, primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False) -> tuple:
    """`f(*primals)` and its derivative along `tangents`, by one forward pass that keeps nothing.

    `primals` and `tangents` are tuples or lists with one pytree for each argument, alike in structure, shapes and dtypes.
    Returns `(output, tangent)`, both of the output's pytree, or, with `has_aux`, `(output, tangent, aux)`. An output that is
    not floating-point has no derivative: its tangent is zeros of its dtype. Costs about two to three times what `f` does.
    Raises `DifferentiationError` for arguments that are integers or bools (close over them instead), and for tangents that
    do not fit. Forward mode: R. E. Wengert, 1964, "A simple automatic derivative evaluation program".
    """
    leaves = iter(_tangent_leaves("jvp", f, primals, tangents))
    run = _Run(f, primals, range(len(primals)), has_aux, lambda leaf: next(leaves))
    given = (*tree_leaves(primals), *tree_leaves(tangents))
    flat = owned([*run.outputs, *run.tangents], given)
    count = len(run.outputs)
    output, tangent = (tree_unflatten(run.structure, part) for part in (flat[:count], flat[count:]))
    return (output, tangent, run.aux) if has_aux else (output, tangent)


def linearize(f: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """`f(*primals)` and the linear function of tangents that is its derivative there.

    Returns `(output, push)` or, with `has_aux`, `(output, push, aux)`; `push(*tangents)` is `jvp`'s tangent and may be called
    any number of times: what does not depend on tangents is computed once and kept. A loop (`scan`) keeps no steps: each push
    runs it again.
    """
    line = _Line(f, primals, range(len(primals)), has_aux)
    output = tree_unflatten(line.run.structure, owned(line.run.outputs, tree_leaves(primals)))

    def push(*tangents: Any) -> Any:
        leaves = _tangent_leaves("the linearized function", f, primals, tangents)
        with np.errstate(all="ignore"):
            found = evaluate(line.graph, leaves)
        return tree_unflatten(line.run.structure, owned(found, [*leaves, *line.graph.constants.values()]))

    return (output, push, line.run.aux) if has_aux else (output, push)


class _Line:
    """A function's derivative as the graph (tangents of the leaves) -> (tangents of the outputs)."""

    def __init__(self, f: Callable, args: Sequence[Any], argnums: Sequence[int], has_aux: bool = False):
        builder = tracing(concrete=False)
        self.run = _Run(f, args, argnums, has_aux, lambda leaf: builder.input(type_of(leaf)))
        self.graph = builder.finish(self.run.tangents)

    def push_all(self, number: int, holomorphic: bool = False) -> list[Any]:
        """The derivatives of all outputs by one leaf: each of shape (output's) + (leaf's), columns side by side.

        By a complex leaf, unless the outputs are holomorphic, in two passes: along real and along imaginary directions.
        """
        leaf = type_of(self.run.leaves[number])
        graph = _along(self.graph, number)
        starts = range(0, max(leaf.size, 1), ROWS)
        parts = [self._columns(graph, number, start, min(start + ROWS, leaf.size)) for start in starts]
        if leaf.dtype.kind == "c" and not holomorphic:
            turned = [self._columns(graph, number, start, min(start + ROWS, leaf.size), 1j) for start in starts]
            parts = [[a + 1j * b for a, b in zip(*both)] for both in zip(parts, turned)]
        joined = [columns[0] if len(columns) == 1 else np.concatenate(columns) for columns in zip(*parts)]
        shapes = [(*np.shape(out), *leaf.shape) for out in self.run.outputs]
        return owned([np.reshape(np.moveaxis(x, 0, -1), shape) for x, shape in zip(joined, shapes)])

    def _columns(self, graph: Graph, number: int, start: int, stop: int, unit: complex = 1) -> list[Any]:
        lanes, types = Lanes(stop - start), [var.type for var in graph.inputs]
        tangents = [np.zeros(t.shape, t.dtype)[()] for t in types]
        tangents[number] = basis(lanes.size, types[number], start, list(graph.constants.values()), unit)
        with np.errstate(all="ignore"):
            found, differ = lanes.evaluate(graph, tangents, [i == number for i in range(len(tangents))])
        return [spread(lanes, x, m) for x, m in zip(found, differ)]


def _along(graph: Graph, number: int) -> Graph:
    """A derivative's graph for tangents that are zero but for one: what only adds zeros is dropped."""
    moving: set[Atom] = set(graph.inputs)
    nothing: set[Atom] = moving - {graph.inputs[number]}
    known: dict[Atom, Atom] = {}
    equations = []
    for eq in graph.equations:
        eq = eq.replace(tuple(known.get(atom, atom) for atom in eq.inputs))
        if eq.primitive in (ew.add, ew.subtract):
            x, y = eq.inputs if eq.primitive is ew.subtract or eq.inputs[0] not in nothing else reversed(eq.inputs)
            if y in nothing and x not in nothing and x.type == eq.outputs[0].type:
                known[eq.outputs[0]] = x
                continue
        equations.append(eq)
        through = [atom for atom in eq.inputs if atom in moving]
        if through:
            moving.update(eq.outputs)
        if through and not eq.primitive.multiple and nothing.issuperset(through):
            nothing.add(eq.outputs[0])
    outputs = tuple(known.get(atom, atom) for atom in graph.outputs)
    return eliminate_dead(Graph(graph.inputs, equations, outputs, graph.constants))


def jacfwd(f: Callable, argnums: int | Sequence[int] = 0, holomorphic: bool = False) -> Callable:
    """All derivatives of a function by a forward pass for each element of argument `argnums`, side by side.

    The result is `jacobian`'s (which is `jacrev`): the pytree of the output, each leaf replaced by the pytree of the argument,
    with leaves of shape (output's shape) + (parameter's shape). Forward mode suits functions with fewer inputs than outputs.
    """
    wanted, several = wanted_of(argnums)

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        line = _Line(with_kwargs(f, kwargs), args, positions_of(wanted, args))
        check_directions(f, line.run.leaves, line.run.outputs, holomorphic)
        if holomorphic:
            check_holomorphic(f, line.run.leaves, line.run.outputs)
        for i, out in enumerate(line.run.outputs):
            if kind_of(out.dtype) not in "fc":
                raise DifferentiationError(f"output {i} has dtype {out.dtype}; only floating-point outputs have a Jacobian")
        by_leaf = [line.push_all(k, holomorphic) for k in range(len(line.run.leaves))]
        jacobians = []
        for columns in zip(*by_leaf) if by_leaf else [()] * len(line.run.outputs):
            leaves = iter(columns)
            trees = [tree_unflatten(structure, [next(leaves) for _ in range(n)]) for structure, n in line.run.structures]
            jacobians.append(tuple(trees) if several else trees[0])
        return tree_unflatten(line.run.structure, jacobians)

    return wrapped


def hessian(f: Callable, argnums: int | Sequence[int] = 0) -> Callable:
    """All second derivatives by real arguments, forward over reverse: `jacfwd` of `jacobian`.

    For a scalar `f` of one array of shape s the result has shape s + s; for pytrees, the tree of the argument in each leaf of
    the tree of the argument. Costs about as many gradients as the argument has elements; for its product with one
    vector, at the price of about two gradients, and for complex arguments see `hvp`.
    """
    return jacfwd(jacobian(f, argnums), argnums)


def hvp(f: Callable, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple:
    """The Hessian of a scalar function times a vector, without the Hessian: the gradient's derivative along `tangents`.

    `primals` and `tangents` are as in `jvp`; the result is a tuple like `primals`, of the Hessian over all of them together.
    The R-operator of B. A. Pearlmutter, 1994, "Fast exact multiplication by the Hessian", which costs about two gradients.
    """
    if not isinstance(primals, (tuple, list)):
        raise _not_a_tuple("hvp", "primals", primals)
    return jvp(grad(f, argnums=tuple(range(len(primals)))), primals, tangents)[1]


def _not_a_tuple(who: str, what: str, given: Any) -> DifferentiationError:
    return DifferentiationError(
        f"{who}: {what} must be a tuple or list with one entry for each argument, such as (x,); it is a {type(given).__name__}"
    )


def _tangent_leaves(who: str, f: Callable, primals: Any, tangents: Any) -> list[Any]:
    """The leaves of the tangents, after a check that each fits its primal."""
    for what, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, (tuple, list)):
            raise _not_a_tuple(who, what, given)
    if len(primals) != len(tangents):
        raise DifferentiationError(f"{who}: one tangent for each argument; there are {len(primals)} and {len(tangents)} tangents")
    found = []
    for names, primal, tangent in zip(input_names(f, primals), primals, tangents):
        leaves, structure = tree_flatten(primal)
        given, other = tree_flatten(tangent)
        if other != structure:
            raise DifferentiationError(f"{who}: a tangent must have its argument's structure {structure}; it has {other}")
        for name, leaf, t in zip(names, leaves, given):
            differentiable(leaf, name)
            refuse_subclasses(t)
            expected, actual = type_of(leaf), type_of(t)
            if type(t) in ((int, float, complex) if expected.dtype.kind == "c" else (int, float)):
                actual = actual.with_dtype(expected.dtype)
            if actual != expected:
                raise DifferentiationError(
                    f"{who}: the tangent of `{name}` must be of its shape and dtype, {expected}; it is {actual}. Give one of "
                    f"that shape, and cast it with t.astype({expected.dtype}) if need be"
                )
            found.append(t if isinstance(t, Tracer) else np.asarray(t, expected.dtype)[()])
    return found


__all__ = ["hessian", "hvp", "jacfwd", "jvp", "linearize"]
