"""`cond` and `switch` against Python's own `if`: values, derivatives to second order, lanes, compiled code, errors."""

import itertools

import numpy as np
import pytest

import retrograde as rg
from retrograde.errors import GraphTypeError
from retrograde.ir import check_graph
from retrograde.optimize import optimize

RNG = np.random.default_rng(2)
X, Y = RNG.normal(size=4), RNG.normal(size=4)
W = RNG.normal(size=(4, 4))
BIG = RNG.normal(size=(64, 96))


def chain(w, x):
    def step(c, _):
        return np.tanh(w @ c), c[0]

    c, ys = rg.scan(step, x, None, 3)
    return c + np.sum(ys)


# name: branches, operands
CASES = {
    "smooth": ([lambda x, y: np.sin(x) * y, lambda x, y: np.exp(-x * x) + y * y], (X, Y)),
    "one-ignores": ([lambda x, y: x * 2.0, lambda x, y: y * y * y], (X, Y)),
    "identity": ([lambda x, y: x, lambda x, y: y], (X, Y)),
    "constant": ([lambda x, y: np.zeros(4), lambda x, y: x * y], (X, Y)),
    "number": ([lambda x, y: 0.0, lambda x, y: np.sum(x * y)], (X, Y)),
    "tuple": ([lambda x, y: (x * y, {"a": x[0]}), lambda x, y: (np.cos(y), {"a": np.sum(x * x)})], (X, Y)),
    "three": ([lambda x, y: x * y, lambda x, y: np.sin(x), lambda x, y: x / (1 + y * y)], (X, Y)),
    "loop-inside": ([lambda w, x: chain(w, x), lambda w, x: w @ x], (W, X)),
    "branch-inside": ([lambda w, x: rg.cond(x[0] > 0, lambda: w @ x, lambda: np.sin(x)), lambda w, x: w.T @ x], (W, X)),
    "closes-over": ([lambda x: x @ W, lambda x: np.sin(x) + Y], (X,)),
    "large": ([lambda a, b: np.tanh(a @ b.T) @ b, lambda a, b: a * b], (BIG, BIG / 2)),
    "view": ([lambda w, x: w.T, lambda w, x: w * x], (W, X)),
    "float32": ([lambda x, y: 2 * x, lambda x, y: x * y], (X.astype(np.float32), Y.astype(np.float32))),
}


def total(result):
    found = 0.0
    for k, x in enumerate(rg.tree.tree_leaves(result)):
        found = found + np.sum(np.sin(x + k) * np.cos(np.arange(np.size(x))).reshape(np.shape(x)))
    return found


def chosen(branches):
    return lambda i, *xs: branches[i](*xs)


def same(found, expected):
    (a, s), (b, t) = rg.tree.tree_flatten(found), rg.tree.tree_flatten(expected)
    assert s == t
    for x, y in zip(a, b):
        assert np.shape(x) == np.shape(y) and np.asarray(x).dtype == np.asarray(y).dtype
        single = np.asarray(x).dtype == np.float32
        np.testing.assert_allclose(x, y, rtol=1e-5 if single else 1e-11, atol=1e-7 if single else 1e-12)


EACH = [(name, i) for name, (branches, _) in CASES.items() for i in range(len(branches))]


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("name, i", EACH)
def test_value_and_gradient_are_those_of_the_branch_taken(name, i, transform):
    branches, xs = CASES[name]

    def loss(*xs, i):
        return total(rg.switch(i, branches, *xs))

    places = tuple(range(len(xs)))
    same(transform(lambda i, *xs: rg.switch(i, branches, *xs))(np.int64(i), *xs), branches[i](*xs))
    expected = rg.grad(lambda *xs: total(branches[i](*xs)) + 0 * np.sum(xs[0]), places)(*xs)
    same(transform(lambda i, *xs: rg.grad(lambda *xs: loss(*xs, i=i), places)(*xs))(np.int64(i), *xs), expected)
    same(rg.grad(lambda *xs: transform(lambda i, *xs: loss(*xs, i=i))(np.int64(i), *xs), places)(*xs), expected)


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("name, i", [(n, i) for n, i in EACH if n not in ("large", "float32", "number", "constant")])
def test_second_order(name, i, transform):
    branches, xs = CASES[name]

    def curvature(f, *xs):
        return rg.grad(lambda *xs: total(rg.grad(lambda *xs: total(f(*xs)), tuple(range(len(xs))))(*xs)))(*xs)

    expected = curvature(branches[i], *xs)
    same(transform(lambda i, *xs: curvature(lambda *xs: rg.switch(i, branches, *xs), *xs))(np.int64(i), *xs), expected)


@pytest.mark.parametrize("name", [n for n in CASES if n != "large"])
def test_lanes(name):
    branches, xs = CASES[name]
    lanes = [np.stack([x, 2 * x, x - 1]) for x in xs]
    index = np.array([1, 0, len(branches) - 1])
    f = lambda i, *xs: rg.switch(i, branches, *xs)  # noqa: E731
    for mapped in itertools.product([False, True], repeat=1 + len(xs)):
        if not any(mapped):
            continue
        args = [index if mapped[0] else np.int64(1), *(many if m else x for many, x, m in zip(lanes, xs, mapped[1:]))]
        axes = tuple(0 if m else None for m in mapped)
        each = [f(*(a[k] if m else a for a, m in zip(args, mapped))) for k in range(3)]
        expected = rg.tree.tree_map(lambda *parts: np.stack(parts), *each)
        same(rg.vmap(f, axes)(*args), expected)
        same(rg.jit(rg.vmap(f, axes))(*args), expected)
        g = rg.grad(lambda x, i, *rest: total(f(i, x, *rest)))
        args, axes = [args[1], args[0], *args[2:]], (axes[1], axes[0], *axes[2:])
        each = [g(*(a if axis is None else a[k] for a, axis in zip(args, axes))) for k in range(3)]
        same(rg.jit(rg.vmap(g, axes))(*args), np.stack(each))


@pytest.mark.parametrize("pred", [True, False, np.True_, np.bool_(False), 2, 0.0])
@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
def test_cond_is_if(pred, transform):
    found = transform(lambda p, x: rg.cond(p, lambda x: x + 1, lambda x: x * 3, x))(pred, X)
    same(found, X + 1 if pred else X * 3)


def test_only_the_branch_that_is_taken_runs():
    f = rg.jit(lambda x: rg.cond(x > 0, lambda: rg.while_loop(lambda s: s < np.inf, lambda s: s + 0.0 * x, x), lambda: x - 1))
    assert f(-1.0) == -2.0  # the other would never end
    assert "branch" in str(f.lower(-1.0).graph)


def test_gradient_at_the_edge_of_a_domain_is_that_of_the_branch_taken():
    def f(x):
        return rg.cond(x > 0, np.sqrt, lambda x: 0.0 * x, x)

    for transform in (lambda f: f, rg.jit):
        assert transform(rg.grad(f))(-1.0) == 0.0
        assert transform(rg.grad(f))(0.0) == 0.0
        assert transform(rg.grad(f))(4.0) == 0.25
        closing = rg.grad(lambda x: rg.cond(x > 0, lambda: np.sqrt(x), lambda: 0.0 * x))  # what it closes over is inside too
        assert transform(closing)(-1.0) == 0.0 and transform(closing)(4.0) == 0.25


@pytest.mark.parametrize("i", [-1, -3, 0, 2])
def test_a_negative_index_counts_from_the_end(i):
    branches = [lambda x: x, lambda x: 2 * x, lambda x: 3 * x]
    for transform in (lambda f: f, rg.jit):
        same(transform(lambda i, x: rg.switch(i, branches, x))(i, X), branches[i](X))
    same(rg.vmap(lambda i, x: rg.switch(i, branches, x), (0, None))(np.array([i]), X), branches[i](X)[None])


@pytest.mark.parametrize("i, nearest", [(3, 2), (-4, 0), (10**12, 2), (-(10**12), 0)])
def test_an_index_out_of_range(i, nearest):
    f = lambda i, x: rg.switch(i, [lambda x: x, lambda x: 2 * x, lambda x: 3 * x], x)  # noqa: E731
    with pytest.raises(IndexError):
        f(i, X)
    same(rg.jit(f)(i, X), X * (nearest + 1))


def test_in_a_loop_the_carry_goes_through_branches():
    def f(x):
        def step(c, i):
            c = rg.switch(i % 3, [lambda c: np.sin(c) * x, lambda c: c + x, lambda c: c], c)
            return c, c

        return rg.scan(step, x, np.arange(7))

    def plain(x):
        c, ys = x, []
        for i in range(7):
            c = [np.sin(c) * x, c + x, c][i % 3]
            ys.append(c)
        return c, np.stack(ys)

    for transform in (lambda f: f, rg.jit):
        same(transform(f)(X), plain(X))
        same(transform(rg.grad(lambda x: total(f(x))))(X), rg.grad(lambda x: total(plain(x)))(X))


def test_threads_share_what_is_in_a_branch():
    big = RNG.normal(size=(512, 512)).astype(np.float32)
    f = lambda i, a: rg.switch(i, [lambda a: np.tanh(a @ a) @ a, lambda a: a @ a.T + 1, lambda a: a], a)  # noqa: E731
    native = rg.jit(f)
    assert native.lower(np.int64(0), big).sharing
    before = rg.get_threads()
    try:
        for i in range(3):
            rg.set_threads(1)
            alone = native(np.int64(i), big)
            rg.set_threads(3)
            assert (native(np.int64(i), big) == alone).all()
            np.testing.assert_allclose(alone, f(i, big), rtol=2e-3, atol=2e-3)
    finally:
        rg.set_threads(before)


def test_what_nobody_reads_is_dropped():
    def f(i, x, y):
        return rg.switch(i, [lambda x, y: (x, np.exp(y)), lambda x, y: (2 * x, y)], x, y)[0]

    graph = check_graph(optimize(rg.trace(f)(np.int64(0), X, Y)))
    (eq,) = [eq for eq in graph.equations if eq.primitive.name == "branch"]
    assert len(eq.outputs) == 1 and len(eq.inputs) == 2


@pytest.mark.parametrize(
    "f, message",
    [
        (lambda x: rg.cond(True, lambda x: x, lambda x: (x, x), x), "structure"),
        (lambda x: rg.cond(True, lambda x: x[:2], lambda x: x, x), r"false_fun returns f64\[4\] and true_fun f64\[2\]"),
        (lambda x: rg.switch(0, [lambda x: x, lambda x: {"a": x}], x), r"branches\[1\]"),
        (lambda x: rg.switch(0, [lambda x: x, lambda x: x > 0], x), "bool"),
        (lambda x: rg.switch(0, [lambda x: {"k": x}, lambda x: {"k": x[0]}], x), r"\['k'\]"),
        (lambda x: rg.switch(0.5, [lambda x: x], x), "one integer"),
        (lambda x: rg.switch(0, [], x), "no branches"),
        (lambda x: rg.cond(x > 0, lambda x: x, lambda x: x, x), "np.any or np.all"),
    ],
)
def test_errors_name_both_sides(f, message):
    for transform in (lambda f: f, rg.jit):
        with pytest.raises(GraphTypeError, match=message):
            transform(f)(X)
