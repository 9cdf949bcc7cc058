"""Let a program count subnormal numbers as zero while it runs: they cost a processor some hundred cycles each."""

from __future__ import annotations

import platform

from llvmlite import ir

I32, I64, PTR = ir.IntType(32), ir.IntType(64), ir.PointerType()
FTZ_AND_DAZ = 0x8040  # of MXCSR: results flushed to zero, operands read as zero
FZ = 1 << 24  # of FPCR: both


def flushing(module: ir.Module, main: ir.Function) -> None:
    """Emit `main_flushing`, which calls `main` in that mode and restores the mode it found.

    `main` is a call, so that none of its arithmetic moves out of it. On processors not known here it just calls.
    """
    outer = ir.Function(module, main.function_type, "main_flushing")
    b = ir.IRBuilder(outer.append_basic_block("entry"))
    main.attributes.add("noinline")
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        found, wanted = b.alloca(I32), b.alloca(I32)
        void = ir.FunctionType(ir.VoidType(), [PTR])
        read, write = (ir.Function(module, void, f"llvm.x86.sse.{name}mxcsr") for name in ("st", "ld"))
        b.call(read, [found])
        b.store(b.or_(b.load(found, typ=I32), ir.Constant(I32, FTZ_AND_DAZ)), wanted)
        b.call(write, [wanted])
        b.call(main, outer.args)
        b.call(write, [found])
    elif machine in ("aarch64", "arm64"):
        read = b.asm(ir.FunctionType(I64, []), "mrs $0, fpcr", "=r", [], True)
        set_mode = ir.FunctionType(ir.VoidType(), [I64])
        b.asm(set_mode, "msr fpcr, $0", "r", [b.or_(read, ir.Constant(I64, FZ))], True)
        b.call(main, outer.args)
        b.asm(set_mode, "msr fpcr, $0", "r", [read], True)
    else:
        b.call(main, outer.args)
    b.ret_void()
