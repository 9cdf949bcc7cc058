"""What this machine can do: multiply-adds, memory, barriers between threads, and the call of a compiled function.

    python benchmarks/limits.py [--rounds 7] [--quick]

Native loops of full vectors, one thread and then as many as the machine has cores. Multiply-adds lie in registers and wait
for nothing. "Read" loads every element, "copy" counts the bytes read and the bytes written; the arrays of memory are twice
as large as the last-level cache where there is room, those of L2 take half a MiB a core each. The barrier is that of the
library's own teams. The limit is the best round; medians and quartiles say what other programs left. Where two virtual cores
are halves of a real one, one thread alone reaches what both reach together. Calls are those of `rg.jit` functions from
Python, on NumPy arrays.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import native
import retrograde as rg
from harness import Peer, Row, clock, quartiles, run_script
from retrograde.runtime import team
from retrograde.runtime.cells import Cells

UNIT = "median"
NAMES = {"multiply-adds": "multiply-adds", "memory": "memory", "waiting": "waiting"}
MIB = 2**20
SECONDS = 0.02  # of one timing: long against the waking of threads, short against what else the machine does


def cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def together(work: Callable[[int], None], threads: int) -> float:
    """Seconds until `work(0)`, ..., `work(threads - 1)` are done, run at once in a team."""
    borrowed = team.borrow()
    try:
        return clock(lambda: borrowed.start(work, threads).result())
    finally:
        team.give_back(borrowed)


def multiply_add_rates(threads: int, dtype: Any, rounds: int) -> list[float]:
    """GFLOP/s of each round."""
    dtype = np.dtype(dtype)
    call, turns = native.multiply_adds(dtype), int(SECONDS * 100e9 / native.flops_a_turn(dtype))
    data = [np.linspace(0.1, 0.5, 512, dtype=dtype) for _ in range(threads)]
    flops = native.flops_a_turn(dtype) * turns * threads
    together(lambda i: call(data[i].ctypes.data, 1000), threads)
    return [flops / together(lambda i: call(data[i].ctypes.data, turns), threads) / 1e9 for _ in range(rounds)]


@functools.lru_cache(maxsize=8)
def peak_gflops(threads: int | None = None, dtype: Any = np.float32) -> float:
    """The limit of multiply-adds on so many threads: the best of 15 rounds, measured once.

    By default that of the machine: the better of one thread and one for each core, for two that are halves of one real
    core have no more between them than one alone.
    """
    if threads is None:
        return max(peak_gflops(n, dtype) for n in (1, cores()))
    return max(multiply_add_rates(threads, dtype, 15))


def make_limit(flops: int, threads: int | None = None) -> Peer:
    """Not a training: multiply-adds in registers alone, as many as `flops` an epoch, on all cores by default.

    As one of the peers it is timed in the same rounds, so it tells what the machine had left for them at that time.
    """
    threads, dtype = threads or cores(), np.dtype(np.float32)
    call, data = native.multiply_adds(dtype), [np.linspace(0.1, 0.5, 512, dtype=dtype) for _ in range(threads)]

    def timed(epochs: int) -> float:
        turns = max(1, round(flops * epochs / threads / native.flops_a_turn(dtype)))
        return together(lambda i: call(data[i].ctypes.data, turns), threads)

    return Peer(timed)


def memory_rates(kind: str, threads: int, nbytes: int, rounds: int) -> list[float]:
    """GB/s of each round; every thread has its own part, `nbytes` in all."""
    call = native.read() if kind == "read" else native.copy()
    step = native.UNROLLED * native.lanes_of(np.float32)
    count = nbytes // 4 // threads // step * step
    # each thread touches its own memory first, which settles where the pages lie
    sources: list[Any] = [None] * threads
    targets: list[Any] = [None] * threads

    def touch(i: int) -> None:
        sources[i] = np.ones(count + 16, np.float32)
        targets[i] = np.zeros((count if kind == "copy" else 64) + 16, np.float32)

    together(touch, threads)
    places = [tuple(x.ctypes.data + -x.ctypes.data % 64 for x in pair) for pair in zip(sources, targets)]
    moved = 4 * count * threads * (2 if kind == "copy" else 1)

    def run(times: int) -> float:
        return together(lambda i: call(places[i][0], count, places[i][1], times), threads)

    times = max(1, int(SECONDS / (run(8) / 8)))
    return [moved * times / run(times) / 1e9 for _ in range(rounds)]


def last_cache() -> int:
    """Bytes of the largest cache, where Linux tells; else 64 MiB."""
    sizes = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        sizes.append(int(text[:-1]) * {"K": 2**10, "M": 2**20}[text[-1]])
    return max(sizes, default=64 * MIB)


def free_memory() -> int:
    """Bytes that can be had, where the system tells; else 4 GiB."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 4096 * MIB


def barrier_times(threads: int, rounds: int) -> list[float]:
    """Microseconds a barrier in each round, when nobody is late."""
    call, count = native.barriers(), 20_000

    def run() -> float:
        cells = Cells()
        return together(lambda i: call(cells.address, i, threads, count), threads)

    run()
    return [1e6 * run() / count for _ in range(rounds)]


def wake_times(threads: int, rounds: int) -> list[float]:
    """Microseconds to hand work that is nothing to a team and to have it back."""
    return [1e6 * sum(together(lambda i: None, threads) for _ in range(50)) / 50 for _ in range(rounds)]


def nested_tree() -> Any:
    """20 arrays of 4 numbers in dicts, lists and tuples."""
    arrays = iter(np.full(4, float(i), np.float32) for i in range(20))
    return {f"layer{i}": [{"w": next(arrays), "b": next(arrays)}, (next(arrays), next(arrays))] for i in range(5)}


def calls() -> Iterator[tuple[str, Callable[[], Any]]]:
    """The Python calls whose price is told."""
    x = np.arange(4, dtype=np.float32)
    one, many, tree = rg.jit(lambda x: x + 1), rg.jit(lambda t: rg.tree.tree_map(lambda x: x + 1, t)), nested_tree()
    yield "x + 1 of 4 numbers, rg.jit", lambda: one(x)
    yield "the same, NumPy", lambda: x + 1
    yield "20 arrays of 4 in a tree, rg.jit", lambda: many(tree)
    yield "the same, NumPy and tree_map", lambda: rg.tree.tree_map(lambda x: x + 1, tree)
    try:
        import jax
    except ImportError:
        return
    jax.config.update("jax_platforms", "cpu")
    jax_one, jax_many = jax.jit(lambda x: x + 1), jax.jit(lambda t: jax.tree.map(lambda x: x + 1, t))
    yield "x + 1 of 4 numbers, jax.jit", lambda: jax_one(x).block_until_ready()
    yield "20 arrays of 4 in a tree, jax.jit", lambda: jax.block_until_ready(jax_many(tree))


def call_time(f: Callable[[], Any], times: int) -> float:
    """Microseconds of one call."""
    return 1e6 * clock(lambda: [f() for _ in range(times)]) / times


def _row(case: str, name: str, values: list[float], best: Callable[[list[float]], float]) -> Row:
    return Row(case, name, *quartiles(values), None, {"best": f"{best(values):.3g}"})


def measure(rounds: int = 7, *, quick: bool = False, peers: Sequence[str] | None = None) -> list[Row]:
    """The rows of the tables; `peers` are those of `NAMES`."""
    wanted, rows = peers or list(NAMES), []
    counts = sorted({1, cores()})
    many = {n: "one thread" if n == 1 else f"{n} threads" for n in counts}
    if "multiply-adds" in wanted:
        for dtype in ("float32", "float64"):
            for n in counts:
                name = f"{dtype}, {many[n]}"
                rows.append(_row("Multiply-adds in registers, GFLOP/s", name, multiply_add_rates(n, dtype, rounds), max))
    if "memory" in wanted:
        far = min(2 * last_cache(), free_memory() // 8) // (4 if quick else 1)
        for place, sizes in {"memory": (far, far), "L2": (MIB // 2, MIB // 2 * cores())}.items():
            for kind in ("read", "copy"):
                for n in counts:
                    nbytes = sizes[0] if n == 1 else sizes[1]
                    name = f"{kind}, {place}, {nbytes / MIB:.3g} MiB, {many[n]}"
                    rows.append(_row("Memory, GB/s", name, memory_rates(kind, n, nbytes, rounds), max))
    if "waiting" in wanted:
        case = "Waiting, µs"
        for n in counts:
            rows.append(_row(case, f"a barrier, {many[n]}", barrier_times(n, rounds), min))
        rows.append(_row(case, f"to wake a team, {many[counts[-1]]}", wake_times(counts[-1], rounds), min))
        for name, f in calls():
            f()
            values = [call_time(f, 200 if quick else 2000) for _ in range(rounds)]
            rows.append(_row(case, f"a call: {name}", values, min))
    return rows


if __name__ == "__main__":
    run_script(__doc__, NAMES, measure, UNIT)
