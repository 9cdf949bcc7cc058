"""Milliseconds of `import retrograde` in a fresh process, against `import numpy`; PyTorch and JAX beside it.

    python benchmarks/import_time.py [--rounds 15] [--quick] [--peers retrograde,numpy]

Processes alternate; the time is that of the import statement, measured inside the process, so without the interpreter's own
start. A process of each is run first and not counted, so that files are in the machine's cache.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence

from harness import SOURCE, Row, quartiles, run_script

UNIT = "ms"
NAMES = {"retrograde": "import retrograde", "numpy": "import numpy", "torch": "import torch", "jax": "import jax"}
CODE = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


def import_seconds(name: str) -> float:
    """Seconds of one import in a new process, with the sources beside this folder."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", CODE.format(name)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


def measure(rounds: int = 15, *, quick: bool = False, peers: Sequence[str] | None = None) -> list[Row]:
    """The rows of the table; `quick` times the slow imports in every fourth round only."""
    present = []
    for name in peers or NAMES:
        if importlib.util.find_spec(name) is None:
            print(f"{name}: skipped, it is not installed", file=sys.stderr)
        else:
            present.append(name)
            import_seconds(name)
    times: dict[str, list[float]] = {name: [] for name in present}
    for i in range(rounds):
        for name in present:
            if not quick or i % 4 == 0 or name in ("retrograde", "numpy"):
                times[name].append(1e3 * import_seconds(name))
    found = {name: quartiles(values) for name, values in times.items()}
    rows = []
    for name, (median, low, high) in found.items():
        ratio = median / found["retrograde"][0] if "retrograde" in found else None
        more = f"{median - found['numpy'][0]:+.0f}" if "numpy" in found and name != "numpy" else ""
        rows.append(Row("Import, fresh process", NAMES[name], median, low, high, ratio, {"ms over numpy": more}, name))
    return rows


if __name__ == "__main__":
    run_script(__doc__, NAMES, measure, UNIT, default_rounds=15)
