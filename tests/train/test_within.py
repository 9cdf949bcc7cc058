"""Runs that come back to Python within an epoch, streams and `Every`: folders, metrics, many starts, and what ends them early."""

import warnings

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn, optim
from retrograde.errors import DataError, ModelError
from retrograde.train import Every
from retrograde.tree import tree_leaves

RNG = np.random.default_rng(0)
X = RNG.normal(size=(203, 4)).astype(np.float32)
LABELS = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
HELD = (X[:50], LABELS[:50])
NET = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
WIDE = nn.Linear(4, 2)
METRICS = ["f1_macro", "balanced_accuracy", "precision_weighted", "recall_micro", "top_k_accuracy", "roc_auc_ovr"]
HOW = {"loss": "cross_entropy", "batch_size": 8, "epochs": 3, "seed": 2, "compiled": False}


def train(data, **settings):
    return rg.fit(NET, data, **HOW | settings)


def wrong(target, labels):
    return float(np.mean(np.asarray(target) != labels))


def parts(x, y, size=30):
    for at in range(0, len(x), size):
        yield x[at : at + size], y[at : at + size]


def stream(x=X, y=LABELS, size=30):
    return lambda: parts(x, y, size)


def bits(run):
    found = sorted(run.starts, key=lambda r: r.seed) or [run]
    return [np.asarray(leaf).tobytes() for r in found for leaf in tree_leaves((r.model, r.last, r.optimizer_state, r.history))]


def checkpoints(folder):
    """From the oldest to the newest."""
    return sorted(p.stem.removeprefix("checkpoint-") for p in folder.glob("checkpoint-*.safetensors"))


# metrics


def test_metrics_are_those_of_the_run_in_memory():
    """The same columns in the same order, of validation points and of those trained on, in the program and between epochs."""
    settings = {"validation": 0.2, "metrics": [*METRICS, wrong], "train_metrics": True, "epochs": 2, "dtype": np.float64}
    alone, seen = (train((X, LABELS), callbacks=c, **settings) for c in ([], [Every(5, lambda _: None)]))
    assert list(alone.history) == list(seen.history) and len(seen.history) == 18
    for name, values in alone.history.items():
        np.testing.assert_allclose(seen.history[name], values, rtol=1e-9, err_msg=name)


def test_metrics_of_a_stream_are_those_of_its_points():
    settings = {"metrics": [*METRICS, wrong], "train_metrics": True, "epochs": 2, "dtype": np.float64}
    settings |= {"early_stopping": {"patience": 5, "monitor": "val_f1_macro"}}
    memory = train(stream(), validation=HELD, **settings)
    streamed = train(stream(), validation=stream(*HELD, size=7), compiled=True, **settings)
    for name, values in memory.history.items():
        np.testing.assert_allclose(streamed.history[name], values, rtol=1e-6, err_msg=name)
    assert memory.best_epoch == streamed.best_epoch is not None
    outputs = streamed.last(X)
    assert streamed.history["accuracy"][-1] == pytest.approx(np.mean(outputs.argmax(1) == LABELS))
    assert streamed.history["val_wrong"][-1] == pytest.approx(1 - streamed.history["val_accuracy"][-1])


def test_values_of_a_stream():
    y = np.stack([X[:, 0] * 2, np.sin(X[:, 1])], 1)
    named = ["r2", "mse", "mae", "neg_root_mean_squared_error", "explained_variance"]
    settings = {"metrics": named, "epochs": 2, "compiled": False, "dtype": np.float64}
    held = (X[:50], y[:50])
    memory, streamed = (rg.fit(WIDE, stream(X, y), validation=v, **settings) for v in (held, stream(*held, size=7)))
    assert list(memory.history) == ["loss", "val_loss", *(f"val_{name}" for name in named)]
    for name, values in memory.history.items():
        np.testing.assert_allclose(streamed.history[name], values, rtol=1e-9, err_msg=name)


def test_metrics_that_cannot_be_had():
    def once():
        return parts(X, LABELS)

    with pytest.raises(DataError, match="train_metrics=True goes through the points once more"):
        train(once(), epochs=1, train_metrics=True)
    soft = np.where(np.arange(203) < 100, LABELS > 0, 0.5).astype(np.float32)[:, None]
    net = nn.Linear(4, 1)
    with pytest.raises(DataError, match=r"later ones have (np\.float32\()?0\.5"):
        rg.fit(net, stream(X, soft), **HOW | {"loss": "binary_cross_entropy"}, metrics="f1", validation=stream(X, soft))


# many starts


@pytest.mark.parametrize("compiled", [True, False])
def test_many_starts_of_a_stream_are_its_runs(compiled):
    """All of them see the chunks of one stream, in its order; one that has stopped stays as it is."""
    settings = {"shuffle": False, "validation": HELD, "compiled": compiled, "early_stopping": 1, "optimizer": optim.Adam(0.05)}
    seen, settings = [], settings | {"epochs": 12, "chunk_rows": 40}
    many = train(stream(), starts=3, callbacks=[Every(7, seen.append)], **settings)
    lengths = [run.epochs for run in many.starts]
    assert len(set(lengths)) > 1 and [run.seed for run in many.starts] != [2, 3, 4]
    for run in many.starts[-1:] if compiled else many.starts:
        alone = train(stream(), **settings | {"seed": run.seed})
        assert bits(alone) == bits(run) and run.updates == alone.updates == 26 * run.epochs
    assert seen[0].loss.shape == (3,) and np.isnan(seen[-1].loss).any() and len(seen[-1].model) == 3
    ended = int(np.flatnonzero(np.isnan(seen[-1].loss))[0])
    run = next(run for run in many.starts if run.seed == 2 + ended)
    assert all(np.array_equal(a, b) for a, b in zip(tree_leaves(seen[-1].model[ended]), tree_leaves(run.last)))


def test_many_starts_in_memory_have_orders_of_their_own():
    seen = [Every(5, lambda _: None)]
    for settings in ({}, {"batch_size": None}, {"validation": HELD}):
        many = train((X, LABELS), starts=2, callbacks=seen, **settings)
        for run in many.starts:
            assert bits(run) == bits(train((X, LABELS), callbacks=seen, **settings | {"seed": run.seed}))


# folders


@pytest.mark.parametrize("starts", [1, 2])
@pytest.mark.parametrize("rows", [40, None], ids=["a stream", "Every, in memory"])
def test_an_error_leaves_a_run_to_go_on_with(tmp_path, starts, rows):
    """The stream, or a callback, fails in the second epoch: it is told as it is, and where the run is kept."""
    passes, mended = [], []

    def broken():
        passes.append(True)
        for i, batch in enumerate(parts(X, LABELS)):
            if i == 4 and len(passes) == 2 and not mended:
                raise OSError("the disk is gone")
            yield batch

    def fail(steps):
        if steps.step == 35 and not mended:
            raise OSError("the disk is gone")

    how = {"starts": starts, "callbacks": [Every(5, fail)], "validation": HELD, "early_stopping": 2, "chunk_rows": rows}
    how["metrics"], data = ["f1_macro", wrong], broken if rows else (X, LABELS)
    with pytest.raises(OSError, match="the disk is gone") as caught:
        train(data, folder=tmp_path / "run", **how)
    assert f"fit(..., resume='{tmp_path}/run') goes on with it" in caught.value.__notes__[0]
    assert checkpoints(tmp_path / "run")[-1].startswith("00000001-000000")
    mended.append(True)
    again, whole = train(data, resume=tmp_path / "run", **how), train(data, folder=tmp_path / "whole", **how)
    assert bits(again) == bits(whole) and again.updates == whole.updates == 78
    tables = [np.genfromtxt(tmp_path / name / "metrics.csv", delimiter=",", names=True) for name in ("run", "whole")]
    assert all(np.array_equal(tables[0][name], tables[1][name]) for name in ("epoch", "loss", "val_f1_macro", "val_wrong"))


def test_without_a_folder_the_error_says_what_is_lost():
    def fail(history):
        if len(history["loss"]) == 2:
            raise OSError("the disk is gone")

    for callbacks in ([fail], [fail, Every(50, lambda _: None)]):
        with pytest.raises(OSError, match="the disk is gone") as caught:
            train((X, LABELS), callbacks=callbacks)
        assert "the 2 epochs before are lost" in caught.value.__notes__[0]


@pytest.mark.parametrize("starts", [1, 2])
@pytest.mark.parametrize("how", ["Ctrl-C", "True"])
def test_a_run_ended_within_an_epoch_goes_on_there(tmp_path, how, starts):
    def end(steps):
        if steps.step == 30 and how == "Ctrl-C":
            raise KeyboardInterrupt
        return steps.step == 30

    settings = {"chunk_rows": 40, "validation": HELD, "starts": starts, "early_stopping": 9}
    whole = train(stream(), **settings)
    part = train(stream(), callbacks=[Every(3, end)], folder=tmp_path / "run", **settings)
    assert part.epochs == 2 and part.updates == 30 and part.interrupted == (how == "Ctrl-C")
    assert checkpoints(tmp_path / "run")[-1] == "00000001-00000004"
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == starts
    part.save(tmp_path / "file")
    model, _ = rg.load(tmp_path / "run" / "checkpoint-00000001-00000004.safetensors")
    kept = part.progress.carry["best"]  # that of the first epoch
    assert starts > 1 or all(np.array_equal(a, b) for a, b in zip(tree_leaves(model), tree_leaves(kept)))
    for source in (part, tmp_path / "file", tmp_path / "run"):
        again = train(stream(), resume=source, **settings)
        assert bits(again) == bits(whole) and again.updates == whole.updates
    with pytest.raises(ModelError, match=r"has made 4 updates of an epoch"):
        train((X, LABELS), resume=tmp_path / "file", **settings | {"chunk_rows": None})


def test_ctrl_c_while_a_stream_is_measured(tmp_path):
    """The updates of the first epoch are made, its figures are not: nothing is returned, and nothing is lost."""

    def held(ends):
        yield X[:20], LABELS[:20]
        if ends:
            raise KeyboardInterrupt
        yield X[20:50], LABELS[20:50]

    settings = {"chunk_rows": 40, "folder": tmp_path, "resume": True}
    with pytest.raises(KeyboardInterrupt):
        train(stream(), validation=lambda: held(True), **settings)
    assert checkpoints(tmp_path)[-1] == "00000000-00000026"
    whole = train(stream(), validation=lambda: held(False), chunk_rows=40)
    assert bits(train(stream(), validation=lambda: held(False), **settings)) == bits(whole)


def test_checkpoints_by_seconds_come_within_an_epoch(tmp_path):
    def checkpoints_at(**when):
        folder = tmp_path / str(when)
        train(stream(), chunk_rows=40, epochs=1, folder=folder, checkpoint={**when, "keep": 99})
        return checkpoints(folder)

    within = [f"00000000-{at:08}" for at in (5, 10, 15, 20, 25, 26)]
    assert checkpoints_at(seconds=0) == ["00000000", *within, "00000001"]
    assert checkpoints_at(epochs=1) == ["00000000", "00000001"]


def test_batches_as_they_come_go_on(tmp_path):
    settings = {"batch_size": None, "folder": tmp_path, "resume": True}
    train(stream(), **settings, callbacks=[Every(1, lambda s: s.step == 10)])
    again = train(stream(), **settings)
    assert bits(again) == bits(train(stream(), batch_size=None)) and again.updates == 21
    with pytest.raises(DataError, match=r"made 3 updates of epoch 2, 1 more than this stream has"):
        train(stream(), batch_size=None, callbacks=[Every(1, lambda s: s.step == 10)], folder=tmp_path / "short")
        train(stream(X[:60], LABELS[:60]), batch_size=None, resume=tmp_path / "short")


def test_a_pass_that_ends_early_is_told():
    ends = iter([203, 203, 100, 100, 203])

    def shorter():
        return parts(X[: (n := next(ends))], LABELS[:n])

    with pytest.warns(UserWarning, match="a pass gave 100 points, one before it 203") as caught:
        run = train(shorter, chunk_rows=40, epochs=5)
    assert len(caught) == 1 and run.epochs == 5
    passes = iter([parts(X, LABELS), iter([])])
    with pytest.raises(DataError, match="no points in epoch 2"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train(lambda: next(passes), chunk_rows=40)
