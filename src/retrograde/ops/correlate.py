"""`correlate`: a short line slid along a long one, the product of both at each place. Convolutions come down to it."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.errors import ShapeError
from retrograde.ir import Primitive
from retrograde.ops.shape import embed, slice_, spread
from retrograde.types import ArrayType

correlate = Primitive("correlate", formula="{0} \\star {1}", flops=lambda x, v: 2.0 * v.size * (x.shape[-1] - v.shape[-1] + 1))
correlate.__doc__ = (
    "z[k] = sum over j of x[k + j] v[j] along the last axis, wherever v lies within x: n - m + 1 places for lengths n and m. All "
    "axes before it are lanes, the same in both. Both derivatives are such products again."
)


@correlate.def_type
def _correlate_type(x: ArrayType, v: ArrayType) -> ArrayType:
    if x.dtype != v.dtype or not x.ndim or x.shape[:-1] != v.shape[:-1] or not 1 <= v.shape[-1] <= x.shape[-1]:
        raise ShapeError(f"correlate: one dtype, and a second line neither empty nor the longer; it was given {x}, {v}")
    return x.with_shape((*x.shape[:-1], x.shape[-1] - v.shape[-1] + 1))


@correlate.def_reference
def _correlate_reference(x: Any, v: Any) -> Any:
    x, v = np.asarray(x), np.asarray(v)
    out = np.empty((*x.shape[:-1], x.shape[-1] - v.shape[-1] + 1), x.dtype)
    for lead in np.ndindex(x.shape[:-1]):
        out[lead] = np.correlate(x[lead], v[lead].conj(), "valid")
    return out


@correlate.def_lower("kernel")
def _correlate_lower(k: Any, outputs: Any, inputs: Any) -> None:
    """One element of v after the other, times a stretch of x, added up in the output: the inner loop goes along memory."""
    out, (x, v) = outputs[0], inputs
    e, at, places = k.scalar(out.dtype), k.scalar(np.int64), out.shape[-1]
    k.fill(out, 0)
    for lead in k.loop(*out.shape[:-1]):
        for j in k.count(v.shape[-1]):
            factor = k.load(v, (*lead, j))
            for i in k.count(places):
                product = e.mul(k.load(x, (*lead, at.add(i, j))), factor)
                k.store(out, (*lead, i), e.add(k.load(out, (*lead, i)), product))


@correlate.def_batch
def _correlate_batch(lanes: Any, mapped: Any, x: Any, v: Any) -> Any:
    return correlate(spread(lanes, x, mapped[0]), spread(lanes, v, mapped[1]))


correlate.def_cut(lambda where, types, out, out_axis: where[0] == where[1] == out_axis != out.ndim - 1)


@correlate.def_pullback
def _correlate_pullback(ct: Any, z: Any, x: Any, v: Any) -> tuple:
    m = v.shape[-1]
    return correlate(pad(ct, m - 1, m - 1), reverse(v)), correlate(x, ct)


def pad(x: Any, before: int, after: int) -> Any:
    """Zeros before and after, along the last axis."""
    n, lead = x.shape[-1], x.shape[:-1]
    place = {"start": (*[0] * len(lead), before), "limit": (*lead, before + n), "step": (1,) * len(x.shape)}
    return embed(x, shape=(*lead, before + n + after), **place) if before + after else x


def reverse(x: Any) -> Any:
    """The other way around along the last axis."""
    lead, n = x.shape[:-1], x.shape[-1]
    return slice_(x, start=(*[0] * len(lead), n - 1), limit=(*lead, -1), step=(*[1] * len(lead), -1))


@correlate.def_samples
def _correlate_samples() -> list:
    rng = np.random.default_rng(37)
    cases = [(rng.normal(size=n), rng.normal(size=m)) for n, m in [(1, 1), (2, 2), (5, 1), (17, 3), (33, 31), (127, 8)]]
    cases += [(rng.normal(size=(2, 3, 7)), rng.normal(size=(2, 3, 3))), (rng.normal(size=12)[::-2], rng.normal(size=9)[::3]),
              (rng.normal(size=9).astype(np.float32), rng.normal(size=4).astype(np.float32)),
              (rng.integers(-4, 5, 9), rng.integers(-4, 5, 3)),
              (rng.integers(0, 2, 9) > 0, rng.integers(0, 2, 3) > 0)]  # fmt: skip
    return [(pair, {}) for pair in cases]
