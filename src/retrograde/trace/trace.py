"""Trace a function: call it with tracers and keep the graph they record."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from retrograde.errors import UnsupportedError
from retrograde.ir import Builder, Graph
from retrograde.ir.primitive import innermost_level
from retrograde.ops.promote import refuse_subclasses
from retrograde.trace.storage import Storage
from retrograde.trace.tracer import Tracer
from retrograde.tree import tree_flatten, tree_paths, tree_unflatten
from retrograde.types import kind_of, type_of

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_NUMPY = os.path.dirname(os.path.abspath(np.__file__))
_PARTS = ("ir", "ops", "numpy", "trace", "autodiff", "batching", "control")
_OWN = tuple(os.path.join(_HERE, part) + os.sep for part in _PARTS) + (
    _NUMPY + os.sep, *(os.path.join(_HERE, name) for name in ("transforms.py", "pushforward.py", "custom.py", "vectorize.py")),
)  # fmt: skip


_opened: ContextVar[int] = ContextVar("opened", default=0)


@contextmanager
def opened(longest: int) -> Iterator[None]:
    """While a function is traced to be looked into: loops of up to `longest` steps are recorded step by step, and of branches
    the one that is taken.
    """
    token = _opened.set(longest)
    try:
        yield
    finally:
        _opened.reset(token)


def opens() -> int:
    """The longest loop that is recorded step by step here; 0 where none is, and inside of a body, which has no numbers."""
    return 0 if innermost_level() else _opened.get()


def user_location() -> tuple[str, int, str] | None:
    """File, line and function of the code that called into retrograde or NumPy."""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if not code.co_filename.startswith(_OWN):
            return code.co_filename, frame.f_lineno, code.co_name
        frame = frame.f_back
    return None


def tracing(concrete: bool, lanes: int | None = None) -> Builder:
    """A builder whose symbols are tracers; a concrete one computes as it records; in one for `vmap` each is `lanes` values."""
    builder = Builder(Tracer, concrete=concrete, locate=user_location)
    builder.lanes = lanes
    return builder


def new_input(builder: Any, value: Any, name: str | None = None) -> Tracer:
    """A traced input that stands for `value` (an array, a tracer of an outer trace, or a Python number).

    One with a `name` is an argument, the caller's own, which may not be written into.
    """
    refuse_subclasses(value)
    weak = type(value) in (bool, int, float, complex) or getattr(value, "weak", False)
    if not isinstance(value, (np.ndarray, np.generic, Tracer)):
        array = np.asarray(value)
        if kind_of(array.dtype) not in "fiubc":
            raise UnsupportedError(
                f"a value of type {type(value).__name__} (dtype {array.dtype}) cannot be traced; arguments are arrays, "
                "numbers, or tuples, lists, dicts and modules of them. Other arguments: static_argnums of rg.jit, or a "
                "closure"
            )
        value = array[()]
    elif kind_of(value.dtype) not in "fiubc":
        raise UnsupportedError(f"an array of dtype {value.dtype} cannot be traced; convert it with x.astype(float)")
    if isinstance(value, np.ndarray) and not value.dtype.isnative:
        value = value.astype(value.dtype.newbyteorder("="))
    tracer = builder.input(type_of(value), name, value)
    tracer.weak = weak
    if name is not None:
        tracer.storage = Storage(tracer, argument=name)
    return tracer


def input_names(f: Callable, args: Sequence[Any]) -> list[list[str]]:
    """For each argument, readable names of its leaves: the parameter's, with the path inside it."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = []
    for i, arg in enumerate(args):
        if i < len(parameters) and parameters[i].kind is not inspect.Parameter.VAR_POSITIONAL:
            base = parameters[i].name
        else:
            base = f"arg{i}"
        names.append([base + "".join(f".{key}" for key in path) for path in tree_paths(arg)])
    return names


def trace_to_graph(f: Callable, args: Sequence[Any]) -> tuple[Graph, Any]:
    """The graph of `f` at arguments of these types, inputs being the leaves of `args`; and the tree of its result."""
    builder = tracing(concrete=False)
    traced = []
    for arg, names in zip(args, input_names(f, args)):
        leaves, structure = tree_flatten(arg)
        traced.append(tree_unflatten(structure, [new_input(builder, x, n) for x, n in zip(leaves, names)]))
    with opened(0):  # what is compiled may be called again
        outputs, structure = tree_flatten(f(*traced))
    return builder.finish([as_output(out) for out in outputs]), structure


def as_output(value: Any) -> Any:
    """A leaf of a function's result, as something a graph can return."""
    if isinstance(value, Tracer):
        return value
    array = np.asarray(value)
    if kind_of(array.dtype) not in "fiubc":
        raise UnsupportedError(
            f"a traced function returned a {type(value).__name__}; it may return arrays, numbers, and tuples, lists, dicts "
            "and modules of them"
        )
    return array
