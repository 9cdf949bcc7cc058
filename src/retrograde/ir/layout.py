"""`Layout`: how an array lies in memory; what `view` operations (transpose, slice, reshape) change instead of copying."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Element strides of a C-contiguous array."""
    strides, step = [], 1
    for length in reversed(shape):
        strides.append(step)
        step *= max(length, 1)
    return tuple(reversed(strides))


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
        if self.contiguous:
            return Layout(tuple(shape), contiguous_strides(tuple(shape)), self.offset)
        kept = [(n, s) for n, s in zip(self.shape, self.strides) if n != 1]
        if [n for n, _ in kept] == [n for n in shape if n != 1]:  # only axes of length 1 come or go
            strides = iter(s for _, s in kept)
            return Layout(tuple(shape), tuple(next(strides) if n != 1 else 0 for n in shape), self.offset)
        return None
