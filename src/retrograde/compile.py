"""`jit`: the one file that runs the stages in order: trace, optimize, plan, emit, run."""

from __future__ import annotations

import functools
import gc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from retrograde.errors import ClosesOverTracedError, DataError
from retrograde.ir import Graph, evaluate
from retrograde.ir.digest import digest_graph, digest_text
from retrograde.ir.layout import aligned
from retrograde.memory import MemoryPlan, plan_memory
from retrograde.optimize import optimize
from retrograde.parallel import Sharing, share_work
from retrograde.runtime import cache
from retrograde.trace import Tracer, refuse_subclasses, trace_to_graph
from retrograde.tree import tree_flatten, tree_unflatten
from retrograde.types import ArrayType, type_of

WORTH_KEEPING = 0.02  # seconds of compiling; less is about what loading costs in a new process
_STARTED = time.time()


class Compiled:
    """A graph as native code. Print it for the plan: kernels, buffers, peak bytes.

    Code that was made for the same graph before, on this kind of processor and by this version, comes from the disk (see
    `runtime/cache.py`). The optimized `graph`, the memory `plan`, the `sharing` among threads and the LLVM `ir` are then made
    when they are first looked at.
    """

    def __init__(self, graph: Graph, flush_subnormals: bool = False):
        from retrograde.runtime.executable import Executable
        from retrograde.runtime.llvm import NativeModule

        start = time.perf_counter()
        self.source, self.flush_subnormals = graph, flush_subnormals
        key = self._key()
        found = cache.load(key) if key is not None else None
        self.from_cache = found is not None
        with _without_collection():
            facts, code = found or self._make()
        module = NativeModule(code)
        constants = list(graph.constants.items())
        held = [constants[i] for i in facts["constants"]]
        operands, results = [var.type for var in (*graph.inputs, *(var for var, _ in held))], [a.type for a in graph.outputs]
        entry = "main_flushing" if flush_subnormals else "main"
        self.executable = Executable(module, operands, results, facts["peak"], facts["shared"], facts["scratch"], entry)
        self.endless = _has_while(graph)
        self.constants = [np.asarray(value) for _, value in held]
        self.seconds = time.perf_counter() - start
        if key is not None and found is None and self.seconds >= WORTH_KEEPING:
            cache.store(key, cache.Entry(facts, code))

    def _key(self) -> str | None:
        """A name for the object code by all that it depends on; None if that cannot be told, or is not to be kept."""
        from retrograde.runtime.llvm import compiler

        if not cache.enabled():
            return None
        graph, sources = digest_graph(self.source), cache.source_digest(_STARTED)
        if graph is None or sources is None:
            return None
        python = [sys.implementation.cache_tag, object.__basicsize__, np.__version__]  # NumPy folds constants
        return digest_text([graph, sources, python, compiler(), self.flush_subnormals])

    def _make(self) -> cache.Entry:
        """Object code, and what is to be known to run it."""
        from retrograde.runtime.llvm import compile_ir

        ir, places = self.ir, {var: i for i, var in enumerate(self.source.constants)}
        facts = {
            "constants": [places[var] for var in self.graph.constants],
            "peak": self.plan.peak, "shared": bool(self.sharing), "scratch": self.sharing.scratch,
        }  # fmt: skip
        return cache.Entry(facts, compile_ir(ir))

    @functools.cached_property
    def graph(self) -> Graph:
        """The graph that is compiled: optimized."""
        from retrograde.runtime.llvm import host

        return optimize(self.source, host().pairs)

    @functools.cached_property
    def plan(self) -> MemoryPlan:
        """Where every value lies, and when."""
        from retrograde.codegen.module import scratch_of
        from retrograde.runtime.llvm import host

        return plan_memory(self.graph, scratch_of(host().vector_bytes))

    @functools.cached_property
    def sharing(self) -> Sharing:
        """What a team of threads shares, and where it waits."""
        from retrograde.codegen.work import work_of
        from retrograde.runtime.llvm import host

        return share_work(self.graph, self.plan, work_of(host().vector_bytes))

    @property
    def ir(self) -> str:
        """The LLVM IR, before LLVM's own passes."""
        return self._emitted.text

    @functools.cached_property
    def _emitted(self) -> Any:
        from retrograde.codegen.module import emit_module
        from retrograde.codegen.subnormals import flushing
        from retrograde.runtime.llvm import host

        around = flushing if self.flush_subnormals else None
        return emit_module(self.graph, self.plan, self.sharing, host().vector_bytes, around)

    def __call__(self, arrays: Sequence[Any]) -> list[Any]:
        """The outputs at these leaves. What may run on without end listens to Ctrl-C meanwhile."""
        if self.endless:
            found, interrupted = self.run_interruptible(arrays)
            if interrupted:
                raise KeyboardInterrupt
            return found
        return self.executable([*arrays, *self.constants])

    def run_interruptible(
        self, arrays: Sequence[Any], on_poll: Any = None, into: Sequence[np.ndarray] = ()
    ) -> tuple[list[Any], bool]:
        """As a call, but Ctrl-C ends the outer loops early; returns (outputs, interrupted)."""
        return self.executable.run_interruptible([*arrays, *self.constants], on_poll, into=into)

    def __str__(self) -> str:
        how = "loaded from the cache" if self.from_cache else "compiled"
        products = "".join(f"{line}\n" for line in self._emitted.products)
        return f"{self.graph}\n\n{self.plan}\n{self.sharing}\n{products}\n{how} in {self.seconds:.3f} s"


def _has_while(graph: Graph) -> bool:
    """Whether there is a loop without a length in the graph."""
    return any(eq.params.get("length", 0) is None for eq in graph.equations) or any(map(_has_while, graph.subgraphs()))


@contextmanager
def _without_collection() -> Iterator[None]:
    """Python's search for cycles stands still: stages make many objects and drop none, and it took a third of their time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


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

    def run_interruptible(self, *args: Any, on_poll: Any = None, into: Sequence[np.ndarray] = ()) -> tuple[Any, bool]:
        """As a call in a worker thread; Ctrl-C ends the outermost loops early. Returns (result, interrupted).

        The first leaves of the result are written `into` these arrays.
        """
        leaves, key = self._leaves(args, {})
        compiled, structure = self._compiled(args, {}, key)
        found, interrupted = compiled.run_interruptible(leaves, on_poll, into)
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


class Library(NamedTuple):
    """Object code with one C function, and the bytes of working memory that each thread which calls it gets."""

    code: bytes
    work: int


def compile_library(graph: Graph, name: str, cpu: str = "generic") -> Library:
    """The graph as a C function `name(inputs..., outputs...)` of pointers, each call on one thread: see `codegen/library.py`.

    `cpu` is one of `runtime.library.targets()`. Raises `UnsupportedError` for a graph that calls functions of SciPy.
    """
    from retrograde.codegen.library import library
    from retrograde.codegen.module import emit_module, scratch_of
    from retrograde.runtime.library import compile_object, target_of

    target = target_of(cpu)
    with _without_collection():
        graph = optimize(graph, target.pairs)
        plan = plan_memory(graph, scratch_of(target.vector_bytes))
        data, places = bytearray(), []
        for var, value in graph.constants.items():
            places.append(len(data))
            raw = np.asarray(value, var.type.dtype).tobytes()
            data += raw.ljust(aligned(len(raw)), b"\0")
        around = library(name, len(graph.inputs), len(graph.outputs), places, len(data), plan.peak)
        text = emit_module(graph, plan, Sharing(), target.vector_bytes, around).text
        return Library(compile_object(text, name, bytes(data), target), plan.peak)


def interpret(graph: Graph, arrays: Sequence[Any]) -> list[Any]:
    """The same graph, equation by equation in NumPy: what compiled code is tested against."""
    with np.errstate(all="ignore"):
        return evaluate(graph, arrays)


__all__ = ["ArrayType", "Compiled", "Jitted", "Library", "compile_library", "interpret", "jit"]
