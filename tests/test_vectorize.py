"""vmap and per_example_grad: axes, pytrees, nesting, other transforms, loops, random keys, and the errors."""

import numpy as np
import pytest

import retrograde as rg
from retrograde import errors, nn

RNG = np.random.default_rng(0)
X, Y, W = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 3)), RNG.normal(size=(3, 4))


def each(f, *args):
    return np.stack([f(*xs) for xs in zip(*args)])


def close(found, expected, tolerance=1e-12):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def test_axes_in_and_out():
    f = lambda x, y: x * y.sum() + y  # noqa: E731
    expected = each(f, X, Y)
    close(rg.vmap(f)(X, Y), expected)
    close(rg.vmap(f, (0, 1))(X, Y.T), expected)
    close(rg.vmap(f, (-2, -1), out_axes=-1)(X, Y.T), expected.T)
    close(rg.vmap(f, (None, 0))(X[0], Y), each(lambda y: f(X[0], y), Y))
    close(rg.vmap(f, (0, None), 1)(X, 2 * Y[0]), each(lambda x: f(x, 2 * Y[0]), X).T)
    close(rg.vmap(lambda x, *, y: f(x, y))(X, y=Y), expected)


def test_pytrees_and_prefixes():
    def f(p, q):
        return {"sum": p["a"] + q[0], "both": (p["b"] * q[1], q[1])}

    p, q = {"a": X, "b": W[0]}, (Y.T, W[1])
    found = rg.vmap(f, ({"a": 0, "b": None}, (1, None)), {"sum": 1, "both": (0, None)})(p, q)
    close(found["sum"], (X + Y).T)
    close(found["both"][0], np.tile(W[0] * W[1], (5, 1)) if W[0].shape == () else np.broadcast_to(W[0] * W[1], (5, 4)))
    close(found["both"][1], W[1])


def test_what_is_not_mapped_is_computed_once_and_python_may_decide_on_it():
    calls = []

    def f(x, limit):
        calls.append(x.shape)
        return np.minimum(x, limit) if limit > 0 else x

    close(rg.vmap(f, (0, None))(X, 0.5), np.minimum(X, 0.5))
    close(rg.vmap(f, (0, None))(X, -1.0), X)
    assert calls == [(3,), (3,)]


def test_results_are_the_callers_own():
    x = X.copy()
    same, other, constant = rg.vmap(lambda v: (v, v, np.ones(2)))(x)
    for result in (same, other, constant):
        result[:] = 7.0
    np.testing.assert_array_equal(x, X)
    assert constant.shape == (5, 2)


def test_axis_size_alone_and_empty_axes():
    close(rg.vmap(lambda x: x * 2, None, axis_size=3)(np.ones(2)), np.full((3, 2), 2.0))
    close(rg.vmap(lambda x: x * 2, axis_size=5)(X), X * 2)
    assert rg.vmap(lambda x, w: np.tanh(x @ w), (0, None))(np.zeros((0, 3)), W).shape == (0, 4)


def test_a_layer_mapped_over_examples_is_one_product():
    for layer in (lambda x: x @ W, lambda x: W.T @ x, lambda x: np.dot(x, W), lambda x: np.einsum("i,ij->j", x, W)):
        close(rg.vmap(layer)(X), X @ W)
        graph = rg.trace(rg.vmap(layer))(X)
        products = [eq for eq in graph.equations if eq.primitive.name == "matmul"]
        assert [eq.outputs[0].type.shape for eq in products] == [(5, 4)]


def test_nested():
    f = lambda x, y: np.sum(np.sin(x) * y)  # noqa: E731
    expected = np.array([[f(x, y) for y in Y] for x in X])
    pairs = rg.vmap(rg.vmap(f, (None, 0)), (0, None))
    close(pairs(X, Y), expected)
    close(rg.jit(pairs)(X, Y), expected)
    close(rg.vmap(rg.vmap(f, (0, None)), (None, 0), 1)(X, Y), expected)
    cube = RNG.normal(size=(2, 3, 4))
    close(rg.vmap(rg.vmap(rg.vmap(np.tanh, 0), 1, 1), 2, 2)(cube), np.tanh(cube))


def test_with_the_other_transforms_in_any_order():
    def loss(w, x):
        return np.sum(np.tanh(x @ w) ** 2)

    slow = each(lambda x: rg.grad(loss)(W, x), X)
    per_example = rg.vmap(rg.grad(loss), (None, 0))
    close(per_example(W, X), slow)
    close(rg.jit(per_example)(W, X), slow)
    close(rg.vmap(rg.jit(rg.grad(loss)), (None, 0))(W, X), slow)
    close(rg.vmap(rg.grad(rg.jit(loss)), (None, 0))(W, X), slow)
    close(rg.grad(lambda w: np.sum(rg.vmap(loss, (None, 0))(w, X)))(W), slow.sum(0))
    close(rg.jit(rg.grad(lambda w: np.sum(rg.vmap(loss, (None, 0))(w, X))))(W), slow.sum(0))
    values, grads = rg.vmap(rg.value_and_grad(loss), (None, 0))(W, X)
    close(values, each(lambda x: loss(W, x), X))
    close(grads, slow)
    out, pull = rg.vjp(rg.vmap(lambda x: np.tanh(x @ W)), X)
    close(pull(np.ones_like(out))[0], (1 - out**2) @ W.T)
    hessians = rg.vmap(rg.jacobian(rg.grad(loss, 1), 1), (None, 0))(W, X)
    close(hessians, each(lambda x: rg.jacobian(rg.grad(loss, 1), 1)(W, x), X))
    closed = rg.jit(lambda w: rg.vmap(lambda x: rg.grad(loss)(w, x))(X))(W)
    close(closed, slow)


def test_vmap_of_a_pullback_gives_the_rows_of_the_jacobian():
    f = lambda x: np.tanh(x) @ W * x[0]  # noqa: E731
    _, pull = rg.vjp(f, X[0])
    close(rg.vmap(pull)(np.eye(4))[0], rg.jacobian(f)(X[0]))


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit])
def test_stacked_networks_and_per_example_gradients(transform):
    net = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 2))
    nets = [net.init(seed, dtype=np.float64) for seed in range(4)]
    stacked = rg.tree.tree_map(lambda *leaves: np.stack(leaves), *nets)
    close(transform(rg.vmap(lambda n, x: n(x), (0, None)))(stacked, X), np.stack([n(X) for n in nets]))
    close(transform(rg.vmap(lambda n, x: n(x)))(stacked, X[:4]), np.stack([n(x) for n, x in zip(nets, X)]))

    def loss(n, x, y):
        return np.mean((n(x) - y) ** 2)

    found = transform(rg.per_example_grad(loss))(nets[0], X, Y[:, :2])
    expected = [rg.grad(loss)(nets[0], x, y) for x, y in zip(X, Y[:, :2])]
    for got, *want in zip(*map(rg.tree.tree_leaves, (found, *expected))):
        close(got, np.stack(want))
    with_aux = rg.per_example_grad(lambda n, x: (np.sum(n(x)), n(x)), has_aux=True)
    close(transform(with_aux)(nets[0], X)[1], nets[0](X))
    by_x = transform(rg.per_example_grad(lambda x, n: np.sum(n(x)), argnums=1))(X, nets[0])
    assert [leaf.shape[0] for leaf in rg.tree.tree_leaves(by_x)] == [5] * 4


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit])
def test_scan(transform):
    def f(start, xs, w):
        def step(carry, x):
            h, count = carry
            h = np.tanh(h * w + x)
            return (h, count + 1), (h * 2, count)

        (h, count), (ys, counts) = rg.scan(step, (start, 0), xs)
        return h, count, ys, counts

    starts, sequences = RNG.normal(size=5), RNG.normal(size=(5, 7))
    for axes in [(0, 0, None), (0, None, None), (None, 0, None), (None, None, 0), (0, 0, 0)]:
        args = [a if m == 0 else a[0] for a, m in zip((starts, sequences, np.linspace(0.1, 1, 5)), axes)]
        found = transform(rg.vmap(f, axes))(*args)
        for i in range(5):
            for got, want in zip(found, f(*[a[i] if m == 0 else a for a, m in zip(args, axes)])):
                close(got[i], want)


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit])
@pytest.mark.parametrize("reverse", [False, True])
def test_scan_that_each_lane_ends_by_itself(transform, reverse):
    def f(limit, xs):
        def step(carry, x):
            total, _ = carry
            total = total + x
            return (total, total > limit), (total, total > 0)

        return rg.scan(step, (0.0, False), xs, reverse=reverse, exit=lambda carry: carry[1])

    xs = np.arange(1.0, 9.0)
    limits = np.array([0.0, 5.0, 20.0, 1e9])
    found = transform(rg.vmap(f, (0, None)))(limits, xs)
    for i, limit in enumerate(limits):
        for got, want in zip(rg.tree.tree_leaves(found), rg.tree.tree_leaves(f(limit, xs))):
            close(got[i], want)
    together = transform(rg.vmap(lambda limit, start: f(limit, xs * 1.0)[0][0] + start, (None, 0)))(5.0, limits)
    close(together, f(5.0, xs)[0][0] + limits)


def test_vmap_inside_scan():
    def step(carry, x):
        return rg.vmap(lambda c: np.tanh(c + x))(carry), rg.vmap(np.sin, 1)(carry)

    last, ys = rg.scan(step, W, X[:, 0])
    fast_last, fast_ys = rg.jit(lambda w: rg.scan(step, w, X[:, 0]))(W)
    h, kept = W, []
    for x in X[:, 0]:
        kept.append(np.sin(h).T)
        h = np.tanh(h + x)
    for got, want in ((last, h), (fast_last, h), (ys, np.stack(kept)), (fast_ys, np.stack(kept))):
        close(got, want)


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit])
def test_random_numbers_of_each_key(transform):
    keys = rg.random.split(rg.random.key(3), 4)

    def draw(key):
        first, second = rg.random.split(key)
        return rg.random.normal(first, (3,)), rg.random.permutation(second, 6), rg.random.uniform(rg.random.fold_in(key, 1))

    found = transform(rg.vmap(draw))(keys)
    for got, *want in zip(found, *[draw(key) for key in keys]):
        close(got, np.stack(want), 1e-6)
    with pytest.raises(errors.GraphTypeError, match=r"rg\.vmap"):
        rg.random.uniform(keys)


@pytest.mark.parametrize(
    "call, error, says",
    [
        (lambda: rg.vmap(lambda x, y: x)(X, Y[:4]), errors.ShapeError, r"`x` has 5 along axis 0, `y` has 4 along axis 0"),
        (lambda: rg.vmap(lambda x: x, axis_size=2)(X), errors.ShapeError, "`x` has 5 along axis 0, axis_size is 2"),
        (lambda: rg.vmap(lambda p: p["a"])({"a": X, "b": Y[:2]}), errors.ShapeError, r"`p\.a` has 5 .* `p\.b` has 2"),
        (lambda: rg.vmap(lambda x: x, 2)(X), errors.ShapeError, r"axis 2 of `x`, which has shape \(5, 3\).* -2 to 1"),
        (lambda: rg.vmap(lambda x: x, -3)(X), errors.ShapeError, "axis -3 of `x`"),
        (lambda: rg.vmap(lambda x, s: x * s)(X, 2.0), errors.ShapeError, "axis 0 of `s`.*Use None in in_axes"),
        (lambda: rg.vmap(lambda x: x, None)(X), errors.ShapeError, "nothing is mapped.*axis_size"),
        (lambda: rg.vmap(lambda x: x, (0, 0))(X), errors.ShapeError, r"in_axes \(0, 0\) has 2 entries.* 1 positional"),
        (lambda: rg.vmap(lambda x: x, "rows")(X), errors.GraphTypeError, "in_axes is an int"),
        (lambda: rg.vmap(lambda x: x, (1.0,))(X), errors.GraphTypeError, r"made of ints and None; it has 1\.0"),
        (lambda: rg.vmap(lambda p: p, ({"a": 0},))({"b": X}), errors.ShapeError, "no prefix"),
        (lambda: rg.vmap(lambda p: p, ([0, 0],))((X, Y)), errors.ShapeError, "a list where the tree has a tuple"),
        (lambda: rg.vmap(lambda x: x, 0, None)(X), errors.ShapeError, "out_axes is None for a result that differs"),
        (lambda: rg.vmap(lambda x: x, 0, 2)(X), errors.ShapeError, "out_axes 2 .* -2 to 1"),
        (lambda: rg.vmap(lambda x: x)(np.ma.masked_array(X)), errors.UnsupportedError, "MaskedArray"),
        (lambda: rg.vmap(lambda x: x)(np.array(["a", "b"])), errors.UnsupportedError, "dtype"),
        (lambda: rg.vmap(lambda x: x if x[0] > 0 else -x)(X), errors.TracerBoolError, r"5 values at once.*\n.*np\.where"),
        (lambda: rg.vmap(rg.grad(lambda x: x if x > 0 else -x))(X[:, 0]), errors.TracerBoolError, r"5 values.*\n.*np\.where"),
        (lambda: rg.jit(rg.vmap(lambda x: x if x[0] > 0 else -x))(X), errors.TracerBoolError, "mapped by vmap"),
    ],
)
def test_errors_say_what_to_do(call, error, says):
    with pytest.raises(error, match=says):
        call()
