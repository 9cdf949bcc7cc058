"""Augmentations of images (batch, channels, height, width): functions of (x, key) in NumPy, each image changed in its own way.

    rg.fit(net, data, augment=nn.augment.compose(nn.augment.random_crop(4), nn.augment.random_flip()))

They run inside the compiled program; the same key gives the same images.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrograde import random
from retrograde.errors import ModelError

Augmentation = Callable[[Any, Any], Any]


def compose(*augmentations: Augmentation) -> Augmentation:
    """One after another, each with a key of its own."""

    def composed(x: Any, key: Any) -> Any:
        for i, augmentation in enumerate(augmentations):
            x = augmentation(x, random.fold_in(key, i))
        return x

    return composed


def random_crop(padding: int) -> Augmentation:
    """Padded with `padding` zeros on each side and cropped to the old size at random: shifted by up to that many pixels."""
    _check("random_crop", padding=(padding, isinstance(padding, int) and padding >= 0))

    def crop(x: Any, key: Any) -> Any:
        for i, axis in enumerate((2, 3)):
            by = _integers(random.fold_in(key, i), x, 2 * padding + 1) - padding
            at = np.reshape(by, (-1, 1)) + np.arange(np.shape(x)[axis])
            x = _shifted(x, at, axis)
        return x

    return _of_images("random_crop", crop)


def random_flip(p: float = 0.5, axis: int = -1) -> Augmentation:
    """Mirrored with probability p, left to right; with axis=-2 upside down."""
    _check("random_flip", p=(p, 0 <= p <= 1), axis=(axis, axis in (-1, -2, 2, 3)))

    def flip(x: Any, key: Any) -> Any:
        return np.where(_each(random.bernoulli(key, p, np.shape(x)[:1])), np.flip(x, axis), x)

    return _of_images("random_flip", flip)


def cutout(size: int) -> Augmentation:
    """A square of size x size pixels, with its center anywhere in the image, becomes 0 (T. DeVries and G. Taylor, 2017)."""
    _check("cutout", size=(size, isinstance(size, int) and size > 0))

    def cut(x: Any, key: Any) -> Any:
        inside = []
        for i, axis in enumerate((2, 3)):
            length = np.shape(x)[axis]
            first = np.reshape(_integers(random.fold_in(key, i), x, length) - size // 2, (-1, 1))
            at = np.arange(length)
            inside.append((at >= first) & (at < first + size))
        rows, columns = inside
        return np.where(rows[:, None, :, None] & columns[:, None, None, :], 0.0, x)

    return _of_images("cutout", cut)


def brightness(amount: float) -> Augmentation:
    """A number from [-amount, amount) added to all of an image."""
    _check("brightness", amount=(amount, 0 <= amount < np.inf))

    def brighten(x: Any, key: Any) -> Any:
        return x + _uniform(key, x, amount)

    return _of_images("brightness", brighten)


def contrast(amount: float) -> Augmentation:
    """What an image differs by from the mean of its pixels (of all channels), times a number from [1 - amount, 1 + amount)."""
    _check("contrast", amount=(amount, 0 <= amount < np.inf))

    def stretch(x: Any, key: Any) -> Any:
        mean = np.mean(x, axis=(1, 2, 3), keepdims=True)
        return mean + (x - mean) * (1.0 + _uniform(key, x, amount))

    return _of_images("contrast", stretch)


def _of_images(name: str, f: Augmentation) -> Augmentation:
    def augment(x: Any, key: Any) -> Any:
        if np.ndim(x) != 4:
            raise ModelError(f"{name} takes images (batch, channels, height, width); these have shape {np.shape(x)}")
        return f(x, key)

    return augment


def _shifted(x: Any, at: Any, axis: int) -> Any:
    """Each image's rows or columns `at` (batch, length), 0 where there are none."""
    length = np.shape(x)[axis]
    shape = [-1 if i in (0, axis) else 1 for i in range(4)]
    shape[0] = np.shape(x)[0]
    places = np.reshape(np.clip(at, 0, length - 1), shape)
    return np.where(np.reshape((at >= 0) & (at < length), shape), np.take_along_axis(x, places, axis), 0.0)


def _integers(key: Any, x: Any, count: int) -> Any:
    """For each image one of 0 to count - 1."""
    return np.floor(random.uniform(key, np.shape(x)[:1]) * count).astype(np.int64)


def _uniform(key: Any, x: Any, amount: float) -> Any:
    return _each(random.uniform(key, np.shape(x)[:1], x.dtype, -amount, amount))


def _each(values: Any) -> Any:
    """A value for each image, to be broadcast against them."""
    return np.reshape(values, (-1, 1, 1, 1))


def _check(name: str, **settings: tuple[Any, bool]) -> None:
    for setting, (value, good) in settings.items():
        if not good:
            raise ModelError(f"{name}: {setting} cannot be {value!r}; see help(nn.augment.{name})")
