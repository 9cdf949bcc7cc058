"""Convolutions and their transposes over one and two axes, with PyTorch's names and arguments."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from retrograde import spatial
from retrograde.errors import ModelError, ShapeError
from retrograde.nn.initializers import draw_weight, get_initializer
from retrograde.nn.module import Module, check_size, require


class _Convolution(Module):
    """What all have in common: weight, bias and settings, one number for each of the `axes`."""

    dynamic = ("weight", "bias")
    axes: ClassVar[int]
    settings: ClassVar[tuple[str, ...]]
    weight: Any
    bias: Any

    def _setup(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, groups: int, bias: bool, dilation: Any,
        init: str | None,
    ) -> None:  # fmt: skip
        check_size(self, in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            raise ModelError(
                f"{type(self).__name__}: {groups} groups must divide both {in_channels} channels in and {out_channels} out"
            )
        if init is not None:
            get_initializer(init)
        self.in_channels, self.out_channels, self.groups = int(in_channels), int(out_channels), int(groups)
        self.kernel_size = self._per_axis("kernel_size", kernel_size)
        self.stride, self.dilation = self._per_axis("stride", stride), self._per_axis("dilation", dilation)
        self.use_bias, self.init_name = bool(bias), init
        self.weight = None
        self.bias = None

    def _per_axis(self, name: str, value: Any) -> tuple[int, ...]:
        return checked(self, spatial.per_axis, name, value, self.axes)

    def optional(self) -> tuple[str, ...]:
        return () if self.use_bias else ("bias",)

    def config(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self.settings}
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return {"type": type(self).__name__, **values, "bias": self.use_bias, "init": self.init_name}

    def _drawn(self, rng: np.random.Generator, shape: tuple[int, ...], follows: Any, dtype: np.dtype) -> np.ndarray:
        return draw_weight(rng, shape, self.init_name, follows).astype(dtype)

    def _zeros(self, dtype: np.dtype) -> Any:
        return np.zeros(self.out_channels, dtype) if self.use_bias else None

    def _applied(self, function: Any, x: Any, *settings: Any, **options: Any) -> Any:
        weight, n = require(self.weight, self), np.ndim(x)
        if n - self.axes not in (1, 2) or np.shape(x)[n - self.axes - 1] != self.in_channels:
            places = ", ".join(("length",) if self.axes == 1 else ("height", "width"))
            raise ModelError(f"{self!r} takes arrays (batch, {self.in_channels}, {places}); this one has shape {np.shape(x)}")
        try:
            return function(x, weight, self.bias, *settings, **options)
        except ShapeError as error:
            raise ModelError(f"{self!r} of an array of shape {np.shape(x)}: {error}") from None


class _Plain(_Convolution):
    settings = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
        groups: int = 1, bias: bool = True, padding_mode: str = "zeros", init: str | None = None,
    ):  # fmt: skip
        self._setup(in_channels, out_channels, kernel_size, stride, groups, bias, dilation, init)
        if padding_mode not in spatial.PADDING_MODES:
            raise ModelError(f"{type(self).__name__}: padding_mode {padding_mode!r} is none of {sorted(spatial.PADDING_MODES)}")
        checked(self, spatial.padding_of, padding, self.kernel_size, self.stride, self.dilation)
        self.padding = padding if isinstance(padding, str) else self._per_axis("padding", padding)
        self.padding_mode = padding_mode

    def initialize(self, rng: np.random.Generator, dtype: np.dtype, follows: Any) -> Any:
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        return self.replace(weight=self._drawn(rng, shape, follows, dtype), bias=self._zeros(dtype))

    def __call__(self, x: Any, key: Any = None) -> Any:
        return self._applied(spatial.convolve, x, self.stride, self.padding, self.dilation, self.groups, self.padding_mode)


class _Transposed(_Convolution):
    settings = (
        "in_channels", "out_channels", "kernel_size", "stride", "padding", "output_padding", "groups", "dilation", "padding_mode",
    )  # fmt: skip

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
        groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros", init: str | None = None,
    ):  # fmt: skip
        self._setup(in_channels, out_channels, kernel_size, stride, groups, bias, dilation, init)
        if padding_mode != "zeros":
            raise ModelError(f'{type(self).__name__}: padding_mode can only be "zeros"; it is {padding_mode!r}')
        self.padding, self.padding_mode = self._per_axis("padding", padding), padding_mode
        self.output_padding = self._per_axis("output_padding", output_padding)

    def initialize(self, rng: np.random.Generator, dtype: np.dtype, follows: Any) -> Any:
        shape = (self.out_channels // self.groups, self.in_channels, *self.kernel_size)
        weight = np.ascontiguousarray(self._drawn(rng, shape, follows, dtype).swapaxes(0, 1))
        return self.replace(weight=weight, bias=self._zeros(dtype))

    def __call__(self, x: Any, key: Any = None) -> Any:
        settings = self.stride, self.padding, self.output_padding, self.groups, self.dilation
        return self._applied(spatial.convolve_transpose, x, *settings)


class Conv1d(_Plain):
    """A kernel slid over (batch, in_channels, length): weight (out_channels, in_channels / groups, kernel), bias zeros at first.

    The output is (batch, out_channels, (length + 2 padding - dilation (kernel - 1) - 1) // stride + 1). `padding` is a number,
    "same" or "valid"; `padding_mode` says what lies beyond: "zeros", "reflect", "replicate", "circular". `init` names an
    initializer; by default it is the right one for the activation that follows in a `Sequential`. Raises `ModelError` for
    settings or arrays that do not fit.

    >>> layer = nn.Conv1d(3, 8, kernel_size=5, stride=2, padding=2).init(0)
    >>> layer(np.ones((10, 3, 32))).shape, layer.weight.shape
    ((10, 8, 16), (8, 3, 5))
    >>> nn.Conv1d(3, 8, 5, padding="same").init(0)(np.ones((10, 3, 32))).shape
    (10, 8, 32)
    """

    axes = 1


class Conv2d(_Plain):
    """A kernel slid over (batch, in_channels, height, width); settings are one number or a pair. Otherwise as `Conv1d`.

    >>> layer = nn.Conv2d(1, 8, kernel_size=3, padding="same").init(0)
    >>> layer(np.ones((10, 1, 28, 28))).shape, layer.weight.shape
    ((10, 8, 28, 28), (8, 1, 3, 3))
    >>> nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8).init(0)(np.ones((10, 8, 28, 28))).shape
    (10, 8, 14, 14)
    """

    axes = 2


class ConvTranspose1d(_Transposed):
    """The transpose of a convolution, from its places to those it came from: weight (in_channels, out_channels / groups, kernel).

    The output has length (length - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1; `output_padding` says
    which of the lengths that a stride maps to one is meant. Raises `ModelError` for settings or arrays that do not fit.

    >>> layer = nn.ConvTranspose1d(8, 3, kernel_size=4, stride=2, padding=1).init(0)
    >>> layer(np.ones((10, 8, 16))).shape, layer.weight.shape
    ((10, 3, 32), (8, 3, 4))
    """

    axes = 1


class ConvTranspose2d(_Transposed):
    """The transpose of a convolution over (batch, in_channels, height, width). Otherwise as `ConvTranspose1d`.

    >>> layer = nn.ConvTranspose2d(8, 1, kernel_size=4, stride=2, padding=1).init(0)
    >>> layer(np.ones((10, 8, 14, 14))).shape, layer.weight.shape
    ((10, 1, 28, 28), (8, 1, 4, 4))
    """

    axes = 2


def checked(module: Module, rule: Any, *args: Any) -> Any:
    """What a rule makes of settings; where they cannot be, the layer's error."""
    try:
        return rule(*args)
    except ValueError as error:
        raise ModelError(f"{type(module).__name__}: {error}") from None
