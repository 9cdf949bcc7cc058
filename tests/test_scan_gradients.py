"""Derivatives of `scan` against those of the same loop written out in Python, which only other rules take part in."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import retrograde as rg
from retrograde.errors import DifferentiationError
from retrograde.ops.control import fused
from retrograde.ops.elementwise import stop_gradient
from retrograde.tree import tree_leaves, tree_map

RNG = np.random.default_rng(5)
XS = RNG.normal(size=(6, 3))
A, B = RNG.normal(size=3), RNG.normal(size=3)
W = RNG.normal(size=(3, 3)) / 2
S = RNG.normal(size=5)


def loop(f, init, xs=None, length=None, reverse=False, exit=None):
    """What `scan` means, unrolled."""
    n = length if length is not None else len(tree_leaves(xs)[0])
    ys, some = [None] * n, None
    for i in reversed(range(n)) if reverse else range(n):
        init, ys[i] = f(init, tree_map(lambda x, i=i: x[i], xs))
        some = ys[i]
        if exit is not None and exit(init):
            break
    ys = [tree_map(np.zeros_like, some) if y is None else y for y in ys]
    return init, tree_map(lambda *parts: np.stack(parts), *ys) if ys else None


def total(result):
    """A loss in which every float of a result has a weight of its own."""
    found = 0.0
    for k, leaf in enumerate(tree_leaves(result)):
        if leaf.dtype.kind == "f":
            found = found + np.sum(np.sin(leaf + 0.3 * k) * np.reshape(np.cos(np.arange(float(leaf.size))), leaf.shape))
    return found


def cell(c, x, p):
    h = np.tanh(p @ c + x)
    return h, np.sum(h * np.sin(x))


# name: body(carry, x, p), first carry, xs, p, options of scan
CASES = {
    "cell": (cell, A, XS, W, {}),
    "cell-reverse": (cell, A, XS, W, {"reverse": True}),
    "one-step": (cell, A, XS[:1], W, {}),
    "only-carry": (lambda c, x, p: (np.exp(-((c * p) ** 2)) + x / 4, None), A, XS, B, {}),
    "only-ys": (lambda c, x, p: (c, np.sin(x * p)), A, XS, B, {}),
    "length-only": (lambda c, x, p: (c * p, c), A, None, B, {"length": 4}),
    "swap": (lambda c, x, p: ((c[1] * p, c[0] + x), c[0] * c[1]), (A, B), XS, A, {}),
    "pytree": (
        lambda c, x, p: ({"a": c["b"][0] * x["u"], "b": [c["a"] * p["k"] + x["v"]]}, (c["a"][0], {"q": c["b"][0] * p["w"]})),
        {"a": A, "b": [B]}, {"u": XS, "v": XS[::-1].copy()}, {"k": B, "w": A}, {},
    ),
    "fixed-carry": (lambda c, x, p: ((c[0], c[1] * c[0] + x), c[1] * p), (A, B), XS, A, {}),
    "carry-forgotten": (lambda c, x, p: (x * p, c), A, XS, B, {}),
    "y-is-x": (lambda c, x, p: (c + x, x), A, XS, A, {}),
    "y-is-carry": (lambda c, x, p: (c * p, c), A, XS, A, {}),
    "same-var-out-twice": (lambda c, x, p: (lambda d: ((d, d), d))(c[0] * c[1] * p + x), (A, B), XS, A, {}),
    "p-not-read": (lambda c, x, p: (np.sin(c) + x, c), A, XS, W, {}),
    "p-in-part": (lambda c, x, p: (c * p[1] + x * np.sqrt(p[0] ** 2 + 1.0), c[0] * p[2]), A, XS, B, {}),
    "p-transformed": (lambda c, x, p: (np.tanh(c @ np.exp(p).T / 9) + x, c), A, XS, W, {}),
    "integers-pass": (
        lambda c, x, p: ((c[0] + 1, c[1] * p + np.where(c[0] % 2 == 0, x, -x)), (c[0], c[1] / (c[0] + 1.0))),
        (np.int64(0), A), XS, B, {},
    ),
    "floats-of-integers-pass": (
        lambda c, x, p: ((c[0] * 0.5 + np.float64(1.0), c[1] * p + c[0] * x), c[0]), (np.float64(1.0), A), XS, B, {},
    ),
    "stop-gradient": (lambda c, x, p: (stop_gradient(c) * p + x, c), A, XS, B, {}),
    "kinks": (lambda c, x, p: (np.maximum(c * p, 0.0) - np.abs(x), np.max(c)), A, XS, B, {}),
    "products": (lambda c, x, p: (c @ p + np.outer(x, x), np.trace(c @ c)), W, XS, W, {}),
    "gathered": (lambda c, x, p: (c * rg.numpy.take(p, np.array([2, 0, 2])) + x[::-1], p[1] * c[0]), A, XS, B, {}),
    "scalars": (lambda c, x, p: (c * np.sin(x) + p, c / (1.0 + x * x)), np.float64(0.3), S, np.float64(0.7), {}),
    "exit": (
        lambda c, x, p: ((c[0] + p * x * x, np.sum(c[0]) > 2.0), np.sin(c[0]) / (1e-3 + np.sum(c[0]))),
        (np.zeros(3), np.False_), XS, np.array([1.0, 0.5, 0.8]), {"exit": lambda c: c[1]},
    ),
    "exit-reverse": (
        lambda c, x, p: ((c[0] + p * x * x, np.sum(c[0]) > 2.0), c[0] * x),
        (np.zeros(3), np.False_), XS, np.array([1.0, 0.5, 0.8]), {"exit": lambda c: c[1], "reverse": True},
    ),
    "exit-at-once": (
        lambda c, x, p: ((c[0] * p + x, np.sum(c[0]) < 1e9), c[0] / x),
        (A, np.False_), XS, B, {"exit": lambda c: c[1]},
    ),
    "exit-never": (
        lambda c, x, p: ((c[0] * p + x, np.sum(c[0]) > 1e9), c[0] / x),
        (A, np.False_), XS, B, {"exit": lambda c: c[1]},
    ),
    "exit-where-nothing-is-zero": (  # a step that is not run divides by its x, and its stored values are zeros
        lambda c, x, p: ((c[0] / x * p, c[1] + 1, c[1] >= 2), np.log(np.sum((c[0] / x) ** 2))),
        (A, np.int64(0), np.False_), np.concatenate([XS[:4], np.zeros((2, 3))]), B, {"exit": lambda c: c[2]},
    ),
}  # fmt: skip
TRANSFORMS = pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])


def floats(tree):
    """Which leaves of the carry are differentiated."""
    return [np.asarray(x).dtype.kind == "f" for x in tree_leaves(tree)]


def losses(name):
    """The loss by `scan` and by the loop, as functions of (float leaves of the carry, xs, p)."""
    f, init, xs, p, options = CASES[name]
    leaves, structure = rg.tree.tree_flatten(init)
    wanted = floats(init)

    def by(run):
        def loss(free, xs, p):
            given = iter(free)
            carry = [next(given) if w else leaf for w, leaf in zip(wanted, leaves)]
            return total(run(lambda c, x: f(c, x, p), rg.tree.tree_unflatten(structure, carry), xs, **options))

        return loss

    return by(rg.scan), by(loop), ([leaf for w, leaf in zip(wanted, leaves) if w], xs, p)


def close(found, expected, tolerance=1e-12):
    for a, b in zip(tree_leaves(found), tree_leaves(expected), strict=True):
        assert (a.shape, a.dtype) == (np.shape(b), b.dtype)
        assert np.all(np.isfinite(b))
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1.0, np.max(np.abs(b), initial=0.0)))


def wanted_of(args):
    return (0, 1, 2) if args[1] is not None else (0, 2)


@TRANSFORMS
@pytest.mark.parametrize("name", CASES)
def test_gradient_is_the_loops(name, transform):
    scanned, looped, args = losses(name)
    value, expected = rg.value_and_grad(looped, wanted_of(args))(*args)
    found, gradient = transform(rg.value_and_grad(scanned, wanted_of(args)))(*args)
    close(found, value)
    close(gradient, expected)


@TRANSFORMS
@pytest.mark.parametrize("name", CASES)
def test_second_derivative_is_the_loops(name, transform):
    scanned, looped, args = losses(name)
    wanted = wanted_of(args)

    def steepness(loss):
        return lambda *args: sum(np.sum(np.sin(g)) for g in tree_leaves(rg.grad(loss, wanted)(*args)))

    expected = rg.grad(steepness(looped), wanted)(*args)
    close(transform(rg.grad(steepness(scanned), wanted))(*args), expected, 1e-10)


@pytest.mark.parametrize("name", ["cell", "pytree", "exit", "scalars", "p-in-part"])
def test_gradient_is_the_slope(name):
    scanned, _, args = losses(name)
    gradient = rg.grad(scanned, (0, 1, 2))(*args)
    direction = tree_map(lambda x: RNG.normal(size=np.shape(x)), list(args))
    step = 1e-6
    ahead, behind = (scanned(*tree_map(lambda x, d, s=s: x + s * d, list(args), direction)) for s in (step, -step))
    expected = sum(np.sum(g * d) for g, d in zip(tree_leaves(gradient), tree_leaves(direction)))
    np.testing.assert_allclose((ahead - behind) / (2 * step), expected, rtol=1e-6)


@TRANSFORMS
@pytest.mark.parametrize("argnum", [0, 1, 2])
def test_one_argument_alone(argnum, transform):
    scanned, looped, args = losses("cell")
    close(transform(rg.grad(scanned, argnum))(*args), rg.grad(looped, argnum)(*args))


@TRANSFORMS
def test_no_steps(transform):
    f = lambda c, x, p: (c * p + x, c * x)  # noqa: E731
    loss = lambda c, xs, p: total(rg.scan(lambda c, x: f(c, x, p), c, xs)) + np.sum(p)  # noqa: E731
    by_c, by_xs, by_p = transform(rg.grad(loss, (0, 1, 2)))(A, XS[:0], B)
    close(by_c, rg.grad(lambda c: total(c))(A))
    assert by_xs.shape == (0, 3)
    close(by_p, np.ones(3))


def nested(run, depth=2):
    """Loops in a loop, which close over its carry, its x, and a parameter."""

    def level(depth, p):
        def step(c, x):
            if not depth:
                return np.tanh(c * p + x), c * x
            d, ys = run(level(depth - 1, p), c, XS[:3] * x, reverse=depth % 2 == 1)
            return d * np.cos(p), np.sum(ys, 0) + d

        return step

    return lambda c, xs, p: total(run(level(depth - 1, p), c, xs))


@TRANSFORMS
@pytest.mark.parametrize("depth", [2, 3])
def test_loops_in_loops(depth, transform):
    args = (A, XS[:4], B)
    close(transform(rg.grad(nested(rg.scan, depth), (0, 1, 2)))(*args), rg.grad(nested(loop, depth), (0, 1, 2))(*args))


@TRANSFORMS
def test_second_derivative_of_loops_in_loops(transform):
    def steepness(run):
        return rg.grad(lambda p: np.sum(rg.grad(nested(run), 2)(A, XS[:3], p) ** 2))

    close(transform(steepness(rg.scan))(B), steepness(loop)(B), 1e-10)


@TRANSFORMS
def test_third_derivative(transform):
    def third(run):
        f = lambda p: run(lambda c, x: (np.sin(c * p) + x, None), np.float64(0.3), S)[0]  # noqa: E731
        return rg.grad(rg.grad(rg.grad(f)))

    close(transform(third(rg.scan))(np.float64(0.8)), third(loop)(np.float64(0.8)), 1e-9)


@TRANSFORMS
def test_gradient_inside_a_step_of_a_loop_that_is_differentiated(transform):
    def trained(run, w, xs):  # the gradient of what is left after some descent, by the points
        def step(w, x):
            value, by_w = rg.value_and_grad(lambda v: np.sum((np.tanh(v) * x - 1.0) ** 2))(w)
            return w - 0.05 * by_w, value

        return total(run(step, w, xs))

    found = transform(rg.grad(lambda w, xs: trained(rg.scan, w, xs), (0, 1)))(A, XS)
    close(found, rg.grad(lambda w, xs: trained(loop, w, xs), (0, 1))(A, XS))


@TRANSFORMS
def test_other_transforms(transform):
    scanned, looped, args = losses("cell")
    many = np.stack([A, B, A * B])
    found = transform(rg.vmap(lambda c: rg.grad(scanned)([c], *args[1:])[0]))(many)
    close(found, np.stack([rg.grad(looped)([c], *args[1:])[0] for c in many]))
    found = transform(rg.grad(lambda many: np.sum(rg.vmap(lambda c: scanned([c], *args[1:]))(many))))(many)
    close(found, np.stack([rg.grad(looped)([c], *args[1:])[0] for c in many]))
    found = transform(rg.jacobian(lambda w: rg.scan(lambda c, x: cell(c, x, w), A, XS)[1]))(W)
    close(found, rg.jacobian(lambda w: loop(lambda c, x: cell(c, x, w), A, XS)[1])(W))
    close(rg.grad(rg.jit(scanned), 2)(*args), rg.grad(looped, 2)(*args))


@TRANSFORMS
def test_vmap_of_loops_that_end_each_at_its_own_step(transform):
    def loss(run, p):
        f = lambda c, x: ((c[0] * p + x * x, np.sum(c[0]) > 3.0), c[0] * x)  # noqa: E731
        return total(run(f, (A, np.False_), XS, exit=lambda c: c[1]))

    many = np.array([0.1, 0.9, 1.5, 3.0])
    expected = np.stack([rg.grad(lambda p: loss(loop, p))(p) for p in many])
    close(transform(rg.vmap(rg.grad(lambda p: loss(rg.scan, p))))(many), expected)
    close(transform(rg.grad(lambda many: np.sum(rg.vmap(lambda p: loss(rg.scan, p))(many))))(many), expected)


def test_float32_stays():
    f = lambda w: total(rg.scan(lambda c, x: cell(c, x, w), A.astype(np.float32), XS.astype(np.float32)))  # noqa: E731
    for transform in (lambda f: f, rg.jit):
        found = transform(rg.grad(f))(W.astype(np.float32))
        expected = rg.grad(lambda w: total(loop(lambda c, x: cell(c, x, w), A, XS)))(W)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_results_own_their_memory():
    by_c, by_xs = rg.grad(lambda c, xs: np.sum(rg.scan(lambda c, x: (c + x, c), c, xs)[0]), (0, 1))(A, XS)
    close(by_xs, np.ones_like(XS))
    by_c[:] = 7
    close(by_xs, np.ones_like(XS))


def equations(graph):
    for eq in graph.equations:
        yield eq
        for value in eq.params.values():
            if isinstance(value, rg.ir.Graph):
                yield from equations(value)


def scans(graph):
    return [eq for eq in equations(graph) if eq.primitive.name == "scan"]


def test_one_loop_there_and_one_back():
    scanned, _, args = losses("cell")
    there, back = scans(rg.jit(rg.value_and_grad(scanned, 2)).lower(*args).graph)
    assert not there.params["reverse"] and back.params["reverse"]
    assert len(back.outputs) == 2  # the cotangent of the carry and the sum of W's; no xs, which were not asked for


def test_nothing_is_kept_without_a_gradient():
    scanned, _, args = losses("cell")
    (eq,) = scans(rg.trace(scanned)(*args))
    assert len(eq.outputs) == 2


def test_what_does_not_change_is_not_stacked():
    def loss(w, c):
        return np.sum(rg.scan(lambda c, x: (np.tanh(c @ np.exp(w)), None), c, length=50)[0])

    held = [t for name, t in rg.held_for_backward(loss)(W, A) if name == "scan"]
    assert sorted(t.shape for t in held) == [(50, 3), (50, 3)]  # the carry and its tanh; exp(w) once


def test_compiled_code_drops_what_no_pullback_reads():
    def loss(c, xs):  # the second carry and y do not matter to the loss, nor xs to what does
        f = lambda c, x: ((np.sin(c[0]), np.tanh(c[0] + c[1] * x)), (c[0], np.exp(c[1])))  # noqa: E731
        carry, ys = rg.scan(f, (c, c), xs)
        return np.sum(carry[0] ** 2) + np.sum(ys[0])

    by_c = rg.jit(rg.grad(loss))
    there, _ = scans(by_c.lower(A, XS).graph)
    assert (len(there.inputs), len(there.outputs)) == (1, 2)
    close(by_c(A, XS), rg.grad(loss)(A, XS))


def test_integers_are_not_carried_back():
    f = lambda c, x: ((c[0] + 1, np.sin(c[1]) * x), None)  # noqa: E731
    loss = lambda c: np.sum(rg.scan(f, (np.int64(0), c), XS)[0][1])  # noqa: E731
    _, back = scans(rg.trace(rg.grad(loss))(A))
    assert [out.type.dtype.kind for out in back.outputs] == ["f"]


def test_what_has_no_derivative_is_said_only_if_it_matters():
    body = rg.trace(lambda c: np.sin(c))(A)  # what optimization makes has no pullback
    f = lambda c, x: ((c[0] + x, fused(c[1], body=body)[0]), None)  # noqa: E731
    loss = lambda i: lambda c: np.sum(rg.scan(f, (c, c), XS)[0][i])  # noqa: E731
    close(rg.grad(loss(0))(A), np.ones(3))
    with pytest.raises(DifferentiationError, match="fused"):
        rg.grad(loss(1))(A)


def test_time_does_not_depend_on_the_length():
    def seconds(length):
        scanned = lambda w, xs: total(rg.scan(lambda c, x: cell(c, x, w), A, xs))  # noqa: E731
        start = time.perf_counter()
        rg.jit(rg.value_and_grad(scanned)).lower(W, np.zeros((length, 3)))
        return time.perf_counter() - start

    seconds(3)
    assert min(seconds(100_000) for _ in range(3)) < 5 * min(seconds(10) for _ in range(3)) + 0.2


OPERATIONS = st.sampled_from([np.sin, np.tanh, np.cos, lambda v: v * v / 2, lambda v: np.exp(-v * v), lambda v: 1 / (2 + v * v)])
PAIRS = st.sampled_from([np.add, np.multiply, np.subtract, np.maximum])


@st.composite
def bodies(draw):
    """A step on two carries, an x and three parameters, from a random program; which are its outputs is drawn too."""
    program = draw(st.lists(st.tuples(OPERATIONS, PAIRS, st.integers(0, 30), st.integers(0, 30)), min_size=2, max_size=9))
    out = draw(st.tuples(*[st.integers(0, 30)] * 4))

    def body(carry, x, p):
        values = [*carry, x, *p]
        for unary, binary, i, j in program:
            values.append(unary(binary(values[i % len(values)], values[j % len(values)])))
        picked = [values[-1 - i % len(values)] for i in out]
        return (np.tanh(picked[0]), picked[1] * 0.5 + 0.1), tuple(picked[2:])

    return body


@settings(max_examples=40, deadline=None)
@given(bodies(), st.booleans(), st.sampled_from([1, 2, 5]), st.booleans())
def test_random_bodies(body, reverse, length, compiled):
    rng = np.random.default_rng(0)
    args = (tuple(rng.normal(size=2)), rng.normal(size=length), tuple(rng.normal(size=3)))

    def by(run):
        return rg.value_and_grad(
            lambda c, xs, p: total(run(lambda c, x: body(c, x, p), c, xs, reverse=reverse)), (0, 1, 2)
        )

    found = (rg.jit(by(rg.scan)) if compiled else by(rg.scan))(*args)
    close(found, by(loop)(*args), 1e-11)
