"""Compiles one product kernel for this machine: what the runtime does for whole programs, in thirty lines."""

from __future__ import annotations

import ctypes
import time

import llvmlite.binding as llvm
import llvmlite.ir as ir
import numpy as np

from retrograde.codegen.matmul import emit_matmul, matmul_scratch_bytes
from retrograde.codegen.matmul_ir import I64, PTR

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()


def host_vector_bytes() -> int:
    """Return the width of this machine's widest vectors of floats."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 64
    return 32 if features.get("avx2") else 16


def target_machine() -> llvm.TargetMachine:
    """Return a target for this machine that keeps 64 byte vectors whole where they exist."""
    features = llvm.get_host_cpu_features().flatten()
    if host_vector_bytes() == 64:
        features += ",-prefer-256-bit"
    return llvm.Target.from_default_triple().create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=3)


class Native:
    """A compiled function of pointers and integers; keeps its engine and the seconds it took to make."""

    def __init__(self, module: ir.Module, name: str):
        start = time.perf_counter()
        text = str(module)
        self.print_seconds = time.perf_counter() - start
        start = time.perf_counter()
        machine = target_machine()
        parsed = llvm.parse_assembly(text)
        parsed.verify()
        builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
        builder.getModulePassManager().run(parsed, builder)
        self.assembly = lambda: target_machine().emit_assembly(parsed)
        self.engine = llvm.create_mcjit_compiler(parsed, machine)
        self.engine.finalize_object()
        self.address = self.engine.get_function_address(name)
        self.compile_seconds = time.perf_counter() - start


def compile_matmul(m, n, k, dtype, a_strides, b_strides, c_strides, *, repeat=False, rows=False, **options):
    """Return f(a, b, c, scratch, count, row_begin, row_end) over addresses; `repeat` runs it count times."""
    start = time.perf_counter()
    module = ir.Module()
    module.triple = llvm.get_default_triple()
    kind = ir.FunctionType(ir.VoidType(), [PTR] * 4 + [I64] * 3)
    inner = ir.Function(module, kind, "product")
    builder = ir.IRBuilder(inner.append_basic_block())
    a, b, c, scratch, _, begin, end = inner.args
    options.setdefault("vector_bytes", host_vector_bytes())
    if rows:
        options.update(row_begin=begin, row_end=end)
    emit_matmul(builder, m, n, k, a, b, c, dtype, a_strides, b_strides, c_strides, scratch=scratch, **options)
    builder.ret_void()
    name = "product"
    if repeat:
        name = "many"
        inner.attributes.add("noinline")
        outer = ir.Function(module, kind, name)
        builder = ir.IRBuilder(outer.append_basic_block())
        before, head = builder.block, builder.append_basic_block("repeat")
        done = builder.append_basic_block("done")
        builder.branch(head)
        builder.position_at_end(head)
        i = builder.phi(I64)
        i.add_incoming(I64(0), before)
        builder.call(inner, outer.args)
        j = builder.add(i, I64(1))
        i.add_incoming(j, head)
        builder.cbranch(builder.icmp_signed("<", j, outer.args[4]), head, done)
        builder.position_at_end(done)
        builder.ret_void()
    emit_seconds = time.perf_counter() - start
    native = Native(module, name)
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4, *[ctypes.c_int64] * 3)(native.address)
    function.native, function.emit_seconds = native, emit_seconds
    return function


def run_matmul(a, b, c, *, row_ranges=None, **options):
    """Multiply NumPy arrays (of any strides) in native code, in place into `c`."""
    (m, k), n, size = a.shape, b.shape[1], c.itemsize
    strides = [tuple(s // size for s in x.strides) for x in (a, b, c)]
    vector_bytes = options.setdefault("vector_bytes", host_vector_bytes())
    function = compile_matmul(m, n, k, c.dtype, *strides, rows=row_ranges is not None, **options)
    windowed = options.get("windowed", False)
    need = matmul_scratch_bytes(m, n, k, c.dtype, *strides, vector_bytes=vector_bytes, windowed=windowed)
    scratch = np.full(need + 64, 0xFF, np.uint8)
    for begin, end in row_ranges or [(0, m)]:
        function(a.ctypes.data, b.ctypes.data, c.ctypes.data, scratch.ctypes.data, 1, begin, end)
    assert (scratch[need:] == 0xFF).all(), "the kernel wrote past its scratch memory"
    return c
