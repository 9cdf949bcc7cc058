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

from .matmul_ir import Lanes, element_type, load, loop, nothing, offset, scale, store
from .matmul_loops import Product, Range
from .matmul_plan import Strides, plan_matmul
from .matmul_tile import Epilogue


def matmul_scratch_bytes(
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
    """Return the bytes of scratch memory (of each thread) that `emit_matmul` needs; often 0."""
    return plan_matmul(m, n, k, dtype, a_strides, b_strides, c_strides, vector_bytes=vector_bytes).scratch_bytes


def matmul_scratch_bound(m: int, n: int, k: int, dtype: Any, *, vector_bytes: int = 64) -> int:
    """Return bytes of scratch memory that suffice for this product whatever the strides turn out to be."""
    far = (1 << 20, 1 << 20)  # steps that make either operand worth a copy
    return max(matmul_scratch_bytes(m, n, k, dtype, far, far, result, vector_bytes=vector_bytes) for result in ((n, 1), (1, m)))


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
    plan = plan_matmul(m, n, k, dtype, a_strides, b_strides, c_strides, vector_bytes=vector_bytes)
    if plan.kind == "straight":
        return max(m, 1)
    return plan.panel if plan.swapped else plan.rows


def prefer_blas(m: int, n: int, k: int, dtype: Any, layout: str) -> bool:
    """Say whether OpenBLAS on one thread is truly faster; `layout` ("NN", "NT", "TN") matters in no case so far.

    Measured with benchmarks/matmul.py on a Xeon with AVX-512: up to 1000 in every dimension OpenBLAS takes
    between 0.9 and 25 times as long as these kernels. At 2048 and more in all of them, where it packs for
    every level of cache, it takes 0.81 to 0.93 of their time; not if one dimension is short. Its bits may
    depend on the split of the rows, as those of these kernels never do.
    """
    del layout
    return min(m, n, k) >= 256 and m * n * k * np.dtype(dtype).itemsize >= 2**33


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
    accumulate: bool = False,
    epilogue: Epilogue | None = None,
    scratch: ir.Value | None = None,
    row_begin: ir.Value | None = None,
    row_end: ir.Value | None = None,
) -> None:
    """Emit C[m, n] = A[m, k] @ B[k, n], or += with `accumulate`, and leave the builder behind the product.

    `a`, `b`, `c` are pointers to float32 or float64 elements; strides are (row, column) in elements, static,
    0 for a broadcast operand. C must not overlap A or B. `vector_bytes` is the width of the target's vectors.

    `epilogue(builder, value, row, column, width)` returns what is stored in place of `value`: `width`
    elements (a scalar if that is 1) of one row of the finished product, of which `row` and `column` (i64)
    locate the first. `width` may be any number up to the lanes of a vector, not only a power of two.

    `scratch` points at `matmul_scratch_bytes(...)` bytes, of this thread alone. `row_begin` and `row_end`
    (i64) limit the product to some rows: multiples of `matmul_row_tile(...)`, or m. Any split has the same
    bits.

    Raises `UnsupportedError` for another dtype, `ShapeError` for sizes or strides that describe no product
    and `CompileError` where scratch memory is needed and missing.
    """
    _check(m, n, k, c_strides)
    plan = plan_matmul(m, n, k, dtype, a_strides, b_strides, c_strides, vector_bytes=vector_bytes)
    if m == 0 or n == 0:
        return
    element = element_type(dtype)
    begin: ir.Value | int = 0 if row_begin is None else row_begin
    end: ir.Value | int = m if row_end is None else row_end
    if k == 0:
        if epilogue is not None or not accumulate:
            _over_elements(builder, element, c, c_strides, (begin, end), n, accumulate, epilogue)
        return
    if plan.scratch_bytes and scratch is None:
        raise CompileError(
            f"the product ({m}, {k}) @ ({k}, {n}) packs an operand and was given no scratch memory: pass "
            f"a pointer to the {plan.scratch_bytes} bytes that matmul_scratch_bytes names"
        )
    if plan.swapped:
        # Vectors run along the rows of C here, and an epilogue wants them along columns: it gets a pass of
        # its own.
        product = Product(plan, element, b, a, c, scratch, accumulate, None)
        product.emit(builder, (0, n), (begin, end))
        if epilogue is not None:
            _over_elements(builder, element, c, c_strides, (begin, end), n, True, epilogue)
        return
    product = Product(plan, element, a, b, c, scratch, accumulate, epilogue)
    product.emit(builder, (begin, end), (0, n))


def _check(m: int, n: int, k: int, c_strides: Strides) -> None:
    if min(m, n, k) < 0:
        raise ShapeError(f"a product needs sizes of at least 0, not m={m}, n={n}, k={k}")
    if m and n and ((m > 1 and c_strides[0] == 0) or (n > 1 and c_strides[1] == 0)):
        raise ShapeError(
            f"the result ({m}, {n}) cannot have strides {tuple(c_strides)}: elements would share one place; "
            "give it memory of its own"
        )


def _over_elements(builder, element, c, strides, rows: Range, n, accumulate, epilogue) -> None:
    """Apply an epilogue to what C holds (or to zeros), element by element."""
    one = Lanes(0, 1, 1)

    def each_row(builder, row, _):
        start = offset(builder, c, scale(builder, row, strides[0]), element)

        def each(builder, column, _):
            place = offset(builder, start, scale(builder, column, strides[1]), element)
            value = load(builder, place, element, one) if accumulate else nothing(element)
            if epilogue is not None:
                value = epilogue(builder, value, row, column, 1)
            store(builder, value, place, element, one)
            return []

        return loop(builder, 0, n, 1, each, name="columns")

    loop(builder, rows[0], rows[1], 1, each_row, name="rows")
