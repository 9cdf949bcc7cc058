"""Sorting, searching, medians and quantiles against NumPy."""

import numpy as np
import pytest
from function_suite import Table, check_compiled, check_eager, check_gradient, check_lanes, check_second_order
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import retrograde as rg
from retrograde.errors import UnsupportedError
from retrograde.ops.sort_kernel import network

RNG = np.random.default_rng(43)
S = RNG.permutation(12).reshape(3, 4) / 5.0 - 0.9
S32 = S.astype(np.float32)
T = RNG.permutation(60).reshape(3, 4, 5) / 7.0
TIES = np.array([2, 1, 2, 1, 3, 1], np.int16)
SPECIAL = np.array([1.0, np.nan, -np.inf, 0.0, -0.0, np.inf, np.nan, 1.0])
HOLES = np.array([[1.0, np.nan, 3.0, 2.0, 5.0], [np.nan, np.nan, 0.5, np.nan, -1.0], [4.0, 2.0, 0.0, 1.0, 3.0]])
ROWS = np.vstack([HOLES, np.full(5, np.nan)])
SORTED = np.array([-1.0, 0.0, 0.0, 1.5, 2.0])
Q = np.array([0.1, 0.5, 0.77])
APART = np.array([0.23, 0.47, 0.77])  # between elements, where q has a derivative

TABLE = Table()
case, of = TABLE.case, TABLE.of

for f in (np.sort, np.argsort):
    for kw in ({}, {"axis": 0}, {"axis": None}, {"axis": 1, "stable": True}):
        of(f, S, **kw)
    of(f, S32, axis=0)
    of(f, T[:, ::-1, ::2], axis=1)
    of(f, np.array([True, False, True, False]), kind="stable")
    of(f, TIES, kind="stable")
    of(f, S[:0], axis=0)
    of(f, np.array([7.0]))
of(np.argsort, np.float64(2.0))
for n in (0, 1, 2, 3, 17, 31, 33, 127, 1000):
    x = RNG.normal(size=n)
    case(f"sort-{n}", lambda x: (np.sort(x), np.argsort(x)), x)
    case(f"sort-{n}-f32", np.sort, x.astype(np.float32))
    case(f"sort-{n}-int", lambda x: (np.sort(x), np.argsort(x, kind="stable")), (10 * x).astype(np.int32))
    case(f"sort-{n}-bool", np.sort, x > 0)
    case(f"sort-{n}-special", np.sort, np.where(x > 1, np.nan, np.where(x < -1, -np.inf, np.round(x))))
case("sort-special", lambda x: (np.sort(x), np.argsort(x, kind="stable")), SPECIAL)
case("partition", lambda x: (np.partition(x, 2)[..., 2], np.partition(x, (0, -1), axis=0)[[0, -1]]), S)
case("argpartition", lambda x: np.argpartition(x, 1, axis=1)[:, 1], S)
case("lexsort", lambda x, y: np.lexsort((x, y)), np.array([3, 1, 2, 1]), np.array([1.0, 0.5, 1.0, 0.5]))
case("lexsort-axis", lambda x: np.lexsort((x, np.round(x)), axis=0), S)


def in_place(x):
    y = x.copy()
    y.sort()
    z = x.copy()
    z.sort(axis=0)
    w = x.copy()
    w.partition(1)
    return y, z, w[:, 1]


case("method-sort", in_place, S)
case("method-argsort", lambda x: (x.argsort(), x.argsort(axis=0), x.argpartition(1)[:, 1]), S)
case("method-searchsorted", lambda x, v: x.searchsorted(v, side="right"), SORTED, S)

for side in ("left", "right"):
    of(np.searchsorted, SORTED, np.array([[-2.0, 0.0], [1.5, 9.0]]), side=side)
    of(np.searchsorted, SORTED, np.float32(0.0), side=side)
    of(np.searchsorted, np.array([1, 3, 3, 5]), np.array([3, 0, 9], np.int8), side=side)
    of(np.searchsorted, np.array([-np.inf, 0.0, np.nan]), SPECIAL, side=side)
    of(np.searchsorted, np.zeros(0), SORTED, side=side)
case("searchsorted-sorter", lambda a, v: np.searchsorted(a, v, sorter=np.argsort(a)), S[0], S)
for right in (False, True):
    of(np.digitize, S, SORTED, right=right)
    case(f"digitize-{right}", lambda x, r=right: np.digitize(x, [-1.0, 0.0, 2.0], right=r), S)
    case(f"digitize-falling-{right}", lambda x, r=right: np.digitize(x, [2.0, 0.0, -1.0], right=r), S)
    of(np.digitize, S, SORTED[::-1], right=right, name="falling")

for f in (np.median, np.nanmedian):
    for kw in ({}, {"axis": 0}, {"axis": 1}, {"axis": (0, 2), "keepdims": True}, {"keepdims": True}):
        of(f, T, **kw)
    of(f, S32, axis=0)
    of(f, TIES)
    of(f, HOLES, axis=1)
    of(f, np.array([np.inf, 1.0, np.inf, -np.inf]))
of(np.nanmedian, ROWS, axis=1)
METHODS = ["inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen", "weibull",
           "linear", "median_unbiased", "normal_unbiased", "lower", "higher", "midpoint", "nearest"]  # fmt: skip
for f, scale in ((np.quantile, 1), (np.percentile, 100), (np.nanquantile, 1), (np.nanpercentile, 100)):
    for kw in ({}, {"axis": 0}, {"axis": (1, 2), "keepdims": True}):
        case(f"{f.__name__}-{kw}", lambda x, f=f, q=0.3 * scale, kw=kw: f(x, q, **kw), T)
        case(f"{f.__name__}-many-{kw}", lambda x, f=f, q=Q * scale, kw=kw: f(x, q, **kw), T)
    for method in METHODS if scale == 1 else METHODS[::4]:
        case(f"{f.__name__}-{method}", lambda x, f=f, q=Q * scale, m=method: f(x, q, axis=1, method=m), T)
    for q in (0, 1, 0.5, np.array([[0.0, 0.25], [0.6, 1.0]])):
        case(f"{f.__name__}-{np.ndim(q)}-{np.max(q)}", lambda x, f=f, q=q * scale: f(x, q, axis=-1), S)
    case(f"{f.__name__}-f32", lambda x, f=f, s=scale: (f(x, 0.3 * s), f(x, Q * s, axis=1), f(x, Q.astype(np.float32) * s)), S32)
    case(f"{f.__name__}-int", lambda x, f=f, s=scale: (f(x, 0.3 * s), f(x, 0.3 * s, method="lower")), TIES)
    case(f"{f.__name__}-traced", lambda x, q, f=f, s=scale: f(x, q * s, axis=0), S, APART)
    case(f"{f.__name__}-traced-hazen", lambda x, q, f=f, s=scale: f(x, q * s, axis=0, method="hazen"), T, APART)
    case(f"{f.__name__}-nan", lambda x, f=f, s=scale: f(x, Q * s, axis=1), ROWS)
    for method in METHODS[:4]:
        case(f"{f.__name__}-nan-{method}", lambda x, f=f, s=scale, m=method: f(x, 0.5 * s, axis=1, method=m), ROWS)

WEIGHED = [
    ("full", S, np.exp(S[::-1]), {}),
    ("axis", T, np.exp(T[0, :, 0]), {"axis": 1}),
    ("axes", T, np.exp(T[:, 0].T), {"axis": (2, 0), "keepdims": True}),
    ("nan", ROWS, np.exp(np.cos(np.arange(20.0))).reshape(4, 5), {"axis": 1}),
    ("single", S32, np.arange(4.0), {"axis": 1}),
]
for f, scale in ((np.quantile, 1), (np.percentile, 100), (np.nanquantile, 1), (np.nanpercentile, 100)):
    for name, x, w, kw in WEIGHED:
        if "nan" in f.__name__ and w.shape != x.shape:  # an IndexError of NumPy's
            continue
        for q in (0.3, np.array([[0.0, 0.52], [0.77, 1.0]])):
            how = {"q": q * scale, "method": "inverted_cdf", **kw}
            case(f"{f.__name__}-weights-{name}-{np.ndim(q)}", lambda x, w, f=f, how=how: f(x, weights=w, **how), x, w)
    case(f"{f.__name__}-weights-int", lambda x, f=f, s=scale: f(x, Q * s, weights=np.arange(6), method="inverted_cdf"), TIES)

SMOOTH = [p for p in TABLE.smooth() if "special" not in p.id and not p.id.startswith("sort-1000")]


@pytest.mark.parametrize("f, args", TABLE.cases)
def test_traced_eagerly_it_is_numpys(f, args):
    check_eager(f, args)


@pytest.mark.parametrize("f, args", TABLE.cases)
def test_compiled_it_is_numpys(f, args):
    check_compiled(f, args)


@pytest.mark.parametrize("f, args", SMOOTH)
def test_gradient_agrees_with_central_differences(f, args):
    check_gradient(f, args)


@pytest.mark.parametrize("f, args", SMOOTH[::3])
def test_second_order_agrees_with_central_differences(f, args):
    check_second_order(lambda *xs: f(*[x * x * x for x in xs]) if len(xs) == 1 else f(*xs), args)


@pytest.mark.parametrize("f, args", SMOOTH[::3])
def test_lanes_are_a_loop(f, args):
    check_lanes(f, args)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(st.sampled_from(["f8", "f4", "i1", "?"]), hnp.array_shapes(min_dims=1, max_dims=3, max_side=9)), st.data())
def test_any_array_is_sorted_as_by_numpy(x, data):
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    np.testing.assert_array_equal(rg.numpy.argsort(x, axis), np.argsort(x, axis, kind="stable"))
    np.testing.assert_array_equal(rg.numpy.sort(x, axis), np.sort(x, axis))


@settings(max_examples=15, deadline=None)
@given(hnp.arrays(np.float32, (2, 37), elements=st.sampled_from([0.0, -0.0, 1.0, 2.0, np.nan, np.inf, -np.inf])))
def test_compiled_sorting_is_stable(x):
    np.testing.assert_array_equal(COMPILED(x), np.argsort(x, 1, kind="stable"))


COMPILED = rg.jit(lambda x: np.argsort(x, 1))


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
def test_at_ties_the_cotangent_follows_the_permutation(transform):
    weights = np.array([1.0, 10.0, 100.0])
    found = transform(rg.grad(lambda x: np.sum(np.sort(x) * weights)))(np.array([2.0, 1.0, 2.0]))
    np.testing.assert_array_equal(found, [10.0, 1.0, 100.0])


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
def test_nan_gets_no_cotangent_and_poisons_no_line(transform):
    def loss(x):
        return np.nansum(np.nanmedian(x, axis=1) ** 2) + np.nansum(np.exp(np.nanquantile(x, Q, axis=1)))

    found = transform(rg.grad(loss))(ROWS)
    assert np.isfinite(found).all() and not found[np.isnan(ROWS)].any()
    line = HOLES[1][~np.isnan(HOLES[1])]
    expected = rg.grad(lambda x: np.median(x) ** 2 + np.sum(np.exp(np.quantile(x, Q))))(line)
    np.testing.assert_allclose(found[1][~np.isnan(HOLES[1])], expected, rtol=1e-13)


@pytest.mark.parametrize(
    "call, error",
    [
        (lambda x: np.partition(x, 3), ValueError),
        (lambda x: np.searchsorted(x[None], x), ValueError),
        (lambda x: np.searchsorted(x, x, side="middle"), ValueError),
        (lambda x: np.digitize(x, [0.0, 2.0, 1.0]), ValueError),
        (lambda x: np.quantile(x, 1.5), ValueError),
        (lambda x: np.quantile(x, 0.5, weights=np.ones(3)), ValueError),
        (lambda x: np.quantile(x, 0.5, method="inverted_cdf", weights=np.array([1.0, -1.0, 1.0])), ValueError),
        (lambda x: np.percentile(x, -1), ValueError),
        (lambda x: np.quantile(x, 0.5, method="best"), ValueError),
        (lambda x: np.median(x, axis=1), np.exceptions.AxisError),
    ],
)
def test_errors_say_what_is_wrong(call, error):
    for transform in (lambda f: f, rg.jit, rg.grad):
        with pytest.raises(error):
            transform(call)(np.array([1.0, 2.0, 3.0]))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.sort(x, order="a"),
        lambda x: np.median(x, out=np.zeros(())),
        lambda x: np.quantile(x, 0.5, out=np.zeros(())),
        lambda x: np.quantile(x, 0.5, method="inverted_cdf", weights=np.ones(2), axis=0),
        lambda x: np.quantile(x[:0], 0.5),
        lambda x: np.median(x + 0j),
        lambda x: np.nanquantile(x + 0j, 0.5),
    ],
)
def test_what_has_no_rule_is_refused(call):
    for transform in (rg.jit, rg.grad):
        with pytest.raises(rg.errors.RetrogradeError):
            transform(call)(np.array([1.0, 2.0, 3.0]))


def _lines(n):
    """Long lines that are hard to deal by their highest digits: close together but for one, of both signs, with ties."""
    rng = np.random.default_rng(n)
    close = 1.0 + rng.integers(0, 1 << 20, n) * 2.0**-52
    close[n // 2] = -1e300
    yield close
    yield rng.choice([0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1.0, 5e-324, -5e-324], n)
    yield rng.normal(size=n)
    yield np.sort(rng.normal(size=n))[::-1]
    yield rng.normal(size=n).astype(np.float32)
    yield rng.normal(size=n).astype(np.float16)
    yield rng.integers(-9, 9, n)
    yield rng.integers(-(2**63), 2**63 - 1, n)
    yield rng.integers(0, 2**64 - 1, n, dtype=np.uint64)
    yield rng.integers(0, 200, n).astype(np.uint8)
    yield np.full(n, -7, np.int32)


@pytest.mark.parametrize("n", [65, 257, 1500, 5000])
def test_long_lines_are_ordered_and_keep_ties_in_their_order(n):
    both = rg.jit(lambda x: (np.sort(x), np.argsort(x, kind="stable")))
    for x in _lines(n):
        values, places = both(x)
        np.testing.assert_array_equal(values, np.sort(x))
        np.testing.assert_array_equal(places, np.argsort(x, kind="stable"))


@pytest.mark.parametrize("n", range(2, 40))
def test_a_network_orders_every_line_of_zeros_and_ones(n):
    """Which is every line (the 0-1 principle); of long ones, a sample."""
    lines = np.random.default_rng(n).integers(0, 2, (2000, n)) if n > 10 else np.indices((2,) * n).reshape(n, -1).T.copy()
    ordered = np.sort(lines, axis=1)
    for i, j in network(n):
        low, high = np.minimum(lines[:, i], lines[:, j]), np.maximum(lines[:, i], lines[:, j])
        lines[:, i], lines[:, j] = low, high
    np.testing.assert_array_equal(lines, ordered)


def test_ordering_the_lines_of_another_axis_and_of_many_lines():
    x = np.random.default_rng(1).integers(0, 50, (7, 90, 11)) / 4.0
    for axis in range(3):
        values, places = rg.jit(lambda x, a=axis: (np.sort(x, a), np.argsort(x, a)))(x)
        np.testing.assert_array_equal(values, np.sort(x, axis))
        np.testing.assert_array_equal(places, np.argsort(x, axis, kind="stable"))


@pytest.mark.parametrize("f", [np.quantile, np.nanquantile])
def test_wrong_weights_are_an_error_and_nan_where_compiled(f):
    def call(x, w):
        return f(x, 0.5, axis=1, method="inverted_cdf", weights=w)

    x = np.array([[1.0, 2.0, 3.0]] * 5)
    right = np.array([0.0, 1.0, 3.0])
    wrong = np.array([[0.0, 0.0, 0.0], [1.0, -1.0, 2.0], [1.0, np.inf, 1.0], [np.nan, 1.0, 1.0]])
    found = rg.jit(call)(x, np.vstack([right, wrong]))
    assert found[0] == 3.0 and np.isnan(found[1:]).all()
    for w in wrong:
        with pytest.raises(ValueError, match="weights"):
            rg.vjp(call, x[:1], w[None])
    with pytest.raises(UnsupportedError, match="astype"):
        rg.jit(call)(x.astype(int), np.vstack([right, wrong]))


def test_the_gradient_of_a_weighted_quantile_goes_to_the_element():
    x, w = np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 5.0])
    by_x, by_w = rg.jit(rg.grad(lambda x, w: np.quantile(x, 0.5, method="inverted_cdf", weights=w) ** 2, (0, 1)))(x, w)
    np.testing.assert_array_equal(by_x, [0, 0, 4])
    assert not by_w.any()
