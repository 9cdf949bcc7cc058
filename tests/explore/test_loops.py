"""Loops and branches opened: each step in time has its values and cotangents, the branch that is taken its operations."""

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn
from retrograde.nn.losses import mse

rng = np.random.default_rng(0)
XS = rng.normal(size=(6, 2))
P = {"W": 0.5 * rng.normal(size=(3, 3)), "U": rng.normal(size=(3, 2)), "b": np.zeros(3)}


def recurrent(p, xs):
    def step(h, x):
        h = np.tanh(p["W"] @ h + p["U"] @ x + p["b"])
        return h, h

    h, hs = rg.scan(step, np.zeros(3), xs)
    return np.sum((h - 1.0) ** 2) + 0.1 * np.sum(hs)


def by_hand(p, xs):
    """Backpropagation through time."""
    h = [np.zeros(3)]
    for x in xs:
        h.append(np.tanh(p["W"] @ h[-1] + p["U"] @ x + p["b"]))
    ct, found = 2 * (h[-1] - 1.0), []
    for t in reversed(range(1, len(h))):
        ct = ct + 0.1
        found.append(ct)
        ct = p["W"].T @ (ct * (1 - h[t] ** 2))
    return h, found[::-1]


def same_gradient(record, gradient):
    for name, expected in gradient.items():
        np.testing.assert_allclose(record[name].cotangent, expected, rtol=1e-5, atol=1e-7)


def test_backpropagation_through_time_is_seen():
    record = rg.explore(recurrent)(P, XS)
    h, cotangents = by_hand(P, XS)
    names = [f"h{t}" for t in range(1, 7)]
    assert [s.name for s in record.steps if s.name.startswith("h") and s.name != "hs"] == names
    for t, name in enumerate(names, 1):
        np.testing.assert_allclose(record[name].value, h[t], rtol=1e-12)
        np.testing.assert_allclose(record[name].cotangent, cotangents[t - 1], rtol=1e-12)
    assert str(record["h3"].formula) == "tanh(W h2 + U x2 + b)" and str(record["h1"].formula).startswith("tanh(W h0 + U x0")
    assert "Wᵀ (dl/dh4 · (1 - h4 · h4))" in str(record["h3"].backward)
    assert record["h2"].source[2] == 'h = np.tanh(p["W"] @ h + p["U"] @ x + p["b"])'
    np.testing.assert_allclose(record["h3"].jacobian_by("h2"), P["W"].T * (1 - h[3] ** 2), rtol=1e-12)
    same_gradient(record, rg.grad(recurrent)(P, XS))


def test_a_chain_in_time_that_vanishes_is_diagnosed():
    weak = P | {"W": 0.2 * P["W"]}
    said = rg.explore(lambda p, xs: np.sum(last(p, xs) ** 2))(weak, XS).diagnose()
    assert any("vanishing" in sentence and "at h5 to" in sentence for sentence in said)


def last(p, xs):
    def step(h, x):
        h = np.tanh(p["W"] @ h + p["U"] @ x + p["b"])
        return h, None

    h, _ = rg.scan(step, np.zeros(3), xs)
    return h


def test_a_loop_backwards_stacks_in_order():
    def loss(w, xs):
        def step(s, x):
            s = s * w + x
            return s, s

        s, rows = rg.scan(step, np.float64(0), xs, reverse=True)
        return np.sum(rows * np.arange(4.0)) + s

    xs = np.array([1.0, -2.0, 3.0, 0.5])
    record = rg.explore(loss)(0.7, xs)
    assert record["s3"].value == pytest.approx(1 + 0.7 * (-2 + 0.7 * (3 + 0.7 * 0.5)))
    assert record.loss == pytest.approx(loss(0.7, xs)) and record["w"].cotangent == pytest.approx(rg.grad(loss)(0.7, xs))


def test_long_loops_stay_one_step():
    def loss(w, n):
        return rg.fori_loop(0, n, lambda i, s: np.sin(w * s), 1.0)

    record = rg.explore(loss)(0.9, 65)
    assert len(record.steps) == 1 and "scan" in record.steps[0].op
    assert len([eq for eq in rg.explore(loss)(0.9, 64).passes.graph.equations if eq.primitive.name == "sin"]) == 64


def test_of_a_branch_the_one_that_is_taken():
    def loss(p, x):
        h = np.tanh(p * x)
        z = rg.cond(h > 0, lambda h: 3 * h * h, lambda h: np.exp(h), h)
        return z**2

    up, down = rg.explore(loss)(0.5, 1.0), rg.explore(loss)(0.5, -1.0)
    assert str(up["z"].formula) == "3 · h · h" and str(down["z"].formula) == "exp(h)"
    for record, x in ((up, 1.0), (down, -1.0)):
        assert record["p"].cotangent == pytest.approx(rg.grad(loss)(0.5, x))
    chosen = rg.explore(lambda p, k: rg.switch(k, [lambda p: p, lambda p: np.float32(2.0) * p], p) ** 2)
    assert chosen(np.float32(3.0), np.int64(-1)).loss == 36.0
    mixed = rg.explore(lambda p: rg.cond(p > 0, lambda p: 1, lambda p: p, p) * p)(np.float32(2.0))
    assert mixed.loss == 2.0 and all(s.value.dtype == np.float32 for s in mixed.steps)


def test_what_cannot_be_carried_is_refused_as_ever():
    with pytest.raises(rg.errors.GraphTypeError, match="must keep its shape and dtype"):
        rg.explore(lambda w: rg.scan(lambda s, _: (np.stack([s, w]), None), w, length=3)[0])(1.0)


def test_what_is_compiled_meanwhile_is_a_loop():
    inner = rg.jit(lambda x: rg.scan(lambda s, _: (np.sin(s), None), x, length=5)[0])
    rg.explore(lambda w: w * inner(0.5))(1.0)
    assert "scan[length=5" in str(inner.lower(0.5).graph)


GATES = {
    nn.RNN: {"h2": "tanh(fed[1] + h1 weight_hh_l0ᵀ + bias_hh_l0)"},
    nn.GRU: {
        "a2": "h1 weight_hh_l0ᵀ + bias_hh_l0", "u2": "fed[1]", "r2": "sigmoid(u2[:,0:3] + a2[:,0:3])",
        "z2": "sigmoid(u2[:,3:6] + a2[:,3:6])", "n2": "tanh(u2[:,6:9] + r2 · a2[:,6:9])", "h2": "(1 - z2) · n2 + z2 · h1",
    },
    nn.LSTM: {
        "a2": "fed[1] + h1 weight_hh_l0ᵀ + bias_hh_l0", "i2": "sigmoid(a2[:,0:3])", "f2": "sigmoid(a2[:,3:6])",
        "g2": "tanh(a2[:,6:9])", "o2": "sigmoid(a2[:,9:12])", "c2": "f2 · c1 + i2 · g2", "h2": "o2 · tanh(c2)",
    },
}  # fmt: skip


@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
def test_recurrent_layers_have_their_states_in_time(layer):
    net = nn.Sequential(layer(2, 3, batch_first=True), nn.TakeOutput(-1), nn.Linear(3, 1)).init(0, np.float64)
    x, y = rng.normal(size=(5, 4, 2)), np.ones((5, 1))

    def loss(net, x, y):
        return mse(net(x), y)

    record = rg.explore(loss)(net, x, y)
    output, _ = net[0](x)
    for t in range(4):
        np.testing.assert_allclose(record[f"h{t + 1}"].value, output[:, t], rtol=1e-12)
    for name, formula in GATES[layer].items():
        assert str(record[name].formula) == formula
    assert str(record["f0"].formula) == "h4 Ω0ᵀ + β0" and "embed" not in str(record["h3"].backward)
    gradient = rg.grad(loss)(net, x, y)
    same_gradient(record, gradient[0].weights | {"Ω0": gradient[2].weight, "β0": gradient[2].bias})
    assert "f0" in [step.name for step in record.steps]


def test_the_gate_f_leaves_the_layers_their_names():
    net = nn.Sequential(nn.LSTM(2, 3), nn.TakeOutput(-1), nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1)).init(0, np.float64)
    record = rg.explore(lambda net, x: np.sum(net(x) ** 2))(net, rng.normal(size=(5, 2, 2)))
    assert record["f1"].op == "Linear" and record["f1"].shape == (5, 1) and str(record["f2"].formula) == "sigmoid(a2[:,3:6])"


def newton(a, steps=None):
    """The square root of a."""
    return rg.while_loop(lambda x: np.abs(x * x - a) > 1e-6, lambda x: x - (x * x - a) / (2 * x), 1.0 + 0 * a, max_steps=steps)


def test_a_while_loop_is_opened_for_as_long_as_it_goes_on():
    def cube(a, steps=None):
        x = newton(a, steps)
        return x**3

    record = rg.explore(cube)(2.0)
    xs = [1.0]
    while abs(xs[-1] ** 2 - 2) > 1e-6:
        xs.append(xs[-1] - (xs[-1] ** 2 - 2) / (2 * xs[-1]))
    assert [record[f"x{i}"].value for i in range(len(xs))] == pytest.approx(xs) and f"x{len(xs)}" not in record._by_name
    assert str(record["x3"].formula) == "x2 - (x2 · x2 - a) / (2 · x2)"
    assert record["a"].cotangent == pytest.approx(rg.grad(cube)(2.0))
    assert rg.explore(cube)(2.0, 2).loss == pytest.approx(xs[2] ** 3)
    assert rg.explore(cube)(2.0, 0).loss == 1.0


@pytest.mark.parametrize("steps, opened", [(64, True), (65, False)])
def test_a_long_while_loop_stays_one_step(steps, opened):
    def loss(w):
        return rg.while_loop(lambda s: s[0] < steps, lambda s: (s[0] + 1, np.sin(w * s[1])), (0, 1.0))[1]

    record = rg.explore(loss)(0.9)
    primitives = [eq.primitive.name for eq in record.passes.graph.equations]
    assert primitives.count("sin") == (64 if opened else 0) and ("scan" in primitives) is not opened
    assert record["w"].cotangent == pytest.approx(rg.grad(loss)(0.9))
