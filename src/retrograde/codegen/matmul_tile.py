"""The register tile: a few rows by a few vectors of C, kept in registers over a whole block of k."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import llvmlite.ir as ir

from .matmul_ir import (
    I64,
    Lanes,
    const,
    fma,
    load,
    loop,
    nothing,
    offset,
    shuffle,
    splat,
    store,
    vector_type,
)
from .matmul_pack import gather_row

Multiply = Callable[[ir.IRBuilder, ir.Value, ir.Value, ir.Value], ir.Value]
WORK_PER_TURN = 24  # multiply-adds in one turn of the loop over k, below which it is unrolled
UNROLL_WHOLE = 128  # multiply-adds of a whole tile below which k needs no loop


@dataclass(frozen=True)
class Block:
    """A block of k: its length (static, or a value that changes from block to block), and whether it is first or last.

    Both are Python booleans where there is but one block, i1 values otherwise.
    """

    length: int | ir.Value
    first: bool | ir.Value = True
    last: bool | ir.Value = True
    ragged: bool = False  # the length may be no multiple of the unrolling


@dataclass(frozen=True)
class Target:
    """Where a tile goes: its first element and the strides of C."""

    pointer: ir.Value
    strides: tuple[int, int]


def emit_tile(
    builder: ir.IRBuilder,
    element: ir.Type,
    rows: int,
    lanes: list[Lanes],
    a: ir.Value,
    a_strides: tuple[int, int],
    b: Any,
    b_step: int,
    b_lane: int,
    block: Block,
    target: Target,
    chains: int = 1,
    b_lanes: list[Lanes] | None = None,
    multiply: Multiply = fma,
) -> None:
    """Emit C = A @ B for one tile over one block of k, which a later block adds to.

    `a` points at the tile's first element, `b` at the panel's (step `b_step` along k, `b_lane` along
    columns), or it is a list of rows of vectors that are in registers already. `b_lanes` replaces `lanes` for
    reading a packed panel. Element (i, j) is the sum of fma over k in rising order, in `chains` partial sums
    that take turns and are then added pairwise (more than one only where k is one block). `multiply` is x * y + z.
    """
    sums = [nothing(vector_type(element, lane.width)) for lane in lanes] * (chains * rows)

    def step(builder, a, b, at, sums, chain):
        """One step of k: `at` steps after the pointers."""
        if isinstance(b, list):
            right = b[at]
        else:
            right = [
                load(builder, offset(builder, b, at * b_step + lane.start * b_lane, element), element, lane)
                for lane in b_lanes or lanes
            ]
        sums = list(sums)
        base = chain * rows * len(lanes)
        for i in range(rows):
            address = offset(builder, a, i * a_strides[0] + at * a_strides[1], element)
            left = load(builder, address, element, Lanes(0, 1, 1))
            wide = {lane.width: splat(builder, left, lane.width) for lane in lanes}
            for j, lane in enumerate(lanes):
                here = base + i * len(lanes) + j
                sums[here] = multiply(builder, wide[lane.width], right[j], sums[here])
        return sums

    size = rows * len(lanes)
    static = isinstance(block.length, int)
    if isinstance(b, list) or (static and block.length * size <= UNROLL_WHOLE):
        for at in range(block.length):
            sums = step(builder, a, b, at, sums, at % chains)
    else:
        turn = chains
        while turn * size < WORK_PER_TURN and turn < 8:
            turn *= 2

        def many(count):
            def body(builder, index, state):
                a, b, *sums = state
                for at in range(count):
                    sums = step(builder, a, b, at, sums, at % chains)
                return [
                    offset(builder, a, count * a_strides[1], element),
                    offset(builder, b, count * b_step, element),
                    *sums,
                ]

            return body

        if static:
            whole = block.length // turn * turn
            a, b, *sums = loop(builder, 0, whole, turn, many(turn), [a, b, *sums], "k")
            for at in range(block.length - whole):
                sums = step(builder, a, b, at, sums, at % chains)
        else:
            whole = builder.and_(block.length, ir.Constant(I64, -turn)) if block.ragged else block.length
            a, b, *sums = loop(builder, const(0), whole, turn, many(turn), [a, b, *sums], "k")
            if block.ragged:
                a, b, *sums = loop(builder, whole, block.length, 1, many(1), [a, b, *sums], "k.rest")
    while chains > 1:
        chains //= 2
        half = chains * size
        sums = [builder.fadd(sums[i], sums[half + i]) for i in range(half)]
    _finish(builder, element, rows, lanes, sums, block, target)


def _finish(builder, element, rows, lanes, sums, block: Block, target: Target) -> None:
    """Add what earlier blocks left in C; store."""
    places = [
        (lane, offset(builder, target.pointer, i * target.strides[0] + lane.start * target.strides[1], element))
        for i in range(rows)
        for lane in lanes
    ]
    if block.first is not True:
        # The first block finds whatever the memory holds, which must not reach the sum.
        held = [_held(builder, place, element, lane, target.strides[1]) for lane, place in places]
        held = [builder.select(block.first, nothing(value.type), value) for value in held]
        sums = [builder.fadd(value, total) for value, total in zip(held, sums)]
    for (lane, place), value in zip(places, sums):
        _put(builder, value, place, element, lane, target.strides[1])


def _held(builder, place, element, lane: Lanes, step: int) -> ir.Value:
    """What C holds at a vector of a row, whose elements lie `step` apart."""
    if step == 1:
        return load(builder, place, element, lane)
    return gather_row(builder, element, place, step, [replace(lane, start=0)])[0]


def _put(builder, value, place, element, lane: Lanes, step: int) -> None:
    """Store a vector of a row of C, whose elements lie `step` apart."""
    if step == 1 or lane.width == 1:
        store(builder, value, place, element, lane)
        return
    for i in range(lane.valid):
        one = shuffle(builder, value, value, [i])
        store(builder, one, offset(builder, place, i * step, element), element, Lanes(0, 1, 1))
