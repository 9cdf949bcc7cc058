"""The special functions of `scipy.special`, elementwise. Compiled code calls SciPy's C functions, in float64 whatever the dtype.

Derivatives: DLMF, the NIST Digital Library of Mathematical Functions, https://dlmf.nist.gov.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograde.errors import DifferentiationError
from retrograde.ir import Primitive
from retrograde.ops import elementwise as ew
from retrograde.ops.define import elementwise

_FLOPS = 60.0
ROOT_PI, ROOT_2_PI = math.sqrt(math.pi), math.sqrt(2.0 * math.pi)


def _reference(name: str) -> Callable[..., Any]:
    """SciPy's function, imported when first called."""

    def call(*args: Any) -> Any:
        import scipy.special

        return getattr(scipy.special, name)(*args)

    return call


def _lower(name: str) -> Callable[..., Any]:
    return lambda e, *xs: e.special(name, *xs)


def _special(name: str, formula: str, pullback: Callable[..., Any], domain: tuple[float, float], arity: int = 1, **more: Any):
    lower = more.pop("lower", None) or _lower(name)
    return elementwise(name, _reference(name), formula=formula, kinds="f", pullback=pullback, lower=lower, domain=domain,
                       arity=arity, flops=_FLOPS, **more)  # fmt: skip


def _named(name: str, arity: int = 1) -> str:
    return f"\\operatorname{{{{{name}}}}}({', '.join(f'{{{i}}}' for i in range(arity))})"


def _number(x: Any, value: float) -> Any:
    return np.asarray(value, x.dtype)[()]


def _over(x: Any, y: Any, at_zero: float) -> Any:
    """x / y, with its limit where y is 0."""
    zero = ew.equal(y, _number(y, 0))
    return ew.select(zero, _number(y, at_zero), x / ew.select(zero, _number(y, 1), y))


def _no_derivative(ct: Any, z: Any, x: Any) -> Any:
    raise DifferentiationError(
        "the orders and shape parameters of special functions (a of gammainc, a and b of betainc, the first argument of zeta) "
        "have no derivative here, and the loss depends on a parameter through one; differentiate by the last argument only, or "
        "keep the order out with rg.stop_gradient"
    )


# pullbacks give the orders a cotangent for `order` to refuse, for which they have no use
order = elementwise("order", lambda x: np.asarray(x)[()], formula="{0}", kinds="f", pullback=_no_derivative,
                    lower=lambda e, x: x, flops=0, doc="The same value, as an order by which there is no derivative.")
order.def_samples(lambda: [((np.linspace(0.5, 2.0, 5, dtype=np.float32),), {})])

# -- error function and normal distribution ---------------------------------------------------------------------------

erfinv = _special("erfinv", _named("erfinv"), lambda ct, z, x: (ct * (0.5 * ROOT_PI) * ew.exp(z * z),), (-0.9, 0.9))
erfcinv = _special("erfcinv", _named("erfcinv"), lambda ct, z, x: (ct * (-0.5 * ROOT_PI) * ew.exp(z * z),), (0.1, 1.9))
erfcx = _special("erfcx", _named("erfcx"), lambda ct, z, x: (ct * (2.0 * x * z - 2.0 / ROOT_PI),), (-2.0, 3.0))
erfi = _special("erfi", _named("erfi"), lambda ct, z, x: (ct * (2.0 / ROOT_PI) * ew.exp(x * x),), (-2.0, 2.0))
dawsn = _special("dawsn", "F({0})", lambda ct, z, x: (ct * (1.0 - 2.0 * x * z),), (-2.0, 2.0))
ndtr = _special("ndtr", "\\Phi({0})", lambda ct, z, x: (ct * ew.exp(-0.5 * x * x) / ROOT_2_PI,), (-3.0, 3.0))
ndtri = _special("ndtri", "\\Phi^{{-1}}({0})", lambda ct, z, x: (ct * ROOT_2_PI * ew.exp(0.5 * z * z),), (0.1, 0.9))
log_ndtr = _special(
    "log_ndtr", "\\log \\Phi({0})",
    lambda ct, z, x: (ct * math.sqrt(2.0 / math.pi) / erfcx(x * -math.sqrt(0.5)),), (-3.0, 3.0),
)  # fmt: skip
logit = _special("logit", _named("logit"), lambda ct, z, x: (ct / (x * (1.0 - x)),), (0.1, 0.9))

# -- gamma function and kin -------------------------------------------------------------------------------------------

zeta = _special("zeta", "\\zeta({0}, {1})", lambda ct, z, s, q: (ct, -ct * s * zeta(s + _number(s, 1), q)), (1.2, 3.0), 2,
                lower=lambda e, s, q: e.math("zeta", s, q),
                doc="Hurwitz's zeta function, the sum of (q + k)^-s from k = 0; by s there is no derivative.")  # fmt: skip
digamma = _special("psi", "\\psi({0})", lambda ct, z, x: (ct * zeta(_number(x, 2), x),), (0.3, 4.0))
gammaln = _special("gammaln", "\\log|\\Gamma({0})|", lambda ct, z, x: (ct * digamma(x),), (0.3, 4.0))
gamma = _special("gamma", "\\Gamma({0})", lambda ct, z, x: (ct * z * digamma(x),), (0.3, 4.0))
zeta.def_samples(lambda: [
    ((np.float32(3.0), np.array([0.5, 1.0, 9.0], np.float32)), {}), ((np.zeros(0, np.float32), np.zeros(0, np.float32)), {}),
])  # fmt: skip


def _betaln_pullback(ct: Any, z: Any, a: Any, b: Any) -> tuple:
    whole = digamma(a + b)
    return ct * (digamma(a) - whole), ct * (digamma(b) - whole)


betaln = _special("betaln", "\\log|B({0}, {1})|", _betaln_pullback, (0.3, 3.0), 2)
beta = _special("beta", "B({0}, {1})", lambda ct, z, a, b: _betaln_pullback(ct * z, z, a, b), (0.3, 3.0), 2)


def _binom_pullback(ct: Any, z: Any, n: Any, k: Any) -> tuple:
    ct, rest = ct * z, digamma(n - k + 1.0)
    return ct * (digamma(n + 1.0) - rest), ct * (rest - digamma(k + 1.0))


binom = _special("binom", "\\binom{{{0}}}{{{1}}}", _binom_pullback, (0.3, 3.0), 2)


def _gamma_density(ct: Any, a: Any, x: Any) -> Any:
    """DLMF 8.8.13."""
    return ct * ew.exp(xlogy(a - 1.0, x) - x - gammaln(a))


def _beta_density(ct: Any, a: Any, b: Any, x: Any) -> Any:
    """DLMF 8.17.1."""
    return ct * ew.exp(xlogy(a - 1.0, x) + xlog1py(b - 1.0, -x) - betaln(a, b))


gammainc = _special("gammainc", "P({0}, {1})", lambda ct, z, a, x: (ct, _gamma_density(ct, a, x)), (0.3, 3.0), 2)
gammaincc = _special("gammaincc", "Q({0}, {1})", lambda ct, z, a, x: (ct, -_gamma_density(ct, a, x)), (0.3, 3.0), 2)
betainc = _special("betainc", "I_{{{2}}}({0}, {1})", lambda ct, z, a, b, x: (ct, ct, _beta_density(ct, a, b, x)),
                   (0.1, 0.9), 3)  # fmt: skip
betaincc = _special("betaincc", "1 - I_{{{2}}}({0}, {1})", lambda ct, z, a, b, x: (ct, ct, -_beta_density(ct, a, b, x)),
                    (0.1, 0.9), 3)  # fmt: skip


def _last_varies(primitive: Primitive) -> None:
    """Samples of float32: only by the last operand is there a derivative, so that the generic suite cannot ask for all."""
    x = np.array([[0.1, 0.35], [0.6, 0.9]], np.float32)
    first = [np.array([0.5, 2.5], np.float32)] * (2 if primitive in (betainc, betaincc) else 1)
    primitive.def_samples(lambda: [((*first, x), {}), ((*[v[:0] for v in first], x[:, :0]), {})])


for _primitive in (gammainc, gammaincc, betainc, betaincc):
    _last_varies(_primitive)


# -- exponentials and logarithms --------------------------------------------------------------------------------------


def _exprel_pullback(ct: Any, z: Any, x: Any) -> tuple:
    """(e^x - exprel(x)) / x; near 0, where that cancels, its power series."""
    series = _number(x, 0)
    for k in reversed(range(13)):
        series = series * x + (k + 1) / math.factorial(k + 2)
    near = ew.less(ew.absolute(x), _number(x, 0.25))
    return (ct * ew.select(near, series, (ew.exp(x) - z) / ew.select(near, _number(x, 1), x)),)


exprel = _special("exprel", "\\frac{{e^{{{0}}} - 1}}{{{0}}}", _exprel_pullback, (-2.0, 2.0))


def _times_log(log: str) -> Callable[..., Any]:
    def lower(e: Any, x: Any, y: Any) -> Any:
        nothing = e.select(e.compare("==", y, y), e.const(0), y)  # 0 of NaN is NaN
        return e.select(e.compare("==", x, e.const(0)), nothing, e.mul(x, e.math(log, y)))

    return lower


xlogy = _special("xlogy", "{0} \\log {1}", lambda ct, z, x, y: (ct * ew.log(y), ct * _ratio(x, y)), (0.3, 2.0), 2,
                 lower=_times_log("log"))  # fmt: skip
xlog1py = _special("xlog1py", "{0} \\log(1 + {1})", lambda ct, z, x, y: (ct * ew.log1p(y), ct * _ratio(x, 1.0 + y)), (0.3, 2.0),
                   2, lower=_times_log("log1p"))  # fmt: skip


def _ratio(x: Any, y: Any) -> Any:
    """x / y, 0 where x is 0."""
    nothing = ew.equal(x, _number(x, 0))
    return ew.select(nothing, _number(y, 0), x / ew.select(nothing, _number(y, 1), y))


expi = _special("expi", "\\operatorname{{Ei}}({0})", lambda ct, z, x: (ct * ew.exp(x) / x,), (0.3, 3.0))
exp1 = _special("exp1", "E_1({0})", lambda ct, z, x: (-ct * ew.exp(-x) / x,), (0.3, 3.0))
spence = _special("spence", "\\operatorname{{Li}}_2(1 - {0})",
                  lambda ct, z, x: (ct * _over(ew.log(x), 1.0 - x, -1.0),), (0.2, 3.0))  # fmt: skip

# -- Bessel functions (DLMF 10.6, 10.29) ------------------------------------------------------------------------------

i0 = _special("i0", "I_0({0})", lambda ct, z, x: (ct * i1(x),), (-3.0, 3.0))
i1 = _special("i1", "I_1({0})", lambda ct, z, x: (ct * (i0(x) - _over(z, x, 0.5)),), (-3.0, 3.0))
i0e = _special("i0e", "e^{{-|{0}|}} I_0({0})", lambda ct, z, x: (ct * (i1e(x) - ew.sign(x) * z),), (-3.0, 3.0))
i1e = _special("i1e", "e^{{-|{0}|}} I_1({0})", lambda ct, z, x: (ct * (i0e(x) - ew.sign(x) * z - _over(z, x, 0.5)),), (-3.0, 3.0))
j0 = _special("j0", "J_0({0})", lambda ct, z, x: (-ct * j1(x),), (-3.0, 3.0))
j1 = _special("j1", "J_1({0})", lambda ct, z, x: (ct * (j0(x) - _over(z, x, 0.5)),), (-3.0, 3.0))
y0 = _special("y0", "Y_0({0})", lambda ct, z, x: (-ct * y1(x),), (0.3, 3.0))
y1 = _special("y1", "Y_1({0})", lambda ct, z, x: (ct * (y0(x) - z / x),), (0.3, 3.0))
k0 = _special("k0", "K_0({0})", lambda ct, z, x: (-ct * k1(x),), (0.3, 3.0))
k1 = _special("k1", "K_1({0})", lambda ct, z, x: (-ct * (k0(x) + z / x),), (0.3, 3.0))
k0e = _special("k0e", "e^{{{0}}} K_0({0})", lambda ct, z, x: (ct * (z - k1e(x)),), (0.3, 3.0))
k1e = _special("k1e", "e^{{{0}}} K_1({0})", lambda ct, z, x: (ct * (z - z / x - k0e(x)),), (0.3, 3.0))
