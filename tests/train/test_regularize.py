"""Penalties, mixup and augmentation in `fit`, against plain loops; compiled against interpreted."""

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn, optim, random
from retrograde.errors import ModelError
from retrograde.train.regularize import MIXUP, mixed, symmetric_beta
from retrograde.tree import tree_leaves
from scipy import stats

RNG = np.random.default_rng(0)
X = RNG.normal(size=(14, 4))
Y = np.stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2]], 1)
LABELS = (X[:, 0] > 0).astype(int)
WEIGHT = RNG.uniform(0.5, 2.0, size=14)
NET = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Tanh(), nn.Linear(3, 2)).init(0, np.float64)
GD = optim.GD(0.1)


def assert_close(a, b, rtol=1e-9):
    for p, q in zip(tree_leaves(a), tree_leaves(b), strict=True):
        np.testing.assert_allclose(p, q, rtol=rtol, atol=1e-3 * rtol)


def both(net=NET, data=(X, Y), **settings):
    """Compiled and interpreted, which must agree; the compiled one."""
    settings = {"optimizer": GD, "epochs": 1, "batch_size": None} | settings
    native, plain = (rg.fit(net, data, compiled=c, **settings) for c in (True, False))
    assert_close(native.model, plain.model)
    np.testing.assert_allclose(native.history["loss"], plain.history["loss"], rtol=1e-9)
    return native


def descended(loss, net=NET):
    value, grads = rg.value_and_grad(loss)(net)
    return value, GD.update(grads, {}, net)[0]


def test_penalties_are_on_weights():
    def loss(p):
        weights = (p[0].weight, p[3].weight)
        return np.mean((p(X) - Y) ** 2) + sum(0.01 * np.sum(np.abs(w)) + 0.05 * np.sum(w**2) for w in weights)

    value, net = descended(loss)
    run = both(l1=0.01, l2=0.05, validation=(X, Y))
    assert run.history["loss"][0] == pytest.approx(value)
    assert run.history["val_loss"][0] == pytest.approx(np.mean((run.model(X) - Y) ** 2))
    assert_close(run.model, net)
    half = NET.init(0, np.float32)
    plain, narrow = (rg.fit(half, (X, Y), optimizer=GD, epochs=2, l2=0.05, precision=p) for p in (None, "f16"))
    assert_close(plain.model, narrow.model, 2e-2)
    np.testing.assert_allclose(plain.history["loss"], narrow.history["loss"], rtol=1e-2)


def test_frozen_weights_have_no_penalty():
    run = both(nn.freeze(NET, "0"), l1=0.1)
    value, _ = descended(lambda p: np.mean((p(X) - Y) ** 2) + 0.1 * np.sum(np.abs(p[3].weight)))
    assert run.history["loss"][0] == pytest.approx(value)


def drawn(n=14):
    """The order and the share of the one batch of an epoch of seed 0."""
    key = random.fold_in(random.fold_in(random.fold_in(random.key(0), 0), 1), MIXUP)
    return random.permutation(random.fold_in(key, 0), n), symmetric_beta(random.fold_in(key, 1), 0.4)


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_mixup_mixes_points_and_targets(weight):
    order, share = drawn()

    def mix(v):
        return None if v is None else share * v + (1 - share) * v[order]

    value, net = descended(lambda p: nn.losses.mse(p(mix(X)), mix(Y), sample_weight=mix(weight)))
    run = both(mixup=0.4, sample_weight=weight)
    assert run.history["loss"][0] == pytest.approx(value)
    assert_close(run.model, net)


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("loss", ["cross_entropy", nn.CrossEntropyLoss(label_smoothing=0.1)], ids=["name", "smoothed"])
def test_mixup_of_labels_mixes_losses(weight, loss):
    order, share = drawn()
    f = nn.losses.get_loss(loss)

    def total(p):
        z = p(share * X + (1 - share) * X[order])
        first, second = ({}, {}) if weight is None else ({"sample_weight": w} for w in (weight, weight[order]))
        return share * f(z, LABELS, **first) + (1 - share) * f(z, LABELS[order], **second)

    value, net = descended(total)
    run = both(data=(X, LABELS), mixup=0.4, sample_weight=weight, loss=loss)
    assert run.history["loss"][0] == pytest.approx(value)
    assert_close(run.model, net)


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 8.0])
def test_the_share_is_beta_distributed(alpha):
    keys = random.split(random.key(1), 4000)
    shares = rg.vmap(lambda key: symmetric_beta(key, alpha))(keys)
    assert np.isfinite(shares).all() and shares.min() >= 0 and shares.max() <= 1
    if alpha > 0.1:  # a smaller one has shares that no float64 tells from 0 and 1
        assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert np.var(shares) == pytest.approx(0.25 / (2 * alpha + 1), rel=0.1)


def test_mixup_of_a_single_point_is_that_point():
    x, y, _ = mixed(0.4, (X[:1], Y[:1], None), random.key(0))
    np.testing.assert_allclose(x, X[:1])
    np.testing.assert_allclose(y, Y[:1])


def test_augmentation_sees_each_batch_with_a_key_of_its_own():
    def noisy(x, key):
        return x + 0.1 * random.normal(key, x.shape, x.dtype)

    runs = [both(batch_size=4, augment=noisy, mixup=0.3, seed=seed, epochs=2) for seed in (0, 0, 1)]
    assert_close(runs[0].model, runs[1].model)
    assert runs[0].history["loss"][0] != runs[2].history["loss"][0]
    sign = both(augment=lambda x, key: -x, validation=(X, Y))
    assert sign.history["loss"][0] == pytest.approx(np.mean((NET(-X) - Y) ** 2))
    assert sign.history["val_loss"][0] == pytest.approx(np.mean((sign.model(X) - Y) ** 2))


def test_noise_is_a_layer():
    layer, x = nn.GaussianNoise(0.5), np.zeros((100, 100))
    assert np.std(layer(x, key=random.key(0))) == pytest.approx(0.5, rel=0.05) and layer(x) is x
    run = both(nn.Sequential(nn.GaussianNoise(0.1), *NET))
    assert run.history["loss"][0] != pytest.approx(np.mean((NET(X) - Y) ** 2), rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"l1": -1}, "l1 must be a number, 0 or more"), ({"l2": "a"}, "l2 must be"), ({"mixup": 0}, "mixup must be a positive"),
     ({"augment": 3}, "augment is a function"), ({"augment": lambda x, key: x[:, :2]}, r"augment must return .*64 \(14, 4\)"),
     ({"augment": lambda x, key: x.astype(np.float32)}, "returned float32")],
)  # fmt: skip
def test_bad_settings(settings, said):
    with pytest.raises(ModelError, match=said):
        rg.fit(NET, (X, Y), **settings)
    with pytest.raises(ModelError, match="has none that are trained"):
        rg.fit(nn.freeze(NET, "0", "3"), (X, Y), l1=0.1)
    with pytest.raises(ModelError, match="GaussianNoise: std"):
        nn.GaussianNoise(-1.0)
