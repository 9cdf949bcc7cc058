"""Native code that orders lines: by a sorting network where they are short, by their digits where they are long.

Both work on unsigned integers whose order is that of the elements, NaN last. Where the places are wanted, the one an element has
goes with its key: it is the low half of a wider integer in the one case and decides between ties in the other, so equal
elements keep their order. Where only the values are, equal ones cannot be told apart (-0.0 comes before 0.0).

Short lines stand side by side, one in each lane of a vector, and go through the same comparisons (K. Batcher, 1968, "Sorting
networks and their applications"; D. Knuth, The Art of Computer Programming 3, 5.2.2, algorithm M). A long line is dealt by its
digits, the last first (Knuth, 5.2.5): at first only by the highest of those that vary, which puts all but a few elements where
they belong. Insertion finishes that; if it takes too many moves, the line is dealt by all of its digits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograde.types import ArrayType

UNROLLED = 16  # elements of a line up to which a network has no loop: the line is in registers
SHORT, SHORT_ALONE = 256, 64  # elements of a line up to which networks are faster: of many lines, and of one
_I64 = np.dtype(np.int64)


def network(n: int) -> list[tuple[int, int]]:
    """Comparisons (i, j), i < j, which put n elements in order: each leaves the smaller one at i."""
    found, p = [], 1
    while p < n:
        k = p
        while k:
            for j in range(k % p, n - k, 2 * k):
                found += [(i + j, i + j + k) for i in range(min(k, n - j - k)) if (i + j) // (2 * p) == (i + j + k) // (2 * p)]
            k //= 2
        p *= 2
    return found


def _is_short(x: ArrayType, axis: int) -> bool:
    n = x.shape[axis]
    return n <= (SHORT_ALONE if x.size < 4 * n else SHORT)


def _lanes(x: ArrayType, axis: int) -> int:
    """Lines side by side: as many as fill a vector of 64 bytes, or as there are."""
    lines = x.size // x.shape[axis]
    return min(64 // x.dtype.itemsize, 16, 1 << max(lines - 1, 0).bit_length())


def _digit_bits(n: int) -> int:
    return 8 if n < 4096 else 11


def _place_bits(x: ArrayType, n: int) -> int:
    return 32 if x.dtype.itemsize <= 4 and n < 1 << 32 else 64


def order_scratch(x: ArrayType, axis: int, places: bool) -> int:
    """Bytes of working memory."""
    if not x.size or x.shape[axis] == 1:
        return 0
    n, size = x.shape[axis], x.dtype.itemsize
    if _is_short(x, axis):
        return 0 if n <= UNROLLED else n * _lanes(x, axis) * size * (2 if places else 1)
    return 8 * (1 << _digit_bits(n)) + 2 * n * (_place_bits(x, n) // 4 if places else size)


def emit_order(k: Any, out: Any, x: Any, axis: int, places: bool) -> None:
    """The elements of every line along `axis` in ascending order, or their `places`."""
    if not x.type.size:
        return
    if x.shape[axis] == 1:
        k.fill(out, 0) if places else k.copy(out, x)
        return
    (_emit_network if _is_short(x.type, axis) else _emit_radix)(k, out, x, axis, places)


class _Keys:
    """Between elements of a dtype and unsigned integers in their order."""

    def __init__(self, k: Any, dtype: np.dtype):
        self.b, self.e, self.dtype, self.bits = k.b, k.scalar(dtype), dtype, 8 * dtype.itemsize
        self.type, self.element = k.integer(self.bits), k.register(dtype)
        self.top = self.type(1 << (self.bits - 1))

    def of(self, value: Any, ties: bool) -> Any:
        """The key of an element; zeros tie where `ties` count, and NaN does in any case."""
        b, e = self.b, self.e
        if self.dtype.kind == "b":
            return b.zext(value, self.type)
        if self.dtype.kind != "f":
            return b.xor(value, self.top) if self.dtype.kind == "i" else value
        if ties:
            value = b.select(e.compare("==", value, e.const(0)), e.const(0), value)
        raw = b.bitcast(b.select(e.compare("!=", value, value), e.const(np.nan), value), self.type)
        return b.xor(raw, b.or_(b.ashr(raw, self.type(self.bits - 1)), self.top))  # of what is negative, every bit

    def element_of(self, key: Any) -> Any:
        """The element back from its key."""
        b = self.b
        if self.dtype.kind != "f":
            return b.xor(key, self.top) if self.dtype.kind == "i" else key
        flipped = b.or_(b.ashr(b.not_(key), self.type(self.bits - 1)), self.top)
        return b.bitcast(b.xor(key, flipped), self.element)


# -- short lines -----------------------------------------------------------------------------------------------------


def _emit_network(k: Any, out: Any, x: Any, axis: int, places: bool) -> None:
    b, at, keys = k.b, k.scalar(_I64), _Keys(k, x.dtype)
    n, lanes = x.shape[axis], _lanes(x.type, axis)
    others = (*x.shape[:axis], *x.shape[axis + 1 :])
    lines, vector = math.prod(others), k.integer(keys.bits, lanes)
    step = lanes * x.dtype.itemsize

    def cell(i: Any, part: int) -> Any:
        byte = at.add(at.mul(i, at.const(step)), at.const(part * n * step))
        return b.gep(k.working, [byte], inbounds=True, source_etype=k.integer(8))

    for group in k.count(-(-lines // lanes)):
        leads = []
        for lane in range(lanes):  # where no line is left, the last one is done again
            rest = at.minimum(at.add(at.mul(group, at.const(lanes)), at.const(lane)), at.const(lines - 1))
            lead = []
            for m in reversed(others):
                lead.insert(0, b.urem(rest, at.const(m)))
                rest = b.udiv(rest, at.const(m))
            leads.append(lead)

        def read(i: Any, leads: list = leads) -> list:
            key, place = vector(None), vector(None)
            here = b.trunc(i, keys.type) if keys.bits < 64 else i
            for lane, lead in enumerate(leads):
                value = keys.of(k.load(x, (*lead[:axis], i, *lead[axis:])), places)
                key = b.insert_element(key, value, k.integer(32)(lane))
                place = b.insert_element(place, here, k.integer(32)(lane)) if places else place
            return [key, place] if places else [key]

        def write(i: Any, parts: list, leads: list = leads) -> None:
            for lane, lead in enumerate(leads):
                found = b.extract_element(parts[-1], k.integer(32)(lane))
                if places:
                    found = b.zext(found, k.register(_I64)) if keys.bits < 64 else found
                k.store(out, (*lead[:axis], i, *lead[axis:]), found if places else keys.element_of(found))

        if n <= UNROLLED:
            held = [read(k.index(i)) for i in range(n)]
            for i, j in network(n):
                held[i], held[j] = _in_order(b, held[i], held[j])
            for i in range(n):
                write(k.index(i), held[i])
            continue
        parts = range(2 if places else 1)
        for i in k.count(n):
            for part, value in enumerate(read(i)):
                b.store(value, cell(i, part), align=8)
        pairs = k.table(np.array(network(n), np.int32))
        for c in k.count(pairs.shape[0]):
            one, two = (k.to_index(k.load(pairs, (c, side)), pairs.dtype) for side in (0, 1))
            cells = [[cell(i, part) for part in parts] for i in (one, two)]
            found = _in_order(b, *[[b.load(p, align=8, typ=vector) for p in each] for each in cells])
            for values, each in zip(found, cells):
                for value, p in zip(values, each):
                    b.store(value, p, align=8)
        for i in k.count(n):
            write(i, [b.load(cell(i, part), align=8, typ=vector) for part in parts])


def _in_order(b: Any, one: list, two: list) -> tuple[list, list]:
    """In each lane the smaller, and the larger; the place decides where keys tie."""
    less = b.icmp_unsigned("<", two[0], one[0])
    if len(one) == 2:
        less = b.or_(less, b.and_(b.icmp_unsigned("==", two[0], one[0]), b.icmp_unsigned("<", two[1], one[1])))
    low, high = ([b.select(less, *pair) for pair in pairs] for pairs in (zip(two, one), zip(one, two)))
    return low, high


# -- long lines ------------------------------------------------------------------------------------------------------


class _Dealt:
    """The items of a line in two halves of the working memory, of which one is the source: offsets of it are in a register."""

    def __init__(self, k: Any, x: Any, n: int, places: bool):
        self.k, self.n, self.keys, self.digit = k, n, _Keys(k, x.dtype), _digit_bits(n)
        self.below = _place_bits(x.type, n) if places else 0  # bits of the place, below the key's
        self.type = k.integer(2 * self.below or self.keys.bits)
        self.counts = k.scratch(_I64, 1 << self.digit)
        self.source, self.least = k.alloca(k.register(_I64)), k.alloca(k.register(_I64))

    def item(self, i: Any) -> Any:
        """The address of one item."""
        k, behind = self.k, self.k.index(self.counts.type.nbytes)
        first = k.b.gep(k.working, [behind], inbounds=True, source_etype=k.integer(8))
        return k.b.gep(first, [i], inbounds=True, source_etype=self.type)

    def load(self, i: Any) -> Any:
        return self.k.b.load(self.item(i), align=1, typ=self.type)

    def store(self, item: Any, i: Any) -> None:
        self.k.b.store(item, self.item(i), align=1)

    def key(self, item: Any) -> Any:
        """The key in an item, as an i64, less the least key."""
        b, wide = self.k.b, self.k.register(_I64)
        item = b.lshr(item, self.type(self.below)) if self.below else item
        key = item if item.type == wide else (b.trunc if item.type.width > 64 else b.zext)(item, wide)
        return b.sub(key, b.load(self.least, typ=wide))

    def from_source(self) -> Any:
        return self.k.b.load(self.source, typ=self.k.register(_I64))

    def read(self, load: Any) -> tuple[Any, Any]:
        """Make the items; return the greatest key, less the least, and the bits in which keys differ."""
        k, b, wide = self.k, self.k.b, self.k.register(_I64)
        kind = self.keys.type
        low, high, varying = (k.alloca(kind) for _ in range(3))
        first = self.keys.of(load(k.index(0)), bool(self.below))
        for register, value in ((low, first), (high, first), (varying, kind(0))):
            b.store(value, register)
        for i in k.count(self.n):
            key = self.keys.of(load(i), bool(self.below))
            least, greatest, bits = (b.load(register, typ=kind) for register in (low, high, varying))
            b.store(b.select(b.icmp_unsigned("<", key, least), key, least), low)
            b.store(b.select(b.icmp_unsigned(">", key, greatest), key, greatest), high)
            b.store(b.or_(bits, b.xor(key, first)), varying)
            item = key
            if self.below:
                item = b.or_(b.shl(b.zext(key, self.type), self.type(self.below)), b.zext(i, self.type))
            self.store(item, i)
        least, greatest, bits = (b.load(register, typ=kind) for register in (low, high, varying))
        least, greatest, bits = ((b.zext(x, wide) if self.keys.bits < 64 else x) for x in (least, greatest, bits))
        b.store(wide(0), self.source)
        b.store(least, self.least)
        return b.sub(greatest, least), bits

    def deal(self, shift: Any) -> None:
        """Put the items in the order of one digit of their keys, and otherwise as they stand, in the other half."""
        k, b, at = self.k, self.k.b, self.k.scalar(_I64)
        k.fill(self.counts, 0)
        start = self.from_source()

        def digit(item: Any) -> Any:
            return b.and_(b.lshr(self.key(item), shift), at.const((1 << self.digit) - 1))

        for i in k.count(self.n):
            d = digit(self.load(at.add(start, i)))
            k.store(self.counts, (d,), at.add(k.load(self.counts, (d,)), at.const(1)))
        target, total = at.sub(at.const(self.n), start), k.alloca(k.register(_I64))
        b.store(target, total)
        for d in k.count(1 << self.digit):
            count, before = k.load(self.counts, (d,)), b.load(total, typ=k.register(_I64))
            k.store(self.counts, (d,), before)
            b.store(at.add(before, count), total)
        for i in k.count(self.n):
            item = self.load(at.add(start, i))
            d = digit(item)
            place = k.load(self.counts, (d,))
            self.store(item, place)
            k.store(self.counts, (d,), at.add(place, at.const(1)))
        b.store(target, self.source)

    def insert(self) -> Any:
        """Finish what is nearly in order, by insertion; whether that took no more than two moves for each item."""
        k, b, at, wide = self.k, self.k.b, self.k.scalar(_I64), self.k.register(_I64)
        start, hole, left = self.from_source(), k.alloca(wide), k.alloca(wide)
        b.store(at.const(2 * self.n), left)
        for i in k.count(self.n, 1):
            here = at.add(start, i)
            item = self.load(here)
            key = self.key(item)
            with b.if_then(b.icmp_unsigned(">", self.key(self.load(at.sub(here, at.const(1)))), key), likely=False):
                b.store(here, hole)
                test, moves, after = (b.append_basic_block(name) for name in ("test", "moves", "inserted"))
                b.branch(test)
                b.position_at_end(test)
                spot = b.load(hole, typ=wide)
                spare = b.load(left, typ=wide)
                may = b.and_(at.compare(">", spot, start), at.compare(">", spare, at.const(0)))
                before = at.maximum(at.sub(spot, at.const(1)), start)
                other = self.load(before)
                b.cbranch(b.and_(may, b.icmp_unsigned(">", self.key(other), key)), moves, after)
                b.position_at_end(moves)
                self.store(other, spot)
                b.store(before, hole)
                b.store(at.sub(spare, at.const(1)), left)
                b.branch(test)
                b.position_at_end(after)
                self.store(item, b.load(hole, typ=wide))
        return at.compare(">", b.load(left, typ=wide), at.const(0))


def _emit_radix(k: Any, out: Any, x: Any, axis: int, places: bool) -> None:
    b, at, n, wide = k.b, k.scalar(_I64), x.shape[axis], k.register(_I64)
    dealt, done = _Dealt(k, x, n, places), k.alloca(k.register(bool))
    digit, window = dealt.digit, -(-32 // dealt.digit) * dealt.digit
    for lead in k.loop(*x.shape[:axis], *x.shape[axis + 1 :]):
        def line(i: Any, lead: tuple = lead) -> tuple:
            return (*lead[:axis], i, *lead[axis:])

        greatest, varying = dealt.read(lambda i: k.load(x, line(i)))
        high = at.sub(at.const(64), b.ctlz(greatest, k.register(bool)(0)))
        lowest = b.cttz(varying, k.register(bool)(0))
        b.store(k.register(bool)(0), done)
        for again in k.count(2):
            with b.if_then(b.not_(b.load(done, typ=k.register(bool)))):
                some = at.maximum(at.sub(high, at.const(window)), lowest)
                low = b.select(at.compare("==", again, at.const(0)), some, lowest)
                passes = b.sdiv(at.add(at.sub(high, low), at.const(digit - 1)), at.const(digit))
                for p in k.count(passes):
                    dealt.deal(at.add(low, at.mul(p, at.const(digit))))
                b.store(k.register(bool)(1), done)
                with b.if_then(at.compare(">", low, lowest)):
                    b.store(dealt.insert(), done)
        start = dealt.from_source()
        for i in k.count(n):
            item = dealt.load(at.add(start, i))
            if places:
                low_half = item if item.type == wide else b.trunc(item, wide)
                k.store(out, line(i), b.and_(low_half, at.const((1 << dealt.below) - 1)) if dealt.below < 64 else low_half)
            else:
                k.store(out, line(i), dealt.keys.element_of(item))
