"""All comparisons as one Markdown page.

    python -m benchmarks [--rounds 7] [--quick] [--out docs/performance.md]
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import harness  # noqa: E402
import import_time  # noqa: E402
import mlp  # noqa: E402
import per_example  # noqa: E402
import pure_sgd  # noqa: E402

SCRIPTS = (pure_sgd, mlp, per_example, import_time)


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


def page(rounds: int, quick: bool) -> str:
    """The Markdown text; progress goes to stderr."""
    parts = [
        "# Performance",
        f"Written by `python -m benchmarks` on: {machine()}",
        "Medians and quartiles of rounds in which the peers alternate. Machines differ: quote the ratios.",
    ]
    for script in SCRIPTS:
        name = Path(script.__file__).name
        print(f"{name} ...", file=sys.stderr, flush=True)
        title, rest = script.__doc__.split("\n", 1)
        notes = rest.strip().split("\n\n", 1)[1]
        count = max(rounds, 11) if script is import_time else rounds
        tables = harness.markdown(script.measure(count, quick=quick), script.UNIT)
        parts += [f"## {title.rstrip('.')}", notes, tables]
    print("matmul.py ...", file=sys.stderr, flush=True)
    command = [sys.executable, str(HERE / "matmul.py"), "--set", "training", "--rounds", str(3 if quick else rounds)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"matmul.py: skipped, it fails: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
    else:
        parts += ["## The product kernels against OpenBLAS, GFLOP/s on one thread", f"```text\n{done.stdout.rstrip()}\n```"]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each script, by default 7")
    parser.add_argument("--quick", action="store_true", help="shorter rounds: noisier figures")
    parser.add_argument("--out", type=Path, help="the file to write; by default the page is printed")
    arguments = parser.parse_args()
    text = page(arguments.rounds, arguments.quick)
    if arguments.out is None:
        print(text, end="")
    else:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
