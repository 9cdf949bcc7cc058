"""Groups of parameters and the rate that follows the loss, step by step against PyTorch's."""

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn, optim
from retrograde.errors import ModelError
from retrograde.optim import schedules

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(0)
NET = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Tanh(), nn.Linear(3, 1)).init(0, np.float64)
GRADS = [NET.init(seed, np.float64) for seed in range(1, 7)]  # networks of other numbers
X, Y = RNG.normal(size=(40, 4)), RNG.normal(size=(40, 1))


def ours(optimizer, transform):
    net, state, update = NET, optimizer.init(NET), transform(optimizer.update)
    for g in GRADS:
        net, state = update(g, state, net)
    return nn.state_dict(net), state


def torchs(groups):
    params = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in nn.state_dict(NET).items()}
    optimizers = [make([params[name] for name in names]) for names, make in groups]
    for g in GRADS:
        for name, value in nn.state_dict(g).items():
            params[name].grad = torch.tensor(value)
        for optimizer in optimizers:
            optimizer.step()
    return {name: p.detach().numpy() for name, p in params.items()}


def same(a, b):
    assert list(a) == list(b)
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-10, err_msg=name)


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
def test_each_group_steps_as_torchs(transform):
    biases, rest = ["0.bias", "1.bias", "3.bias"], ["0.weight", "1.weight"]
    grouped = optim.Grouped(
        optim.AdamW(0.1),
        {"*.bias": optim.SGD(0.01, momentum=0.9), lambda name, leaf: name == "3.weight": optim.Scheduled(
            optim.AdamW(weight_decay=0.5), schedules.ExponentialLR(0.1, 1.0))},
    )  # fmt: skip
    found, state = ours(grouped, transform)
    same(found, torchs([
        (rest, lambda p: torch.optim.AdamW(p, 0.1)), (biases, lambda p: torch.optim.SGD(p, 0.01, momentum=0.9)),
        (["3.weight"], lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.5)),
    ]))  # fmt: skip
    assert sorted(state) == ["0", "1", "default"] and sorted(state["0"]["velocity"]) == biases


def test_the_first_rule_that_holds_counts():
    grouped = optim.Grouped(optim.SGD(0.0), (("3.*", optim.SGD(1.0)), ("*.bias", optim.SGD(2.0))))
    found, _ = grouped.update(GRADS[0], grouped.init(NET), NET)
    before, after, slopes = map(nn.state_dict, (NET, found, GRADS[0]))
    for name, rate in {"0.weight": 0.0, "0.bias": 2.0, "1.weight": 0.0, "1.bias": 2.0, "3.weight": 1.0, "3.bias": 1.0}.items():
        np.testing.assert_allclose(after[name], before[name] - rate * slopes[name])


def test_weight_decay_on_weights_only():
    found, _ = ours(optim.decay_weights_only(optim.AdamW(0.1, weight_decay=0.3)), rg.jit)
    weights, others = ["0.weight", "3.weight"], ["0.bias", "1.weight", "1.bias", "3.bias"]
    same(found, torchs([
        (weights, lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.3)),
        (others, lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0)),
    ]))  # fmt: skip
    inside = optim.decay_weights_only(optim.Scheduled(optim.AdamW(weight_decay=0.3), schedules.ExponentialLR(0.1, 1.0)))
    same(ours(inside, rg.jit)[0], found)


@pytest.mark.parametrize("settings", [
    {}, {"factor": 0.5, "patience": 1}, {"factor": 0.5, "patience": 1, "threshold": 0.1},
    {"factor": 0.5, "patience": 0, "threshold": 0.05, "threshold_mode": "abs", "cooldown": 2},
    {"factor": 0.1, "patience": 0, "cooldown": 1, "min_lr": 2e-3}, {"factor": 0.3, "patience": 2, "eps": 1e-2},
], ids=str)  # fmt: skip
def test_plateau_is_torchs(settings):
    losses = np.concatenate([1.0 / np.arange(1, 9), 0.12 + 0.01 * RNG.normal(size=40), [np.nan, -1.0, -1.05], np.full(8, -1.0)])
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    theirs, wanted = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **settings), []
    plateau = optim.Plateau(optim.SGD(0.1), **settings)
    state, found, step = plateau.init(np.zeros(1)), [], rg.jit(plateau.end_epoch)
    for loss in losses:
        theirs.step(loss)
        wanted.append(optimizer.param_groups[0]["lr"])
        eager, state = plateau.end_epoch(state, np.float64(loss)), step(state, np.float64(loss))
        assert all(np.array_equal(eager[name], state[name], equal_nan=True) for name in state if name != "inner")
        found.append(state["lr"])
        moved, _ = plateau.update(np.ones(1, np.float32), state, np.zeros(1, np.float32))
        assert moved.dtype == np.float32 and moved[0] == np.float32(-state["lr"])
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert len(set(wanted)) > 1 or not settings


@pytest.mark.parametrize("validated", [True, False])
def test_a_run_tells_the_loss_of_its_epochs_to_the_innermost(validated):
    plateau = optim.Plateau(optim.SGD(0.5), factor=0.5, patience=0)
    grouped = optim.Grouped(plateau, {"*bias": optim.Plateau(optim.Adam(0.1), patience=1)})
    settings = {"optimizer": optim.Averaged(optim.Clipped(grouped, 1.0), 0.9), "epochs": 25, "batch_size": 8, "dtype": np.float64}
    settings |= {"validation": (X[30:], Y[30:])} if validated else {}
    run = rg.fit(nn.Linear(4, 1), (X, Y), **settings)
    state = plateau.init(np.zeros(1))
    for loss in run.history["val_loss" if validated else "loss"]:
        state = plateau.end_epoch(state, loss)
    found = run.optimizer_state["inner"]["default"]
    assert found["lr"] == state["lr"] < 0.5 and found["best"] == state["best"] and found["bad_epochs"] == state["bad_epochs"]
    eager = rg.fit(nn.Linear(4, 1), (X, Y), compiled=False, **settings)
    np.testing.assert_allclose(eager.history["loss"], run.history["loss"], rtol=1e-6)


def test_an_optimizer_of_ones_own_need_not_care_for_epochs():
    class Plain:
        lr = 0.1

        def init(self, params):
            return {}

        def update(self, grads, state, params):
            return rg.tree.tree_map(lambda p, g: p - 0.1 * g, params, grads), state

    for optimizer in (Plain(), optim.Clipped(Plain(), 1.0), optim.Grouped(Plain(), {"bias": Plain()})):
        run = rg.fit(nn.Linear(4, 1), (X, Y), optimizer=optimizer, epochs=3, compiled=False)
        assert run.history["loss"][-1] < run.history["loss"][0]


def test_what_does_not_fit_is_said():
    for optimizer, said in [
        (optim.Grouped(optim.SGD(), {"*.gain": optim.SGD()}), "'\\*.gain' catches no parameter.*0.weight, 0.bias"),
        (optim.Grouped(optim.SGD(), (("*", optim.SGD()), ("*bias", optim.SGD()))), "an earlier rule left"),
    ]:
        with pytest.raises(ModelError, match=said):
            optimizer.init(NET)
    for make, said in [
        (lambda: optim.Grouped(optim.SGD(), {3: optim.SGD()}), "pairs of a rule"),
        (lambda: optim.Grouped(optim.SGD(), {"*": 0.1}), "is no optimizer"),
        (lambda: optim.Grouped(optim.LBFGS()), "steps by gradients"),
        (lambda: optim.decay_weights_only(optim.Rprop()), "no weight_decay"),
        (lambda: optim.Plateau(optim.Clipped(optim.SGD(), 1.0)), "has no lr"),
        (lambda: optim.Plateau(optim.SGD(), factor=1.0), "factor"),
        (lambda: optim.Plateau(optim.SGD(), threshold_mode="max"), "threshold_mode"),
    ]:
        with pytest.raises(ModelError, match=said):
            make()
