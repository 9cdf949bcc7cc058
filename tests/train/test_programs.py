"""`Programs`: an equal run takes the program that is there, an unequal one does not, and the numbers are those of a run alone."""

from dataclasses import dataclass

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn, optim
from retrograde.train import Programs, numbers, program
from retrograde.train.regularize import Penalty

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
        together, alone = fit(programs, seed), fit(True, seed)
        for a, b in zip(rg.tree.tree_leaves(together.model), rg.tree.tree_leaves(alone.model)):
            np.testing.assert_array_equal(a, b)
        assert (together.flops_per_update, together.held_bytes) == (alone.flops_per_update, alone.held_bytes)
    assert len(traced) == 1 + 2


@pytest.mark.parametrize("other", [{"points": 19}, {"width": 4}, {"optimizer": optim.Adam(amsgrad=True)}, {"loss": "mae"}])
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


def test_rates_decays_and_penalties_share_a_program(traced):
    programs, rates = Programs(), np.geomspace(1e-3, 1e-1, 3)
    for rate in rates:
        settings = {"optimizer": optim.Clipped(optim.AdamW(rate, weight_decay=rate), 1.0), "l1": rate, "l2": 2 * rate}
        together, alone = fit(programs, **settings), fit(False, **settings)
        np.testing.assert_allclose(together.history["loss"], alone.history["loss"], rtol=1e-5)
    assert len({key[1].optimizer for key in programs._kept}) == 1 and len(traced) == 1 + len(rates)
    fit(programs, **settings | {"l1": 0.0})  # which leaves out a part of the program
    assert len(programs._kept) == 2


@pytest.mark.parametrize("optimizer", [
    optim.SGD(0.03, momentum=0.9, weight_decay=1e-3, nesterov=True), optim.RMSprop(0.003, weight_decay=0.01),
    optim.Grouped(optim.AdamW(0.01), {"*bias": optim.Plateau(optim.Lion(0.003, weight_decay=0.1))}),
], ids=lambda o: type(o).__name__)  # fmt: skip
def test_numbers_that_are_arguments_do_as_constants_do(optimizer):
    net = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1)).init(0)
    settings = program.Settings(nn.losses.mse, optimizer, 8, True, 4, None, penalty=Penalty(0.01, 0.02))
    carry = program.start(net, settings, rg.random.key(0))
    points = (X.astype(np.float32), Y.astype(np.float32), None, None, None, np.int64(4))
    without, found = numbers.split(settings)
    assert found["penalty.l1"] == 0.01 and len(found) >= 4 and numbers.joined(without, found) == settings
    constants = rg.jit(program.make_program(settings))(carry, *points)
    arguments = rg.jit(program.make_program(without))(carry, *points, found)
    for a, b in zip(rg.tree.tree_leaves(constants), rg.tree.tree_leaves(arguments), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
        assert np.asarray(a).dtype == np.asarray(b).dtype


def test_an_optimizer_of_ones_own_may_name_its_numbers(traced):
    @dataclass(frozen=True)
    class Signs(optim.Optimizer):
        numbers = ("lr",)
        lr: float

        def init(self, params):
            return {}

        def update(self, grads, state, params):
            return rg.tree.tree_map(lambda p, g: p - self.lr * np.sign(g), params, grads), state

    programs = Programs()
    losses = [fit(programs, optimizer=Signs(lr)).history["loss"][-1] for lr in (0.01, 0.02)]
    assert len(traced) == 1 and losses[0] != losses[1]


def test_an_optimizer_that_builds_on_ours_may_ask_for_its_rate_in_python():
    class Careful(optim.SGD):
        def update(self, grads, state, params):
            return super().update(grads, state, params) if self.lr < 1.0 else (params, state)

    for around in (lambda optimizer: optimizer, lambda optimizer: optim.Clipped(optimizer, 1.0)):
        careful, plain = (fit(True, optimizer=around(kind(0.1))).history["loss"] for kind in (Careful, optim.SGD))
        np.testing.assert_allclose(careful, plain, rtol=1e-5)
