"""Matrix products over all batch axes, by the kernels of `matmul.py`; and products whose pieces a loop nest finishes.

There is no call of a BLAS: see what was measured in `matmul_plan.py`.
"""

from __future__ import annotations

from llvmlite import ir

from retrograde.codegen.kernel import KernelEmitter
from retrograde.codegen.loops import emit_piece
from retrograde.codegen.matmul import (
    emit_matmul,
    matmul_kernel,
    matmul_scratch_bound,
    matmul_scratch_bytes,
    matmul_split,
    matmul_window,
)
from retrograde.codegen.scalar import I64, PTR, memory_type, register_type
from retrograde.codegen.view import View
from retrograde.ir import Equation, Graph
from retrograde.ir.layout import Layout, aligned
from retrograde.ops.matmul import matmul
from retrograde.types import is_bfloat16


def product_scratch(eq: Equation, vector_bytes: int, windowed: bool = False) -> int:
    """Bytes that the kernel may want to pack an operand, whatever the operands' layout turns out to be."""
    x, y = eq.inputs[0].type, eq.inputs[1].type
    if not _has_kernel(x.dtype):
        return 0
    (m, k), n = x.shape[-2:], y.shape[-1]
    return matmul_scratch_bound(m, n, k, x.dtype, vector_bytes=vector_bytes, windowed=windowed)


def finished_scratch(eq: Equation, vector_bytes: int) -> int:
    """The same for a `product`, whose kernel may hold a piece of the result besides."""
    first = eq.params["body"].equations[0]
    if eq.params["home"] is not None:
        return product_scratch(first, vector_bytes)
    x, out = first.inputs[0].type, first.outputs[0].type
    rows = matmul_window(*out.shape, x.shape[1], x.dtype, vector_bytes=vector_bytes) if _has_kernel(x.dtype) else out.shape[0]
    return aligned(product_scratch(first, vector_bytes, True)) + rows * out.shape[1] * out.dtype.itemsize


def describe_product(eq: Equation, operands: list[View], results: list[View], vector_bytes: int) -> str:
    """A line that says how a `matmul` or a `product` with operands at these strides is computed."""
    first, then, windowed, held = eq, "", False, results[0]
    views = dict(zip(eq.inputs, operands))
    if eq.primitive is not matmul:
        first, nest = eq.params["body"].equations
        windowed = eq.params["home"] is None
        held = View(held.pointer, Layout.of(first.outputs[0].type.shape), first.outputs[0].type.dtype)
        views = dict(zip(eq.params["body"].inputs, operands))
        steps = ", ".join(dict.fromkeys(step.primitive.name for step in nest.params["body"].equations))
        then = f"; then, {'a few rows' if windowed else 'a piece'} at a time: {steps}"
    x, y = (views[a] for a in first.inputs)
    (m, k), n = x.shape[-2:], y.shape[-1]
    how = "three loops"
    if _has_kernel(x.dtype):
        layouts = (x.strides[-2:], y.strides[-2:], held.strides[-2:])
        how = matmul_kernel(m, n, k, x.dtype, *layouts, vector_bytes=vector_bytes, windowed=windowed)
    batch = "".join(f"{length} x " for length in x.shape[:-2])
    return f"product of {x.dtype}, {batch}({m}, {k}) @ ({k}, {n}): {how}{then}"


def _has_kernel(dtype) -> bool:
    return is_bfloat16(dtype) or (dtype.kind == "f" and dtype.itemsize in (4, 8))


def emit_product(k: KernelEmitter, x: View, y: View, out: View, vector_bytes: int) -> None:
    """Emit out = x @ y over all batch axes; a team shares the longest of them, or the matrix where there is none."""
    if 0 in out.shape:  # nothing to write, and tiles of no rows have no plan
        return
    batch = out.shape[:-2]
    if k.team is None or not any(n > 1 for n in batch):
        for index in k.loop(*batch):
            _one(k, _at(k, x, index), _at(k, y, index), _at(k, out, index), vector_bytes)
        return
    shared = max(range(len(batch)), key=lambda axis: batch[axis])
    begin, end = k.share(batch[shared])
    alone = KernelEmitter(k.b, k.working)
    for i in k.count(end, begin):
        for rest in k.loop(*batch[:shared], *batch[shared + 1 :]):
            index = (*rest[:shared], i, *rest[shared:])
            _one(alone, _at(k, x, index), _at(k, y, index), _at(k, out, index), vector_bytes)


def _at(k: KernelEmitter, view: View, index: tuple) -> View:
    """The matrix at a batch index, its offset inside the pointer."""
    full = (*index, 0, 0)
    return View(k.address(view, full), Layout(view.shape[-2:], view.strides[-2:]), view.dtype)


def _one(k: KernelEmitter, x: View, y: View, out: View, vector_bytes: int) -> None:
    if _has_kernel(x.dtype):
        _own(k, x, y, out, vector_bytes)
        return
    with k.first_only():
        _plain(k, x, y, out)


def _own(
    k: KernelEmitter, x: View, y: View, out: View, vector_bytes: int, finish: _Finish | None = None, windowed: bool = False
) -> None:
    """Our kernel; a team shares its rows or its columns."""
    (m, depth), n, dtype = x.shape, y.shape[1], x.dtype
    layouts = (x.strides, y.strides, out.strides)
    options = {"vector_bytes": vector_bytes, "windowed": windowed}
    scratch = k.working if matmul_scratch_bytes(m, n, depth, dtype, *layouts, **options) else None
    operands = (m, n, depth, x.pointer, y.pointer, out.pointer, dtype, *layouts)
    options |= {"finish": finish, "scratch": scratch}
    sums = finish is not None and finish.sums
    split = None
    if k.team is not None:
        split = matmul_split(m, n, depth, dtype, *layouts, vector_bytes=vector_bytes, windowed=windowed, rows_whole=sums)
    if split is None:
        with k.first_only():
            emit_matmul(k.b, *operands, **options)
        return
    axis, extent, step = split
    begin, end = k.share(extent, step)
    part = {f"{axis[:-1]}_begin": begin, f"{axis[:-1]}_end": end}
    emit_matmul(k.b, *operands, **options, **part)


def emit_finished(k: KernelEmitter, eq: Equation, operands: list[View], results: list[View], vector_bytes: int) -> None:
    """Emit a `product`: the kernel, and its nest as a function for pieces of the result."""
    body: Graph = eq.params["body"]
    first, nest = body.equations
    views = dict(zip(body.inputs, operands))
    x, y = (View(k.address(views[a], (0, 0)), Layout(a.type.shape, views[a].strides), views[a].dtype) for a in first.inputs)
    out, home = first.outputs[0], eq.params["home"]
    if home is not None:
        held = results[home]
    else:
        need = aligned(product_scratch(first, vector_bytes, True))
        pointer = k.b.gep(k.working, [k.index(need)], inbounds=True, source_etype=ir.IntType(8))
        held = View(pointer, Layout.of(out.type.shape), out.type.dtype)
    finish = _Finish(nest, out, {**views, out: held}, results, home is None)
    if _has_kernel(x.dtype):
        _own(k, x, y, held, vector_bytes, finish, home is None)
        return
    with k.first_only():
        _plain(k, x, y, held)
        finish(k.b, held.pointer, (0, out.type.shape[0]), (0, out.type.shape[1]))


class _Finish:
    """The nest behind a product, as a function of a piece's place and size; one for each static size."""

    def __init__(self, nest: Equation, out, views: dict, results: list[View], windowed: bool):
        self.nest, self.out, self.windowed = nest, out, windowed
        self.operands = [views[a] for a in nest.inputs]
        self.results = results
        moving = [*(v for a, v in zip(nest.inputs, self.operands) if not (windowed and a is out)), *results]
        self.pointers = list(dict.fromkeys(v.pointer for v in moving if not isinstance(v.pointer, ir.GlobalVariable)))
        self.sums = any(step.primitive.lowering == "reduction" for step in nest.params["body"].equations)
        self.functions: dict[tuple, ir.Function] = {}

    def __call__(self, builder: ir.IRBuilder, place: ir.Value, rows: tuple, columns: tuple) -> None:
        (row, height), (column, width) = _extent(builder, rows), _extent(builder, columns)
        static = tuple(n if isinstance(n, int) else None for n in (height, width))
        if static not in self.functions:
            self.functions[static] = self._function(builder.module, *static)
        numbers = [I64(n) if isinstance(n, int) else n for n in (row, column, height, width)]
        builder.call(self.functions[static], [*self.pointers, place, *numbers])

    def _function(self, module: ir.Module, height: int | None, width: int | None) -> ir.Function:
        signature = ir.FunctionType(ir.VoidType(), [PTR] * (len(self.pointers) + 1) + [I64] * 4)
        function = ir.Function(module, signature, module.get_unique_name("finish"))
        function.linkage = "internal"
        function.attributes.add("noinline")
        entry, start = function.append_basic_block("entry"), function.append_basic_block("start")
        k = KernelEmitter(ir.IRBuilder(start))
        place, row, column, given_height, given_width = function.args[-5:]
        for arg in function.args[: -5 if not self.windowed else -4]:
            arg.add_attribute("noalias")
        here = dict(zip(self.pointers, function.args))
        space = self.out.type.shape

        def moved(view: View, stays: bool = False) -> View:
            if stays:
                return View(place, view.layout, view.dtype)
            strides = view.layout.broadcast(space).strides
            pointer = here.get(view.pointer, view.pointer)
            for at, stride in zip((row, column), strides):
                if stride:
                    by = k.b.mul(at, k.index(stride))
                    pointer = k.b.gep(pointer, [by], inbounds=True, source_etype=memory_type(view.dtype))
            return View(pointer, view.layout, view.dtype)

        operands = [moved(v, self.windowed and a is self.out) for a, v in zip(self.nest.inputs, self.operands)]
        results = [moved(v) for v in self.results]
        first = k.b.icmp_signed("==", row, k.index(0))
        size = (given_height if height is None else height, given_width if width is None else width)
        emit_piece(k, self.nest.params["body"], operands, results, *size, first)
        k.b.ret_void()
        k.b.position_at_end(entry)
        k.b.branch(start)
        return function


def _extent(builder: ir.IRBuilder, span: tuple) -> tuple:
    """Begin and length of a range, a number where both ends are."""
    begin, end = span
    if isinstance(begin, int) and isinstance(end, int):
        return begin, end - begin
    if isinstance(begin, ir.Constant) and isinstance(end, ir.Constant):
        return begin, end.constant - begin.constant
    return begin, builder.sub(*(I64(n) if isinstance(n, int) else n for n in (end, begin)))


def _plain(k: KernelEmitter, x: View, y: View, out: View) -> None:
    """Integers, bools, half precision: three loops."""
    (m, depth), n, dtype = x.shape, y.shape[1], out.dtype
    e = k.scalar(dtype)
    slot = k.alloca(register_type(dtype))
    for i, j in k.loop(m, n):
        k.b.store(e.const(0), slot)
        for d in k.count(depth):
            term = e.mul(k.load(x, (i, d)), k.load(y, (d, j)))
            k.b.store(e.add(k.b.load(slot, typ=register_type(dtype)), term), slot)
        k.store(out, (i, j), k.b.load(slot, typ=register_type(dtype)))
