"""Matrix products over all batch axes, by the kernels of `matmul.py`.

There is no call of a BLAS: see what was measured in `matmul_plan.py`.
"""

from __future__ import annotations

from retrograde.codegen.kernel import KernelEmitter
from retrograde.codegen.matmul import emit_matmul, matmul_scratch_bound, matmul_scratch_bytes, matmul_split
from retrograde.codegen.scalar import register_type
from retrograde.codegen.view import View
from retrograde.ir import Equation
from retrograde.ir.layout import Layout
from retrograde.types import is_bfloat16


def product_scratch(eq: Equation, vector_bytes: int) -> int:
    """Bytes that the kernel may want to pack an operand, whatever the operands' layout turns out to be."""
    x, y = eq.inputs[0].type, eq.inputs[1].type
    if not _has_kernel(x.dtype):
        return 0
    (m, k), n = x.shape[-2:], y.shape[-1]
    return matmul_scratch_bound(m, n, k, x.dtype, vector_bytes=vector_bytes)


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


def _own(k: KernelEmitter, x: View, y: View, out: View, vector_bytes: int) -> None:
    """Our kernel; a team shares its rows or its columns."""
    (m, depth), n, dtype = x.shape, y.shape[1], x.dtype
    layouts = (x.strides, y.strides, out.strides)
    scratch = k.working if matmul_scratch_bytes(m, n, depth, dtype, *layouts, vector_bytes=vector_bytes) else None
    operands = (m, n, depth, x.pointer, y.pointer, out.pointer, dtype, *layouts)
    split = matmul_split(m, n, depth, dtype, *layouts, vector_bytes=vector_bytes) if k.team is not None else None
    if split is None:
        with k.first_only():
            emit_matmul(k.b, *operands, vector_bytes=vector_bytes, scratch=scratch)
        return
    axis, extent, step = split
    begin, end = k.share(extent, step)
    part = {f"{axis[:-1]}_begin": begin, f"{axis[:-1]}_end": end}
    emit_matmul(k.b, *operands, vector_bytes=vector_bytes, scratch=scratch, **part)


def _plain(k: KernelEmitter, x: View, y: View, out: View) -> None:
    """Integers, bools and half precision: three loops."""
    (m, depth), n, dtype = x.shape, y.shape[1], out.dtype
    e = k.scalar(dtype)
    slot = k.alloca(register_type(dtype))
    for i, j in k.loop(m, n):
        k.b.store(e.const(0), slot)
        for d in k.count(depth):
            term = e.mul(k.load(x, (i, d)), k.load(y, (d, j)))
            k.b.store(e.add(k.b.load(slot, typ=register_type(dtype)), term), slot)
        k.store(out, (i, j), k.b.load(slot, typ=register_type(dtype)))
