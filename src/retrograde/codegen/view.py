"""`View`: how generated code reaches an array: a pointer, strides in elements, and an offset."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from llvmlite import ir

from retrograde.ir.layout import Layout
from retrograde.types import ArrayType


@dataclass(frozen=True)
class View:
    """An array in memory: base pointer (an LLVM value) and layout."""

    pointer: ir.Value
    layout: Layout
    dtype: np.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self.layout.shape

    @property
    def strides(self) -> tuple[int, ...]:
        """Element strides."""
        return self.layout.strides

    @property
    def type(self) -> ArrayType:
        """Shape and dtype."""
        return ArrayType(self.layout.shape, self.dtype)

    def with_layout(self, layout: Layout) -> View:
        """The same memory, looked at otherwise."""
        return replace(self, layout=layout)
