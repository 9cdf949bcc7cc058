"""A `fused` equation as one loop nest.

Neighbouring axes that every access walks alike are merged, so that a chain on contiguous arrays is one flat loop, which
LLVM widens. A reduction over the innermost axes accumulates in a register, any other in its output's memory. Sums may be
reassociated, in one fixed way for a shape. A team of threads shares one axis that nothing is summed over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from llvmlite import ir

from retrograde.codegen.complex import ComplexEmitter
from retrograde.codegen.kernel import KernelEmitter
from retrograde.codegen.scalar import ScalarEmitter, constant, register_type
from retrograde.codegen.view import View
from retrograde.ir import Equation, Graph, Literal, Var
from retrograde.ir.layout import Layout

REASSOCIATE = ("reassoc", "contract")
SHORT = 8  # elements of an innermost axis up to which it is unrolled: LLVM then widens the loop around it
UNROLLED = 160  # operations that unrolling may make
LINE = 64  # elements of the innermost axis that stay with one thread: whole cache lines


class Accumulator(ScalarEmitter):
    """Scalar operations for a reduction's step, free to be reordered so that the loop is widened."""

    def add(self, x, y):
        return self.b.fadd(x, y, flags=REASSOCIATE) if self.is_float else super().add(x, y)

    def mul(self, x, y):
        return self.b.fmul(x, y, flags=REASSOCIATE) if self.is_float else super().mul(x, y)

    def maximum(self, x, y):
        return self._intrinsic("maximum", x, y) if self.is_float else super().maximum(x, y)

    def minimum(self, x, y):
        return self._intrinsic("minimum", x, y) if self.is_float else super().minimum(x, y)


def _accumulator(b: ir.IRBuilder, dtype: np.dtype) -> ScalarEmitter:
    return ComplexEmitter(b, dtype, Accumulator) if dtype.kind == "c" else Accumulator(b, dtype)


@dataclass(eq=False)
class _Reduction:
    equation: Equation
    out: View | None
    strides: tuple[int, ...]  # of the output, over the merged axes; 0 where reduced
    reduced: tuple[bool, ...]
    columns: int = 1  # elements of an unrolled innermost axis that it keeps apart
    slots: list[ir.Value] = field(default_factory=list)

    @property
    def depth(self) -> int:
        """Loops 0 .. depth-1 must be open to hold its elements; in registers if those inside are all reduced."""
        loops = self.reduced[:-1] if self.columns > 1 else self.reduced
        return max((i + 1 for i, reduced in enumerate(loops) if not reduced), default=0)

    @property
    def in_register(self) -> bool:
        return all(not reduced for reduced in self.reduced[: self.depth])

    def slot(self, column: int) -> ir.Value:
        """The register for an element of the unrolled axis."""
        return self.slots[column if self.columns > 1 else 0]


def space_of(body: Graph) -> tuple[int, ...]:
    """The iteration space of a fused body."""
    return body.equations[0].space


def emit_fused(k: KernelEmitter, body: Graph, operands: list[View], outputs: list[View]) -> None:
    """Emit the loop nest that computes `outputs` from `operands`."""
    _Nest(k, body, operands, outputs).emit()


def emit_piece(
    k: KernelEmitter, body: Graph, operands: list[View], outputs: list[View],
    height: int | ir.Value, width: int | ir.Value, first: ir.Value,
) -> None:  # fmt: skip
    """Emit it for a piece of a space of two axes, where all views begin; sums down the columns go on but in the `first` rows."""
    _Nest(k, body, operands, outputs, apart=None).emit_piece(height, width, first)


def emit_at(k: KernelEmitter, body: Graph, operands: list[View], outputs: list[View], index: ir.Value) -> None:
    """Emit it for one index of the first axis, which nothing is summed over."""
    _Nest(k, body, operands, outputs, apart=1).emit_at(index)


class _Nest:
    def __init__(self, k: KernelEmitter, body: Graph, operands: list[View], outputs: list[View], apart: int | None = 0):
        """The first axes are loops of their own, as many as are `apart` (None: all)."""
        self.k, self.body = k, body
        self.space = space_of(body)
        self.views = dict(zip(body.inputs, operands))
        self.stores = dict(zip(body.outputs, outputs))
        self.indexed = any(eq.primitive.lowering == "element" for eq in body.equations)
        reductions = [eq for eq in body.equations if eq.primitive.lowering == "reduction"]
        self.axes = self._merge_axes(reductions, len(self.space) if apart is None else apart)
        self.reductions = [self._reduction(eq) for eq in reductions]

    # -- axes

    def _merge_axes(self, reductions: list[Equation], apart: int) -> list[tuple[int, ...]]:
        """The loops, outermost first: each a run of axes of the space that all accesses walk as one."""
        accesses = [view.layout.broadcast(self.space).strides for view in self.views.values() if self._walks(view)]
        written = [v for o, v in self.stores.items() if o.type.shape == self.space and not self._is_reduction(o)]
        accesses += [view.strides for view in written]
        flags = []
        for eq in reductions:
            reduced = set(eq.params["axes"])
            out = Layout.of(tuple(n for a, n in enumerate(self.space) if a not in reduced)).strides
            kept = iter(out)
            accesses.append(tuple(0 if a in reduced else next(kept) for a in range(len(self.space))))
            flags.append(tuple(a in reduced for a in range(len(self.space))))
        axes: list[tuple[int, ...]] = []
        for a, length in enumerate(self.space):
            if length == 1 and not self.indexed and a >= apart:
                continue
            if axes and not self.indexed and a > apart:
                p = axes[-1][-1]
                alike = all(s[p] == s[a] * length for s in accesses) and all(f[p] == f[a] for f in flags)
                if alike:
                    axes[-1] = (*axes[-1], a)
                    continue
            axes.append((a,))
        return axes

    def _walks(self, view: View) -> bool:
        return len(view.shape) <= len(self.space)

    def _is_reduction(self, var: Var) -> bool:
        return any(eq.primitive.lowering == "reduction" and var in eq.outputs for eq in self.body.equations)

    def _merged(self, strides: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(strides[group[-1]] for group in self.axes)

    def _reduction(self, eq: Equation) -> _Reduction:
        reduced = set(eq.params["axes"])
        kept = iter(Layout.of(eq.outputs[0].type.shape).strides)
        strides = tuple(0 if a in reduced else next(kept) for a in range(len(self.space)))
        flags = tuple(group[-1] in reduced for group in self.axes)
        return _Reduction(eq, self.stores.get(eq.outputs[0]), self._merged(strides), flags)

    # -- emission

    def emit(self) -> None:
        lengths = self._lengths()
        shared = self._shared_axis(lengths)
        if shared is None:
            with self.k.first_only():
                self._nest([(0, n) for n in lengths])
            return
        step = LINE if shared == len(lengths) - 1 else 1
        self._nest([self.k.share(n, step) if d == shared else (0, n) for d, n in enumerate(lengths)])

    def emit_at(self, index: ir.Value) -> None:
        self._nest([(index, self.k.b.add(index, self.k.index(1))), *((0, n) for n in self._lengths()[1:])])

    def emit_piece(self, height: int | ir.Value, width: int | ir.Value, first: ir.Value) -> None:
        ranges = [(0, height), (0, width)]
        if self.reductions:
            with self.k.b.if_then(first):
                for r in self.reductions:
                    self._clear(r, ranges)
        self._nest(ranges, goes_on=bool(self.reductions))

    def _lengths(self) -> list[int]:
        return [math.prod(self.space[a] for a in group) for group in self.axes]

    def _shared_axis(self, lengths: list[int]) -> int | None:
        """The outermost axis that is long enough, else the longest, of those that no reduction sums over."""
        free = [d for d, n in enumerate(lengths) if n > 1 and not any(r.reduced[d] for r in self.reductions)]
        if self.k.team is None or not free:
            return None
        return next((d for d in free if lengths[d] >= 8), max(free, key=lambda d: lengths[d]))

    def _nest(self, ranges: list[tuple], goes_on: bool = False) -> None:
        k, last = self.k, ranges[-1][1] if len(ranges) > 1 else None
        short = isinstance(last, int) and last <= SHORT and last * len(self.body.equations) <= UNROLLED
        self.unrolled = short and not goes_on
        for r in self.reductions:
            r.columns = last if self.unrolled and not r.reduced[-1] else 1
            if r.in_register:
                r.slots = [k.alloca(register_type(r.out.dtype)) for _ in range(r.columns)]
            elif not goes_on:
                self._clear(r, ranges)
        self._level(0, ranges, [])

    def _clear(self, r: _Reduction, ranges: list[tuple]) -> None:
        """Set a reduction's output, or this thread's part of it, to the identity."""
        k, number = self.k, _identity(r.equation)
        out = self._flat(r.out, r.strides)

        def level(depth: int, index: tuple) -> None:
            if depth == len(ranges):
                k.store(out, index, number)
            elif r.reduced[depth]:
                level(depth + 1, (*index, 0))
            else:
                for i in k.count(ranges[depth][1], ranges[depth][0]):
                    level(depth + 1, (*index, i))

        level(0, ())

    def _level(self, depth: int, ranges: list[tuple], index: list[ir.Value]) -> None:
        k = self.k
        for r in self.reductions:
            if r.in_register and r.depth == depth:
                for slot in r.slots:
                    k.b.store(_identity(r.equation), slot)
        if depth == len(ranges):
            self._innermost(index)
        elif self.unrolled and depth == len(ranges) - 1:
            for column in range(ranges[depth][1]):
                self._level(depth + 1, ranges, [*index, k.index(column)])
        else:
            for i in k.count(ranges[depth][1], ranges[depth][0]):
                self._level(depth + 1, ranges, [*index, i])
        for r in self.reductions:
            if r.in_register and r.depth == depth:
                for column, slot in enumerate(r.slots):
                    at = (*index, *[k.index(0)] * (len(ranges) - 1 - depth), k.index(column)) if r.columns > 1 else tuple(index)
                    k.store(self._flat(r.out, r.strides), at, k.b.load(slot, typ=register_type(r.out.dtype)))

    def _flat(self, view: View, strides: tuple[int, ...]) -> View:
        """The view over the merged loop axes."""
        return view.with_layout(Layout((2,) * len(strides), strides, view.layout.offset))

    def _innermost(self, index: list[ir.Value]) -> None:
        k = self.k
        at = tuple(index)
        values: dict[Var, ir.Value] = {}
        loaded: dict[Var, ir.Value] = {}

        def read(atom) -> ir.Value:
            if isinstance(atom, Literal):
                return constant(atom.value, atom.type.dtype)
            if atom in values:
                return values[atom]
            if atom not in loaded:
                view = self.views[atom]
                strides = self._merged(view.layout.broadcast(self.space).strides)
                loaded[atom] = k.load(self._flat(view, strides), at)
            return loaded[atom]

        pending = []
        for eq in self.body.equations:
            primitive, kind = eq.primitive, eq.primitive.lowering
            if kind == "reduction":
                pending.append((next(r for r in self.reductions if r.equation is eq), read(eq.inputs[0])))
                continue
            scalar = k.scalar(_operand_dtype(eq))
            if kind == "element":
                value = primitive.lower(
                    scalar, at, tuple(map(self._reader, eq.inputs)), tuple(a.type for a in eq.inputs), **eq.params
                )
            else:
                value = primitive.lower(scalar, *map(read, eq.inputs), **eq.params)
            values[eq.outputs[0]] = value
        for out, view in self.stores.items():
            if out in values:
                k.store(self._flat(view, self._merged(view.strides)), at, values[out])
        for r, value in pending:
            _, combine = r.equation.primitive.lower()
            step = _accumulator(k.b, r.out.dtype)
            if r.in_register:
                slot, kind = r.slot(at[-1].constant if r.columns > 1 else 0), register_type(r.out.dtype)
                k.b.store(combine(step, k.b.load(slot, typ=kind), value), slot)
            else:
                out = self._flat(r.out, r.strides)
                k.store(out, at, combine(step, k.load(out, at), value))

    def _reader(self, atom):
        if isinstance(atom, Literal):
            return lambda index: constant(atom.value, atom.type.dtype)
        return lambda index: self.k.load(self.views[atom], index)


def _identity(eq: Equation) -> ir.Constant:
    identity, _ = eq.primitive.lower()
    dtype = eq.outputs[0].type.dtype
    return constant(identity(dtype), dtype)


def _operand_dtype(eq: Equation):
    """The dtype that an elementwise lowering works in: the operands', which for a select is that of what it selects."""
    types = [a.type for a in eq.inputs]
    if not types:
        return eq.outputs[0].type.dtype
    return types[-1].dtype if len(types) == 3 else types[0].dtype


