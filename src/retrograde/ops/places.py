"""Where a mask holds: the one operation whose result's length must be said beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError
from retrograde.ir import Primitive
from retrograde.types import ArrayType

true_places = Primitive("true_places", formula="\\{{i : {0}_i\\}}", flops=lambda mask, *, size: mask.size)
true_places.__doc__ = (
    "The first `size` places along the last axis where a mask is True, in ascending order; where there are fewer, the rest is "
    "the axis's length, which is no place."
)


@true_places.def_type
def _type(mask: ArrayType, *, size: int) -> ArrayType:
    if mask.dtype != bool or mask.ndim == 0 or size < 0:
        raise GraphTypeError(f"true_places wants a mask of at least one axis and a size; it was given {mask} and {size}")
    return ArrayType((*mask.shape[:-1], size), np.dtype(np.int64))


@true_places.def_reference
def _reference(mask: Any, *, size: int) -> Any:
    mask = np.asarray(mask)
    n = mask.shape[-1]
    places = np.sort(np.where(mask, np.arange(n), n), axis=-1)[..., :size]
    return np.concatenate([places, np.full((*mask.shape[:-1], size - places.shape[-1]), n)], axis=-1)


@true_places.def_lower("kernel")
def _lower(k: Any, outputs: Any, inputs: Any, *, size: int) -> None:
    out, mask = outputs[0], inputs[0]
    k.fill(out, mask.shape[-1])
    if not size or not mask.type.size:
        return
    counter = k.alloca(k.register(np.int64))
    for line in k.loop(*mask.shape[:-1]):
        k.b.store(k.index(0), counter)
        for i in k.count(mask.shape[-1]):
            found = k.b.load(counter, typ=k.register(np.int64))
            new = k.b.and_(k.load(mask, (*line, i)), k.b.icmp_signed("<", found, k.index(size)))
            with k.b.if_then(new):
                k.store(out, (*line, found), i)
                k.b.store(k.b.add(found, k.index(1)), counter)


true_places.def_batch(lambda lanes, mapped, mask, *, size: true_places(mask, size=size))


@true_places.def_samples
def _samples() -> list:
    mask = np.array([[True, False, True, True], [False, False, False, True], [False] * 4])
    return [((mask[0],), {"size": 3}), ((mask[0],), {"size": 2}), ((mask,), {"size": 5}), ((mask[:, ::-1],), {"size": 1}),
            ((mask[0],), {"size": 0}), ((mask[0, :0],), {"size": 2}), ((mask[:0],), {"size": 2})]  # fmt: skip
