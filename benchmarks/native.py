"""Small native loops that show what a processor can do: multiply-adds in registers, reading, copying, and waiting."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import llvmlite.ir as ir
import numpy as np

import harness  # noqa: F401  (finds the library's sources)
from retrograde.codegen.matmul_ir import I64, PTR, element_type, fma, loop, offset, vector_type
from retrograde.codegen.team import barrier
from retrograde.runtime.llvm import NativeModule, compile_ir, host

UNROLLED = 8  # vectors a turn of the memory loops


def compile_loop(kinds: list[Any], emit: Callable[..., None]) -> Any:
    """A native function of these argument types, whose body `emit(builder, *arguments)` writes."""
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), "run")
    builder = ir.IRBuilder(function.append_basic_block())
    emit(builder, *function.args)
    builder.ret_void()
    native = NativeModule(compile_ir(str(module)))
    python = [ctypes.c_void_p if kind is PTR else ctypes.c_int64 for kind in kinds]
    call = ctypes.CFUNCTYPE(None, *python)(native.address("run"))
    call.native = native  # the code lives as long as the function
    return call


def lanes_of(dtype: Any) -> int:
    """Elements in one of this machine's vectors."""
    return host().vector_bytes // np.dtype(dtype).itemsize


def flops_a_turn(dtype: Any) -> int:
    """Floating-point operations in one turn of `multiply_adds`."""
    return 2 * lanes_of(dtype) * _chains() * 4


def _chains() -> int:
    """Sums that are independent of one another: they hide the latency and leave registers for what is multiplied."""
    return 24 if host().vector_bytes == 64 else 12


@functools.lru_cache(maxsize=2)
def multiply_adds(dtype: Any) -> Any:
    """f(address, turns): fused multiply-adds of full vectors that wait for nothing but their own chain."""
    element, width, chains = element_type(dtype), lanes_of(dtype), _chains()
    kind = vector_type(element, width)

    def emit(b: ir.IRBuilder, place: ir.Value, turns: ir.Value) -> None:
        # every chain starts from a value of its own, lest they be merged
        start = [b.load(offset(b, place, i, element), typ=kind, align=4) for i in range(chains + 1)]

        def body(b: ir.IRBuilder, _: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
            for _ in range(4):
                sums = [fma(b, start[chains], start[chains], x) for x in sums]
            return sums

        sums = loop(b, I64(0), turns, 1, body, start[:chains])
        b.store(functools.reduce(b.fadd, sums), place, align=4)

    return compile_loop([PTR, I64], emit)


def _vectors() -> tuple[ir.Type, ir.Type, int]:
    element, width = ir.FloatType(), lanes_of(np.float32)
    return element, vector_type(element, width), width


@functools.lru_cache(maxsize=1)
def read() -> Any:
    """f(address of float32, count, address of a vector, times): loads every element and nothing more."""
    element, kind, width = _vectors()

    def emit(b: ir.IRBuilder, place: ir.Value, count: ir.Value, out: ir.Value, times: ir.Value) -> None:
        def turn(b: ir.IRBuilder, i: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
            at = offset(b, place, i, element)
            return [b.fadd(x, b.load(offset(b, at, j * width, element), typ=kind, align=4)) for j, x in enumerate(sums)]

        def once(b: ir.IRBuilder, _: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
            return loop(b, I64(0), count, UNROLLED * width, turn, sums, "turn")

        sums = loop(b, I64(0), times, 1, once, [ir.Constant(kind, None)] * UNROLLED, "times")
        b.store(functools.reduce(b.fadd, sums), out, align=4)

    return compile_loop([PTR, I64, PTR, I64], emit)


@functools.lru_cache(maxsize=1)
def copy() -> Any:
    """f(address of float32, count, address of the copy, times), by ordinary loads and stores."""
    element, kind, width = _vectors()

    def emit(b: ir.IRBuilder, place: ir.Value, count: ir.Value, out: ir.Value, times: ir.Value) -> None:
        def turn(b: ir.IRBuilder, i: ir.Value, carried: list[ir.Value]) -> list[ir.Value]:
            source, target = offset(b, place, i, element), offset(b, out, i, element)
            # volatile, lest LLVM make a call of memcpy out of the loop
            values = [b.load(offset(b, source, j * width, element), typ=kind, align=4) for j in range(UNROLLED)]
            for j, value in enumerate(values):
                b.store(value, offset(b, target, j * width, element), align=4).volatile = True
            return carried

        def once(b: ir.IRBuilder, _: ir.Value, carried: list[ir.Value]) -> list[ir.Value]:
            return loop(b, I64(0), count, UNROLLED * width, turn, carried, "turn")

        loop(b, I64(0), times, 1, once, [], "times")

    return compile_loop([PTR, I64, PTR, I64], emit)


@functools.lru_cache(maxsize=1)
def barriers() -> Any:
    """f(address of a run's cells, thread, threads, count): meets the others `count` times, as a compiled program's threads do."""

    def emit(b: ir.IRBuilder, cells: ir.Value, thread: ir.Value, threads: ir.Value, count: ir.Value) -> None:
        wait = barrier(b.module)

        def body(b: ir.IRBuilder, _: ir.Value, carried: list[ir.Value]) -> list[ir.Value]:
            b.call(wait, [cells, thread, threads])
            return carried

        loop(b, I64(0), count, 1, body)

    return compile_loop([PTR, I64, I64, I64], emit)
