"""`grad`, `value_and_grad`, `vjp`, `jacobian`: trace, backpropagate, evaluate.

Eagerly, the traced function runs once with real numbers (so Python's `if` and `for` work on values); its graph keeps
them, `backprop` makes the graph of the backward pass, and that is evaluated on the kept values. Inside another trace the
same steps record instead of compute: so transforms nest and compile.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograde.autodiff import Backward, backprop
from retrograde.batching import Lanes
from retrograde.errors import DifferentiationError
from retrograde.ir import Builder, Graph, Var, evaluate
from retrograde.ops import elementwise as ew
from retrograde.ops.complex import conjugate
from retrograde.ops.promote import astype
from retrograde.ops.shape import spread
from retrograde.trace import Tracer, trace_to_graph, tracing
from retrograde.trace.trace import as_output, input_names, new_input
from retrograde.tree import tree_flatten, tree_leaves, tree_map, tree_unflatten
from retrograde.types import ArrayType, kind_of, type_of

ROWS = 128  # of a Jacobian at a time: many enough to amortize each operation, few enough to bound what they hold


def trace(f: Callable) -> Callable[..., Graph]:
    """`trace(f)(*args)` is the graph of `f` at arguments of these shapes and dtypes; print it to read it."""

    @functools.wraps(f)
    def traced(*args: Any) -> Graph:
        return trace_to_graph(f, args)[0]

    return traced


class _Linearized:
    """One forward pass, and the backward pass that belongs to it."""

    def __init__(
        self, f: Callable, args: Sequence[Any], argnums: Sequence[int], has_aux: bool, scalar: bool, hold: Any = None,
        holomorphic: bool = False,
    ):  # fmt: skip
        args = list(args)
        builder = tracing(concrete=True)
        names = input_names(f, args)
        self.structures = []
        self.leaves: list[list[Any]] = []
        for i in argnums:
            leaves, structure = tree_flatten(args[i])
            tracers = [new_input(builder, differentiable(leaf, n), n) for leaf, n in zip(leaves, names[i])]
            self.structures.append(structure)
            self.leaves.append(tracers)
            args[i] = tree_unflatten(structure, tracers)
        result = f(*args)
        result, aux = split_aux(result, has_aux)
        outputs, self.out_structure = tree_flatten(result)
        if scalar:
            check_scalar(f, outputs, holomorphic)
        outputs = [as_output(out) for out in outputs]
        if holomorphic:
            check_holomorphic(f, [leaf for leaves in self.leaves for leaf in leaves], outputs)
        graph = builder.finish(outputs)
        self.aux = tree_map(lambda leaf: _value_in(builder, leaf), aux)
        self.outputs = [_value_in(builder, out) for out in outputs]
        seeds = [i for i, out in enumerate(graph.outputs) if kind_of(out.type.dtype) in "fc"]
        self.seeds = seeds
        self.backward: Backward = backprop(graph, graph.inputs, seeds)
        self.made_by: dict[Var, str] = {}
        for eq in graph.equations:  # a view of an input is that input
            if eq.primitive.lowering != "view" or eq.inputs[0] in self.made_by:
                self.made_by.update((out, eq.primitive.name) for out in eq.outputs)
        self.held = [self._held(var, hold) for var in self.backward.kept]
        kept = [astype(builder.values[var], t.dtype) for var, t in zip(self.backward.kept, self.held)]
        self.kept = [x.snapshot() if isinstance(x, Tracer) else x for x in kept]
        self.types = [var.type for var in graph.inputs]

    def _held(self, var: Var, hold: Any) -> ArrayType:
        """How a value is kept; narrow if it was computed, and is more than one number (a mean, a sum) for each point."""
        shape, narrow = var.type.shape, hold is not None and var in self.made_by and var.type.dtype == np.float32
        return var.type.with_dtype(hold) if narrow and var.type.size > max(shape, default=1) else var.type

    def _values(self) -> list[Any]:
        """What was kept, in its own dtypes."""
        return [astype(x, var.type.dtype) for x, var in zip(self.kept, self.backward.kept)]

    def pull(self, cotangents: Sequence[Any], conjugated: bool = True) -> list[Any]:
        """Cotangents of the differentiated arguments, as their pytrees.

        Inside, a cotangent is that of the linear transpose (see `ops/complex.py`); outside, its conjugate.
        """
        if conjugated:
            cotangents = conjugates(cotangents)
        with np.errstate(all="ignore"):
            found = evaluate(self.backward.graph, [*self._values(), *cotangents])
        flat = owned([
            np.zeros(t.shape, t.dtype)[()] if i is None else found[i] for t, i in zip(self.types, self.backward.reached)
        ], [*self.kept, *cotangents])  # fmt: skip
        return self._as_trees(conjugates(flat) if conjugated else flat)

    def pull_all(self, output: int, holomorphic: bool = False) -> list[Any]:
        """All derivatives of one output, as pytrees of the arguments; in front of each leaf's axes come the output's.

        The backward passes of the output's elements run side by side, up to `ROWS` of them at a time. A complex output of real
        arguments has a second pass, for its imaginary part; a real one of complex arguments has gradients for rows.
        """
        out = self.outputs[output]
        starts = range(0, max(out.size, 1), ROWS)
        parts = [self._rows(output, start, min(start + ROWS, out.size)) for start in starts]
        if holomorphic:
            pass
        elif out.dtype.kind == "c":
            turned = [self._rows(output, start, min(start + ROWS, out.size), -1j) for start in starts]
            parts = [[a + 1j * b for a, b in zip(*both)] for both in zip(parts, turned)]
        else:
            parts = [conjugates(rows) for rows in parts]
        joined = [rows[0] if len(rows) == 1 else np.concatenate(rows) for rows in zip(*parts)]
        return self._as_trees([np.reshape(rows, (*out.shape, *t.shape)) for rows, t in zip(joined, self.types)])

    def _rows(self, output: int, start: int, stop: int, unit: complex = 1) -> list[Any]:
        lanes, out = Lanes(stop - start), self.outputs[output]
        seeds = {i: np.zeros(self.outputs[i].shape, self.outputs[i].dtype)[()] for i in self.seeds}
        seeds[output] = basis(lanes.size, type_of(out), start, self.kept, unit)
        mapped = [False] * len(self.kept) + [i == output for i in self.seeds]
        with np.errstate(all="ignore"):
            found, differ = lanes.evaluate(self.backward.graph, [*self._values(), *seeds.values()], mapped)
        found = [spread(lanes, x, m) for x, m in zip(found, differ)]
        reached = zip(self.types, self.backward.reached)
        return owned([np.zeros((lanes.size, *t.shape), t.dtype) if i is None else found[i] for t, i in reached])

    def _as_trees(self, flat: Sequence[Any]) -> list[Any]:
        result, start = [], 0
        for structure, leaves in zip(self.structures, self.leaves):
            result.append(tree_unflatten(structure, flat[start : start + len(leaves)]))
            start += len(leaves)
        return result


def basis(rows: int, type: ArrayType, start: int, others: Sequence[Any], unit: complex = 1) -> Any:
    """Rows of the identity, times `unit`, from `start` on, each in the shape of a value.

    Recorded where any of the others is traced: compiled loops then compute what is made of it and need no array of that.
    """
    found = np.eye(rows, type.size, start, dtype=type.dtype).reshape(rows, *type.shape)
    found *= np.asarray(unit, type.dtype)
    traced = next((x for x in others if isinstance(x, Tracer)), None)
    return found if traced is None else ew.copy.beside(traced, found)


def value_and_grad(
    f: Callable, argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable:
    """A function that returns `f`'s value and its gradient by one forward and one backward pass.

    `f` returns a 0-d float (with `has_aux`, a pair of it and anything else). The gradient has the pytree of argument
    `argnums` (a tuple of them for a tuple of argnums), each leaf in the shape and dtype of its parameter; a parameter
    that the loss does not depend on gets zeros. Raises `DifferentiationError` for integer parameters and for a loss that
    is not a real scalar.

    By a complex parameter z the gradient is dL/dRe z + i dL/dIm z: the direction of steepest ascent, so that z - rate * gradient
    descends (PyTorch's convention; JAX's `grad` is its conjugate). With `holomorphic`, `f` is a holomorphic function of complex
    arguments to one complex number, and the result is its complex derivative f'(z).
    """
    wanted, several = wanted_of(argnums)

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        positions = positions_of(wanted, args)
        call = with_kwargs(f, kwargs)
        run = _Linearized(call, args, positions, has_aux, scalar=True, holomorphic=holomorphic)
        grads = run.pull([np.ones((), run.outputs[0].dtype)[()] for _ in run.seeds], conjugated=not holomorphic)
        value = (run.outputs[0], run.aux) if has_aux else run.outputs[0]
        return value, (tuple(grads) if several else grads[0])

    return wrapped


def grad(f: Callable, argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False) -> Callable:
    """The gradient of a scalar function; see `value_and_grad`. With `has_aux`, returns (gradient, aux).

    By a complex argument it is dL/dRe + i dL/dIm, the direction of steepest ascent (`docs/complex.md`).
    """
    both = value_and_grad(f, argnums, has_aux, holomorphic)

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapped


def vjp(f: Callable, *primals: Any, has_aux: bool = False, hold: Any = None) -> tuple:
    """`f(*primals)` and the function that pulls a cotangent of the output back to the primals.

    Returns `(output, pullback)` or, with `has_aux`, `(output, pullback, aux)`. `pullback(ct)` takes the pytree of the
    output and returns a tuple, one cotangent tree a primal; it may be called any number of times. With `hold`, bfloat16 or
    float16, the float32 arrays that the pullback needs of the forward pass are held in that dtype.

    Of complex numbers, a cotangent is dL/dRe + i dL/dIm, as `grad` gives it, both of outputs and of primals.
    """
    run = _Linearized(f, primals, range(len(primals)), has_aux, scalar=False, hold=hold)
    run.kept = owned(run.kept, tree_leaves(primals))  # the caller may write into the primals before pulling back
    output = tree_unflatten(run.out_structure, run.outputs)

    def pullback(ct: Any) -> tuple:
        leaves, structure = tree_flatten(ct)
        if structure != run.out_structure:
            raise DifferentiationError(f"the cotangent must have the output's structure {run.out_structure}; it has {structure}")
        cts = []
        for i in run.seeds:
            out, leaf = run.outputs[i], leaves[i]
            if np.shape(leaf) != np.shape(out):
                raise DifferentiationError(f"the cotangent has shape {np.shape(leaf)}, the output {np.shape(out)}")
            dtype = leaf.dtype if isinstance(leaf, Tracer) else np.asarray(leaf).dtype
            if not np.can_cast(dtype, out.dtype, "same_kind"):
                raise DifferentiationError(f"the cotangent has dtype {dtype}, the output {out.dtype}")
            cts.append(astype(leaf, out.dtype) if isinstance(leaf, Tracer) else np.asarray(leaf, out.dtype)[()])
        return tuple(run.pull(cts))

    return (output, pullback, run.aux) if has_aux else (output, pullback)


def jacobian(f: Callable, argnums: int | Sequence[int] = 0, holomorphic: bool = False) -> Callable:
    """All derivatives of an array-valued function: a backward pass for each output element, side by side (reverse mode).

    The result has the pytree of the output; each of its leaves is replaced by the pytree of argument `argnums`, with
    leaves of shape (output's shape) + (parameter's shape). Real outputs have gradients as rows (`grad`'s, by complex arguments);
    complex outputs of real arguments complex derivatives. Complex outputs of complex arguments have derivatives only where they
    are holomorphic: say so by `holomorphic`.
    """
    wanted, several = wanted_of(argnums)

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        positions = positions_of(wanted, args)
        run = _Linearized(with_kwargs(f, kwargs), args, positions, False, scalar=False, holomorphic=holomorphic)
        check_directions(f, [leaf for leaves in run.leaves for leaf in leaves], run.outputs, holomorphic)
        jacobians = []
        for i, out in enumerate(run.outputs):
            if i not in run.seeds:
                raise DifferentiationError(f"output {i} has dtype {out.dtype}; only floating-point outputs have a Jacobian")
            trees = run.pull_all(i, holomorphic)
            jacobians.append(tuple(trees) if several else trees[0])
        return tree_unflatten(run.out_structure, jacobians)

    return wrapped


jacrev = jacobian


def held_for_backward(
    f: Callable, argnums: int | Sequence[int] = 0, hold: Any = None
) -> Callable[..., list[tuple[str, ArrayType]]]:
    """`held_for_backward(f)(*args)` lists what the backward pass needs of the forward pass: (operation, type) of each array.

    The sum of their `nbytes` is backpropagation's price in memory for one call. Parameters and inputs count as "input".
    `hold` is that of `vjp`.
    """
    wanted = wanted_of(argnums)[0]

    def listed(*args: Any) -> list[tuple[str, ArrayType]]:
        run = _Linearized(f, args, positions_of(wanted, args), False, scalar=False, hold=hold)
        return [(run.made_by.get(var, "input"), held) for var, held in zip(run.backward.kept, run.held)]

    return listed


def kept_for_backward(f: Callable, hold: Any = None) -> Callable[..., list[Any]]:
    """The same by the values themselves, for the derivative by the first argument; `trace` it to see where they come from."""
    return lambda *args: list(_Linearized(f, args, [0], False, scalar=False, hold=hold).kept)


def wanted_of(argnums: Any) -> tuple[tuple[int, ...], bool]:
    """The arguments asked for, and whether the answer is a tuple of theirs."""
    try:
        return (operator.index(argnums),), False
    except TypeError:
        pass
    try:
        return tuple(operator.index(i) for i in argnums), True
    except TypeError:
        raise DifferentiationError(
            f"argnums is the position of an argument, or a tuple of positions; it is {argnums!r}"
        ) from None


def positions_of(wanted: Sequence[int], args: Sequence[Any]) -> list[int]:
    positions = [_position(i, args) for i in wanted]
    if len(set(positions)) < len(positions):
        raise DifferentiationError(f"argnums={tuple(wanted)} names an argument twice; name each once")
    return positions


def _position(argnum: int, args: Sequence[Any]) -> int:
    if not -len(args) <= argnum < len(args):
        raise DifferentiationError(
            f"argnums={argnum} asks for the derivative by positional argument {argnum}, but the function was called with "
            f"{len(args)} positional argument(s); pass it by position"
        )
    return argnum % len(args)


def with_kwargs(f: Callable, kwargs: dict) -> Callable:
    if not kwargs:
        return f
    return functools.wraps(f)(lambda *args: f(*args, **kwargs))


def owned(arrays: list[Any], others: Sequence[Any] = ()) -> list[Any]:
    """Results in memory of their own, free to be written: copies of views, and of what was returned or given already."""
    given = {id(x) for x in others}
    result = []
    for x in arrays:
        if isinstance(x, Tracer):
            x = x.snapshot()
        elif isinstance(x, np.ndarray) and (not x.flags.owndata or not x.flags.writeable or id(x) in given):
            x = x.copy()
        given.add(id(x))
        result.append(x)
    return result


def split_aux(result: Any, has_aux: bool) -> tuple[Any, Any]:
    if not has_aux:
        return result, None
    if not (isinstance(result, tuple) and len(result) == 2):
        raise DifferentiationError(f"has_aux=True: the function must return (value, aux); it returned {type(result).__name__}")
    return result


def _value_in(builder: Builder, leaf: Any) -> Any:
    return builder.value(leaf.atom) if isinstance(leaf, Tracer) and leaf._builder is builder else leaf


def differentiable(leaf: Any, name: str) -> Any:
    dtype = leaf.dtype if isinstance(leaf, (np.ndarray, np.generic, Tracer)) else np.asarray(leaf).dtype
    if kind_of(dtype) not in "fc":
        shown = f"{leaf!r}" if np.ndim(leaf) == 0 else f"an array of dtype {dtype}"
        raise DifferentiationError(
            f"the derivative by `{name}` was asked for, but it is {shown}; derivatives are taken by real or complex "
            "floating-point numbers. Pass a float (2.0 instead of 2, x.astype(float)), or choose other arguments with argnums; "
            "of a network with buffers take nn.partition(net)[0]"
        )
    return leaf


def conjugates(xs: Sequence[Any]) -> list[Any]:
    """The complex among them conjugated."""
    return [conjugate(x) if x.dtype.kind == "c" else x for x in xs]


def check_holomorphic(f: Callable, leaves: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Raise unless all are complex."""
    for what, xs in (("an argument", leaves), ("a result", outputs)):
        if real := [t for t in map(type_of, xs) if t.dtype.kind != "c"]:
            name = getattr(f, "__name__", "the function")
            raise DifferentiationError(
                f"holomorphic=True wants complex arguments and results; {name} has {what} of dtype {real[0].dtype}. Cast it with "
                "x.astype(complex), or leave holomorphic out"
            )


def check_directions(f: Callable, leaves: Sequence[Any], outputs: Sequence[Any], holomorphic: bool) -> None:
    """Raise where a complex output of complex arguments would want more than one number for its derivative."""
    if not holomorphic and all(any(type_of(x).dtype.kind == "c" for x in xs) for xs in (leaves, outputs)):
        raise DifferentiationError(
            f"{getattr(f, '__name__', 'the function')} has complex arguments and a complex result: unless it is holomorphic its "
            "derivative is no one complex number. Say holomorphic=True if it is, or take the derivatives of its parts, or use "
            "rg.jvp, rg.vjp or rg.hvp"
        )


def check_scalar(f: Callable, outputs: list, holomorphic: bool = False) -> None:
    name = getattr(f, "__name__", "the function")
    if len(outputs) != 1:
        raise DifferentiationError(
            f"grad wants a function that returns one number; {name} returned {len(outputs)} values. Return the loss alone, or "
            "(loss, aux) with has_aux=True"
        )
    out = as_output(outputs[0])
    if out.shape == () and out.dtype.kind == "c":
        if holomorphic:
            return
        raise DifferentiationError(
            f"grad wants a real loss; {name} returned a complex number ({out.dtype}), of which nothing is steepest. Return a "
            "real one, such as np.abs(z) ** 2 or z.real; for the derivative of a holomorphic function say holomorphic=True"
        )
    if out.shape != () or out.dtype.kind != "f":
        raise DifferentiationError(
            f"grad wants a 0-d real loss; {name} returned shape {out.shape}, dtype {out.dtype}. Reduce it (np.mean, np.sum), "
            "or use rg.jacobian or rg.vjp for array-valued functions"
        )


__all__ = ["grad", "held_for_backward", "jacobian", "jacrev", "trace", "value_and_grad", "vjp"]
