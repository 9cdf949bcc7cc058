"""`scipy.special` for plain and traced arrays: differentiable, batched, compiled.

SciPy's own ufuncs find these functions when they meet a traced array, so that `scipy.special.gammaln(x)` works as well as
`retrograde.scipy.special.gammaln(x)`. Its Python functions (logsumexp, softmax, polygamma, zeta, comb, ...) make plain arrays of
what they are given, which a traced array refuses: call those of this module. Dtypes are SciPy's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograde.errors import UnsupportedError
from retrograde.numpy import elementwise as rnp
from retrograde.numpy.elementwise import sinc, where
from retrograde.numpy.reductions import _axes
from retrograde.numpy.reductions import log_softmax as _log_softmax
from retrograde.numpy.reductions import logsumexp as _logsumexp
from retrograde.numpy.reductions import max as _max
from retrograde.numpy.reductions import softmax as _softmax
from retrograde.numpy.reductions import sum as _sum
from retrograde.numpy.shaping import reshape
from retrograde.ops import elementwise as ew
from retrograde.ops import special as sp
from retrograde.ops.promote import as_operand, astype, promote

UFUNCS: dict[str, Callable[..., Any]] = {}  # what SciPy's ufuncs of these names do on traced arrays


def _operands(name: str, *xs: Any) -> tuple:
    """The operands in the dtype in which SciPy's ufunc of this name would reckon."""
    import scipy.special

    found = promote(getattr(scipy.special, name), *xs)
    if any(x.dtype.kind == "c" for x in found):
        raise UnsupportedError("special functions of complex numbers are not supported on traced arrays")
    return found


def _floats(*xs: Any) -> tuple:
    """The operands of a function that is no ufunc: in float32 if all are, else in float64."""
    return tuple(astype(x, d) for (x, d) in ((x, np.result_type(*_dtypes(xs))) for x in map(as_operand, xs)))


def _dtypes(xs: tuple) -> list:
    strong = [as_operand(x).dtype for x in xs if hasattr(x, "dtype") and not getattr(x, "weak", False)]
    if any(d.kind == "c" for d in strong):
        raise UnsupportedError("special functions of complex numbers are not supported on traced arrays")
    return [np.float32 if d == np.float32 else np.float64 for d in strong] or [np.float64]


def _enter(function: Callable) -> Callable:
    UFUNCS[function.__name__] = function
    return function


def _elementwise(primitive: Any, name: str, doc: str, arity: int = 1, orders: int = 0) -> Any:
    """The function of a primitive; by its first `orders` operands there is no derivative."""

    def call(*args: Any) -> Any:
        if len(args) != arity:
            raise TypeError(f"{name} takes {arity} arguments; it was given {len(args)}")
        xs = _operands(name, *args)
        return primitive(*(sp.order(x) for x in xs[:orders]), *xs[orders:])

    call.__name__ = call.__qualname__ = name
    call.__doc__ = doc
    return _enter(call)


erf = _elementwise(ew.erf, "erf", "The error function.")
erfc = _elementwise(ew.erfc, "erfc", "1 - erf(x), without cancellation.")
erfcx = _elementwise(sp.erfcx, "erfcx", "exp(x^2) erfc(x).")
erfi = _elementwise(sp.erfi, "erfi", "The imaginary error function, -i erf(i x).")
erfinv = _elementwise(sp.erfinv, "erfinv", "The inverse of erf.")
erfcinv = _elementwise(sp.erfcinv, "erfcinv", "The inverse of erfc.")
dawsn = _elementwise(sp.dawsn, "dawsn", "Dawson's integral.")
ndtr = _elementwise(sp.ndtr, "ndtr", "The normal distribution function.")
ndtri = _elementwise(sp.ndtri, "ndtri", "The inverse of ndtr.")
log_ndtr = _elementwise(sp.log_ndtr, "log_ndtr", "The logarithm of ndtr, accurate far below 0.")
gamma = _elementwise(sp.gamma, "gamma", "The gamma function.")
gammaln = _elementwise(sp.gammaln, "gammaln", "The logarithm of |gamma|.")
psi = _elementwise(sp.digamma, "psi", "The derivative of gammaln.")
digamma = psi
beta = _elementwise(sp.beta, "beta", "The beta function.", 2)
betaln = _elementwise(sp.betaln, "betaln", "The logarithm of |beta|.", 2)
binom = _elementwise(sp.binom, "binom", "The binomial coefficient of real numbers.", 2)
gammainc = _elementwise(sp.gammainc, "gammainc", "The regularized lower incomplete gamma function; no derivative by a.", 2, 1)
gammaincc = _elementwise(sp.gammaincc, "gammaincc", "1 - gammainc; no derivative by a.", 2, 1)
betainc = _elementwise(sp.betainc, "betainc", "The regularized incomplete beta function; no derivative by a and b.", 3, 2)
betaincc = _elementwise(sp.betaincc, "betaincc", "1 - betainc; no derivative by a and b.", 3, 2)
expit = _elementwise(ew.sigmoid, "expit", "The logistic function 1 / (1 + exp(-x)).")
logit = _elementwise(sp.logit, "logit", "log(x / (1 - x)).")
xlogy = _elementwise(sp.xlogy, "xlogy", "x log y, 0 where x is 0.", 2)
xlog1py = _elementwise(sp.xlog1py, "xlog1py", "x log(1 + y), 0 where x is 0.", 2)
exprel = _elementwise(sp.exprel, "exprel", "(exp(x) - 1) / x, 1 at 0.")
expi = _elementwise(sp.expi, "expi", "The exponential integral Ei.")
exp1 = _elementwise(sp.exp1, "exp1", "The exponential integral E_1.")
spence = _elementwise(sp.spence, "spence", "Spence's function: the dilogarithm of 1 - x.")
i0 = _elementwise(sp.i0, "i0", "The modified Bessel function of the first kind, order 0.")
i1 = _elementwise(sp.i1, "i1", "The modified Bessel function of the first kind, order 1.")
i0e = _elementwise(sp.i0e, "i0e", "exp(-|x|) i0(x).")
i1e = _elementwise(sp.i1e, "i1e", "exp(-|x|) i1(x).")
j0 = _elementwise(sp.j0, "j0", "The Bessel function of the first kind, order 0.")
j1 = _elementwise(sp.j1, "j1", "The Bessel function of the first kind, order 1.")
y0 = _elementwise(sp.y0, "y0", "The Bessel function of the second kind, order 0.")
y1 = _elementwise(sp.y1, "y1", "The Bessel function of the second kind, order 1.")
k0 = _elementwise(sp.k0, "k0", "The modified Bessel function of the second kind, order 0.")
k1 = _elementwise(sp.k1, "k1", "The modified Bessel function of the second kind, order 1.")
k0e = _elementwise(sp.k0e, "k0e", "exp(x) k0(x).")
k1e = _elementwise(sp.k1e, "k1e", "exp(x) k1(x).")


@_enter
def loggamma(z: Any) -> Any:
    """The logarithm of gamma; NaN for negative numbers, as in SciPy."""
    (z,) = _operands("loggamma", z)
    return where(z < 0, np.nan, sp.gammaln(z))


@_enter
def log_expit(x: Any) -> Any:
    """log(expit(x)), which never underflows."""
    (x,) = _operands("log_expit", x)
    return -ew.softplus(-x)


@_enter
def cbrt(x: Any) -> Any:
    """The cube root."""
    return ew.cbrt(*_operands("cbrt", x))


@_enter
def entr(x: Any) -> Any:
    """-x log x; 0 at 0, -inf below."""
    (x,) = _operands("entr", x)
    return where(x < 0, -np.inf, -sp.xlogy(x, x))


@_enter
def rel_entr(x: Any, y: Any) -> Any:
    """x log(x / y); 0 where x is 0 and y is not negative, infinite where either is out of range."""
    x, y = _operands("rel_entr", x, y)
    return _relative(x, y, False)


@_enter
def kl_div(x: Any, y: Any) -> Any:
    """x log(x / y) - x + y; y where x is 0 and y is not negative, infinite where either is out of range."""
    x, y = _operands("kl_div", x, y)
    return _relative(x, y, True)


def _relative(x: Any, y: Any, centered: bool) -> Any:
    one, zero = x.dtype.type(1), x.dtype.type(0)
    fine = ew.logical_and(ew.greater(x, zero), ew.greater(y, zero))
    safe_x, safe_y = ew.select(fine, x, one), ew.select(fine, y, one)
    found = safe_x * (ew.log(safe_x) - ew.log(safe_y))
    found = found - safe_x + safe_y if centered else found
    none = ew.logical_and(ew.equal(x, zero), ew.greater_equal(y, zero))
    outside = ew.select(none, y if centered else zero, x.dtype.type(np.inf))
    unknown = ew.logical_or(ew.isnan(x), ew.isnan(y))
    return ew.select(fine, found, ew.select(unknown, x.dtype.type(np.nan), outside))


@_enter
def huber(delta: Any, r: Any) -> Any:
    """r^2 / 2 where |r| <= delta, a line beyond; infinite for a negative delta."""
    delta, r = _operands("huber", delta, r)
    size = ew.absolute(r)
    found = ew.select(size <= delta, 0.5 * r * r, delta * (size - 0.5 * delta))
    return where(delta < 0, np.inf, found)


@_enter
def pseudo_huber(delta: Any, r: Any) -> Any:
    """delta^2 (sqrt(1 + (r / delta)^2) - 1); infinite for a negative delta, 0 for 0."""
    delta, r = _operands("pseudo_huber", delta, r)
    zero, one = delta.dtype.type(0), delta.dtype.type(1)
    nothing = ew.equal(delta, zero)
    u = ew.select(nothing, one, delta)
    v = r / u
    square = v * v  # sqrt(1 + v^2) - 1 without cancellation
    found = ew.select(nothing, zero, u * u * square / (1.0 + ew.sqrt(1.0 + square)))
    return where(delta < 0, np.inf, found)


@_enter
def boxcox(x: Any, lmbda: Any) -> Any:
    """(x^lmbda - 1) / lmbda, log x for 0."""
    x, lmbda = _operands("boxcox", x, lmbda)
    zero = ew.equal(x, 0 * x)
    logarithm = ew.log(ew.select(zero, x.dtype.type(1) + 0 * x, x))
    large = ew.greater_equal(lmbda, lmbda.dtype.type(1e-19))  # less counts as 0, as in SciPy
    at_zero = where(large, -1 / where(large, lmbda, 1), where(ew.isnan(lmbda), np.nan, -np.inf))
    return ew.select(zero, astype(at_zero, x.dtype), logarithm * sp.exprel(lmbda * logarithm))


@_enter
def boxcox1p(x: Any, lmbda: Any) -> Any:
    """boxcox(1 + x, lmbda), accurate near 0."""
    x, lmbda = _operands("boxcox1p", x, lmbda)
    logarithm = ew.log1p(x)
    return logarithm * sp.exprel(lmbda * logarithm)


@_enter
def inv_boxcox(y: Any, lmbda: Any) -> Any:
    """The x with boxcox(x, lmbda) = y."""
    y, lmbda = _operands("inv_boxcox", y, lmbda)
    return ew.exp(_log1p_over(y, lmbda))


@_enter
def inv_boxcox1p(y: Any, lmbda: Any) -> Any:
    """The x with boxcox1p(x, lmbda) = y."""
    y, lmbda = _operands("inv_boxcox1p", y, lmbda)
    return ew.expm1(_log1p_over(y, lmbda))


def _log1p_over(y: Any, lmbda: Any) -> Any:
    """log(1 + lmbda y) / lmbda, and its first two derivatives by lmbda where that is 0."""
    none = ew.equal(lmbda, 0 * lmbda)
    safe = ew.select(none, lmbda.dtype.type(1) + 0 * lmbda, lmbda)
    series = y * (1.0 - lmbda * y * (0.5 - lmbda * y / 3.0))
    return ew.select(none, series, ew.log1p(safe * y) / safe)


@_enter
def exp10(x: Any) -> Any:
    """10^x."""
    (x,) = _operands("exp10", x)
    return ew.power(x.dtype.type(10), x)


# -- SciPy's Python functions ----------------------------------------------------------------------------------------


def zeta(x: Any, q: Any = None) -> Any:
    """Hurwitz's zeta function, Riemann's without q; no derivative by x. NaN for x < 1."""
    x, q = _floats(x, 1.0 if q is None else q)
    return sp.zeta(sp.order(x), q)


def polygamma(n: Any, x: Any) -> Any:
    """The n-th derivative of digamma; n is a whole number or a plain array of such."""
    if hasattr(n, "_builder") or np.any(np.asarray(n) != np.floor(n)) or np.any(np.asarray(n) < 0):
        raise UnsupportedError(f"polygamma: the order is a plain whole number, at least 0; it is {n!r}")
    (x,) = _floats(x)
    if np.ndim(n) == 0 and n == 0:
        return sp.digamma(x)
    n = np.asarray(n, x.dtype)
    import scipy.special

    scale = ((-1.0) ** (n + 1) * scipy.special.gamma(n + 1.0)).astype(x.dtype)[()]
    found = scale * sp.zeta((n + 1)[()], x)
    return where(n == 0, sp.digamma(x), found) if np.ndim(n) else found


def multigammaln(a: Any, d: int) -> Any:
    """The logarithm of the multivariate gamma function of dimension d."""
    (a,) = _floats(a)
    total = a * 0 + d * (d - 1) * 0.25 * math.log(math.pi)
    for j in range(d):
        total = total + sp.gammaln(a - 0.5 * j)
    return total


def factorial(n: Any, exact: bool = False) -> Any:
    """gamma(n + 1), 0 for negative n."""
    _inexact("factorial", exact)
    (n,) = _floats(n)
    return where(n < 0, 0.0, sp.gamma(where(n < 0, 1.0, n + 1.0)))


def comb(N: Any, k: Any, *, exact: bool = False, repetition: bool = False) -> Any:
    """The number of choices of k among N; 0 where there is none."""
    _inexact("comb", exact)
    if repetition:
        return comb(rnp.absolute(N) * 1.0 + k - 1.0, k)
    N, k = _floats(N, k)
    fine = ew.logical_and(ew.logical_and(k <= N, N >= 0), k >= 0)
    return where(fine, sp.binom(where(fine, N, 1.0), where(fine, k, 0.0)), 0.0)


def _inexact(name: str, exact: Any) -> None:
    if exact:
        raise UnsupportedError(f"{name}(exact=True) works on Python's whole numbers; on traced arrays leave it out")


def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False) -> Any:
    """log(sum(b exp(a))), shifted so that nothing overflows; with `return_sign` log|...| and the sign."""
    if b is None and not return_sign:
        (a,) = _floats(a)
        return _logsumexp(a, axis, keepdims)
    a, b = _floats(a, 1.0 if b is None else b)
    shape = np.broadcast_shapes(a.shape, b.shape)
    a, b = a + np.zeros(shape, a.dtype), b + np.zeros(shape, b.dtype)
    top = ew.stop_gradient(_max(where(ew.equal(b, 0 * b), -np.inf, a), axis, keepdims=True))
    top = where(rnp.isfinite(top), top, 0)
    total = _sum(b * ew.exp(a - top), axis, keepdims=True)
    size, sign = ew.log(ew.absolute(total)) + top, ew.sign(total)
    if not keepdims:
        axes = _axes(axis, len(shape))
        kept = tuple(n for i, n in enumerate(shape) if i not in axes)
        size, sign = reshape(size, kept), reshape(sign, kept)
    return (size, sign) if return_sign else where(sign < 0, np.nan, size)


def softmax(x: Any, axis: Any = None) -> Any:
    """exp(x) over its sum along `axis`, by default over all."""
    return _softmax(_floats(x)[0], axis)


def log_softmax(x: Any, axis: Any = None) -> Any:
    """The logarithm of the softmax."""
    return _log_softmax(_floats(x)[0], axis)


def find(ufunc: Any) -> Callable[..., Any] | None:
    """The function for one of SciPy's ufuncs."""
    rule = UFUNCS.get(ufunc.__name__)
    import scipy.special

    return rule if getattr(scipy.special, ufunc.__name__, None) is ufunc else None


__all__ = [
    "beta", "betainc", "betaincc", "betaln", "binom", "boxcox", "boxcox1p", "cbrt", "comb", "dawsn", "digamma", "entr", "erf",
    "erfc", "erfcinv", "erfcx", "erfi", "erfinv", "exp1", "exp10", "expi", "expit", "exprel", "factorial", "gamma", "gammainc",
    "gammaincc", "gammaln", "huber", "i0", "i0e", "i1", "i1e", "inv_boxcox", "inv_boxcox1p", "j0", "j1", "k0", "k0e", "k1",
    "k1e", "kl_div", "log_expit", "log_ndtr", "log_softmax", "loggamma", "logit", "logsumexp", "multigammaln", "ndtr", "ndtri",
    "polygamma", "pseudo_huber", "psi", "rel_entr", "sinc", "softmax", "spence", "xlog1py", "xlogy", "y0", "y1", "zeta",
]  # fmt: skip
