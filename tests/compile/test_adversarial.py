"""What a careless or hostile caller does: aliasing, mutation, odd static arguments, threads, leaks, huge and long things."""

import gc
import threading

import numpy as np
import pytest

import retrograde as rg
from retrograde.errors import LeakedTracerError, RetrogradeError, TracerConversionError, UnsupportedError

X = np.arange(3.0)


def test_gradients_own_their_memory_and_may_be_written():
    for g in (rg.grad(np.sum)(X), rg.grad(lambda v: np.sum(v.T[::-1]))(X), rg.grad(lambda v: 0.0 * v[0])(X)):
        assert g.flags.writeable and g.flags.owndata
        g *= 2
    a, b = rg.grad(lambda p, q: np.sum(np.sin(p + q)), argnums=(0, 1))(X, X + 1)
    assert not np.shares_memory(a, b)
    ct = np.ones(3)
    assert not np.shares_memory(rg.vjp(lambda v: v, X)[1](ct)[0], ct)
    (first,), (second,) = (pull := rg.vjp(lambda v: v * X, X)[1])(ct), pull(ct)
    assert not np.shares_memory(first, second) and not np.shares_memory(first, X)


def test_a_pullback_belongs_to_the_values_it_was_made_at():
    x, c = np.arange(3.0), np.ones(3)
    _, pull = rg.vjp(lambda v: np.sum(v * v * c), x)
    x += 100
    c += 100
    np.testing.assert_array_equal(pull(1.0)[0], [0, 2, 4])


def buffered(v):
    buffer = np.ones(3)
    first = v * buffer
    buffer[:] = 5
    return np.sum(first + v * buffer)


def test_a_plain_array_that_changes_while_tracing_is_what_it_was_at_each_use():
    np.testing.assert_array_equal(rg.grad(buffered)(X), np.full(3, 6.0))
    assert rg.jit(buffered)(X) == buffered(X)
    np.testing.assert_array_equal(rg.jit(rg.grad(buffered))(X), np.full(3, 6.0))


def test_a_captured_array_is_what_it_was_when_the_function_was_traced():
    c, s = np.ones(3), np.array(1.0)
    f = rg.jit(lambda v: v * c * s)
    f(X)
    c[:], s[...] = 7, 7
    np.testing.assert_array_equal(f(X), X)


def test_results_own_their_memory_and_inputs_stay():
    x = np.arange(6.0).reshape(2, 3)
    outputs = rg.jit(lambda v: (v, v[1:], v.T, v, np.broadcast_to(v[0], (4, 3)), v.reshape(-1)))(x)
    x[:] = 0
    for i, out in enumerate(outputs):
        assert out.flags.writeable and out.any()
        assert not np.shares_memory(out, x) and not any(np.shares_memory(out, other) for other in outputs[:i])
    f = rg.jit(lambda a, b: (a + b, a * b))
    y = np.ones((50, 80))
    first, second = f(y, y), f(y * 3, y)
    assert first[0][0, 0] == 2 and second[0][0, 0] == 4 and y.min() == y.max() == 1


def test_static_arguments_are_told_apart_by_type():
    f = rg.jit(lambda v, n: v * n, static_argnums=1)
    whole = np.arange(3)
    assert f(whole, 2).dtype == np.int64 and f(whole, 2.0).dtype == np.float64
    assert rg.jit(lambda v, n: v * n[0], static_argnums=1)(whole, (1,)).dtype == np.int64
    g = rg.jit(lambda v, n: v * n[0], static_argnums=1)
    assert (g(whole, (1,)).dtype, g(whole, (1.0,)).dtype) == (np.int64, np.float64)
    last = rg.jit(lambda v, n: v * sum(range(n)), static_argnums=-1)
    np.testing.assert_array_equal(last(X, 3), X * 3)
    with pytest.raises(RetrogradeError, match="hashable"):
        f(whole, [1])


def test_retrace_on_new_types_only():
    seen = []
    f = rg.jit(lambda v, s: seen.append((v.shape, v.dtype)) or v * s)
    for _ in range(2):
        for v in (X, X.astype(np.float32), X[None], np.arange(3), X > 0, X[::-1]):
            for s in (2, 2.0, True):
                np.testing.assert_array_equal(f(v, s), v * s)
                assert f(v, s).dtype == (v * s).dtype
    assert len(seen) == 15


def test_jit_within_grad_within_jit_and_closures_over_traced_values():
    g = rg.jit(lambda v: np.sum(np.sin(v) * v))
    expected = 2 * g(X) * (np.cos(X) * X + np.sin(X))
    np.testing.assert_allclose(rg.jit(rg.grad(lambda v: g(v) ** 2))(X), expected, rtol=1e-12)
    assert rg.grad(lambda a: rg.jit(lambda b: a * b)(2.0))(3.0) == 2.0
    np.testing.assert_array_equal(rg.jit(lambda a: rg.jit(lambda b: a * b)(X) + a)(X), X * X + X)


def test_recursion():
    @rg.jit
    def power(v, n):
        return v if n.shape == (1,) else v * power(v, n[1:])

    assert power(2.0, np.zeros(5)) == 32.0


def test_one_jitted_function_from_several_threads():
    f = rg.jit(lambda v: np.sum(np.tanh(v @ v.T), axis=0))
    found, barrier = [], threading.Barrier(4)

    def run():
        barrier.wait()
        for n in (*range(2, 7), 64):
            found.append((n, f(np.full((n, n), 0.1)).tobytes()))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 24 and len(set(found)) == 6


def test_indices_out_of_range():
    with pytest.raises(IndexError):
        rg.jit(lambda v: v[np.array([3])])(X)
    with pytest.raises(IndexError):
        rg.grad(lambda v: v[np.array([-4])][0])(X)
    # computed ones are brought to the nearest end: never outside the array
    f = rg.jit(lambda v, i: (v[i], np.take_along_axis(v, i, 0)))
    for found in f(X, np.array([99, -99, 2**62, -(2**62)])):
        np.testing.assert_array_equal(found, [2, 0, 2, 0])
    g = rg.jit(rg.grad(lambda v, i: np.sum(v[i])))(X, np.array([99, -99, 1]))
    np.testing.assert_array_equal(g, [1, 1, 1])


def test_a_plain_array_at_traced_places():
    for f in (lambda i: X[i], lambda i: np.take(X, i)):
        with pytest.raises(TracerConversionError, match=r"retrograde\.numpy\.take\(a, i, axis=0\)"):
            rg.jit(f)(np.array([2, 0]))
    np.testing.assert_array_equal(rg.jit(lambda i: rg.numpy.take(X, i, axis=0))(np.array([2, 0])), X[[2, 0]])


def test_arrays_whose_operations_mean_something_else_are_refused():
    masked = np.ma.array([1.0, 2.0], mask=[True, False])
    for f in (rg.jit(np.sum), rg.grad(np.sum), lambda m: rg.grad(lambda v: np.sum(v * m))(np.ones(2))):
        with pytest.raises(UnsupportedError, match="MaskedArray"):
            f(masked)
    with pytest.raises(RetrogradeError):
        rg.jit(lambda v: v + 1)(2**70)


def test_gradients_at_kinks_ties_and_what_is_not_finite():
    nan, inf = np.nan, np.inf
    np.testing.assert_array_equal(rg.grad(np.max)(np.array([inf, inf, 1.0])), [0.5, 0.5, 0])
    assert np.isnan(rg.grad(np.max)(np.array([1.0, nan, 2.0]))).all()
    np.testing.assert_array_equal(rg.grad(lambda v: np.sum(np.clip(v, 0, 1)))(np.array([inf, -inf, 0.5, 0, 1])), [0, 0, 1, 0, 0])
    np.testing.assert_array_equal(rg.grad(lambda v: np.sum(np.maximum(v, 0)))(np.array([-1.0, 0, 2, inf])), [0, 0, 1, 1])
    np.testing.assert_array_equal(rg.grad(lambda v: np.sum(v ** np.arange(3.0)))(np.zeros(3)), [0, 1, 0])
    np.testing.assert_array_equal(rg.grad(lambda y: np.sum(np.arange(2.0) ** y))(np.array([2.0, 2.0])), [0, 0])
    assert np.isnan(rg.grad(lambda y: (-2.0) ** y)(2.0))
    # the trap of where: 0 times the infinite slope of the branch not taken is NaN; make the branch itself safe
    x = np.array([0.0, 1.0])
    np.testing.assert_array_equal(rg.grad(lambda v: np.sum(np.where(v > 0, np.sqrt(v), 0)))(x), [nan, 0.5])
    np.testing.assert_array_equal(rg.grad(lambda v: np.sum(np.where(v > 0, np.sqrt(np.where(v > 0, v, 1)), 0)))(x), [0, 0.5])


def test_a_small_part_of_a_large_array_compiles_to_little_code():
    x = np.arange(200_000.0).reshape(2000, 100)
    f = rg.jit(lambda v: (v[5, ::30] * 2, v.T[3, -2:], np.take(v, 7), np.take(v[0], 3)))
    for a, b in zip(f(x), (x[5, ::30] * 2, x.T[3, -2:], x[0, 7], x[0, 3])):
        np.testing.assert_array_equal(a, b)
    assert len(f.lower(x).ir) < 20_000


@pytest.mark.parametrize("m, k, n", [(0, 2800, 1), (2, 2800, 0), (2800, 0, 3), (0, 0, 0), (0, 70, 70)])
def test_products_of_nothing(m, k, n):
    a, b = np.ones((m, k)), np.ones((k, n))
    many = np.ones((3000, 2))  # keeps the graph out of straight-line code
    found, _ = rg.jit(lambda p, q, r: (p @ q, np.cos(r)))(a, b, many)
    np.testing.assert_array_equal(found, a @ b)
    for g, x in zip(rg.jit(rg.grad(lambda p, q, r: np.sum(p @ q) + np.sum(r), argnums=(0, 1)))(a, b, many), (a, b)):
        np.testing.assert_array_equal(g, np.full(x.shape, n if x is a else m))


def test_a_leaked_tracer_says_so():
    held = []
    rg.jit(lambda v: held.append(v) or v)(X)
    rg.grad(lambda v: held.append(v) or np.sum(v))(X)
    for tracer in held:
        for use in (
            lambda t: t + 1,
            np.sin,
            lambda t: t[0],
            lambda t: rg.jit(lambda v: v * t)(X),
            lambda t: rg.grad(lambda v: np.sum(v * t))(X),
        ):
            with pytest.raises(LeakedTracerError, match="Return the value"):
                use(tracer)


def test_a_thousand_calls_leave_nothing_behind():
    f = rg.jit(lambda v: (v * 2, np.sum(v)))
    g = rg.grad(lambda v: np.sum(np.sin(v) ** 2))
    x = np.ones(20_000)
    f(x), g(x)
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(1000):
        f(x), g(x)
    gc.collect()
    assert len(gc.get_objects()) - before < 200


def test_chains_of_thousands():
    def chain(v):
        for _ in range(1500):
            v = np.sqrt(v * v + 0.25) * 0.9
        return np.sum(v)

    def views(v):
        for _ in range(1500):
            v = v[1:]
        return v

    x = np.linspace(0.1, 1, 5)
    np.testing.assert_allclose(rg.jit(chain)(x), chain(x), rtol=1e-10)
    assert rg.grad(chain)(x).shape == (5,)
    np.testing.assert_array_equal(rg.jit(views)(np.arange(4000.0)), np.arange(1500.0, 4000.0))


class Tensor:
    """An array of another library, whose dtype is none of NumPy's: as PyTorch's."""

    dtype, shape = "tensors.float32", (2,)

    def __array__(self, dtype=None, copy=None):
        return np.array([1.0, 2.0], dtype or np.float32)


def test_arrays_of_another_library_are_read_as_numpy_reads_them():
    squares = lambda x: np.sum(x**2)  # noqa: E731
    for gradient in (rg.grad(squares), rg.jit(rg.grad(squares))):
        found = gradient(Tensor())
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, [2, 4])
    np.testing.assert_array_equal(rg.jit(np.square)(Tensor()), [1, 4])
