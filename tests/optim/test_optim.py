"""Optimizers step by step against the papers' formulas in plain loops."""

import numpy as np
import pytest

import retrograde as rg
from retrograde import optim
from retrograde.errors import ModelError

RNG = np.random.default_rng(0)
START, GRADS = RNG.normal(size=5), RNG.normal(size=(6, 5))


def by_hand(rule):
    p, memory = START.copy(), {}
    for t, g in enumerate(GRADS, 1):
        p = rule(p, g, t, memory)
    return p


def sgd(lr, momentum=0.0, nesterov=False, decay=0.0, dampening=0.0):
    def rule(p, g, t, m):
        g = g + decay * p
        if momentum:
            m["v"] = g if t == 1 else momentum * m["v"] + (1 - dampening) * g
            g = g + momentum * m["v"] if nesterov else m["v"]
        return p - lr * g

    return rule


def adam(lr, b1, b2, eps, decay=0.0, decoupled=0.0):
    def rule(p, g, t, m):
        p = p * (1 - lr * decoupled)
        g = g + decay * p
        m["m"] = b1 * m.get("m", 0) + (1 - b1) * g
        m["v"] = b2 * m.get("v", 0) + (1 - b2) * g**2
        return p - lr * (m["m"] / (1 - b1**t)) / (np.sqrt(m["v"] / (1 - b2**t)) + eps)

    return rule


def rmsprop(lr, alpha, eps, momentum=0.0):
    def rule(p, g, t, m):
        m["s"] = alpha * m.get("s", 0) + (1 - alpha) * g**2
        step = g / (np.sqrt(m["s"]) + eps)
        m["b"] = momentum * m.get("b", 0) + step
        return p - lr * m["b"]

    return rule


def adagrad(lr, decay):
    def rule(p, g, t, m):
        m["s"] = m.get("s", 0) + g**2
        return p - lr / (1 + (t - 1) * decay) * g / (np.sqrt(m["s"]) + 1e-10)

    return rule


CASES = [
    (optim.SGD(0.1), sgd(0.1)),
    (optim.GD(0.1), sgd(0.1)),
    (optim.SGD(0.1, momentum=0.9), sgd(0.1, 0.9)),
    (optim.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01), sgd(0.1, 0.9, True, 0.01)),
    (optim.SGD(0.1, momentum=0.9, dampening=0.5), sgd(0.1, 0.9, dampening=0.5)),
    (optim.Adam(0.1), adam(0.1, 0.9, 0.999, 1e-8)),
    (optim.Adam(0.1, betas=(0.8, 0.9), weight_decay=0.1), adam(0.1, 0.8, 0.9, 1e-8, 0.1)),
    (optim.AdamW(0.1), adam(0.1, 0.9, 0.999, 1e-8, decoupled=0.01)),
    (optim.RMSprop(0.1), rmsprop(0.1, 0.99, 1e-8)),
    (optim.RMSprop(0.1, momentum=0.5), rmsprop(0.1, 0.99, 1e-8, 0.5)),
    (optim.Adagrad(0.1, lr_decay=0.2), adagrad(0.1, 0.2)),
]


@pytest.mark.parametrize("optimizer, rule", CASES, ids=lambda v: repr(v)[:40])
@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
def test_steps_follow_the_formula(optimizer, rule, transform):
    params = {"w": START.copy()}
    state = optimizer.init(params)
    update = transform(optimizer.update)
    for g in GRADS:
        params, state = update({"w": g}, state, params)
    np.testing.assert_allclose(params["w"], by_hand(rule), rtol=1e-12)


@pytest.mark.parametrize("optimizer", [case[0] for case in CASES], ids=lambda v: repr(v)[:40])
def test_float32_stays_float32(optimizer):
    params = (START.astype(np.float32),)
    params, _ = optimizer.update((GRADS[0].astype(np.float32),), optimizer.init(params), params)
    assert params[0].dtype == np.float32


def test_bad_settings_and_names():
    for bad in (lambda: optim.SGD(-1), lambda: optim.Adam(betas=(1.0, 0.9)), lambda: optim.SGD(nesterov=True)):
        with pytest.raises(ModelError):
            bad()
    for make, settings in (
        (optim.SGD, {"lr": "fast"}), (optim.SGD, {"dampening": np.nan}), (optim.Adam, {"betas": 0.9}),
        (optim.RMSprop, {"eps": -1}), (optim.RMSprop, {"weight_decay": -1}), (optim.Adagrad, {"eps": -1}),
    ):  # fmt: skip
        with pytest.raises(ModelError, match=next(iter(settings))):
            make(**settings)
    with pytest.raises(ModelError, match="did you mean 'adam'"):
        optim.get_optimizer("addam")
    assert optim.get_optimizer("adam", 0.5) == optim.Adam(0.5)


def test_a_schedule_around_an_optimizer_is_told_that_it_goes_inside():
    with pytest.raises(ModelError, match=r"CosineAnnealingLR: lr must be a number; .*optim.Scheduled"):
        optim.schedules.CosineAnnealingLR(optim.Adam(), 100)
    with pytest.raises(ModelError, match="ExponentialLR: gamma must be a number"):
        optim.schedules.ExponentialLR(0.1, "0.9")
    assert optim.schedules.StepLR(np.float32(0.5), 10)(0) == 0.5
