"""From an optimized graph and its memory plan to the text of an LLVM module.

`main(inputs, outputs, arena, cells, thread, threads)` runs the equations in order; each loop nest and each product is a
function of its own, whose pointers are distinct memory (`noalias`), so that LLVM widens its loops without asking. Loops of
the graph (`scan`) are loops of `main`: no call leaves native code between two steps. Where work is shared, every thread
runs `main`; the number of threads is known only then, so that one program serves any. A long graph is run by functions of
some hundred operands each, as LLVM's time for one function grows faster than its length.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import numpy as np
from llvmlite import ir

from retrograde.codegen.convolution import convolution_scratch, emit_convolution
from retrograde.codegen.half import define_truncation, needs_truncation
from retrograde.codegen.kernel import KernelEmitter
from retrograde.codegen.loops import emit_fused
from retrograde.codegen.pace import Pace
from retrograde.codegen.products import describe_product, emit_finished, emit_product, finished_scratch, product_scratch
from retrograde.codegen.scalar import I8, I64, PTR, constant, memory_type
from retrograde.codegen.straight import emit_rows, emit_straight
from retrograde.codegen.team import AGREED, PROGRESS, STOP, Team, barrier, cell
from retrograde.codegen.view import View
from retrograde.errors import CompileError
from retrograde.ir import Atom, Equation, Graph, Literal, Var
from retrograde.ir.digest import digest_equation
from retrograde.ir.layout import Layout
from retrograde.ops.branch import branch
from retrograde.ops.control import by_rows, fused, product, scan, straight
from retrograde.ops.convolve import convolve
from retrograde.ops.index import nearest
from retrograde.ops.matmul import matmul

ENDLESS = 2**63 - 1  # steps of a loop that only its exit ends
PART = 500  # operands and results of a function's equations, where a graph has more than twice as many
DATA = object.__basicsize__  # where NumPy's array objects hold their data pointer: first after Python's own head


class Plan(Protocol):
    """What the module needs of a memory plan."""

    slots: dict
    nested: dict
    scratch: dict


class Sharing(Protocol):
    """What the module needs to know of shared work."""

    shared: set
    barriers: set
    nested: dict
    scratch: int


class Emitted(NamedTuple):
    """The text of a module, and a line for each product that says how it is computed."""

    text: str
    products: list[str]


Around = Callable[[ir.Module, ir.Function], None]


def emit_module(graph: Graph, plan: Plan, sharing: Sharing, vector_bytes: int, around: Around | None = None) -> Emitted:
    """The module for `graph`, whose entry is `main`, or what `around(module, main)` emits around it."""
    module = _Module(graph, plan, sharing, vector_bytes)
    return Emitted(module.text(around), module.products)


Views = Sequence[View | None] | Mapping[int, View]


class _Scope:
    """One graph being emitted: where its variables are, and what of it is shared (None: one thread runs it)."""

    def __init__(
        self, plan: Plan, sharing: Sharing | None, arena: ir.Value, inputs: Views, outputs: Views, depth: int
    ):
        self.plan, self.sharing, self.arena, self.depth = plan, sharing, arena, depth
        self.inputs, self.outputs = inputs, outputs
        self.numbers: dict[Var, int] = {}  # of inputs and constants
        self.looks: dict[Var, tuple[Atom, Layout]] = {}  # what a view shows, and how
        self.views: dict[Var, View] = {}
        self.pointers: dict[int, ir.Value] = {}

    def inside(self, arena: ir.Value, inputs: Views, outputs: Views) -> _Scope:
        """The same graph in a function of its own, which has these pointers for the same memory."""
        scope = _Scope(self.plan, self.sharing, arena, inputs, outputs, self.depth)
        scope.numbers, scope.looks = self.numbers, self.looks
        return scope


class _Arguments(Sequence):
    """What the caller gives `main` in one of its tables: a pointer is loaded when it is asked for."""

    def __init__(self, load: Callable[[int], View], count: int):
        self.load, self.count = load, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> View:
        return self.load(i)


class _Module:
    def __init__(self, graph: Graph, plan: Plan, sharing: Sharing, vector_bytes: int):
        self.graph, self.plan, self.vector_bytes = graph, plan, vector_bytes
        self.sharing = sharing if sharing.shared else None
        self.module = ir.Module(name="retrograde")
        self.counter = 0
        self.products: list[str] = []
        self.functions: dict[tuple, ir.Function] = {}
        self.main = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [PTR] * 4 + [I64] * 2), "main")
        for arg, name in zip(self.main.args, ("inputs", "outputs", "arena", "cells", "thread", "threads")):
            arg.name = name
            if arg.type == PTR and self.sharing is None:
                arg.add_attribute("noalias")

    def text(self, around: Around | None) -> str:
        with self._inside(self.main, self.main.args):
            inputs, outputs, arena, *_ = self.args
            operands = (*self.graph.inputs, *self.graph.constants)
            views: Views = _Arguments(lambda i: self._argument(inputs, i, operands[i]), len(operands))
            results: Views = _Arguments(lambda j: self._argument(outputs, j, self.graph.outputs[j]), len(self.graph.outputs))
            if not _is_long(self.graph):
                views, results = list(views), list(results)
            self._graph(self.graph, _Scope(self.plan, self.sharing, arena, views, results, 0))
        if around is not None:
            around(self.module, self.main)
        text = str(self.module)
        if needs_truncation(text):
            define_truncation(self.module)
            text = str(self.module)
        return text

    @contextmanager
    def _inside(self, function: ir.Function, args: Sequence[ir.Value]) -> Iterator[None]:
        """What is emitted here is the body of this function, among whose arguments are these, which `main` has."""
        before = {name: getattr(self, name, None) for name in ("b", "k", "args", "cells", "team")}
        entry, start = function.append_basic_block("entry"), function.append_basic_block("start")
        self.b, self.args = ir.IRBuilder(start), args
        self.k, self.cells, self.team = KernelEmitter(self.b), args[3], Team(*args[4:])
        yield
        self.b.ret_void()
        self.b.position_at_end(entry)
        self.b.branch(start)
        vars(self).update(before)

    def _argument(self, table: ir.Value, i: int, atom: Atom) -> View:
        slot = self.b.gep(table, [self.k.index(i)], inbounds=True, source_etype=PTR)
        held = self.b.gep(self.b.load(slot, typ=PTR), [self.k.index(DATA)], inbounds=True, source_etype=I8)
        pointer = self.b.load(held, typ=PTR)
        return View(pointer, Layout.of(atom.type.shape), atom.type.dtype)

    # -- graphs

    def _graph(self, graph: Graph, scope: _Scope) -> None:
        scope.numbers = {var: i for i, var in enumerate((*graph.inputs, *graph.constants))}
        if not _is_long(graph):
            self._equations(graph.equations, scope)
            return
        ends = itertools.accumulate(map(_breadth, graph.equations))
        for _, part in itertools.groupby(zip(ends, graph.equations), lambda found: found[0] // PART):
            self._part([eq for _, eq in part], scope)

    def _part(self, equations: list[Equation], scope: _Scope) -> None:
        """Some equations of a graph in a function of their own, which is given the pointers that they need."""
        touched = {a: None for eq in equations for a in (*eq.inputs, *eq.outputs)}
        roots = dict.fromkeys(scope.looks.get(a, (a, None))[0] for a in touched)
        slots = dict.fromkeys(scope.plan.slots[a] for a in roots if a in scope.plan.slots)
        held = {(kind, i): (scope.inputs if kind == "input" else scope.outputs)[i] for kind, i in slots if kind != "arena"}
        taken = list(dict.fromkeys(v.pointer for v in held.values() if not isinstance(v.pointer, ir.GlobalVariable)))
        self.counter += 1
        signature = ir.FunctionType(ir.VoidType(), [PTR] * (len(taken) + 1) + [arg.type for arg in self.args])
        function = ir.Function(self.module, signature, f"part_{self.counter}")
        function.linkage = "internal"
        function.attributes.add("noinline")
        self.b.call(function, [*taken, scope.arena, *self.args])
        here = dict(zip(taken, function.args))
        moved = {slot: View(here.get(v.pointer, v.pointer), v.layout, v.dtype) for slot, v in held.items()}
        inputs, outputs = ({i: view for (kind, i), view in moved.items() if kind == end} for end in ("input", "output"))
        with self._inside(function, function.args[-len(self.args) :]):
            self._equations(equations, scope.inside(function.args[len(taken)], inputs, outputs))

    def _equations(self, equations: list[Equation], scope: _Scope) -> None:
        for eq in equations:
            primitive = eq.primitive
            if primitive.lowering == "view":
                (out,), source = eq.outputs, self._view(scope, eq.inputs[0])
                layout = primitive.lower(source.layout, **eq.params)
                scope.views[out] = source.with_layout(layout)
                scope.looks[out] = scope.looks.get(eq.inputs[0], eq.inputs)[0], layout
                continue
            for out in eq.outputs:
                scope.views[out] = self._place(scope, out)
            operands = [self._view(scope, atom) for atom in eq.inputs]
            results = [scope.views[out] for out in eq.outputs]
            scratch = self._scratch(scope, eq)
            if scope.sharing is not None and eq in scope.sharing.barriers:
                self._barrier()
            shared = scope.sharing is not None and eq in scope.sharing.shared
            with self._alone(scope, not shared):
                if primitive is branch:
                    self._branch(eq, scope, operands, results, scratch, shared)
                elif primitive is scan:
                    inner = scope.sharing.nested.get(eq.params["body"]) if shared else None
                    if shared and inner is None:  # a map: each thread has whole steps
                        scratch = self._own_scratch(scratch)
                    self._scan(eq, scope, operands, results, scratch, inner, shared and inner is None)
                else:
                    self._call(eq, operands, results, self._own_scratch(scratch) if shared else scratch, shared)

    def _place(self, scope: _Scope, var: Var) -> View:
        kind, index = scope.plan.slots[var]
        if kind == "input":
            return scope.inputs[index].with_layout(Layout.of(var.type.shape))
        if kind == "output":
            view = scope.outputs[index]
            if view is None:
                raise CompileError(f"the plan puts {var!r} into an output that has no memory; please report this graph")
            return view
        return View(self._arena(scope, index), Layout.of(var.type.shape), var.type.dtype)

    def _arena(self, scope: _Scope, offset: int) -> ir.Value:
        if offset not in scope.pointers:
            scope.pointers[offset] = self.b.gep(scope.arena, [self.k.index(offset)], inbounds=True, source_etype=I8)
        return scope.pointers[offset]

    def _scratch(self, scope: _Scope, eq: Equation) -> ir.Value:
        offset = scope.plan.scratch.get(eq)
        return self._arena(scope, offset) if offset is not None else ir.Constant(PTR, None)

    def _own_scratch(self, scratch: ir.Value) -> ir.Value:
        """The planned working memory for the first thread; for any other its own, behind the arena."""
        if isinstance(scratch, ir.Constant):
            return scratch
        b, (_, _, arena, _, thread, _) = self.b, self.args
        behind = b.add(b.mul(b.sub(thread, self.k.index(1)), self.k.index(self.sharing.scratch)), self.k.index(self.plan.peak))
        return b.select(self.team.is_first(b), scratch, b.gep(arena, [behind], source_etype=I8))

    @contextmanager
    def _alone(self, scope: _Scope, wanted: bool = True) -> Iterator[None]:
        """What is emitted here is done by the first thread alone, if a team runs this graph."""
        if scope.sharing is None or not wanted:
            yield
        else:
            with self.b.if_then(self.team.is_first(self.b)):
                yield

    def _barrier(self) -> None:
        self.b.call(barrier(self.module), [self.cells, self.team.thread, self.team.threads])

    def _view(self, scope: _Scope, atom: Atom) -> View:
        if isinstance(atom, Literal):
            return self._constant(atom)
        if atom not in scope.views:
            if atom in scope.looks:
                source, layout = scope.looks[atom]
                scope.views[atom] = self._view(scope, source).with_layout(layout)
            else:
                number = scope.numbers.get(atom)
                scope.views[atom] = self._place(scope, atom) if number is None else scope.inputs[number]
        return scope.views[atom]

    def _constant(self, atom: Literal) -> View:
        kind = memory_type(atom.type.dtype)
        self.counter += 1
        variable = ir.GlobalVariable(self.module, kind, f"number_{self.counter}")
        variable.global_constant, variable.linkage = True, "private"
        number = constant(atom.value, atom.type.dtype).constant
        variable.initializer = ir.Constant(kind, number)
        return View(variable, Layout.of(()), atom.type.dtype)

    # -- equations

    def _call(self, eq: Equation, operands: list[View], results: list[View], scratch: ir.Value, shared: bool) -> None:
        """Emit an equation as a function of its distinct pointers, and call it.

        Layers of one shape share functions: what is computed alike, on memory that lies alike, is emitted once.
        """
        views = (*results, *operands)
        taken = list(dict.fromkeys(v.pointer for v in views if not isinstance(v.pointer, ir.GlobalVariable)))
        places = {pointer: i for i, pointer in enumerate(taken)}
        alike = (shared, digest_equation(eq), tuple((places.get(v.pointer), v.layout, v.dtype) for v in views))
        function = self.functions.get(alike) if alike[1] is not None else None
        if function is None:
            function = self.functions[alike] = self._function(eq, operands, results, taken, shared)
        self.b.call(function, [*taken, scratch, self.team.thread, self.team.threads])

    def _function(
        self, eq: Equation, operands: list[View], results: list[View], taken: list[ir.Value], shared: bool
    ) -> ir.Function:
        self.counter += 1
        signature = ir.FunctionType(ir.VoidType(), [PTR] * (len(taken) + 1) + [I64] * 2)
        function = ir.Function(self.module, signature, f"{eq.primitive.name}_{self.counter}")
        function.linkage = "internal"
        if eq.primitive is not straight:  # inlining loop nests into `main` would only make LLVM slow
            function.attributes.add("noinline")
        for arg in function.args[:-3]:
            arg.add_attribute("noalias")
        here = dict(zip(taken, function.args))
        entry, start = function.append_basic_block("entry"), function.append_basic_block("start")
        builder = ir.IRBuilder(start)
        working, thread, threads = function.args[-3:]
        k = KernelEmitter(builder, working, Team(thread, threads) if shared else None)
        moved = [View(here.get(v.pointer, v.pointer), v.layout, v.dtype) for v in (*results, *operands)]
        self._emit(k, eq, moved[len(results) :], moved[: len(results)])
        builder.ret_void()
        builder.position_at_end(entry)
        builder.branch(start)
        return function

    def _emit(self, k: KernelEmitter, eq: Equation, operands: list[View], results: list[View]) -> None:
        convolves = convolve in (eq.primitive, *(inner.primitive for _, body in eq.graphs() for inner in body.equations[:1]))
        if eq.primitive in (matmul, product) and not convolves:
            self.products.append(describe_product(eq, operands, results, self.vector_bytes))
        if convolves and eq.primitive in (convolve, product):
            self.products.append(emit_convolution(k, eq, operands, results, self.vector_bytes))
        elif eq.primitive is fused:
            emit_fused(k, eq.params["body"], operands, results)
        elif eq.primitive is straight:
            emit_straight(k, eq.params["body"], operands, results)
        elif eq.primitive is matmul:
            emit_product(k, operands[0], operands[1], results[0], self.vector_bytes)
        elif eq.primitive is by_rows:
            emit_rows(k, eq, operands, results)
        elif eq.primitive is product:
            emit_finished(k, eq, operands, results, self.vector_bytes)
        elif eq.primitive.lowering == "kernel":
            eq.primitive.lower(k, results, operands, **eq.params)
        else:
            raise CompileError(f"{eq.primitive.name} has no native code; it can be used eagerly, not under rg.jit")

    # -- loops of the graph

    def _scan(
        self, eq: Equation, scope: _Scope, operands: list[View], results: list[View], arena: ir.Value,
        sharing: Sharing | None, dealt: bool,
    ) -> None:  # fmt: skip
        """A loop of the graph: `sharing` says how a team shares each step; `dealt` steps are each one thread's."""
        params, k, b = eq.params, self.k, self.b
        n_consts, n_carry, length = params["num_consts"], params["num_carry"], params["length"]
        body: Graph = params["body"]
        consts, init, xs = operands[:n_consts], operands[n_consts : n_consts + n_carry], operands[n_consts + n_carry :]
        carry, ys = results[:n_carry], results[n_carry:]
        outer = scope.depth == 0 and not n_carry  # runs side by side: each is a program of its own
        loop = _Scope(scope.plan.nested[body], sharing, arena, [], [], scope.depth + (not outer))
        begin, end = self.team.share(b, length) if dealt else (0, ENDLESS if length is None else length)
        may_stop = outer or length is None or (scope.depth < 2 and n_carry > 0)  # a sum's parts are never left out

        def turn(step: ir.Value) -> ir.Value:
            return b.sub(k.index(length - 1), step) if params["reverse"] else step

        with self._alone(loop):
            for target, source in zip(carry, init):
                if target.pointer is not source.pointer:
                    k.copy(target, source)
            if ys and (params["exit"] is not None or may_stop):
                for step in k.count(end, begin):
                    for y in ys:
                        k.fill(self._slice(y, turn(step)), 0)
        if sharing is not None:
            self._barrier()
        pace = Pace(k, self.cells, self.team) if sharing is not None else None
        after = b.append_basic_block("after_scan") if pace is None else pace.leave
        for step in k.count(end, begin) if pace is None else pace.steps(k.index(begin), k.index(end)):
            with self._team_of(pace):
                if params["exit"] is not None:
                    ended = k.load(carry[params["exit"]], ())
                    if sharing is not None:
                        self._barrier()  # all have read the word before the step may write it
                    self._branch_if(ended, after)
                i = turn(step)
                inputs = [*consts, *carry, *(self._slice(x, i) for x in xs)]
                outputs: list[View | None] = [None] * n_carry + [self._slice(y, i) for y in ys]
                inner = _Scope(loop.plan, sharing, arena, inputs, outputs, loop.depth)
                self._graph(body, inner)
                if pace is not None:
                    pace.judge()
                self._next_carry(inner, body, carry)
                if may_stop:
                    self._poll(inner, after, count=scope.depth == 0 and n_carry > 0)
        if pace is None:
            b.branch(after)
            b.position_at_end(after)

    @contextmanager
    def _team_of(self, pace: Pace | None) -> Iterator[None]:
        """What is emitted here is done by the team that does a step of the loop."""
        args, team = self.args, self.team
        if pace is not None:
            self.team = pace.team
            self.args = (*args[:4], self.team.thread, self.team.threads)
        yield
        self.args, self.team = args, team

    def _branch(
        self, eq: Equation, scope: _Scope, operands: list[View], results: list[View], arena: ir.Value, shared: bool
    ) -> None:
        """A jump to the branch that the index picks: one out of range to the nearest."""
        index, *inputs = operands
        branches: tuple[Graph, ...] = eq.params["branches"]
        number = self.k.to_index(self.k.load(index, ()), index.dtype)
        number = nearest(self.k.scalar(np.int64), number, len(branches))
        blocks = [self.b.append_basic_block(f"branch_{i}") for i in range(len(branches))]
        after = self.b.append_basic_block("after_branch")
        if shared:
            self._barrier()  # all have read the index before anything may be written over it
        jump = self.b.switch(number, blocks[0])
        for i, (graph, block) in enumerate(zip(branches, blocks)):
            if i:
                jump.add_case(self.k.index(i), block)
            self.b.position_at_end(block)
            sharing = scope.sharing.nested[graph] if shared else None
            inner = _Scope(scope.plan.nested[graph], sharing, arena, inputs, list(results), scope.depth)
            self._graph(graph, inner)
            if shared:
                self._barrier()
            self.b.branch(after)
        self.b.position_at_end(after)

    def _next_carry(self, inner: _Scope, body: Graph, carry: list[View]) -> None:
        """Copy what the step did not write in place; the step ends for all threads at once."""
        moves = [(view, self._view(inner, atom)) for view, atom in zip(carry, body.outputs)]
        moves = [(view, made) for view, made in moves if made.pointer is not view.pointer]
        if inner.sharing is not None:
            self._barrier()
        with self._alone(inner):
            for view, made in moves:
                self.k.copy(view, made)
        if inner.sharing is not None and moves:
            self._barrier()

    def _slice(self, view: View, i: ir.Value) -> View:
        stride = view.strides[0]
        at = self.b.mul(i, self.k.index(stride))
        pointer = self.b.gep(view.pointer, [at], inbounds=True, source_etype=memory_type(view.dtype))
        return View(pointer, Layout(view.shape[1:], view.strides[1:], view.layout.offset), view.dtype)

    def _branch_if(self, condition: ir.Value, target: ir.Block) -> None:
        onward = self.b.append_basic_block("onward")
        self.b.cbranch(condition, target, onward)
        self.b.position_at_end(onward)

    def _poll(self, scope: _Scope, after: ir.Block, count: bool) -> None:
        """Leave the loop when Python has set the stop word; say how far it has come."""
        b = self.b
        if count:
            with self._alone(scope):
                counter = cell(b, self.cells, PROGRESS)
                b.atomic_rmw("add", counter, self.k.index(1), "monotonic")
        seen = cell(b, self.cells, STOP)
        if scope.sharing is not None:  # where several look, they look at what they agreed on
            several = b.icmp_signed(">", self.team.threads, self.k.index(1))
            seen = b.select(several, cell(b, self.cells, AGREED), seen)
        word = b.load_atomic(seen, "monotonic", 8, typ=I64)
        self._branch_if(b.icmp_signed("!=", word, self.k.index(0)), after)


def _is_long(graph: Graph) -> bool:
    return sum(map(_breadth, graph.equations)) > 2 * PART


def _breadth(eq: Equation) -> int:
    return len(eq.inputs) + len(eq.outputs)


def scratch_of(vector_bytes: int) -> Callable[[Equation], int]:
    """How many bytes of working memory an equation's kernel wants: for the memory plan."""
    def need(eq: Equation) -> int:
        if eq.primitive is matmul:
            return product_scratch(eq, vector_bytes)
        if eq.primitive is product and eq.params["body"].equations[0].primitive is convolve:
            return convolution_scratch(eq.params["body"].equations[0])
        if eq.primitive is product:
            return finished_scratch(eq, vector_bytes)
        if eq.primitive is convolve:
            return convolution_scratch(eq)
        wanted = eq.primitive.scratch
        return wanted(*[a.type for a in eq.inputs], **eq.params) if wanted is not None else 0

    return need

