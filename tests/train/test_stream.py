"""Streams: what is trained on, in which order, to which bits; readers that fail; threads that end."""

import threading
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import retrograde as rg
from retrograde import nn, optim
from retrograde.errors import DataError, ModelError
from retrograde.train import sources
from retrograde.train.sources import ArraySource, BatchSource, ParquetSource
from retrograde.train.stream import Stream
from retrograde.train.tabular import Wanted
from retrograde.tree import tree_leaves

RNG = np.random.default_rng(0)
N = 203
X = RNG.normal(size=(N, 3)).astype(np.float32)
Y = (X @ np.array([[1.0], [-2.0], [0.5]])).astype(np.float32)
LABELS = (X[:, 0] > 0).astype(int)
WEIGHT = RNG.uniform(1, 2, N).astype(np.float32)
NET = nn.Linear(3, 1)
F32 = np.dtype(np.float32)
fit = partial(rg.fit, NET, optimizer=optim.SGD(0.05), batch_size=16, epochs=3, seed=4)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not [t.name for t in threading.enumerate() if t.name.startswith("retrograde-reader")]


@pytest.fixture
def mapped(tmp_path):
    """The points as memory-mapped files."""
    for name, values in (("x", X), ("y", Y)):
        np.save(tmp_path / f"{name}.npy", values)
    return tuple(np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("x", "y"))


@pytest.fixture
def folder(tmp_path):
    """The points as a folder of two Parquet files with row groups of 20 points."""
    table = pa.table({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "y": Y[:, 0], "label": LABELS, "w": WEIGHT})
    (tmp_path / "points").mkdir()
    for i, part in enumerate((table.slice(0, 110), table.slice(110))):
        parquet.write_table(part, tmp_path / "points" / f"{i}.parquet", row_group_size=20)
    return tmp_path / "points"


def batches(size, x=X, y=Y):
    return [(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]


def bits(run):
    return [leaf.tobytes() for leaf in tree_leaves((run.model, run.optimizer_state))] + [run.history["loss"].tobytes()]


def close(run, other, rtol):
    for a, b in zip(tree_leaves((run.model, run.history)), tree_leaves((other.model, other.history))):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


def rows_of(stream, number=0):
    """The rows of each batch of an epoch, by the first feature."""
    found = []
    for chunk in stream.epoch(number):
        x = chunk.points[0][:, 0] if chunk.order is None else chunk.X[chunk.order[: chunk.rows], 0]
        found += np.split(x.copy(), range(8, len(x), 8))
    return found


def made(kind, tmp_path):
    x, y = np.arange(50.0)[:, None], np.zeros((50, 1))
    if kind == "arrays":
        return ArraySource(x, y, None, F32)
    if kind == "batches":
        return BatchSource(lambda: iter(batches(7, x, y)), None, F32)
    parquet.write_table(pa.table({"x": x[:, 0], "y": y[:, 0]}), tmp_path / "t.parquet", row_group_size=6)
    return ParquetSource(tmp_path / "t.parquet", Wanted("y", None, lambda n: True), F32)


@pytest.mark.parametrize("kind", ["arrays", "batches", "parquet"])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("rows", [1, 8, 20, 1000, None])
def test_every_point_comes_once_and_only_the_last_batch_is_smaller(kind, shuffle, rows, tmp_path):
    stream = Stream(made(kind, tmp_path), 8, rows, shuffle, seed=3)
    first, again, second = rows_of(stream), rows_of(stream), rows_of(stream, 1)
    assert [len(b) for b in first] == [8] * 6 + [2]
    first, again, second = (np.concatenate(b) for b in (first, again, second))
    assert sorted(first) == sorted(second) == list(range(50))
    assert first.tolist() == again.tolist()
    assert (first.tolist() == list(range(50))) == (not shuffle) and (first.tolist() == second.tolist()) == (not shuffle)


def test_a_chunk_mixes_rows_from_far_apart():
    stream = Stream(ArraySource(np.arange(8000.0)[:, None], np.zeros((8000, 1)), None, F32), 10, 800, True, 0)
    spread = [np.ptp(rows) for rows in rows_of(stream)]
    assert np.median(spread) > 4000


def test_in_order_a_stream_is_the_run_in_memory(mapped):
    settings = {"shuffle": False, "optimizer": optim.Adam(0.05), "dtype": np.float64}
    alone, all_bits = fit((X, Y), **settings), []
    for data, how in ((mapped, {"chunk_rows": 40}), ((X, Y), {"chunk_rows": 16}), (lambda: iter(batches(30)), {})):
        run = fit(data, **settings, **how)
        assert run.updates == alone.updates == 39 and run.points == N
        close(run, alone, 1e-9)
        all_bits.append(bits(run))
    assert all_bits[0] == all_bits[1] == all_bits[2]


@pytest.mark.parametrize("compiled", [True, False])
def test_it_learns_and_the_same_seed_gives_the_same_bits(mapped, folder, compiled):
    for data, how in ((mapped, {}), (folder, {"target": "y"}), (lambda: iter(batches(30)), {})):
        if data is folder:  # the columns beside the target are not all features here
            for file in folder.iterdir():
                parquet.write_table(parquet.read_table(file).select(["a", "b", "c", "y"]), file, row_group_size=20)
        a, b = (fit(data, chunk_rows=48, epochs=8, compiled=compiled, **how) for _ in range(2))
        assert bits(a) == bits(b) and a.history["loss"][-1] < 1e-2 * a.history["loss"][0]
    assert bits(fit(mapped, chunk_rows=48, seed=5, compiled=compiled)) != bits(fit(mapped, chunk_rows=48, compiled=compiled))


def test_a_parquet_folder_gives_labels_and_weights(folder):
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    run = rg.fit(net, folder, target="label", sample_weight="w", loss="cross_entropy", epochs=20, chunk_rows=64,
                 optimizer=optim.Adam(0.02), validation=folder, early_stopping=20)  # fmt: skip
    assert run.history["loss"][-1] < 0.3 and run.history["val_accuracy"][-1] > 0.9
    assert run.points == N and run.best_epoch is not None
    held = np.concatenate([np.c_[X, Y][:, :4]], axis=1)
    prediction = run.model(held)
    log_p = prediction - np.log(np.exp(prediction).sum(1, keepdims=True))
    assert run.history["val_loss"][run.best_epoch - 1] == pytest.approx(-log_p[np.arange(N), LABELS].mean(), rel=1e-5)


def test_validation_in_memory_and_as_a_stream_agree(mapped):
    held = (X[:37], Y[:37])
    runs = [
        fit(mapped, chunk_rows=48, validation=validation)
        for validation in (held, lambda: iter(batches(10, *held)))
    ]  # fmt: skip
    assert bits(runs[0]) == bits(runs[1])
    np.testing.assert_allclose(runs[0].history["val_loss"], runs[1].history["val_loss"], rtol=1e-5)
    inside = fit((X, Y), validation=lambda: iter(batches(10, *held)))  # points in memory, validated on a stream
    close(inside, fit((X, Y), validation=held), 1e-4)


def test_weights_mixed_precision_and_resume(mapped):
    settings = {"chunk_rows": 48, "sample_weight": WEIGHT, "precision": "f16"}
    whole, half = fit(mapped, **settings), fit(mapped, **settings | {"epochs": 2})
    on = fit(mapped, **settings, resume=half)
    assert bits(on) == bits(whole) and on.updates == whole.updates
    assert bits(whole) != bits(fit(mapped, chunk_rows=48, precision="f16"))


def test_batches_as_they_come():
    sizes, seen = [5, 5, 9, 1], []
    ends = np.cumsum([0, *sizes])

    def stream():
        for a, b in zip(ends, ends[1:]):
            yield X[a:b], Y[a:b], WEIGHT[a:b]

    run = fit(stream, batch_size=None, callbacks=[rg.train.Every(1, lambda s: seen.append((s.step, s.epoch)))])
    assert run.updates == 12 and run.points == 20 and seen[3:6] == [(4, 1), (5, 2), (6, 2)]
    assert "3 epochs, 12 in all" in run.summary() and "as the stream gave them" in run.summary()
    params, state = NET.init(4), optim.SGD(0.05).init(NET.init(4))
    for _ in range(3):
        for x, y, w in stream():
            g = rg.grad(lambda p: nn.losses.mse(p(x), y, sample_weight=w))(params)  # noqa: B023
            params, state = optim.SGD(0.05).update(g, state, params)
    for a, b in zip(tree_leaves(run.model), tree_leaves(params)):
        np.testing.assert_allclose(a, b, rtol=2e-5)


def test_small_files_and_sparse_matrices_are_held_large_ones_streamed(mapped, monkeypatch):
    from scipy import sparse

    dense = np.where(X > 0.5, X, 0).astype(np.float32)
    alone, held = fit((dense, Y)), fit((sparse.coo_matrix(dense), Y))
    assert bits(alone) == bits(held) and bits(fit(mapped)) == bits(fit((X, Y)))
    streamed = fit((sparse.csr_array(dense), Y), chunk_rows=48)
    assert bits(streamed) == bits(fit((dense, Y), chunk_rows=48)) != bits(alone)
    monkeypatch.setattr(sources, "HELD", 1000)
    assert isinstance(sources.resolve(mapped, "data", None, None, F32, False), ArraySource)
    assert isinstance(sources.resolve((X, Y), "data", None, None, F32, False), sources.Pair)


def test_progress_and_the_summary_of_a_stream(mapped, capsys):
    run = fit(mapped, chunk_rows=48, progress=True)
    assert "3/3" in capsys.readouterr().out
    assert "13 an epoch, 3 epochs, 39 in all" in run.summary() and "16 (mini-batch)" in run.summary()


def test_errors_of_the_reader_come_as_they_are():
    def broken():
        yield X[:40], Y[:40]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        fit(broken, chunk_rows=16)


def test_the_reader_is_stopped_with_the_run():
    closed = []

    def endless():
        try:
            while True:
                yield X, Y
        finally:
            closed.append(threading.current_thread().name)

    run = fit(endless, chunk_rows=32, epochs=1, callbacks=[rg.train.Every(5, lambda s: s.step == 10)])
    assert run.updates == 10 and run.epochs == 1 and len(closed) == 1


def test_ctrl_c_ends_a_stream():
    import os
    import signal

    def endless():
        while True:
            yield X, Y

    timer = threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    run = fit(endless, epochs=1, chunk_rows=4096)
    timer.join()
    assert run.interrupted and run.updates > 0 and run.epochs == 1


BAD = [
    ({"data": lambda: 3}, DataError, "must return an iterator"),
    ({"data": lambda: iter([X])}, DataError, r"batch 0 is a ndarray; a stream gives"),
    ({"data": lambda: iter([])}, DataError, "gave no points"),
    ({"data": lambda: iter([(X, Y[:5])])}, DataError, "batch 0: X and y must have one row"),
    ({"data": lambda: iter([(X, Y), (X[:, :2], Y)])}, DataError, "x of all batches must be alike"),
    ({"data": lambda: iter([(X, Y), (X, Y, WEIGHT)])}, DataError, "some have none"),
    ({"data": lambda: iter([(X, np.full_like(Y, np.nan))])}, DataError, "batch 0: y has 203 NaN"),
    ({"data": iter(batches(8))}, DataError, "used up after one pass"),
    ({"data": batches(8)}, DataError, "give a function, lambda: batches"),
    ({"data": lambda: iter(batches(8)), "sample_weight": WEIGHT}, DataError, "let them be .x, y, weight."),
    ({"data": lambda: iter(batches(8)), "validation": 0.2}, DataError, "takes points out of memory"),
    ({"data": lambda: iter(batches(8)), "target": "y"}, DataError, "a batch is a table"),
    ({"data": lambda: iter(batches(8)), "validation": (X[:, :2], Y)}, DataError, "do not match"),
    ({"data": (X, Y), "chunk_rows": 40, "batch_size": None}, ModelError, "the full batch"),
    ({"data": (X, Y), "chunk_rows": 0}, ModelError, "chunk_rows"),
    ({"data": lambda: iter([(X, LABELS), (X, LABELS + 5)]), "loss": "cross_entropy", "chunk_rows": 208}, DataError, "labels run"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "error", "message"), BAD, ids=[message for _, _, message in BAD])
def test_what_does_not_fit_is_told(settings, error, message):
    net = nn.Linear(3, 2) if settings.get("loss") else NET
    with pytest.raises(error, match=message):
        rg.fit(net, **{"batch_size": 16, "epochs": 2} | settings)


def test_a_damaged_folder_is_named(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match="cannot be read as a Parquet table"):
        fit(tmp_path, target="y", chunk_rows=10)
    (tmp_path / "bad.parquet").unlink()
    with pytest.raises(DataError, match="no Parquet files are in it"):
        fit(tmp_path, target="y")


PEAK = """
import resource, sys
import numpy as np
import retrograde as rg
from retrograde import nn

net = nn.Sequential(nn.Linear(32, 8), nn.Tanh(), nn.Linear(8, 1))

def source(n):
    x, y = np.ones((1000, 32), np.float32), np.ones((1000, 1), np.float32)
    return {"lambda": lambda: ((x + i, y) for i in range(n)), "parquet": sys.argv[2]}[sys.argv[1]]

def run(n, data):
    rg.fit(net, data, target=None if callable(data) else "y", epochs=1, batch_size=500, chunk_rows=64_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

before = run(200, source(200) if sys.argv[1] == "lambda" else sys.argv[3])
print(run(4000, source(4000)) - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lambda", "parquet"])
def test_memory_is_that_of_the_chunks(kind, tmp_path):
    """500 MB of a function's, 130 MB of a file, both after 26 MB of the like: chunks of 8 MB are all that is held."""
    import subprocess
    import sys

    rows = pa.table({f"x{i}": np.ones(20_000, np.float32) * i for i in range(32)} | {"y": np.ones(20_000, np.float32)})
    for name, groups in (("large", 50), ("small", 10)):
        with parquet.ParquetWriter(tmp_path / name, rows.schema, use_dictionary=False, compression="none") as file:
            for _ in range(groups):
                file.write_table(rows)
        (tmp_path / name).rename(tmp_path / f"{name}.parquet")
    command = [sys.executable, "-c", PEAK, kind, str(tmp_path / "large.parquet"), str(tmp_path / "small.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 40_000  # KiB
