"""`while_loop`, `fori_loop`, `map` and `associative_scan` against Python's own loops."""

import _thread
import threading

import numpy as np
import pytest

import retrograde as rg
from retrograde.errors import DifferentiationError, GraphTypeError, RetrogradeError, ShapeError

RNG = np.random.default_rng(3)
X = RNG.normal(size=3)
BOTH = pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])


def collatz(n):
    return rg.while_loop(lambda s: s[0] != 1, lambda s: (np.where(s[0] % 2 == 0, s[0] // 2, 3 * s[0] + 1), s[1] + 1), (n, 0))[1]


def root(a, max_steps=None):
    """The square root by Newton's iterations."""
    return rg.while_loop(lambda x: np.abs(x * x - a) > 1e-12 * a, lambda x: (x + a / x) / 2, a, max_steps=max_steps)


def unrolled(a):
    x = a
    while np.abs(x * x - a) > 1e-12 * a:
        x = (x + a / x) / 2
    return x


@BOTH
@pytest.mark.parametrize("n, steps", [(1, 0), (2, 1), (27, 111)])
def test_while_runs_as_often_as_it_takes(n, steps, transform):
    found = transform(collatz)(np.int64(n))
    assert found == steps and found.dtype == np.int64


@pytest.mark.parametrize("a", [1.0, 2.0, 1e6])  # no step at all for 1
def test_derivatives_of_a_while_loop(a):
    expected = unrolled(a), rg.grad(unrolled)(a), rg.grad(rg.grad(unrolled))(a)
    for bound in (None, 60):
        found = root(a, bound), rg.grad(root)(a, bound), rg.grad(rg.grad(root))(a, bound)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    f = lambda a: root(a, 60)  # noqa: E731
    found = rg.jit(f)(a), rg.jit(rg.grad(f))(a), rg.jit(rg.grad(rg.grad(f)))(a)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert rg.jit(root)(a) == pytest.approx(expected[0], rel=1e-14)


def test_a_while_loop_of_lanes_holds_each_at_its_end():
    a = np.array([1.0, 2.0, 1e6, 9.0])
    np.testing.assert_allclose(rg.vmap(root)(a), np.sqrt(a), rtol=1e-11)
    np.testing.assert_allclose(rg.jit(rg.vmap(root))(a), np.sqrt(a), rtol=1e-11)
    expected = [rg.grad(unrolled)(x) for x in a]
    np.testing.assert_allclose(rg.vmap(rg.grad(lambda a: root(a, 60)))(a), expected, rtol=1e-11)
    np.testing.assert_allclose(rg.jit(rg.vmap(rg.grad(lambda a: root(a, 60))))(a), expected, rtol=1e-11)
    np.testing.assert_allclose(rg.grad(lambda a: np.sum(rg.vmap(root)(a)))(a), expected, rtol=1e-11)
    counts = rg.jit(rg.vmap(collatz))(np.array([27, 1, 6]))
    np.testing.assert_array_equal(counts, [111, 0, 8])


def test_reverse_mode_under_jit_asks_for_a_bound():
    with pytest.raises(DifferentiationError, match="max_steps"):
        rg.jit(rg.grad(root))(2.0)
    with pytest.raises(DifferentiationError, match="max_steps"):  # inside a loop the number of steps is not known either
        rg.grad(lambda a: rg.scan(lambda c, _: (root(c), None), a, None, 2)[0])(2.0)


@BOTH
@pytest.mark.parametrize("bound", [0, 3])
def test_a_bound_ends_the_loop(bound, transform):
    f = transform(lambda x: rg.while_loop(lambda s: s[1] < 100.0, lambda s: (s[0] + 1, 2 * s[1]), (0, x), max_steps=bound))
    count, value = f(1.5)
    assert count == bound and value == 1.5 * 2**bound


@BOTH
def test_a_while_loop_around_and_inside_others(transform):
    def f(x):
        def outer(s):
            i, c = s
            c = rg.while_loop(lambda c: np.sum(c * c) < 10.0 + i, lambda c: c * 1.5 + x, c, max_steps=30)
            return i + 1, rg.scan(lambda c, k: (np.tanh(c) * k, None), c, np.arange(1.0, 3.0))[0]

        return np.sum(rg.while_loop(lambda s: s[0] < 3, outer, (0, x), max_steps=5)[1])

    def plain(x):
        c = x
        for i in range(3):
            while np.sum(c * c) < 10.0 + i:
                c = c * 1.5 + x
            for k in np.arange(1.0, 3.0):
                c = np.tanh(c) * k
        return np.sum(c)

    assert transform(f)(X) == pytest.approx(plain(X), rel=1e-12)
    np.testing.assert_allclose(transform(rg.grad(f))(X), rg.grad(plain)(X), rtol=1e-10)


@BOTH
@pytest.mark.parametrize("low, high", [(0, 5), (2, 7), (3, 3), (5, 2), (-2, 2)])
def test_fori_is_for(low, high, transform):
    def plain(low, high, x):
        for i in range(low, high):
            x = np.sin(x) * i + x
        return x

    def f(low, high, x):
        return rg.fori_loop(low, high, lambda i, x: np.sin(x) * i + x, x)

    expected, slope = plain(low, high, X), rg.grad(lambda x: np.sum(plain(low, high, x)) + 0 * x[0])(X)
    np.testing.assert_allclose(transform(lambda x: f(low, high, x))(X), expected, rtol=1e-12)
    np.testing.assert_allclose(transform(f)(low, high, X), expected, rtol=1e-12)  # bounds traced under jit
    np.testing.assert_allclose(transform(rg.grad(lambda x: np.sum(f(low, high, x))))(X), slope, rtol=1e-12)

    def bounded(low, high, x):
        return np.sum(rg.fori_loop(low, high, lambda i, x: np.sin(x) * i + x, x, max_steps=9))

    np.testing.assert_allclose(transform(lambda a, b, x: rg.grad(bounded, 2)(a, b, x))(low, high, X), slope, rtol=1e-12)


def test_ctrl_c_ends_a_loop_that_does_not():
    forever = rg.jit(lambda x: rg.while_loop(lambda s: s < 2.0, lambda s: s + 0.0 * x, x))
    forever.lower(1.0)
    timer = threading.Timer(0.2, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        forever(1.0)
    timer.join()
    assert forever(3.0) == 3.0


@BOTH
def test_map_is_a_loop_over_slices(transform):
    xs = {"a": RNG.normal(size=(5, 3)), "b": RNG.normal(size=5)}
    f = lambda x: (np.sin(x["a"]) * x["b"], {"s": np.sum(x["a"])})  # noqa: E731
    found = transform(lambda xs: rg.map(f, xs))(xs)
    np.testing.assert_allclose(found[0], np.sin(xs["a"]) * xs["b"][:, None], rtol=1e-12)
    np.testing.assert_allclose(found[1]["s"], xs["a"].sum(1), rtol=1e-12)
    slope = transform(rg.grad(lambda xs: np.sum(rg.map(f, xs)[0])))(xs)
    np.testing.assert_allclose(slope["a"], np.cos(xs["a"]) * xs["b"][:, None], rtol=1e-12)


@BOTH
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8, 13])
def test_associative_scan_is_the_running_result(n, reverse, transform):
    """Affine maps under composition, which do not commute; along each axis."""
    a, b = RNG.normal(size=(n, 2, 2)), RNG.normal(size=(n, 2))

    def after(p, q):
        return np.matmul(q[0], p[0]), np.matmul(q[0], p[1][..., None])[..., 0] + q[1]

    def plain(a, b):
        made, state = [], None
        for i in reversed(range(n)) if reverse else range(n):
            state = (a[i], b[i]) if state is None else after(state, (a[i], b[i]))
            made.append(state)
        made = made[::-1] if reverse else made
        return np.stack([m for m, _ in made]), np.stack([c for _, c in made])

    f = lambda a, b: rg.associative_scan(after, (a, b), reverse)  # noqa: E731
    for found, expected in zip(transform(f)(a, b), plain(a, b)):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
    slope = lambda g: lambda a, b: np.sum(np.sin(g(a, b)[0])) + np.sum(np.cos(g(a, b)[1]))  # noqa: E731
    for found, expected in zip(transform(rg.grad(slope(f), (0, 1)))(a, b), rg.grad(slope(plain), (0, 1))(a, b)):
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_associative_scan_along_an_axis(axis):
    x = RNG.normal(size=(3, 5))
    np.testing.assert_allclose(rg.associative_scan(np.add, x, axis=axis), np.cumsum(x, axis), rtol=1e-12)
    np.testing.assert_allclose(rg.jit(lambda x: rg.associative_scan(np.maximum, x, axis=axis))(x), np.maximum.accumulate(x, axis))


@pytest.mark.parametrize(
    "f, error, message",
    [
        (lambda x: rg.while_loop(lambda s: s > 0, lambda s: s, x), GraphTypeError, "0-d bool; it returned bool"),
        (lambda x: rg.while_loop(lambda s: s[0], lambda s: s, x), GraphTypeError, "0-d bool; it returned f64"),
        (lambda x: rg.while_loop(lambda s: s[0] > 0, lambda s: (s, s), x), GraphTypeError, "structure"),
        (lambda x: rg.while_loop(lambda s: s["k"][0] > 0, lambda s: {"k": s["k"][:2]}, {"k": x}), GraphTypeError, r"'k'.*\[2\]"),
        (lambda x: rg.while_loop(lambda s: s[0] > 0, lambda s: s, x, max_steps=-1), ShapeError, "max_steps"),
        (lambda x: rg.fori_loop(0, 2.5, lambda i, s: s, x), GraphTypeError, "two integers"),
        (lambda x: rg.fori_loop(0, 2, lambda i, s: s > 0, x), GraphTypeError, "bool"),
        (lambda x: rg.associative_scan(lambda a, b: a[0], x), GraphTypeError, "rg.vmap"),
        (lambda x: rg.associative_scan(np.add, (x, x[0])), ShapeError, "one length"),
    ],
)
def test_errors(f, error, message):
    for transform in (lambda f: f, rg.jit):
        with pytest.raises(error, match=message) as raised:
            transform(f)(X)
        assert isinstance(raised.value, RetrogradeError)
