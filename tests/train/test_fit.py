"""`fit`: the compiled run against the interpreted one and against plain loops; settings; bad input; Ctrl-C."""

import os
import signal
import threading

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn, optim
from retrograde.errors import DataError, ModelError
from retrograde.tree import tree_leaves

RNG = np.random.default_rng(0)
X = RNG.normal(size=(53, 4))
Y = np.stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2]], 1)
LABELS = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
NET = nn.Sequential(nn.Linear(4, 7), nn.Tanh(), nn.Linear(7, 2))
CLASSIFIER = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


def bits(run):
    return [leaf.tobytes() for leaf in tree_leaves(run.model)]


@pytest.mark.parametrize("batch_size", [None, 1, 8, 53, 1000])
@pytest.mark.parametrize("shuffle", [True, False])
def test_compiled_equals_interpreted(batch_size, shuffle):
    settings = {"optimizer": optim.SGD(0.005, momentum=0.9), "batch_size": batch_size, "epochs": 3, "shuffle": shuffle,
                "dtype": np.float64}  # fmt: skip
    native, plain = (rg.fit(NET, (X, Y), compiled=c, **settings) for c in (True, False))
    np.testing.assert_allclose(native.history["loss"], plain.history["loss"], rtol=1e-10)
    for a, b in zip(tree_leaves(native.model), tree_leaves(plain.model)):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    assert native.updates == plain.updates == 3 * -(-53 // min(batch_size or 53, 53))


def test_full_batch_descent_is_the_plain_loop():
    net = NET.init(0, np.float64)
    run = rg.fit(net, (X, Y), optimizer=optim.GD(0.1), batch_size=None, epochs=5)
    params = net
    for i in range(5):
        value, g = rg.value_and_grad(lambda p: np.mean((p(X) - Y) ** 2))(params)
        assert run.history["loss"][i] == pytest.approx(value, rel=1e-12)
        params, _ = optim.GD(0.1).update(g, {}, params)
    for a, b in zip(tree_leaves(run.model), tree_leaves(params)):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)


def test_every_point_is_used_once_an_epoch():
    """With a loss linear in the prediction the gradient of the bias counts the points, whatever their order."""
    net = nn.Sequential(nn.Linear(1, 1)).init(0, np.float64)
    x, y = np.zeros((53, 1)), np.arange(53.0)[:, None]
    run = rg.fit(net, (x, y), loss=lambda f, t: np.mean(f * t) * len(t), optimizer=optim.GD(1.0), batch_size=8, epochs=1)
    np.testing.assert_allclose(run.model[0].bias, -y.sum())


def test_same_seed_same_bits_other_seed_others():
    a, b, c = (rg.fit(CLASSIFIER, (X, LABELS), loss="cross_entropy", epochs=4, seed=s) for s in (1, 1, 2))
    assert bits(a) == bits(b) != bits(c)


def test_it_learns_and_early_stopping_keeps_the_best():
    settings = {"optimizer": optim.Adam(0.03), "epochs": 400, "validation": 0.2, "early_stopping": 15}
    run = rg.fit(CLASSIFIER, (X, LABELS), loss="cross_entropy", **settings)
    assert run.history["loss"][-1] < 0.5 * run.history["loss"][0]
    assert run.epochs < 400 and run.best_epoch == int(np.argmin(run.history["val_loss"])) + 1
    assert run.epochs == run.best_epoch + 15
    assert "val_accuracy" in run.history and "kept" in run.summary()


def test_validation_pair_and_own_loss_and_weights():
    def fourth_power(f, t, sample_weight=None):
        each = np.mean((f - t) ** 4, axis=1)
        return np.mean(each) if sample_weight is None else np.sum(each * sample_weight) / np.sum(sample_weight)

    weight = np.r_[np.ones(20), np.zeros(33)]
    run = rg.fit(NET, (X, Y), loss=fourth_power, sample_weight=weight, batch_size=None, validation=(X[:5], Y[:5]), epochs=2)
    assert run.history["val_loss"].shape == (2,)
    alone = rg.fit(NET, (X[:20], Y[:20]), batch_size=None, epochs=2)
    weighted = rg.fit(NET, (X, Y), sample_weight=np.r_[np.ones(20), np.zeros(33)], batch_size=None, epochs=2)
    np.testing.assert_allclose(alone.history["loss"], weighted.history["loss"], rtol=1e-5)


def test_going_on_from_parameters_and_their_dtype():
    first = rg.fit(NET, (X, Y), epochs=2, dtype=np.float64)
    again = rg.fit(first.model, (X, Y), epochs=2)
    assert again.history["loss"][0] < first.history["loss"][0]
    assert all(leaf.dtype == np.float64 for leaf in tree_leaves(again.model))


def test_own_optimizer_is_compiled_just_the_same():
    class SignDescent:
        def init(self, params):
            return ()

        def update(self, grads, state, params):
            return rg.tree.tree_map(lambda p, g: p - 0.01 * np.sign(g), params, grads), state

    settings = {"optimizer": SignDescent(), "epochs": 3, "dtype": np.float64}
    native, plain = (rg.fit(NET, (X, Y), compiled=c, **settings) for c in (True, False))
    np.testing.assert_allclose(native.history["loss"], plain.history["loss"], rtol=1e-12)


def test_callbacks_see_each_epoch_and_may_stop():
    seen = []
    run = rg.fit(NET, (X, Y), epochs=10, callbacks=[lambda h: seen.append(len(h["loss"])) or len(h["loss"]) == 4])
    assert seen == [1, 2, 3, 4] and run.epochs == 4


def test_a_validation_split_gives_each_class_its_share():
    from retrograde.train.data import prepare

    labels = np.repeat([0, 1, 2], [10, 40, 50])
    points = prepare((np.arange(100.0)[:, None], labels), None, 0.2, np.dtype(np.float64), seed=5)
    assert np.bincount(points.yv).tolist() == [2, 8, 10]
    assert sorted(np.concatenate([points.X, points.Xv])[:, 0]) == list(range(100))


class Gated(nn.Module):
    """A user's layer: two inner modules, an array of its own, and an integer that training leaves alone."""

    dynamic = ("left", "right", "gain")

    def __init__(self, features):
        self.features, self.gain = features, None
        self.left, self.right = nn.Linear(4, features), nn.Linear(4, features)

    def initialize(self, rng, dtype, follows):
        return self.replace(gain=np.ones(self.features, dtype))

    def __call__(self, x, key=None):
        return np.tanh(self.left(x)) * self.right(x) * self.gain


def test_a_layer_of_the_users_own_trains_compiled_as_interpreted():
    net = nn.Sequential(Gated(5), nn.Linear(5, 2)).init(3, np.float64)
    assert net.num_parameters == 2 * (4 * 5 + 5) + 5 + 5 * 2 + 2
    fast, slow = (rg.fit(net, (X, Y), epochs=30, batch_size=8, compiled=c) for c in (True, False))
    for a, b in zip(tree_leaves(fast.model), tree_leaves(slow.model), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    assert fast.history["loss"][-1] < 0.5 * fast.history["loss"][0]


@pytest.mark.parametrize("compiled", [True, False])
def test_each_of_many_starts_is_the_run_of_its_seed(compiled):
    settings = {"epochs": 12, "batch_size": 8, "validation": (X[:9], Y[:9]), "early_stopping": 2, "optimizer": optim.Adam(0.05)}
    run = rg.fit(NET, (X, Y), starts=5, seed=3, compiled=compiled, **settings)
    assert sorted(r.seed for r in run.starts) == [3, 4, 5, 6, 7]
    scores = [r.score for r in run.starts]
    assert scores == sorted(scores) and run.score == scores[0] and run.seed == run.starts[0].seed
    assert len({r.epochs for r in run.starts}) > 1, "they stop early, each at its own epoch"
    for start in run.starts:
        alone = rg.fit(NET, (X, Y), seed=start.seed, **settings)
        assert alone.epochs == start.epochs and alone.best_epoch == start.best_epoch and alone.updates == start.updates
        np.testing.assert_allclose(alone.history["val_loss"], start.history["val_loss"], rtol=1e-4)
        for a, b in zip(tree_leaves(alone.model), tree_leaves(start.model), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    assert "5; their losses run from" in run.summary()


def test_many_starts_have_the_same_bits_however_they_are_called():
    settings = {"starts": 6, "epochs": 9, "batch_size": 8, "validation": 0.2, "early_stopping": 3, "seed": 1}
    one = rg.fit(NET, (X, Y), **settings)
    shapes = []
    two = rg.fit(NET, (X, Y), callbacks=[lambda h: shapes.append(h["loss"].shape)], **settings)
    rg.set_threads(1)
    three = rg.fit(NET, (X, Y), **settings)
    rg.set_threads(None)
    for a, b, c in zip(one.starts, two.starts, three.starts, strict=True):
        assert a.seed == b.seed == c.seed and bits(a) == bits(b) == bits(c)
        assert a.history["val_loss"].tobytes() == b.history["val_loss"].tobytes() == c.history["val_loss"].tobytes()
    assert shapes[:2] == [(6, 1), (6, 2)]


def test_starts_that_cannot_be():
    with pytest.raises(ModelError, match="starts"):
        rg.fit(NET, (X, Y), starts=0)
    with pytest.raises(ModelError, match="give a fresh one"):
        rg.fit(NET.init(0), (X, Y), starts=2)


def test_progress_bar_and_summary(capsys):
    run = rg.fit(NET, (X, Y), epochs=3, progress=True)
    assert "epoch" in capsys.readouterr().out
    text = run.summary()
    assert "2 an epoch, 3 epochs, 6 in all" in text and "bytes" in text
    assert run.model.num_parameters == 4 * 7 + 7 + 7 * 2 + 2


def interrupt_at_third(history):
    if len(history["loss"]) == 3:
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("delay", [0.2, 0.0])
def test_ctrl_c_returns_the_run_so_far(delay):
    """The signal is sent when the run is under way: in the middle of a stretch, and between two."""
    def soon(history):
        if len(history["loss"]) == 3:
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT)).start()

    run = rg.fit(NET, (X, Y), epochs=100_000_000, batch_size=1, callbacks=[soon] if delay else [interrupt_at_third])
    assert run.interrupted and run.epochs > 0 and np.isfinite(run.history["loss"]).all()
    assert all(np.isfinite(leaf).all() for leaf in tree_leaves(run.model))


@pytest.mark.parametrize(
    "change, error, says",
    [
        ({"data": (X, Y[:5])}, DataError, "one row a point"),
        ({"data": (np.where(X > 2, np.nan, X), Y)}, DataError, "NaN"),
        ({"data": (X[:0], Y[:0])}, DataError, "no points"),
        ({"data": X}, DataError, "pair"),
        ({"data": ([["a"]], [1])}, DataError, "numbers"),
        ({"data": (X[:, :3], Y)}, ModelError, "last axis is 4"),
        ({"data": (X, Y[:, :1])}, ModelError, "shape"),
        ({"data": (X, LABELS), "loss": "cross_entropy"}, DataError, "2 outputs"),
        ({"loss": "nope"}, ModelError, "no loss"),
        ({"loss": lambda f, t: f - t}, ModelError, "one number"),
        ({"batch_size": 0}, ModelError, "batch_size"),
        ({"epochs": 0}, ModelError, "epochs"),
        ({"early_stopping": 3}, ModelError, "validation"),
        ({"validation": 1.5}, DataError, "validation"),
        ({"optimizer": 3}, ModelError, "init"),
        ({"sample_weight": -np.ones(53)}, DataError, "non-negative"),
        ({"sample_weight": np.ones(53), "loss": lambda f, t: np.mean(f - t)}, ModelError, "does not take it"),
        ({"data": (X * 1e300, Y)}, DataError, "too large for float32"),
        ({"data": (np.ma.array(X, mask=X > 1), Y)}, DataError, "masked"),
        ({"data": (X, 2 * np.abs(Y) + 2), "loss": "binary_cross_entropy"}, DataError, "from 0 to 1"),
        ({"data": (X, np.zeros((53, 2))), "loss": "hinge"}, DataError, "-1 or 1; y holds 0"),
        ({"data": (X, -1 - np.abs(Y)), "loss": "poisson"}, DataError, "counts"),
        ({"seed": -1}, ModelError, "seed"),
        ({"seed": None}, ModelError, "seed"),
        ({"batch_size": True}, ModelError, "batch_size"),
        ({"early_stopping": 0, "validation": 0.2}, ModelError, "early_stopping"),
        ({"early_stopping": 1.5, "validation": 0.2}, ModelError, "early_stopping"),
        ({"validation": np.nan}, DataError, "validation"),
        ({"callbacks": [3]}, ModelError, "callbacks"),
        ({"callbacks": len}, ModelError, "callbacks"),
        ({"dtype": int}, ModelError, "dtype"),
        ({"dtype": "x"}, ModelError, "dtype"),
        ({"optimizer": optim.Adam}, ModelError, r"Adam\(\) instead of Adam"),
    ],
)
def test_bad_input_is_told_before_anything_runs(change, error, says):
    arguments = {"data": (X, Y), **change}
    with pytest.raises(error, match=says):
        rg.fit(NET, arguments.pop("data"), **arguments)


def test_a_network_is_a_module():
    for net in (None, lambda x: x, nn.Sequential):
        with pytest.raises(ModelError, match=r"nn\.Module"):
            rg.fit(net, (X, Y))


def test_a_batch_of_points_that_weigh_nothing_moves_nothing():
    weight = np.r_[np.zeros(48), np.ones(5)]
    settings = {"batch_size": 8, "shuffle": False, "epochs": 1, "optimizer": optim.SGD(0.1), "dtype": np.float64}
    for compiled in (True, False):
        weighted = rg.fit(NET, (X, Y), sample_weight=weight, compiled=compiled, **settings)
        alone = rg.fit(NET, (X[48:], Y[48:]), compiled=compiled, **settings)
        for a, b in zip(tree_leaves(weighted.model), tree_leaves(alone.model)):
            np.testing.assert_allclose(a, b, rtol=1e-12)


def test_a_validation_share_may_be_a_numpy_number():
    assert rg.fit(NET, (X, Y), validation=np.float32(0.2), epochs=1).history["val_loss"].shape == (1,)


@pytest.mark.parametrize("starts", [1, 3])
def test_stretches_write_into_memory_of_their_own(starts):
    """A run that comes back after each epoch has the same bits as one that does not, and leaves the caller's network alone."""
    net = NET if starts > 1 else NET.init(3)
    before = [np.array(leaf) for leaf in tree_leaves(net)] if starts == 1 else []
    kept = []
    whole = rg.fit(net, (X, Y), epochs=5, starts=starts, seed=3)
    parts = rg.fit(net, (X, Y), epochs=5, starts=starts, seed=3, callbacks=[lambda history: kept.append(history["loss"].copy())])
    assert all(np.array_equal(a, b) for a, b in zip(tree_leaves(whole.model), tree_leaves(parts.model)))
    assert np.array_equal(kept[-1][..., :2], kept[1], equal_nan=True)
    if starts == 1:
        assert all(np.array_equal(a, b) for a, b in zip(tree_leaves(net), before))


def test_the_habits_of_other_libraries_are_errors_that_say_what_to_write():
    with pytest.raises(TypeError, match=r"the data are one argument: fit\(net, \(X, y\), \.\.\.\)"):
        rg.fit(CLASSIFIER, X, LABELS, loss="cross_entropy")
    run = rg.fit(CLASSIFIER, (X, LABELS), loss="cross_entropy", epochs=1, compiled=False)
    for name in ("predict", "fit", "evaluate", "parameters", "state_dict", "eval"):
        assert not hasattr(run.model, name)
    with pytest.raises(AttributeError, match=r"a Run has no 'predict': write run\.model\(X\)"):
        run.predict(X)
    with pytest.raises(AttributeError, match=r"Sequential has no 'fit': write rg\.fit\(net, \(X, y\), \.\.\.\)"):
        run.model.fit(X, LABELS)
    with pytest.raises(AttributeError, match=r"'Sequential' object has no attribute 'nothing'"):
        run.model.nothing  # noqa: B018
    with pytest.raises(AttributeError, match="'Run' object has no attribute 'nothing'"):
        run.nothing  # noqa: B018


@pytest.mark.parametrize("labels", [LABELS > 0, LABELS.astype(float)])
def test_labels_that_are_no_integers_are_told_by_what_they_are(labels):
    with pytest.raises(DataError, match=r"integer labels 0, 1, \.\.\.; y holds floats or booleans: y\.astype\(int\)"):
        rg.fit(CLASSIFIER, (X, labels), loss="cross_entropy")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metrics": ["acc"], "validation": 0.2}, "no metric is called 'acc'; did you mean 'accuracy'"),
        ({"callbacks": [rg.train.EarlyStopping(3)]}, "early stopping, metrics, watch and checkpoints are arguments of fit"),
    ],
)
def test_settings_in_the_wrong_place_say_where_they_belong(settings, message):
    with pytest.raises(ModelError, match=message):
        rg.fit(CLASSIFIER, (X, LABELS), loss="cross_entropy", **settings)


def test_a_schedule_in_place_of_a_rate_says_where_it_goes():
    with pytest.raises(ModelError, match=r"lr must be a number.*optim\.Scheduled\(optim\.Adam\(\), schedule\)"):
        optim.Adam(optim.schedules.StepLR(0.1, 10))
