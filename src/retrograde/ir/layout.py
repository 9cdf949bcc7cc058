"""`Layout`: how an array lies in memory; what `view` operations (transpose, slice, reshape) change instead of copying."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

LINE = 64  # bytes of a cache line


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Element strides of a C-contiguous array."""
    strides, step = [], 1
    for length in reversed(shape):
        strides.append(step)
        step *= max(length, 1)
    return tuple(reversed(strides))


def column_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Element strides of an array as Fortran has it: its first axis runs fastest."""
    return tuple(reversed(contiguous_strides(tuple(reversed(shape)))))


def aligned(nbytes: int) -> int:
    """Bytes in whole cache lines."""
    return -(-nbytes // LINE) * LINE


def room_bytes(*parts: tuple) -> int:
    """Bytes for several arrays, each a (dtype, shape), one behind the other on cache lines of their own."""
    return sum(aligned(math.prod(shape) * dtype.itemsize) for dtype, shape in parts)


@dataclass(frozen=True)
class Layout:
    """Shape and element strides from some base: what `view` lowerings (transpose, slice, ...) work on."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @staticmethod
    def of(shape: tuple[int, ...]) -> Layout:
        """C-contiguous."""
        return Layout(shape, contiguous_strides(shape))

    @property
    def contiguous(self) -> bool:
        """Whether the elements lie in C order without gaps."""
        expected = contiguous_strides(self.shape)
        return math.prod(self.shape) == 0 or all(
            length == 1 or stride == want for length, stride, want in zip(self.shape, self.strides, expected)
        )

    def transpose(self, axes: tuple[int, ...]) -> Layout:
        """Axes permuted."""
        return replace(
            self, shape=tuple(self.shape[a] for a in axes), strides=tuple(self.strides[a] for a in axes)
        )

    def broadcast(self, shape: tuple[int, ...]) -> Layout:
        """Stretched to `shape`: new and stretched axes have stride 0."""
        lead = len(shape) - len(self.shape)
        strides = (0,) * lead + tuple(
            0 if have == 1 and want != 1 else stride
            for have, want, stride in zip(self.shape, shape[lead:], self.strides)
        )
        return replace(self, shape=tuple(shape), strides=strides)

    def slice(self, start: tuple[int, ...], limit: tuple[int, ...], step: tuple[int, ...]) -> Layout:
        """Elements start, start + step, ... before limit, on each axis (a negative step walks down)."""
        shape = tuple(len(range(a, z, s)) for a, z, s in zip(start, limit, step))
        offset = self.offset + sum(a * stride for a, stride, n in zip(start, self.strides, shape) if n)
        return Layout(shape, tuple(stride * s for stride, s in zip(self.strides, step)), offset)

    def reshape(self, shape: tuple[int, ...]) -> Layout | None:
        """At another shape, or None where strides cannot say it."""
        shape = tuple(shape)
        if self.contiguous:
            return Layout(shape, contiguous_strides(shape), self.offset)
        runs: list[tuple[int, int]] = []  # length and step of stretches that one stride walks, axes of length 1 left out
        for length, stride in zip(self.shape, self.strides):
            if runs and length != 1 and runs[-1][1] == length * stride:
                runs[-1] = runs[-1][0] * length, stride
            elif length != 1:
                runs.append((length, stride))
        strides = []
        for length in reversed(shape):  # each new axis is a part of one stretch
            if length == 1:
                strides.append(0)
                continue
            while runs and runs[-1][0] == 1:
                runs.pop()
            rest, stride = runs.pop()
            if rest % length:
                return None
            strides.append(stride)
            runs.append((rest // length, stride * length))
        return Layout(shape, tuple(reversed(strides)), self.offset)
