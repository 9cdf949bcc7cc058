"""`EarlyStopping`, metrics and penalties of a run, against the rule replayed over the history, interpreted and compiled."""

from dataclasses import dataclass

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn, optim
from retrograde.errors import ModelError
from retrograde.train import EarlyStopping

rng = np.random.default_rng(0)
X = rng.normal(size=(48, 3))
Y = np.tanh(X @ rng.normal(size=(3, 2)))
NET = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def fit(**settings):
    return rg.fit(NET, (X, Y), **{"dtype": np.float64, "epochs": 60, "optimizer": optim.Adam(0.03), "seed": 1, **settings})


def worst(prediction, target):
    return np.max(np.abs(prediction - target))


def replayed(figures, patience, min_delta):
    """The epochs that a run takes and the best of them, counted by hand."""
    best, best_epoch, wait = np.inf, 0, 0
    for epoch, figure in enumerate(figures, 1):
        wait = 0 if figure < best - min_delta else wait + 1
        best, best_epoch = (figure, epoch) if figure < best else (best, best_epoch)
        if wait >= patience:
            break
    return epoch, best_epoch


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    ("stopping", "validation"),
    [
        (EarlyStopping(2, monitor="loss", min_delta=0.01, keep_best=False), None),
        (EarlyStopping(3, monitor="val_worst", mode="min", min_delta=0.005), 0.25),
        (EarlyStopping(3, monitor="val_goodness", mode="max", min_delta=0.005), 0.25),
    ],
)
def test_it_stops_where_the_rule_says(stopping, validation, compiled):
    metrics = {"worst": worst, "goodness": lambda f, y: -worst(f, y)} if validation else ()
    settings = {"validation": validation, "metrics": metrics, "compiled": compiled}
    free, run = fit(**settings), fit(**settings, early_stopping=stopping)
    sign = -1 if stopping.mode == "max" else 1
    epochs, best = replayed(sign * free.history[stopping.monitor], stopping.patience, stopping.min_delta)
    assert run.epochs == epochs < 60
    assert run.best_epoch == (best if stopping.keep_best else None)
    np.testing.assert_allclose(run.history["loss"], free.history["loss"][:epochs], rtol=1e-9)


@dataclass(frozen=True)
class Halving(optim.SGD):
    """Halves its rate when the run stalls, twice."""

    def init(self, params):
        return {**super().init(params), "rate": np.array(self.lr), "halved": np.zeros((), np.int64)}

    def update(self, grads, state, params):
        return rg.tree.tree_map(lambda p, g: p - state["rate"] * g, params, grads), state

    def stalled(self, state):
        return {**state, "rate": state["rate"] / 2, "halved": state["halved"] + 1}, state["halved"] >= 2


def test_an_optimizer_may_go_on_when_the_run_stalls():
    stopping = EarlyStopping(2, monitor="loss", min_delta=0.02, keep_best=False)
    plain, halving = (fit(optimizer=kind(0.1), early_stopping=stopping) for kind in (optim.SGD, Halving))
    assert int(halving.optimizer_state["halved"]) == 2
    assert float(halving.optimizer_state["rate"]) == 0.025
    assert halving.epochs == plain.epochs + 2 * stopping.patience


@pytest.mark.parametrize("sample_weight", [None, np.linspace(0.5, 2.0, 48)])
def test_a_penalty_is_part_of_the_loss_of_each_batch(sample_weight):
    def penalty(params, batch):
        x, _, weight = batch
        points = len(x) if weight is None else np.sum(weight)
        return 3.0 * sum(np.sum(leaf**2) for leaf in rg.tree.tree_leaves(params)) / points

    settings = {"epochs": 3, "batch_size": None, "optimizer": optim.SGD(0.1), "sample_weight": sample_weight}
    run, points = fit(penalty=penalty, **settings), 48 if sample_weight is None else sample_weight.sum()
    decayed = fit(**{**settings, "optimizer": optim.SGD(0.1, weight_decay=6.0 / points)})
    for a, b in zip(rg.tree.tree_leaves(run.model), rg.tree.tree_leaves(decayed.model)):
        np.testing.assert_allclose(a, b, rtol=1e-9)
    assert run.history["loss"][0] > decayed.history["loss"][0]


@pytest.mark.parametrize("precision", [None, "bf16"])
def test_a_penalty_of_ones_own_is_added_to_l1_and_l2(precision):
    def own(params, batch):
        return sum(0.01 * np.sum(np.abs(w)) + 0.1 * np.sum(w**2) for w in rg.tree.tree_leaves(params) if w.ndim == 2)

    settings = {"epochs": 2, "dtype": np.float32, "precision": precision}
    mixed, twice = fit(l1=0.01, l2=0.1, penalty=own, **settings), fit(l1=0.02, l2=0.2, **settings)
    np.testing.assert_allclose(mixed.history["loss"], twice.history["loss"], rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"early_stopping": EarlyStopping(2)}, "needs validation"),
        ({"early_stopping": EarlyStopping(2, monitor="val_f1"), "validation": 0.2}, "can watch"),
        ({"metrics": {"worst": worst}}, "give validation="),
        ({"metrics": {"worst": 3}, "validation": 0.2}, "metric 'worst' cannot be computed"),
        ({"penalty": lambda p, n: p.layers[0].bias}, "the penalty must return one number"),
        ({"penalty": 3}, "penalty is a function"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_are_refused(settings, match):
    with pytest.raises(ModelError, match=match):
        fit(**settings)


@pytest.mark.parametrize("settings", [{"patience": 0}, {"patience": 2, "mode": "up"}, {"patience": 2, "min_delta": -1.0}])
def test_a_rule_that_is_none_is_refused(settings):
    with pytest.raises(ModelError, match=r"early_stopping|EarlyStopping"):
        EarlyStopping(**settings)
