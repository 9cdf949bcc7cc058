"""The few lines of LLVM IR that product kernels are made of: addresses, vectors of any width, counted loops.

A vector of one lane is a scalar throughout, so the same kernel code serves both. Types and constants are made once: each
keeps its own text, and writing that text is most of the work of emitting a kernel.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.ir as ir
import numpy as np

I1, I32, I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
F32, F64 = ir.FloatType(), ir.DoubleType()
PTR = ir.PointerType()


@dataclass(frozen=True)
class Lanes:
    """A vector along the columns: its first column within a panel, its width, and how many lanes count."""

    start: int
    width: int
    valid: int


def element_type(dtype: Any) -> ir.Type:
    """Return the LLVM type of a float32 or float64 dtype."""
    return F32 if np.dtype(dtype) == np.float32 else F64


@functools.lru_cache(maxsize=256)
def vector_type(element: ir.Type, width: int) -> ir.Type:
    """Return the LLVM type of `width` elements; a scalar where that is one."""
    return element if width == 1 else ir.VectorType(element, width)


@functools.lru_cache(maxsize=4096)
def const(value: int) -> ir.Constant:
    """Return an i64 constant."""
    return ir.Constant(I64, value)


@functools.lru_cache(maxsize=256)
def _lane(number: int) -> ir.Constant:
    return ir.Constant(I32, number)


@functools.lru_cache(maxsize=256)
def nothing(kind: ir.Type) -> ir.Constant:
    """Return zero of a scalar or vector type."""
    return ir.Constant(kind, None if isinstance(kind, ir.VectorType) else 0.0)


def as_i64(value: int | ir.Value) -> ir.Value:
    """Return an i64 value for a Python integer or for a value that is one already."""
    return const(value) if isinstance(value, int) else value


def add(builder: ir.IRBuilder, x: ir.Value, y: int) -> ir.Value:
    """Add a Python integer to an i64 value, without an instruction where that is nothing."""
    if y == 0:
        return x
    if isinstance(x, ir.Constant):
        return const(x.constant + y)
    return builder.add(x, const(y), flags=("nsw",))


def scale(builder: ir.IRBuilder, x: int | ir.Value, factor: int) -> int | ir.Value:
    """Multiply an index by a static stride; stays a Python integer if the index is one."""
    if isinstance(x, int):
        return x * factor
    if isinstance(x, ir.Constant):
        return x.constant * factor
    if factor in (0, 1):
        return x if factor else 0
    return builder.mul(x, const(factor), flags=("nsw",))


def offset(builder: ir.IRBuilder, pointer: ir.Value, index: int | ir.Value, element: ir.Type) -> ir.Value:
    """Return the address `index` elements after `pointer`."""
    if isinstance(index, int) and index == 0:
        return pointer
    return builder.gep(pointer, [as_i64(index)], inbounds=True, source_etype=element)


def splat(builder: ir.IRBuilder, scalar: ir.Value, width: int) -> ir.Value:
    """Return the vector whose lanes all hold `scalar`."""
    if width == 1:
        return scalar
    first = builder.insert_element(_undefined(vector_type(scalar.type, width)), scalar, _lane(0))
    return shuffle(builder, first, first, [0] * width)


@functools.lru_cache(maxsize=256)
def _undefined(kind: ir.Type) -> ir.Constant:
    return ir.Constant(kind, ir.Undefined)


def shuffle(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, lanes: Sequence[int]) -> ir.Value:
    """Pick lanes out of two vectors (those of `y` count on after those of `x`); one lane gives a scalar."""
    if len(lanes) == 1:
        width = x.type.count
        return builder.extract_element(x if lanes[0] < width else y, _lane(lanes[0] % width))
    return builder.shuffle_vector(x, y, _order(tuple(lanes)))


@functools.lru_cache(maxsize=1024)
def _order(lanes: tuple[int, ...]) -> ir.Constant:
    return ir.Constant(vector_type(I32, len(lanes)), [_lane(lane) for lane in lanes])


def _intrinsic(builder: ir.IRBuilder, name: str, result: ir.Type, arguments: Sequence[ir.Type]) -> ir.Function:
    found = builder.module.globals.get(name)
    return found or ir.Function(builder.module, ir.FunctionType(result, arguments), name)


def _suffix(kind: ir.Type) -> str:
    scalar = kind.element if isinstance(kind, ir.VectorType) else kind
    bits = "f32" if isinstance(scalar, ir.FloatType) else "f64"
    return f"v{kind.count}{bits}" if isinstance(kind, ir.VectorType) else bits


def fma(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
    """Return x * y + z, rounded once."""
    kind = x.type
    return builder.call(_intrinsic(builder, f"llvm.fma.{_suffix(kind)}", kind, [kind] * 3), [x, y, z])


@functools.lru_cache(maxsize=256)
def _mask(width: int, valid: int) -> ir.Constant:
    return ir.Constant(vector_type(I1, width), [ir.Constant(I1, lane < valid) for lane in range(width)])


def load(builder: ir.IRBuilder, pointer: ir.Value, element: ir.Type, lanes: Lanes) -> ir.Value:
    """Load a vector; lanes that do not count are zero and their memory is not touched."""
    kind, align = vector_type(element, lanes.width), 4 if isinstance(element, ir.FloatType) else 8
    if lanes.valid == lanes.width:
        return builder.load(pointer, typ=kind, align=align)
    mask = _mask(lanes.width, lanes.valid)
    function = _intrinsic(builder, f"llvm.masked.load.{_suffix(kind)}.p0", kind, [PTR, I32, mask.type, kind])
    return builder.call(function, [pointer, _lane(align), mask, nothing(kind)])


def store(builder: ir.IRBuilder, value: ir.Value, pointer: ir.Value, element: ir.Type, lanes: Lanes) -> None:
    """Store a vector; memory of lanes that do not count is not touched."""
    kind, align = value.type, 4 if isinstance(element, ir.FloatType) else 8
    if lanes.valid == lanes.width:
        builder.store(value, pointer, align=align)
        return
    mask = _mask(lanes.width, lanes.valid)
    function = _intrinsic(
        builder,
        f"llvm.masked.store.{_suffix(kind)}.p0",
        ir.VoidType(),
        [kind, PTR, I32, mask.type],
    )
    builder.call(function, [value, pointer, _lane(align), mask])


def _plain_loop(module: ir.Module) -> ir.MDValue:
    """Tell LLVM to leave a loop as it is: its own unrolling would add code and compile time, not speed."""
    hints = [
        module.add_metadata(["llvm.loop.unroll.disable"]),
        module.add_metadata(["llvm.loop.vectorize.enable", ir.Constant(I1, 0)]),
    ]
    node = ir.MDValue(module, hints, name=str(len(module.metadata)))
    node.operands = (node, *hints)  # a loop's name is a node that refers to itself
    return node


Body = Callable[[ir.IRBuilder, ir.Value, list[ir.Value]], list[ir.Value]]


def loop(
    builder: ir.IRBuilder,
    begin: int | ir.Value,
    end: int | ir.Value,
    step: int,
    body: Body,
    carried: Sequence[ir.Value] = (),
    name: str = "loop",
) -> list[ir.Value]:
    """Run `body(builder, index, carried) -> carried` for index = begin, begin + step, ... below end.

    Static bounds that run once or never leave no loop. Returns the carried values after the last turn.
    """
    values = list(carried)
    static = isinstance(begin, int) and isinstance(end, int)
    if static:
        if begin >= end:
            return values
        if begin + step >= end:
            return body(builder, const(begin), values)
    begin, end = as_i64(begin), as_i64(end)
    before = builder.block
    head = builder.append_basic_block(name)
    done = builder.append_basic_block(f"{name}.done")
    if static:
        builder.branch(head)
    else:
        builder.cbranch(builder.icmp_signed("<", begin, end), head, done)
    builder.position_at_end(head)
    index = builder.phi(I64, name=f"{name}.index")
    index.add_incoming(begin, before)
    phis = []
    for value in values:
        phi = builder.phi(value.type)
        phi.add_incoming(value, before)
        phis.append(phi)
    results = body(builder, index, list(phis))
    following = builder.add(index, const(step), flags=("nsw",))
    last = builder.block
    index.add_incoming(following, last)
    for phi, result in zip(phis, results, strict=True):
        phi.add_incoming(result, last)
    branch = builder.cbranch(builder.icmp_signed("<", following, end), head, done)
    branch.set_metadata("llvm.loop", _plain_loop(builder.module))
    builder.position_at_end(done)
    if static:
        return results
    outs = []
    for value, result in zip(values, results, strict=True):
        phi = builder.phi(value.type)
        phi.add_incoming(value, before)
        phi.add_incoming(result, last)
        outs.append(phi)
    return outs
