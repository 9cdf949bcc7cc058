"""`rg.at` against what NumPy's assignments and ufunc.at do to a copy; derivatives, compiled code, loops, errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, basic_indices, integer_array_indices

import retrograde as rg
from retrograde.errors import GraphTypeError, ShapeError

RNG = np.random.default_rng(8)
X = RNG.normal(size=(3, 4, 5))
HOWS = {"set": None, "add": np.add, "multiply": np.multiply, "min": np.minimum, "max": np.maximum}
KEYS = {
    "int": 1, "negative": -1, "slice": slice(1, 3), "stepped": (slice(None), slice(None, None, -2)), "ints": (2, -1, 3),
    "new-axis": (slice(None), None, 2), "dots": (Ellipsis, 0), "all": (), "empty": slice(2, 2), "rows": np.array([2, 0]),
    "repeated": np.array([2, 0, 2, 2]), "matrix": np.array([[0, 1], [1, 1]]), "pairs": (np.array([0, 2, 0]), np.array([1, 3, 1])),
    "apart": (np.array([0, 2, 0]), slice(None), np.array([1, 3, 1])), "inner": (slice(None), np.array([1, 1, 2])),
    "with-int": (1, slice(1, 4), np.array([0, 0])), "int-behind": (np.array([0, 1, 0]), 2),
    "outer": (np.array([[0], [2]]), np.array([1, 1])), "mask": X[:, 0, 0] > 0, "masks": X > 0.3, "list": [0, 0, 1],
    "none": np.zeros(0, int), "new-and-array": (None, np.array([1, 1]), 2),
}  # fmt: skip


def numpy_says(x, key, value, how):
    out = x.copy()
    if how == "set":
        out[key] = value
    else:
        HOWS[how].at(out, key, value)
    return out


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", KEYS)
def test_values_are_numpys(name, how):
    key = KEYS[name]
    for value in (RNG.normal(size=X[key].shape), np.float64(0.7), 2):
        expected = numpy_says(X, key, value, how)
        f = lambda x, v: getattr(rg.at(x)[key], how)(v)  # noqa: E731
        before = X.copy()
        np.testing.assert_array_equal(f(X, value), expected)
        np.testing.assert_allclose(rg.jit(f)(X, value), expected, rtol=1e-15)
        np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", KEYS)
def test_gradients_are_those_of_one_update_after_the_other(name, how):
    """Element by element and in order, in terms of where, sums and products only."""
    key = KEYS[name]
    value = RNG.normal(size=X[key].shape)
    flat = np.arange(X.size).reshape(X.shape)[key].ravel()
    weights = np.cos(np.arange(X.size))

    def loss(x, v):
        return np.sum(np.sin(getattr(rg.at(x)[key], how)(v)).ravel() * weights)

    def plain(x, v):
        parts, v = {}, v.ravel()
        for k, place in enumerate(flat):
            parts.setdefault(int(place), []).append(k)
        x, total = x.ravel(), 0.0
        for place in range(X.size):
            new = x[place]
            for k in parts.get(place, []):
                joins = {"set": lambda a, b: b, "add": np.add, "multiply": np.multiply, "min": np.minimum, "max": np.maximum}
                new = joins[how](new, v[k])
            total = total + np.sin(new) * weights[place]
        return total

    expected = rg.grad(plain, (0, 1))(X, value)
    for transform in (lambda f: f, rg.jit):
        for a, b in zip(transform(rg.grad(loss, (0, 1)))(X, value), expected):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_a_product_with_zeros_has_its_derivatives_to_second_order():
    x, v, key = np.array([2.0, 3.0]), np.array([0.0, 0.0, 4.0]), np.array([0, 0, 0])
    f = lambda v: rg.at(x)[key].multiply(v)[0] * 1.0  # noqa: E731
    np.testing.assert_array_equal(rg.grad(f)(v), [0.0, 0.0, 0.0])
    second = rg.jacobian(rg.grad(f))(v)
    np.testing.assert_array_equal(second, 2.0 * np.array([[0, 4, 0], [4, 0, 0], [0, 0, 0]]))


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(sorted(HOWS)))
def test_any_index_is_numpys(data, how):
    shape = data.draw(array_shapes(max_dims=3, max_side=4))
    key = data.draw(st.one_of(basic_indices(shape, allow_newaxis=True), integer_array_indices(shape)))
    x = np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape)
    value = np.linspace(-2, 2, x[key].size).reshape(x[key].shape)
    found = rg.grad(lambda x: np.sum(getattr(rg.at(x)[key], how)(value) ** 2) / 2)(x)
    np.testing.assert_array_equal(getattr(rg.at(x)[key], how)(value), numpy_says(x, key, value, how))
    assert found.shape == x.shape


@pytest.mark.parametrize("how", HOWS)
def test_traced_indices_and_lanes(how):
    x, v = RNG.normal(size=(5, 3)), RNG.normal(size=(4, 2))
    i, j = np.array([1, 4, 1, -1]), np.array([0, 2])
    f = lambda x, i, j, v: getattr(rg.at(x)[i[:, None], j], how)(v)  # noqa: E731
    expected = numpy_says(x, (i[:, None], j), v, how)
    np.testing.assert_allclose(rg.jit(f)(x, i, j, v), expected, rtol=1e-15)
    lanes = np.stack([i, i[::-1], np.zeros(4, int)])
    each = np.stack([f(x, k, j, v) for k in lanes])
    np.testing.assert_allclose(rg.vmap(f, (None, 0, None, None))(x, lanes, j, v), each, rtol=1e-15)
    np.testing.assert_allclose(rg.jit(rg.vmap(f, (None, 0, None, None)))(x, lanes, j, v), each, rtol=1e-15)
    g = rg.grad(lambda x, i: np.sum(np.sin(f(x, i, j, v))))
    each = np.stack([g(x, k) for k in lanes])
    np.testing.assert_allclose(rg.jit(rg.vmap(g, (None, 0)))(x, lanes), each, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("ndim", [1, 3])
def test_a_traced_mask(how, ndim):
    def f(x, v):
        return getattr(rg.at(x)[(x > 0) if ndim == 3 else x[:, 0, 0] > 0], how)(v)

    key = X > 0 if ndim == 3 else X[:, 0, 0] > 0
    for v in (np.float64(0.5), RNG.normal(size=5))[: 1 if ndim == 3 else 2]:
        expected = numpy_says(X, key, v, how)
        np.testing.assert_array_equal(f(X, v), expected)
        np.testing.assert_array_equal(rg.jit(f)(X, v), expected)
        np.testing.assert_allclose(rg.grad(lambda v: np.sum(f(X, v)))(v), rg.jit(rg.grad(lambda v: np.sum(f(X, v))))(v))


def test_a_loop_writes_where_the_carry_lies():
    def sieve(n):
        def strike(i, prime):
            return rg.fori_loop(0, n, lambda j, p: rg.at(p)[np.minimum(i * (j + 2), n)].set(False), prime)

        return rg.fori_loop(2, n, strike, np.ones(n + 1, bool))[2:-1]

    native = rg.jit(lambda: sieve(60))
    assert [k + 2 for k in np.nonzero(native())[0]] == [p for p in range(2, 60) if all(p % q for q in range(2, p))]
    big = rg.jit(lambda x, v: rg.fori_loop(0, 100, lambda i, x: rg.at(x)[i, 3].set(v[i]), x))
    assert big.lower(np.zeros((1000, 100)), np.ones(100)).plan.peak < 100_000  # no second copy of the carry


def test_what_is_out_of_range():
    with pytest.raises(IndexError):
        rg.at(X)[3].set(0.0)
    with pytest.raises(IndexError):
        rg.jit(lambda x: rg.at(x)[np.array([0, 3])].set(0.0))(X)
    f = lambda x, i: rg.at(x)[i].set(7.0)  # noqa: E731
    with pytest.raises(IndexError):
        f(np.zeros(3), np.array([5]))
    np.testing.assert_array_equal(rg.jit(f)(np.zeros(3), np.array([5])), [0.0, 0.0, 7.0])  # the nearest, as when reading
    np.testing.assert_array_equal(rg.jit(f)(np.zeros(3), np.array([-9])), [7.0, 0.0, 0.0])


@pytest.mark.parametrize(
    "f, error, message",
    [
        (lambda x: rg.at(np.arange(3))[0].set(x[0, 0, 0]), GraphTypeError, "float64.*int64"),
        (lambda x: rg.at(np.arange(3))[0].add(0.5), GraphTypeError, "cut it down"),
        (lambda x: rg.at(x)[0].set(np.ones(3)), ShapeError, "could not broadcast"),
        (lambda x: rg.at(x)[np.array([0, 1])].add(np.ones((3, 4, 5))), ShapeError, "could not broadcast"),
        (lambda x: rg.at(x)[0, 0, 0, 0].set(1.0), IndexError, "too many"),
        (lambda x: rg.at(x)[0.5].set(1.0), IndexError, "valid indices"),
    ],
)
def test_errors(f, error, message):
    for transform in (lambda f: f, rg.jit):
        with pytest.raises(error, match=message):
            transform(f)(X)
