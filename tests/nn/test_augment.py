"""Augmentations: what they do to each image, eagerly, compiled and in `fit`."""

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn, random
from retrograde.errors import ModelError
from retrograde.nn import augment

X = np.random.default_rng(0).normal(size=(64, 2, 6, 5)).astype(np.float32)
KEY = random.key(3)
ALL = {
    "crop": augment.random_crop(2), "flip": augment.random_flip(), "upside": augment.random_flip(0.3, axis=-2),
    "cutout": augment.cutout(3), "brightness": augment.brightness(0.5), "contrast": augment.contrast(0.5),
}  # fmt: skip


@pytest.mark.parametrize("name", [*ALL, "compose"])
def test_compiled_is_eager_and_each_image_differs(name):
    f = ALL.get(name) or augment.compose(*ALL.values())
    y = f(X, KEY)
    assert y.shape == X.shape and y.dtype == X.dtype
    assert np.array_equal(y, f(X, KEY)) and not np.array_equal(y, f(X, random.key(4)))
    np.testing.assert_allclose(rg.jit(f)(X, KEY), y, rtol=1e-6, atol=1e-6)
    alike = f(np.broadcast_to(X[:1], X.shape), KEY)
    assert len({image.tobytes() for image in alike}) > 1


def test_crop_shifts_by_whole_pixels():
    padded, shifts = np.pad(X, ((0, 0), (0, 0), (2, 2), (2, 2))), set()
    for image, before in zip(ALL["crop"](X, KEY), padded):
        found = [(i, j) for i in range(5) for j in range(5) if np.array_equal(before[:, i : i + 6, j : j + 5], image)]
        assert len(found) == 1
        shifts.update(found)
    assert len(shifts) > 15
    assert np.array_equal(augment.random_crop(0)(X, KEY), X)


def test_flip_mirrors_its_part_of_the_images():
    for name, axis, p in (("flip", -1, 0.5), ("upside", -2, 0.3)):
        y = ALL[name](X, KEY)
        flipped = [np.array_equal(a, np.flip(b, axis)) for a, b in zip(y, X)]
        assert all(f or np.array_equal(a, b) for f, a, b in zip(flipped, y, X))
        assert abs(np.mean(flipped) - p) < 0.2


def test_cutout_leaves_a_square_out():
    y = ALL["cutout"](X, KEY)
    for image, before in zip(y, X):
        gone = image != before
        assert np.array_equal(gone[0], gone[1]) and np.all(image[gone] == 0)
        rows, columns = np.flatnonzero(gone[0].any(1)), np.flatnonzero(gone[0].any(0))
        assert 2 <= len(rows) <= 3 and 2 <= len(columns) <= 3 and gone[0].sum() == len(rows) * len(columns)


def test_brightness_and_contrast():
    by = ALL["brightness"](X, KEY) - X
    assert np.allclose(by, by[:, :1, :1, :1], atol=1e-6) and 0.3 < np.abs(by).max() <= 0.5
    y, mean = ALL["contrast"](X, KEY), X.mean((1, 2, 3), keepdims=True)
    ratio = (y - mean) / (X - mean)
    assert np.allclose(ratio, ratio[:, :1, :1, :1], atol=1e-2) and 0.5 <= np.median(ratio) <= 1.5
    np.testing.assert_allclose(y.mean((1, 2, 3)), X.mean((1, 2, 3)), atol=1e-6)


def test_in_a_run():
    net = nn.Sequential(nn.Flatten(), nn.Linear(60, 3)).init(0)
    labels = np.arange(64) % 3
    runs = [rg.fit(net, (X, labels), loss="cross_entropy", batch_size=24, epochs=2, augment=augment.compose(*ALL.values()),
                   mixup=0.2, compiled=c) for c in (True, False)]  # fmt: skip
    np.testing.assert_allclose(runs[0].history["loss"], runs[1].history["loss"], rtol=1e-4)


def test_bad_settings():
    for bad in (lambda: augment.random_crop(-1), lambda: augment.random_flip(2.0), lambda: augment.random_flip(axis=0),
                lambda: augment.cutout(0), lambda: augment.brightness(-1.0)):  # fmt: skip
        with pytest.raises(ModelError, match="cannot be"):
            bad()
    with pytest.raises(ModelError, match="random_flip takes images"):
        ALL["flip"](X[0], KEY)
