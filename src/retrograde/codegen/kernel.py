"""`KernelEmitter`: loops, loads and stores over views, in which kernels are written."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from llvmlite import ir

from retrograde.codegen.complex import load_pair, store_pair
from retrograde.codegen.external import call_by_reference
from retrograde.codegen.scalar import (
    I1,
    I8,
    I32,
    I64,
    ScalarEmitter,
    constant,
    memory_type,
    part_dtype,
    register_type,
    scalar_emitter,
)
from retrograde.codegen.team import Team
from retrograde.codegen.view import View
from retrograde.ir.layout import Layout, column_strides, room_bytes

TILE = 16  # rows and columns


class KernelEmitter:
    """Emits into one LLVM function; `working` is the memory that the kernel may use meanwhile, `team` who shares its work."""

    def __init__(self, builder: ir.IRBuilder, working: ir.Value | None = None, team: Team | None = None):
        self.b = builder
        self.working = working
        self.team = team

    def scalar(self, dtype) -> ScalarEmitter:
        """The scalar operations of a dtype."""
        return scalar_emitter(self.b, np.dtype(dtype))

    def integer(self, bits: int, lanes: int = 0) -> ir.Type:
        """An integer type of so many bits; a vector of them, if `lanes` are wanted."""
        return ir.VectorType(ir.IntType(bits), lanes) if lanes else ir.IntType(bits)

    def index(self, value: int) -> ir.Constant:
        """An index constant."""
        return ir.Constant(I64, value)

    # -- threads

    def share(self, extent: int, step: int = 1) -> tuple[int | ir.Value, int | ir.Value]:
        """The part of range(extent) that this thread does, in whole steps; all of it where no team shares the work."""
        return (0, extent) if self.team is None else self.team.share(self.b, extent, step)

    @contextmanager
    def first_only(self) -> Iterator[None]:
        """What is emitted here is done by the first thread alone."""
        if self.team is None:
            yield
        else:
            with self.b.if_then(self.team.is_first(self.b)):
                yield

    # -- control

    def loop(self, *extents: int | ir.Value) -> Iterator[tuple[ir.Value, ...]]:
        """`for (i, j, ...) in k.loop(n, m, ...)`: the body is emitted once, inside nested counting loops."""
        if not extents:
            yield ()
            return
        for i in self.count(extents[0]):
            for rest in self.loop(*extents[1:]):
                yield (i, *rest)

    def count(self, extent: int | ir.Value, start: int | ir.Value = 0) -> Iterator[ir.Value]:
        """A counting loop from `start` to `extent`; an extent known to be 1 emits no loop."""
        if isinstance(extent, int) and isinstance(start, int) and extent - start == 1:
            yield self.index(start)
            return
        b = self.b
        first = self.index(start) if isinstance(start, int) else start
        last = self.index(extent) if isinstance(extent, int) else extent
        before = b.block
        header = b.append_basic_block("loop")
        body, after = b.append_basic_block("body"), b.append_basic_block("after")
        b.branch(header)
        b.position_at_end(header)
        i = b.phi(I64)
        i.add_incoming(first, before)
        b.cbranch(b.icmp_signed("<", i, last), body, after)
        b.position_at_end(body)
        yield i
        i.add_incoming(b.add(i, self.index(1), flags=("nsw", "nuw")), b.block)
        b.branch(header)
        b.position_at_end(after)

    def alloca(self, type_: ir.Type, size: int | None = None) -> ir.Value:
        """A stack slot, in the function's entry block, so that it becomes a register."""
        with self.b.goto_entry_block():
            return self.b.alloca(type_, size)

    # -- memory

    def scratch(self, dtype, n: int) -> View:
        """A vector of `n` elements in the kernel's working memory (its primitive says how many bytes it wants)."""
        return View(self.working, Layout.of((n,)), np.dtype(dtype))

    def table(self, values: np.ndarray) -> View:
        """A constant array, part of the program."""
        module, held = self.b.module, ir.Constant(ir.ArrayType(I8, values.nbytes), bytearray(values.tobytes()))
        variable = ir.GlobalVariable(module, held.type, module.get_unique_name("table"))
        variable.global_constant, variable.linkage, variable.align, variable.initializer = True, "private", 64, held
        return View(variable, Layout.of(values.shape), values.dtype)

    def room(self, *parts: tuple) -> list[View]:
        """Working memory for several arrays, each a (dtype, shape): see `room_bytes`. Matrices lie column by column."""
        views, at = [], 0
        for dtype, shape in parts:
            pointer = self.b.gep(self.working, [self.index(at)], inbounds=True, source_etype=I8)
            views.append(View(pointer, Layout(tuple(shape), column_strides(shape)), np.dtype(dtype)))
            at += room_bytes((dtype, shape))
        return views

    def matrix(self, view: View, index: tuple) -> View:
        """The matrix at an index of the batch axes."""
        full = (*index, *[0] * (len(view.shape) - len(index)))
        return View(self.address(view, full), Layout(view.shape[len(index):], view.strides[len(index):]), view.dtype)

    def transposed(self, matrix: View) -> View:
        """The same memory with rows for columns."""
        return matrix.with_layout(matrix.layout.transpose((1, 0)))

    def diagonal(self, matrix: View) -> View:
        """The diagonal, as a vector."""
        layout = matrix.layout
        return matrix.with_layout(Layout((min(layout.shape),), (sum(layout.strides),), layout.offset))

    def all_of(self, view: View, holds: Callable[[ir.Value], ir.Value]) -> ir.Value:
        """Whether this holds for every element."""
        flag = self.alloca(I1)
        self.b.store(I1(1), flag)
        for index in self.loop(*view.shape):
            here = holds(self.load(view, index))
            self.b.store(self.b.and_(self.b.load(flag, typ=I1), here), flag)
        return self.b.load(flag, typ=I1)

    def fill_lower(self, matrix: View, ahead: int = 1) -> None:
        """Zeros below the diagonal, `ahead` rows below it."""
        rows, columns = matrix.shape
        for j in self.count(columns):
            for i in self.count(rows, self.b.add(j, self.index(ahead))):
                self.store(matrix, (i, j), constant(0, matrix.dtype))

    def call(self, library: str, routine: str, *args: str | int | float | View) -> ir.Value:
        """Call a Fortran routine of BLAS or LAPACK; of one of LAPACK, whether it succeeded.

        Letters, numbers and arrays are passed by reference, as Fortran wants them; `info` is added.
        """
        pointers = [self.address(a, (0,) * len(a.shape)) if isinstance(a, View) else a for a in args]
        if library == "blas":
            return call_by_reference(self.b, library, routine, pointers)
        info = self.alloca(I32)
        call_by_reference(self.b, library, routine, [*pointers, info])
        return self.b.icmp_signed("==", self.b.load(info, typ=I32), ir.Constant(I32, 0))

    @contextmanager
    def unless(self, *conditions: ir.Value) -> Iterator[None]:
        """What is emitted here is done where not all conditions hold."""
        with self.b.if_then(self.b.not_(functools.reduce(self.b.and_, conditions)), likely=False):
            yield

    def offset(self, layout: Layout, index: tuple) -> ir.Value:
        """The element offset of `index`, as an i64."""
        total, known = None, layout.offset
        for i, stride, length in zip(index, layout.strides, layout.shape):
            if stride == 0 or length == 1:
                continue
            if isinstance(i, int):
                known += i * stride
                continue
            if isinstance(i, ir.Constant):
                known += i.constant * stride
                continue
            term = i if stride == 1 else self.b.mul(i, self.index(stride), flags=("nsw",))
            total = term if total is None else self.b.add(total, term, flags=("nsw",))
        if total is None:
            return self.index(known)
        return total if known == 0 else self.b.add(total, self.index(known), flags=("nsw",))

    def address(self, view: View, index: tuple) -> ir.Value:
        """The address of one element."""
        at = self.offset(view.layout, index)
        return self.b.gep(view.pointer, [at], inbounds=True, source_etype=memory_type(view.dtype))

    def load(self, view: View, index: tuple) -> ir.Value:
        """One element, in a register."""
        if view.dtype.kind == "c":
            return load_pair(self.b, self.address(view, index), register_type(part_dtype(view.dtype)))
        value = self.b.load(self.address(view, index), typ=memory_type(view.dtype))
        return self.b.icmp_unsigned("!=", value, ir.Constant(I8, 0)) if view.dtype.kind == "b" else value

    def store(self, view: View, index: tuple, value: ir.Value) -> None:
        """Write one element."""
        if view.dtype.kind == "c":
            store_pair(self.b, self.address(view, index), value)
            return
        if value.type == I1:
            value = self.b.zext(value, I8)
        self.b.store(value, self.address(view, index))

    def fill(self, view: View, value) -> None:
        """Set every element to a number."""
        number = constant(value, view.dtype)
        if view.type.size > 1 and view.layout.contiguous and not any(np.asarray(value, view.dtype).tobytes()):
            self._block("llvm.memset.p0.i64", view, ir.Constant(I8, 0))
            return
        for index in self.loop(*view.shape):
            self.store(view, index, number)

    def copy(self, target: View, source: View) -> None:
        """Copy every element; as one block of memory where both lie in order. Each thread of a team does so by itself."""
        if target.type.size > 1 and target.layout.contiguous and source.layout.contiguous and target.dtype == source.dtype:
            self._block("llvm.memmove.p0.p0.i64", target, self.address(source, (0,) * len(source.shape)))
            return
        if len(target.shape) == 2 and min(target.shape) > TILE and (target.strides[0] < target.strides[1]) != (
            source.strides[0] < source.strides[1]
        ):
            self._turn(target, source)
            return
        for index in self.loop(*target.shape):
            self.store(target, index, self.load(source, index))

    def copy_shared(self, target: View, source: View) -> None:
        """Copy every element; a team shares the rows of the first axis."""
        if self.team is None or not target.shape:
            self.copy(target, source)
            return
        begin, end = self.share(target.shape[0])
        for i in self.count(end, begin):
            self.copy(self.matrix(target, (i,)), self.matrix(source, (i,)))

    def _turn(self, target: View, source: View) -> None:
        """Copy between a matrix that lies row by row and one that lies column by column: in tiles, which stay in the cache."""
        tiles = [-(-n // TILE) for n in target.shape]
        for block in self.loop(*tiles):
            first = [self.b.mul(i, self.index(TILE)) for i in block]
            last = [self.b.add(i, self.index(TILE)) for i in first]
            last = [
                self.b.select(self.b.icmp_signed("<", i, self.index(n)), i, self.index(n)) for i, n in zip(last, target.shape)
            ]
            for i in self.count(last[0], first[0]):
                for j in self.count(last[1], first[1]):
                    self.store(target, (i, j), self.load(source, (i, j)))

    def _block(self, name: str, target: View, operand: ir.Value) -> None:
        """Call one of LLVM's functions of blocks of memory: code of a loop would be much longer, and no faster."""
        where = self.address(target, (0,) * len(target.shape))
        function = self.b.module.globals.get(name)
        if function is None:
            signature = ir.FunctionType(ir.VoidType(), [where.type, operand.type, I64, I1])
            function = ir.Function(self.b.module, signature, name)
        self.b.call(function, [where, operand, self.index(target.type.nbytes), ir.Constant(I1, 0)])

    def to_index(self, value: ir.Value, dtype: np.dtype) -> ir.Value:
        """An integer element as an i64."""
        return self.scalar(dtype).cast(value, np.dtype(np.int64))

    def register(self, dtype) -> ir.Type:
        """The register type of a dtype."""
        return register_type(np.dtype(dtype))
