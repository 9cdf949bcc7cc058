"""Copies of panels of B with vectors along the columns, for operands that are not contiguous that way.

The usual case is a weight matrix of shape (fan_out, fan_in) read as its transpose: contiguous along k. It is
transposed in registers, pieces of 16 bytes at a time: a vector is put together from pieces of several columns
by loads alone, and what is left is the transpose of small squares inside each 16 byte lane, two shuffles deep
at the most.
"""

from __future__ import annotations

import llvmlite.ir as ir

from .matmul_ir import (
    Lanes,
    add,
    as_i64,
    const,
    load,
    loop,
    offset,
    scale,
    shuffle,
    splat,
    store,
    vector_type,
)


def gather_row(builder: ir.IRBuilder, element: ir.Type, b: ir.Value, lane_stride: int, lanes: list[Lanes]) -> list[ir.Value]:
    """Return one row of a panel as vectors, read one by one; `b` points at the row's first element."""
    row = []
    for lane in lanes:
        if lane_stride == 0 or lane.width == 1:
            here = offset(builder, b, lane.start * lane_stride, element)
            row.append(splat(builder, load(builder, here, element, Lanes(0, 1, 1)), lane.width))
            continue
        value = ir.Constant(vector_type(element, lane.width), None)
        for i in range(lane.valid):
            here = offset(builder, b, (lane.start + i) * lane_stride, element)
            one = load(builder, here, element, Lanes(0, 1, 1))
            value = builder.insert_element(value, one, ir.Constant(ir.IntType(32), i))
        row.append(value)
    return row


def transposed_rows(
    builder: ir.IRBuilder, element: ir.Type, b: ir.Value, lane_stride: int, lanes: list[Lanes]
) -> list[list[ir.Value]]:
    """Return the next few rows (as many as fit into 16 bytes) of a panel that is contiguous along k.

    Columns past the last are read as copies of the last, so that no memory outside of the operand is touched.
    """
    side = piece(element)
    rows: list[list[ir.Value]] = [[] for _ in range(side)]
    for lane in lanes:
        square = []
        for c in range(side):
            parts = []
            for group in range(lane.width // side):
                column = lane.start + min(group * side + c, lane.valid - 1)
                here = offset(builder, b, column * lane_stride, element)
                parts.append(load(builder, here, element, Lanes(0, side, side)))
            square.append(_join(builder, parts))
        for row, value in zip(rows, _transpose_in_lanes(builder, square, side)):
            row.append(value)
    return rows


def piece(element: ir.Type) -> int:
    """Return how many elements make 16 bytes."""
    return 4 if isinstance(element, ir.FloatType) else 2


def _join(builder: ir.IRBuilder, parts: list[ir.Value]) -> ir.Value:
    while len(parts) > 1:
        both = list(range(2 * parts[0].type.count))
        parts = [shuffle(builder, x, y, both) for x, y in zip(parts[::2], parts[1::2])]
    return parts[0]


def _transpose_in_lanes(builder: ir.IRBuilder, square: list[ir.Value], side: int) -> list[ir.Value]:
    """Transpose the side x side squares that lie in the lanes of `side` vectors.

    One stage a bit of the index: the two vectors whose numbers differ in that bit trade the lanes that differ
    in it.
    """
    width = square[0].type.count
    half = 1
    while half < side:
        low = [lane if not lane & half else width + lane - half for lane in range(width)]
        high = [lane + half if not lane & half else width + lane for lane in range(width)]
        traded = list(square)
        for i in range(side):
            if not i & half:
                traded[i] = shuffle(builder, square[i], square[i + half], low)
                traded[i + half] = shuffle(builder, square[i], square[i + half], high)
        square, half = traded, half * 2
    return square


def emit_pack(
    builder: ir.IRBuilder,
    element: ir.Type,
    b: ir.Value,
    strides: tuple[int, int],
    length: int | ir.Value,
    lanes: list[Lanes],
    scratch: ir.Value,
) -> None:
    """Copy `length` rows of the panel at `b` into `scratch`, one after the other, each vector whole."""
    step = sum(lane.width for lane in lanes)

    def put(builder, k, at, row):
        start = add(builder, as_i64(scale(builder, k, step)), at * step)
        for lane, value in zip(lanes, row):
            place = offset(builder, scratch, add(builder, start, lane.start), element)
            store(builder, value, place, element, Lanes(0, lane.width, lane.width))

    def start(builder, k):
        return offset(builder, b, scale(builder, k, strides[0]), element)

    def single(builder, k, _):
        if strides[1] == 1:
            here = start(builder, k)
            row = [load(builder, offset(builder, here, lane.start, element), element, lane) for lane in lanes]
        else:
            row = gather_row(builder, element, start(builder, k), strides[1], lanes)
        put(builder, k, 0, row)
        return []

    side = piece(element)
    if strides[0] != 1 or strides[1] == 1 or lanes[0].width < side:
        loop(builder, const(0) if isinstance(length, ir.Value) else 0, length, 1, single, name="pack")
        return

    def several(builder, k, _):
        for at, row in enumerate(transposed_rows(builder, element, start(builder, k), strides[1], lanes)):
            put(builder, k, at, row)
        return []

    if isinstance(length, int):
        whole = length // side * side
        loop(builder, 0, whole, side, several, name="pack")
        loop(builder, whole, length, 1, single, name="pack.rest")
    else:
        whole = builder.and_(length, const(-side))
        loop(builder, const(0), whole, side, several, name="pack")
        loop(builder, whole, length, 1, single, name="pack.rest")
