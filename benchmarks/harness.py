"""What the comparisons share: peers timed in interleaved rounds, and their table as text or Markdown.

A peer trains one network, each time from the same first parameters. `timed` gives the seconds of some epochs, shuffled,
without what comes before them; `loss_in_order` takes the points as they lie, so that all peers must reach the same loss.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[1] / "src"
sys.path.insert(0, str(SOURCE))

LIMIT = "limit"  # the peer that is the machine's limit
ASIDE = {LIMIT, "products", "products-1"}  # beside the peers in a table, but nobody's training
STEERING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # they choose the kernels of OpenBLAS, which is in NumPy and SciPy
PAUSE = 0.2  # seconds before a timing: idle threads of OpenBLAS and OpenMP spin for up to 0.1 s after a peer's turn


class Missing(Exception):
    """The peer cannot run here; the text says why."""


@dataclass
class Peer:
    """One way to train the network."""

    timed: Callable[[int], float]
    loss: Callable[[], float | None] = lambda: None
    loss_in_order: Callable[[int], float | None] = lambda epochs: None
    compile_seconds: Callable[[], float | None] = lambda: None


@dataclass
class Row:
    """A line of a table: the median and quartiles of the rounds, in the script's unit, and cells of its own.

    `key` is the peer's short name where it is one.
    """

    case: str
    peer: str
    median: float
    low: float
    high: float
    ratio: float | None
    cells: dict[str, str] = field(default_factory=dict)
    key: str = ""


def unsteered() -> None:
    """Start this process anew without the variables of `STEERING`: they may slow the peers that multiply by OpenBLAS."""
    found = [name for name in STEERING if name in os.environ]
    if found:
        print(f"runs without {' and '.join(found)}, so that OpenBLAS chooses by the processor", file=sys.stderr, flush=True)
        kept = {name: value for name, value in os.environ.items() if name not in STEERING}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], kept)


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, lower and upper quartile."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, low, high


def clock(f: Callable[[], Any]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def make_peers(makers: dict[str, Callable[[], Peer]], wanted: Sequence[str] | None) -> dict[str, Peer]:
    """The peers that can run here, warmed up; a line to stderr for each that cannot."""
    found = {}
    for name in wanted or makers:
        try:
            found[name] = makers[name]()
        except (Missing, ImportError) as error:
            print(f"{name}: skipped, {error}", file=sys.stderr)
    return found


def interleave(peers: dict[str, Peer], rounds: int, seconds: float, most: int) -> dict[str, tuple[list[float], int]]:
    """For each peer the seconds an epoch of every round, and epochs a round: about `seconds` of them, `most` at most."""
    epochs = {}
    for name, peer in peers.items():
        peer.timed(1)  # compilation and first touches
        count = 1
        while (took := peer.timed(count)) < seconds / 4 and count < most:
            count = min(most, 16 * count)
        epochs[name] = min(most, max(1, round(count * seconds / took)))
    times: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, peer in peers.items():
            time.sleep(PAUSE)
            times[name].append(peer.timed(epochs[name]) / epochs[name])
    return {name: (times[name], epochs[name]) for name in peers}


def check_in_order(peers: dict[str, Peer], epochs: int, tolerance: float) -> dict[str, float | None]:
    """Losses after `epochs` unshuffled epochs from the same parameters; raises where two of them differ."""
    losses = {name: peer.loss_in_order(epochs) for name, peer in peers.items()}
    known = {name: value for name, value in losses.items() if value is not None}
    if known and max(known.values()) - min(known.values()) > tolerance * max(known.values()):
        raise SystemExit(f"peers that do the same work disagree on the loss after {epochs} unshuffled epochs: {known}")
    return losses


def compare(
    case: str, makers: dict[str, Callable[[], Peer]], names: dict[str, str], wanted: Sequence[str] | None, *, rounds: int,
    seconds: float, most_epochs: int, updates: int, in_order: int, tolerance: float,
    cells: Callable[[float], dict[str, str]] = lambda micro: {},
) -> list[Row]:  # fmt: skip
    """Rows of microseconds an update; `updates` are those of an epoch, `cells` the script's own of the median.

    A peer called `LIMIT` is what the others cannot pass: each row tells its part of that. "Loss in order" is that after
    `in_order` epochs without shuffling, checked to be the same for all; "loss of a round" that after the epochs of the last
    round.
    """
    peers = make_peers(makers, wanted)
    losses = check_in_order(peers, in_order, tolerance)
    times = interleave(peers, rounds, seconds, most_epochs)
    rows, base = [], None
    for name, peer in peers.items():
        median, low, high = quartiles([1e6 * t / updates for t in times[name][0]])
        base = median if name == "retrograde" else base
        own = cells(median) | {
            "compile s": _number(peer.compile_seconds(), ".2f"),
            "loss in order": _number(losses[name], ".5f"),
            "loss of a round": _number(peer.loss(), ".5f"),
            "epochs a round": str(times[name][1]),
        }
        rows.append(Row(case, names[name], median, low, high, None, own, name))
    limit = next((row.median for row, name in zip(rows, peers) if name == LIMIT), None)
    for row in rows:
        row.ratio = row.median / base if base else None
        row.cells |= {"of limit": f"{limit / row.median:.0%}"} if limit else {}
    return rows


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def table_of(rows: Sequence[Row], unit: str) -> list[list[str]]:
    """Head and lines, as text; without the column of ratios where there are none."""
    compared = any(row.ratio is not None for row in rows)
    head = ["", unit, "quartiles", *(["× retrograde"] if compared else []), *rows[0].cells]
    lines = []
    for row in rows:
        ratio = [f"{row.ratio:.2f}" if row.ratio is not None else ""] if compared else []
        spread = f"{short(row.low)} to {short(row.high)}"
        lines.append([row.peer, short(row.median), spread, *ratio, *row.cells.values()])
    return [head, *lines]


def short(value: float) -> str:
    """Three significant digits, no exponent."""
    if value == 0:
        return "0"
    return f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def cases_of(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each case, in order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.case, []).append(row)
    return found


def print_text(rows: Sequence[Row], unit: str) -> None:
    """A table a case, in columns."""
    for case, lines in cases_of(rows).items():
        table = table_of(lines, unit)
        widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
        print(f"\n{case}")
        for line in table:
            print("  ".join([line[0].ljust(widths[0]), *(text.rjust(w) for text, w in zip(line[1:], widths[1:]))]).rstrip())


def markdown(rows: Sequence[Row], unit: str) -> str:
    """A Markdown table a case."""
    parts = []
    for case, lines in cases_of(rows).items():
        head, *body = table_of(lines, unit)
        rule = ["---", *["---:"] * (len(head) - 1)]
        parts.append("\n".join([f"### {case}", "", *("| " + " | ".join(line) + " |" for line in [head, rule, *body])]))
    return "\n\n".join(parts)


def run_script(
    doc: str, names: dict[str, str], measure: Callable[..., list[Row]], unit: str, *, default_rounds: int = 7,
    optional: Sequence[str] = (),
) -> None:  # fmt: skip
    """The command line of a script: `--rounds`, `--quick`, `--peers`, and a flag for each optional peer."""
    unsteered()
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the rows there too")
    parser.add_argument("--rounds", type=int, default=default_rounds, help=f"rounds, by default {default_rounds}")
    parser.add_argument("--quick", action="store_true", help="shorter rounds: noisier figures")
    parser.add_argument("--peers", help=f"some of {','.join(names)}; by default all that are installed")
    for name in optional:
        parser.add_argument(f"--{name}", dest=name, action="store_true", help=f"with the peer {names[name]}")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error(f"--rounds must be at least 1; it is {arguments.rounds}")
    wanted = arguments.peers.split(",") if arguments.peers else [name for name in names if name not in optional]
    wanted += [name for name in optional if getattr(arguments, name) and name not in wanted]
    unknown = [name for name in wanted if name not in names]
    if unknown:
        parser.error(f"no peer is called {unknown[0]!r}; there are {', '.join(names)}")
    rows = measure(arguments.rounds, quick=arguments.quick, peers=wanted)
    if rows:
        print_text(rows, unit)
    if arguments.json is not None:
        save(rows, unit, arguments.json)


def save(rows: Sequence[Row], unit: str, path: Path) -> None:
    """Rows and their unit, for the page."""
    path.write_text(json.dumps({"unit": unit, "rows": [dataclasses.asdict(row) for row in rows]}))


def load(path: Path) -> tuple[list[Row], str]:
    """What `save` wrote."""
    found = json.loads(path.read_text())
    return [Row(**row) for row in found["rows"]], found["unit"]
