"""Products of bfloat16 with sums in float32, by AVX512-BF16: `vdpbf16ps` adds the products of two pairs in each lane.

Two neighbours along k are one element of 32 bits, so a product of depth k is planned, tiled, packed and shared among threads as
one of float32 of depth k / 2; it differs in how it multiplies, and in how operands whose pairs do not lie side by side are
packed. The order of a sum is fixed as there: the same bits on any number of threads.

The instruction rounds to nearest even after each of its two additions or once for both, as the processor has it, and takes
subnormal numbers for zero in operands and results: so it agrees with multiplication and addition in float32 within the rounding
of a sum of k terms, not in its bits. AMX, whose processors all have AVX512-BF16 too, is not used.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import llvmlite.ir as ir
import numpy as np

from retrograde.errors import UnsupportedError

from .brain import I16
from .matmul_ir import F32, I1, I32, PTR, Lanes, add, as_i64, const, loop, nothing, offset, scale, shuffle, store, vector_type
from .matmul_loops import Product
from .matmul_pack import emit_pack
from .matmul_plan import MatmulPlan, Strides, plan_matmul


def plan_pairs(
    m: int, n: int, k: int, dtype: Any, a_strides: Strides, b_strides: Strides, c_strides: Strides, *, vector_bytes: int = 64,
    windowed: bool = False,
) -> MatmulPlan:  # fmt: skip
    """Plan C[m, n] = A[m, k] @ B[k, n] in pairs along k, which must be even; strides in elements, those of C in float32."""
    if k % 2:
        raise UnsupportedError(f"pairs of bfloat16 need an even depth, not {k}: convert with .astype(np.float32) first")
    left, right = in_place(a_strides), in_place(b_strides[::-1])
    a, b = left or (1, m + 1), right[::-1] if right else (n + 1, 1)  # strides to plan with: not contiguous along k
    plan = plan_matmul(m, n, k // 2, np.float32, a, b, c_strides, vector_bytes=vector_bytes, windowed=windowed)
    if plan.kind == "dots":
        return plan
    apart = (right if plan.swapped else left) is None
    return replace(plan, kind="tiles", pack_a=plan.pack_a or apart, pack_b=True, rows_first=False)


def in_place(strides: Strides) -> Strides | None:
    """Strides (across, along k) counted in pairs, where each pair is one element of 32 bits; None where it is not."""
    across, along = strides
    return (across // 2, 1) if along == 1 and across % 2 == 0 else None


class PairProduct(Product):
    """A planned product of pairs; `left` and `right` are the operands' strides (across, along k) in bfloat16."""

    def __init__(self, plan: MatmulPlan, a, b, c, scratch, left: Strides, right: Strides, finish=None):
        super().__init__(plan, F32, a, b, c, scratch, finish)
        self.left, self.right = left, right

    def multiply(self, builder, x, y, z):
        return dot(builder, x, y, z)

    def pack_right(self, builder, start, column, length, lanes, goal) -> None:
        _pack(builder, self.b, self.right, column, start, length, lanes, goal)

    def pack_left(self, builder, row, start, length, lanes, goal) -> None:
        _pack(builder, self.a, self.left, row, start, length, lanes, goal)


def _pack(builder, operand, strides: Strides, first, start, length, lanes: list[Lanes], goal) -> None:
    """Copy `length` rows of pairs of a panel, whose first lane is `first` and whose first pair is `start`."""
    across, along = strides
    source = offset(builder, offset(builder, operand, scale(builder, first, across), I16), scale(builder, start, 2 * along), I16)
    if in_place(strides):
        emit_pack(builder, F32, source, (1, across // 2), length, lanes, goal)
        return
    step = sum(lane.width for lane in lanes)

    def row(builder, k, _):
        low = offset(builder, source, scale(builder, k, 2 * along), I16)
        high, begin = offset(builder, low, along, I16), as_i64(scale(builder, k, step))
        for lane in lanes:
            value = _interleaved(builder, low, high, across, lane)
            place = offset(builder, goal, add(builder, begin, lane.start), F32)
            store(builder, value, place, F32, Lanes(0, lane.width, lane.width))
        return []

    loop(builder, const(0) if isinstance(length, ir.Value) else 0, length, 1, row, name="pack")


def _interleaved(builder, low, high, across: int, lane: Lanes) -> ir.Value:
    """A vector of pairs, the first halves at `low` and the second at `high`, `across` elements from lane to lane."""
    if across == 1 and lane.width > 1:
        x, y = (_load(builder, offset(builder, half, lane.start, I16), lane) for half in (low, high))
        order = [i // 2 + i % 2 * lane.width for i in range(2 * lane.width)]
        return builder.bitcast(shuffle(builder, x, y, order), vector_type(F32, lane.width))
    pairs = []
    for i in range(lane.valid):
        at = (lane.start + i) * across
        x, y = (builder.zext(builder.load(offset(builder, h, at, I16), typ=I16, align=2), I32) for h in (low, high))
        pairs.append(builder.bitcast(builder.or_(x, builder.shl(y, I32(16))), F32))
    if lane.width == 1:
        return pairs[0]
    value = nothing(vector_type(F32, lane.width))
    for i, pair in enumerate(pairs):
        value = builder.insert_element(value, pair, I32(i))
    return value


def _load(builder, pointer, lane: Lanes) -> ir.Value:
    """A vector of 16-bit elements; lanes that do not count are zero and their memory is not touched."""
    kind = vector_type(I16, lane.width)
    if lane.valid == lane.width:
        return builder.load(pointer, typ=kind, align=2)
    mask = ir.Constant(vector_type(I1, lane.width), [I1(i < lane.valid) for i in range(lane.width)])
    zeros = ir.Constant(kind, None)
    function = _function(builder, f"llvm.masked.load.v{lane.width}i16.p0", kind, (PTR, I32, mask.type, kind))
    return builder.call(function, [pointer, I32(2), mask, zeros])


class _Brain(ir.Type):
    """LLVM's own bfloat16, which only the instruction's operands need."""

    def _to_string(self) -> str:
        return "bfloat"


@functools.lru_cache(maxsize=8)
def _brains(width: int) -> ir.Type:
    return ir.VectorType(_Brain(), width)


def dot(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
    """Return z + x0 y0 + x1 y1 in each lane, where x and y are pairs of bfloat16 in the guise of float32."""
    kind = z.type
    width = kind.count if isinstance(kind, ir.VectorType) else 1
    if width < 4:
        return _dot_in_float32(builder, x, y, z)
    pairs = _brains(2 * width)
    function = _function(builder, f"llvm.x86.avx512bf16.dpbf16ps.{32 * width}", kind, (kind, pairs, pairs))
    return builder.call(function, [z, builder.bitcast(y, pairs), builder.bitcast(x, pairs)])


def _dot_in_float32(builder, x, y, z):
    """The same for fewer lanes than the instruction has."""
    kind = z.type
    whole = vector_type(I32, kind.count) if isinstance(kind, ir.VectorType) else I32

    def of(number: int) -> ir.Constant:
        return ir.Constant(whole, [I32(number)] * kind.count) if whole is not I32 else I32(number)

    def halves(pair):
        bits = builder.bitcast(pair, whole)
        return [builder.bitcast(b, kind) for b in (builder.shl(bits, of(16)), builder.and_(bits, of(-(1 << 16))))]

    for a, b in zip(halves(x), halves(y)):
        z = builder.fadd(z, builder.fmul(a, b))
    return z


def _function(builder, name: str, result: ir.Type, arguments: tuple[ir.Type, ...]) -> ir.Function:
    found = builder.module.globals.get(name)
    return found or ir.Function(builder.module, ir.FunctionType(result, arguments), name)
