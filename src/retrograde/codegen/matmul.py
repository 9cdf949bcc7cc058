"""Native products of matrices of static shape, written as LLVM IR where a builder stands.

C[m, n] (=|+=) A[m, k] @ B[k, n] with static element strides, so that a transposed or broadcast operand is but
another pair of strides. An element of C is one sum in one order that shape, strides and dtype fix: neither
the split of the rows or columns among threads nor the width of the vectors changes its bits.

Known gaps: A is read in place, so an A of thousands of columns whose row is a multiple of 4096 bytes costs
cache conflicts; an operand B that is contiguous neither along k nor along n is gathered element by element.
"""

from __future__ import annotations

from typing import Any

import llvmlite.ir as ir
import numpy as np

from retrograde.errors import CompileError, ShapeError
from retrograde.types import is_bfloat16

from .matmul_bf16 import PairProduct, plan_pairs
from .matmul_ir import F32, Lanes, element_type, loop, nothing, offset, scale, store
from .matmul_loops import Finish, Product, Range
from .matmul_plan import MatmulPlan, Strides, plan_matmul

_FAR = (1 << 20, 1 << 20)  # steps that make either operand worth a copy


def _plan(m: int, n: int, k: int, dtype: Any, a: Strides, b: Strides, c: Strides, **options: Any) -> MatmulPlan:
    plan = plan_pairs if is_bfloat16(np.dtype(dtype)) else plan_matmul
    return plan(m, n, k, dtype, a, b, c, **options)


def matmul_kernel(
    m: int, n: int, k: int, dtype: Any, a_strides: Strides, b_strides: Strides, c_strides: Strides, **options: Any
) -> str:
    """Say how the product is computed: the choice that `plan_matmul` made."""
    return str(_plan(m, n, k, dtype, a_strides, b_strides, c_strides, **options)) if min(m, n, k) else "nothing to multiply"


def matmul_scratch_bytes(
    m: int, n: int, k: int, dtype: Any, a_strides: Strides, b_strides: Strides, c_strides: Strides, *,
    vector_bytes: int = 64, windowed: bool = False,
) -> int:  # fmt: skip
    """Return the bytes of scratch memory (of each thread) that `emit_matmul` needs; often 0."""
    options = {"vector_bytes": vector_bytes, "windowed": windowed}
    return _plan(m, n, k, dtype, a_strides, b_strides, c_strides, **options).scratch_bytes


def matmul_scratch_bound(m: int, n: int, k: int, dtype: Any, *, vector_bytes: int = 64, windowed: bool = False) -> int:
    """Return bytes of scratch memory that suffice for this product whatever the strides turn out to be."""
    options = {"vector_bytes": vector_bytes, "windowed": windowed}
    return max(
        matmul_scratch_bytes(m, n, k, dtype, left, _FAR, result, **options)
        for left in (_FAR, (1, _FAR[0]))
        for result in ((n, 1), (1, m))
    )


def matmul_window(m: int, n: int, k: int, dtype: Any, *, vector_bytes: int = 64) -> int:
    """Return how many rows of C, of n elements each, suffice for a `windowed` product whatever the operands' strides."""
    options = {"vector_bytes": vector_bytes, "windowed": True}
    layouts = ((left, right) for left in (_FAR, (k, 1), (1, _FAR[0])) for right in (_FAR, (n, 1), (1, k)))
    return max(_plan(m, n, k, dtype, *both, (n, 1), **options).window[0] for both in layouts)


def matmul_row_tile(
    m: int,
    n: int,
    k: int,
    dtype: Any,
    a_strides: Strides,
    b_strides: Strides,
    c_strides: Strides,
    *,
    vector_bytes: int = 64,
) -> int:
    """Return the number of rows of which `row_begin` and `row_end` (unless m itself) must be multiples."""
    plan = _plan(m, n, k, dtype, a_strides, b_strides, c_strides, vector_bytes=vector_bytes)
    if plan.kind == "straight":
        return max(m, 1)
    return plan.panel if plan.swapped else plan.rows


def matmul_split(
    m: int,
    n: int,
    k: int,
    dtype: Any,
    a_strides: Strides,
    b_strides: Strides,
    c_strides: Strides,
    *,
    vector_bytes: int = 64,
    rows_whole: bool = False,
    windowed: bool = False,
) -> tuple[str, int, int] | None:
    """Say how threads share the product: `("rows" | "columns", extent, step)` of C; None if they cannot.

    Ranges must begin and end at multiples of `step`, or at the extent. That way is taken which two threads share more
    evenly, less the copying of an operand that both would do. `rows_whole` says that only columns may be split; a
    windowed product is split by rows.
    """
    plan = _plan(m, n, k, dtype, a_strides, b_strides, c_strides, vector_bytes=vector_bytes, windowed=windowed)
    if plan.kind == "straight" or min(m, n, k) == 0:
        return None
    ways = [(_half(plan.m, plan.rows) + 0.1 * plan.pack_b, plan.swapped, plan.m, plan.rows)]
    if plan.kind == "tiles" and not plan.windowed:
        ways.append((_half(plan.n, plan.panel) + 0.1 * plan.pack_a, not plan.swapped, plan.n, plan.panel))
    ways = [way for way in ways if way[1] or not rows_whole]
    if not ways:
        return None
    share, columns, extent, step = min(ways)
    return ("columns" if columns else "rows", extent, step) if share < 0.85 else None


def _half(extent: int, step: int) -> float:
    """The part of the work that the slower of two threads has."""
    units = -(-extent // step)
    return min(-(-units // 2) * step / extent, 1.0)


def emit_matmul(
    builder: ir.IRBuilder,
    m: int,
    n: int,
    k: int,
    a: ir.Value,
    b: ir.Value,
    c: ir.Value,
    dtype: Any,
    a_strides: Strides,
    b_strides: Strides,
    c_strides: Strides,
    *,
    vector_bytes: int = 64,
    finish: Finish | None = None,
    windowed: bool = False,
    scratch: ir.Value | None = None,
    row_begin: ir.Value | None = None,
    row_end: ir.Value | None = None,
    column_begin: ir.Value | None = None,
    column_end: ir.Value | None = None,
) -> None:
    """Emit C[m, n] = A[m, k] @ B[k, n], and leave the builder behind the product.

    `a`, `b`, `c` are pointers to float32 or float64 elements, or `a`, `b` to bfloat16 and `c` to float32 (on a processor with
    AVX512-BF16, k even); strides are (row, column) in elements, static,
    0 for a broadcast operand. C must not overlap A or B. `vector_bytes` is the width of the target's vectors.

    `finish(builder, place, rows, columns)` is called where a piece of C is done: its ranges (begin, end), Python integers
    where they are static, and where its first element lies. All of C is finished once, in pieces that are still near. With
    `windowed`, `c` points at memory for `matmul_window(...)` rows, of this thread alone, and nobody else sees them.

    `scratch` points at `matmul_scratch_bytes(...)` bytes, of this thread alone. `row_begin` and `row_end`
    (i64) limit the product to some rows: multiples of `matmul_row_tile(...)`, or m; `column_begin` and
    `column_end` to some columns, by the step that `matmul_split(...)` names. Any split has the same bits.

    Raises `UnsupportedError` for another dtype, `ShapeError` for sizes or strides that describe no product
    and `CompileError` where scratch memory is needed and missing.
    """
    _check(m, n, k, c_strides)
    plan = _plan(m, n, k, dtype, a_strides, b_strides, c_strides, vector_bytes=vector_bytes, windowed=windowed)
    if m == 0 or n == 0:
        return
    pairs = is_bfloat16(np.dtype(dtype))
    element = F32 if pairs else element_type(dtype)
    begin: ir.Value | int = 0 if row_begin is None else row_begin
    end: ir.Value | int = m if row_end is None else row_end
    columns: Range = (0 if column_begin is None else column_begin, n if column_end is None else column_end)
    if k == 0:
        _clear(builder, element, c, c_strides, (begin, end), columns)
        if finish is not None:
            at = offset(builder, c, scale(builder, begin, c_strides[0]), element)
            finish(builder, offset(builder, at, scale(builder, columns[0], c_strides[1]), element), (begin, end), columns)
        return
    if plan.scratch_bytes and scratch is None:
        raise CompileError(
            f"the product ({m}, {k}) @ ({k}, {n}) packs an operand and was given no scratch memory: pass "
            f"a pointer to the {plan.scratch_bytes} bytes that matmul_scratch_bytes names"
        )
    x, x_strides, y, y_strides = (b, b_strides[::-1], a, a_strides[::-1]) if plan.swapped else (a, a_strides, b, b_strides)
    if pairs:
        product = PairProduct(plan, x, y, c, scratch, x_strides, y_strides[::-1], finish)
    else:
        product = Product(plan, element, x, y, c, scratch, finish)
    product.emit(builder, *((columns, (begin, end)) if plan.swapped else ((begin, end), columns)))


def _check(m: int, n: int, k: int, c_strides: Strides) -> None:
    if min(m, n, k) < 0:
        raise ShapeError(f"a product needs sizes of at least 0, not m={m}, n={n}, k={k}")
    if m and n and ((m > 1 and c_strides[0] == 0) or (n > 1 and c_strides[1] == 0)):
        raise ShapeError(
            f"the result ({m}, {n}) cannot have strides {tuple(c_strides)}: elements would share one place; "
            "give it memory of its own"
        )


def _clear(builder, element, c, strides, rows: Range, columns: Range) -> None:
    """C of a product over nothing: zeros."""

    def each_row(builder, row, _):
        start = offset(builder, c, scale(builder, row, strides[0]), element)

        def each(builder, column, _):
            place = offset(builder, start, scale(builder, column, strides[1]), element)
            store(builder, nothing(element), place, element, Lanes(0, 1, 1))
            return []

        return loop(builder, columns[0], columns[1], 1, each, name="columns")

    loop(builder, rows[0], rows[1], 1, each_row, name="rows")
