"""The elementwise primitives. Each entry is one operation, whole: meaning, formula, pullback, lowering, domain.

At a kink the pullback gives the subgradient of least norm: |x|' = 0 at 0; hypot(x, y) gives nothing at (0, 0); maximum(x, c)
with a number c gives x nothing at a tie (so a ReLU's derivative at 0 is 0); maximum(x, y) of two arrays gives each a half.
"""

from __future__ import annotations

import math

import numpy as np

from retrograde.errors import GraphTypeError
from retrograde.ir import Literal, Primitive
from retrograde.ops.define import broadcast_shapes, by_elements, elementwise
from retrograde.types import ArrayType, bfloat16, kind_of


def _special(name: str):
    """A SciPy special function, imported when first called."""

    def call(*args):
        import scipy.special

        return getattr(scipy.special, name)(*args)

    return call


def _is_number(x) -> bool:
    return isinstance(x, (np.generic, float, int, complex, Literal))


# -- arithmetic -------------------------------------------------------------------------------------------------------

add = elementwise("add", np.add, formula="{0} + {1}", arity=2, kinds="fiubc",
                  pullback=lambda ct, z, x, y: (ct, ct), lower=lambda e, x, y: e.add(x, y))
subtract = elementwise("subtract", np.subtract, formula="{0} - {1}", arity=2, kinds="fiuc",
                       pullback=lambda ct, z, x, y: (ct, -ct), lower=lambda e, x, y: e.sub(x, y))
multiply = elementwise("multiply", np.multiply, formula="{0} \\cdot {1}", arity=2, kinds="fiubc",
                       pullback=lambda ct, z, x, y: (ct * y, ct * x), lower=lambda e, x, y: e.mul(x, y))
divide = elementwise("divide", np.divide, formula="\\frac{{{0}}}{{{1}}}", arity=2, kinds="fc", domain=(0.5, 2.0),
                     pullback=lambda ct, z, x, y: (ct / y, -(ct / y) * z), lower=lambda e, x, y: e.div(x, y), flops=4)
negative = elementwise("negative", np.negative, formula="-{0}", kinds="fiuc",
                       pullback=lambda ct, z, x: (-ct,), lower=lambda e, x: e.neg(x))
floor_divide = elementwise("floor_divide", np.floor_divide, formula="\\lfloor {0} / {1} \\rfloor", arity=2, kinds="fiu",
                           domain=(0.5, 2.0), pullback=lambda ct, z, x, y: (None, None),
                           lower=lambda e, x, y: e.floor_div(x, y), flops=5)
remainder = elementwise("remainder", np.remainder, formula="{0} \\bmod {1}", arity=2, kinds="fiu", domain=(0.5, 2.0),
                        pullback=lambda ct, z, x, y: (ct, -ct * floor_divide(x, y)),
                        lower=lambda e, x, y: e.remainder(x, y), flops=5)

fmod = elementwise("fmod", np.fmod, formula="\\operatorname{{fmod}}({0}, {1})", arity=2, kinds="fiu", domain=(0.5, 2.0),
                   pullback=lambda ct, z, x, y: (ct, -ct * trunc(x / y)), lower=lambda e, x, y: e.fmod(x, y), flops=5,
                   doc="The remainder of x / y with the sign of x; its derivative in y is -trunc(x / y).")


def _power_pullback(ct, z, x, y):
    if _is_number(y):
        n = complex(y) if np.imag(y) else float(np.real(y))
        return ct * n * x ** (n - 1.0) if n != 0 else ct * 0.0, None
    # d/dx x**y = y x**(y-1), which is 0 where y is 0, also at x = 0; d/dy x**y = x**y log x, which is 0 at x = 0 for y >= 0
    one = np.ones((), ct.dtype)[()]
    by_x = ct * y * power(x, select(equal(y, 0 * one), one, y - one))
    with np.errstate(all="ignore"):  # a negative number as the base: NaN, said once by the result
        return by_x, ct * z * log(select(equal(x, 0 * one), one, x))


power = elementwise("power", np.power, formula="{0}^{{{1}}}", arity=2, kinds="fiuc", domain=(0.3, 2.0),
                    pullback=_power_pullback, lower=lambda e, x, y: e.power(x, y), flops=30)
square = elementwise("square", np.square, formula="{0}^2", kinds="fiuc",
                     pullback=lambda ct, z, x: (ct * (2.0 * x),), lower=lambda e, x: e.mul(x, x))
reciprocal = elementwise("reciprocal", np.reciprocal, formula="\\frac{{1}}{{{0}}}", kinds="fc", domain=(0.5, 2.0),
                         pullback=lambda ct, z, x: (-ct * z * z,), lower=lambda e, x: e.div(e.const(1.0), x), flops=4)
sqrt = elementwise("sqrt", np.sqrt, formula="\\sqrt{{{0}}}", kinds="fc", domain=(0.3, 3.0),
                   pullback=lambda ct, z, x: (0.5 * ct / z,), lower=lambda e, x: e.sqrt(x), flops=4)
cbrt = elementwise("cbrt", np.cbrt, formula="\\sqrt[3]{{{0}}}", kinds="f", domain=(0.3, 3.0),
                   pullback=lambda ct, z, x: (ct / (3.0 * z * z),), lower="cbrt", flops=15)


def _hypot_pullback(ct, z, x, y):
    per = ct / select(equal(z, np.zeros((), z.dtype)[()]), np.ones((), z.dtype)[()], z)  # the cone's tip: 0
    return per * x, per * y


hypot = elementwise("hypot", np.hypot, formula="\\sqrt{{{0}^2 + {1}^2}}", arity=2, kinds="f", domain=(0.3, 3.0),
                    pullback=_hypot_pullback, lower="hypot", flops=10)

copy = elementwise("copy", lambda x: np.array(x)[()], formula="{0}", kinds="fiubcV", pullback=lambda ct, z, x: (ct,),
                   lower=lambda e, x: x, flops=0, doc="The same elements in memory of their own.")

stop_gradient = elementwise("stop_gradient", lambda x: x, formula="{0}", kinds="fiubcV", pullback=lambda ct, z, x: (None,),
                            lower=lambda e, x: x, flops=0, doc="The same value; no cotangent passes.")

# -- exponentials and logarithms --------------------------------------------------------------------------------------

exp = elementwise("exp", np.exp, formula="e^{{{0}}}", kinds="fc",
                  pullback=lambda ct, z, x: (ct * z,), lower="exp", flops=12)
exp2 = elementwise("exp2", np.exp2, formula="2^{{{0}}}", kinds="fc",
                   pullback=lambda ct, z, x: (ct * (math.log(2.0) * z),), lower="exp2", flops=12)
expm1 = elementwise("expm1", np.expm1, formula="e^{{{0}}} - 1", kinds="fc",
                    pullback=lambda ct, z, x: (ct * (z + 1.0),), lower="expm1", flops=15)
log = elementwise("log", np.log, formula="\\log {0}", kinds="fc", domain=(0.3, 3.0),
                  pullback=lambda ct, z, x: (ct / x,), lower="log", flops=15)
log2 = elementwise("log2", np.log2, formula="\\log_2 {0}", kinds="fc", domain=(0.3, 3.0),
                   pullback=lambda ct, z, x: (ct / (x * math.log(2.0)),), lower="log2", flops=15)
log10 = elementwise("log10", np.log10, formula="\\log_{{10}} {0}", kinds="fc", domain=(0.3, 3.0),
                    pullback=lambda ct, z, x: (ct / (x * math.log(10.0)),), lower="log10", flops=15)
log1p = elementwise("log1p", np.log1p, formula="\\log(1 + {0})", kinds="fc", domain=(-0.5, 2.0),
                    pullback=lambda ct, z, x: (ct / (1.0 + x),), lower="log1p", flops=18)
sigmoid = elementwise("sigmoid", _special("expit"), formula="\\sigma({0})", kinds="f",
                      pullback=lambda ct, z, x: (ct * z * (1.0 - z),), lower="sigmoid", flops=16)
softplus = elementwise("softplus", lambda x: np.logaddexp(x, x.dtype.type(0.0)), formula="\\log(1 + e^{{{0}}})", kinds="f",
                       pullback=lambda ct, z, x: (ct * sigmoid(x),), lower="softplus", flops=25)
logaddexp = elementwise("logaddexp", np.logaddexp, formula="\\log(e^{{{0}}} + e^{{{1}}})", arity=2, kinds="f",
                        pullback=lambda ct, z, x, y: (ct * sigmoid(x - y), ct * sigmoid(y - x)),
                        lower="logaddexp", flops=30)

# -- trigonometry -----------------------------------------------------------------------------------------------------

sin = elementwise("sin", np.sin, formula="\\sin({0})", kinds="fc",
                  pullback=lambda ct, z, x: (ct * cos(x),), lower="sin", flops=15)
cos = elementwise("cos", np.cos, formula="\\cos({0})", kinds="fc",
                  pullback=lambda ct, z, x: (-ct * sin(x),), lower="cos", flops=15)
tan = elementwise("tan", np.tan, formula="\\tan({0})", kinds="fc", domain=(-1.2, 1.2),
                  pullback=lambda ct, z, x: (ct * (1.0 + z * z),), lower="tan", flops=20)
arcsin = elementwise("arcsin", np.arcsin, formula="\\arcsin({0})", kinds="fc", domain=(-0.9, 0.9),
                     pullback=lambda ct, z, x: (ct / sqrt((1.0 - x) * (1.0 + x)),), lower="arcsin", flops=20)
arccos = elementwise("arccos", np.arccos, formula="\\arccos({0})", kinds="fc", domain=(-0.9, 0.9),
                     pullback=lambda ct, z, x: (-ct / sqrt((1.0 - x) * (1.0 + x)),), lower="arccos", flops=20)
arctan = elementwise("arctan", np.arctan, formula="\\arctan({0})", kinds="fc",
                     pullback=lambda ct, z, x: (ct / (1.0 + x * x),), lower="arctan", flops=20)
arctan2 = elementwise("arctan2", np.arctan2, formula="\\operatorname{{atan2}}({0}, {1})", arity=2, kinds="f",
                      domain=(0.3, 2.0), lower="arctan2", flops=25,
                      pullback=lambda ct, z, y, x: (ct * x / (x * x + y * y), -ct * y / (x * x + y * y)))
sinh = elementwise("sinh", np.sinh, formula="\\sinh({0})", kinds="fc",
                   pullback=lambda ct, z, x: (ct * cosh(x),), lower="sinh", flops=20)
cosh = elementwise("cosh", np.cosh, formula="\\cosh({0})", kinds="fc",
                   pullback=lambda ct, z, x: (ct * sinh(x),), lower="cosh", flops=20)
tanh = elementwise("tanh", np.tanh, formula="\\tanh({0})", kinds="fc",
                   pullback=lambda ct, z, x: (ct * (1.0 - z * z),), lower="tanh", flops=15)
arcsinh = elementwise("arcsinh", np.arcsinh, formula="\\operatorname{{arsinh}}({0})", kinds="fc",
                      pullback=lambda ct, z, x: (ct / sqrt(x * x + 1.0),), lower="arcsinh", flops=25)
arccosh = elementwise("arccosh", np.arccosh, formula="\\operatorname{{arcosh}}({0})", kinds="fc", domain=(1.3, 3.0),
                      pullback=lambda ct, z, x: (ct / (sqrt(x - 1.0) * sqrt(x + 1.0)),), lower="arccosh", flops=25)
arctanh = elementwise("arctanh", np.arctanh, formula="\\operatorname{{artanh}}({0})", kinds="fc", domain=(-0.9, 0.9),
                      pullback=lambda ct, z, x: (ct / ((1.0 - x) * (1.0 + x)),), lower="arctanh", flops=25)
erf = elementwise("erf", _special("erf"), formula="\\operatorname{{erf}}({0})", kinds="f",
                  pullback=lambda ct, z, x: (ct * (2.0 / math.sqrt(math.pi)) * exp(-(x * x)),), lower="erf", flops=20)
erfc = elementwise("erfc", _special("erfc"), formula="\\operatorname{{erfc}}({0})", kinds="f",
                   pullback=lambda ct, z, x: (-ct * (2.0 / math.sqrt(math.pi)) * exp(-(x * x)),), lower="erfc", flops=25)

# -- kinks and steps --------------------------------------------------------------------------------------------------

absolute = elementwise("absolute", np.absolute, formula="|{0}|", kinds="fiu",
                       pullback=lambda ct, z, x: (ct * sign(x),), lower=lambda e, x: e.abs(x))
sign = elementwise("sign", np.sign, formula="\\operatorname{{sign}}({0})", kinds="fiu",
                   pullback=lambda ct, z, x: (None,), lower=lambda e, x: e.sign(x))


def _pick_pullback(first):
    """The pullback of max or min: the cotangent goes to the operand that was picked.

    Against a number the result tells as much as the operand, and the next step often keeps it anyway.
    """

    def pullback(ct, z, x, y):
        if _is_number(y):
            return where_else_zero(first(z, y), ct), None
        if _is_number(x):
            return None, where_else_zero(first(z, x), ct)
        half = where_else_zero(equal(x, y), ct * 0.5)
        return where_else_zero(first(x, y), ct) + half, where_else_zero(first(y, x), ct) + half

    return pullback


def where_else_zero(condition, x):
    """`x` where the condition holds, else 0 of its dtype."""
    return select(condition, x, np.zeros((), x.dtype)[()])


maximum = elementwise("maximum", np.maximum, formula="\\max({0}, {1})", arity=2,
                      pullback=_pick_pullback(lambda x, y: greater(x, y)), lower=lambda e, x, y: e.maximum(x, y))
minimum = elementwise("minimum", np.minimum, formula="\\min({0}, {1})", arity=2,
                      pullback=_pick_pullback(lambda x, y: less(x, y)), lower=lambda e, x, y: e.minimum(x, y))
fmax = elementwise("fmax", np.fmax, formula="\\max({0}, {1})", arity=2,
                   pullback=_pick_pullback(lambda x, y: logical_or(greater(x, y), greater(isnan(y), isnan(x)))),
                   lower=lambda e, x, y: e.fmax(x, y))
fmin = elementwise("fmin", np.fmin, formula="\\min({0}, {1})", arity=2,
                   pullback=_pick_pullback(lambda x, y: logical_or(less(x, y), greater(isnan(y), isnan(x)))),
                   lower=lambda e, x, y: e.fmin(x, y))


def _step(name: str, ufunc, formula: str, kinds: str = "f") -> Primitive:
    return elementwise(name, ufunc, formula=formula, kinds=kinds, pullback=lambda ct, z, x: (None,),
                       lower=lambda e, x: e.round_to(name, x))  # fmt: skip


floor = _step("floor", np.floor, "\\lfloor {0} \\rfloor")
ceil = _step("ceil", np.ceil, "\\lceil {0} \\rceil")
trunc = _step("trunc", np.trunc, "\\operatorname{{trunc}}({0})")
rint = _step("rint", np.rint, "\\operatorname{{round}}({0})", "fc")
copysign = elementwise("copysign", np.copysign, formula="\\operatorname{{copysign}}({0}, {1})", arity=2, kinds="f",
                       pullback=lambda ct, z, x, y: (ct * sign(x) * sign(z), None),
                       lower=lambda e, x, y: e.copysign(x, y))

# -- comparisons, logic, bits: no derivative --------------------------------------------------------------------------


def _compare(name: str, ufunc, symbol: str, formula: str, kinds: str = "fiub") -> Primitive:
    return elementwise(name, ufunc, formula="{0} " + formula + " {1}", arity=2, kinds=kinds, result="bool", pullback=None,
                       lower=lambda e, x, y: e.compare(symbol, x, y))  # fmt: skip


equal = _compare("equal", np.equal, "==", "=", "fiubc")
not_equal = _compare("not_equal", np.not_equal, "!=", "\\neq", "fiubc")
less = _compare("less", np.less, "<", "<")
less_equal = _compare("less_equal", np.less_equal, "<=", "\\leq")
greater = _compare("greater", np.greater, ">", ">")
greater_equal = _compare("greater_equal", np.greater_equal, ">=", "\\geq")

isnan = elementwise("isnan", np.isnan, formula="{0} = \\mathrm{{nan}}", kinds="f", result="bool", pullback=None,
                    lower=lambda e, x: e.compare("!=", x, x))
isinf = elementwise("isinf", np.isinf, formula="|{0}| = \\infty", kinds="f", result="bool", pullback=None,
                    lower=lambda e, x: e.compare("==", e.abs(x), e.const(math.inf)))
isfinite = elementwise("isfinite", np.isfinite, formula="|{0}| < \\infty", kinds="f", result="bool", pullback=None,
                       lower=lambda e, x: e.compare("<", e.abs(x), e.const(math.inf)))

logical_and = elementwise("logical_and", np.logical_and, formula="{0} \\wedge {1}", arity=2, kinds="b", pullback=None,
                          lower=lambda e, x, y: e.and_(x, y))
logical_or = elementwise("logical_or", np.logical_or, formula="{0} \\vee {1}", arity=2, kinds="b", pullback=None,
                         lower=lambda e, x, y: e.or_(x, y))
logical_xor = elementwise("logical_xor", np.logical_xor, formula="{0} \\oplus {1}", arity=2, kinds="b", pullback=None,
                          lower=lambda e, x, y: e.xor(x, y))
logical_not = elementwise("logical_not", np.logical_not, formula="\\neg {0}", kinds="b", pullback=None,
                          lower=lambda e, x: e.not_(x))
bitwise_and = elementwise("bitwise_and", np.bitwise_and, formula="{0} \\mathbin{{\\&}} {1}", arity=2, kinds="biu",
                          pullback=None, lower=lambda e, x, y: e.and_(x, y))
bitwise_or = elementwise("bitwise_or", np.bitwise_or, formula="{0} \\mathbin{{|}} {1}", arity=2, kinds="biu",
                         pullback=None, lower=lambda e, x, y: e.or_(x, y))
bitwise_xor = elementwise("bitwise_xor", np.bitwise_xor, formula="{0} \\oplus {1}", arity=2, kinds="biu",
                          pullback=None, lower=lambda e, x, y: e.xor(x, y))
invert = elementwise("invert", np.invert, formula="\\sim {0}", kinds="biu", pullback=None, lower=lambda e, x: e.not_(x))
left_shift = elementwise("left_shift", np.left_shift, formula="{0} \\ll {1}", arity=2, kinds="iu", pullback=None,
                         lower=lambda e, x, y: e.shift_left(x, y))
right_shift = elementwise("right_shift", np.right_shift, formula="{0} \\gg {1}", arity=2, kinds="iu", pullback=None,
                          lower=lambda e, x, y: e.shift_right(x, y))

# -- select and cast: operands of two dtypes --------------------------------------------------------------------------

select = Primitive("select", formula="{0} \\,?\\, {1} : {2}")


@select.def_type
def _select_type(c: ArrayType, x: ArrayType, y: ArrayType) -> ArrayType:
    if c.dtype != bool or x.dtype != y.dtype:
        raise GraphTypeError(f"select wants a bool and two operands of one dtype; it was given {c}, {x}, {y}")
    return ArrayType(broadcast_shapes("where", c, x, y), x.dtype)


select.def_reference(lambda c, x, y: np.where(c, x, y))
by_elements(select)
select.def_lower("elementwise")(lambda e, c, x, y: e.select(c, x, y))


@select.def_pullback
def _select_pullback(ct, z, c, x, y):
    zero = np.zeros((), ct.dtype)[()]
    return None, select(c, ct, zero), select(c, zero, ct)


@select.def_samples
def _select_samples() -> list:
    c, x = np.array([[True], [False]]), np.linspace(-1, 1, 3)
    return [((c, x, x[::-1].copy()), {}), ((np.bool_(True), np.float32(1), np.ones(3, np.float32)), {}),
            ((c, x * 1j, x[::-1] + 2j), {}),
            ((np.zeros(0, bool), np.ones(0), np.ones(0)), {}), ((c, np.arange(3), np.int64(7)), {})]  # fmt: skip


convert = Primitive("astype", formula="{0}", flops=0)


@convert.def_type
def _convert_type(x: ArrayType, *, dtype: np.dtype) -> ArrayType:
    if x.dtype.kind == "c" and np.dtype(dtype).kind not in "cb":
        raise GraphTypeError(f"a cast of {x} to {dtype} would lose the imaginary part; take x.real first")
    return x.with_dtype(dtype)


convert.def_reference(lambda x, *, dtype: np.asarray(x).astype(dtype)[()])
by_elements(convert)
convert.def_lower("elementwise")(lambda e, x, *, dtype: e.cast(x, dtype))


@convert.def_pullback
def _convert_pullback(ct, z, x, *, dtype):
    if ct.dtype.kind == "c" and kind_of(x.dtype) == "f":  # a real number among complex ones: its gradient is real
        from retrograde.ops.complex import real

        ct = real(ct)
    return (ct if ct.dtype == x.dtype else convert(ct, dtype=x.dtype),) if kind_of(x.dtype) in "fc" else (None,)


@convert.def_samples
def _convert_samples() -> list:
    x = np.array([[-1.5, 0.25, 3.75]])
    narrow = (x / 3.0).astype(np.float32).astype(bfloat16())
    cases = [((narrow,), {"dtype": np.dtype(d)}) for d in ("float32", "float16", "int32", "bool")]
    cases += [((values,), {"dtype": bfloat16()}) for values in (x / 3.0, (x / 3.0).astype(np.float32), np.arange(400), x > 0)]
    return cases + [((x,), {"dtype": np.dtype(d)}) for d in ("float32", "float64", "float16", "int64", "int32", "bool")] + [
        ((np.arange(4),), {"dtype": np.dtype("float32")}), ((x > 0,), {"dtype": np.dtype("float64")}),
        ((np.arange(3, dtype=np.uint32),), {"dtype": np.dtype("int64")}), ((x,), {"dtype": np.dtype("complex128")}),
        ((np.arange(4),), {"dtype": np.dtype("complex64")}), ((1j * x,), {"dtype": np.dtype("complex64")}),
        ((1j * x,), {"dtype": np.dtype("bool")})]  # fmt: skip
