"""`checkpoint`, `custom_pullback`, `stop_gradient`: what a person says about the derivative of a function of their own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograde.errors import DifferentiationError
from retrograde.ir import Builder, Graph
from retrograde.ir.graph import eliminate_dead
from retrograde.ops import elementwise as ew
from retrograde.ops import nested
from retrograde.trace import Tracer, tracing
from retrograde.trace.trace import as_output, new_input
from retrograde.tree import tree_flatten, tree_map, tree_unflatten
from retrograde.types import kind_of, type_of


def stop_gradient(x: Any) -> Any:
    """The same pytree, constant to every derivative: no cotangent and no tangent passes."""
    return tree_map(lambda leaf: ew.stop_gradient(leaf) if isinstance(leaf, Tracer) else leaf, x)


def checkpoint(f: Callable) -> Callable:
    """`f`, of which the backward pass keeps nothing but the arguments: it computes `f` once more.

    Gradients are those of `f`. Between the forward and the backward pass only arguments are held; the price is one more
    evaluation of `f` for each derivative taken in reverse. In a chain of n equal steps, checkpoints around each sqrt(n) of them
    hold about 2 sqrt(n) values instead of n (A. Griewank and A. Walther, 2008, "Evaluating Derivatives", chapter 12). The
    function is traced once for all values, so a Python `if` on one raises `TracerBoolError`, as under `jit`.
    """

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = tree_flatten((args, kwargs))
        traced = [isinstance(leaf, Tracer) for leaf in leaves]
        if not any(traced):
            return f(*args, **kwargs)
        builder = tracing(concrete=False)
        inner = [new_input(builder, x) if t else x for x, t in zip(leaves, traced)]
        args, kwargs = tree_unflatten(structure, inner)
        outputs, returned = tree_flatten(f(*args, **kwargs))
        graph = builder.finish([as_output(out) for out in outputs])
        operands = [x for x, t in zip(leaves, traced) if t]
        (body,), closed = nested.close([graph], len(operands))
        return tree_unflatten(returned, nested.checkpoint(*operands, *closed, body=body, again=False))

    return wrapped


def custom_pullback(f: Callable | None = None, *, has_residuals: bool = False) -> Any:
    """A function with a rule of your own for its cotangents, given with `def_pullback`.

        @rg.custom_pullback
        def f(x, y): ...

        @f.def_pullback
        def rule(ct, out, x, y): return ct_x, ct_y

    The rule gets the cotangent of the output, the output and the arguments, and returns a tuple with a cotangent for each
    argument: its pytree, shapes and dtypes, or None for zero; what it gives for integers is not read. With `has_residuals`,
    `f` returns (output, residuals), callers get the output, and the rule is called with (ct, residuals). Arguments are
    positional pytrees of arrays; Python ints, bools and strings among them are passed on as they are. Function and rule are
    written in NumPy and traced once for all values, so every transform composes with them: `vmap` maps both, higher
    derivatives go through the rule, and forward mode is the rule transposed, which needs it to be linear in the cotangent. Of
    complex numbers the rule gets and gives what `grad` does, dL/dRe + i dL/dIm: for a holomorphic f it is ct * np.conj(f'(x)).
    """
    if f is None:
        return lambda g: CustomPullback(g, has_residuals)
    return CustomPullback(f, has_residuals)


class CustomPullback:
    """A function and its rule; see `custom_pullback`."""

    def __init__(self, f: Callable, has_residuals: bool):
        self.f, self.has_residuals = f, has_residuals
        self.rule: Callable | None = None
        self.name = getattr(f, "__name__", "the function")
        functools.update_wrapper(self, f, updated=())

    def def_pullback(self, rule: Callable) -> Callable:
        """Give the rule: `rule(ct, out, *args)`, or `rule(ct, residuals)` with `has_residuals`."""
        self.rule = rule
        return rule

    def __call__(self, *args: Any) -> Any:
        """The function's output."""
        if self.rule is None:
            raise DifferentiationError(f"{self.name} has no rule yet: decorate one with @{self.name}.def_pullback")
        leaves, structure = tree_flatten(args)
        if not any(isinstance(leaf, Tracer) for leaf in leaves):
            return self._split(self.f(*args))[0]
        taken = [isinstance(leaf, (Tracer, np.ndarray, np.generic, float, complex)) for leaf in leaves]
        operands = [leaf for leaf, t in zip(leaves, taken) if t]
        builder = tracing(concrete=False)
        result, residuals = self._split(self.f(*self._arguments(builder, leaves, taken, structure)))
        outputs, returned = tree_flatten(result)
        outputs = [as_output(out) for out in outputs]
        held, holding = tree_flatten(residuals if self.has_residuals else tree_unflatten(returned, outputs))
        kept = [x for x in held if _belongs(x, builder)]
        held = [... if _belongs(x, builder) else x for x in held]  # the places of what is kept
        forward = builder.finish([*outputs, *kept])
        body = eliminate_dead(Graph(forward.inputs, forward.equations, forward.outputs[: len(outputs)], forward.constants))
        rule = self._trace_rule(leaves, taken, structure, forward, body, returned, held, holding)
        (body, forward, rule), closed = nested.close([body, forward, rule], len(operands))
        found = nested.custom(
            *operands, *closed, body=body, forward=forward, rule=rule, kept=False, count=len(operands), name=self.name
        )
        return tree_unflatten(returned, found)

    def _arguments(self, builder: Builder, leaves: Sequence[Any], taken: Sequence[bool], structure: Any) -> Any:
        return tree_unflatten(structure, [new_input(builder, x) if t else x for x, t in zip(leaves, taken)])

    def _split(self, result: Any) -> tuple[Any, Any]:
        if not self.has_residuals:
            return result, None
        if not (isinstance(result, tuple) and len(result) == 2):
            raise DifferentiationError(
                f"has_residuals=True: {self.name} must return (output, residuals); it returned a {type(result).__name__}"
            )
        return result

    def _trace_rule(
        self, leaves: list, taken: list, structure: Any, forward: Graph, body: Graph, returned: Any, held: list, holding: Any
    ) -> Graph:
        """The rule as a graph: operands, residuals, cotangents of the outputs that are floats, to those of the operands."""
        builder = tracing(concrete=False)
        args = self._arguments(builder, leaves, taken, structure)
        stored = iter([builder.input(atom.type) for atom in forward.outputs[len(body.outputs) :]])
        residuals = tree_unflatten(holding, [next(stored) if x is ... else x for x in held])
        types = [atom.type for atom in body.outputs]
        cts = [builder.input(t) if kind_of(t.dtype) in "fc" else np.zeros(t.shape, t.dtype)[()] for t in types]
        ct = tree_unflatten(returned, cts)
        assert self.rule is not None
        found = self.rule(ct, residuals) if self.has_residuals else self.rule(ct, residuals, *args)
        if not isinstance(found, tuple) or len(found) != len(args):
            shown = f"a tuple of {len(found)}" if isinstance(found, tuple) else f"a {type(found).__name__}"
            raise DifferentiationError(
                f"the pullback of {self.name} must return a tuple with one cotangent for each of its {len(args)} argument(s), "
                f"such as {'(ct_x,)' if len(args) == 1 else '(ct_x, ct_y)'}; it returned {shown}"
            )
        flat = [ct for i, (given, arg) in enumerate(zip(found, args)) for ct in self._leaves(given, arg, i)]
        floats = [t and kind_of(type_of(x).dtype) in "fc" for x, t in zip(leaves, taken)]
        return builder.finish([ct for ct, wanted in zip(flat, floats) if wanted])

    def _leaves(self, given: Any, arg: Any, i: int) -> list[Any]:
        """The leaves of one argument's cotangent, checked against the argument."""
        expected, structure = tree_flatten(arg)
        if given is None and expected:
            types = [type_of(x) for x in expected]
            return [np.zeros(t.shape, t.dtype)[()] for t in types]
        found, other = tree_flatten(given)
        if other != structure:
            raise DifferentiationError(
                f"the pullback of {self.name} gave cotangent {i} the structure {other}; it must be its argument's, {structure}"
            )
        result = []
        for ct, x in zip(found, expected):
            if isinstance(x, Tracer) and kind_of(x.dtype) in "fc":
                weak = (int, float, complex) if x.dtype.kind == "c" else (int, float)
                actual = type_of(ct).with_dtype(x.dtype) if type(ct) in weak else type_of(ct)
                if actual != x.type:
                    raise DifferentiationError(
                        f"the pullback of {self.name} gave argument {i} a cotangent of type {actual}; it must have the "
                        f"argument's own shape and dtype, {x.type}. Sum over axes that were broadcast, and cast with ct.astype"
                    )
                ct = np.asarray(ct, x.dtype)[()] if not isinstance(ct, Tracer) else ct
            result.append(ct)
        return result


def _belongs(x: Any, builder: Builder) -> bool:
    return isinstance(x, Tracer) and x._builder is builder


__all__ = ["CustomPullback", "checkpoint", "custom_pullback", "stop_gradient"]
