"""`jit`: the one file that runs the stages in order: trace, optimize, plan, emit, run."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograde.errors import ClosesOverTracedError, DataError
from retrograde.ir import Graph, evaluate
from retrograde.memory import MemoryPlan, plan_memory
from retrograde.optimize import optimize
from retrograde.parallel import share_work
from retrograde.trace import Tracer, refuse_subclasses, trace_to_graph
from retrograde.tree import tree_flatten, tree_unflatten
from retrograde.types import ArrayType, type_of


class Compiled:
    """A graph as native code. Print it for the plan: kernels, buffers, peak bytes."""

    def __init__(self, graph: Graph, flush_subnormals: bool = False):
        from retrograde.codegen.module import emit_module, scratch_of
        from retrograde.codegen.work import work_of
        from retrograde.runtime.blas import register_blas
        from retrograde.runtime.executable import Executable
        from retrograde.runtime.llvm import NativeModule, host

        start = time.perf_counter()
        width = host().vector_bytes
        self.source = graph
        self.graph = optimize(graph)
        self.plan: MemoryPlan = plan_memory(self.graph, scratch_of(width))
        self.sharing = share_work(self.graph, self.plan, work_of(width))
        self.ir = emit_module(self.graph, self.plan, self.sharing, width, flush_subnormals)
        if "rg_sgemm" in self.ir or "rg_dgemm" in self.ir:
            register_blas()
        module = NativeModule(self.ir)
        operands = [var.type for var in (*self.graph.inputs, *self.graph.constants)]
        results, sharing = [a.type for a in self.graph.outputs], self.sharing
        entry = "main_flushing" if flush_subnormals else "main"
        self.executable = Executable(module, operands, results, self.plan.peak, bool(sharing), sharing.scratch, entry)
        self.constants = [np.asarray(value) for value in self.graph.constants.values()]
        self.seconds = time.perf_counter() - start

    def __call__(self, arrays: Sequence[Any]) -> list[Any]:
        """The outputs at these leaves."""
        return self.executable([*arrays, *self.constants])

    def run_interruptible(self, arrays: Sequence[Any], on_poll: Any = None) -> tuple[list[Any], bool]:
        """As a call, but Ctrl-C ends the outer loops early; returns (outputs, interrupted)."""
        return self.executable.run_interruptible([*arrays, *self.constants], on_poll)

    def __str__(self) -> str:
        return f"{self.graph}\n\n{self.plan}\n{self.sharing}\n\ncompiled in {self.seconds:.3f} s"


class Jitted:
    """`f`, compiled for each new set of shapes and dtypes it is called with."""

    def __init__(self, f: Callable, static_argnums: Sequence[int] = (), flush_subnormals: bool = False):
        self.f, self.flush_subnormals = f, flush_subnormals
        self.static = frozenset(static_argnums)
        self._cache: dict[Any, tuple[Compiled, Any]] = {}
        functools.update_wrapper(self, f, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run compiled code; inside another trace, be traced."""
        leaves, key = self._leaves(args, kwargs)
        if any(isinstance(leaf, Tracer) for leaf in leaves):
            return self.f(*args, **kwargs)
        try:
            compiled, structure = self._compiled(args, kwargs, key)
        except ClosesOverTracedError:  # inside another trace: become a part of it
            return self.f(*args, **kwargs)
        return tree_unflatten(structure, compiled(leaves))

    def lower(self, *args: Any, **kwargs: Any) -> Compiled:
        """The compiled program for arguments like these, to look at: its graph, plan, LLVM IR."""
        return self._compiled(args, kwargs, self._leaves(args, kwargs)[1])[0]

    def run_interruptible(self, *args: Any, on_poll: Any = None) -> tuple[Any, bool]:
        """As a call in a worker thread; Ctrl-C ends the outermost loops early. Returns (result, interrupted)."""
        leaves, key = self._leaves(args, {})
        compiled, structure = self._compiled(args, {}, key)
        found, interrupted = compiled.run_interruptible(leaves, on_poll)
        return tree_unflatten(structure, found), interrupted

    def _leaves(self, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[list[Any], Any]:
        positions = self._static(args) if self.static else ()
        dynamic = [x for i, x in enumerate(args) if i not in positions] if positions else args
        leaves, structure = tree_flatten((dynamic, kwargs))
        static = tuple(args[i] for i in positions)
        key = (structure, tuple(map(_signature, leaves)), tuple(map(_kinds, static)), static)
        try:
            hash(key)
        except TypeError:
            raise DataError(f"static arguments must be hashable; one of {static!r} is not") from None
        return leaves, key

    def _static(self, args: Sequence[Any]) -> list[int]:
        count = len(args)
        return sorted({i % count for i in self.static if -count <= i < count})

    def _compiled(self, args: Sequence[Any], kwargs: dict[str, Any], key: Any) -> tuple[Compiled, Any]:
        found = self._cache.get(key)
        if found is None:
            positions = self._static(args)
            dynamic = [i for i in range(len(args)) if i not in positions]

            def call(*values: Any) -> Any:
                held = list(args)
                for i, value in zip(dynamic, values):
                    held[i] = value
                return self.f(*held, **values[-1])

            named = call if self.static or kwargs else functools.wraps(self.f)(call)
            graph, structure = trace_to_graph(named, [*(args[i] for i in dynamic), kwargs])
            if any(isinstance(value, Tracer) for value in graph.constants.values()):
                raise ClosesOverTracedError("a jitted function closes over a traced value; pass it as an argument")
            found = self._cache[key] = (Compiled(graph, self.flush_subnormals), structure)
        return found


def _signature(leaf: Any) -> Any:
    if type(leaf) is np.ndarray:
        return leaf.shape, leaf.dtype
    refuse_subclasses(leaf)
    return (type_of(leaf), type(leaf) if type(leaf) in (bool, int, float) else None)


def _kinds(static: Any) -> Any:
    """The types in a static argument: 2, 2.0 and True are equal, but the code for them is not."""
    return (type(static), *map(_kinds, static)) if isinstance(static, (tuple, frozenset)) else type(static)


def jit(
    f: Callable | None = None, *, static_argnums: int | Sequence[int] = (), flush_subnormals: bool = False
) -> Any:
    """Compile `f` to native code: at the first call with new shapes or dtypes it is traced, later calls run the code.

    Arguments are pytrees of arrays; those at `static_argnums` are Python values that the code is specialized on (they
    must be hashable). Results equal the interpreted ones within the rounding of reassociated sums. Under `jit` values are
    unknown while tracing: a Python `if` on one raises `TracerBoolError`. With `flush_subnormals` the code counts numbers
    nearer to zero than 1.2e-38 (float32) or 2.2e-308 (float64) as zero, as arithmetic on them is some hundred times slower.
    """
    static = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
    if f is None:
        return lambda g: Jitted(g, static, flush_subnormals)
    return Jitted(f, static, flush_subnormals)


def interpret(graph: Graph, arrays: Sequence[Any]) -> list[Any]:
    """The same graph, equation by equation in NumPy: what compiled code is tested against."""
    with np.errstate(all="ignore"):
        return evaluate(graph, arrays)


__all__ = ["ArrayType", "Compiled", "Jitted", "interpret", "jit"]
