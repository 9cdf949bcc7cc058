"""Native code of the discrete Fourier transform, for a length that is known: O(n log n) operations for any.

Lengths whose prime factors are at most `LARGEST` go through stages of a mixed-radix transform that sorts itself (Stockham's: C.
Van Loan, 1992, "Computational Frameworks for the Fast Fourier Transform", section 1.7), from one buffer to another and back;
the first stage reads the operand, the last writes the result. Any other length is a convolution with a chirp (L. Bluestein,
1970), by transforms of a length that has small factors. Factors of unity and the chirp's transform are constants of the
program, computed in NumPy in float64. Buffers hold real and imaginary parts apart, so that loops over them are widened.
Lines are transformed one after the other, by one thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograde.types import ArrayType

LARGEST = 31  # prime factors above this would take more operations, and more code, than Bluestein's way
Number = tuple[Any, Any]  # real and imaginary part, each a float in a register
Load = Callable[[Any], Number]
Store = Callable[[Any, Any, Any], None]


def radices(n: int) -> list[int] | None:
    """The stages for a length: fours first, then the other factors; None where one is too large."""
    found = []
    for r in (4, 2, *range(3, LARGEST + 1, 2)):
        while n % r == 0:
            found.append(r)
            n //= r
    return found if n == 1 else None


def padded(n: int) -> int:
    """The length of the transforms for a convolution: the least 1, 3, 5 or 9 times a power of two that is long enough."""
    least = 2 * n - 1
    return min(c << max(0, math.ceil(math.log2(least / c))) for c in (1, 3, 5, 9))


def dft_scratch(x: ArrayType, *, axis: int, inverse: bool) -> int:
    """Bytes of the two buffers."""
    n = x.shape[axis]
    return 2 * (n if radices(n) is not None else padded(n)) * x.dtype.itemsize


def emit_dft(k: Any, outputs: Any, inputs: Any, *, axis: int, inverse: bool) -> None:
    """Emit the transform of every line along `axis`."""
    out, x = outputs[0], inputs[0]
    n, lead = x.shape[axis], (*x.shape[:axis], *x.shape[axis + 1 :])
    if not x.type.size:
        return
    e = k.scalar(x.dtype)
    transform = _Transform(k, x.dtype, n, inverse) if radices(n) is not None else _Chirp(k, x.dtype, n, inverse)
    for index in k.loop(*lead):

        def load(i: Any, index: tuple = index) -> Number:
            return e.split(k.load(x, (*index[:axis], i, *index[axis:])))

        def store(i: Any, re: Any, im: Any, index: tuple = index) -> None:
            k.store(out, (*index[:axis], i, *index[axis:]), e.join(re, im))

        transform.emit(load, store)


class _Buffers:
    """Two buffers of `n` complex numbers in the working memory, as planes of parts."""

    def __init__(self, k: Any, part: np.dtype, n: int):
        self.k, work = k, k.scratch(part, 4 * n)
        planes = [work.with_layout(work.layout.slice((i * n,), ((i + 1) * n,), (1,))) for i in range(4)]
        self.planes = [planes[:2], planes[2:]]

    def load(self, which: int) -> Load:
        """How to read buffer 0 or 1."""
        return lambda i: tuple(self.k.load(plane, (i,)) for plane in self.planes[which])

    def store(self, which: int) -> Store:
        """How to write it."""

        def write(i: Any, *parts: Any) -> None:
            for plane, part in zip(self.planes[which], parts):
                self.k.store(plane, (i,), part)

        return write


class _Transform:
    """The stages for one length."""

    def __init__(self, k: Any, dtype: np.dtype, n: int, inverse: bool, buffers: _Buffers | None = None):
        self.k, self.n, self.sign = k, n, 1.0 if inverse else -1.0
        part = np.dtype(f"f{dtype.itemsize // 2}")
        self.e, self.at = k.scalar(part), k.scalar(np.int64)
        self.stages = radices(n)
        self.buffers = buffers or _Buffers(k, part, n)
        self.units = []
        length = n
        for r in self.stages:  # the powers exp(sign 2 pi i p j / length) that stage wants, p running fastest
            m = length // r
            exact = (np.outer(np.arange(1, r), np.arange(m)) % length) * (self.sign * 2.0 * np.pi / length)
            self.units.append([k.table(np.ascontiguousarray(f(exact), part)) for f in (np.cos, np.sin)] if m > 1 else None)
            length = m

    def emit(self, load: Load, store: Store, start: int = 0) -> None:
        """From `load` to `store`, by way of the buffers, of which `start` is the first to be written."""
        if not self.stages:
            store(self.k.index(0), *load(self.k.index(0)))
        length, stride, last = self.n, 1, len(self.stages) - 1
        for number, (r, units) in enumerate(zip(self.stages, self.units)):
            length //= r
            which = (start + number) % 2
            read = load if number == 0 else self.buffers.load(1 - which)
            write = store if number == last else self.buffers.store(which)
            self._stage(r, length, stride, units, read, write)
            stride *= r

    def _stage(self, r: int, m: int, stride: int, units: Any, load: Load, store: Store) -> None:
        k, at, e = self.k, self.at, self.e
        for p in k.count(m):
            turns = [tuple(k.load(part, (i, p)) for part in units) for i in range(r - 1)] if units else None
            for q in k.count(stride):
                base = at.add(q, at.mul(p, at.const(stride)))
                taken = [load(at.add(base, at.const(stride * m * j))) for j in range(r)]
                base = at.add(q, at.mul(p, at.const(stride * r)))
                for i, (re, im) in enumerate(self._butterfly(taken)):
                    if i and turns:
                        c, s = turns[i - 1]
                        re, im = e.sub(e.mul(re, c), e.mul(im, s)), e.add(e.mul(re, s), e.mul(im, c))
                    store(at.add(base, at.const(stride * i)), re, im)

    def _butterfly(self, a: list[Number]) -> list[Number]:
        """The transform of r numbers."""
        r = len(a)
        if r == 2:
            return [self._add(a[0], a[1]), self._sub(a[0], a[1])]
        if r == 4:
            even, odd = self._add(a[0], a[2]), self._add(a[1], a[3])
            first, second = self._sub(a[0], a[2]), self._turn(self._sub(a[1], a[3]), self.sign)
            return [self._add(even, odd), self._add(first, second), self._sub(even, odd), self._sub(first, second)]
        half = range(1, r // 2 + 1)
        sums = [self._add(a[j], a[r - j]) for j in half]
        gaps = [self._sub(a[j], a[r - j]) for j in half]
        found = [a[0]] * r
        for total in sums:
            found[0] = self._add(found[0], total)
        for i in half:
            real, turned = a[0], None
            for j, total, gap in zip(half, sums, gaps):
                angle = 2.0 * np.pi * (i * j % r) / r
                real = self._add(real, self._scale(total, math.cos(angle)))
                term = self._scale(gap, self.sign * math.sin(angle))
                turned = term if turned is None else self._add(turned, term)
            turned = self._turn(turned, 1.0)
            found[i], found[r - i] = self._add(real, turned), self._sub(real, turned)
        return found

    def _add(self, x: Number, y: Number) -> Number:
        return self.e.add(x[0], y[0]), self.e.add(x[1], y[1])

    def _sub(self, x: Number, y: Number) -> Number:
        return self.e.sub(x[0], y[0]), self.e.sub(x[1], y[1])

    def _scale(self, x: Number, by: float) -> Number:
        return self.e.mul(x[0], self.e.const(by)), self.e.mul(x[1], self.e.const(by))

    def _turn(self, x: Number, sign: float) -> Number:
        """i x, or -i x."""
        return (self.e.neg(x[1]), x[0]) if sign > 0 else (x[1], self.e.neg(x[0]))


class _Chirp:
    """Bluestein's way: j k = (j**2 + k**2 - (k - j)**2) / 2 makes of the sum a convolution."""

    def __init__(self, k: Any, dtype: np.dtype, n: int, inverse: bool):
        self.k, self.n, self.m = k, n, padded(n)
        part = np.dtype(f"f{dtype.itemsize // 2}")
        self.e = k.scalar(part)
        self.buffers = _Buffers(k, part, self.m)
        self.ahead = _Transform(k, dtype, self.m, False, self.buffers)
        self.back = _Transform(k, dtype, self.m, True, self.buffers)
        chirp = np.exp((1j if inverse else -1j) * np.pi * (np.arange(n) ** 2 % (2 * n)) / n)
        filled = np.zeros(self.m, complex)
        filled[:n] = chirp.conj()
        filled[self.m - n + 1 :] = chirp[:0:-1].conj()
        response = np.fft.fft(filled) / self.m
        self.chirp = [k.table(np.ascontiguousarray(f(chirp), part)) for f in (np.real, np.imag)]
        self.response = [k.table(np.ascontiguousarray(f(response), part)) for f in (np.real, np.imag)]

    def emit(self, load: Load, store: Store) -> None:
        """From `load` to `store`."""
        k, zero, put, end = self.k, self.e.const(0), self.buffers.store(0), len(self.ahead.stages) % 2
        for i in k.count(self.n):
            put(i, *self._product(load(i), self.chirp, i))
        for i in k.count(self.m, self.n):
            put(i, zero, zero)
        self.ahead.emit(self.buffers.load(0), self.buffers.store(end), start=1)
        read, put = self.buffers.load(end), self.buffers.store(end)
        for i in k.count(self.m):
            put(i, *self._product(read(i), self.response, i))
        final = (end + len(self.back.stages)) % 2
        self.back.emit(read, self.buffers.store(final), start=1 - end)
        read = self.buffers.load(final)
        for i in k.count(self.n):
            store(i, *self._product(read(i), self.chirp, i))

    def _product(self, x: Number, table: Any, i: Any) -> Number:
        (a, b), (c, d), e = x, (self.k.load(part, (i,)) for part in table), self.e
        return e.sub(e.mul(a, c), e.mul(b, d)), e.add(e.mul(a, d), e.mul(b, c))
