"""Whole programs with loops inside, against closed forms and other ways to the same result."""

import numpy as np
import pytest

import retrograde as rg

RNG = np.random.default_rng(6)


def kepler(mean, eccentricity):
    """The eccentric anomaly, E - e sin E = M, by Newton's iterations."""

    def residual(E):
        return E - eccentricity * np.sin(E) - mean

    def newton(E):
        return E - residual(E) / (1 - eccentricity * np.cos(E))

    start = mean + eccentricity * np.sin(mean)
    return rg.while_loop(lambda E: np.abs(residual(E)) > 1e-13, newton, start, max_steps=50)


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("mean, e", [(1.0, 0.3), (0.1, 0.9), (3.0, 0.0), (2.5, 0.7)])
def test_keplers_equation(mean, e, transform):
    """Derivatives by the implicit function theorem: dE/dM = 1 / (1 - e cos E), dE/de = sin E / (1 - e cos E)."""
    E = transform(kepler)(mean, e)
    assert E - e * np.sin(E) == pytest.approx(mean, abs=1e-12)
    slope = 1 / (1 - e * np.cos(E))
    np.testing.assert_allclose(transform(rg.grad(kepler, (0, 1)))(mean, e), (slope, np.sin(E) * slope), rtol=1e-8, atol=1e-10)
    second = transform(rg.grad(rg.grad(kepler)))(mean, e)
    assert second == pytest.approx(-e * np.sin(E) * slope**3, rel=1e-6, abs=1e-8)


def test_keplers_equation_for_many_orbits():
    means, es = RNG.uniform(0.1, 3.0, 40), RNG.uniform(0.0, 0.9, 40)
    E = rg.jit(rg.vmap(kepler))(means, es)
    np.testing.assert_allclose(E - es * np.sin(E), means, atol=1e-12)
    np.testing.assert_allclose(rg.jit(rg.vmap(rg.grad(kepler)))(means, es), 1 / (1 - es * np.cos(E)), rtol=1e-8)


def runge_kutta(field, y, h, steps):
    """Kutta's classical method of order 4 (1901), all states."""

    def step(i, states):
        y = states[i]
        a = field(y)
        b = field(y + h / 2 * a)
        c = field(y + h / 2 * b)
        d = field(y + h * c)
        return rg.at(states)[i + 1].set(y + h / 6 * (a + 2 * b + 2 * c + d))

    return rg.fori_loop(0, steps, step, rg.at(np.zeros((steps + 1, 2)))[0].set(y))


def damped(params):
    return lambda y: np.stack([y[1], -params[0] * y[0] - params[1] * y[1]])


def damped_exactly(params, t):
    """y'' = -k y - d y', y(0) = 1, y'(0) = 0."""
    w, g = np.sqrt(params[0] - params[1] ** 2 / 4), params[1] / 2
    return np.exp(-g * t) * (np.cos(w * t) + g / w * np.sin(w * t))


def test_parameters_of_an_equation_of_motion_are_found():
    h, steps, truth = 0.05, 120, np.array([4.0, 0.5])
    t = h * np.arange(steps + 1)
    data = damped_exactly(truth, t)

    def loss(params):
        return np.mean((runge_kutta(damped(params), np.array([1.0, 0.0]), h, steps)[:, 0] - data) ** 2)

    at = np.array([3.0, 0.8])
    exact = rg.grad(lambda p: np.mean((damped_exactly(p, t) - data) ** 2))(at)
    np.testing.assert_allclose(rg.grad(loss)(at), exact, rtol=1e-4)  # the method's own error
    native = rg.jit(rg.grad(loss))
    np.testing.assert_allclose(native(at), rg.grad(loss)(at), rtol=1e-10)

    @rg.jit
    def fit(params):  # gradient descent with momentum, all of it one compiled loop
        def update(i, state):
            p, v = state
            v = 0.9 * v - 1.0 * rg.grad(loss)(p)
            return p + v, v

        return rg.fori_loop(0, 400, update, (params, np.zeros(2)))[0]

    np.testing.assert_allclose(fit(at), truth, rtol=1e-3)


def kalman_step(F, H, Q, R, state, y):
    mean, cov = F @ state[0], F @ state[1] @ F.T + Q
    S = H @ cov @ H.T + R
    gain = cov @ H.T / S
    return mean + gain[:, 0] * (y - H @ mean), cov - gain @ H @ cov


def kalman_by_scan(F, H, Q, R, ys):
    """Kalman (1960), step after step."""

    def step(state, y):
        state = kalman_step(F, H, Q, R, state, y)
        return state, state[0]

    return rg.scan(step, (np.zeros(2), np.eye(2)), ys)[1]


def inverse(m):
    """Of 2 x 2 matrices."""
    a, b, c, d = m[..., 0, 0], m[..., 0, 1], m[..., 1, 0], m[..., 1, 1]
    flat = np.stack([d, -b, -c, a], -1) / (a * d - b * c)[..., None]
    return np.reshape(flat, (*flat.shape[:-1], 2, 2))


def kalman_by_associative_scan(F, H, Q, R, ys):
    """Sarkka and Garcia-Fernandez, "Temporal parallelization of Bayesian smoothers" (2021), equations 9 to 14."""

    def element(y):
        S = H @ Q @ H.T + R
        K = Q @ H.T / S
        ikh = np.eye(2) - K @ H
        b = K[:, 0] * y
        eta = (F.T @ H.T)[:, 0] * (y / S[0, 0])
        return ikh @ F, b, ikh @ Q, eta, F.T @ H.T @ H @ F / S

    def first(y):
        mean, cov = kalman_step(F, H, Q, R, (np.zeros(2), np.eye(2)), y)
        return np.zeros((2, 2)), mean, cov, np.zeros(2), np.zeros((2, 2))

    def join(p, q):
        A1, b1, C1, e1, J1 = p
        A2, b2, C2, e2, J2 = q
        ahead, back = A2 @ inverse(np.eye(2) + C1 @ J2), A1.T @ inverse(np.eye(2) + J2 @ C1)
        return (ahead @ A1, ahead @ (b1 + C1 @ e2) + b2, ahead @ C1 @ A2.T + C2, back @ (e2 - J2 @ b1) + e1, back @ J2 @ A1 + J1)

    rest = rg.vmap(element)(ys[1:])
    elements = [np.concatenate([a[None], b]) for a, b in zip(first(ys[0]), rest)]
    return rg.associative_scan(rg.vmap(join), tuple(elements))[1]


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
def test_a_kalman_filter_both_ways(transform):
    ys = np.cumsum(RNG.normal(size=33))

    def model(p):
        F = np.stack([np.stack([1.0, p[0]]), np.stack([0.0 * p[0], 1.0 + 0.0 * p[0]])])
        return F, np.array([[1.0, 0.0]]), np.eye(2) * p[1], np.array([[1.0]]) * p[2]

    p = np.array([0.7, 0.1, 0.5])
    one = transform(lambda p: kalman_by_scan(*model(p), ys))(p)
    other = transform(lambda p: kalman_by_associative_scan(*model(p), ys))(p)
    np.testing.assert_allclose(other, one, rtol=1e-9)
    slopes = [
        transform(rg.grad(lambda p, way=way: np.sum(way(*model(p), ys)[:, 0] ** 2)))(p)
        for way in (kalman_by_scan, kalman_by_associative_scan)
    ]
    np.testing.assert_allclose(slopes[1], slopes[0], rtol=1e-8)
