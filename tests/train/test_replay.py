"""Updates of a run opened in the glass box, and where the first number came from that is not finite."""

import copy
import pickle

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn, optim
from retrograde.errors import DivergenceWarning, ModelError
from retrograde.train import Every
from retrograde.tree import tree_leaves

RNG = np.random.default_rng(0)
X = RNG.normal(size=(53, 4))
LABELS = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
NET = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


def fit(net=NET, data=(X, LABELS), **changes):
    how = {"loss": "cross_entropy", "batch_size": 8, "epochs": 3, "dtype": np.float64, "compiled": False}
    return rg.fit(net, data, **(how | changes))


def parameters(run, step):
    return [parameter.value for parameter in run.explore(step).parameters]


def same(found, other):
    return all(np.array_equal(a, b) for a, b in zip(found, tree_leaves(other), strict=True))


def close(found, other):
    return all(np.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(found, tree_leaves(other), strict=True))


@pytest.fixture(scope="module")
def run():
    return fit(compiled=True, validation=0.2)


def test_the_parameters_are_those_before_the_update(run):
    seen = []
    fit(compiled=True, validation=0.2, callbacks=[Every(1, lambda steps: seen.append(steps.model))])
    assert same(parameters(run, 0), NET.init(0, np.float64))
    assert same(parameters(run, 12), fit(compiled=True, validation=0.2, epochs=2).model), "the first of the third epoch"
    for step in (4, 9, 17):
        assert close(parameters(run, step), seen[step - 1])


def test_the_points_are_those_of_the_update(run):
    used = []
    for step in range(6):
        record = run.explore(step)
        assert np.array_equal(record["x"].value, X[run.batch(step)]) and np.array_equal(record.rows, run.batch(step))
        used += run.batch(step).tolist()
    assert len(used) == len(set(used)) == 42 == run.points, "an epoch sees each once, those to validate on never"
    assert len(run.batch(-1)) == 2 and np.array_equal(run.batch(-1), run.batch(run.updates - 1))


@pytest.mark.parametrize("changes", [
    {}, {"shuffle": False, "compiled": True}, {"batch_size": None}, {"sample_weight": np.full(53, 2.0)},
    {"starts": 3, "validation": 0.2, "early_stopping": 1, "epochs": 8},
    {"optimizer": optim.Plateau(optim.Adam(0.1), patience=0), "validation": 0.2, "metrics": ["f1_macro"]},
], ids=["shuffled", "in order", "full batch", "weights", "starts", "plateau"])  # fmt: skip
def test_the_losses_of_an_epoch_are_those_of_its_updates(changes):
    run = fit(**changes)
    for one in run.starts or [run]:
        records = [one.explore(step) for step in range(-(one.updates // one.epochs), 0)]
        losses, sizes = [record.loss for record in records], [len(record.rows) for record in records]
        assert np.average(losses, weights=sizes) == pytest.approx(one.history["loss"][-1], rel=1e-9)
        assert sum(sizes) == one.points and records[-1].title == f"update {one.updates - 1}"


def test_a_run_with_every_is_made_again_to_the_same_bits():
    seen = []
    run = fit(compiled=True, callbacks=[Every(1, lambda steps: seen.append(steps.model))])
    for step in (3, 7, 18):
        assert same(parameters(run, step), seen[step - 1])


def test_a_run_that_was_gone_on_with(tmp_path):
    whole = fit(epochs=4)
    fit(epochs=2).save(tmp_path / "half")
    resumed = fit(epochs=4, resume=tmp_path / "half")
    for step in (2, 21):
        assert same(parameters(resumed, step), parameters(whole, step))


def test_buffers_are_those_of_the_update():
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    record = fit(net, epochs=2).explore(9)
    assert np.allclose(np.mean(record["f1"].value, 0), record["β1"].value), "standardized by the batch, as in training"


def test_mixed_precision_is_shown_in_float32():
    run = fit(precision="bf16", dtype=np.float32, epochs=1)
    assert run.explore(1).title == "update 1, in float32"


def test_data_that_were_changed_are_told():
    data = X.copy(), LABELS.copy()
    run = fit(data=data, epochs=2)
    data[0][3] += 1
    for step in (0, 9):
        with pytest.raises(ModelError, match="changed meanwhile"):
            run.explore(step)


def test_a_run_lets_go_of_its_points():
    run = fit(epochs=1, starts=2).without("replay")
    for each in (run, *run.starts):
        with pytest.raises(ModelError, match="let go"):
            each.explore(0)


def test_a_pickled_run_goes_without_its_data():
    run = fit(epochs=1)
    assert pickle.loads(pickle.dumps(run)).replay is None and copy.deepcopy(run).explore().loss == run.explore().loss


def test_what_cannot_be_opened(run):
    for step in (18, -19):
        with pytest.raises(IndexError, match="of a run of 18"):
            run.explore(step)
    for step in (1.0, True, "last"):
        with pytest.raises(ModelError, match="number of an update"):
            run.batch(step)
    stream = fit(chunk_rows=16, epochs=1)
    for ask in (stream.explore, stream.batch, stream.diagnose):
        with pytest.raises(ModelError, match="stream"):
            ask()


def test_a_finite_run_is_diagnosed_by_its_last_update(run):
    assert run.diagnose() == run.explore(-1).diagnose() and run.diverged is None and "diverged" not in run.summary()


def log_loss(prediction, target):
    return np.mean((np.log(prediction[:, 0]) - target) ** 2)


class Positive(nn.Module):
    """x + shift: not positive in one row."""

    dynamic = ("shift",)

    def __init__(self):
        self.shift = None

    def initialize(self, rng, dtype, follows):
        return self.replace(shift=np.full(1, 2.0, dtype))

    def __call__(self, x, key=None):
        return x + self.shift


@pytest.mark.parametrize("validation", [None, 0.25])
def test_the_row_that_made_the_first_nan(validation):
    how = {"loss": log_loss, "validation": validation, "epochs": 2, "compiled": True}
    x = np.ones((40, 1))
    bad = int(fit(Positive(), (x, np.zeros(40)), **how).batch(3)[2])
    x[bad] = -5.0
    with pytest.warns(DivergenceWarning, match="the loss is nan in epoch 1"):
        run = fit(Positive(), (x, np.zeros(40)), **how)
    (said,) = run.diagnose()
    update = next(step for step in range(5) if bad in run.batch(step))
    assert said.startswith(f"update {update} ({update + 1} of ") and f"row {bad} of the data" in said
    assert "NaN is first made in step l" in said and "by log of" in said and "test_replay.py" in said
    assert f"row {bad + 7} of the data" in run.diagnose(rows=np.arange(40) + 7)[0]
    with pytest.raises(ModelError, match="here are 3"):
        run.diagnose(rows=np.arange(3))
    assert run.diverged == 1 and "not finite in epoch 1" in run.summary()


def test_a_pass_that_overflows():
    with pytest.warns(DivergenceWarning):
        run = fit(optimizer=optim.SGD(1e20), dtype=np.float32, compiled=True)
    (said,) = run.diagnose()
    assert said.startswith("update 1 (2 of 7 in epoch 1): an infinity is first made in step f1 at ") and "of the data" in said


def test_an_update_that_overflows():
    """The loss of its epoch is finite; that of the next is not."""
    with pytest.warns(DivergenceWarning, match="nan in epoch 2"):
        run = fit(optimizer=optim.SGD(3e38), batch_size=None, dtype=np.float32, data=(X * 100, LABELS), compiled=True)
    (said,) = run.diagnose()
    assert said.startswith("update 0 (1 of 1 in epoch 1): both passes are finite, but not what the optimizer makes of 0.weight")
