"""`scan` against the same loop in Python: eager and compiled, every way a carry can come back."""

import numpy as np
import pytest

import retrograde as rg
from retrograde.errors import GraphTypeError, RetrogradeError, ShapeError
from retrograde.tree import tree_flatten, tree_leaves, tree_map

RNG = np.random.default_rng(1)
XS = RNG.normal(size=(7, 3))
A, B = RNG.normal(size=3), RNG.normal(size=3)
BIG = RNG.normal(size=(64, 128))
W = RNG.normal(size=(3, 3))


def loop(f, init, xs=None, length=None, reverse=False, exit=None):
    """What `scan` means."""
    n = length if length is not None else len(tree_leaves(xs)[0])
    ys = [None] * n
    shape = None
    for i in reversed(range(n)) if reverse else range(n):
        init, ys[i] = f(init, tree_map(lambda x, i=i: x[i], xs))
        shape = ys[i]
        if exit is not None and exit(init):
            break
    ys = [tree_map(np.zeros_like, shape) if y is None else y for y in ys]
    return init, tree_map(lambda *parts: np.stack(parts), *ys) if ys else None


CASES = {
    "sum": (lambda c, x: (c + x, None), A, XS, {}),
    "swap": (lambda c, x: ((c[1], c[0]), c[0] - c[1] + x), (A, B), XS, {}),
    "rotate": (lambda c, x: ((c[1], c[2], c[0]), c[0]), (A, B, A + B), XS, {}),
    "swap-and-work": (lambda c, x: ((c[1] + x, c[0] * 2), c[0] @ c[1]), (A, B), XS, {}),
    "swap-large": (lambda c, x: ((c[1], c[0]), c[0][0, 0]), (BIG, BIG + 1), np.arange(3.0), {}),
    "swap-large-and-work": (lambda c, x: ((c[1] * x, c[0] + c[1]), np.sum(c[0])), (BIG, BIG + 1), np.arange(1.0, 4.0), {}),
    "same-twice": (lambda c, x: ((c[0] + c[1], c[0] + c[1]), c[0]), (A, B), XS, {}),
    "unchanged": (lambda c, x: (c, c * x), A, XS, {}),
    "half-unchanged": (lambda c, x: ((c[0], c[0] + c[1]), c[1]), (A, B), XS, {}),
    "constant": (lambda c, x: (np.float64(3.0), c), np.float64(1.0), XS, {}),
    "constant-array": (lambda c, x: (B, c + x), A, XS, {}),
    "becomes-x": (lambda c, x: (x, c), A, XS, {}),
    "view-of-carry": (lambda c, x: (c.T, c[0]), W, XS, {}),
    "view-of-large-carry": (lambda c, x: (c[::-1], c[0, ::7]), BIG, np.arange(3.0), {}),
    "shift": (lambda c, x: (np.concatenate([c[1:], x[:1]]), c[0]), A, XS, {}),
    "shift-large": (lambda c, x: (np.concatenate([c[1:], c[:1]]) + x, c[0, 0]), BIG, np.arange(3.0), {}),
    "y-is-carry-in": (lambda c, x: (c + x, c), A, XS, {}),
    "y-is-carry-out": (lambda c, x: (lambda d: (d, d))(c * x), A, XS, {}),
    "y-is-x": (lambda c, x: (c, (x, x)), A, XS, {}),
    "several-ys": (lambda c, x: (c + x, {"a": c, "b": (x[0], np.sum(c)), "n": np.argmax(x)}), A, XS, {}),
    "no-carry": (lambda c, x: (c, np.sin(x)), (), XS, {}),
    "pytree": (
        lambda c, x: ({"a": c["b"][0] * x["u"], "b": [c["a"] + x["v"]]}, c["a"][0]),
        {"a": A, "b": [B]},
        {"u": XS, "v": XS[::-1]},
        {},
    ),
    "length-only": (lambda c, x: (c * 1.5, c), A, None, {"length": 4}),
    "length-agrees": (lambda c, x: (c + x, c), A, XS, {"length": 7}),
    "one": (lambda c, x: (c + x, c), A, XS[:1], {}),
    "reverse": (lambda c, x: (c * 0.5 + x, c), A, XS, {"reverse": True}),
    "reverse-one": (lambda c, x: (c * 0.5 + x, c), A, XS[:1], {"reverse": True}),
    "integers": (lambda c, x: (c * 3 + x, c % 5), np.int64(1), np.arange(6), {}),
    "int32-bool": (
        lambda c, x: ((c[0] + np.int32(1), c[1] ^ (x > 0)), c[1]),
        (np.int32(0), np.array([True, False, True])),
        XS,
        {},
    ),
    "float32": (lambda c, x: (c * 0.5 + x, c), A.astype(np.float32), XS.astype(np.float32), {}),
    "matrix-power": (lambda c, x: (c @ W / 2, np.trace(c)), W, None, {"length": 5}),
    "large-in-place": (lambda c, x: (c * x + 1.0, np.max(c)), BIG, np.arange(1.0, 5.0), {}),
    "large-product": (lambda c, x: (c @ BIG.T @ BIG / 1e4 + x, c[0]), BIG, np.arange(1.0, 4.0), {}),
    "large-from-row": (lambda c, x: (c + c[0] * x, None), BIG, np.arange(1.0, 4.0), {}),
    "large-gather": (lambda c, x: (np.take(c, np.arange(63, -1, -1), axis=0) + x, c[5, 5]), BIG, np.arange(3.0), {}),
    "strided-xs": (lambda c, x: (c + x, c), A, np.asfortranarray(XS)[::-2], {}),
    "big-const": (lambda c, x: (c + np.sum(BIG[0]) + x, c), A, XS, {}),
    "scalar-xs": (lambda c, x: (c + x, c - x), np.float64(0.0), np.arange(5.0), {}),
    "empty-slices": (lambda c, x: (c + np.sum(x), x), np.float64(0.0), np.zeros((4, 0)), {}),
    "exit": (
        lambda c, x: ((c[0] + x, c[0] + x > 5.0), c[0]),
        (np.float64(0.0), np.False_),
        np.arange(10.0),
        {"exit": lambda c: c[1]},
    ),
    "exit-never": (
        lambda c, x: ((c[0] + x, c[0] > 1e9), c[0]),
        (np.float64(0.0), np.False_),
        np.arange(4.0),
        {"exit": lambda c: c[1]},
    ),
    "exit-at-once": (
        lambda c, x: ((c[0] + x, c[0] < 1e9), c[0] + 1),
        (np.float64(0.0), np.False_),
        np.arange(4.0),
        {"exit": lambda c: c[1]},
    ),
    "exit-reverse": (
        lambda c, x: ((c[0] + x, c[0] > 5.0), c[0] + 1),
        (np.float64(0.0), np.False_),
        np.arange(9.0),
        {"exit": lambda c: c[1], "reverse": True},
    ),
}


def same(found, expected):
    found, structure = tree_flatten(found)
    expected, wanted = tree_flatten(expected)
    assert structure == wanted
    for a, b in zip(found, expected):
        assert (a.shape, a.dtype) == (np.shape(b), np.asarray(b).dtype)
        np.testing.assert_allclose(a, b, rtol=2e-6 if a.dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("name", CASES)
def test_scan_is_the_loop(name, transform):
    f, init, xs, options = CASES[name]
    before = [np.copy(x) for x in tree_leaves((init, xs))]
    found = transform(lambda c, x: rg.scan(f, c, x, **options))(init, xs)
    same(found, loop(f, init, xs, **options))
    for x, old in zip(tree_leaves((init, xs)), before):
        np.testing.assert_array_equal(x, old)
    for leaf in tree_leaves(found):  # results own their memory
        if leaf.ndim:
            assert leaf.flags.writeable and not any(np.shares_memory(leaf, x) for x in tree_leaves((init, xs)))


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
def test_no_steps(transform):
    f = lambda c, x: ((c[1], c[0] + x), c[0])  # noqa: E731
    carry, ys = transform(lambda c, x: rg.scan(f, c, x))((A, B), XS[:0])
    same(carry, (A, B))
    assert ys.shape == (0, 3)
    carry, ys = transform(lambda c: rg.scan(lambda c, _: (c + 1, c), c, length=0))(A)
    same(carry, A)
    assert ys.shape == (0, 3)


def nested(transform):
    def outer(c, x):
        def inner(d, i):
            return (d[0] + c * x, d[0]), d[1] + i

        (total, _), ys = rg.scan(inner, (c, x), np.arange(4.0), reverse=True)
        return total / 8, ys.sum(0)

    return transform(lambda c, xs: rg.scan(outer, c, xs))(A, XS)


def nested_in_python():
    c, result = A, []
    for x in XS:
        d, ys = (c, x), []
        for i in range(3, -1, -1):
            ys.append(d[1] + i)
            d = (d[0] + c * x, d[0])
        result.append(np.sum(ys, 0))
        c = d[0] / 8
    return c, np.stack(result)


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
def test_nested_with_captured_values(transform):
    same(nested(transform), nested_in_python())


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
def test_deeply_nested_swaps(transform):
    def level(depth, carry):
        if not depth:
            return carry[1] + 1, carry[0]
        return rg.scan(lambda c, _: (level(depth - 1, c), None), carry, length=3)[0]

    def plain(depth, carry):
        if not depth:
            return carry[1] + 1, carry[0]
        for _ in range(3):
            carry = plain(depth - 1, carry)
        return carry

    same(transform(lambda a, b: level(3, (a, b)))(A, B), plain(3, (A, B)))
    same(transform(lambda a, b: level(2, (a, b)))(BIG, -BIG), plain(2, (BIG, -BIG)))


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
def test_gradient_inside_a_scan(transform):
    def step(w, x):
        value, by_w = rg.value_and_grad(lambda v: np.sum((v * x - 1.0) ** 2))(w)
        return w - 0.05 * by_w, value

    w, values = A, []
    for x in XS:
        values.append(np.sum((w * x - 1.0) ** 2))
        w = w - 0.05 * 2 * (w * x - 1.0) * x
    same(transform(lambda w, xs: rg.scan(step, w, xs))(A, XS), (w, np.array(values)))


def test_what_is_captured_from_an_outer_trace_is_an_operand():
    f = rg.jit(lambda a, s: rg.scan(lambda c, x: (c + s * x, c * a), a, XS)[0])
    same(f(A, 2.0), A + 2.0 * XS.sum(0))
    same(f(A, 3.0), A + 3.0 * XS.sum(0))
    value, aux = rg.grad(lambda v: (np.sum(v * 2), rg.scan(lambda c, x: (c + x, None), B, XS)[0]), has_aux=True)(A)
    same(value, np.full(3, 2.0))
    same(aux, B + XS.sum(0))


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
@pytest.mark.parametrize(
    "f, init, xs, options, error, says",
    [
        (lambda c, x: (c + x, None), 0, np.arange(3.0), {}, GraphTypeError, "i64.*f64"),
        (lambda c, x: (c[None] + x, None), A, XS, {}, GraphTypeError, r"f64\[3\].*f64\[1,3\]"),
        (lambda c, x: ((c, c), None), A, XS, {}, GraphTypeError, "structure"),
        (lambda c, x: c, A, XS, {}, GraphTypeError, "carry, y"),
        (lambda c, x: (c, x), A, (XS, XS[:3]), {}, ShapeError, "3.*7"),
        (lambda c, x: (c, x), A, XS, {"length": 5}, ShapeError, "5.*7"),
        (lambda c, x: (c, x), A, None, {}, ShapeError, "length"),
        (lambda c, x: (c, x), A, np.float64(1.0), {}, ShapeError, "length"),
        (lambda c, x: (c, x), A, None, {"length": -1}, ShapeError, "length"),
        (lambda c, x: (c, x), A, XS, {"exit": lambda c: c}, GraphTypeError, "0-d bool"),
        (lambda c, x: (c, x), A, XS, {"exit": lambda c: c[0] > 0}, GraphTypeError, "carry it"),
        (lambda c, x: (c if c[0] > 0 else -c, x), A, XS, {}, RetrogradeError, "np.where"),
        (lambda c, x: (c, "text"), A, XS, {}, RetrogradeError, "arrays"),
    ],
)
def test_errors_say_what_to_write(f, init, xs, options, error, says, transform):
    with pytest.raises(error, match=says):
        transform(lambda c, x: rg.scan(f, c, x, **options))(init, xs)


def test_slices_of_a_transposed_array_are_reshaped():
    xs = np.arange(4 * 60 * 70.0).reshape(4, 60, 70)

    def f(xs):
        def step(c, x):
            flat = np.reshape(x, (4200,))
            return c + np.sum(flat * np.arange(4200.0)), flat

        return rg.scan(step, np.zeros(()), np.transpose(xs, (0, 2, 1)))

    for a, b in zip(rg.jit(f)(xs), f(xs)):
        np.testing.assert_allclose(a, b)
