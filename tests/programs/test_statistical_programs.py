"""Statistics in plain NumPy: mixtures, filters and regressions, against closed forms."""

import numpy as np
import pytest

import retrograde as rg

RNG = np.random.default_rng(21)
both = pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])


def logsumexp(x, axis):
    most = np.max(x, axis=axis, keepdims=True)
    return np.squeeze(most, axis) + np.log(np.sum(np.exp(x - most), axis=axis))


def mixture(params, x):
    """The log-likelihood of points under a mixture of Gaussians with diagonal covariances."""
    logits, means, log_scales = params
    z = (x[:, None, :] - means) * np.exp(-log_scales)
    log_density = -0.5 * np.sum(z**2, axis=-1) - np.sum(log_scales, axis=-1) - 0.5 * x.shape[1] * np.log(2 * np.pi)
    return np.sum(logsumexp(log_density + logits - logsumexp(logits, 0), 1))


def responsibilities(params, x):
    logits, means, log_scales = params
    z = (x[:, None, :] - means) / np.exp(log_scales)
    joint = np.exp(logits) / np.exp(logits).sum() * np.exp(-0.5 * (z**2).sum(-1)) / np.exp(log_scales).prod(-1)
    return joint / joint.sum(1, keepdims=True), z


def some_mixture(n=60, k=4, d=3):
    return (RNG.normal(size=k), RNG.normal(size=(k, d)), 0.3 * RNG.normal(size=(k, d))), RNG.normal(size=(n, d))


@both
def test_a_mixtures_gradient_is_made_of_responsibilities(transform):
    """Dempster, Laird and Rubin (1977): what the M-step sets to zero."""
    params, x = some_mixture()
    r, z = responsibilities(params, x)
    logits, means, log_scales = transform(rg.grad(mixture))(params, x)
    share = np.exp(params[0]) / np.exp(params[0]).sum()
    np.testing.assert_allclose(logits, r.sum(0) - len(x) * share, atol=1e-11)
    np.testing.assert_allclose(means, np.einsum("nk,nkd->kd", r, z) / np.exp(params[2]), atol=1e-11)
    np.testing.assert_allclose(log_scales, np.einsum("nk,nkd->kd", r, z**2 - 1), atol=1e-11)
    each = transform(rg.per_example_grad(lambda p, point: mixture(p, point[None])))(params, x)
    np.testing.assert_allclose(each[1].sum(0), means, atol=1e-11)
    np.testing.assert_allclose(each[0], r - share, atol=1e-12)


def test_a_mixture_far_from_all_points_overflows_nowhere():
    params, x = some_mixture()
    value, (logits, *_) = rg.jit(rg.value_and_grad(mixture))(params, x + 1e3)
    assert np.isfinite(value) and np.all(np.isfinite(logits))


@both
def test_expectation_maximization_is_a_loop_that_raises_the_likelihood(transform):
    params, x = some_mixture(200, 2, 2)

    def step(params, _):
        gradient = rg.grad(mixture)(params, x)
        share = np.exp(params[0]) / np.sum(np.exp(params[0]))
        weight = gradient[0] + len(x) * share  # the responsibilities' sums, by their closed form
        means = params[1] + gradient[1] * np.exp(2 * params[2]) / weight[:, None]
        return (np.log(weight), means, params[2]), mixture(params, x)

    _, values = transform(lambda p: rg.scan(step, p, None, length=15))(params)
    assert np.all(np.diff(values) >= -1e-9) and values[-1] > values[0]


def logistic(w, X, y):
    z = X @ w
    return np.sum(np.logaddexp(0.0, z) - y * z)


@both
def test_the_hessian_of_logistic_regression(transform):
    X, w = RNG.normal(size=(50, 6)), RNG.normal(size=6)
    y = (RNG.random(50) < 0.5).astype(float)
    p = 1 / (1 + np.exp(-X @ w))
    H = X.T * (p * (1 - p)) @ X
    v = RNG.normal(size=6)
    np.testing.assert_allclose(transform(rg.grad(logistic))(w, X, y), X.T @ (p - y), atol=1e-12)
    np.testing.assert_allclose(transform(rg.hessian(logistic))(w, X, y), H, atol=1e-12)
    np.testing.assert_allclose(transform(rg.jacobian(rg.grad(logistic)))(w, X, y), H, atol=1e-12)
    np.testing.assert_allclose(transform(lambda w: rg.hvp(lambda w: logistic(w, X, y), (w,), (v,))[0])(w), H @ v, atol=1e-12)


def local_level(log_q, log_r, ys):
    """The Kalman filter's log-likelihood of a random walk seen through noise (Durbin and Koopman, 2012, section 2.2)."""
    q, r = np.exp(log_q), np.exp(log_r)

    def step(state, y):
        mean, variance = state
        total = variance + r
        surprise, gain = y - mean, variance / total
        value = -0.5 * (np.log(2 * np.pi * total) + surprise**2 / total)
        return (mean + gain * surprise, variance * (1 - gain) + q), value

    return np.sum(rg.scan(step, (0.0, 1.0 + 0.0 * q), ys)[1])


@both
def test_the_likelihood_of_a_local_level_model(transform):
    """All points together are Gaussian with covariance 1 + q min(i, j) + r [i = j]: its density and its derivative by q, r."""
    ys, at = np.cumsum(RNG.normal(size=25)), (-0.7, 0.3)
    q, r = np.exp(at)
    steps = np.minimum.outer(np.arange(25), np.arange(25))
    S = 1.0 + q * steps + r * np.eye(25)
    inverse = np.linalg.inv(S)
    a = inverse @ ys
    exact = -0.5 * (25 * np.log(2 * np.pi) + np.linalg.slogdet(S)[1] + ys @ a)
    slopes = [0.5 * scale * (a @ dS @ a - np.sum(inverse * dS)) for scale, dS in ((q, steps), (r, np.eye(25)))]
    value, found = transform(rg.value_and_grad(local_level, (0, 1)))(*at, ys)
    assert value == pytest.approx(exact, rel=1e-11)
    np.testing.assert_allclose(found, slopes, rtol=1e-9)
    forward = transform(lambda p: rg.jvp(lambda q, r: local_level(q, r, ys), p, (1.0, 0.0))[1])(at)
    assert forward == pytest.approx(slopes[0], rel=1e-9)
