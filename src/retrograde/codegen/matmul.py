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

from retrograde.errors import CompileError, ShapeError

from .matmul_dot import emit_dots
from .matmul_ir import Lanes as _Lanes
from .matmul_ir import add, as_i64, const, element_type, load, loop, nothing, offset, scale, store
from .matmul_pack import emit_pack, gather_row, piece, transposed_rows
from .matmul_plan import MatmulPlan, Strides, plan_matmul
from .matmul_tile import Block, Epilogue, Target, emit_tile

Range = tuple[ir.Value | int, ir.Value | int]


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
    return plan_matmul(
        m, n, k, dtype, a_strides, b_strides, c_strides, vector_bytes=vector_bytes
    ).scratch_bytes


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
    """Say whether OpenBLAS on one thread is faster: measured so for large products, whose A wants packing."""
    return m * n * k >= 2**27


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
        product = _Product(plan, element, b, a, c, scratch, accumulate, None)
        product.emit(builder, (0, n), (begin, end))
        if epilogue is not None:
            _over_elements(builder, element, c, c_strides, (begin, end), n, True, epilogue)
        return
    product = _Product(plan, element, a, b, c, scratch, accumulate, epilogue)
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
    one = _Lanes(0, 1, 1)

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


class _Product:
    """One planned product with its operands, in the frame of the plan."""

    def __init__(self, plan: MatmulPlan, element, a, b, c, scratch, accumulate, epilogue):
        self.plan, self.element = plan, element
        self.a, self.b, self.c, self.scratch = a, b, c, scratch
        self.accumulate, self.epilogue = accumulate, epilogue

    def emit(self, builder: ir.IRBuilder, rows: Range, columns: Range) -> None:
        """Emit the product for a range of rows and a range of columns."""
        plan = self.plan
        if plan.kind == "straight":
            self._straight(builder, rows, columns)
        elif plan.kind == "dots":
            self._dots(builder, rows)
        elif plan.strip >= plan.m:
            self._blocks(builder, rows, columns)
        else:

            def strip(builder, begin, _):
                end = _least(builder, add(builder, begin, plan.strip), rows[1])
                self._blocks(builder, (begin, end), columns)
                return []

            loop(builder, rows[0], rows[1], plan.strip, strip, name="strip")

    def _target(self, builder, row, column) -> Target:
        strides = self.plan.c
        place = self._at(builder, self.c, row, column, strides)
        return Target(place, strides, row, column, self.accumulate, self.epilogue)

    def _at(self, builder, pointer, row, column, strides: Strides) -> ir.Value:
        for index, stride in zip((row, column), strides):
            pointer = offset(builder, pointer, scale(builder, index, stride), self.element)
        return pointer

    def _straight(self, builder, rows: Range, columns: Range) -> None:
        """All of a small product without a loop; B is read once, into registers."""
        plan = self.plan

        def whole():
            for column in range(0, plan.n, plan.panel):
                lanes = plan.lanes(min(plan.panel, plan.n - column))
                right = self._load_panel(builder, column, lanes)
                for row in range(0, plan.m, plan.rows):
                    left = offset(builder, self.a, row * plan.a[0], self.element)
                    emit_tile(
                        builder, self.element, min(plan.rows, plan.m - row), lanes, left, plan.a, right, 0, 0,
                        Block(plan.k), self._target(builder, const(row), const(column)),
                    )  # fmt: skip

        begin, end = columns if plan.swapped else rows
        if isinstance(begin, int) and isinstance(end, int):
            whole()
            return
        with builder.if_then(builder.icmp_signed("<", as_i64(begin), as_i64(end))):
            whole()

    def _load_panel(self, builder, column: int, lanes) -> list[list[ir.Value]]:
        """Return every row of a panel of B as vectors."""
        plan, element, done = self.plan, self.element, 0
        start = offset(builder, self.b, column * plan.b[1], element)
        rows: list[list[ir.Value]] = []
        side = piece(element)
        if plan.b[0] == 1 and plan.b[1] != 1 and plan.width >= side:
            for done in range(0, plan.k - side + 1, side):
                rows += transposed_rows(
                    builder, element, offset(builder, start, done, element), plan.b[1], lanes
                )
            done = len(rows)
        for at in range(done, plan.k):
            here = offset(builder, start, at * plan.b[0], element)
            if plan.b[1] == 1:
                rows.append(
                    [load(builder, offset(builder, here, x.start, element), element, x) for x in lanes]
                )
            else:
                rows.append(gather_row(builder, element, here, plan.b[1], lanes))
        return rows

    def _dots(self, builder, rows: Range) -> None:
        plan = self.plan

        def across(builder, row, height):
            left = offset(builder, self.a, scale(builder, row, plan.a[0]), self.element)

            def tile(builder, column, breadth):
                right = offset(builder, self.b, scale(builder, column, plan.b[1]), self.element)
                emit_dots(
                    builder, self.element, height, breadth, plan.k, left, plan.a[0], right, plan.b[1],
                    plan.width, plan.chains, self._target(builder, row, column),
                )  # fmt: skip

            _spans(builder, (0, plan.n), plan.n, plan.vectors, tile, "dots.columns")

        _spans(builder, rows, plan.m, plan.rows, across, "dots.rows")

    def _blocks(self, builder, rows: Range, columns: Range) -> None:
        plan = self.plan
        if plan.block >= plan.k:
            self._panels(builder, rows, columns, 0, Block(plan.k))
            return

        def body(builder, start, _):
            length: int | ir.Value = plan.block
            if plan.k % plan.block:
                length = _least(builder, builder.sub(const(plan.k), start), plan.block)
            block = Block(
                length,
                builder.icmp_signed("==", start, const(0)),
                builder.icmp_signed(">=", start, const(plan.k - plan.block)),
                plan.k % 8 != 0,
            )
            self._panels(builder, rows, columns, start, block)
            return []

        loop(builder, 0, plan.k, plan.block, body, name="block")

    def _panels(self, builder, rows: Range, columns: Range, start: int | ir.Value, block: Block) -> None:
        plan, element = self.plan, self.element

        def panel(builder, column, breadth):
            lanes = plan.lanes(breadth)
            right, step, lane = self._at(builder, self.b, start, column, plan.b), plan.b[0], plan.b[1]
            if plan.pack:
                emit_pack(builder, element, right, plan.b, block.length, lanes, self.scratch)
                right, step, lane = self.scratch, len(lanes) * plan.width, 1
                packed = [_Lanes(x.start, x.width, x.width) for x in lanes]

            def tile(builder, row, height):
                left = self._at(builder, self.a, row, start, plan.a)
                emit_tile(
                    builder, element, height, lanes, left, plan.a, right, step, lane, block,
                    self._target(builder, row, column), plan.chains, packed if plan.pack else lanes,
                )  # fmt: skip

            _spans(builder, rows, plan.m, plan.rows, tile, "rows")

        _spans(builder, columns, plan.n, plan.panel, panel, "panel")


def _least(builder: ir.IRBuilder, x: ir.Value, y: ir.Value | int) -> ir.Value:
    y = as_i64(y)
    return builder.select(builder.icmp_signed("<", x, y), x, y)


def _spans(builder: ir.IRBuilder, bounds: Range, total: int, step: int, body, name: str) -> None:
    """Run `body(builder, start, count)` for pieces of `step` within bounds, then for the rest of `total`."""
    begin, end = bounds
    whole = total // step * step

    def turn(builder, start, _):
        body(builder, start, step)
        return []

    if isinstance(begin, int) and isinstance(end, int):
        loop(builder, 0, whole, step, turn, name=name)
        if total > whole:
            body(builder, const(whole), total - whole)
        return
    begin, end = as_i64(begin), as_i64(end)
    if whole:
        loop(builder, begin, end if whole == total else _least(builder, end, whole), step, turn, name=name)
    if total > whole:
        inside = builder.and_(
            builder.icmp_signed("<=", begin, const(whole)), builder.icmp_signed(">", end, const(whole))
        )
        with builder.if_then(inside):
            body(builder, const(whole), total - whole)
