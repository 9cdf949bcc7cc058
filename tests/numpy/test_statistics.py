"""Reductions with `where` and `initial`, reductions without NaN, covariances, counts, convolutions, interpolation."""

import numpy as np
import pytest
from function_suite import Table, check_compiled, check_eager, check_gradient, check_lanes, check_second_order

import retrograde as rg

RNG = np.random.default_rng(47)
S = RNG.permutation(12).reshape(3, 4) / 5.0 - 0.93
S32 = S.astype(np.float32)
T = RNG.permutation(60).reshape(3, 4, 5) / 7.0
N = RNG.integers(1, 9, (3, 4))
MASK = np.array([[True, False, True, True], [False, False, False, False], [True, True, False, True]])
HOLES = np.where(MASK, S, np.nan)
ENDS = np.where(np.eye(3, 4) > 0, np.inf, HOLES)
WEIGHTS = RNG.uniform(0.5, 2.0, 4)
LINE = RNG.normal(size=9)
XP = np.array([-1.0, 0.2, 0.9, 2.0])
FP = RNG.normal(size=4)
X = np.array([[-2.0, -0.9, 0.1], [0.3, 1.7, 3.0]])
INSIDE = np.array([-0.3, 0.5, 1.1, -5.0, 7.0])

TABLE = Table()
case, of = TABLE.case, TABLE.of

# where= and initial=
for f in (np.sum, np.prod, np.max, np.min):
    for kw in ({"axis": 1}, {"axis": (0, 1), "keepdims": True}, {}):
        of(f, S, where=MASK, initial=0.3, **kw)
        of(f, S, initial=-0.25, **kw)
    of(f, S32, axis=0, where=MASK[:, :1], initial=2)
    of(f, N, axis=1, where=MASK, initial=3)
    of(f, S[:, :0], axis=1, initial=1.5)
    of(f, S[:0], initial=1.5, keepdims=True)
    case(f"{f.__name__}-traced", lambda x, m, i, f=f: f(x, axis=1, where=m, initial=i), S, MASK, np.float64(0.05))
for f in (np.sum, np.prod, np.mean, np.var, np.std):
    for kw in ({"axis": 1}, {}, {"axis": 0, "keepdims": True}):
        of(f, S, where=MASK, **kw)
    of(f, S32, axis=1, where=MASK)
    of(f, N, axis=1, where=np.array([True, False, True, True]))
    case(f"{f.__name__}-where-traced", lambda x, f=f: f(x, axis=0, where=x > -0.5), S)
for f in (np.any, np.all):
    of(f, S, axis=1, where=MASK)
    of(f, np.array([[0, 1], [1, 1]]), where=np.array([[True, False], [True, False]]))
for f in (np.var, np.std):
    case(f"{f.__name__}-mean", lambda x, m, f=f: f(x, axis=1, mean=m), S, S.mean(1, keepdims=True))
    of(f, S, where=MASK, ddof=2, axis=1)
for name in ("add", "multiply", "maximum", "minimum"):
    u = getattr(np, name)
    case(f"{name}.reduce-where", lambda x, u=u: u.reduce(x, axis=1, where=MASK, initial=0.5), S)
case("methods-where", lambda x: (x.sum(where=MASK), x.max(axis=0, where=MASK, initial=-9.0), x.std(where=MASK)), S)

# without NaN
for f in (np.nansum, np.nanprod, np.nanmean, np.nanvar, np.nanstd, np.nanmax, np.nanmin):
    for kw in ({}, {"axis": 0}, {"axis": 1}, {"axis": (0, 1), "keepdims": True}):
        of(f, HOLES, name="holes", **kw)
    of(f, S, axis=1)
    of(f, ENDS.astype(np.float32), axis=0)
    of(f, N, axis=0)
    of(f, np.float64(0.3))
    of(f, np.array([np.nan, np.nan]))
for f in (np.nansum, np.nanprod, np.nanmax, np.nanmin):
    of(f, HOLES, axis=1, initial=0.3, where=~MASK[::-1])
    of(f, HOLES, axis=0, initial=0.3)
for f in (np.nanmean, np.nanvar, np.nanstd):
    of(f, HOLES, axis=1, where=~MASK[::-1])
for f in (np.nanvar, np.nanstd):
    of(f, HOLES, axis=0, ddof=1)
    of(f, HOLES, axis=1, correction=2, keepdims=True)
for f in (np.nanargmax, np.nanargmin):
    of(f, HOLES)
    of(f, HOLES, axis=0)
    of(f, HOLES[::2], axis=1, keepdims=True)
    of(f, N, axis=1)

# averages, covariances, counts
case("average-returned", lambda x, w: np.average(x, axis=1, weights=w, returned=True), S, WEIGHTS)
case("average-returned-plain", lambda x: np.average(x, axis=0, returned=True), S)
case("average-returned-all", lambda x: np.average(x, returned=True), S)
case("average-axes", lambda x, w: np.average(x, axis=(2, 1), weights=w, keepdims=True), T, RNG.uniform(1, 2, (5, 4)))
case("average-full", lambda x, w: np.average(x, weights=w, returned=True), S, 2.0 + S)
case("average-ints", lambda x, w: np.average(x, axis=1, weights=w, returned=True), S32, np.array([1, 2, 3, 4]))
for f in (np.cov, np.corrcoef):
    of(f, S)
    of(f, S32)
    of(f, S[0])
    of(f, S, rowvar=False)
    of(f, N)
    case(f"{f.__name__}-two", lambda x, y, f=f: f(x, y), S, S[0] ** 2)
    case(f"{f.__name__}-columns", lambda x, y, f=f: f(x, y, rowvar=False), S.T, T[0, :, :2])
of(np.cov, S, bias=True)
of(np.cov, S, ddof=0)
of(np.cov, S, fweights=[1, 2, 0, 3])
of(np.cov, S, dtype=np.float32)
case("cov-aweights", lambda x, w: np.cov(x, aweights=w), S, WEIGHTS)
case("cov-both", lambda x, w: np.cov(x, aweights=w, fweights=np.array([1, 2, 1, 3]), ddof=2), S, WEIGHTS)
case("cov-biased", lambda x, w: np.cov(x, aweights=w, bias=True), S, WEIGHTS)
for kw in ({"axis": 0}, {"axis": (0, 1), "keepdims": True}):
    of(np.count_nonzero, np.round(S), **kw)
case("count_nonzero", lambda x: np.asarray(np.count_nonzero(x)) if isinstance(x, np.ndarray) else np.count_nonzero(x), S > 0)
case("bincount", lambda x, w: np.bincount(np.array([1, 3, 1, 0]), w * x[0], minlength=6), S, WEIGHTS)
case("bincount-f32", lambda w: np.bincount(np.array([1, 3, 1, 0]), w), S32[0])
case("bincount-empty", lambda w: np.bincount(np.zeros(0, int), w, minlength=2), S[0, :0])
for label, kw in {
    "plain": {}, "bins": {"bins": 3}, "range": {"bins": 4, "range": (-0.5, 0.7)}, "edges": {"bins": [-1.0, 0.0, 0.2, 2.0]},
    "uneven": {"bins": [-0.4, 0.0, 0.2, 0.6]}, "density": {"bins": 5, "density": True},
}.items():  # fmt: skip
    case(f"histogram-{label}", lambda x, kw=kw: np.histogram(x, **kw), S)
    case(f"histogram-weights-{label}", lambda w, kw=kw: np.histogram(S, weights=w, **kw)[0], 2.0 + np.cos(S))
case("histogram-int", lambda x: np.histogram(x, bins=4), N)
case("histogram-alike", lambda x: np.histogram(x, bins=2), np.ones(3))
case("histogram-f32", lambda x: np.histogram(x, bins=np.array([0.0, 0.5, 1.0], np.float32)), S32)

# along lines
of(np.clip, N.astype(np.int8), 2, 300)
of(np.clip, N.astype(np.uint8), -1, 5)
for mode in ("full", "same", "valid"):
    for n, m in ((9, 1), (9, 2), (9, 3), (9, 9), (4, 7), (3, 8)):
        of(np.convolve, RNG.normal(size=n), RNG.normal(size=m), mode=mode)
        of(np.correlate, RNG.normal(size=n), RNG.normal(size=m), mode=mode)
of(np.convolve, S32[0], np.array([1, 2, -1]))
of(np.convolve, N[0], N[1], mode="same")
of(np.convolve, S[:, 1], 2.0)
of(np.interp, INSIDE, XP, FP)
of(np.interp, XP.astype(np.float32), XP.astype(np.float32), FP, name="knots")
of(np.interp, X, XP, FP, left=-7.0, right=8.0)
of(np.interp, S32, XP.astype(np.float32), FP)
of(np.interp, np.float64(0.4), XP, FP)
of(np.interp, np.array([np.inf, -np.inf, np.nan, 0.5]), XP, FP)
of(np.interp, X, XP[:1], FP[:1])
of(np.interp, 3 * INSIDE + 0.01, np.array([5.0, 1.5, -0.7, 3.1]), FP, period=2.6)
of(np.vecdot, S, S[::-1])
of(np.vecdot, T, T[0])
of(np.vecdot, T, T[::-1], axis=1)
of(np.vecdot, S32, S[0])
of(np.vecdot, N.astype(np.int8), N.astype(np.int8), axis=0)
of(np.vecdot, MASK, MASK)

SMOOTH = TABLE.smooth()


@pytest.mark.parametrize("f, args", TABLE.cases)
def test_traced_eagerly_it_is_numpys(f, args):
    check_eager(f, args)


@pytest.mark.parametrize("f, args", TABLE.cases)
def test_compiled_it_is_numpys(f, args):
    check_compiled(f, args)


@pytest.mark.parametrize("f, args", SMOOTH)
def test_gradient_agrees_with_central_differences(f, args):
    check_gradient(f, args)


@pytest.mark.parametrize("f, args", SMOOTH[::2])
def test_second_order_agrees_with_central_differences(f, args):
    check_second_order(f, args)


@pytest.mark.parametrize("f, args", SMOOTH[::2])
def test_lanes_are_a_loop(f, args):
    check_lanes(f, args)


FUNCTIONS = [np.nansum, np.nanprod, np.nanmean, np.nanvar, np.nanstd, np.nanmax, np.nanmin]


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("f", FUNCTIONS)
def test_nan_gets_no_cotangent_and_poisons_no_other(f, transform):
    """The gradient by what is there is that of the function of it alone; a line with nothing in it has none."""
    with np.errstate(invalid="ignore"):
        found = transform(rg.grad(lambda x: np.sum(np.nan_to_num(f(x, axis=1)) ** 2)))(HOLES)
    assert np.isfinite(found).all() and not found[np.isnan(HOLES)].any()
    plain = getattr(np, f.__name__[3:])
    for row, got in zip(HOLES[::2], found[::2]):
        there = ~np.isnan(row)
        np.testing.assert_allclose(got[there], rg.grad(lambda x: plain(x) ** 2)(row[there]), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("f", [np.nanvar, np.nanstd])
def test_a_line_too_short_for_its_ddof_has_no_derivative(f):
    with np.errstate(invalid="ignore"):
        found = rg.grad(lambda x: np.nansum(f(x, axis=1, ddof=1)))(np.array([[1.0, np.nan], [1.0, 3.0]]))
    np.testing.assert_allclose(found, [[0, 0], np.array([-1, 1]) * (2 if f is np.nanvar else np.sqrt(0.5))], rtol=1e-15)


def test_where_nothing_is_chosen_nothing_is_poisoned():
    x = np.array([[1.0, np.nan], [np.inf, 2.0]])
    mask = np.array([[True, False], [False, True]])
    for f in (np.sum, np.prod, np.mean, np.var, np.std):
        found = rg.grad(lambda v, f=f: np.sum(f(v, where=mask)))(x)
        assert np.isfinite(found).all() and not found[~mask].any()


@pytest.mark.parametrize("n", [1, 2, 3, 17, 31, 33, 127, 1000])
def test_convolutions_of_any_length_are_numpys(n):
    for dtype in (np.float64, np.float32, np.int64, np.bool_):
        a, v = (RNG.normal(size=m).astype(np.float64) for m in (n, max(1, n // 3)))
        a, v = ((10 * a).astype(dtype), (10 * v).astype(dtype))
        scale = 1e-12 if dtype != np.float32 else 1e-4
        for f in (np.convolve, np.correlate):
            found = rg.jit(f)(a, v)
            assert found.dtype == f(a, v).dtype
            np.testing.assert_allclose(found, f(a, v), rtol=scale, atol=scale * 100)


def test_a_count_of_unknown_integers_wants_to_be_told_its_length():
    x = np.array([1, 5, 1, 2])
    with pytest.raises(rg.errors.UnsupportedError, match="length"):
        rg.jit(lambda x: np.bincount(x))(x)
    np.testing.assert_array_equal(rg.jit(lambda x: rg.numpy.bincount(x, length=8))(x), np.bincount(x, minlength=8))
    np.testing.assert_array_equal(rg.jit(lambda x: rg.numpy.bincount(x, length=3))(x), np.bincount(x)[:3])
    np.testing.assert_array_equal(rg.vmap(lambda x: rg.numpy.bincount(x, length=4))(np.stack([x, x % 3]))[1], [0, 2, 2, 0])
    rows = rg.vjp(lambda w: np.bincount(x, w), np.arange(4.0))[1](np.arange(6.0))[0]
    np.testing.assert_array_equal(rows, x)


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
def test_an_infinite_place_poisons_no_derivative(transform):
    found = transform(rg.grad(lambda fp: np.sum(np.interp(np.array([np.inf, -np.inf, 0.55]), XP, fp))))(FP)
    np.testing.assert_allclose(found, [1, 0.5, 0.5, 1], rtol=1e-15)


REFUSED = {
    "max-where": lambda x: np.max(x, where=x > 0),
    "where-shape": lambda x: np.sum(x, where=np.ones((2, 3), bool)),
    "where-ints": lambda x: np.sum(x, where=np.ones(3, int)),
    "out": lambda x: np.nansum(x, out=np.zeros(())),
    "average-weights": lambda x: np.average(x, axis=0, weights=np.ones(2)),
    "histogram-text": lambda x: np.histogram(x, bins="auto"),
    "histogram-weights": lambda x: np.histogram(x, weights=np.ones(2)),
    "bincount": lambda x: np.bincount(x),
    "bincount-weights": lambda x: np.bincount(np.array([1, 2]), x),
    "interp": lambda x: np.interp(x, x[:2], x),
    "convolve-empty": lambda x: np.convolve(x, x[:0]),
    "convolve-2d": lambda x: np.convolve(x, x[None]),
    "cov-3d": lambda x: np.cov(x[None, None]),
    "cov-weights": lambda x: np.cov(x, aweights=np.ones(2)),
    "bincount-complex": lambda x: np.bincount(np.arange(3), x + 0j),
    "interp-complex": lambda x: np.interp(x + 0j, x, x),
    "vecdot": lambda x: np.vecdot(x, x[:2]),
    "vecdot-dtype": lambda x: np.vecdot(x, x, dtype=np.float32),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_meaning_is_refused(name):
    for transform in (rg.jit, lambda f: lambda x: rg.vjp(f, x)):
        with pytest.raises(rg.errors.RetrogradeError) as caught:
            transform(REFUSED[name])(np.array([1.5, -2.0, 0.5]))
        assert len(str(caught.value)) > 30


def test_numpys_own_errors_stay_numpys():
    for call, error in [
        (lambda x: np.average(x, weights=np.zeros(3)), ZeroDivisionError),
        (lambda x: np.bincount(np.array([-1, 2, 0]), x), ValueError),
        (lambda x: np.histogram(x, bins=0), ValueError),
        (lambda x: np.histogram(x, bins=[1.0, 0.0]), ValueError),
        (lambda x: np.histogram(x, range=(1.0, 0.0)), ValueError),
        (lambda x: np.convolve(x, x, mode="most"), ValueError),
        (lambda x: np.interp(x, x, x, period=0), ValueError),
        (lambda x: np.cov(x, fweights=[0.5, 1, 1]), TypeError),
        (lambda x: np.cov(x, aweights=[-1, 1, 1]), ValueError),
    ]:
        for transform in (lambda f: f, rg.jit):
            with pytest.raises(error):
                transform(call)(np.array([1.0, 2.0, 3.0]))


PLAIN = [
    ("cumsum", [1, 2, 3]), ("nancumsum", HOLES), ("cumulative_prod", LINE), ("diff", S), ("ediff1d", S),
    ("gradient", [1.0, 4.0, 9.0]), ("trapezoid", [1, 2, 4]), ("unwrap", 4 * S), ("sort", [3, 1, 2]), ("argsort", S),
    ("partition", LINE, 4), ("lexsort", (S[0], S[1])), ("searchsorted", XP, [0.3]), ("digitize", S, [0.0, 1.0]),
    ("median", [1, 2, 5]), ("nanmedian", HOLES), ("quantile", [1, 2, 4], 0.3), ("nanpercentile", HOLES, [30, 40]),
    ("nansum", HOLES), ("nanmean", [1.0, np.nan]), ("nanstd", S), ("nanmax", HOLES), ("nanargmin", S), ("average", [1, 2, 4]),
    ("cov", [1, 2, 4]), ("corrcoef", S), ("count_nonzero", MASK, 0), ("bincount", [1, 2, 2]), ("histogram", [1, 2, 2, 4]),
    ("convolve", [1, 2, 3], [0.5, 1]), ("correlate", LINE, LINE, "full"), ("interp", 0.3, [0, 1], [1, 3]), ("vecdot", S, S),
]  # fmt: skip


@pytest.mark.parametrize("name, args", [(name, args) for name, *args in PLAIN])
def test_on_plain_arrays_and_lists_they_are_numpys(name, args):
    found, expected = getattr(rg.numpy, name)(*args), getattr(np, name)(*args)
    for a, b in zip(*[x if isinstance(x, tuple) else (x,) for x in (found, expected)]):
        assert (np.shape(a), np.asarray(a).dtype) == (np.shape(b), np.asarray(b).dtype)
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-14)
