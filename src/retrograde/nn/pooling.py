"""Pooling over one and two axes, with PyTorch's names and arguments."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from retrograde import spatial
from retrograde.errors import ModelError, ShapeError
from retrograde.nn.convolution import checked
from retrograde.nn.module import Module


class Pooling(Module):
    """Base of the layers that take windows of (batch, channels, places...) together; the batch may be left out."""

    axes: ClassVar[int]

    def config(self) -> dict[str, Any]:
        found = super().config()
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}

    def _per_axis(self, name: str, value: Any) -> tuple[int, ...]:
        return checked(self, spatial.per_axis, name, value, self.axes)

    def _windows(self, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool) -> None:
        self.kernel_size = self._per_axis("kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else self._per_axis("stride", stride)
        self.padding, self.ceil_mode = self._per_axis("padding", padding), bool(ceil_mode)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size)):
            given = f"they are {padding} and {kernel_size}"
            raise ModelError(f"{type(self).__name__}: padding may be half of kernel_size at most; {given}")

    def _applied(self, function: Any, x: Any, *settings: Any) -> Any:
        try:
            return function(x, *settings, axes=self.axes)
        except ShapeError as error:
            places = ", ".join(("length",) if self.axes == 1 else ("height", "width"))
            shape = np.shape(x)
            raise ModelError(f"{self!r} takes arrays (batch, channels, {places}); of shape {shape}: {error}") from None


class _MaxPool(Pooling):
    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False):
        self._windows(kernel_size, stride, padding, ceil_mode)
        self.dilation = self._per_axis("dilation", dilation)

    def __call__(self, x: Any, key: Any = None) -> Any:
        settings = self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode
        return self._applied(spatial.max_pool, x, *settings)


class MaxPool1d(_MaxPool):
    """The largest element of each window of (batch, channels, length); of tied elements the first has the derivative.

    `stride` is kernel_size by default; the rest of a length that does not divide is left out, unless `ceil_mode`. Raises
    `ModelError` for a padding of more than half of kernel_size.

    >>> nn.MaxPool1d(2)(np.array([[[3.0, 1.0, 4.0, 1.0, 5.0]]]))
    array([[[3., 4.]]])
    """

    axes = 1


class MaxPool2d(_MaxPool):
    """As `MaxPool1d`, over (batch, channels, height, width); settings are one number or a pair.

    >>> nn.MaxPool2d(2)(np.ones((10, 8, 28, 28))).shape
    (10, 8, 14, 14)
    """

    axes = 2


class AvgPool1d(Pooling):
    """The mean of each window of (batch, channels, length); zeros of the padding count, unless `count_include_pad=False`.

    Otherwise as `MaxPool1d`.

    >>> x = np.array([[[3.0, 1.0, 4.0, 2.0]]])
    >>> nn.AvgPool1d(2)(x)
    array([[[2., 3.]]])
    >>> nn.AvgPool1d(2, padding=1)(x), nn.AvgPool1d(2, padding=1, count_include_pad=False)(x)
    (array([[[1.5, 2.5, 1. ]]]), array([[[3. , 2.5, 2. ]]]))
    """

    axes = 1

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True
    ):
        self._windows(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = bool(count_include_pad)

    def __call__(self, x: Any, key: Any = None) -> Any:
        settings = self.ceil_mode, self.count_include_pad
        return self._applied(spatial.avg_pool, x, self.kernel_size, self.stride, self.padding, *settings)


class AvgPool2d(Pooling):
    """As `AvgPool1d`, over height and width; `divisor_override` is what sums are divided by, whatever they hold.

    >>> nn.AvgPool2d(2)(np.ones((10, 8, 28, 28))).shape
    (10, 8, 14, 14)
    """

    axes = 2

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):  # fmt: skip
        self._windows(kernel_size, stride, padding, ceil_mode)
        if divisor_override is not None:
            checked(self, spatial.per_axis, "divisor_override", divisor_override, 1)
        self.count_include_pad, self.divisor_override = bool(count_include_pad), divisor_override

    def __call__(self, x: Any, key: Any = None) -> Any:
        settings = self.ceil_mode, self.count_include_pad, self.divisor_override
        return self._applied(spatial.avg_pool, x, self.kernel_size, self.stride, self.padding, *settings)


class _Adaptive(Pooling):
    def __init__(self, output_size: Any):
        sizes = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * self.axes
        self._per_axis("output_size", [1 if size is None else size for size in sizes])
        self.output_size = sizes


class AdaptiveAvgPool1d(_Adaptive):
    """The mean of each of `output_size` parts of (batch, channels, length), which overlap where it does not divide.

    None keeps the length.

    >>> nn.AdaptiveAvgPool1d(2)(np.array([[[3.0, 1.0, 4.0, 2.0]]]))
    array([[[2., 3.]]])
    """

    axes = 1

    def __call__(self, x: Any, key: Any = None) -> Any:
        return self._applied(spatial.adaptive_avg_pool, x, self.output_size)


class AdaptiveAvgPool2d(_Adaptive):
    """As `AdaptiveAvgPool1d`, over (batch, channels, height, width); `output_size` is one number or a pair.

    >>> nn.AdaptiveAvgPool2d(1)(np.ones((10, 8, 7, 7))).shape
    (10, 8, 1, 1)
    >>> nn.AdaptiveAvgPool2d((2, None))(np.ones((10, 8, 7, 7))).shape
    (10, 8, 2, 7)
    """

    axes = 2

    def __call__(self, x: Any, key: Any = None) -> Any:
        return self._applied(spatial.adaptive_avg_pool, x, self.output_size)


class AdaptiveMaxPool1d(_Adaptive):
    """The largest element of each of `output_size` parts of (batch, channels, length), which overlap where it does not divide.

    None keeps the length.

    >>> nn.AdaptiveMaxPool1d(2)(np.array([[[3.0, 1.0, 4.0, 2.0]]]))
    array([[[3., 4.]]])
    """

    axes = 1

    def __call__(self, x: Any, key: Any = None) -> Any:
        return self._applied(spatial.adaptive_max_pool, x, self.output_size)


class AdaptiveMaxPool2d(_Adaptive):
    """As `AdaptiveMaxPool1d`, over (batch, channels, height, width); `output_size` is one number or a pair.

    >>> nn.AdaptiveMaxPool2d((1, 2))(np.ones((10, 8, 7, 7))).shape
    (10, 8, 1, 2)
    """

    axes = 2

    def __call__(self, x: Any, key: Any = None) -> Any:
        return self._applied(spatial.adaptive_max_pool, x, self.output_size)
