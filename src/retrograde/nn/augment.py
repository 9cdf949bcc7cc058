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

__all__ = ["brightness", "compose", "contrast", "cutout", "random_crop", "random_flip"]

Augmentation = Callable[[Any, Any], Any]


def compose(*augmentations: Augmentation) -> Augmentation:
    """One augmentation after another, each with a key of its own: f(x, key), as `fit(augment=f)` takes it.

    >>> x = np.ones((5, 3, 8, 8))
    >>> augment = nn.augment.compose(nn.augment.random_crop(1), nn.augment.random_flip())
    >>> augment(x, rg.random.key(0)).shape
    (5, 3, 8, 8)
    """

    def composed(x: Any, key: Any) -> Any:
        for i, augmentation in enumerate(augmentations):
            x = augmentation(x, random.fold_in(key, i))
        return x

    return composed


def random_crop(padding: int) -> Augmentation:
    """Padded with `padding` zeros on each side and cropped to the old size at random: shifted by up to that many pixels.

    Each image (batch, channels, height, width) by a shift of its own. Raises `ModelError` for a padding below 0.

    >>> x = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    >>> nn.augment.random_crop(1)(x, rg.random.key(1))[0, 0]
    array([[4., 5., 6.],
           [7., 8., 9.],
           [0., 0., 0.]])
    """
    _check("random_crop", padding=(padding, isinstance(padding, int) and padding >= 0))

    def crop(x: Any, key: Any) -> Any:
        for i, axis in enumerate((2, 3)):
            by = _integers(random.fold_in(key, i), x, 2 * padding + 1) - padding
            at = np.reshape(by, (-1, 1)) + np.arange(np.shape(x)[axis])
            x = _shifted(x, at, axis)
        return x

    return _of_images("random_crop", crop)


def random_flip(p: float = 0.5, axis: int = -1) -> Augmentation:
    """Mirrored with probability p, left to right; with axis=-2 upside down.

    Each image (batch, channels, height, width) for itself. Raises `ModelError` for a p outside [0, 1] and for other axes.

    >>> x = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    >>> nn.augment.random_flip(p=1.0)(x, rg.random.key(0))[0, 0]
    array([[3., 2., 1.],
           [6., 5., 4.],
           [9., 8., 7.]])
    """
    _check("random_flip", p=(p, 0 <= p <= 1), axis=(axis, axis in (-1, -2, 2, 3)))

    def flip(x: Any, key: Any) -> Any:
        return np.where(_each(random.bernoulli(key, p, np.shape(x)[:1])), np.flip(x, axis), x)

    return _of_images("random_flip", flip)


def cutout(size: int) -> Augmentation:
    """A square of size x size pixels, with its center anywhere in the image, becomes 0 (T. DeVries and G. Taylor, 2017).

    In each image (batch, channels, height, width) another one. Raises `ModelError` for a size below 1.

    >>> x = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    >>> nn.augment.cutout(2)(x, rg.random.key(0))[0, 0]
    array([[1., 0., 0.],
           [4., 0., 0.],
           [7., 8., 9.]])
    """
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
    """A number from [-amount, amount) added to all of an image.

    For each image (batch, channels, height, width) another one. Raises `ModelError` for an amount below 0.

    >>> x = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    >>> (nn.augment.brightness(0.5)(x, rg.random.key(0)) - x)[0, 0].round(2)
    array([[-0.1, -0.1, -0.1],
           [-0.1, -0.1, -0.1],
           [-0.1, -0.1, -0.1]])
    """
    _check("brightness", amount=(amount, 0 <= amount < np.inf))

    def brighten(x: Any, key: Any) -> Any:
        return x + _uniform(key, x, amount)

    return _of_images("brightness", brighten)


def contrast(amount: float) -> Augmentation:
    """What an image differs by from the mean of its pixels (of all channels), times a number from [1 - amount, 1 + amount).

    For each image (batch, channels, height, width) another one. Raises `ModelError` for an amount below 0.

    >>> x = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    >>> y = nn.augment.contrast(0.5)(x, rg.random.key(0))
    >>> y.mean().round(6), (y.std() / x.std()).round(2)
    (np.float64(5.0), np.float64(0.9))
    """
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
