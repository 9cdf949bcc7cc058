"""Primitives of several outputs for the generic suites: each output as if it were a primitive of its own."""

import numpy as np

from retrograde.types import type_of

FREE = {("eigh", 1): -2, ("svd", 1): -2, ("svd", 2): -1}  # outputs that are vectors, and the axis they lie along


def turned(x, axis):
    """Complex vectors with the phase at which their first elements are real, as it does not matter which one they had."""
    if axis is None or x.dtype.kind != "c" or not x.size:
        return x
    first = x[..., :1, :] if axis == -2 else x[..., :1]
    return x * (np.conj(first) / np.abs(first))


class Output:
    """One output of a primitive; all else is the primitive's."""

    def __init__(self, primitive, place):
        self.all, self.place, self.name = primitive, place, f"{primitive.name}[{place}]"

    def __getattr__(self, name):
        return getattr(self.all, name)

    def __call__(self, *args, **params):
        return turned(self.all(*args, **params)[self.place], FREE.get((self.all.name, self.place)))

    def reference(self, *args, **params):
        return turned(self.all.reference(*args, **params)[self.place], FREE.get((self.all.name, self.place)))

    def type_rule(self, *types, **params):
        return self.all.type_rule(*types, **params)[self.place]


def outputs_of(primitive, args, params):
    """The primitive, or each of its outputs."""
    if not primitive.multiple:
        return [primitive]
    return [Output(primitive, i) for i in range(len(primitive.type_rule(*map(type_of, args), **params)))]
