"""Networks by hand: an LSTM, a net that solves a differential equation, a gradient through gradient steps."""

import numpy as np
import pytest

import retrograde as rg

RNG = np.random.default_rng(23)
both = pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_step(params, state, x):
    """Hochreiter and Schmidhuber (1997), with forget gates; gates in the order input, forget, cell, output."""
    W, U, b = params
    h, c = state
    i, f, g, o = np.split(x @ W.T + h @ U.T + b, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h, c


def lstm_by_scan(params, xs):
    zeros = np.zeros((xs.shape[1], params[1].shape[1]))

    def step(state, x):
        state = lstm_step(params, state, x)
        return state, state[0]

    return rg.scan(step, (zeros, zeros), xs)[1]


def lstm_by_loop(params, xs):
    h = c = np.zeros((xs.shape[1], params[1].shape[1]))
    outputs = []
    for x in xs:
        h, c = lstm_step(params, (h, c), x)
        outputs.append(h)
    return np.stack(outputs)


def some_lstm(steps=7, batch=3, features=4, hidden=5):
    params = tuple(0.4 * RNG.normal(size=s) for s in ((4 * hidden, features), (4 * hidden, hidden), (4 * hidden,)))
    return params, RNG.normal(size=(steps, batch, features))


@both
def test_an_lstm_by_scan_and_by_a_loop(transform):
    params, xs = some_lstm()
    target = RNG.normal(size=(7, 3, 5))
    losses = [lambda p, x, way=way: np.mean((way(p, x) - target) ** 2) for way in (lstm_by_scan, lstm_by_loop)]
    (one, slopes), (other, others) = (transform(rg.value_and_grad(loss, (0, 1)))(params, xs) for loss in losses)
    assert one == pytest.approx(other, rel=1e-12)
    for a, b in zip((*slopes[0], slopes[1]), (*others[0], others[1])):
        np.testing.assert_allclose(a, b, atol=1e-13)
    direction = tuple(RNG.normal(size=p.shape) for p in params)
    ahead, back = (losses[1](tuple(p + s * d for p, d in zip(params, direction)), xs) for s in (1e-6, -1e-6))
    slope = sum(np.sum(g * d) for g, d in zip(slopes[0], direction))
    assert slope == pytest.approx((ahead - back) / 2e-6, rel=1e-6)
    along = transform(lambda p: rg.jvp(lambda p: losses[0](p, xs), (p,), (direction,))[1])(params)
    assert along == pytest.approx(slope, rel=1e-10)


def test_an_lstm_is_pytorchs():
    torch = pytest.importorskip("torch")
    params, xs = some_lstm()
    peer = torch.nn.LSTM(4, 5, dtype=torch.float64)
    with torch.no_grad():
        for tensor, value in zip((peer.weight_ih_l0, peer.weight_hh_l0, peer.bias_ih_l0), params):
            tensor.copy_(torch.from_numpy(value))
        peer.bias_hh_l0.zero_()
    given = torch.from_numpy(xs).requires_grad_()
    torch.sum(peer(given)[0] ** 3).backward()
    slopes, dx = rg.jit(rg.grad(lambda p, x: np.sum(lstm_by_scan(p, x) ** 3), (0, 1)))(params, xs)
    for found, tensor in zip((*slopes, dx), (peer.weight_ih_l0, peer.weight_hh_l0, peer.bias_ih_l0, given)):
        np.testing.assert_allclose(found, tensor.grad.numpy(), atol=1e-12)


def net(params, t):
    """A number to a number."""
    (w, b), (v, c), (u, d) = params
    return np.tanh(np.tanh(t * w + b) @ v + c) @ u + d


def some_net(width=12):
    shapes = (width,), (width,), (width, width), (width,), (width,), ()
    flat = [RNG.normal(size=s) / np.sqrt(s[0] if len(s) == 2 else 1) for s in shapes]
    return [tuple(flat[i : i + 2]) for i in (0, 2, 4)]


def oscillation(params, times):
    """What an oscillator's equation u'' = -u and u(0) = 1, u'(0) = 0 leave of the net (Raissi et al., 2019)."""

    def u(t):
        return net(params, t)

    left = rg.vmap(lambda t: rg.grad(rg.grad(u))(t) + u(t))(times)
    return np.mean(left**2) + (u(0.0) - 1) ** 2 + rg.grad(u)(0.0) ** 2


@both
def test_second_derivatives_inside_a_loss(transform):
    params, times = some_net(5), np.linspace(0, 2, 6)
    found = transform(rg.grad(oscillation))(params, times)
    direction = [tuple(RNG.normal(size=np.shape(p)) for p in pair) for pair in params]

    def at(s):
        return oscillation([tuple(p + s * d for p, d in zip(*pairs)) for pairs in zip(params, direction)], times)

    slope = sum(np.sum(g * d) for pairs in zip(found, direction) for g, d in zip(*pairs))
    assert slope == pytest.approx((at(1e-5) - at(-1e-5)) / 2e-5, rel=1e-6)

    def forward(params):
        def u(t):
            return net(params, t)

        def slope(t):
            return rg.jvp(u, (t,), (1.0,))[1]

        left = rg.vmap(lambda t: rg.jvp(slope, (t,), (1.0,))[1] + u(t))(times)
        return np.mean(left**2) + (u(0.0) - 1) ** 2 + slope(0.0) ** 2

    for pairs in zip(transform(rg.grad(forward))(params), found):
        for a, b in zip(*pairs):
            np.testing.assert_allclose(a, b, atol=1e-9)


def test_a_net_learns_to_oscillate():
    params, times = some_net(), np.linspace(0, 2, 20)
    adam = rg.optim.Adam(1e-2)

    @rg.jit
    def train(params):
        def update(carry, _):
            params, state = carry
            return adam.update(rg.grad(oscillation)(params, times), state, params), None

        return rg.scan(update, (params, adam.init(params)), None, length=2000)[0][0]

    before, after = oscillation(params, times), train(params)
    assert oscillation(after, times) < 1e-3 * before
    np.testing.assert_allclose([net(after, t) for t in times], np.cos(times), atol=0.05)


def tasks(count=4, points=6):
    return RNG.normal(size=(count, points, 3)), RNG.normal(size=(count, points))


def error(w, x, y):
    return np.mean((np.tanh(x @ w[:3]) * w[3] - y) ** 2)


def adapted(w, x, y, steps):
    for _ in range(steps):
        w = w - 0.3 * rg.grad(error)(w, x, y)
    return w


@both
@pytest.mark.parametrize("steps", [1, 3])
def test_a_gradient_through_gradient_steps(transform, steps):
    """Finn, Abbeel and Levine (2017): how to begin so that a few steps on a task serve it."""
    (x, y), (x2, y2) = tasks(), tasks()

    def meta(w):
        return np.mean(rg.vmap(lambda x, y, x2, y2: error(adapted(w, x, y, steps), x2, y2))(x, y, x2, y2))

    w = RNG.normal(size=4)
    found = transform(rg.grad(meta))(w)
    plain = [(meta(w + h) - meta(w - h)) / 2e-6 for h in 1e-6 * np.eye(4)]
    np.testing.assert_allclose(found, plain, rtol=1e-6, atol=1e-9)
    by_chain = np.zeros(4)  # for one step: (I - 0.3 H) g
    if steps == 1:
        for a, b, a2, b2 in zip(x, y, x2, y2):
            g = rg.grad(error)(adapted(w, a, b, 1), a2, b2)
            by_chain += (g - 0.3 * rg.hessian(error)(w, a, b) @ g) / len(x)
        np.testing.assert_allclose(found, by_chain, rtol=1e-10)
