"""A run that stops, is written to a file, read and goes on: the same bits as one that never stopped."""

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn, optim
from retrograde.errors import ModelError, ModelFileError
from retrograde.tree import tree_leaves

RNG = np.random.default_rng(4)
X = RNG.normal(size=(61, 4))
LABELS = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
NET = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
OPTIMIZERS = [optim.SGD(0.05), optim.SGD(0.05, momentum=0.9, nesterov=True), optim.Adam(0.01), optim.AdamW(0.01),
              optim.RMSprop(0.01, momentum=0.5), optim.Adagrad(0.05, lr_decay=0.1)]  # fmt: skip


def train(epochs, **changes):
    settings = {"loss": "cross_entropy", "batch_size": 8, "validation": 0.2, "early_stopping": 90, "seed": 7}
    return rg.fit(NET, (X, LABELS), epochs=epochs, **(settings | changes))


def bits(run):
    return [leaf.tobytes() for leaf in tree_leaves((run.model, run.optimizer_state))]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: type(o).__name__)
def test_going_on_gives_the_bits_of_a_run_that_never_stopped(tmp_path, optimizer):
    whole = train(9, optimizer=optimizer)
    part = train(4, optimizer=optimizer)
    part.save(tmp_path / "run.safetensors", extra={"note": "half way"})
    for source in (tmp_path / "run.safetensors", str(tmp_path / "run.safetensors"), part):
        again = train(9, optimizer=optimizer, resume=source)
        assert bits(again) == bits(whole) and again.best_epoch == whole.best_epoch
        assert {k: v.tobytes() for k, v in again.history.items()} == {k: v.tobytes() for k, v in whole.history.items()}
        assert again.updates == whole.updates and again.epochs == 9 and again.seconds > part.seconds
    model, extra = rg.load(tmp_path / "run.safetensors")
    assert extra == {"note": "half way"}
    assert [a.tobytes() for a in tree_leaves(model)] == [a.tobytes() for a in tree_leaves(part.model)]


def test_interpreted_in_float64_without_validation_and_past_the_end(tmp_path):
    settings = {"validation": None, "early_stopping": None, "compiled": False, "dtype": np.float64}
    whole, part = train(5, **settings), train(2, **settings)
    part.save(tmp_path / "r")
    assert bits(train(5, resume=tmp_path / "r", **settings)) == bits(whole)
    assert bits(train(2, resume=tmp_path / "r", **settings)) == bits(part), "nothing is left to do"


def test_a_run_that_stopped_early_stays_stopped():
    stopped = train(500, early_stopping=2, optimizer=optim.SGD(1.0))
    again = train(500, early_stopping=2, optimizer=optim.SGD(1.0), resume=stopped)
    assert stopped.epochs == again.epochs < 500 and bits(again) == bits(stopped)


def test_what_cannot_be_gone_on_with(tmp_path):
    run, path = train(3), tmp_path / "run"
    run.save(path)
    for changes, says in (
        ({"optimizer": optim.SGD(0.1)}, "optimizer"), ({"seed": 8}, "same seed"), ({"dtype": np.float64}, "float64"),
        ({"early_stopping": None}, "early_stopping"), ({"starts": 2}, "starts=1"), ({"train_metrics": True}, "accuracy"),
    ):  # fmt: skip
        with pytest.raises(ModelError, match=says):
            train(6, resume=path, **changes)
    with pytest.raises(ModelError, match="network"):
        rg.fit(nn.Sequential(nn.Linear(4, 3)), (X, LABELS), loss="cross_entropy", resume=path)
    whole = path.read_bytes()
    run.model.save(path)
    with pytest.raises(ModelFileError, match=r"network alone.*run\.save"):
        train(6, resume=path)
    for content in (whole[:-8], whole[: len(whole) // 2], b""):
        path.write_bytes(content)
        with pytest.raises(ModelFileError):
            train(6, resume=path)
    with pytest.raises(ModelFileError, match="no model file"):
        train(6, resume=tmp_path / "nowhere")
