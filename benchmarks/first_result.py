"""First result in a fresh process: import, trace, compile and one epoch, with a cold and a warm cache, against the peers.

    python benchmarks/first_result.py [--rounds 7] [--quick] [--peers retrograde,torch]

784-256-128-10, batch 128, Adam(1e-3), 12,800 points, float32. Processes run in turn. The time is that of the import, of
building (network, tracing, compiling) and of the first epoch together, measured inside the process: without the interpreter's
own start and without reading the points. Cold: retrograde finds an empty cache folder (and writes to it), JAX has no
compilation cache. Warm: a process before this one has filled the folder, or JAX's persistent compilation cache. PyTorch
(eager) and scikit-learn keep nothing, so their one figure stands in both tables. "Compile step" is what retrograde takes from
the traced graph to code that can be called. Every peer's loss must have fallen below that of guessing.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness import SOURCE, STEERING, Row, quartiles, run_script
from mlp import make_task

UNIT = "ms"
NAMES = {
    "retrograde": "retrograde, rg.fit",
    "torch": "PyTorch, eager",
    "jax": "JAX, one jitted step a call",
    "jax-scan": "JAX, lax.scan over an epoch",
    "sklearn": "scikit-learn, MLPClassifier",
}
MODULES = {"jax-scan": "jax"}  # where the module has another name than the peer
CACHING = ("retrograde", "jax", "jax-scan")
CHILD = Path(__file__).with_name("first_result_child.py")
GUESSING = float(np.log(10))


def environment(name: str, cache: str | None) -> dict[str, str]:
    """That of a process; `cache` is the folder of its cache, if it has one."""
    kept = {key: value for key, value in os.environ.items() if key not in STEERING and not key.startswith("JAX_")}
    kept |= {"PYTHONPATH": str(SOURCE), "JAX_PLATFORMS": "cpu"}
    kept.pop("RETROGRADE_CACHE", None)
    if name == "retrograde":
        kept["RETROGRADE_CACHE_DIR"] = cache or ""
    elif cache is not None:
        kept |= {
            "JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }  # fmt: skip
    return kept


def first_result(name: str, points: str, cache: str | None) -> dict[str, float]:
    """The seconds of one fresh process, by parts."""
    command = [sys.executable, str(CHILD), name, points]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(name, cache))
    if done.returncode:
        raise SystemExit(f"{name} fails: {done.stderr.strip()[-400:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    if not 0 < found["loss"] < GUESSING:
        raise SystemExit(f"{name} has not learned: its loss is {found['loss']:.3f}")
    return {**found, "all": found["import"] + found["build"] + found["epoch"]}


def measure(rounds: int = 7, *, quick: bool = False, peers: Sequence[str] | None = None) -> list[Row]:
    """The rows of both tables; `quick` takes three rounds at most."""
    present = [name for name in peers or NAMES if importlib.util.find_spec(MODULES.get(name, name))]
    for name in set(peers or NAMES) - set(present):
        print(f"{name}: skipped, it is not installed", file=sys.stderr)
    kinds = [(name, kind) for name in present for kind in (("cold", "warm") if name in CACHING else ("cold",))]
    found: dict[tuple[str, str], list[dict[str, float]]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        task = make_task((784, 256, 128, 10), 12_800, 128)
        np.save(home / "X.npy", task.X)
        np.save(home / "y.npy", task.Y)
        for i in range(min(rounds, 3) + 1 if quick else rounds + 1):
            for name, kind in kinds:
                cache = None
                if kind == "warm" or name == "retrograde":
                    cache = str(home / f"{name}-{kind}{i if kind == 'cold' else ''}")
                result = first_result(name, folder, cache)
                if i:  # the first of each fills its cache, and the machine's own of files
                    found[name, kind].append(result)
    return [row for kind in ("cold", "warm") for row in _rows(kind, present, found)]


def _rows(kind: str, present: Sequence[str], found: dict[tuple[str, str], list[dict[str, float]]]) -> list[Row]:
    """A table."""
    rows, base = [], None
    for name in present:
        results = found.get((name, kind)) or found[name, "cold"]
        median, low, high = quartiles([1e3 * r["all"] for r in results])
        base = median if name == "retrograde" else base
        cells = {part: f"{quartiles([1e3 * r[part] for r in results])[0]:,.0f}" for part in ("import", "build", "epoch")}
        compiling = [1e3 * r["compile"] for r in results if "compile" in r]
        cells["compile step"] = f"{quartiles(compiling)[0]:,.0f}" if compiling else ""
        ratio = None if base is None else median / base
        case = f"First result of a fresh process, {kind} cache: 784-256-128-10, one epoch"
        rows.append(Row(case, NAMES[name], median, low, high, ratio, cells, key=name))
    return rows


if __name__ == "__main__":
    run_script(__doc__, NAMES, measure, UNIT)
