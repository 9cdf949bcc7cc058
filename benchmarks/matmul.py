"""GFLOP/s of the native matmul kernels against OpenBLAS on one core, both in one run, with their ratio.

    python benchmarks/matmul.py [--dtype float64] [--set all] [--rounds 5]

Both sides are called from a native loop (OpenBLAS through SciPy's raw function pointer), so neither pays for
Python; their rounds alternate and the best counts. Layouts are those of training: NN is x @ w, NT is x @ w.T,
TN is dy.T @ x; all results are written row by row. The peak is that of independent fused multiply-adds in
registers.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
import time
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import llvmlite.binding as llvm
import llvmlite.ir as ir
import numpy as np
from scipy.linalg import cython_blas

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "codegen")]

import matmul_harness as harness  # noqa: E402

from retrograde.codegen.matmul import matmul_scratch_bytes  # noqa: E402
from retrograde.codegen.matmul_ir import I64, PTR, element_type, fma, loop, offset, vector_type  # noqa: E402

TRAINING = [
    (32, 64, 30, "NT"), (32, 32, 64, "NT"), (32, 32, 64, "NN"), (64, 30, 32, "TN"), (32, 64, 32, "NN"),
    (128, 256, 784, "NT"), (784, 256, 128, "TN"), (256, 784, 128, "TN"), (128, 784, 256, "NN"),
    (128, 128, 256, "NT"), (128, 10, 256, "NT"), (512, 2048, 1024, "NN"), (512, 2048, 1024, "NT"),
    (2048, 1024, 512, "TN"), (512, 512, 512, "NN"), (1024, 1024, 1024, "NN"),
]  # fmt: skip
SQUARES = [(n, n, n, layout) for n in (4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256) for layout in ("NN", "NT", "TN")]
VECTORS = [(1, n, n, layout) for n in (16, 64, 256, 1024) for layout in ("NN", "NT")] + [
    (n, 1, n, layout) for n in (16, 64, 256, 1024) for layout in ("NN", "TN")
]
BATCHES = [
    shape
    for batch in (2, 4, 8, 16)
    for width in (64, 256, 1024)
    for shape in ((batch, width, width, "NT"), (batch, width, width, "NN"), (width, width, batch, "TN"))
]
LARGE = [(n, n, n, layout) for n in (640, 800, 1000, 2048) for layout in ("NN", "NT", "TN")] + [
    (64, 4096, 4096, "NT"), (64, 4096, 4096, "NN"), (4096, 4096, 64, "TN"),
]  # fmt: skip
SETS = {"training": TRAINING, "squares": SQUARES, "vectors": VECTORS, "batches": BATCHES, "large": LARGE}
SETS["all"] = [shape for shapes in SETS.values() for shape in shapes]


def strides_of(m, n, k, layout):
    """Return the strides of A, B and C; N is by rows, T is the transpose of a matrix by rows."""
    a = (k, 1) if layout[0] == "N" else (1, m)
    b = (n, 1) if layout[1] == "N" else (1, k)
    return a, b, (n, 1)


def compile_blas(m, n, k, dtype, layout):
    """Return f(a, b, c, count): OpenBLAS's gemm on the transposed (column by column) problem, count times."""
    letter = "s" if dtype == np.float32 else "d"
    capsule = cython_blas.__pyx_capi__[f"{letter}gemm"]
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    address = api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [PTR] * 3 + [I64]), "many")
    builder = ir.IRBuilder(function.append_basic_block())
    a, b, c, count = function.args
    element, i32 = element_type(dtype), ir.IntType(32)

    def constant(kind, value):
        place = builder.alloca(kind)
        builder.store(ir.Constant(kind, value), place)
        return place

    i8 = ir.IntType(8)
    lda = k if layout[0] == "N" else m
    ldb = n if layout[1] == "N" else k
    arguments = [
        constant(i8, ord(layout[1])), constant(i8, ord(layout[0])),
        constant(i32, n), constant(i32, m), constant(i32, k),
        constant(element, 1.0), b, constant(i32, ldb), a, constant(i32, lda),
        constant(element, 0.0), c, constant(i32, n),
    ]  # fmt: skip
    llvm.add_symbol(f"{letter}gemm_of_scipy", address)
    gemm = ir.Function(module, ir.FunctionType(ir.VoidType(), [PTR] * len(arguments)), f"{letter}gemm_of_scipy")

    def body(builder, index, _):
        builder.call(gemm, arguments)
        return []

    loop(builder, I64(0), count, 1, body)
    builder.ret_void()
    native = harness.Native(module, "many")
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_int64)(native.address)
    call.native = native
    return call


def measure_peak(dtype) -> float:
    """Return the GFLOP/s of independent multiply-adds in registers."""
    module, element = ir.Module(), element_type(dtype)
    width = harness.host_vector_bytes() // np.dtype(dtype).itemsize
    chains = 24 if harness.host_vector_bytes() == 64 else 12
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [PTR, I64]), "peak")
    builder = ir.IRBuilder(function.append_basic_block())
    place, count = function.args
    kind = vector_type(element, width)
    values = [builder.load(offset(builder, place, i, element), typ=kind, align=4) for i in range(chains + 1)]

    def body(builder, index, sums):
        for _ in range(4):
            sums = [fma(builder, values[chains], values[chains], x) for x in sums]
        return sums

    sums = loop(builder, I64(0), count, 1, body, values[:chains])
    total = sums[0]
    for x in sums[1:]:
        total = builder.fadd(total, x)
    builder.store(total, place, align=4)
    builder.ret_void()
    native = harness.Native(module, "peak")
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(native.address)
    # The chains start from different values, lest they be merged.
    data = np.linspace(0.1, 0.5, 512, dtype=dtype)
    rounds = 400_000
    best = min(_clock(lambda: call(data.ctypes.data, rounds)) for _ in range(5))
    return 2 * width * chains * 4 * rounds / best / 1e9


def _clock(f) -> float:
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def compare(m, n, k, layout, dtype, rounds):
    """Return seconds of one product for ours and for OpenBLAS, and those to emit and to compile ours."""
    strides = strides_of(m, n, k, layout)
    width = harness.host_vector_bytes()
    ours = harness.compile_matmul(m, n, k, dtype, *strides, repeat=True, vector_bytes=width)
    blas = compile_blas(m, n, k, dtype, layout)
    need = matmul_scratch_bytes(m, n, k, dtype, *strides, vector_bytes=width)
    rng = np.random.default_rng(0)
    a, b, c, d, scratch = (_aligned(size, dtype) for size in (m * k, k * n, m * n, m * n, need // dtype.itemsize))
    a[:], b[:] = rng.standard_normal(a.size), rng.standard_normal(b.size)
    pointers = [x.ctypes.data for x in (a, b, c, d, scratch)]
    count = max(1, int(2e-3 * 60e9 / (2 * m * n * k + 2000)))
    mine, theirs = [], []
    for _ in range(rounds):
        mine.append(_clock(lambda: ours(*pointers[:3], pointers[4], count, 0, m)) / count)
        theirs.append(_clock(lambda: blas(*pointers[:2], pointers[3], count)) / count)
    error = np.max(np.abs(c - d)) / np.max(np.abs(d))
    assert error < 1e-4, f"the results of {(m, n, k, layout)} differ by {error}"
    return min(mine), min(theirs), ours.emit_seconds, ours.native.compile_seconds


def _aligned(size: int, dtype) -> np.ndarray:
    """Return zeros that start at a line of the cache, as arrays of a compiled program do."""
    whole = np.zeros(size + 128 // dtype.itemsize, dtype)
    start = -whole.ctypes.data % 64 // dtype.itemsize
    return whole[start : start + size]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--set", default="all", choices=sorted(SETS))
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    dtype = np.dtype(arguments.dtype)
    peak = measure_peak(dtype)
    print(f"{dtype}, one core, peak of multiply-adds {peak:.0f} GFLOP/s")
    print(
        f"{'m':>5}{'n':>6}{'k':>6}      {'ours':>7}{'of peak':>9}{'OpenBLAS':>10}{'ratio':>7}"
        f"{'emit':>7}{'compile':>9}"
    )
    ratios = []
    for m, n, k, layout in SETS[arguments.set]:
        mine, theirs, emit, compile_ = compare(m, n, k, layout, dtype, arguments.rounds)
        flops = 2e-9 * m * n * k
        ratios.append(theirs / mine)
        print(
            f"{m:5}{n:6}{k:6} {layout} {flops / mine:9.1f}{flops / mine / peak:8.0%}{flops / theirs:10.1f}"
            f"{theirs / mine:7.2f}{emit * 1e3:5.0f}ms{compile_ * 1e3:7.0f}ms",
            flush=True,
        )
    print(f"geometric mean of the ratios {np.exp(np.mean(np.log(ratios))):.2f}, least {min(ratios):.2f}")


if __name__ == "__main__":
    main()
