"""Callbacks that take the run so far, and the loggers among them."""

import sys
import types

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn
from retrograde.train import MLflow, TensorBoard
from retrograde.train.driver import Driver
from retrograde.tree import tree_leaves

RNG = np.random.default_rng(4)
X, Y = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 1))


def train(epochs=4, **changes):
    settings = {"validation": 0.25, "batch_size": 8, "seed": 2, "compiled": False}
    return rg.fit(nn.Linear(3, 1), (X, Y), epochs=epochs, **(settings | changes))


def bits(net):
    return [leaf.tobytes() for leaf in tree_leaves(net)]


class Keeper:
    """A callback of two arguments, and one to be closed."""

    def __init__(self):
        self.runs, self.lengths, self.closed = [], [], 0

    def __call__(self, history, run):
        self.runs.append(run)
        self.lengths.append(len(history["loss"]))

    def close(self):
        self.closed += 1


@pytest.mark.parametrize("starts", [1, 2])
def test_a_callback_of_two_arguments_sees_the_run_so_far(tmp_path, starts):
    keeper, how = Keeper(), {"early_stopping": 3, "starts": starts, "compiled": starts == 1}
    run = train(callbacks=[keeper, lambda history, verbose=True: None], **how)
    assert [r.epochs for r in keeper.runs] == [1, 2, 3, 4] and keeper.closed == 1
    assert bits(keeper.runs[-1].last) == bits(run.last) and bits(keeper.runs[-1].model) == bits(run.model)
    for e in (1, 2, 3):  # what was kept was not written over
        assert bits(keeper.runs[e - 1].model) == bits(train(e, **how).model)
    keeper.runs[1].save(tmp_path / "second")
    assert bits(train(**how, resume=tmp_path / "second").model) == bits(run.model)


def test_callbacks_see_a_row_for_each_start(monkeypatch):
    """For those that Ctrl-C came before, too: here it is as if the program had come to the first one only."""
    whole, seen = Driver._part, []

    def first_alone(self, found):
        carries, rows = whole(self, found)
        return [carries[0], *self.carries[1:]], rows

    monkeypatch.setattr(Driver, "_part", first_alone)
    run = train(starts=3, callbacks=[lambda history: seen.append(history["val_loss"]) or True])
    assert np.isfinite(seen[0]).tolist() == [[True], [False], [False]] and len(run.starts) == 1


def test_callbacks_are_closed_when_one_raises():
    keeper = Keeper()
    with pytest.raises(ZeroDivisionError):
        train(callbacks=[keeper, lambda history: 1 / 0])
    assert keeper.closed == 1


class Calls:
    """A stand-in for a logging package: keeps what is called of it."""

    def __init__(self, monkeypatch, name, **names):
        self.calls = []
        module = types.ModuleType(name)
        for attribute, returned in names.items():
            setattr(module, attribute, self.of(attribute, returned))
        monkeypatch.setitem(sys.modules, name, module)

    def of(self, attribute, returned=None):
        def call(*args, **kwargs):
            self.calls.append((attribute, *args, kwargs) if kwargs else (attribute, *args))
            return returned

        return call


def test_mlflow_is_told_figures_and_settings(monkeypatch):
    active = types.SimpleNamespace(info=types.SimpleNamespace(run_id="r1"))
    fake = Calls(monkeypatch, "mlflow", start_run=active, log_params=None, log_metrics=None, end_run=None, set_experiment=None)
    logger = MLflow("digits", run_name="first")
    run = train(2, callbacks=[logger])
    names = [call[0] for call in fake.calls]
    assert names == ["set_experiment", "start_run", "log_params", "log_metrics", "log_metrics", "end_run"]
    assert fake.calls[0] == ("set_experiment", "digits") and fake.calls[1][1]["run_name"] == "first"
    assert fake.calls[2][1] == {"seed": 2, "batch_size": 8, "points": 15, "optimizer": repr(run.optimizer)}
    for e in (0, 1):
        assert fake.calls[3 + e][1] == {name: values[e] for name, values in run.history.items()}
        assert fake.calls[3 + e][2] == {"step": e + 1}
    fake.calls.clear()
    train(3, callbacks=[logger], resume=run)
    assert [call[0] for call in fake.calls] == ["start_run", "log_metrics", "end_run"]
    assert fake.calls[0][1]["run_id"] == "r1" and fake.calls[1][2] == {"step": 3}


def test_tensorboard_is_told_figures(monkeypatch, tmp_path):
    writer = types.SimpleNamespace()
    fake = Calls(monkeypatch, "tensorboardX", SummaryWriter=writer)
    for name in ("add_scalar", "flush", "close"):
        setattr(writer, name, fake.of(name))
    first = train(2, callbacks=[TensorBoard(tmp_path)])
    assert fake.calls[0] == ("SummaryWriter", str(tmp_path), {"purge_step": 1})
    wanted = []
    for e in (0, 1):
        wanted += [*(("add_scalar", name, values[e], e + 1) for name, values in first.history.items()), ("flush",)]
    assert fake.calls[1:] == [*wanted, ("close",)]
    fake.calls.clear()
    train(3, callbacks=[TensorBoard(tmp_path)], resume=first)
    assert fake.calls[0] == ("SummaryWriter", str(tmp_path), {"purge_step": 3}), "what a run that was killed wrote later is cut"


def test_many_starts_have_a_series_each(monkeypatch, tmp_path):
    writer = types.SimpleNamespace()
    fake = Calls(monkeypatch, "tensorboardX", SummaryWriter=writer)
    for name in ("add_scalar", "flush", "close"):
        setattr(writer, name, fake.of(name))
    train(1, callbacks=[TensorBoard(tmp_path)], starts=2)
    told = [call[1] for call in fake.calls if call[0] == "add_scalar"]
    assert told == ["start0/loss", "start1/loss", "start0/val_loss", "start1/val_loss"]


@pytest.mark.parametrize(("logger", "package"), [(TensorBoard("logs"), "tensorboardX"), (MLflow(), "mlflow")])
def test_a_missing_package_is_named(monkeypatch, logger, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"pip install 'retrograde\[(tensorboard|mlflow)\]'"):
        train(1, callbacks=[logger])


def test_tensorboard_itself(tmp_path):
    pytest.importorskip("tensorboardX")
    train(2, callbacks=[TensorBoard(tmp_path)])
    (written,) = tmp_path.glob("events.out.tfevents.*")
    assert b"val_loss" in written.read_bytes()
