"""Writing into traced arrays: NumPy's meaning, or an error; never another result."""

import numpy as np
import pytest

import retrograde as rg
from retrograde.errors import GraphTypeError, ShapeError, TracerBoolError, WriteError

X = np.random.default_rng(4).normal(size=(3, 4))


def cumulative(x):
    y = x.copy()
    for i in range(1, len(y)):
        y[i] = y[i - 1] * 0.5 + np.sin(y[i])
    return y


def in_all_ways(x):
    y = np.zeros_like(x)
    y[1:] = x[:-1] * 2
    y[0] += x[0]
    y[:, 1] *= x[:, 2]
    y[[0, 2], [1, 1]] -= 1.0
    z = y * 1.0
    z += y
    z /= 2.0
    z **= 2
    np.add.at(z, [0, 0], x[0])
    np.multiply(z, x, out=z)
    z[z > 1] = 0.0
    z[1:] = z[:-1]
    w = z.reshape(-1)
    w[3] = x[0, 0]
    w.fill(2.0) if False else None
    return w


def swaps(x):
    y = x.copy()
    y[0], y[1] = y[1].copy(), y[0].copy()
    y[..., 0], y[..., 1] = y[..., 1].copy(), y[..., 0].copy()
    return y


def aliases(x):
    y = x * 2
    z = y
    z += x  # y is z
    a = y.copy()
    a[0] = 0.0
    b = +y
    b -= 1
    return y + a + b


def numbers(x):
    total = x.sum()
    first = total
    total += x[0, 0]  # numbers do not change: `first` stays
    return first * total


def rows(x):
    y = x * 1.0
    for i in range(3):
        row = y[i]
        y[i] = row * row
    return y


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("f", [cumulative, in_all_ways, swaps, aliases, numbers, rows])
def test_means_what_it_means_in_numpy(f, transform):
    expected = f(X.copy())
    np.testing.assert_allclose(transform(f)(X) if transform is rg.jit else rg.vjp(f, X)[0], expected, rtol=1e-13)
    step, direction = 1e-6, np.cos(np.arange(12.0)).reshape(3, 4)
    loss = lambda x: np.sum(np.sin(f(x)))  # noqa: E731
    slope = np.sum(transform(rg.grad(loss))(X) * direction)
    assert slope == pytest.approx((loss(X + step * direction) - loss(X - step * direction)) / (2 * step), rel=1e-6)


def test_in_a_body_of_control_flow():
    def f(x):
        def body(i, y):
            y[i] = y[i - 1] * 0.5 + np.sin(y[i])
            return y

        return rg.fori_loop(1, 3, body, x)

    before = X.copy()
    for transform in (lambda f: f, rg.jit):
        np.testing.assert_allclose(transform(f)(X), cumulative(X), rtol=1e-14)
        found = transform(rg.grad(lambda x: np.sum(f(x) ** 2)))(X)
        np.testing.assert_allclose(found, rg.grad(lambda x: np.sum(cumulative(x) ** 2))(X), rtol=1e-12)
    np.testing.assert_array_equal(X, before)


def test_what_was_kept_before_a_write_stays():
    def f(x):
        y = x * 1.0
        out, pull = rg.vjp(lambda y: y * y, y)
        gradient = rg.grad(lambda a, b: np.sum(a * b))(y, y)
        y += 100.0
        (ct,) = pull(np.ones_like(out))
        return ct + gradient

    np.testing.assert_allclose(f(X), 3 * X)
    np.testing.assert_allclose(rg.jit(f)(X), 3 * X)
    np.testing.assert_allclose(rg.grad(lambda x: np.sum(f(x)))(X), np.full_like(X, 3.0))


def test_gradients_that_are_one_value_are_two_arrays():
    def f(x):
        a, b = rg.grad(lambda a, b: np.sum((a + b) ** 2), (0, 1))(x, x)
        a += 1.0
        return b

    np.testing.assert_allclose(rg.jit(f)(X), 4 * X)


def use_of_view(x):
    y = x * 1.0
    view = y[1:]
    y[2] = 0.0
    return view


def use_of_base(x):
    y = x * 1.0
    view = y.T
    view[0] = 0.0
    return y


def use_of_sibling(x):
    y = x * 1.0
    a, b = y[1:], y[:-1]
    a += 1.0
    return b


def write_to_other_key(x):
    y = x * 1.0
    v = y[1:]
    v += 1.0
    y[:2] = v
    return y


def argument(x):
    x[0] = 1.0
    return x


def argument_by_view(x):
    x = x.T
    x *= 2.0
    return x


def outer_in_loop(x):
    y = x * 1.0

    def body(i, c):
        nonlocal y
        y += 1.0
        return c

    return rg.fori_loop(0, 3, body, x) + y


def outer_in_branch(x):
    y = x * 1.0
    return rg.cond(x[0, 0] > 0, lambda: y.__iadd__(1.0), lambda: y)


def outer_in_vmap(x):
    y = x * 1.0
    return rg.vmap(lambda r: (r, y.__iadd__(1.0))[0])(x)


def outer_by_inner(x):
    y = x * 1.0
    return rg.grad(lambda z: (y.__setitem__(0, z[0]), np.sum(z))[1])(x)


def number(x):
    y = x.sum()
    y[()] = 1.0
    return y


@pytest.mark.parametrize(
    "f, error, message",
    [
        (use_of_view, WriteError, "test_writing.py.*copy"), (use_of_base, WriteError, "shares its elements"),
        (use_of_sibling, WriteError, "shares its elements"), (write_to_other_key, WriteError, "shares its elements"),
        (argument, WriteError, "`x` is an argument.*x.copy"), (argument_by_view, WriteError, "`x` is an argument"),
        (outer_in_loop, WriteError, "carried"), (outer_in_branch, WriteError, "carried"), (outer_in_vmap, WriteError, "vmapped"),
        (outer_by_inner, WriteError, "inner transform"), (number, WriteError, "no axes"),
        (lambda x: (x * 1.0).__iadd__(np.ones((2, 3, 4))), ShapeError, "does not fit"),
        (lambda x: (x > 0).__iadd__(x), GraphTypeError, "does not fit"),
        (lambda x: (x > 0).__setitem__(0, x[0]), GraphTypeError, "cut it down"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("trace", [rg.trace, lambda f: rg.grad(lambda x: np.sum(f(x)))], ids=["trace", "grad"])
def test_what_would_differ_is_an_error(f, error, message, trace):
    before = X.copy()
    with pytest.raises(error, match=message):
        trace(f)(X)
    np.testing.assert_array_equal(X, before)


def test_python_control_flow_on_a_traced_value_names_what_to_write():
    def f(x):
        if x.sum() > 0:
            return x
        return -x

    with pytest.raises(TracerBoolError, match=r"test_writing.py:\d+ \(if x.sum\(\) > 0:\)") as raised:
        rg.jit(f)(X)
    for name in ("np.where", "rg.cond", "rg.while_loop"):
        assert name in str(raised.value)
