"""Where weights start. `fan_in` and `fan_out` count the connections into and out of a unit.

He: K. He et al. (2015), "Delving deep into rectifiers", eq. 10 and 14: Var = gain^2 / fan_in. Glorot: X. Glorot and Y.
Bengio (2010), eq. 12 and 16: Var = gain^2 * 2 / (fan_in + fan_out). LeCun: Y. LeCun et al. (1998), "Efficient BackProp",
section 4.6: Var = 1 / fan_in. Orthogonal: A. Saxe et al. (2014). Uniform variants have the same variance on (-a, a),
a = sqrt(3 Var).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograde.errors import ModelError

Initializer = Callable[[np.random.Generator, tuple[int, ...], float], np.ndarray]


def _variance(kind: str, fan_in: int, fan_out: int, gain: float) -> float:
    fan = {"he": fan_in, "lecun": fan_in, "glorot": (fan_in + fan_out) / 2}[kind]
    return (1.0 if kind == "lecun" else gain**2) / max(fan, 1)


def _family(kind: str, shape_of_noise: str) -> Initializer:
    def draw(rng: np.random.Generator, shape: tuple[int, ...], gain: float) -> np.ndarray:
        fan_out, fan_in = (n * math.prod(shape[2:]) for n in shape[:2])
        std = math.sqrt(_variance(kind, fan_in, fan_out, gain))
        if shape_of_noise == "normal":
            return rng.normal(0.0, std, shape)
        return rng.uniform(-math.sqrt(3.0) * std, math.sqrt(3.0) * std, shape)

    draw.__name__ = f"{kind}_{shape_of_noise}"
    return draw


he_normal, he_uniform = _family("he", "normal"), _family("he", "uniform")
glorot_normal, glorot_uniform = _family("glorot", "normal"), _family("glorot", "uniform")
lecun_normal, lecun_uniform = _family("lecun", "normal"), _family("lecun", "uniform")


def orthogonal(rng: np.random.Generator, shape: tuple[int, ...], gain: float) -> np.ndarray:
    """Rows or columns orthonormal, times gain: the QR factor of a normal matrix, signs made uniform."""
    rows, columns = shape[0], math.prod(shape[1:])
    q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return gain * (q if rows >= columns else q.T).reshape(shape)


def zeros(rng: np.random.Generator, shape: tuple[int, ...], gain: float) -> np.ndarray:
    """All zeros."""
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
