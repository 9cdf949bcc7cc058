"""The plan's peak is the arena a run takes, and the process grows by no more than that and what is given and returned."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ALLOWED = 20e6  # bytes beyond the promise: code, the compiler's own work, rounding to pages

CHILD = """
import json, sys
from pathlib import Path
import numpy as np
import retrograde as rg
from retrograde import nn, optim
from retrograde.runtime.team import get_threads


def resident(name):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])


def train(sizes, points, batch):
    layers = [layer for pair in zip(sizes, sizes[1:]) for layer in (nn.Linear(*pair), nn.ReLU())]
    net = nn.Sequential(*layers[:-1]).init(0)
    X = np.random.default_rng(0).normal(size=(points, sizes[0])).astype(np.float32)
    y = np.arange(points) % sizes[-1]
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    run = rg.fit(net, (X, y), loss="cross_entropy", optimizer=optim.Adam(1e-3), batch_size=batch, epochs=2)
    grown = resident("VmHWM") - before
    program = run.program
    had = X.nbytes + y.nbytes + sum(leaf.nbytes for leaf in rg.tree.tree_leaves(net))
    executable = program.executable
    return {
        "grown": grown, "peak": program.plan.peak, "promised": program.plan.peak + (get_threads() - 1) * program.sharing.scratch,
        "arenas": [arena.nbytes for arena in executable._arenas],
        "given": sum(t.nbytes for t in executable.inputs) - had, "returned": sum(t.nbytes for t in executable.outputs),
    }


train((8, 16, 3), 256, 32)  # modules, the compiler and the threads are there from now on
print(json.dumps(train(*json.loads(sys.argv[1]))))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system does not tell a process's peak anew")
@pytest.mark.parametrize(
    ("sizes", "points", "batch"), [((784, 256, 128, 10), 12_800, 128), ((1024, 2048, 2048, 1024), 2_048, 512)]
)
def test_a_run_takes_the_memory_that_its_plan_promises(sizes, points, batch):
    source = Path(__file__).resolve().parents[2] / "src"
    environment = {**os.environ, "PYTHONPATH": str(source), "RETROGRADE_CACHE": "0"}  # the warm-up compiles, whatever was before
    command = [sys.executable, "-c", CHILD, json.dumps([sizes, points, batch])]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["arenas"] == [found["promised"]]  # the plan's arena, and a team's scratch behind it
    allowed = found["promised"] + found["given"] + found["returned"] + ALLOWED
    assert found["grown"] <= allowed, f"{found}: {(found['grown'] - allowed) / 1e6:.1f} MB too many"
    assert found["grown"] >= found["promised"] / 2, f"the measurement sees too little: {found}"
