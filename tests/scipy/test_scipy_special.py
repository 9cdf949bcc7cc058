"""scipy.special's counterparts: values of SciPy's and, compiled, of mpmath's; derivatives by differences."""

import subprocess
import sys

import mpmath
import numpy as np
import pytest
import scipy.special as ss
from function_suite import Table, check, check_compiled, check_eager, check_gradient, check_lanes, check_second_order, leaves

import retrograde as rg
from retrograde.errors import DifferentiationError, RetrogradeError, TracerConversionError, UnsupportedError
from retrograde.scipy import special as S

X = np.array([[0.2, 0.7, 1.3], [2.1, 3.4, 0.05]])
SIGNED = np.array([-2.3, -0.4, 0.0, 0.6, 1.9])
UNIT = np.array([0.05, 0.3, 0.5, 0.8, 0.97])
Y = np.array([1.4, 0.3, 2.2])

ANYWHERE = ["erf", "erfc", "erfcx", "erfi", "dawsn", "ndtr", "log_ndtr", "expit", "log_expit", "exprel", "i0", "i1", "i0e", "i1e",
            "j0", "j1", "cbrt", "exp10"]  # fmt: skip
POSITIVE = ["gamma", "gammaln", "loggamma", "psi", "entr", "expi", "exp1", "spence", "y0", "y1", "k0", "k1", "k0e", "k1e"]
WITHIN = ["ndtri", "logit", "erfcinv", "erfinv"]
PAIRS = ["beta", "betaln", "binom", "gammainc", "gammaincc", "xlogy", "xlog1py", "rel_entr", "kl_div", "huber", "pseudo_huber",
         "boxcox", "boxcox1p", "inv_boxcox", "inv_boxcox1p"]  # fmt: skip
ORDERED = {"gammainc": 1, "gammaincc": 1, "betainc": 2, "betaincc": 2}

TABLE = Table()
of, case = TABLE.of, TABLE.case
for names, x in ((ANYWHERE, SIGNED), (POSITIVE, X), (WITHIN, UNIT)):
    for name in names:
        u = getattr(ss, name)
        of(u, x, name="f64")
        of(u, x.astype(np.float32), name="f32")
        of(u, x[::2], name="strided")
        of(u, np.float64(0.4), name="0d")
for name in ("gammaln", "erf", "i0"):
    of(getattr(ss, name), np.arange(1, 5), name="int")
    of(getattr(ss, name), np.zeros((0, 2)), name="empty")
for name in ("gammaln", "psi", "gamma"):
    of(getattr(ss, name), np.array([-0.3, -1.7, -3.2]), name="negative")
for name in PAIRS:
    u, n = getattr(ss, name), ORDERED.get(name, 0)
    first = (lambda x: float(x)) if n else np.asarray
    of(u, first(0.8), X, name="f64")
    of(u, first(np.float32(0.8)), X.astype(np.float32), name="f32")
    if not n:
        of(u, X, Y, name="both")
of(ss.betainc, 0.7, 1.6, UNIT)
of(ss.betaincc, 0.7, 1.6, UNIT)
of(ss.betainc, 0.7, 1.6, UNIT.astype(np.float32))

SMOOTH = [p for p in TABLE.smooth() if "erfinv" not in p.id and "cbrt" not in p.id]
SMOOTH = [p for p in SMOOTH if "strided" not in p.id and "empty" not in p.id]


@pytest.mark.parametrize("f, args", TABLE.cases)
def test_scipys_own_ufuncs_work_on_traced_arrays(f, args):
    check_eager(f, args, tolerance=2e-13)


@pytest.mark.parametrize("f, args", TABLE.cases)
def test_compiled_they_are_scipys(f, args):
    check_compiled(f, args, tolerance=2e-13)


@pytest.mark.parametrize("f, args", SMOOTH)
def test_the_gradient_is_the_central_difference(f, args):
    if "huber" in str(f) or any(np.any(np.asarray(x) == 0) for x in args):
        args = tuple(np.asarray(x) + 0.01 if np.ndim(x) else x for x in args)  # off the kinks at 0
    check_gradient(f, args, tolerance=2e-6)


@pytest.mark.parametrize("f, args", SMOOTH[::2])
def test_second_order_is_the_central_difference(f, args):
    args = tuple(np.asarray(x) + 0.01 if np.ndim(x) else x for x in args)
    check_second_order(f, args, tolerance=5e-5)


@pytest.mark.parametrize("f, args", SMOOTH[::4])
def test_vmap_is_a_loop(f, args):
    check_lanes(f, args)


# -- SciPy's Python functions ----------------------------------------------------------------------------------------

W = np.array([[0.5, -1.0, 2.0], [0.0, 3.0, 1.0]])
PYTHON = Table()
THEIRS = {}


def python(name, *args, **kwargs):
    title = f"{name}-{len(PYTHON.cases)}-{','.join(kwargs)}"
    PYTHON.case(title, lambda *xs: getattr(S, name)(*xs, **kwargs), *args)
    THEIRS[title] = lambda *xs: getattr(ss, name)(*xs, **kwargs)


for kw in ({}, {"axis": 0}, {"axis": (0, 1), "keepdims": True}, {"axis": 1, "return_sign": True}):
    python("logsumexp", X, **kw)
python("logsumexp", X, axis=1, b=W)
python("logsumexp", X, axis=1, b=W, return_sign=True)
python("logsumexp", np.array([1000.0, -np.inf, 1000.0]))
python("logsumexp", np.array([-np.inf, -np.inf]))
python("logsumexp", X.astype(np.float32), axis=0, b=np.abs(W).astype(np.float32), keepdims=True)
python("softmax", X)
python("softmax", X, axis=0)
python("log_softmax", X, axis=-1)
python("log_softmax", X.astype(np.float32))
python("zeta", 2.5, X)
python("zeta", np.float64(3.0))
python("multigammaln", np.array([2.5, 4.0]), d=3)
python("factorial", np.array([0.0, 1.0, 4.5, -1.0]))
python("factorial", np.arange(6))
python("comb", np.array([5.0, 4.5, 2.0]), np.array([2.0, 1.5, 3.0]))
python("comb", np.array([5.0]), np.array([2.0]), repetition=True)
for order in (0, 1, 2, 5):
    PYTHON.case(f"polygamma-{order}", lambda x, n=order: S.polygamma(n, x), X)
    THEIRS[f"polygamma-{order}"] = lambda x, n=order: ss.polygamma(n, x)
PYTHON.case("polygamma-many", lambda x: S.polygamma(np.arange(3), x), X)
THEIRS["polygamma-many"] = lambda x: ss.polygamma(np.arange(3), x)


@pytest.mark.parametrize("f, args", PYTHON.cases)
@pytest.mark.parametrize("transform", ["eager", "jit"])
def test_python_functions_have_scipys_values(f, args, transform, request):
    title = request.node.callspec.id.removesuffix(f"-{transform}").removeprefix(f"{transform}-")
    with np.errstate(all="ignore"):
        expected = [np.asarray(x) for x in leaves(THEIRS[title](*args))]
        found = leaves(rg.jit(f)(*args) if transform == "jit" else f(*args))
    check(found, expected, 1e-13)


@pytest.mark.parametrize("f, args", [p for p in PYTHON.smooth() if "factorial" not in p.id and "comb-15" not in p.id])
def test_python_functions_have_the_gradient_of_differences(f, args):
    args = tuple(a for a in args) if len(args) == 1 else args
    if isinstance(args[0], float):  # zeta: no derivative by its first argument
        s = args[0]
        f, args = (lambda x, g=f: g(s, x)), args[1:]
    if args and not isinstance(args[0], np.float64):
        check_gradient(f, args, tolerance=3e-6)


# -- accuracy --------------------------------------------------------------------------------------------------------

MP = {
    "erfinv": (mpmath.erfinv, np.linspace(-0.999, 0.999, 21)), "gammaln": (mpmath.loggamma, np.geomspace(1e-8, 1e8, 30)),
    "psi": (mpmath.psi, np.geomspace(1e-6, 1e8, 30)),
    "erfcx": (lambda x: mpmath.exp(x * x) * mpmath.erfc(x), np.linspace(-5, 50, 30)),
    "i0e": (lambda x: mpmath.exp(-abs(x)) * mpmath.besseli(0, x), np.linspace(-30, 30, 21)),
    "i1e": (lambda x: mpmath.exp(-abs(x)) * mpmath.besseli(1, x), np.linspace(-30, 31, 21)),
    "k1": (lambda x: mpmath.besselk(1, x), np.geomspace(1e-5, 100, 20)),
    "exprel": (lambda x: mpmath.expm1(x) / x, np.linspace(-20, 21, 20)),
    "log_ndtr": (lambda x: mpmath.log(mpmath.ncdf(x)), np.linspace(-35, 5, 21)),
    "logit": (lambda x: mpmath.log(x / (1 - x)), np.linspace(0.01, 0.99, 15)),
    "log_expit": (lambda x: -mpmath.log1p(mpmath.exp(-x)), np.linspace(-50, 50, 21)),
    "expi": (mpmath.ei, np.linspace(0.5, 40, 20)), "dawsn": (
        lambda x: mpmath.sqrt(mpmath.pi) / 2 * mpmath.exp(-x * x) * mpmath.erfi(x), np.linspace(-10, 9, 20)),
}  # fmt: skip


@pytest.mark.parametrize("name", MP)
def test_compiled_code_is_exact_to_some_units_in_the_last_place(name):
    exact, xs = MP[name]
    with mpmath.workdps(50):
        expected = np.array([float(exact(0, mpmath.mpf(x)) if name == "psi" else exact(mpmath.mpf(x))) for x in xs])
    found = rg.jit(getattr(S, name))(xs)
    np.testing.assert_allclose(found, expected, rtol=40 * np.finfo(float).eps)


def test_hurwitzs_zeta_to_some_units_in_the_last_place():
    s = np.array([1.01, 1.5, 2.0, 3.0, 5.5, 12.0, 40.0, 150.0])
    q = np.array([0.02, 0.5, 1.0, 3.7, 9.5, 80.0, 1e6])
    with mpmath.workdps(80):
        expected = [[float(mpmath.zeta(mpmath.mpf(a), mpmath.mpf(b))) for b in q] for a in s]
    found = rg.jit(lambda s, q: S.zeta(s, q))(s[:, None], q)
    normal = np.array(expected) > 1e-300
    np.testing.assert_allclose(found[normal], np.array(expected)[normal], rtol=20 * np.finfo(float).eps)
    corners = (np.array([1.0, 0.5, 2.0, 2.5, np.nan, 2.0, 3.0, 2.0, 3.0]),
               np.array([2.0, 2.0, -1.0, -1.5, 1, np.nan, np.inf, -2.7, -2.7]))  # fmt: skip
    np.testing.assert_allclose(rg.jit(lambda s, q: S.zeta(s, q))(*corners), ss.zeta(*corners), rtol=1e-14)
    assert np.isnan(rg.jit(lambda q: S.zeta(2.0, q))(-1e9 - 0.5))  # not for hours


# -- corners ---------------------------------------------------------------------------------------------------------

CORNERS = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-300, 1e300, -2.0, 0.5])
HARD = ["gammaln", "psi", "gamma", "erfinv", "erfcx", "ndtri", "log_ndtr", "logit", "exprel", "i0", "i1", "i0e", "i1e", "entr",
        "log_expit", "expit", "erfcinv", "k0", "j1", "expi", "exp1", "loggamma"]  # fmt: skip
HARD_PAIRS = ["xlogy", "xlog1py", "rel_entr", "kl_div", "betaln", "gammainc", "gammaincc", "huber", "pseudo_huber", "boxcox"]


@pytest.mark.parametrize("name", [*HARD, *HARD_PAIRS])
def test_corners_are_scipys(name):
    args = (CORNERS[:, None], CORNERS[None, :]) if name in HARD_PAIRS else (CORNERS,)
    if name in ("pseudo_huber", "boxcox"):  # there SciPy overflows, or has 0 of NaN
        args = tuple(np.where(np.isnan(a) | (np.abs(a) > 1e200), 3.0, a) for a in args)
    if name == "kl_div":  # SciPy's ratio of the two overflows
        args = tuple(a[np.isnan(a) | (np.abs(a) < 1e200) & (np.abs(a) > 1e-200) | (a == 0) | np.isinf(a)] for a in args)
        args = args[0][:, None], args[1]
    with np.errstate(all="ignore"):
        expected = getattr(ss, name)(*args)
        for run in (rg.jit(getattr(S, name)), getattr(S, name)):
            np.testing.assert_allclose(run(*args), expected, rtol=1e-13)


def test_derivatives_at_removable_singularities():
    def both(f, *at):
        return [float(g(*map(np.float64, at))) for g in (rg.grad(f), rg.jit(rg.grad(f)))]

    for f, at, expected in [
        (S.i1, (0.0,), 0.5), (S.i1e, (0.0,), 0.5), (S.j1, (0.0,), 0.5), (S.exprel, (0.0,), 0.5), (S.exprel, (1e-9,), 0.5),
        (S.spence, (1.0,), -1.0), (S.i0, (0.0,), 0.0), (S.log_ndtr, (-1e4,), 1e4 + 1e-4),
        (lambda y: S.xlogy(0.0, y), (0.0,), 0.0), (lambda x: S.xlogy(x, 2.0), (0.0,), np.log(2.0)),
        (lambda k: S.inv_boxcox(0.5, k), (0.0,), -0.125 * np.exp(0.5)), (lambda k: S.boxcox(2.0, k), (0.0,), np.log(2) ** 2 / 2),
    ]:  # fmt: skip
        np.testing.assert_allclose(both(f, *at), expected, rtol=1e-7, atol=1e-12)


# -- what is refused, and when SciPy is imported ---------------------------------------------------------------------


def test_an_order_has_no_derivative_but_may_be_traced():
    assert rg.jit(S.gammainc)(0.5, 2.0) == ss.gammainc(0.5, 2.0)
    for f in (lambda a: S.gammainc(a, 1.0), lambda a: S.betainc(a, 1.0, 0.3), lambda s: S.zeta(s, 1.5)):
        for transform in (rg.grad, lambda g: rg.jit(rg.grad(g)), lambda g: lambda x: rg.jvp(g, (x,), (1.0,))):
            with pytest.raises(DifferentiationError, match="stop_gradient"):
                transform(f)(2.0)
    with pytest.raises(DifferentiationError):
        rg.grad(rg.grad(lambda a: S.gammainc(a, a)))(2.0)


def test_refusals():
    x = np.array([0.5, 1.5])
    for f, error in [
        (lambda x: ss.logsumexp(x), TracerConversionError), (lambda x: ss.jv(1, x), UnsupportedError),
        (lambda x: ss.gammaln(x, out=np.zeros(2)), RetrogradeError), (lambda x: S.polygamma(x, x), UnsupportedError),
        (lambda x: S.polygamma(1.5, x), UnsupportedError), (lambda x: S.factorial(x, exact=True), UnsupportedError),
        (lambda x: S.comb(x, x, exact=True), UnsupportedError), (lambda x: S.gammaln(x * 1j), RetrogradeError),
        (lambda x: S.gammaln(x, x), TypeError),
    ]:  # fmt: skip
        for run in (rg.jit(f), lambda x, f=f: rg.vjp(f, x)):
            with pytest.raises(error):
                run(x)


def test_scipy_is_imported_when_it_is_needed():
    code = (
        "import sys, numpy as np, retrograde as rg\n"
        "assert 'scipy' not in sys.modules\n"
        "rg.jit(lambda x: np.sin(x))(np.ones(3))\n"
        "assert 'scipy' not in sys.modules\n"
        "print(rg.jit(rg.scipy.special.i0)(np.ones(3))[0])\n"
        "assert 'scipy.special' in sys.modules and 'scipy.stats' not in sys.modules"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(found.stdout) == ss.i0(1.0)


@pytest.mark.parametrize("f", ["rg.scipy.special.i0(np.ones((20, 200)) * x)", "np.linalg.inv(np.eye(30) * x + 0.1)"])
def test_code_from_the_disk_finds_its_functions_again(f, tmp_path):
    code = (
        "import numpy as np, retrograde as rg\n"
        f"g = rg.jit(lambda x: np.sum({f}) + sum(np.sin(x * i) for i in range(40)))\n"
        "print(g(1.5), g.lower(1.5).from_cache)"
    )
    env = {"RETROGRADE_CACHE_DIR": str(tmp_path / "cache"), "RETROGRADE_CACHE": "1", "PATH": "", "PYTHONPATH": ":".join(sys.path)}
    first, second = (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout.split()
        for _ in range(2)
    )
    assert first[0] == second[0] and (first[1], second[1]) == ("False", "True")
