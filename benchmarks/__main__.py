"""All comparisons as one Markdown page.

    python -m benchmarks [--rounds 7] [--quick] [--out docs/performance.md]

Each script runs in a process of its own, one after another. Beside the page, `--out` writes the figure of growth, with the
page's name and `-growth.svg`.
"""

from __future__ import annotations

import argparse
import ast
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import harness  # noqa: E402

SCRIPTS = (
    "pure_sgd", "mlp", "lenet", "full_batch", "deep", "starts", "sweep", "recurrence", "lstm", "tiny_transformer", "per_example",
    "transforms", "sklearn_swap", "first_result", "import_time", "limits", "growth",
)  # fmt: skip
OURS = {"retrograde", "retrograde-disk", "retrograde-kept"}
ASIDE = harness.ASIDE | OURS | {"mean", "fill", "loop", "numpy"}  # not to be called a peer
MACHINE = "limits"  # the script whose tables are of the machine, not of a run


def machine() -> str:
    """The processor, its cores, and the versions of what is compared."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = [f"Python {platform.python_version()}"]
    for name in ("numpy", "scipy", "scikit-learn", "llvmlite", "torch", "jax"):
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{name} not installed")
    return f"{model}, {cores} cores, {platform.system()}. {', '.join(versions)}."


def run(name: str, *arguments: str) -> str | None:
    """What a script prints; None if it fails, which stderr tells."""
    print(f"{name} ...", file=sys.stderr, end=" ", flush=True)
    start = time.perf_counter()
    done = subprocess.run([sys.executable, str(HERE / f"{name}.py"), *arguments], stdout=subprocess.PIPE, text=True)
    how = f"fails with {done.returncode}" if done.returncode else "done"
    print(f"{how} after {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return None if done.returncode else done.stdout


def notes_of(name: str) -> tuple[str, str]:
    """The title and what is timed, from the script's docstring."""
    doc = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text())) or name
    title, _, rest = doc.partition("\n")
    return title.rstrip("."), rest.strip().partition("\n\n")[2]


def summary(tables: list[tuple[list[harness.Row], str]]) -> str:
    """A line a run: retrograde's time, the best peer's, how many times ahead, and the part of the machine's limit."""
    lines = ["| run | retrograde | best peer | its time | times ahead | of limit |", "| --- | ---: | --- | ---: | ---: | ---: |"]
    for rows, unit in tables:
        for case, found in harness.cases_of(rows).items():
            ours = next((row for row in found if row.key == "retrograde"), None)
            peers = [row for row in found if row.key and row.key not in ASIDE]
            if ours is None or not peers:
                continue
            best = min(peers, key=lambda row: row.median)
            measured = unit.split()[0]
            lines.append(
                f"| {case} | {harness.short(ours.median)} {measured} | {best.peer} | {harness.short(best.median)} {measured} "
                f"| {best.median / ours.median:.2f} | {ours.cells.get('of limit', '')} |"
            )
    return "\n".join(lines)


def page(rounds: int, quick: bool, figure: Path | None) -> str:
    """The Markdown text; progress goes to stderr."""
    tables, parts = [], []
    quickly = ["--quick"] if quick else []
    for name in SCRIPTS:
        title, notes = notes_of(name)
        parts.append(f"## {title}")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.json"
            plot = ["--plot", str(figure)] if name == "growth" and figure is not None else []
            printed = run(name, "--rounds", str(rounds), "--json", str(path), *quickly, *plot)
            if printed is None:
                parts.append("This script failed, so its figures are missing here.")
                continue
            rows, unit = harness.load(path)
        if plot and figure is not None:
            parts.append(f"![Time of an update and operations by time, against what grows]({figure.name})")
        parts += [notes, harness.markdown(rows, unit)]
        tables += [] if name == MACHINE else [(rows, unit)]
    parts.append("## The product kernels against OpenBLAS, GFLOP/s on one thread")
    printed = run("matmul", "--set", "training", "--rounds", str(min(3, rounds) if quick else rounds))
    parts.append("This script failed." if printed is None else f"```text\n{printed.rstrip()}\n```")
    return "\n\n".join([*_head(quick, figure), summary(tables), *parts]) + "\n"


def _head(quick: bool, figure: Path | None) -> list[str]:
    unset = " and ".join(f"`{name}`" for name in harness.STEERING)
    head = [
        "# Performance",
        f"Written by `python -m benchmarks{' --quick' if quick else ''}` on: {machine()}",
        "Medians and quartiles of rounds in which the peers alternate. Machines differ: quote the ratios. All scripts run "
        f"without the variables {unset}, so that the BLAS of every library chooses its kernels by the processor it finds.",
    ]
    if quick:
        head.append("Short rounds and few sizes (`--quick`): these figures are noisy.")
    words = "Times ahead is the best peer's time over retrograde's; the limit is that of this machine, all cores."
    head += ["## At a glance", words]
    if figure is not None:
        head[-1] += f" How cost grows is [drawn here]({figure.name})."
    return head


def main() -> None:
    """Print the page, or write it."""
    harness.unsteered()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each script, by default 7")
    parser.add_argument("--quick", action="store_true", help="shorter rounds: noisier figures")
    parser.add_argument("--out", type=Path, help="the file to write; by default the page is printed")
    arguments = parser.parse_args()
    figure = arguments.out.with_name(f"{arguments.out.stem}-growth.svg") if arguments.out is not None else None
    if figure is not None and importlib.util.find_spec("matplotlib") is None:
        print("no figure: it needs matplotlib (the extra `plot`)", file=sys.stderr)
        figure = None
    text = page(arguments.rounds, arguments.quick, figure)
    if arguments.out is None:
        print(text, end="")
    else:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
