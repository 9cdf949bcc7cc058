"""Primitives of several outputs for the generic suites: each output as if it were a primitive of its own."""

from retrograde.types import type_of


class Output:
    """One output of a primitive; all else is the primitive's."""

    def __init__(self, primitive, place):
        self.all, self.place, self.name = primitive, place, f"{primitive.name}[{place}]"

    def __getattr__(self, name):
        return getattr(self.all, name)

    def __call__(self, *args, **params):
        return self.all(*args, **params)[self.place]

    def reference(self, *args, **params):
        return self.all.reference(*args, **params)[self.place]

    def type_rule(self, *types, **params):
        return self.all.type_rule(*types, **params)[self.place]


def outputs_of(primitive, args, params):
    """The primitive, or each of its outputs."""
    if not primitive.multiple:
        return [primitive]
    return [Output(primitive, i) for i in range(len(primitive.type_rule(*map(type_of, args), **params)))]
