"""Operations on the parts of floating-point numbers, and the common divisor of whole ones.

An exponent is held as a float of the operands' dtype, in which it is exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError
from retrograde.ir import Primitive
from retrograde.ops.define import broadcast_shapes, by_elements, elementwise
from retrograde.ops.shape import spread
from retrograde.types import ArrayType


def _parts(e: Any) -> tuple[Any, int, int]:
    """The emitter of the integers that a float's bits are, how many bits the fraction has, and the exponent's bias."""
    info = np.finfo(e.dtype)
    return e.of(f"i{e.dtype.itemsize}"), info.nmant, info.maxexp - 1


def _bits(e: Any, x: Any) -> Any:
    return e.b.bitcast(x, _parts(e)[0].type)


def _power_of_two(e: Any, n: Any) -> Any:
    """2**n, for n (an integer in a register) within the range of normal numbers."""
    whole, fraction, bias = _parts(e)
    return e.b.bitcast(whole.shift_left(whole.add(n, whole.const(bias)), whole.const(fraction)), e.type)


scale = Primitive("scale_by_power_of_two", formula="{0} \\cdot 2^{{{1}}}", flops=6)
scale.__doc__ = "x times 2**n, n in int32; exact unless the result is not a normal number."


@scale.def_type
def _scale_type(x: ArrayType, n: ArrayType) -> ArrayType:
    if x.dtype.kind != "f" or n.dtype != np.int32:
        raise GraphTypeError(f"scale_by_power_of_two wants floats and int32; it was given {x} and {n}")
    return x.with_shape(broadcast_shapes("ldexp", x, n))


scale.def_reference(lambda x, n: np.ldexp(x, n)[()])
by_elements(scale)


@scale.def_lower("elementwise")
def _scale_lower(e: Any, x: Any, n: Any) -> Any:
    whole, _, bias = _parts(e)
    count, most = e.of(np.int32), bias - 1
    for _ in range(3):  # each step's power is a normal number; all three together reach over the whole range
        step = count.minimum(count.maximum(n, count.const(-most)), count.const(most))
        x, n = e.mul(x, _power_of_two(e, count.cast(step, whole.dtype))), count.sub(n, step)
    return x


scale.def_pullback(lambda ct, z, x, n: (scale(ct, n), None))


@scale.def_samples
def _scale_samples() -> list:
    x, n = np.array([1.5, -0.3, 0.0, np.pi]), np.array([3, -2, 7, 0], np.int32)
    far = np.array([2000, -2000, 1024, -1070], np.int32)
    return [((x, n), {}), ((x.astype(np.float32), n), {}), ((x, np.int32(-1)), {}), ((x[:0], n[:0]), {}),
            ((np.array([np.inf, np.nan, 0.5, 2.0]), far), {}), ((np.float64(0.7), n[:, None]), {})]  # fmt: skip


def _exponent_lower(e: Any, x: Any) -> Any:
    whole, fraction, bias = _parts(e)
    size, lift = e.abs(x), fraction + 2
    small = e.compare("<", size, e.const(np.finfo(e.dtype).tiny))
    lifted = e.select(small, e.mul(size, e.const(2.0**lift)), size)
    found = whole.sub(whole.shift_right(_bits(e, lifted), whole.const(fraction)), whole.const(bias - 1))
    found = whole.select(small, whole.sub(found, whole.const(lift)), found)
    some = e.b.and_(e.compare("!=", size, e.const(0)), e.compare("<", size, e.const(np.inf)))
    return e.select(some, whole.cast(found, e.dtype), e.const(0))


def _exponent_reference(x: Any) -> Any:
    x = np.asarray(x)
    return np.where(np.isfinite(x), np.frexp(x)[1], 0).astype(x.dtype)[()]


exponent = elementwise("exponent", _exponent_reference, formula="\\lfloor \\log_2 |{0}| \\rfloor + 1", kinds="f", pullback=None,
                       lower=_exponent_lower, flops=6,
                       doc="The e of x = m 2**e with 1/2 <= |m| < 1; of 0, infinities and NaN it is 0.")  # fmt: skip


@exponent.def_samples
def _exponent_samples() -> list:
    x = np.array([1.0, 0.5, -3.7, 0.0, -0.0, np.inf, -np.inf, np.nan, 1e300, 1e-300, np.finfo(float).tiny, 2.0**-30])
    return [((x,), {}), ((np.array([1.0, -6.5, 1e30, 1e-30, np.nan], np.float32),), {}), ((x[:0],), {}), ((np.float64(8),), {})]


def _next_lower(e: Any, x: Any, y: Any) -> Any:
    whole, one = _parts(e)[0], _parts(e)[0].const(1)
    bits, zero = _bits(e, x), e.const(0)
    up = e.b.not_(e.b.xor(e.compare("<", x, y), e.compare(">", x, zero)))  # away from zero
    stepped = e.b.bitcast(whole.select(up, whole.add(bits, one), whole.sub(bits, one)), e.type)
    least = e.copysign(e.b.bitcast(one, e.type), y)
    found = e.select(e.compare("==", x, zero), least, stepped)
    found = e.select(e.compare("==", x, y), y, found)
    ordered = e.b.and_(e.compare("==", x, x), e.compare("==", y, y))
    return e.select(ordered, found, e.const(np.nan))


nextafter = elementwise("nextafter", np.nextafter, formula="\\operatorname{{next}}({0}, {1})", arity=2, kinds="f",
                        pullback=lambda ct, z, x, y: (ct, None), lower=_next_lower, flops=4)


@nextafter.def_samples
def _next_samples() -> list:
    x, y = np.array([1.0, -1.0, 0.0, 2.0, np.inf, np.nan, -0.5]), np.array([2.0, 0.0, -1.0, 2.0, 0.0, 1.0, -np.inf])
    narrow = np.float32
    return [((x, y), {}), ((y, x), {}), ((x.astype(narrow), y.astype(narrow)), {}), ((np.float64(0.3), np.float64(1)), {}),
            ((x[:0], y[:0]), {})]  # fmt: skip


gcd = Primitive("gcd", formula="\\gcd({0}, {1})", flops=lambda x, y: 100 * x.size)
gcd.__doc__ = "The greatest common divisor of whole numbers, two arrays of one shape, by Euclid's algorithm."


@gcd.def_type
def _gcd_type(x: ArrayType, y: ArrayType) -> ArrayType:
    if x != y or x.dtype.kind not in "iu":
        raise GraphTypeError(f"gcd wants whole numbers of one shape and dtype; it was given {x} and {y}")
    return x


gcd.def_reference(np.gcd)


@gcd.def_lower("kernel")
def _gcd_lower(k: Any, outputs: Any, inputs: Any) -> None:
    e, b = k.scalar(outputs[0].dtype), k.b
    larger, smaller = k.alloca(e.type), k.alloca(e.type)
    for index in k.loop(*outputs[0].shape):
        for slot, x in zip((larger, smaller), inputs):
            b.store(e.abs(k.load(x, index)), slot)
        test, step, end = (b.append_basic_block(name) for name in ("test", "step", "end"))
        b.branch(test)
        b.position_at_end(test)
        divisor = b.load(smaller, typ=e.type)
        b.cbranch(e.compare("!=", divisor, e.const(0)), step, end)
        b.position_at_end(step)
        rest = b.urem(b.load(larger, typ=e.type), divisor)
        b.store(divisor, larger)
        b.store(rest, smaller)
        b.branch(test)
        b.position_at_end(end)
        k.store(outputs[0], index, b.load(larger, typ=e.type))


gcd.def_batch(lambda lanes, mapped, x, y: gcd(spread(lanes, x, mapped[0]), spread(lanes, y, mapped[1])))
gcd.def_cut(lambda where, types, out, out_axis: where[0] == where[1] == out_axis)


@gcd.def_samples
def _gcd_samples() -> list:
    x, y = np.array([[0, 12, -18, 7], [2**40, 0, 1, 6]]), np.array([[0, 18, 12, 0], [6**20, 5, -1, 6]])
    return [((x, y), {}), ((x[0].astype(np.int32), y[0].astype(np.int32)), {}), ((x[:0], y[:0]), {}),
            ((x[0, :2].astype(np.uint8), y[0, :2].astype(np.uint8)), {}), ((np.int64(12), np.int64(-30)), {})]  # fmt: skip
