"""Activations, element by element or along an axis, with PyTorch's names and arguments.

Each takes an array of any shape and gives one of that shape and dtype, but `GLU`, which halves an axis.

At a kink the derivative is the one that PyTorch takes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograde import numpy as rnp
from retrograde.errors import ModelError, ShapeError
from retrograde.nn.module import Module, check_size, require


class ReLU(Module):
    """max(x, 0); derivative 0 at 0.

    >>> nn.ReLU()(np.array([-2.0, 0.0, 3.0]))
    array([0., 0., 3.])
    """

    def __call__(self, x: Any, key: Any = None) -> Any:
        return np.maximum(x, 0)


class ReLU6(Module):
    """min(max(x, 0), 6); derivative 0 at both ends (A. Krizhevsky, 2010).

    >>> nn.ReLU6()(np.array([-2.0, 3.0, 8.0]))
    array([0., 3., 6.])
    """

    def __call__(self, x: Any, key: Any = None) -> Any:
        return _clamped(x, 0.0, 6.0)


class LeakyReLU(Module):
    """x where positive, else negative_slope * x; derivative negative_slope at 0 (A. Maas et al., 2013).

    >>> nn.LeakyReLU(0.1)(np.array([-2.0, 0.0, 3.0]))
    array([-0.2,  0. ,  3. ])
    """

    def __init__(self, negative_slope: float = 0.01):
        self.negative_slope = float(negative_slope)

    def __call__(self, x: Any, key: Any = None) -> Any:
        return np.where(x > 0, x, x * self.negative_slope)


class PReLU(Module):
    """x where positive, else weight * x (K. He et al., 2015, eq. 1): weight (num_parameters,) starts at `init` and is trained.

    One slope for all of x, of any shape, or one for each of `num_parameters` channels, axis 1 of x. Raises `ModelError` for
    another number of channels.

    >>> layer = nn.PReLU(3).init(0)
    >>> layer.weight.shape, layer(-np.ones((2, 3, 4)))[0, 0]
    ((3,), array([-0.25, -0.25, -0.25, -0.25]))
    """

    dynamic = ("weight",)

    def __init__(self, num_parameters: int = 1, init: float = 0.25):
        check_size(self, num_parameters=num_parameters)
        self.channels, self.start = int(num_parameters), float(init)
        self.weight: Any = None

    def config(self) -> dict[str, Any]:
        return {"type": "PReLU", "num_parameters": self.channels, "init": self.start}

    def initialize(self, rng: np.random.Generator, dtype: np.dtype, follows: Any) -> Any:
        return self.replace(weight=np.full(self.channels, self.start, dtype))

    def __call__(self, x: Any, key: Any = None) -> Any:
        weight, n = require(self.weight, self), np.ndim(x)
        if self.channels > 1:
            if n < 2 or np.shape(x)[1] != self.channels:
                raise ModelError(f"{self!r} takes arrays of {self.channels} channels at axis 1; this is {np.shape(x)}")
            weight = np.reshape(weight, (self.channels, *(1,) * (n - 2)))
        return np.where(x > 0, x, x * weight)


class ELU(Module):
    """x where positive, else alpha * (exp(x) - 1); derivative alpha at 0 (D. Clevert et al., 2016, eq. 15).

    >>> nn.ELU()(np.array([-2.0, 0.0, 3.0])).round(3)
    array([-0.865,  0.   ,  3.   ])
    """

    def __init__(self, alpha: float = 1.0):
        self.alpha = float(alpha)

    def __call__(self, x: Any, key: Any = None) -> Any:
        return np.where(x > 0, x, self.alpha * np.expm1(np.where(x > 0, 0, x)))


class CELU(Module):
    """x where positive, else alpha * (exp(x / alpha) - 1) (J. Barron, 2017). Raises `ModelError` for alpha = 0.

    >>> nn.CELU(alpha=2.0)(np.array([-2.0, 0.0, 3.0])).round(3)
    array([-1.264,  0.   ,  3.   ])
    """

    def __init__(self, alpha: float = 1.0):
        if alpha == 0:
            raise ModelError("CELU: alpha must not be 0")
        self.alpha = float(alpha)

    def __call__(self, x: Any, key: Any = None) -> Any:
        return np.where(x > 0, x, self.alpha * np.expm1(np.where(x > 0, 0, x) / self.alpha))


class SELU(Module):
    """scale * ELU(x, alpha), with the constants that keep mean 0 and variance 1 (G. Klambauer et al., 2017, eq. 14).

    >>> x = np.random.default_rng(0).normal(size=100_000)
    >>> nn.SELU()(x).mean().round(1) + 0.0, nn.SELU()(x).std().round(1)
    (np.float64(0.0), np.float64(1.0))
    """

    def __call__(self, x: Any, key: Any = None) -> Any:
        alpha, scale = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
        return np.where(x > 0, scale * x, scale * alpha * np.expm1(np.where(x > 0, 0, x)))


class GELU(Module):
    """x times the normal distribution function of x (D. Hendrycks and K. Gimpel, 2016).

    `approximate="tanh"` is the usual formula in tanh; any string but that and "none" raises `ModelError`.

    >>> x = np.array([-2.0, 0.0, 3.0])
    >>> nn.GELU()(x).round(4), nn.GELU("tanh")(x).round(4)
    (array([-0.0455,  0.    ,  2.996 ]), array([-0.0454,  0.    ,  2.9964]))
    """

    def __init__(self, approximate: str = "none"):
        if approximate not in ("none", "tanh"):
            raise ModelError(f'GELU: approximate is "none" or "tanh", not {approximate!r}')
        self.approximate = approximate

    def __call__(self, x: Any, key: Any = None) -> Any:
        if self.approximate == "tanh":
            return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))
        return 0.5 * x * (1.0 + rnp.erf(x * math.sqrt(0.5)))


class SiLU(Module):
    """x * sigmoid(x) (S. Elfwing et al., 2018), also called swish.

    >>> nn.SiLU()(np.array([-2.0, 0.0, 3.0])).round(3)
    array([-0.238,  0.   ,  2.858])
    """

    def __call__(self, x: Any, key: Any = None) -> Any:
        return x * rnp.sigmoid(x)


class Mish(Module):
    """x * tanh(softplus(x)) (D. Misra, 2019).

    >>> nn.Mish()(np.array([-2.0, 0.0, 3.0])).round(3)
    array([-0.253,  0.   ,  2.987])
    """

    def __call__(self, x: Any, key: Any = None) -> Any:
        return x * np.tanh(rnp.softplus(x))


class Tanh(Module):
    """The hyperbolic tangent, from -1 to 1.

    >>> nn.Tanh()(np.array([-2.0, 0.0, 3.0])).round(3)
    array([-0.964,  0.   ,  0.995])
    """

    def __call__(self, x: Any, key: Any = None) -> Any:
        return np.tanh(x)


class Tanhshrink(Module):
    """x - tanh(x).

    >>> nn.Tanhshrink()(np.array([-2.0, 0.0, 3.0])).round(3)
    array([-1.036,  0.   ,  2.005])
    """

    def __call__(self, x: Any, key: Any = None) -> Any:
        return x - np.tanh(x)


class Sigmoid(Module):
    """1 / (1 + exp(-x)), from 0 to 1, without overflow.

    >>> nn.Sigmoid()(np.array([-1000.0, 0.0, 3.0])).round(3)
    array([0.   , 0.5  , 0.953])
    """

    def __call__(self, x: Any, key: Any = None) -> Any:
        return rnp.sigmoid(x)


class LogSigmoid(Module):
    """log(sigmoid(x)) = -softplus(-x), which never overflows.

    >>> nn.LogSigmoid()(np.array([-30.0, 0.0, 3.0])).round(3)
    array([-30.   ,  -0.693,  -0.049])
    """

    def __call__(self, x: Any, key: Any = None) -> Any:
        return -rnp.softplus(-x)


class Softplus(Module):
    """log(1 + exp(beta x)) / beta, positive; x itself where beta x is over the threshold. beta <= 0 raises `ModelError`.

    >>> nn.Softplus()(np.array([-2.0, 0.0, 30.0])).round(3)
    array([ 0.127,  0.693, 30.   ])
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        if beta <= 0:
            raise ModelError(f"Softplus: beta must be positive; it is {beta!r}")
        self.beta, self.threshold = float(beta), float(threshold)

    def __call__(self, x: Any, key: Any = None) -> Any:
        scaled = x * self.beta
        return np.where(scaled > self.threshold, x, rnp.softplus(scaled) / self.beta)


class Softsign(Module):
    """x / (1 + |x|).

    >>> nn.Softsign()(np.array([-2.0, 0.0, 3.0])).round(3)
    array([-0.667,  0.   ,  0.75 ])
    """

    def __call__(self, x: Any, key: Any = None) -> Any:
        return x / (1.0 + np.abs(x))


class Hardtanh(Module):
    """x, cut off below min_val and above max_val; derivative 0 at both. min_val >= max_val raises `ModelError`.

    >>> nn.Hardtanh(-1.0, 2.0)(np.array([-2.0, 0.5, 3.0]))
    array([-1. ,  0.5,  2. ])
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0):
        if not min_val < max_val:
            raise ModelError(f"Hardtanh: min_val must be below max_val; they are {min_val!r} and {max_val!r}")
        self.min_val, self.max_val = float(min_val), float(max_val)

    def __call__(self, x: Any, key: Any = None) -> Any:
        return _clamped(x, self.min_val, self.max_val)


class Hardsigmoid(Module):
    """x / 6 + 1/2, cut off at 0 and 1; derivative 0 at both ends.

    >>> nn.Hardsigmoid()(np.array([-4.0, 0.0, 1.5, 4.0]))
    array([0.  , 0.5 , 0.75, 1.  ])
    """

    def __call__(self, x: Any, key: Any = None) -> Any:
        return _clamped(x + 3.0, 0.0, 6.0) / 6.0


class Hardswish(Module):
    """x * Hardsigmoid(x) (A. Howard et al., 2019).

    >>> nn.Hardswish()(np.array([-1.0, 0.0, 1.5, 4.0])).round(3)
    array([-0.333,  0.   ,  1.125,  4.   ])
    """

    def __call__(self, x: Any, key: Any = None) -> Any:
        return x * _clamped(x + 3.0, 0.0, 6.0) / 6.0


class Hardshrink(Module):
    """x where |x| > lambd, else 0.

    >>> nn.Hardshrink(0.5)(np.array([-2.0, 0.3, 0.5, 0.7]))
    array([-2. ,  0. ,  0. ,  0.7])
    """

    def __init__(self, lambd: float = 0.5):
        self.lambd = float(lambd)

    def __call__(self, x: Any, key: Any = None) -> Any:
        return np.where(np.abs(x) > self.lambd, x, 0)


class Softshrink(Module):
    """x moved towards 0 by lambd, 0 within it. lambd < 0 raises `ModelError`.

    >>> nn.Softshrink(0.5)(np.array([-2.0, 0.3, 0.7])).round(3)
    array([-1.5,  0. ,  0.2])
    """

    def __init__(self, lambd: float = 0.5):
        if lambd < 0:
            raise ModelError(f"Softshrink: lambd is 0 or more; it is {lambd!r}")
        self.lambd = float(lambd)

    def __call__(self, x: Any, key: Any = None) -> Any:
        return np.where(x > self.lambd, x - self.lambd, np.where(x < -self.lambd, x + self.lambd, 0))


class Threshold(Module):
    """x where it is over the threshold, else `value`.

    >>> nn.Threshold(0.1, 20.0)(np.array([-2.0, 0.1, 3.0]))
    array([20., 20.,  3.])
    """

    def __init__(self, threshold: float, value: float):
        self.threshold, self.value = float(threshold), float(value)

    def __call__(self, x: Any, key: Any = None) -> Any:
        return np.where(x > self.threshold, x, self.value)


class Softmax(Module):
    """exp(x) over its sum along `dim`, without overflow: positive numbers whose sum is 1.

    >>> nn.Softmax()(np.array([[1.0, 2.0, 3.0], [1000.0, 0.0, 0.0]])).round(3)
    array([[0.09 , 0.245, 0.665],
           [1.   , 0.   , 0.   ]])
    """

    def __init__(self, dim: int = -1):
        self.dim = int(dim)

    def __call__(self, x: Any, key: Any = None) -> Any:
        return rnp.softmax(x, self.dim)


class Softmin(Softmax):
    """exp(-x) over its sum along `dim`.

    >>> nn.Softmin()(np.array([1.0, 2.0, 3.0])).round(3)
    array([0.665, 0.245, 0.09 ])
    """

    def __call__(self, x: Any, key: Any = None) -> Any:
        return rnp.softmax(-x, self.dim)


class LogSoftmax(Softmax):
    """The logarithm of `Softmax`, stable for any x.

    >>> nn.LogSoftmax()(np.array([[1.0, 2.0, 3.0], [30.0, 0.0, 0.0]])).round(3)
    array([[ -2.408,  -1.408,  -0.408],
           [ -0.   , -30.   , -30.   ]])
    """

    def __call__(self, x: Any, key: Any = None) -> Any:
        return rnp.log_softmax(x, self.dim)


class GLU(Module):
    """a * sigmoid(b), where a and b are the halves of x along `dim` (Y. Dauphin et al., 2017).

    x (..., 2 n) gives (..., n). Raises `ShapeError` for an odd length.

    >>> nn.GLU()(np.ones((2, 6))).shape
    (2, 3)
    """

    def __init__(self, dim: int = -1):
        self.dim = int(dim)

    def __call__(self, x: Any, key: Any = None) -> Any:
        if np.shape(x)[self.dim] % 2:
            raise ShapeError(f"{self!r} halves axis {self.dim} of its input, which must be even; its shape is {np.shape(x)}")
        a, b = np.split(x, 2, axis=self.dim)
        return a * rnp.sigmoid(b)


def _clamped(x: Any, low: float, high: float) -> Any:
    """x within [low, high]; derivative 0 at the ends."""
    return np.where(x <= low, low, np.where(x >= high, high, x))
