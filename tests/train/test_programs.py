"""`Programs`: an equal run takes the program that is there, an unequal one does not, and the numbers are those of a run alone."""

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn, optim
from retrograde.train import Programs, program

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(20, 3)), rng.normal(size=(20, 1))


def fit(programs, seed=0, points=20, width=3, **settings):
    net = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 1))
    return rg.fit(net, (X[:points], Y[:points]), **{"epochs": 2, "seed": seed, "compiled": programs, **settings})


@pytest.fixture
def traced(monkeypatch):
    """How often a program was written, so far."""
    count = []
    whole = program.make_program

    def counting(settings):
        count.append(settings)
        return whole(settings)

    monkeypatch.setattr("retrograde.train.driver.make_program", counting)
    return count


def test_an_equal_run_takes_the_program_that_is_there(traced):
    programs = Programs()
    for seed in (0, 1):
        for a, b in zip(rg.tree.tree_leaves(fit(programs, seed).model), rg.tree.tree_leaves(fit(True, seed).model)):
            np.testing.assert_array_equal(a, b)
    assert len(traced) == 1 + 2


@pytest.mark.parametrize("other", [{"points": 19}, {"width": 4}, {"optimizer": optim.Adam(0.5)}, {"loss": "mae"}])
def test_another_run_has_a_program_of_its_own(traced, other):
    programs = Programs()
    for settings in ({}, other, {}, other):
        run = fit(programs, **settings)
    assert len(traced) == 2
    assert run.history["loss"].tolist() == fit(True, **other).history["loss"].tolist()


def test_only_the_last_ones_are_kept_and_what_cannot_be_compared_is_not(traced):
    programs = Programs(most=1)
    for points in (20, 19, 20):
        fit(programs, points=points)
    assert len(traced) == 3

    class Own(optim.SGD):
        __hash__ = None

    for _ in range(2):
        fit(programs, optimizer=Own(0.1))
    assert len(traced) == 5
