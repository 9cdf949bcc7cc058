"""Running sums, products and extremes, and differences, against NumPy."""

import numpy as np
import pytest
from function_suite import Table, check_compiled, check_eager, check_gradient, check_lanes, check_second_order

import retrograde as rg

RNG = np.random.default_rng(41)
S = RNG.normal(size=(3, 4))
S32 = S.astype(np.float32)
LONG = RNG.normal(size=127)
BATCH = RNG.normal(size=(2, 3, 4))
ZEROS = np.array([[1.5, 0.0, -2.0, 0.5], [0.0, 3.0, 0.0, 2.0]])
SPECIAL = np.array([1.0, np.inf, 2.0, np.nan, 3.0])
HOLES = np.where(RNG.uniform(size=(3, 5)) < 0.4, np.nan, RNG.normal(size=(3, 5)))
PLACES = np.cumsum(RNG.uniform(0.2, 1.0, 4))

TABLE = Table()
case, of = TABLE.case, TABLE.of

for f in (np.cumsum, np.cumprod, np.nancumsum, np.nancumprod):
    for kw in ({}, {"axis": 0}, {"axis": -1}):
        of(f, S, **kw)
    of(f, S32, axis=1)
    of(f, RNG.integers(-3, 4, (3, 4)).astype(np.int8), axis=0)
    of(f, RNG.integers(0, 4, 5).astype(np.uint8))
    of(f, S > 0, axis=1)
    of(f, S, dtype=np.float32)
    of(f, BATCH[:, ::-1, ::2], axis=1)
    of(f, np.float64(0.3))
    of(f, S[:, :0], axis=1)
    of(f, SPECIAL, name="special")
of(np.cumprod, ZEROS, axis=1, name="zeros")
of(np.nancumsum, HOLES, axis=1, name="holes")
of(np.nancumprod, HOLES, axis=0, name="holes")
for f in (np.cumulative_sum, np.cumulative_prod):
    of(f, S[0], include_initial=True)
    of(f, S, axis=0)
    of(f, S32, axis=-1, include_initial=True)
for u in (np.add, np.multiply, np.maximum, np.minimum):
    case(f"{u.__name__}.accumulate", lambda x, u=u: u.accumulate(x), S)
    case(f"{u.__name__}.accumulate-axis", lambda x, u=u: u.accumulate(x, axis=-1), BATCH)
    case(f"{u.__name__}.accumulate-int", lambda x, u=u: u.accumulate(x), np.array([3, 1, 4, 1, 5], np.int32))
    case(f"{u.__name__}.accumulate-special", lambda x, u=u: u.accumulate(x), SPECIAL)
    case(f"{u.__name__}.accumulate-dtype", lambda x, u=u: u.accumulate(x, 0, np.float64), S32)
case("maximum.accumulate-bool", np.maximum.accumulate, S > 0)
for n in (0, 1, 2, 3, 17, 31, 33, 127):
    case(f"long-{n}", lambda x: (np.cumsum(x), np.cumprod(x), np.maximum.accumulate(x), np.minimum.accumulate(x)), LONG[:n])

for kw in ({}, {"axis": 0}, {"n": 2}, {"n": 0}, {"n": 5}, {"prepend": 1.0}, {"append": np.ones((3, 2)), "n": 2}):
    of(np.diff, S, **kw)
of(np.diff, S > 0)
of(np.diff, np.array([3, 1, 7], np.uint8))
case("diff-ends", lambda x, y: np.diff(x, axis=0, prepend=y, append=y), S, S[:1])
of(np.ediff1d, S)
of(np.ediff1d, S32, to_end=2.0, to_begin=np.float32(1))
of(np.ediff1d, np.array([5, 3, 9]), to_begin=[1, 2])
of(np.trapezoid, S)
of(np.trapezoid, S32, dx=0.5, axis=0)
of(np.trapezoid, S, PLACES)
case("trapezoid-places", lambda y, x: np.trapezoid(y, x, axis=1), S, np.sort(S, 1))
case("trapezoid-first", lambda y, x: np.trapezoid(y, x, axis=0), S.T, PLACES)
of(np.gradient, S)
of(np.gradient, S[0])
of(np.gradient, S32, axis=1, edge_order=2)
of(np.gradient, S, 0.5)
of(np.gradient, BATCH, axis=(-1, 1))
of(np.gradient, np.array([1, 5, 2, 7]))
for order in (1, 2):
    case(f"gradient-places-{order}", lambda f, x, order=order: np.gradient(f, x, axis=1, edge_order=order), S, PLACES)
    case(f"gradient-even-{order}", lambda f, o=order: np.gradient(f, 2.0, np.arange(4) * 0.5, edge_order=o), S)
    case(f"gradient-mixed-{order}", lambda f, h, x, o=order: np.gradient(f, h, x, edge_order=o), S, np.float64(0.3), PLACES)
of(np.gradient, S[:2, :2])
case("gradient-two-places", lambda f, x: np.gradient(f, x), S[0, :2], PLACES[:2])
case("gradient-three-places", lambda f, x: np.gradient(f, x, edge_order=2), S[0, :3], PLACES[:3])
of(np.unwrap, 4.0 * S)
of(np.unwrap, 4.0 * S, axis=0, period=3.0)
of(np.unwrap, 4.0 * S32, discont=4.0)
of(np.unwrap, np.array([0.0, 0.5, -0.5, 1.5, 1.0]), period=1.0)
of(np.unwrap, np.array([0, 3, 5, 1, 2, 8]), period=6)
case("methods", lambda x: (x.cumsum(), x.cumsum(1), x.cumprod(axis=0)), S)
case("at-once", lambda x: np.sum(np.cumsum(np.sin(x), 0) * np.cumprod(x, 1)), S)

SMOOTH = [p for p in TABLE.smooth() if "period=1.0" not in p.id]  # there a jump is of half a period


@pytest.mark.parametrize("f, args", TABLE.cases)
def test_traced_eagerly_it_is_numpys(f, args):
    check_eager(f, args)


@pytest.mark.parametrize("f, args", TABLE.cases)
def test_compiled_it_is_numpys(f, args):
    check_compiled(f, args)


@pytest.mark.parametrize("f, args", SMOOTH)
def test_gradient_agrees_with_central_differences(f, args):
    check_gradient(f, args)


@pytest.mark.parametrize("f, args", SMOOTH)
def test_second_order_agrees_with_central_differences(f, args):
    check_second_order(f, args)


@pytest.mark.parametrize("f, args", SMOOTH[::2])
def test_lanes_are_a_loop(f, args):
    check_lanes(f, args)


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
def test_a_running_extreme_shares_its_cotangent_among_ties(transform):
    """As max does of what it has seen so far, to the last bit; NaN takes none, and keeps none from what came before."""
    x = np.array([1.0, 3.0, 2.0, 3.0, 3.0, 0.0, 4.0])
    weights = np.cos(np.arange(7.0))
    running = transform(rg.grad(lambda v: np.sum(np.maximum.accumulate(v) * weights)))
    so_far = rg.grad(lambda v: sum(np.max(v[: i + 1]) * w for i, w in enumerate(weights)))
    np.testing.assert_allclose(running(x), so_far(x), rtol=1e-15, atol=1e-15)
    least = transform(rg.grad(lambda v: -np.sum(np.minimum.accumulate(-v) * weights)))
    np.testing.assert_allclose(least(x), so_far(x), rtol=1e-15, atol=1e-15)
    found = running(np.array([1.0, 3.0, 2.0, np.nan, 5.0, 0.0, 0.0]))
    np.testing.assert_allclose(found, [weights[0], weights[1:3].sum(), 0, 0, 0, 0, 0], rtol=1e-15)


@pytest.mark.parametrize("zeros", [(), (0,), (2,), (1, 3), (0, 1, 2, 3, 4)])
def test_a_running_product_has_its_derivatives_with_zeros_too(zeros):
    """To second order, against a product of slices."""
    x = np.array([1.5, -2.0, 0.5, 3.0, -1.0])
    x[list(zeros)] = 0.0
    weights = np.array([1.0, 2.0, -1.0, 0.5, 3.0])

    def written_out(v):
        total, product = 0.0, 1.0
        for i in range(5):
            product = product * v[i]
            total = total + product * weights[i]
        return total

    def running(v):
        return np.sum(np.cumprod(v) * weights)

    np.testing.assert_allclose(rg.grad(running)(x), rg.grad(written_out)(x), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(rg.hessian(running)(x), rg.hessian(written_out)(x), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(rg.jit(rg.hessian(running))(x), rg.hessian(written_out)(x), rtol=1e-13, atol=1e-13)


def test_nan_is_left_out_of_a_running_sum_and_poisons_no_derivative():
    found = rg.grad(lambda x: np.sum(np.nancumsum(x) * np.nancumprod(x)))(np.array([1.5, np.nan, 2.0]))
    x, y = 1.5, 2.0  # of 2 x^2 + (x + y) x y
    np.testing.assert_allclose(found, [4 * x + 2 * x * y + y * y, 0, x * x + 2 * x * y], rtol=1e-15)


@pytest.mark.parametrize(
    "call, error",
    [
        (lambda x: np.cumsum(x, axis=1), np.exceptions.AxisError),
        (lambda x: np.cumulative_sum(x[None]), ValueError),
        (lambda x: np.diff(x, n=-1), ValueError),
        (lambda x: np.diff(x[0]), ValueError),
        (lambda x: np.gradient(x, 1.0, 2.0), TypeError),
        (lambda x: np.gradient(x[:1]), ValueError),
        (lambda x: np.gradient(x, edge_order=3), ValueError),
        (lambda x: np.gradient(x, np.arange(4.0)), ValueError),
        (lambda x: np.ediff1d(x.astype(int), to_end=0.5), TypeError),
    ],
)
def test_errors_say_what_is_wrong(call, error):
    for transform in (lambda f: f, rg.jit, rg.grad):
        with pytest.raises(error):
            transform(call)(np.array([1.0, 2.0, 3.0]))
