"""The loops around the register tile: strips of rows, blocks of k, panels of columns; ranges of threads."""

from __future__ import annotations

from collections.abc import Callable

import llvmlite.ir as ir

from .matmul_dot import emit_dots
from .matmul_ir import Lanes, add, as_i64, const, fma, load, loop, offset, scale
from .matmul_pack import emit_pack, gather_row, piece, transposed_rows
from .matmul_plan import MatmulPlan, Strides
from .matmul_tile import Block, Target, emit_tile

Range = tuple[ir.Value | int, ir.Value | int]
Finish = Callable[[ir.IRBuilder, ir.Value, Range, Range], None]


class Product:
    """One planned product with its operands, in the frame of the plan.

    `finish` is called where a piece of C is done and still near: a panel, or the strip of rows of a windowed plan, where C is
    memory for one window.
    """

    def __init__(self, plan: MatmulPlan, element, a, b, c, scratch, finish: Finish | None = None):
        self.plan, self.element = plan, element
        self.a, self.b, self.c, self.scratch = a, b, c, scratch
        self.finish = finish
        self.first_row: ir.Value | int = 0  # of what C holds

    def multiply(self, builder: ir.IRBuilder, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        """x * y + z, of vectors."""
        return fma(builder, x, y, z)

    def pack_right(self, builder: ir.IRBuilder, start, column, length, lanes: list[Lanes], goal: ir.Value) -> None:
        """Copy a panel of B, from step `start` of k on, to `goal`."""
        source = self._at(builder, self.b, start, column, self.plan.b)
        emit_pack(builder, self.element, source, self.plan.b, length, lanes, goal)

    def pack_left(self, builder: ir.IRBuilder, row, start, length, lanes: list[Lanes], goal: ir.Value) -> None:
        """Copy a tile's rows of A, from step `start` of k on, to `goal`."""
        source = self._at(builder, self.a, row, start, self.plan.a)
        emit_pack(builder, self.element, source, self.plan.a[::-1], length, lanes, goal)

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
            if plan.windowed and plan.pack_b:
                self._pack_all(builder, columns)

            def strip(builder, begin, _):
                end = _least(builder, add(builder, begin, plan.strip), rows[1])
                if plan.windowed:
                    self.first_row = begin
                self._blocks(builder, (begin, end), columns)
                if plan.windowed:
                    self._done(builder, (begin, end), columns)
                return []

            loop(builder, rows[0], rows[1], plan.strip, strip, name="strip")

    def _target(self, builder, row, column) -> Target:
        return Target(self._place(builder, row, column), self.plan.c)

    def _place(self, builder, row, column) -> ir.Value:
        """Where an element of C lies."""
        return self._at(builder, self.c, _less(builder, row, self.first_row), column, self.plan.c)

    def _done(self, builder, rows: Range, columns: Range) -> None:
        """A piece of C is whole."""
        if self.finish is None:
            return
        place = self._place(builder, rows[0], columns[0])
        self.finish(builder, place, *((columns, rows) if self.plan.swapped else (rows, columns)))

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
            self._done(builder, (0, plan.m), (0, plan.n))

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
                rows += transposed_rows(builder, element, offset(builder, start, done, element), plan.b[1], lanes)
            done = len(rows)
        for at in range(done, plan.k):
            here = offset(builder, start, at * plan.b[0], element)
            if plan.b[1] == 1:
                rows.append([load(builder, offset(builder, here, x.start, element), element, x) for x in lanes])
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
                    plan.width, plan.chains, self._target(builder, row, column), self.multiply,
                )  # fmt: skip

            _spans(builder, (0, plan.n), plan.n, plan.vectors, tile, "dots.columns")

        _spans(builder, rows, plan.m, plan.rows, across, "dots.rows")
        self._done(builder, rows, (0, plan.n))

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
        if plan.pack_a:
            self._pack_left(builder, rows, start, block)

        def tiles(builder, row, height, column, breadth):
            lanes = packed = plan.lanes(breadth)
            right, step, lane = self._at(builder, self.b, start, column, plan.b), plan.b[0], plan.b[1]
            if plan.pack_b:
                right, step, lane = self._right(builder, start, column, len(lanes)), len(lanes) * plan.width, 1
                packed = [Lanes(x.start, x.width, x.width) for x in lanes]
            left, strides = self._left(builder, rows, row, start)
            emit_tile(
                builder, element, height, lanes, left, strides, right, step, lane, block,
                self._target(builder, row, column), plan.chains, packed, self.multiply,
            )  # fmt: skip

        def panel(builder, column, breadth):
            if plan.pack_b and not plan.windowed:
                self.pack_right(builder, start, column, block.length, plan.lanes(breadth), self.scratch)

            def across(builder, row, height):
                tiles(builder, row, height, column, breadth)

            _spans(builder, rows, plan.m, plan.rows, across, "rows")
            if self.finish is None or plan.windowed:
                return
            done = (column, _more(builder, column, breadth))
            if block.last is True:
                self._done(builder, rows, done)
                return
            with builder.if_then(block.last):
                self._done(builder, rows, done)

        def band(builder, row, height):
            def along(builder, column, breadth):
                tiles(builder, row, height, column, breadth)

            _spans(builder, columns, plan.n, plan.panel, along, "panel")
            self._done(builder, (row, _more(builder, row, height)), columns)

        if plan.rows_first:
            _spans(builder, rows, plan.m, plan.rows, band, "rows")
        else:
            _spans(builder, columns, plan.n, plan.panel, panel, "panel")

    def _pack_all(self, builder, columns: Range) -> None:
        """Copy all panels of B, each whole."""
        plan = self.plan

        def panel(builder, column, breadth):
            lanes = plan.lanes(breadth)
            self.pack_right(builder, 0, column, plan.k, lanes, self._right(builder, 0, column, len(lanes)))

        _spans(builder, columns, plan.n, plan.panel, panel, "right")

    def _right(self, builder, start, column, vectors: int) -> ir.Value:
        """Where a packed panel of B lies, from step `start` of k on."""
        plan = self.plan
        if not plan.windowed:
            return self.scratch
        panel = offset(builder, self.scratch, scale(builder, column, plan.k), self.element)  # columns times k, in whole panels
        return offset(builder, panel, scale(builder, start, vectors * plan.width), self.element)

    def _left(self, builder, rows: Range, row, start) -> tuple[ir.Value, Strides]:
        """Return where a tile reads A, and with which strides."""
        plan = self.plan
        if not plan.pack_a:
            return self._at(builder, self.a, row, start, plan.a), plan.a
        # Packed tiles lie one after the other, k by k, each with room for `slot` rows.
        begin = as_i64(rows[0])
        number = builder.sdiv(builder.sub(row, begin), const(plan.rows))
        place = offset(builder, self.scratch, plan.left_start, self.element)
        return offset(builder, place, scale(builder, number, plan.slot * plan.block), self.element), (
            1,
            plan.slot,
        )

    def _pack_left(self, builder, rows: Range, start, block: Block) -> None:
        """Copy a strip of A, tile by tile, so that a step of k reads one line of the cache."""
        plan = self.plan

        def tile(builder, row, height):
            goal, _ = self._left(builder, rows, row, start)
            self.pack_left(builder, row, start, block.length, [Lanes(0, plan.slot, height)], goal)

        _spans(builder, rows, plan.m, plan.rows, tile, "left")


def _more(builder: ir.IRBuilder, x: ir.Value | int, by: int) -> ir.Value | int:
    return x + by if isinstance(x, int) else add(builder, x, by)


def _less(builder: ir.IRBuilder, x: ir.Value | int, by: ir.Value | int) -> ir.Value | int:
    if isinstance(by, int):
        return _more(builder, x, -by)
    return const(0) if x is by else builder.sub(as_i64(x), by, flags=("nsw",))


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
        inside = builder.and_(builder.icmp_signed("<=", begin, const(whole)), builder.icmp_signed(">", end, const(whole)))
        with builder.if_then(inside):
            body(builder, const(whole), total - whole)
