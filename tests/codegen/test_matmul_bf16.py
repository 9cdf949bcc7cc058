"""The product kernel for pairs of bfloat16, on processors that have its instruction: values, layouts, ranges, bits."""

import numpy as np
import pytest
from matmul_harness import compile_matmul, matmul_scratch_bytes

from retrograde.codegen.matmul import matmul_split
from retrograde.errors import UnsupportedError
from retrograde.runtime.llvm import host
from retrograde.types import bfloat16

needs_pairs = pytest.mark.skipif(not host().pairs, reason="this processor has no AVX512-BF16")
BF16 = bfloat16()
RNG = np.random.default_rng(0)
SIZES = [
    (4, 4, 4), (5, 7, 6), (33, 31, 18), (64, 10, 32), (16, 3, 16), (1, 40, 40), (2, 3, 1000), (100, 37, 1200), (7, 90, 64),
    (90, 7, 64),
]  # fmt: skip


def operand(rows, columns, layout):
    """Normal numbers, contiguous along columns or rows, in rows of an odd stride, or with gaps both ways."""
    big = RNG.normal(size=(2 * rows + 1, 3 * columns + 1)).astype(np.float32).astype(BF16)
    if layout == "rows":
        return np.ascontiguousarray(big[:rows, :columns])
    if layout == "columns":
        return np.ascontiguousarray(big[:rows, :columns].T).T
    if layout == "odd":
        width = columns + 1 - columns % 2
        return np.ascontiguousarray(big[:rows, :width])[:, :columns] if width > columns else big[:rows, :columns]
    return big[: 2 * rows : 2, : 3 * columns : 3]


def multiply(a, b, c, ranges=None, **options):
    (m, k), n = a.shape, b.shape[1]
    strides = [tuple(s // x.itemsize for s in x.strides) for x in (a, b, c)]
    function = compile_matmul(m, n, k, BF16, *strides, rows=ranges is not None, **options)
    need = matmul_scratch_bytes(m, n, k, BF16, *strides, vector_bytes=64)
    scratch = np.full(need + 64, 0xFF, np.uint8)
    for begin, end in ranges or [(0, m)]:
        function(a.ctypes.data, b.ctypes.data, c.ctypes.data, scratch.ctypes.data, 1, begin, end)
    assert (scratch[need:] == 0xFF).all(), "the kernel wrote past its scratch memory"
    return c


@needs_pairs
@pytest.mark.parametrize("m, n, k", SIZES)
@pytest.mark.parametrize("left, right, turned", [
    ("rows", "rows", False), ("rows", "columns", True), ("columns", "rows", False), ("columns", "columns", True),
    ("odd", "odd", False), ("gaps", "gaps", True),
])  # fmt: skip
def test_kernel_agrees_with_float64(m, n, k, left, right, turned):
    """Products are exact in float32, so the error is that of adding k terms in any order, rounded up to twice each."""
    a, b = operand(m, k, left), operand(k, n, right)
    c = np.full((n, m) if turned else (m, n), np.nan, np.float32)
    c = c.T if turned else c
    multiply(a, b, c)
    x, y = a.astype(np.float64), b.astype(np.float64)
    assert (np.abs(c - x @ y) <= k * 2.0**-23 * (np.abs(x) @ np.abs(y))).all()


@needs_pairs
def test_any_split_of_the_rows_has_the_same_bits():
    a, b = operand(200, 96, "rows"), operand(96, 70, "rows")
    whole = multiply(a, b, np.zeros((200, 70), np.float32))
    strides = [tuple(s // x.itemsize for s in x.strides) for x in (a, b, whole)]
    axis, extent, step = matmul_split(200, 70, 96, BF16, *strides)
    assert (axis, extent) == ("rows", 200)
    parts = multiply(a, b, np.zeros((200, 70), np.float32), ranges=[(0, 5 * step), (5 * step, 6 * step), (6 * step, 200)])
    assert whole.tobytes() == parts.tobytes()


@needs_pairs
def test_not_a_number_stays_where_it_belongs():
    a, b = operand(8, 32, "rows"), operand(32, 16, "rows")
    a[3, 5], a[4, 0] = np.nan, np.inf
    c = multiply(a, b, np.zeros((8, 16), np.float32))
    assert np.isnan(c[3]).all() and np.isinf(c[4]).all() and np.isfinite(np.delete(c, [3, 4], 0)).all()


def test_an_odd_depth_is_refused():
    with pytest.raises(UnsupportedError, match="even depth"):
        matmul_scratch_bytes(4, 4, 5, BF16, (5, 1), (4, 1), (4, 1))
