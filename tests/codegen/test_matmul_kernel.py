"""The native product kernels against NumPy: sizes, strides, what is done with pieces, row ranges, bits."""

from __future__ import annotations

import itertools

import llvmlite.ir as ir
import matmul_harness as harness
import numpy as np
import pytest

from retrograde.codegen import matmul_plan
from retrograde.codegen.matmul import (
    emit_matmul,
    matmul_row_tile,
    matmul_scratch_bound,
    matmul_scratch_bytes,
    matmul_split,
    matmul_window,
)
from retrograde.codegen.matmul_ir import I64, Lanes, as_i64, element_type, load, loop, offset, store
from retrograde.codegen.matmul_plan import plan_matmul
from retrograde.errors import CompileError, ShapeError, UnsupportedError

ONE = Lanes(0, 1, 1)
ODD = (1, 3, 17, 31, 33, 127)


def matrix(rng, rows, columns, layout, dtype):
    """A matrix by rows, by columns, of every other element, or broadcast along rows or columns."""
    if layout == "rows":
        x = rng.standard_normal((rows, columns))
    elif layout == "columns":
        x = rng.standard_normal((columns, rows)).T
    elif layout == "strided":
        x = rng.standard_normal((2 * rows, 3 * columns))
        return x.astype(dtype)[::2, ::3]
    elif layout == "same rows":
        return np.broadcast_to(rng.standard_normal((1, columns)).astype(dtype), (rows, columns))
    else:
        return np.broadcast_to(rng.standard_normal((rows, 1)).astype(dtype), (rows, columns))
    return x.astype(dtype)  # keeps the order


def empty(rows, columns, layout, dtype):
    """A result full of NaN, so that whatever reads it or leaves it out is seen."""
    c = matrix(np.random.default_rng(0), rows, columns, layout, dtype)
    c[...] = np.nan
    return c


def assert_product(c, a, b, start=None):
    """Every element within the bound of any order of summation: (k + 2) u (|start| + |A| @ |B|), u = eps / 2.

    Equal terms (broadcast operands) do round in one direction, so nothing tighter holds; a term left out of
    the sums tested here is larger than that by far. N. Higham, Accuracy and Stability of Numerical
    Algorithms, 2002, (3.13).
    """
    exact = a.astype(np.longdouble) @ b.astype(np.longdouble)
    size = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)
    if start is not None:
        exact, size = exact + start, size + np.abs(start)
    error = np.abs(c - exact).astype(np.float64)
    bound = (a.shape[1] + 2) / 2 * np.finfo(c.dtype).eps * size
    assert (error <= bound).all(), f"{np.max(error / bound):.2f} times the bound on rounding"


@pytest.mark.parametrize("m", ODD)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_odd_sizes_in_every_position(m, dtype):
    rng = np.random.default_rng(m)
    for n, k in itertools.product(ODD, ODD):
        layouts = [("rows", "rows"), ("rows", "columns"), ("columns", "rows")]
        left, right = layouts[(n + k) % 3]
        a, b = matrix(rng, m, k, left, dtype), matrix(rng, k, n, right, dtype)
        assert_product(harness.run_matmul(a, b, empty(m, n, "rows", dtype)), a, b)


LAYOUTS = ("rows", "columns", "strided", "same rows", "same columns")


@pytest.mark.parametrize(("left", "right"), list(itertools.product(LAYOUTS, LAYOUTS)))
def test_every_stride_of_operands_and_result(left, right):
    rng = np.random.default_rng(1)
    for result, (m, n, k) in itertools.product(("rows", "columns", "strided"), [(33, 18, 21), (2, 50, 40), (1, 7, 5), (4, 4, 4)]):
        a, b = matrix(rng, m, k, left, np.float32), matrix(rng, k, n, right, np.float32)
        c = empty(m, n, result, np.float32)
        owner = c if c.base is None else c.base
        untouched = owner.size - c.size
        if result == "strided":
            owner[...] = np.nan
        assert_product(harness.run_matmul(a, b, c), a, b)
        assert np.isnan(owner).sum() == untouched, "wrote between the elements of the result"


@pytest.mark.parametrize("vector_bytes", [16, 32, 64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_width_of_vectors_leaves_the_bits_alone(vector_bytes, dtype):
    rng = np.random.default_rng(2)
    for m, n, k in [
        (1, 40, 300),
        (40, 1, 300),
        (3, 5, 200),
        (8, 8, 8),
        (6, 20, 50),
        (20, 37, 700),
        (65, 33, 40),
        (40, 4, 900),
    ]:
        for left, right in [("rows", "rows"), ("rows", "columns"), ("columns", "rows")]:
            a, b = matrix(rng, m, k, left, dtype), matrix(rng, k, n, right, dtype)
            c = harness.run_matmul(a, b, empty(m, n, "rows", dtype), vector_bytes=vector_bytes)
            assert_product(c, a, b)
            wide = harness.run_matmul(a, b, empty(m, n, "rows", dtype), vector_bytes=64)
            np.testing.assert_array_equal(c, wide)


FEW = [(2, 20, 80), (3, 21, 33), (4, 50, 130), (7, 33, 150), (8, 40, 300), (60, 5, 200), (41, 2, 65), (1, 1, 999)]


@pytest.mark.parametrize("shape", FEW)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_few_rows_or_columns_as_dot_products(shape, dtype):
    m, n, k = shape
    rng = np.random.default_rng(7)
    a, b = matrix(rng, m, k, "rows", dtype), matrix(rng, k, n, "columns", dtype)
    strides = [tuple(s // a.itemsize for s in x.strides) for x in (a, b, np.empty((m, n), dtype))]
    assert plan_matmul(m, n, k, dtype, *strides).kind == "dots"
    for vector_bytes, result in itertools.product((32, 64), ("rows", "columns")):
        c = harness.run_matmul(a, b, empty(m, n, result, dtype), vector_bytes=vector_bytes)
        assert_product(c, a, b)


BLOCKED = [
    (300, 330, 260, "columns", lambda plan: plan.pack_a and plan.pack_b),
    (1300, 20, 500, "rows", lambda plan: plan.strip < plan.m),
    (610, 600, 5, "columns", lambda plan: plan.rows_first),
    (70, 130, 1100, "rows", lambda plan: plan.pack_b and plan.block < plan.k),
    (700, 5, 1100, "columns", lambda plan: plan.swapped and plan.c[1] != 1 and plan.width > 1),
    (1100, 400, 900, "columns", lambda plan: plan.pack_a and plan.block < plan.k and plan.strip < plan.m),
]


@pytest.mark.parametrize(("m", "n", "k", "left", "blocked"), BLOCKED)
def test_blocks_for_the_caches_and_their_rows_in_parts(m, n, k, left, blocked):
    rng = np.random.default_rng(8)
    a, b = matrix(rng, m, k, left, np.float32), matrix(rng, k, n, "rows", np.float32)
    whole = harness.run_matmul(a, b, empty(m, n, "rows", np.float32))
    assert_product(whole, a, b)
    strides = [tuple(s // 4 for s in x.strides) for x in (a, b, whole)]
    assert blocked(plan_matmul(m, n, k, np.float32, *strides))
    tile = matmul_row_tile(m, n, k, np.float32, *strides, vector_bytes=harness.host_vector_bytes())
    cut, other = m // tile // 3 * tile, m // tile // 2 * tile
    split = [(other, m), (0, cut), (cut, other)]
    parts = harness.run_matmul(a, b, empty(m, n, "rows", np.float32), row_ranges=split)
    np.testing.assert_array_equal(parts, whole)


def test_scratch_bound_holds_for_every_stride():
    rng = np.random.default_rng(9)
    used = 0
    for _ in range(2000):
        m, n, k = (int(2 ** rng.uniform(0, 11)) for _ in range(3))
        dtype, vector_bytes = rng.choice([np.float32, np.float64]), int(rng.choice([16, 32, 64]))
        a = [(k, 1), (1, m), (1, 3 * m), (3, 7), (0, 1)][rng.integers(5)]
        b = [(n, 1), (1, k), (2 * n, 1), (1, 1000), (5, 0)][rng.integers(5)]
        c = [(n, 1), (1, m), (2 * n, 1), (3 * n, 3)][rng.integers(4)]
        need = matmul_scratch_bytes(m, n, k, dtype, a, b, c, vector_bytes=vector_bytes)
        assert need <= matmul_scratch_bound(m, n, k, dtype, vector_bytes=vector_bytes)
        used += need > 0
    assert used > 500


def add_squares_to(element, total):
    """Return a `finish` that adds the square of each element of a piece, whose rows are `step` apart, to `total`."""

    def finish(step, turned=False):
        def add(builder, place, rows, columns):
            pointer = builder.inttoptr(ir.IntType(64)(total.ctypes.data), ir.PointerType())

            def element_at(builder, i, j):
                down, across = builder.sub(i, as_i64(rows[0])), builder.sub(j, as_i64(columns[0]))
                steps = (down, builder.mul(across, I64(step))) if turned else (builder.mul(down, I64(step)), across)
                value = load(builder, offset(builder, place, builder.add(*steps), element), element, ONE)
                to = offset(builder, pointer, builder.add(builder.mul(i, I64(total.shape[1])), j), element)
                store(builder, builder.fadd(load(builder, to, element, ONE), builder.fmul(value, value)), to, element, ONE)

            def row(builder, i, _):
                return loop(builder, *columns, 1, lambda builder, j, _: element_at(builder, i, j) or [])

            loop(builder, *rows, 1, row)

        return add

    return finish


FINISHED = [
    (4, 4, 4), (5, 30, 7), (9, 17, 64), (33, 49, 31), (1, 50, 70), (50, 1, 70), (3, 7, 90), (20, 33, 800), (127, 127, 3),
    (610, 600, 5), (300, 330, 260), (1300, 20, 500), (7, 5, 0), (700, 5, 1100), (1100, 130, 900),
]  # fmt: skip


@pytest.mark.parametrize("shape", FINISHED)
@pytest.mark.parametrize("result", ["rows", "columns"])
def test_every_element_is_finished_once_when_it_is_whole(shape, result):
    m, n, k = shape
    rng = np.random.default_rng(4)
    for left, right in (("rows", "rows"), ("columns", "columns")):
        a, b = matrix(rng, m, k, left, np.float64), matrix(rng, k, n, right, np.float64)
        total, c = np.zeros((m, n)), empty(m, n, result, np.float64)
        finish = add_squares_to(element_type(np.float64), total)(n if result == "rows" else m, result == "columns")
        harness.run_matmul(a, b, c, finish=finish)
        assert_product(c, a, b)
        np.testing.assert_array_equal(total, c**2)


@pytest.mark.parametrize("shape", FINISHED)
@pytest.mark.parametrize("ranges", [False, True])
def test_a_product_that_is_never_whole_in_memory(shape, ranges, monkeypatch):
    monkeypatch.setattr(matmul_plan, "WINDOW_BYTES", 3000)
    m, n, k = shape
    rng = np.random.default_rng(5)
    for left, right in (("rows", "rows"), ("columns", "columns"), ("columns", "rows")):
        a, b = matrix(rng, m, k, left, np.float64), matrix(rng, k, n, right, np.float64)
        total, held = np.zeros((m, n)), np.full((matmul_window(m, n, k, np.float64) + 1, n), np.nan)
        strides = [tuple(s // 8 for s in x.strides) for x in (a, b, held)]
        split = matmul_split(m, n, k, np.float64, *strides, windowed=True)
        cuts = [(0, m)]
        if ranges and split is not None and split[0] == "rows":
            step = split[2]
            cuts = [(step, m), (0, step)] if step < m else cuts
        finish = add_squares_to(element_type(np.float64), total)(n)
        harness.run_matmul(a, b, held, finish=finish, windowed=True, row_ranges=cuts if ranges else None)
        np.testing.assert_allclose(total, (a @ b) ** 2, rtol=1e-11, atol=1e-11)
        assert np.isnan(held[-1]).all()


@pytest.mark.parametrize("shape", [(40, 30, 64), (41, 33, 20), (64, 1, 100), (130, 20, 700), (9, 5, 3), (3, 3, 3)])
@pytest.mark.parametrize("result", ["rows", "columns"])
def test_rows_split_anyhow_have_the_same_bits(shape, result):
    m, n, k = shape
    rng = np.random.default_rng(5)
    for right in ("rows", "columns"):
        a, b = matrix(rng, m, k, "rows", np.float32), matrix(rng, k, n, right, np.float32)
        whole = harness.run_matmul(a, b, empty(m, n, result, np.float32))
        strides = [tuple(s // 4 for s in x.strides) for x in (a, b, whole)]
        tile = matmul_row_tile(m, n, k, np.float32, *strides, vector_bytes=harness.host_vector_bytes())
        cuts = [0, *range(tile, m, tile), m, m]
        ranges = list(itertools.pairwise(cuts))
        for split in (ranges, ranges[::-1], [(0, m)]):
            parts = harness.run_matmul(a, b, empty(m, n, result, np.float32), row_ranges=split)
            np.testing.assert_array_equal(parts, whole)
        if len(ranges) > 2:
            first = harness.run_matmul(a, b, empty(m, n, result, np.float32), row_ranges=ranges[:1])
            np.testing.assert_array_equal(first[: cuts[1]], whole[: cuts[1]])
            assert np.isnan(first[cuts[1] :]).all()


@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0), (1, 20, 0)])
def test_empty_dimensions(shape):
    m, n, k = shape
    a, b = np.ones((m, k), np.float32), np.ones((k, n), np.float32)
    np.testing.assert_array_equal(harness.run_matmul(a, b, empty(m, n, "rows", np.float32)), np.zeros((m, n)))


def test_infinities_and_nans_stay_where_they_belong():
    a, b = np.ones((20, 35), np.float32), np.ones((35, 19), np.float32)
    a[3, 5], b[7, 18] = np.inf, np.nan
    c = harness.run_matmul(a, b, empty(20, 19, "rows", np.float32))
    expected = np.full((20, 19), 35, np.float32)
    expected[3], expected[:, 18] = np.inf, np.nan
    np.testing.assert_array_equal(c, expected)


def emit(m, n, k, dtype=np.float32, b_strides=None, c_strides=None):
    module = ir.Module()
    p = ir.PointerType()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [p, p, p]), "f")
    builder = ir.IRBuilder(function.append_basic_block())
    emit_matmul(builder, m, n, k, *function.args, dtype, (k, 1), b_strides or (n, 1), c_strides or (n, 1))


def test_errors_say_what_to_do():
    with pytest.raises(UnsupportedError, match="float32 or float64, not int32"):
        emit(3, 3, 3, np.int32)
    with pytest.raises(ShapeError, match="at least 0, not m=-1"):
        emit(-1, 3, 3)
    with pytest.raises(ShapeError, match="share one place"):
        emit(3, 3, 3, c_strides=(0, 1))
    need = matmul_scratch_bytes(64, 64, 64, np.float32, (64, 1), (1, 64), (64, 1))
    with pytest.raises(CompileError, match=f"{need} bytes"):
        emit(64, 64, 64, b_strides=(1, 64))
