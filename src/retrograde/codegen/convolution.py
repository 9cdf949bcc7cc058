"""Convolutions: the register tile of the products, over places of an image that is read where it lies.

Rows of a tile are places, whose elements are broadcast; its vectors run along the channels out. No array of windows is ever
made: the addresses of a kernel's elements are strides, as in a product of more axes (the "implicit" product of S. Chetlur et
al., 2014, "cuDNN", section 3, and the direct convolution of E. Georganas et al., 2018, "Anatomy of high-performance deep learning
convolutions on SIMD architectures"). An image that is padded is first copied into working memory, where it stays near.

An element is one sum in one order that shapes, parameters and dtype fix. Known gap: kernels of very many channels are not
blocked, and are read from the second cache or beyond for each tile.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from llvmlite import ir

from retrograde.codegen.kernel import KernelEmitter
from retrograde.codegen.loops import emit_at
from retrograde.codegen.matmul_ir import (
    I64,
    PTR,
    Lanes,
    const,
    element_type,
    fma,
    load,
    loop,
    nothing,
    offset,
    splat,
    store,
    vector_type,
)
from retrograde.codegen.matmul_plan import register_tile
from retrograde.codegen.view import View
from retrograde.ir import Equation, Graph
from retrograde.ir.layout import Layout
from retrograde.ops.convolve import MANY_POINTS, convolve, kept_of

FEW, MANY = 8, 64  # places along an axis below which tiles reach over the next axis too; places that then have code of their own
WORK_PER_TURN = 24  # multiply-adds in one turn of the innermost loop, below which it is unrolled
UNROLL_WHOLE = 128  # multiply-adds of a loop below which there is none


class Axis(NamedTuple):
    """A loop: its length, and the steps that it takes in two arrays."""

    length: int
    a: int
    b: int


@dataclass(frozen=True)
class _Plan:
    """`outer` axes of rows and the rows of a tile (where each reads and writes), in `pieces` of at most `height`.

    A `regular` tile axis has one step, so that its pieces are a loop; `summed` are the axes summed over.
    """

    outer: tuple[Axis, ...]
    rows: tuple[tuple[int, int], ...]
    regular: bool
    height: int
    vectors: int
    width: int
    summed: tuple[Axis, ...]

    @property
    def pieces(self) -> int:
        return -(-len(self.rows) // self.height)


def convolution_scratch(eq: Equation) -> int:
    """Bytes for a padded image."""
    x, padding = eq.inputs[0].type, eq.params["padding"]
    near = x.shape[1] if _by_channels(eq.params) else x.shape[-1]
    return math.prod(_padded(x.shape[2:-1], padding)) * near * x.dtype.itemsize if _pads(padding) else 0


def _by_channels(params: dict[str, Any]) -> bool:
    return params.get("by") == "channels"


def _pads(padding: tuple) -> bool:
    return any(n != 0 for pair in padding for n in pair)


def _padded(shape: tuple, padding: tuple) -> tuple[int, ...]:
    return tuple(n + low + high for n, (low, high) in zip(shape, padding))


def emit_convolution(k: KernelEmitter, eq: Equation, operands: list[View], results: list[View], vector_bytes: int) -> str:
    """Emit a `convolve`, or a `product` that begins with one, and say how it is computed."""
    first, out, finish, then = eq, results[0], None, ""
    if eq.primitive is not convolve:
        body: Graph = eq.params["body"]
        first, view, nest = body.equations
        held = results[eq.params["home"]]
        views = {**dict(zip(body.inputs, operands)), view.outputs[0]: held}
        operands, out = [views[a] for a in first.inputs], held.with_layout(Layout.of(first.outputs[0].type.shape))
        finish = partial(_call_nest, k.b, nest.params["body"], [views[a] for a in nest.inputs], results)
        then = f"; then, an image at a time: {', '.join(dict.fromkeys(s.primitive.name for s in nest.params['body'].equations))}"
    how = "nothing"
    if out.type.size and operands[0].type.size:
        how = _Convolution(k, first, operands, out, vector_bytes, finish).emit()
    else:
        with k.first_only():
            k.fill(out, 0)
    return f"convolution of {operands[0].type} by {operands[1].type}: {how}{then}"


def _call_nest(b: ir.IRBuilder, body: Graph, operands: list[View], results: list[View], index: ir.Value) -> None:
    """The nest at one index, in a function of its own, to which LLVM is told that its pointers are distinct memory."""
    pointers = [v.pointer for v in (*results, *operands) if not isinstance(v.pointer, ir.GlobalVariable)]
    pointers = list(dict.fromkeys(pointers))
    signature = ir.FunctionType(ir.VoidType(), [PTR] * len(pointers) + [I64])
    function = ir.Function(b.module, signature, b.module.get_unique_name("finish"))
    function.linkage = "internal"
    function.attributes.add("noinline")
    for arg in function.args[:-1]:
        arg.add_attribute("noalias")
    here = dict(zip(pointers, function.args))
    entry, start = function.append_basic_block("entry"), function.append_basic_block("start")
    inner = KernelEmitter(ir.IRBuilder(start))
    moved = [replace(v, pointer=here.get(v.pointer, v.pointer)) for v in (*operands, *results)]
    emit_at(inner, body, moved[: len(operands)], moved[len(operands) :], function.args[-1])
    inner.b.ret_void()
    inner.b.position_at_end(entry)
    inner.b.branch(start)
    b.call(function, [*pointers, index])


class _Convolution:
    def __init__(
        self, k: KernelEmitter, eq: Equation, operands: list[View], out: View, vector_bytes: int,
        finish: Callable[[ir.Value], None] | None = None,
    ):  # fmt: skip
        self.k, self.b, self.finish = k, k.b, finish
        self.x, self.w, self.out, self.params = *operands, out, eq.params
        self.element = element_type(out.dtype)
        self.by_channels = _by_channels(eq.params)
        self.image = self._image()
        self.plan = self._planned(vector_bytes)

    # -- what is where

    def _image(self) -> Layout:
        """One image, padded: its places and the channels, or, by channels, the points of the batch."""
        x, near = self.x, 1 if self.by_channels else -1
        shape, strides = (*x.shape[2:-1], x.shape[near]), (*x.strides[2:-1], x.strides[near])
        if not _pads(self.params["padding"]):
            return Layout(shape, strides)
        return Layout.of((*_padded(shape[:-1], self.params["padding"]), shape[-1]))

    def _planned(self, vector_bytes: int) -> _Plan:
        out, w, params = self.out, self.w, self.params
        places = [Axis(n, s * step, c) for n, s, step, c in
                  zip(out.shape[2:-1], self.image.strides, params["stride"], out.strides[2:])]  # fmt: skip
        summed = [Axis(n, s * step, c) for n, s, step, c in
                  zip(w.shape[1:-2], self.image.strides, params["dilation"], w.strides[1:])]  # fmt: skip
        near = self.image.strides[-1]
        if self.by_channels:
            places.append(Axis(out.shape[1], near, out.strides[1]))
        else:
            summed.append(Axis(w.shape[-2], near, w.strides[-2]))
        places, summed = _merged(places), _merged(summed)
        columns, lanes = out.shape[-1], vector_bytes // out.dtype.itemsize
        width = lanes
        while width > 1 and width // 2 >= columns:
            width //= 2
        at = len(places) - 1
        while at and (count := math.prod(axis.length for axis in places[at:])) < FEW and count * places[at - 1].length <= MANY:
            at -= 1
        rows = [(0, 0)]
        for axis in places[at:]:
            rows = [(x + i * axis.a, y + i * axis.b) for x, y in rows for i in range(axis.length)]
        steps = math.prod(axis.length for axis in summed)
        height, vectors = register_tile(len(rows), columns, steps, width, vector_bytes, 1)
        height = -(-len(rows) // -(-len(rows) // height))
        return _Plan(tuple(places[:at]), tuple(rows), len(places) - at == 1, height, vectors, width, tuple(summed))

    def __str__(self) -> str:
        plan = self.plan
        return f"tiles of {plan.height} places x {plan.vectors * plan.width} channels"

    # -- loops

    def emit(self) -> str:
        k, x = self.k, self.x
        images = x.shape[-1] if self.by_channels else x.shape[1]
        whole = not self.by_channels and x.shape[0] * images >= MANY_POINTS
        begin, end = k.share(x.shape[0] * images) if whole else (0, x.shape[0] * images)
        units = math.prod(axis.length for axis in self.plan.outer) * self.plan.pieces
        mine = (0, units) if whole else k.share(units)
        padding = self.params["padding"]
        if _pads(padding):
            scratch = View(k.working, self.image, x.dtype)
            if any(n > 0 for pair in padding for n in pair):
                k.fill(scratch, 0)
        for number in k.count(end, begin):
            group, i = self._split(number, images)
            index = (group, 0, *[0] * (len(x.shape) - 3), i) if self.by_channels else (group, i, *[0] * (len(x.shape) - 2))
            source = k.address(x, index)
            if _pads(padding):
                self._pad(View(source, self._source(), x.dtype), scratch)
                source = k.address(scratch, (0,) * len(self.image.shape))
            w_index = (group, *[0] * (len(x.shape) - 3), i, 0) if self.by_channels else (group, *[0] * (len(x.shape) - 1))
            right = k.address(self.w, w_index)
            target = k.address(self.out, (group, *((0,) if self.by_channels else (i,)), *[0] * (len(x.shape) - 2)))
            first = self.b.icmp_signed("==", i, k.index(0)) if self.by_channels and images > 1 else True
            self._panels(source, right, target, mine, first)
            if self.finish is not None:
                self.finish(i)
        return str(self)

    def _split(self, number: ir.Value, count: int) -> tuple[Any, ir.Value]:
        if self.x.shape[0] == 1:
            return self.k.index(0), number
        return self.b.udiv(number, self.k.index(count)), self.b.urem(number, self.k.index(count))

    def _source(self) -> Layout:
        near = 1 if self.by_channels else -1
        return Layout((*self.x.shape[2:-1], self.x.shape[near]), (*self.x.strides[2:-1], self.x.strides[near]))

    def _pad(self, source: View, target: View) -> None:
        """The image into the middle of working memory, whose rim is zeros."""
        kept = [kept_of(n, pair) for n, pair in zip(source.shape, self.params["padding"])]
        kept.append((0, source.shape[-1]))
        start = [max(low, 0) for low, _ in self.params["padding"]] + [0]
        ones = (1,) * len(kept)
        inside = source.layout.slice(tuple(a for a, _ in kept), tuple(z for _, z in kept), ones)
        goal = target.layout.slice(tuple(start), tuple(s + z - a for s, (a, z) in zip(start, kept)), ones)
        self.k.copy(target.with_layout(goal), source.with_layout(inside))

    def _panels(self, source: ir.Value, right: ir.Value, target: ir.Value, mine: tuple, first: bool | ir.Value) -> None:
        """Columns of the result, a panel at a time."""
        plan, columns = self.plan, self.out.shape[-1]
        panel = plan.vectors * plan.width
        whole = columns // panel * panel

        def turn(builder: ir.IRBuilder, column: ir.Value, _: Any) -> list:
            self._units(source, offset(builder, right, column, self.element), offset(builder, target, column, self.element),
                        mine, first, self._lanes(panel))  # fmt: skip
            return []

        loop(self.b, 0, whole, panel, turn, name="panel")
        if columns > whole:
            self._units(source, offset(self.b, right, whole, self.element), offset(self.b, target, whole, self.element),
                        mine, first, self._lanes(columns - whole))  # fmt: skip

    def _lanes(self, columns: int) -> list[Lanes]:
        width = self.plan.width
        return [Lanes(start, width, min(width, columns - start)) for start in range(0, columns, width)]

    def _units(self, source, right, target, mine: tuple, first, lanes: list[Lanes]) -> None:
        """All tiles, or those between two numbers: pieces of rows come after one another, then the outer axes turn."""
        k, b, plan = self.k, self.b, self.plan
        begin, end = mine
        shared = isinstance(begin, ir.Value)
        per = k.index(plan.pieces)
        low = b.udiv(begin, per) if shared else 0
        high = b.udiv(b.add(end, k.index(plan.pieces - 1)), per) if shared else math.prod(a.length for a in plan.outer)
        for turn in k.count(high, low):
            a, c, rest = source, target, turn
            for axis in reversed(plan.outer):
                at = b.urem(rest, k.index(axis.length)) if axis is not plan.outer[0] else rest
                rest = b.udiv(rest, k.index(axis.length)) if axis is not plan.outer[0] else rest
                a, c = self._moved(a, at, axis.a), self._moved(c, at, axis.b)

            def piece(number: int | ir.Value, rows: tuple, a: ir.Value, c: ir.Value, turn: ir.Value = turn) -> None:
                if not shared:
                    self._tile(rows, lanes, a, right, c, first)
                    return
                unit = b.add(b.mul(turn, per), number if isinstance(number, ir.Value) else k.index(number))
                inside = b.and_(b.icmp_signed(">=", unit, begin), b.icmp_signed("<", unit, end))
                with b.if_then(inside):
                    self._tile(rows, lanes, a, right, c, first)

            self._pieces(piece, a, c)

    def _pieces(self, piece: Callable[..., None], a: ir.Value, c: ir.Value) -> None:
        """The rows in pieces: a loop where they have one step."""
        plan = self.plan
        height, rows = plan.height, plan.rows
        whole = len(rows) // height
        if plan.regular and whole > 1:
            step = rows[height]
            for number in self.k.count(whole):
                piece(number, rows[:height], self._moved(a, number, step[0]), self._moved(c, number, step[1]))
            if len(rows) > whole * height:
                piece(whole, rows[whole * height :], a, c)
            return
        for number in range(plan.pieces):
            piece(number, rows[number * height : (number + 1) * height], a, c)

    def _moved(self, pointer: ir.Value, index: ir.Value, stride: int) -> ir.Value:
        if stride == 0:
            return pointer
        return offset(self.b, pointer, self.b.mul(index, const(stride), flags=("nsw",)), self.element)

    # -- a tile

    def _tile(self, rows: tuple, lanes: list[Lanes], a: ir.Value, right: ir.Value, c: ir.Value, first: bool | ir.Value) -> None:
        """A few places by a few vectors of channels, in registers over all that is summed."""
        places = [(lane, offset(self.b, c, row + lane.start, self.element)) for _, row in rows for lane in lanes]
        sums = [nothing(vector_type(self.element, lane.width)) for lane, _ in places]
        if first is not True:  # what the memory holds before the first turn must not reach the sum
            held = [load(self.b, place, self.element, lane) for lane, place in places]
            sums = [self.b.select(first, zero, value) for zero, value in zip(sums, held)]
        sums = self._sum(self.plan.summed, [row for row, _ in rows], lanes, a, right, sums)
        for value, (lane, place) in zip(sums, places):
            store(self.b, value, place, self.element, lane)

    def _sum(self, axes: tuple[Axis, ...], rows: list[int], lanes: list[Lanes], a, right, sums: list) -> list:
        """Add the products along these axes."""
        if not axes:
            return self._step(rows, lanes, a, right, sums)
        axis, inner = axes[0], axes[1:]
        size = math.prod(x.length for x in inner) * len(sums)
        turn = 1
        while not inner and turn * size < WORK_PER_TURN and turn < 8:
            turn *= 2
        if axis.length * size <= UNROLL_WHOLE:
            turn = axis.length

        def several(count: int, a, right, sums: list) -> list:
            for at in range(count):
                here = offset(self.b, a, at * axis.a, self.element), offset(self.b, right, at * axis.b, self.element)
                sums = self._sum(inner, rows, lanes, *here, sums)
            return sums

        def body(builder: ir.IRBuilder, _: Any, state: list) -> list:
            a, right, *sums = state
            sums = several(turn, a, right, sums)
            return [offset(builder, a, turn * axis.a, self.element), offset(builder, right, turn * axis.b, self.element), *sums]

        whole = axis.length // turn * turn
        a, right, *sums = loop(self.b, 0, whole, turn, body, [a, right, *sums], "sum")
        return several(axis.length - whole, a, right, sums)

    def _step(self, rows: list[int], lanes: list[Lanes], a, right, sums: list) -> list:
        vectors = [load(self.b, offset(self.b, right, lane.start, self.element), self.element, lane) for lane in lanes]
        result = []
        for i, row in enumerate(rows):
            left = load(self.b, offset(self.b, a, row, self.element), self.element, Lanes(0, 1, 1))
            for j, (lane, vector) in enumerate(zip(lanes, vectors)):
                result.append(fma(self.b, splat(self.b, left, lane.width), vector, sums[i * len(lanes) + j]))
        return result


def _merged(axes: list[Axis]) -> list[Axis]:
    """Neighbors that both arrays walk as one, joined; those of length 1 left out."""
    found: list[Axis] = []
    for axis in axes:
        if axis.length == 1:
            continue
        if found and (found[-1].a, found[-1].b) == (axis.length * axis.a, axis.length * axis.b):
            axis = Axis(found.pop().length * axis.length, axis.a, axis.b)
        found.append(axis)
    return found or [Axis(1, 0, 0)]
