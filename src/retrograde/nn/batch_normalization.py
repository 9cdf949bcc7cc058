"""Layers that bring each channel to mean 0 and variance 1 over a batch (BatchNorm) or over each point (InstanceNorm)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from retrograde.errors import ModelError
from retrograde.nn.collecting import note, noted
from retrograde.nn.module import Module, check_size, require
from retrograde.nn.normalization import _eps, _ones_and_zeros, _scaled, _standardized


class _ByChannel(Module):
    """Sizes, scale and shift of a layer whose channels are axis 1."""

    dynamic: ClassVar[tuple[str, ...]] = ("weight", "bias")
    ranks: ClassVar[tuple[int, ...]] = ()

    def __init__(self, num_features: int, eps: float, affine: bool):
        check_size(self, num_features=num_features)
        self.num_features, self.eps, self.affine = int(num_features), _eps(self, eps), bool(affine)
        self.weight: Any = None
        self.bias: Any = None

    def optional(self) -> tuple[str, ...]:
        return () if self.affine else ("weight", "bias")

    def initialize(self, rng: np.random.Generator, dtype: np.dtype, follows: Any) -> Any:
        return self.replace(**_ones_and_zeros(self, (self.num_features,), dtype))

    def _check(self, x: Any) -> None:
        shape = np.shape(x)
        if len(shape) not in self.ranks or shape[1] != self.num_features:
            wanted = " or ".join(f"(batch, {self.num_features}{', ...' if n > 2 else ''}) of {n} axes" for n in self.ranks)
            raise ModelError(f"{self!r} takes arrays {wanted}; this one has shape {shape}")

    def _along(self, x: Any, per_channel: Any) -> Any:
        """Numbers of the channels, to be broadcast against x."""
        return None if per_channel is None else np.reshape(per_channel, (-1,) + (1,) * (np.ndim(x) - 2))


class _BatchNorm(_ByChannel):
    """What `BatchNorm1d` and `BatchNorm2d` share."""

    dynamic = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    buffers = ("running_mean", "running_var", "num_batches_tracked")

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True,
    ):  # fmt: skip
        super().__init__(num_features, eps, affine)
        if momentum is not None and not 0 <= momentum <= 1:
            raise ModelError(f"{type(self).__name__}: momentum lies in [0, 1], or is None for the average; it is {momentum!r}")
        self.momentum = None if momentum is None else float(momentum)
        self.track_running_stats = bool(track_running_stats)
        self.running_mean: Any = None
        self.running_var: Any = None
        self.num_batches_tracked: Any = None

    def optional(self) -> tuple[str, ...]:
        return super().optional() + (() if self.track_running_stats else self.buffers)

    def initialize(self, rng: np.random.Generator, dtype: np.dtype, follows: Any) -> Any:
        made = super().initialize(rng, dtype, follows)
        if not self.track_running_stats:
            return made
        mean, var = np.zeros(self.num_features, dtype), np.ones(self.num_features, dtype)
        return made.replace(running_mean=mean, running_var=var, num_batches_tracked=np.zeros((), np.int64))

    def __call__(self, x: Any, key: Any = None) -> Any:
        self._check(x)
        fixed = key is None or "running_mean" in self.frozen_leaves
        if self.track_running_stats and fixed:
            mean, var = require(self.running_mean, self), self.running_var
        else:
            mean, var = self._of_batch(x, key)
        scale = self._along(x, 1.0 / np.sqrt(var + self.eps))
        return _scaled(self, (x - self._along(x, mean)) * scale, self._along(x, self.weight), self._along(x, self.bias))

    def _of_batch(self, x: Any, key: Any) -> tuple[Any, Any]:
        """Mean and biased variance of each channel; notes what the running ones become."""
        count = int(np.size(x)) // self.num_features
        if count < 2:
            raise ModelError(
                f"{self!r} needs more than one number a channel for a variance; a batch has shape {np.shape(x)}. Choose a "
                "batch_size that leaves no single point for the last batch"
            )
        axes = (0, *range(2, np.ndim(x)))
        mean = np.mean(x, axis=axes)
        var = np.mean(np.square(x - self._along(x, mean)), axis=axes)
        if self.track_running_stats and key is not None:
            batches = noted(self, "num_batches_tracked") + 1
            part = 1.0 / batches.astype(np.float64) if self.momentum is None else self.momentum

            def moved(name: str, new: Any) -> Any:
                old = require(noted(self, name), self)
                return ((1.0 - part) * old + part * new).astype(old.dtype)

            note(self, running_mean=moved("running_mean", mean), running_var=moved("running_var", var * (count / (count - 1))),
                 num_batches_tracked=batches)  # fmt: skip
        return mean, var


class BatchNorm1d(_BatchNorm):
    """(x - mean) / sqrt(var + eps) * weight + bias by channel (S. Ioffe and C. Szegedy, 2015, algorithm 1), as PyTorch's.

    x is (batch, num_features) or (batch, num_features, length), else `ModelError` is raised.

    In training (called with a key) mean and variance are those of the batch, and `net.apply` and `fit` move the running ones on:
    running = (1 - momentum) running + momentum batch's, the variance unbiased; with `momentum=None` they are the averages of all
    batches so far. Otherwise, and where they are frozen, x is standardized by the running ones. With `track_running_stats=False`
    there are none and the batch's serve always. A batch of one number a channel has no variance: `ModelError`, as in PyTorch.

    >>> net, x = nn.BatchNorm1d(2).init(0), np.array([[0.0, 10.0], [2.0, 30.0]])
    >>> net(x, key=rg.random.key(0)).round(2)
    array([[-1., -1.],
           [ 1.,  1.]])
    >>> y, net = net.apply(x, rg.random.key(0))
    >>> net.running_mean, net.running_var.round(2)
    (array([0.1, 2. ], dtype=float32), array([ 1.1, 20.9], dtype=float32))
    """

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """`BatchNorm1d` of images: (batch, num_features, height, width), each channel standardized over batch, height and width.

    >>> net = nn.BatchNorm2d(3).init(0)
    >>> net(np.ones((5, 3, 4, 4))).shape, net.weight.shape, net.running_mean.shape
    ((5, 3, 4, 4), (3,), (3,))
    """

    ranks = (4,)


class _InstanceNorm(_ByChannel):
    """What `InstanceNorm1d` and `InstanceNorm2d` share."""

    def __init__(self, num_features: int, eps: float = 1e-5, affine: bool = False):
        super().__init__(num_features, eps, affine)

    def __call__(self, x: Any, key: Any = None) -> Any:
        self._check(x)
        axes = tuple(range(2, np.ndim(x)))
        return _scaled(self, _standardized(x, axes, self.eps), self._along(x, self.weight), self._along(x, self.bias))


class InstanceNorm1d(_InstanceNorm):
    """(x - mean) / sqrt(var + eps) by point and channel (D. Ulyanov et al., 2016); with `affine` * weight + bias.

    x is (batch, num_features, length), else `ModelError` is raised. Without running statistics, in training and after it alike.

    >>> nn.InstanceNorm1d(3)(np.ones((5, 3, 8))).shape
    (5, 3, 8)
    """

    ranks = (3,)


class InstanceNorm2d(_InstanceNorm):
    """`InstanceNorm1d` of images: (batch, num_features, height, width).

    >>> x = np.arange(4.0).reshape(1, 1, 2, 2)
    >>> nn.InstanceNorm2d(1)(x).round(2)
    array([[[[-1.34, -0.45],
             [ 0.45,  1.34]]]])
    """

    ranks = (4,)
