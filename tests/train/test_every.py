"""Callbacks within an epoch: the same run, seen every n updates."""

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn, optim
from retrograde.errors import ModelError
from retrograde.train import Every
from retrograde.tree import tree_leaves

RNG = np.random.default_rng(0)
X = RNG.normal(size=(53, 4))
LABELS = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
NET = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


def fit(callbacks=(), **settings):
    return rg.fit(NET, (X, LABELS), loss="cross_entropy", callbacks=callbacks, **({"epochs": 3, "batch_size": 8} | settings))


def bits(run):
    return [leaf.tobytes() for leaf in tree_leaves((run.model, run.optimizer_state))]


def close(run, other, rtol):
    for a, b in zip(tree_leaves((run.model, run.history)), tree_leaves((other.model, other.history))):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * 1e-3)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"shuffle": False, "optimizer": optim.SGD(0.1, momentum=0.9)},
        {"validation": 0.2, "early_stopping": 1, "epochs": 30, "optimizer": optim.Adam(0.1)},
        {"batch_size": None, "sample_weight": np.arange(1.0, 54.0)},
        {"precision": "f16", "batch_size": 50},
    ],
    ids=["plain", "in order", "early stopping", "full batch, weights", "float16"],
)
def test_the_run_is_the_same(settings):
    seen = []
    settings = {"dtype": np.float32 if "precision" in settings else np.float64} | settings
    watched, alone = fit([Every(5, seen.append), Every(3, lambda _: None)], **settings), fit(**settings)
    assert watched.updates == alone.updates and watched.best_epoch == alone.best_epoch
    assert [s.step for s in seen] == list(range(5, alone.updates + 1, 5))
    close(watched, alone, 1e-4 if "precision" in settings else 1e-9)
    assert bits(fit([Every(11, lambda _: None)], **settings)) == bits(watched)


def test_it_sees_the_losses_and_the_network_of_its_steps():
    seen = []
    run = fit([Every(1, seen.append)], epochs=2)
    assert [s.epoch for s in seen] == [1] * 7 + [2] * 7
    sizes = np.array([8] * 6 + [5])
    for epoch, steps in enumerate((seen[:7], seen[7:])):
        assert np.average([s.loss for s in steps], weights=sizes) == pytest.approx(run.history["loss"][epoch], rel=1e-12)
    assert seen[3].loss != seen[4].loss
    last = seen[-1].model
    assert all(np.array_equal(a, b) for a, b in zip(tree_leaves(last), tree_leaves(run.model)))
    last[0].weight[:] = 0  # a copy
    assert np.any(run.model[0].weight)


@pytest.mark.parametrize("compiled", [True, False])
def test_true_ends_the_run_in_the_middle_of_an_epoch(compiled):
    run = fit([Every(4, lambda s: s.step == 8), lambda history: None], compiled=compiled)
    assert run.updates == 8 and run.epochs == 2 and not run.interrupted
    assert len(run.history["loss"]) == 2


def test_ctrl_c_in_a_callback_keeps_what_is_done():
    def interrupt(steps):
        if steps.step == 9:
            raise KeyboardInterrupt

    run = fit([Every(3, interrupt)], validation=0.2)
    assert run.interrupted and run.updates == 9 and run.epochs == 2
    assert bits(run) == bits(fit([Every(3, lambda s: s.step == 9)], validation=0.2))


def test_a_run_goes_on_with_its_steps():
    seen = []
    whole, half = fit([Every(2, lambda _: None)], epochs=3), fit([Every(2, lambda _: None)], epochs=2)
    run = fit([Every(7, lambda s: seen.append(s.step))], resume=half)
    assert bits(run) == bits(whole) and seen == [21] and run.updates == whole.updates == 21
    close(fit([], resume=half), whole, 1e-4)


def test_what_does_not_fit_is_told():
    for bad in [(0, print), (2.5, print), (3, "print"), (True, print)]:
        with pytest.raises(ModelError, match=r"Every\(n, f\)"):
            Every(*bad)


@pytest.mark.parametrize("callbacks", [(), [Every(5, lambda _: None)]], ids=["plain", "every"])
def test_numbers_of_numpys_do_not_widen_parameters(callbacks):
    run = fit(callbacks, optimizer=optim.SGD(np.float64(0.1), weight_decay=np.float64(0.01)), l2=np.float64(0.01), epochs=1)
    assert {leaf.dtype for leaf in tree_leaves(run.model)} == {np.dtype(np.float32)}
