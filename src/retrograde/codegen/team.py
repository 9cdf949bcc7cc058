"""The threads of a team in generated code: their shares of a range, and the barrier where they wait for one another.

The barrier is sense-reversing (Mellor-Crummey and Scott, 1991, algorithm 7) with a growing generation number for its
sense. The last thread to arrive copies the stop word, so that all see Ctrl-C at the same step, and how many steps the first
thread wants to do alone (`pace.py`). Whoever waits spins for some microseconds, then gives its core away, then sleeps: so a
long step of the first thread costs the others nothing. The first thread notes how long it waited.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass

from llvmlite import ir

I8, I32, I64, PTR = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.PointerType()
STOP, PROGRESS, ARRIVED, GENERATION, AGREED = 0, 64, 128, 192, 256  # bytes in the cells, a cache line each
AGREED_ALONE = AGREED + 8
WAITED, ALONE, NEXT = 320, 328, 336  # the first thread's: how long it waited, steps it will do alone, where all meet again
SPINS, YIELDS, NAP_US = 300, 200, 50


@dataclass(frozen=True)
class Team:
    """This thread's number and how many there are (i64 values of the function being emitted)."""

    thread: ir.Value
    threads: ir.Value

    def share(self, b: ir.IRBuilder, extent: int, step: int = 1) -> tuple[ir.Value, ir.Value]:
        """This thread's part of range(extent): begins and ends at multiples of `step`, or at the extent.

        The first thread's part is the longest.
        """
        units = ir.Constant(I64, -(-extent // step))

        def edge(number: ir.Value) -> ir.Value:
            above = b.add(b.mul(units, number), b.sub(self.threads, ir.Constant(I64, 1)))
            at = b.mul(b.udiv(above, self.threads), ir.Constant(I64, step))
            last = ir.Constant(I64, extent)
            return b.select(b.icmp_signed("<", at, last), at, last)

        return edge(self.thread), edge(b.add(self.thread, ir.Constant(I64, 1)))

    def is_first(self, b: ir.IRBuilder) -> ir.Value:
        """Whether this is the first thread."""
        return b.icmp_signed("==", self.thread, ir.Constant(I64, 0))


def cell(b: ir.IRBuilder, cells: ir.Value, byte: int) -> ir.Value:
    """The address of one word of the cells."""
    return b.gep(cells, [ir.Constant(I64, byte)], source_etype=I8)


def barrier(module: ir.Module) -> ir.Function:
    """The module's `barrier(cells, thread, threads)`, made when first asked for; nothing for a team of one."""
    if "barrier" in module.globals:
        return module.globals["barrier"]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [PTR, I64, I64]), "barrier")
    function.linkage = "internal"
    function.attributes.add("noinline")
    cells, thread, threads = function.args
    zero, one = ir.Constant(I64, 0), ir.Constant(I64, 1)
    b = ir.IRBuilder(function.append_basic_block("entry"))
    with b.if_then(b.icmp_signed("==", threads, one)):
        b.ret_void()
    arrived, generation = cell(b, cells, ARRIVED), cell(b, cells, GENERATION)
    sense = b.load_atomic(generation, "acquire", 8, typ=I64)
    before = b.atomic_rmw("add", arrived, one, "acq_rel")
    last, early, spin, wait, out = map(function.append_basic_block, ("last", "early", "spin", "wait", "out"))
    b.cbranch(b.icmp_signed("==", b.add(before, one), threads), last, early)

    b.position_at_end(last)
    b.store(zero, arrived)  # plain stores: nobody else looks until the release below
    for word, agreed in ((STOP, AGREED), (ALONE, AGREED_ALONE)):
        b.store(b.load_atomic(cell(b, cells, word), "monotonic", 8, typ=I64), cell(b, cells, agreed))
    b.atomic_rmw("xchg", generation, b.add(sense, one), "release")
    b.ret_void()

    b.position_at_end(early)
    began = clock(b)
    b.branch(spin)
    b.position_at_end(spin)
    turns = b.phi(I64)
    turns.add_incoming(zero, early)
    now = b.load_atomic(generation, "acquire", 8, typ=I64)
    b.cbranch(b.icmp_signed("!=", now, sense), out, wait)
    b.position_at_end(wait)
    _pause(b)
    tired = function.append_basic_block("tired")
    again = function.append_basic_block("again")
    b.cbranch(b.icmp_signed(">", turns, ir.Constant(I64, SPINS)), tired, again)
    b.position_at_end(tired)
    _rest(b, b.icmp_signed(">", turns, ir.Constant(I64, SPINS + YIELDS)))
    b.branch(again)
    b.position_at_end(again)
    turns.add_incoming(b.add(turns, one), again)
    b.branch(spin)
    b.position_at_end(out)
    with b.if_then(b.icmp_signed("==", thread, zero)):
        waited = cell(b, cells, WAITED)
        b.store(b.add(b.load(waited, typ=I64), b.sub(clock(b), began)), waited)
    b.ret_void()
    return function


def clock(b: ir.IRBuilder) -> ir.Value:
    """Ticks of the processor's clock, of whatever length; 0 where it has none that programs may read."""
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        return b.call(_external(b.module, "llvm.readcyclecounter", I64, []), [])
    if machine in ("aarch64", "arm64"):
        return b.call(_external(b.module, "llvm.readsteadycounter", I64, []), [])
    return ir.Constant(I64, 0)


def _pause(b: ir.IRBuilder) -> None:
    """Tell the core that this is a spinning wait."""
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64", "i686", "i386"):
        b.call(_external(b.module, "llvm.x86.sse2.pause", ir.VoidType(), []), [])
    elif machine in ("aarch64", "arm64"):
        b.call(_external(b.module, "llvm.aarch64.hint", ir.VoidType(), [I32]), [ir.Constant(I32, 1)])


def _rest(b: ir.IRBuilder, long: ir.Value) -> None:
    """Give the core to another thread; after a long wait, for a while."""
    give, nap = ("SwitchToThread", "Sleep") if sys.platform == "win32" else ("sched_yield", "usleep")
    with b.if_else(long) as (sleep, yield_):
        with sleep:
            b.call(_external(b.module, nap, I32, [I32]), [ir.Constant(I32, 0 if sys.platform == "win32" else NAP_US)])
        with yield_:
            b.call(_external(b.module, give, I32, []), [])


def _external(module: ir.Module, name: str, result: ir.Type, args: list[ir.Type]) -> ir.Function:
    found = module.globals.get(name)
    return found if found is not None else ir.Function(module, ir.FunctionType(result, args), name)
