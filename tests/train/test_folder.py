"""A run's folder: checkpoints and logs, killed at any moment, damaged, and gone on with."""

import csv
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import killed
import numpy as np
import pytest

import retrograde as rg
from retrograde import nn, optim
from retrograde.errors import ModelError, ModelFileError
from retrograde.train import Checkpoints
from retrograde.train.lock import locked
from retrograde.tree import tree_leaves

RNG = np.random.default_rng(4)
X = RNG.normal(size=(40, 3))
Y = np.stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2]], 1)
NET = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
TIMES = ("seconds", "updates_per_second")


def train(epochs=6, **changes):
    settings = {"batch_size": 8, "validation": 0.25, "early_stopping": 50, "seed": 7, "optimizer": optim.Adam(0.01)}
    return rg.fit(NET, (X, Y), epochs=epochs, **(settings | {"compiled": False} | changes))


def bits(run):
    starts = sorted(run.starts, key=lambda r: r.seed) or [run]
    arrays = [tree_leaves((r.model, r.last, r.optimizer_state, r.history)) for r in starts]
    return [np.asarray(leaf).tobytes() for leaves in arrays for leaf in leaves]


def logged(folder):
    """The table and the lines, without times; both say the same."""
    with open(Path(folder) / "metrics.csv") as file:
        table = [{k: float(v) for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]
    lines = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
    assert all(line[name] > 0 for line in lines for name in TIMES)
    assert [{k: v for k, v in line.items() if k not in TIMES} for line in lines] == table
    return table


def names(folder):
    return sorted(p.name for p in Path(folder).iterdir())


@pytest.mark.parametrize("starts", [1, 3])
def test_a_run_goes_on_in_its_folder(tmp_path, starts):
    how = {"starts": starts, "compiled": starts == 1}
    whole = train(9, folder=tmp_path / "whole", **how)
    train(4, folder=tmp_path / "run", checkpoint={"epochs": 3, "keep": 9}, **how)
    kept = [f"checkpoint-0000000{e}.safetensors" for e in (0, 3, 4)]
    assert names(tmp_path / "run") == [*kept, "config.json", "log.jsonl", "metrics.csv"]
    assert [row["epoch"] for row in logged(tmp_path / "run")] == sorted(list(range(1, 5)) * starts)
    (tmp_path / "run" / kept[-1]).unlink()  # as if it had been killed after epoch 4 was logged and before it was kept
    again = train(9, resume=f"{tmp_path}/run/", **how)
    assert bits(again) == bits(whole) == bits(train(9, **how))
    assert logged(tmp_path / "run") == logged(tmp_path / "whole")
    columns = ["epoch", "loss", "val_loss"]
    assert list(logged(tmp_path / "run")[0]) == (["start", *columns] if starts > 1 else columns)
    assert [p for p in names(tmp_path / "run") if "checkpoint" in p] == [f"checkpoint-0000000{e}.safetensors" for e in (3, 9)]
    model, _ = rg.load(tmp_path / "run" / "checkpoint-00000009.safetensors")
    assert [a.tobytes() for a in tree_leaves(model)] == [a.tobytes() for a in tree_leaves(again.model)]


def test_the_description_of_a_run(tmp_path):
    train(2, folder=tmp_path, early_stopping=np.int64(50))
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["seed"] == 7 and config["batch_size"] == 8 and config["loss"] == "mse" and config["points"] == 30
    assert config["optimizer"].startswith("Adam(") and config["early_stopping"]["patience"] == 50
    assert config["network"] == NET.config() or config["network"]["type"] == "Sequential"
    assert config["versions"]["numpy"] == np.__version__
    with pytest.warns(UserWarning, match=r"batch_size was 8 and is 4"):
        train(3, resume=tmp_path, batch_size=4)


def test_all_settings_are_recorded(tmp_path):
    """Each that is changed when the run goes on is warned of, by its name and both values."""
    began = {"l2": 0.1, "augment": halved, "mixup": 0.2}
    train(2, folder=tmp_path, **began)
    for changes, says in (
        ({"l1": 0.5}, r"l1 was 0\.0 and is 0\.5"), ({"l2": 0.3}, r"l2 was 0\.1 and is 0\.3"),
        ({"penalty": small}, "penalty was None and is 'small'"), ({"mixup": None}, r"mixup was 0\.2 and is None"),
        ({"augment": None}, "augment was 'halved' and is None"), ({"sample_weight": np.ones(40)}, "sample_weight was False"),
    ):  # fmt: skip
        with pytest.warns(UserWarning, match=says):
            train(2, resume=tmp_path, **began | changes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            train(2, resume=tmp_path, **began)


def halved(x, key):
    return x * 0.5


def small(parameters, points):
    return 0.0 * np.sum(parameters[0].bias)


HOLD = """
import sys, time
from pathlib import Path
from retrograde.train.lock import locked

with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(100)
"""


def test_one_run_at_a_time_has_a_folder(tmp_path):
    """Another one in this process, or in another one, is refused, until that ends in any way."""
    told = []

    def another(history):
        for resume in (True, None):
            with pytest.raises(ModelError) as caught:
                train(3, folder=tmp_path, resume=resume)
            told.append(str(caught.value))

    train(2, folder=tmp_path, callbacks=[another])
    assert f"process {os.getpid()} on {socket.gethostname()} is training in {tmp_path}" in told[0]
    assert "run.lock" not in names(tmp_path)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(rg.__file__).parents[1]), *sys.path])}
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], env=environment, stdout=subprocess.PIPE)
    with process:
        process.stdout.readline()
        with pytest.raises(ModelError, match=f"process {process.pid} on"):
            train(3, resume=tmp_path)
        process.kill()
        process.wait()
    assert "run.lock" in names(tmp_path)
    assert train(3, resume=tmp_path).epochs == 3 and "run.lock" not in names(tmp_path)


@pytest.mark.parametrize("resume", [None, True])
def test_a_run_that_began_and_ended_meanwhile_is_not_written_over(tmp_path, monkeypatch, resume):
    """By another process, between a look at the folder and its lock."""

    def late(folder):
        monkeypatch.setattr("retrograde.train.driver.locked", locked)
        train(2, folder=folder)
        return locked(folder)

    monkeypatch.setattr("retrograde.train.driver.locked", late)
    with pytest.raises(ModelError, match="holds a run already"):
        train(3, folder=tmp_path, resume=resume)
    assert train(3, resume=tmp_path).epochs == 3


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path):
    whole = train(6)
    for damage in (lambda b: b[:-40], lambda b: b"", lambda b: b[:-3] + bytes([b[-3] ^ 1]) + b[-2:]):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        train(4, folder=folder, checkpoint={"epochs": 2})
        newest = folder / "checkpoint-00000004.safetensors"
        newest.write_bytes(damage(newest.read_bytes()))
        with pytest.warns(UserWarning, match=r"checkpoint-00000004\.damaged"):
            assert bits(train(6, resume=folder)) == bits(whole)
        assert [row["epoch"] for row in logged(folder)] == [1, 2, 3, 4, 5, 6]
    for path in folder.glob("checkpoint-*.safetensors"):
        path.write_bytes(b"")
    with pytest.warns(UserWarning), pytest.raises(ModelFileError, match=r"no checkpoint in .* is whole"):
        train(8, resume=folder)


def test_what_a_folder_refuses(tmp_path):
    train(1, folder=tmp_path / "run")
    for changes, error, says in (
        ({"folder": tmp_path / "run"}, ModelError, "holds a run already"), ({"resume": True}, ModelError, "give the folder"),
        ({"resume": f"{tmp_path}/rum/"}, ModelFileError, "no run's folder .*rum"),
        ({"resume": tmp_path / "run", "folder": tmp_path / "other"}, ModelError, "leave folder out"),
        ({"checkpoint": {"epochs": 1}}, ModelError, "give folder"),
        ({"folder": tmp_path / "a", "checkpoint": {"epoch": 1}}, ModelError, "epochs, seconds and keep"),
        ({"folder": tmp_path / "a", "checkpoint": {"epochs": 0}}, ModelError, "at least 1; it is 0"),
        ({"folder": tmp_path / "a", "checkpoint": {"seconds": -1}}, ModelError, "at least 0"),
        ({"resume": tmp_path / "run", "seed": 8}, ModelError, "same seed"),
    ):  # fmt: skip
        with pytest.raises(error, match=says):
            train(2, **changes)
    (tmp_path / "mine").mkdir()
    with pytest.raises(ModelFileError, match="holds no run"):
        train(2, resume=tmp_path / "mine")
    (tmp_path / "mine" / "config.json").write_text('{"colors": "dark"}')
    for how in ({"folder": tmp_path / "mine"}, {"folder": tmp_path / "mine", "resume": True}):
        with pytest.raises(ModelError, match=r"config\.json that is not a run's"):
            train(2, **how)
    assert names(tmp_path) == ["mine", "run"] and Checkpoints() == Checkpoints(seconds=30.0)


def test_a_network_that_holds_code_goes_on_too(tmp_path):
    net = nn.Sequential(nn.Linear(3, 5), nn.Lambda(np.tanh), nn.Linear(5, 2))
    whole = rg.fit(net, (X, Y), epochs=4, compiled=False)
    rg.fit(net, (X, Y), epochs=2, folder=tmp_path, compiled=False)
    assert bits(rg.fit(net, (X, Y), epochs=4, resume=tmp_path, compiled=False)) == bits(whole)
    with pytest.raises(ModelFileError, match="code of its own"):
        rg.load(tmp_path / "checkpoint-00000004.safetensors")
    with pytest.raises(ModelError, match="holds Python code"):
        whole.model.save(tmp_path / "m")


def test_ctrl_c_leaves_whole_epochs(tmp_path):
    def interrupt(history):
        if len(history["loss"]) == 3:
            raise KeyboardInterrupt

    whole = train(6)
    stopped = train(6, folder=tmp_path, callbacks=[interrupt])
    assert stopped.interrupted and stopped.epochs == 3
    assert bits(train(6, resume=tmp_path)) == bits(whole)


def test_ctrl_c_while_a_metric_is_computed(tmp_path):
    """Of two starts the first has done its third epoch by then, the second not: the folder ends with two epochs of both."""
    calls = []

    def error(target, values):
        calls.append(float(values[0, 0]))
        if len(calls) == 1 + 3 * 2:  # one before training
            raise KeyboardInterrupt
        return 0.0

    stopped = train(6, starts=2, folder=tmp_path, metrics=[error])
    assert stopped.interrupted and reached(tmp_path) == 2 and [run.epochs for run in stopped.starts] == [2, 2]
    calls.clear()
    calls.extend(range(100))
    again, whole = train(6, starts=2, resume=tmp_path, metrics=[error]), train(6, starts=2, metrics=[error])
    assert bits(again) == bits(whole)


@pytest.mark.parametrize("rows", [None, 3000], ids=["in memory", "a stream"])
@pytest.mark.parametrize("starts", [1, 2])
def test_ctrl_c_in_the_middle_of_an_epoch(tmp_path, starts, rows):
    """SIGINT while native code runs: the epoch that is cut is in the run that is returned. In the folder are the epochs before
    and, of a stream, the updates of it that were made.
    """
    x, y = np.tile(X, (200, 1)), np.tile(Y, (200, 1))

    def run(epochs, **changes):
        return rg.fit(NET, (x, y), batch_size=1, starts=starts, epochs=epochs, chunk_rows=rows, **changes)

    def soon(history):
        if history["loss"].shape[-1] == 3:
            threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT)).start()

    stopped = run(10**9, folder=tmp_path, checkpoint={"seconds": 1000}, callbacks=[soon])
    epochs, updates = place(tmp_path)
    assert stopped.interrupted and epochs <= stopped.epochs <= epochs + 1
    assert max(row["epoch"] for row in logged(tmp_path)) == epochs
    assert updates == 0 or stopped.updates * max(len(stopped.starts), 1) == (8000 * epochs + updates) * starts
    assert bits(run(epochs + 2, resume=tmp_path)) == bits(run(epochs + 2))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["in memory", "streamed"])
@pytest.mark.parametrize("starts", [1, 3])
def test_killed_at_any_moment_it_goes_on_to_the_same_bits(tmp_path, starts, how, monkeypatch):
    """SIGKILL, four times: while it writes a checkpoint, a log, or trains; before the first checkpoint, too."""
    monkeypatch.setenv("RETROGRADE_CACHE", "1")  # that of this test: the program is compiled once
    folder, moments = tmp_path / "run", random.Random(starts)
    train = killed.train_streamed if how == "streamed" else killed.train
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(rg.__file__).parents[1]), *sys.path])}
    # of streams in the middle of an epoch, which is 240 updates
    for at in [(0, 0), (0, 50), (1, 150), (3, 20)] if how == "streamed" else [(0, 0), (10, 0), (40, 0), (70, 0)]:
        process = subprocess.Popen([sys.executable, killed.__file__, str(folder), str(starts), how], env=environment)
        waited = time.monotonic() + 60
        while not (folder.is_dir() if at == (0, 0) else place(folder) >= at):
            assert process.poll() is None and time.monotonic() < waited
        time.sleep(moments.uniform(0, 0.01 if at == (0, 0) else 0.05))
        process.kill()
        process.wait()
    again, whole = train(folder, starts), train(tmp_path / "whole", starts)
    assert bits(again) == bits(whole) and again.best_epoch == whole.best_epoch
    assert logged(folder) == logged(tmp_path / "whole")
    assert not [name for name in names(folder) if "part" in name or "damaged" in name]


def place(folder):
    """The epoch and the updates behind it of the newest checkpoint."""
    found = (p.stem.split("-")[1:] for p in Path(folder).glob("checkpoint-*.safetensors"))
    return max(((int(epoch), int(*updates)) for epoch, *updates in found), default=(-1, 0))


def reached(folder):
    """The epoch of the newest checkpoint."""
    return place(folder)[0]
