"""How the cost of an update grows with width, depth, batch and number of parameters, beside the machine's limit and JAX.

    python benchmarks/growth.py [--rounds 7] [--quick] [--peers retrograde,limit] [--axes width,depth] [--fine] [--plot FILE.svg]

ReLU, squared error, Adam(1e-3), float32, shuffled: one table an axis, a line a size. Rounds of the peers alternate; times are
those of steady state, without compilation, whose seconds have a column. The limit is the longer of two things timed in the
same rounds, on all cores: the multiply-adds of the update's products in registers alone, and reading and writing parameters
and both of Adam's averages once (24 bytes a parameter). "Per operation" is the time of a floating-point operation of the
products against that of the next smaller size: above 1 it has become dearer; above 1.3 it is marked with ▲, unless the limit
grew as much. `--fine` adds sizes that are no powers of two. `--plot` draws all axes, log-log.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import native
from harness import LIMIT, Peer, Row, interleave, make_peers, print_text, quartiles, save, unsteered
from limits import cores, make_limit, together
from peers import Task, make_jax, make_retrograde

UNIT = "µs an update"
NAMES = {"retrograde": "retrograde, rg.fit", LIMIT: "the machine's limit", "jax-scan": "JAX, lax.scan over an epoch"}
CLIFF = 1.3  # growth of the time per operation that is marked


@dataclass(frozen=True)
class Axis:
    """What grows: `sizes` of the network and the batch as functions of n; `odd` are the sizes of `--fine`."""

    name: str
    words: str
    network: Callable[[int], tuple[tuple[int, ...], int]]
    values: tuple[int, ...]
    odd: tuple[int, ...]


def _octaves(low: int, high: int) -> tuple[int, ...]:
    """Powers of two from `low` to `high`, and what lies half-way between them."""
    powers = [2**i for i in range(low.bit_length() - 1, high.bit_length())]
    return tuple(sorted({*powers, *(3 * p // 2 for p in powers[:-1])}))


AXES = {
    "width": Axis("width", "four layers of n, batch 32", lambda n: ((n,) * 5, 32), _octaves(1, 1024),
                  (5, 7, 9, 15, 17, 31, 33, 63, 65, 100, 127, 129, 255, 257, 500, 1000)),
    "depth": Axis("depth", "n layers of 32, batch 32", lambda n: ((32,) * (n + 1), 32), _octaves(1, 64), (5, 7, 9, 10, 11, 13)),
    "batch": Axis("batch", "64-64-64-10, batch n", lambda n: ((64, 64, 64, 10), n), _octaves(1, 8192),
                  (5, 7, 9, 15, 17, 31, 33, 63, 65, 100, 127, 129, 255, 257, 500, 1000)),
    "parameters": Axis("parameters", "32-n-1, batch 32: 34 n + 1 parameters", lambda n: ((32, n, 1), 32),
                       tuple(2**i for i in range(18)), (3, 7, 9, 17, 33, 100, 1000, 10_000, 100_000)),
}  # fmt: skip


def make_task(sizes: tuple[int, ...], batch: int) -> Task:
    """Smooth functions of normal points; at least 1,024 of them and eight updates an epoch."""
    rng = np.random.default_rng(0)
    points = batch * max(8, -(-1024 // batch))
    X = rng.normal(size=(points, sizes[0])).astype(np.float32)
    Y = np.tanh(X @ rng.normal(size=(sizes[0], sizes[-1])) / np.sqrt(sizes[0]))
    return Task(sizes, X, Y.astype(np.float32), batch, "mse", True, 1e-3)


def make_traffic(nbytes: int, updates: int) -> Peer:
    """Not a training: `nbytes` read and written in place, so many times an epoch, shared among all cores."""
    step = native.UNROLLED * native.lanes_of(np.float32)
    count = -(-nbytes // 4 // cores() // step) * step
    call, parts = native.copy(), [np.zeros(count + 16, np.float32) for _ in range(cores())]

    def move(i: int, times: int) -> None:
        place = parts[i].ctypes.data + -parts[i].ctypes.data % 64
        call(place, count, place, times)

    return Peer(lambda epochs: together(lambda i: move(i, epochs * updates), cores()))


def parameters_of(sizes: Sequence[int]) -> int:
    """Weights and biases."""
    return sum((a + 1) * b for a, b in zip(sizes, sizes[1:]))


def measure_one(axis: Axis, n: int, rounds: int, seconds: float, wanted: Sequence[str]) -> dict[str, Any]:
    """Figures of one size: for each peer the microseconds an update of every round, and what the work is."""
    sizes, batch = axis.network(n)
    task, count = make_task(sizes, batch), parameters_of(sizes)
    makers: dict[str, Callable[[], Peer]] = {
        "retrograde": partial(make_retrograde, task),
        LIMIT: partial(make_limit, task.product_flops * task.updates),
        "traffic": partial(make_traffic, 12 * count, task.updates),
        "jax-scan": partial(make_jax, task, True),
    }
    peers = make_peers(makers, [name for name in makers if name in wanted or (name == "traffic" and LIMIT in wanted)])
    times = interleave(peers, rounds, seconds, most=1 << 14)
    micro = {name: [1e6 * t / task.updates for t in found] for name, (found, _) in times.items()}
    if LIMIT in micro:
        micro[LIMIT] = max(micro[LIMIT], micro.pop("traffic"), key=lambda found: quartiles(found)[0])
    compiling = peers["retrograde"].compile_seconds() if "retrograde" in peers else None
    return {"n": n, "flops": task.product_flops, "parameters": count, "micro": micro, "compile": compiling}


def values_of(axis: Axis, quick: bool, fine: bool) -> list[int]:
    """The sizes to take."""
    values = axis.values[:: 4 if len(axis.values) > 18 else 3] if quick else axis.values
    return sorted({*values, *(axis.odd if fine else ())})


def rows_of(axis: Axis, figures: Sequence[dict[str, Any]]) -> list[Row]:
    """A line a size: retrograde's time (the first peer's, if it does not take part) and what the others need."""
    rows: list[Row] = []
    before: dict[str, Any] | None = None
    for found in figures:
        medians = {name: quartiles(values)[0] for name, values in found["micro"].items()}
        first = next(iter(medians))
        cells = {"parameters": f"{found['parameters']:,}", "GFLOP/s": f"{found['flops'] / medians[first] / 1e3:.1f}"}
        if LIMIT in medians:
            cells |= {"limit µs": f"{medians[LIMIT]:.3g}", "of limit": f"{medians[LIMIT] / medians[first]:.0%}"}
        step = ""
        if before is not None:
            dearer = _per_operation(found, medians[first]) / _per_operation(before, before["medians"][first])
            limit = medians[LIMIT] / before["medians"][LIMIT] * before["flops"] / found["flops"] if LIMIT in medians else 1
            step = f"{dearer:.2f}{' ▲' if dearer > CLIFF * max(1, limit) else ''}"
        cells["per operation"] = step
        cells["compile s"] = "" if found["compile"] is None else f"{found['compile']:.2f}"
        ratio = medians["jax-scan"] / medians[first] if "jax-scan" in medians else None
        cells |= {"JAX × retrograde": f"{ratio:.2f}"} if ratio else {}
        case, line = f"{axis.name.capitalize()}: {axis.words}", f"{found['n']:,}"
        rows.append(Row(case, line, *quartiles(found["micro"][first]), None, cells))
        before = {**found, "medians": medians}
    return rows


def _per_operation(found: dict[str, Any], micro: float) -> float:
    return micro / found["flops"]


def measure_figures(
    rounds: int, quick: bool, wanted: Sequence[str], axes: Sequence[str], fine: bool = False
) -> dict[str, list[dict[str, Any]]]:
    """The figures of each axis, by its name."""
    seconds = 0.01 if quick else 0.03
    return {
        name: [measure_one(AXES[name], n, rounds, seconds, wanted) for n in values_of(AXES[name], quick, fine)] for name in axes
    }


def measure(rounds: int = 7, *, quick: bool = False, peers: Sequence[str] | None = None) -> list[Row]:
    """The rows of the tables; `quick` takes few sizes and shorter rounds."""
    figures = measure_figures(rounds, quick, peers or list(NAMES), list(AXES))
    return [row for name, found in figures.items() for row in rows_of(AXES[name], found)]


def main() -> None:
    """The command line."""
    unsteered()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="few sizes, shorter rounds")
    parser.add_argument("--fine", action="store_true", help="more sizes, odd ones among them")
    parser.add_argument("--peers", default=",".join(NAMES), help=f"some of {','.join(NAMES)}")
    parser.add_argument("--axes", default=",".join(AXES), help=f"some of {','.join(AXES)}")
    parser.add_argument("--plot", type=Path, help="draw into this file (SVG, PNG, PDF); needs matplotlib")
    parser.add_argument("--json", type=Path, help="write the rows there too")
    arguments = parser.parse_args()
    figures = measure_figures(
        arguments.rounds, arguments.quick, arguments.peers.split(","), arguments.axes.split(","), arguments.fine
    )
    rows = [row for name, found in figures.items() for row in rows_of(AXES[name], found)]
    print_text(rows, UNIT)
    if arguments.json is not None:
        save(rows, UNIT, arguments.json)
    if arguments.plot is not None:
        from growth_plot import draw

        draw({AXES[name].words: found for name, found in figures.items()}, list(figures), arguments.plot)


if __name__ == "__main__":
    main()
