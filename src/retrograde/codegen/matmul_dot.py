"""Products of few rows or few columns whose operands both are contiguous along k: tiles of dot products.

The lanes of a sum are 64 bytes wide whatever the machine has, so that the order of the additions is the same
everywhere; narrower machines use several registers for them.
"""

from __future__ import annotations

import llvmlite.ir as ir

from .matmul_ir import Lanes, fma, load, loop, nothing, offset, shuffle, store, vector_type
from .matmul_tile import Multiply, Target


def emit_dots(
    builder: ir.IRBuilder,
    element: ir.Type,
    rows: int,
    columns: int,
    k: int,
    a: ir.Value,
    a_row: int,
    b: ir.Value,
    b_column: int,
    width: int,
    chains: int,
    target: Target,
    multiply: Multiply = fma,
) -> None:
    """Emit C = A @ B for `rows` x `columns` elements, each of `width` * `chains` partial sums."""
    kind = vector_type(element, width)
    size = rows * columns

    def step(builder, a, b, at, lanes, sums, chain):
        left = [load(builder, offset(builder, a, i * a_row + at, element), element, lanes) for i in range(rows)]
        right = [load(builder, offset(builder, b, j * b_column + at, element), element, lanes) for j in range(columns)]
        sums = list(sums)
        for i in range(rows):
            for j in range(columns):
                here = chain * size + i * columns + j
                sums[here] = multiply(builder, left[i], right[j], sums[here])
        return sums

    turn = width * chains

    def body(builder, index, state):
        a, b, *sums = state
        for chain in range(chains):
            sums = step(builder, a, b, chain * width, Lanes(0, width, width), sums, chain)
        return [offset(builder, a, turn, element), offset(builder, b, turn, element), *sums]

    whole = k // turn * turn
    a, b, *sums = loop(builder, 0, whole, turn, body, [a, b, *[nothing(kind)] * (size * chains)], "dot")
    for at in range(0, k - whole, width):
        lanes = Lanes(0, width, min(width, k - whole - at))
        sums = step(builder, a, b, at, lanes, sums, at // width)
    while chains > 1:
        chains //= 2
        half = chains * size
        sums = [builder.fadd(sums[i], sums[half + i]) for i in range(half)]
    _finish(builder, element, rows, columns, _add_lanes(builder, sums), target)


def _add_lanes(builder: ir.IRBuilder, sums: list[ir.Value]) -> ir.Value:
    """Add the lanes of each vector, halves upon halves; return one vector with a lane for each sum.

    Two vectors share the work of a level, which changes no sum: the pairs added are those of each alone.
    """
    count = 1
    while count < len(sums):
        count *= 2
    sums = sums + sums[-1:] * (count - len(sums))
    segment = sums[0].type.count  # lanes that belong to one sum
    while segment > 1:
        total = sums[0].type.count
        starts = range(0, total, segment)
        half = segment // 2
        low = [s + lane for s in starts for lane in range(half)]
        high = [s + half + lane for s in starts for lane in range(half)]
        if len(sums) > 1:
            low, high = low + [total + x for x in low], high + [total + x for x in high]
            pairs = list(zip(sums[::2], sums[1::2]))
        else:
            pairs = [(sums[0], sums[0])]
        sums = [builder.fadd(shuffle(builder, x, y, low), shuffle(builder, x, y, high)) for x, y in pairs]
        segment = half
    while len(sums) > 1:  # more sums than lanes
        both = list(range(2 * sums[0].type.count))
        sums = [shuffle(builder, x, y, both) for x, y in zip(sums[::2], sums[1::2])]
    return sums[0]


def _finish(builder, element, rows, columns, sums: ir.Value, target: Target) -> None:
    """Store by rows, or one column at once where that can be."""
    strides = target.strides
    if columns == 1 and rows > 1 and strides[0] == 1:
        rows, columns, strides = 1, rows, (0, 1)
    for i in range(rows):
        part = sums
        if isinstance(sums.type, ir.VectorType):
            part = shuffle(builder, sums, sums, [i * columns + j for j in range(columns)])
        width = 1
        while width < columns:
            width *= 2
        lanes = Lanes(0, width, columns)
        together = columns == 1 or strides[1] == 1
        pieces = [(0, lanes)] if together else [(j, Lanes(0, 1, 1)) for j in range(columns)]
        for j, lane in pieces:
            value = part if together else shuffle(builder, part, part, [j])
            place = offset(builder, target.pointer, i * strides[0] + j * strides[1], element)
            if lane.valid < lane.width:
                value = shuffle(builder, value, value, [min(x, lane.valid - 1) for x in range(lane.width)])
            store(builder, value, place, element, lane)
