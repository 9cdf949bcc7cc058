"""Counter-based random bits: Philox4x32-10.

Salmon, Moraes, Dror and Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3", section 3.3. Element i of a draw is
word i mod 4 of the block whose counter is i div 4, so any element can be made alone, in any order, compiled or not.
"""

from __future__ import annotations

import math

import numpy as np

from retrograde.errors import GraphTypeError
from retrograde.ir import Primitive
from retrograde.types import ArrayType

_M0, _M1 = 0xD2511F53, 0xCD9E8D57
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10
_U32, _U64 = np.dtype(np.uint32), np.dtype(np.uint64)


def philox(counter: np.ndarray, key: np.ndarray) -> np.ndarray:
    """The blocks of `counter` (uint64, shape (n,)) under `key` (uint32, shape (2,)): uint32, shape (n, 4)."""
    mask = np.uint64(0xFFFFFFFF)
    c = [counter & mask, counter >> np.uint64(32), np.zeros_like(counter), np.zeros_like(counter)]
    k0, k1 = (int(k) for k in key)
    for _ in range(_ROUNDS):
        p0, p1 = c[0] * np.uint64(_M0), c[2] * np.uint64(_M1)
        c = [
            (p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), p1 & mask,
            (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), p0 & mask,
        ]  # fmt: skip
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return np.stack(c, -1).astype(np.uint32)


def _check_key(key: ArrayType) -> None:
    if key.shape[-1:] != (2,) or key.dtype != _U32:
        raise GraphTypeError(f"a random key is a uint32 array of shape (2,), as retrograde.random.key(seed) makes; not {key}")


random_bits = Primitive("random_bits", formula="\\operatorname{{bits}}({0})", flops=0)
random_bits.__doc__ = "Uniform words of `shape` for a key of shape (2,); for an array of keys, (..., 2), such a draw for each."


@random_bits.def_type
def _bits_type(key: ArrayType, *, shape: tuple[int, ...]) -> ArrayType:
    _check_key(key)
    return ArrayType((*key.shape[:-1], *shape), _U32)


@random_bits.def_reference
def _bits_reference(key, *, shape: tuple[int, ...]):
    key = np.asarray(key)
    size = math.prod(shape)
    counter = np.arange(-(-size // 4), dtype=np.uint64)
    drawn = [philox(counter, one).reshape(-1)[:size] for one in key.reshape(-1, 2)]
    return np.array(drawn, np.uint32).reshape((*key.shape[:-1], *shape))[()]


def _emit_block(e, counter, key) -> tuple:
    """Philox of a 64-bit counter: four words, as 64-bit values."""
    w = e.of(_U64)
    mask, half = w.const(0xFFFFFFFF), w.const(32)
    c = [w.and_(counter, mask), w.shift_right(counter, half), w.const(0), w.const(0)]
    k0, k1 = (e.of(_U32).cast(k, _U64) for k in key)
    for _ in range(_ROUNDS):
        p0, p1 = w.mul(c[0], w.const(_M0)), w.mul(c[2], w.const(_M1))
        c = [
            w.xor(w.xor(w.shift_right(p1, half), c[1]), k0), w.and_(p1, mask),
            w.xor(w.xor(w.shift_right(p0, half), c[3]), k1), w.and_(p0, mask),
        ]  # fmt: skip
        k0, k1 = w.and_(w.add(k0, w.const(_W0)), mask), w.and_(w.add(k1, w.const(_W1)), mask)
    return tuple(c)


def _emit_word(e, linear, key):
    """Word `linear` mod 4 of block `linear` div 4, as a 32-bit value."""
    w = e.of(_U64)
    block = _emit_block(e, w.shift_right(linear, w.const(2)), key)
    which = w.and_(linear, w.const(3))
    word = block[3]
    for i in (2, 1, 0):
        word = w.select(w.compare("==", which, w.const(i)), block[i], word)
    return w.cast(word, _U32)


@random_bits.def_lower("element")
def _bits_lower(e, index, read, types, *, shape: tuple[int, ...]):
    at = e.of(np.int64)
    linear, lead = at.const(0), types[0].ndim - 1
    for i, n in zip(index[lead:], shape):
        linear = at.add(at.mul(linear, at.const(n)), i)
    key = [read[0]((*index[:lead], at.const(word))) for word in (0, 1)]
    return _emit_word(e, linear, key)


random_bits.def_batch(lambda lanes, mapped, key, *, shape: random_bits(key, shape=shape))
random_bits.def_pullback(lambda ct, z, key, *, shape: (None,))


@random_bits.def_samples
def _bits_samples() -> list:
    key = np.array([7, 11], np.uint32)
    keys = np.arange(12, dtype=np.uint32).reshape(3, 2, 2)
    return [((key,), {"shape": s}) for s in ((), (5,), (3, 7), (0, 2))] + [
        ((keys,), {"shape": (7,)}), ((keys[0],), {"shape": ()}), ((keys[:0],), {"shape": (2,)})]  # fmt: skip


random_rows = Primitive("random_rows", formula="\\operatorname{{bits}}({0})_{{{1}}}", flops=0)
random_rows.__doc__ = (
    "Rows of a draw of `random_bits` for a key of shape (2,): those whose numbers (int64, shape (n,)) are given, each of shape "
    "`row`. So a part of a draw is made alone, with the same words."
)


@random_rows.def_type
def _rows_type(key: ArrayType, numbers: ArrayType, *, row: tuple[int, ...]) -> ArrayType:
    _check_key(key)
    if key.ndim != 1 or numbers.ndim != 1 or numbers.dtype != np.int64:
        raise GraphTypeError(f"random_rows: one key and a line of int64 row numbers; not {key} and {numbers}")
    return ArrayType((*numbers.shape, *row), _U32)


@random_rows.def_reference
def _rows_reference(key, numbers, *, row: tuple[int, ...]):
    words = np.asarray(numbers)[:, None] * math.prod(row) + np.arange(math.prod(row))
    blocks = philox((words // 4).reshape(-1).astype(np.uint64), np.asarray(key))
    return np.take_along_axis(blocks, (words % 4).reshape(-1, 1), 1).reshape(*words.shape[:1], *row)


@random_rows.def_lower("element")
def _rows_lower(e, index, read, types, *, row: tuple[int, ...]):
    at = e.of(np.int64)
    linear = read[1]((index[0],))
    for i, n in zip(index[1:], row):
        linear = at.add(at.mul(linear, at.const(n)), i)
    return _emit_word(e, linear, [read[0]((at.const(word),)) for word in (0, 1)])


random_rows.def_cut(lambda where, types, out, out_axis, *, row: tuple(where) == (None, 0) and out_axis == 0)
random_rows.def_pullback(lambda ct, z, key, numbers, *, row: (None, None))


@random_rows.def_samples
def _rows_samples() -> list:
    key = np.array([7, 11], np.uint32)
    return [((key, np.array(numbers, np.int64)), {"row": row}) for numbers, row in
            (([0, 1, 2], (7,)), ([5, 2], ()), ([9], (2, 3)), ([], (4,)))]  # fmt: skip


permutation = Primitive("permutation", formula="\\operatorname{{permutation}}({0})", flops=0)
permutation.__doc__ = (
    "A uniformly drawn order of 0 .. n-1 (int64): Fisher and Yates's shuffle from the end (Knuth, TAOCP 2, 3.4.2), place i "
    "exchanged with place (bits[i] * (i + 1)) >> 32. For an array of keys, (..., 2), an order for each."
)


@permutation.def_type
def _permutation_type(key: ArrayType, *, n: int) -> ArrayType:
    _check_key(key)
    return ArrayType((*key.shape[:-1], n), np.dtype(np.int64))


@permutation.def_reference
def _permutation_reference(key, *, n: int):
    key = np.asarray(key)
    if key.ndim > 1:
        orders = [_permutation_reference(one, n=n) for one in key.reshape(-1, 2)]
        return np.array(orders, np.int64).reshape(*key.shape[:-1], n)
    bits = np.asarray(_bits_reference(key, shape=(n,))).astype(np.uint64)
    places = ((bits * np.arange(1, n + 1, dtype=np.uint64)) >> np.uint64(32)).tolist()
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = places[i]
        order[i], order[j] = order[j], order[i]
    return np.array(order, np.int64)


@permutation.def_lower("kernel")
def _permutation_lower(k, outputs, inputs, *, n: int) -> None:
    work = k.scratch(np.int64, n)
    for lead in k.loop(*outputs[0].shape[:-1]):
        _emit_permutation(k, outputs[0], inputs[0], work, lead, n)


def _emit_permutation(k, out, keys, work, lead: tuple, n: int) -> None:
    at, w = k.scalar(np.int64), k.scalar(_U64)
    key = [k.load(keys, (*lead, i)) for i in (0, 1)]
    for block in k.count(-(-n // 4)):  # first the places, four a block, in the output's own memory
        words = _emit_block(k.scalar(_U32), block, key)
        for lane, word in enumerate(words):
            i = at.add(at.mul(block, at.const(4)), at.const(lane))
            inside = at.compare("<", i, at.const(n))
            place = w.shift_right(w.mul(word, w.add(i, w.const(1))), w.const(32))
            with k.b.if_then(inside):
                k.store(out, (*lead, i), place)
    # places before i are still wanted while the order is built, so the order lies beside them
    for i in k.count(n):
        k.store(work, (i,), i)
    for step in k.count(max(n - 1, 0)):
        i = at.sub(at.const(n - 1), step)
        j = k.load(out, (*lead, i))
        moved, drawn = k.load(work, (i,)), k.load(work, (j,))
        k.store(work, (j,), moved)
        k.store(out, (*lead, i), drawn)
    if n:
        k.store(out, (*lead, 0), k.load(work, (0,)))


permutation.def_batch(lambda lanes, mapped, key, *, n: permutation(key, n=n))
permutation.scratch = lambda key, *, n: 8 * n
permutation.def_pullback(lambda ct, z, key, *, n: (None,))


@permutation.def_samples
def _permutation_samples() -> list:
    key = np.array([3, 5], np.uint32)
    keys = np.arange(8, dtype=np.uint32).reshape(2, 2, 2)
    return [((key,), {"n": n}) for n in (0, 1, 2, 10, 101)] + [((keys,), {"n": 5}), ((keys[0],), {"n": 0})]
