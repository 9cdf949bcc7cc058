"""Where weights start. `fan_in` and `fan_out` count the connections into and out of a unit.

A weight has shape (fan_out, fan_in), or (out, in, kernel...) of a convolution; `gain` is what the activation that follows
wants. A layer says its initializer by name, `nn.Linear(3, 8, init="orthogonal")`, or has the one right for that activation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograde.errors import ModelError

__all__ = [
    "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal", "lecun_uniform", "orthogonal", "zeros",
]  # fmt: skip

Initializer = Callable[[np.random.Generator, tuple[int, ...], float], np.ndarray]


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """fan_in and fan_out of a weight (fan_out, fan_in), or (out, in, kernel...)."""
    fan_out, fan_in = (n * math.prod(shape[2:]) for n in shape[:2])
    return fan_in, fan_out


def _he(shape: tuple[int, ...], gain: float) -> float:
    """The variance; so below."""
    return gain**2 / max(_fans(shape)[0], 1)


def _glorot(shape: tuple[int, ...], gain: float) -> float:
    return gain**2 / max(sum(_fans(shape)) / 2, 1)


def _lecun(shape: tuple[int, ...]) -> float:
    return 1.0 / max(_fans(shape)[0], 1)


def _normal(rng: np.random.Generator, shape: tuple[int, ...], variance: float) -> np.ndarray:
    return rng.normal(0.0, math.sqrt(variance), shape)


def _uniform(rng: np.random.Generator, shape: tuple[int, ...], variance: float) -> np.ndarray:
    limit = math.sqrt(3.0) * math.sqrt(variance)
    return rng.uniform(-limit, limit, shape)


def he_normal(rng: np.random.Generator, shape: tuple[int, ...], gain: float) -> np.ndarray:
    """Normal with variance gain^2 / fan_in (K. He et al., 2015, eq. 10 and 14): for ReLU and its kin, with gain = sqrt(2).

    >>> nn.initializers.he_normal(np.random.default_rng(0), (200, 300), 1.0).std().round(3)
    np.float64(0.058)
    """
    return _normal(rng, shape, _he(shape, gain))


def he_uniform(rng: np.random.Generator, shape: tuple[int, ...], gain: float) -> np.ndarray:
    """Uniform on (-a, a), a = sqrt(3 variance), with the variance of `he_normal`.

    >>> nn.initializers.he_uniform(np.random.default_rng(0), (200, 300), 1.0).std().round(3)
    np.float64(0.058)
    """
    return _uniform(rng, shape, _he(shape, gain))


def glorot_normal(rng: np.random.Generator, shape: tuple[int, ...], gain: float) -> np.ndarray:
    """Normal with variance 2 gain^2 / (fan_in + fan_out) (X. Glorot and Y. Bengio, 2010, eq. 12): for tanh and sigmoids.

    >>> nn.initializers.glorot_normal(np.random.default_rng(0), (200, 300), 1.0).std().round(3)
    np.float64(0.063)
    """
    return _normal(rng, shape, _glorot(shape, gain))


def glorot_uniform(rng: np.random.Generator, shape: tuple[int, ...], gain: float) -> np.ndarray:
    """Uniform on (-a, a), a = sqrt(3 variance), with the variance of `glorot_normal` (eq. 16).

    >>> nn.initializers.glorot_uniform(np.random.default_rng(0), (200, 300), 1.0).std().round(3)
    np.float64(0.063)
    """
    return _uniform(rng, shape, _glorot(shape, gain))


def lecun_normal(rng: np.random.Generator, shape: tuple[int, ...], gain: float) -> np.ndarray:
    """Normal with variance 1 / fan_in, whatever the gain (Y. LeCun et al., 1998, section 4.6).

    >>> nn.initializers.lecun_normal(np.random.default_rng(0), (200, 300), 1.0).std().round(3)
    np.float64(0.058)
    """
    return _normal(rng, shape, _lecun(shape))


def lecun_uniform(rng: np.random.Generator, shape: tuple[int, ...], gain: float) -> np.ndarray:
    """Uniform on (-a, a), a = sqrt(3 variance), with the variance of `lecun_normal`.

    >>> nn.initializers.lecun_uniform(np.random.default_rng(0), (200, 300), 1.0).std().round(3)
    np.float64(0.058)
    """
    return _uniform(rng, shape, _lecun(shape))


def orthogonal(rng: np.random.Generator, shape: tuple[int, ...], gain: float) -> np.ndarray:
    """Rows or columns orthonormal, times gain (A. Saxe et al., 2014): the QR factor of a normal matrix, signs made uniform.

    A shape of more axes is a matrix of the first one against the others.

    >>> w = nn.initializers.orthogonal(np.random.default_rng(0), (3, 5), 1.0)
    >>> (w @ w.T).round(6) + 0.0
    array([[1., 0., 0.],
           [0., 1., 0.],
           [0., 0., 1.]])
    """
    rows, columns = shape[0], math.prod(shape[1:])
    q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return gain * (q if rows >= columns else q.T).reshape(shape)


def zeros(rng: np.random.Generator, shape: tuple[int, ...], gain: float) -> np.ndarray:
    """All zeros: for a last layer that is to begin at 0.

    >>> nn.initializers.zeros(np.random.default_rng(0), (2, 3), 1.0)
    array([[0., 0., 0.],
           [0., 0., 0.]])
    """
    return np.zeros(shape)


INITIALIZERS: dict[str, Initializer] = {
    "he_normal": he_normal, "he_uniform": he_uniform, "glorot_normal": glorot_normal, "glorot_uniform": glorot_uniform,
    "lecun_normal": lecun_normal, "lecun_uniform": lecun_uniform, "orthogonal": orthogonal, "zeros": zeros,
}  # fmt: skip

# activation -> (initializer, gain); the gain keeps the variance of activations or of cotangents from layer to layer
_FOLLOWED_BY: dict[str, tuple[str, float]] = {
    "ReLU": ("he_normal", math.sqrt(2.0)), "LeakyReLU": ("he_normal", math.sqrt(2.0)), "ELU": ("he_normal", math.sqrt(2.0)),
    "GELU": ("he_normal", math.sqrt(2.0)), "SiLU": ("he_normal", math.sqrt(2.0)), "Softplus": ("he_normal", math.sqrt(2.0)),
    "Tanh": ("glorot_uniform", 5.0 / 3.0), "Sigmoid": ("glorot_uniform", 1.0), "Softmax": ("glorot_uniform", 1.0),
}  # fmt: skip


def draw_weight(rng: np.random.Generator, shape: tuple[int, ...], name: str | None, follows: Any) -> np.ndarray:
    """A weight of shape (fan_out, fan_in), or (out, in, kernel...): by name, or the one right for the activation that follows."""
    chosen, gain = _FOLLOWED_BY.get(type(follows).__name__, ("glorot_uniform", 1.0))
    if type(follows).__name__ == "LeakyReLU":
        gain = math.sqrt(2.0 / (1.0 + follows.negative_slope**2))
    return get_initializer(name or chosen)(rng, shape, gain)


def get_initializer(name: str) -> Initializer:
    """An initializer by name."""
    if name not in INITIALIZERS:
        raise ModelError(f"no initializer is called {name!r}; there are {sorted(INITIALIZERS)}")
    return INITIALIZERS[name]
