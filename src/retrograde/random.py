"""Random numbers inside traced code: keys are plain arrays, every draw is a function of its key.

A key is a uint32 array of shape (2,). The same key gives the same numbers, eagerly and compiled; draw several things from
keys made by `split` or `fold_in`. The generator is Philox4x32-10.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograde import numpy as rnp
from retrograde.errors import GraphTypeError, ShapeError, UnsupportedError
from retrograde.ops import elementwise as ew
from retrograde.ops.promote import apply, as_operand, astype
from retrograde.ops.random import permutation as _permutation
from retrograde.ops.random import random_bits
from retrograde.types import ArrayType, type_of


def key(seed: int) -> np.ndarray:
    """The key of a seed: any Python integer of up to 64 bits."""
    seed = int(seed) & 0xFFFFFFFFFFFFFFFF
    return np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint32)


def _one(key: Any) -> Any:
    """A single key; the primitives would take an array of keys as well."""
    key = as_operand(key)
    given = type_of(key)
    if given != ArrayType((2,), np.dtype(np.uint32)):
        raise GraphTypeError(
            f"a random key is a uint32 array of shape (2,), as retrograde.random.key(seed) makes; not {given}. For an array of "
            "keys map the function with rg.vmap"
        )
    return key


def fold_in(key: Any, data: Any) -> Any:
    """A new key from a key and an integer (a layer's number, an epoch)."""
    key = _one(key)
    data = astype(as_operand(data), np.uint32)
    first, second = key[0], key[1]
    mixed = rnp.stack([apply(ew.bitwise_xor, first, data), apply(ew.bitwise_xor, second, np.uint32(0x85EBCA6B))])
    return random_bits(mixed, shape=(4,))[2:]


def split(key: Any, num: int = 2) -> Any:
    """`num` new keys, shape (num, 2)."""
    key = _one(key)
    turned = rnp.stack([key[0], apply(ew.bitwise_xor, key[1], np.uint32(0xC2B2AE35))])
    return rnp.reshape(random_bits(turned, shape=(2 * num,)), (num, 2))


def bits(key: Any, shape: tuple[int, ...] = ()) -> Any:
    """Uniform uint32 words."""
    return random_bits(_one(key), shape=_shape(shape))


def uniform(key: Any, shape: tuple[int, ...] = (), dtype: Any = np.float32, low: Any = 0.0, high: Any = 1.0) -> Any:
    """Uniform on [low, high): 24 random bits in float32, 53 in float64."""
    key, shape, dtype = _one(key), _shape(shape), np.dtype(dtype)
    if dtype.kind == "c":
        raise UnsupportedError(f"random numbers of {dtype} are made of two real arrays, x + 1j * y, each with a key of its own")
    if dtype == np.float64:
        words = astype(random_bits(key, shape=(*shape, 2)), np.float64)
        unit = (rnp.floor(words[..., 0] * 2.0**-5) * 2.0**26 + rnp.floor(words[..., 1] * 2.0**-6)) * 2.0**-53
    else:
        words = apply(ew.right_shift, random_bits(key, shape=shape), np.uint32(8))
        unit = astype(astype(words, np.float32) * np.float32(2.0**-24), dtype)
    return unit if low == 0.0 and high == 1.0 else unit * (high - low) + low


def normal(key: Any, shape: tuple[int, ...] = (), dtype: Any = np.float32) -> Any:
    """Standard normal, by Box and Muller's (1958) transform."""
    shape, dtype = _shape(shape), np.dtype(dtype)
    u = uniform(key, (2, *shape), dtype)
    radius = rnp.sqrt(-2.0 * rnp.log1p(-u[0]))
    return radius * rnp.cos((2.0 * math.pi) * u[1])


def bernoulli(key: Any, p: Any = 0.5, shape: tuple[int, ...] = ()) -> Any:
    """True with probability p."""
    return uniform(key, shape) < p


def permutation(key: Any, n: int) -> Any:
    """A uniformly drawn order of 0 .. n-1, int64."""
    return _permutation(_one(key), n=int(n))


def _shape(shape: Any) -> tuple[int, ...]:
    found = (shape.__index__(),) if np.ndim(shape) == 0 else tuple(n.__index__() for n in shape)
    if any(n < 0 for n in found):
        raise ShapeError(f"a shape has no negative lengths; it is {found}")
    return found
