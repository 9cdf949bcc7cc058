"""jvp, linearize, jacfwd, hessian, hvp: closed forms, loops, nesting, and the errors."""

import numpy as np
import pytest

import retrograde as rg
from retrograde.errors import DifferentiationError
from retrograde.trace import trace_to_graph
from retrograde.tree import tree_flatten, tree_leaves, tree_map, tree_unflatten
from test_scan_gradients import CASES

RNG = np.random.default_rng(3)
X, T = RNG.normal(size=4), RNG.normal(size=4)
TRANSFORMS = pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])


def names(graph):
    found = []
    for eq in graph.equations:
        found.append(eq.primitive.name)
        if eq.primitive.name == "scan":
            found += names(eq.params["body"])
    return found


@TRANSFORMS
def test_jvp_of_pytrees_in_closed_form(transform):
    def f(p, x):
        return {"y": np.sin(p["w"]) * x, "count": np.sum(x > 0)}

    primals, tangents = ({"w": X}, np.float64(2.0)), ({"w": T}, np.float64(-1.0))
    value, tangent = transform(lambda a, b: rg.jvp(f, a, b))(primals, tangents)
    np.testing.assert_allclose(value["y"], np.sin(X) * 2.0, rtol=1e-15)
    np.testing.assert_allclose(tangent["y"], np.cos(X) * T * 2.0 - np.sin(X), rtol=1e-13, atol=1e-15)
    assert tangent["count"] == 0 and tangent["count"].dtype == value["count"].dtype


def test_a_jvp_computes_the_value_once_and_nothing_that_it_does_not_need():
    graph = trace_to_graph(lambda x, t: rg.jvp(lambda x: np.exp(np.sin(x)), (x,), (t,)), (X, T))[0]
    assert sorted(names(graph)) == ["cos", "exp", "multiply", "multiply", "sin"]


def test_a_loops_jvp_is_one_loop():
    def f(x):
        return rg.scan(lambda c, y: (np.sin(c) * y, c), x, np.stack([X, X]))

    graph = trace_to_graph(lambda x, t: rg.jvp(f, (x,), (t,)), (X, T))[0]
    found = names(graph)
    assert found.count("scan") == 1 and found.count("sin") == 1 and found.count("cos") == 1


def test_python_control_flow_and_constants():
    def f(x):
        total = x
        while total < 100:
            total = total * x
        return total if x > 1 else -total

    assert rg.jvp(f, (3.0,), (1.0,)) == (243.0, 5 * 3.0**4)
    value, push = rg.linearize(f, 3.0)
    assert value == 243.0 and push(2.0) == 2 * 5 * 3.0**4
    assert rg.jvp(lambda x: (x, 1.0, np.ones(2)), (3.0,), (1.0,))[1][:2] == (1.0, 0.0)


def test_has_aux_and_results_are_the_callers_own():
    value, tangent, aux = rg.jvp(lambda x: (x, {"s": np.sum(x), "note": 3}), (X,), (T,), has_aux=True)
    assert aux["note"] == 3 and aux["s"] == np.sum(X)
    value[:] = 0
    tangent[:] = 0
    assert X.any() and T.any()
    out, push, aux = rg.linearize(lambda x: (x.reshape(2, 2), 5), X, has_aux=True)
    out[:] = 0
    pushed = push(T)
    pushed[:] = 0
    assert X.any() and T.any() and aux == 5


@TRANSFORMS
def test_linearize_is_the_jvp_for_any_tangent(transform):
    def f(a, b):
        return np.tanh(np.outer(a, b)) @ b, np.max(a * b)

    def both(a, b, s, t):
        value, push = rg.linearize(f, a, b)
        return value, push(s, t), push(t, s)

    value, first, second = transform(both)(X, T, T, X)
    for found, tangents in ((first, (T, X)), (second, (X, T))):
        expected = rg.jvp(f, (X, T), tangents)
        for got, want in zip(tree_leaves((value, found)), tree_leaves(expected)):
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


@TRANSFORMS
def test_jacobians_forward_and_reverse_agree(transform):
    x, p = np.linspace(-1.0, 1.0, 150), {"w": np.arange(1.0, 3.0), "idle": np.ones((2, 2))}

    def f(x, p):
        return {"outer": np.tanh(x)[:3, None] * p["w"], "constant": np.ones(3), "empty": x[:0] * 2, "sum": np.sum(x**2)}

    found, expected = (transform(jac(f, (0, 1)))(x, p) for jac in (rg.jacfwd, rg.jacrev))
    assert rg.jacrev is rg.jacobian
    one, other = tree_flatten(found), tree_flatten(expected)
    assert one[1] == other[1]
    for got, want in zip(one[0], other[0]):
        assert got.shape == want.shape and got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


@TRANSFORMS
def test_hessian_and_its_product_with_a_vector(transform):
    a = RNG.normal(size=(4, 4))

    def f(x, y):
        return np.sum(np.sin(x) * (a @ x)) * y

    h = transform(rg.hessian(f))(X, 2.0)
    expected = 2 * (np.cos(X)[:, None] * a + (np.cos(X)[:, None] * a).T - np.diag(np.sin(X) * (a @ X)))
    np.testing.assert_allclose(h, expected, rtol=1e-12, atol=1e-12)
    (by_x, by_y) = transform(lambda p, t: rg.hvp(f, p, t))((X, np.float64(2.0)), (T, np.float64(0.0)))
    np.testing.assert_allclose(by_x, expected @ T, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(by_y, rg.grad(lambda x: f(x, 1.0))(X) @ T, rtol=1e-12)
    trees = rg.hessian(lambda p: np.sum(p["a"] ** 2) * p["b"])({"a": X, "b": np.float64(3.0)})
    np.testing.assert_allclose(trees["a"]["a"], 6 * np.eye(4))
    np.testing.assert_allclose(trees["a"]["b"], 2 * X)
    np.testing.assert_allclose(trees["b"]["a"], 2 * X)


def test_forward_mode_nests_in_itself():
    f = lambda x: np.sin(x) * x**2  # noqa: E731
    second = rg.jvp(lambda y: rg.jvp(f, (y,), (1.0,))[1], (0.7,), (1.0,))[1]
    np.testing.assert_allclose(second, (2 - 0.7**2) * np.sin(0.7) + 4 * 0.7 * np.cos(0.7), rtol=1e-13)
    inner = rg.jvp(lambda x: x * rg.jvp(lambda y: x * y, (2.0,), (1.0,))[1], (3.0,), (1.0,))[1]
    assert inner == 6.0  # perturbations of the two levels are not confused (Siskind and Pearlmutter, 2005)


@pytest.mark.parametrize("name", CASES)
def test_loops_against_the_pullback(name):
    """<ct, J t> = <J' ct, t> for every loop of the suite of reverse mode, run, compiled, linearized and by columns."""
    body, init, xs, p, options = CASES[name]
    leaves, structure = tree_flatten(init)
    floats = [i for i, x in enumerate(leaves) if np.asarray(x).dtype.kind == "f"]

    def f(free, xs, p):
        start = list(leaves)
        for i, x in zip(floats, free):
            start[i] = x
        return rg.scan(lambda c, x: body(c, x, p), tree_unflatten(structure, start), xs, **options)

    rng = np.random.default_rng(0)
    primals = ([np.asarray(leaves[i])[()] for i in floats], xs, p)
    draw = lambda x: rng.normal(size=np.shape(x)) if np.asarray(x).dtype.kind == "f" else x  # noqa: E731
    tangents = tree_map(draw, primals)
    out, pull = rg.vjp(f, *primals)
    ct = tree_map(draw, out)
    cts = pull(ct)
    expected = sum(np.sum(a * b) for a, b in zip(tree_leaves(cts), tree_leaves(tangents)))
    value, push = rg.linearize(f, *primals)
    for y, t in (
        rg.jvp(f, primals, tangents), rg.jit(lambda a, b: rg.jvp(f, a, b))(primals, tangents), (value, push(*tangents)),
    ):  # fmt: skip
        found = sum(
            np.sum(a * b) for a, b in zip(tree_leaves(ct), tree_leaves(t)) if np.asarray(b).dtype.kind == "f"
        )
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)
        for got, want in zip(tree_leaves(y), tree_leaves(out)):
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)
    only = lambda p: [x for x in tree_leaves(f(primals[0], xs, p)) if x.dtype.kind == "f"]  # noqa: E731
    for got, want in zip(tree_leaves(rg.jacfwd(only)(p)), tree_leaves(rg.jacrev(only)(p))):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: rg.jvp(np.sin, (3,), (1.0,)), "2.0 instead of 2"),
        (lambda: rg.jvp(lambda x: x, (np.array([True]),), (1.0,)), "floating-point"),
        (lambda: rg.jvp(np.sin, X, T), "tuple or list"),
        (lambda: rg.jvp(np.sin, (X,), T), "tuple or list"),
        (lambda: rg.jvp(np.sin, (X,), (T, T)), "one tangent for each"),
        (lambda: rg.jvp(np.sin, (X,), ((T,),)), "structure"),
        (lambda: rg.jvp(np.sin, (X,), (T[:2],)), r"f64\[4\]; it is f64\[2\]"),
        (lambda: rg.jvp(np.sin, (X,), (T.astype(np.float32),)), "astype"),
        (lambda: rg.jvp(np.sin, (X,), (np.ones(4, int),)), "astype"),
        (lambda: rg.linearize(np.sin, X)[1](T[:2]), "shape"),
        (lambda: rg.hvp(lambda x: np.sum(x), X, T), "tuple or list"),
        (lambda: rg.hvp(np.sin, (X,), (T,)), "0-d real loss"),
        (lambda: rg.jacfwd(lambda x: np.argmax(x))(X), "only floating-point outputs"),
        (lambda: rg.jacfwd(np.sin, 1)(X), "positional"),
    ],
)
def test_what_does_not_fit_is_said(call, says):
    with pytest.raises(DifferentiationError, match=says):
        call()


def test_a_symbol_kept_from_a_forward_pass_is_refused():
    kept = []
    rg.jvp(lambda x: kept.append(x) or x, (X,), (T,))
    with pytest.raises(rg.errors.LeakedTracerError):
        np.sin(kept[0])


@TRANSFORMS
@pytest.mark.parametrize(
    "f",
    [
        lambda x: rg.cond(np.sum(x) > 0, lambda x: np.sin(x) * x, lambda x: x**3, x),
        lambda x: rg.switch(1, [lambda x: x, lambda x: 2.0 * np.tanh(x)], x),
        lambda x: rg.cond(x[0] > 0, lambda x: np.ones(4), lambda x: x * x, x),  # only one has a tangent
        lambda x: rg.while_loop(lambda c: np.sum(c) < 50, lambda c: c * 1.5 + np.cos(c) ** 2, x),
        lambda x: rg.map(lambda r: np.sin(r) * x, x),
    ],
)
def test_branches_and_while_loops(f, transform):
    tangent = transform(lambda x, t: rg.jvp(f, (x,), (t,))[1])(X, T)
    step = 1e-6
    np.testing.assert_allclose(tangent, (f(X + step * T) - f(X - step * T)) / (2 * step), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(rg.linearize(f, X)[1](T), tangent, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(transform(rg.jacfwd(f))(X) @ T, tangent, rtol=1e-12, atol=1e-13)
    second = rg.hessian(lambda x: np.sum(f(x) ** 2))(X)
    np.testing.assert_allclose(second, second.T, rtol=1e-10, atol=1e-10)
    first = rg.grad(lambda x: np.sum(f(x) ** 2))
    np.testing.assert_allclose(second @ T, (first(X + step * T) - first(X - step * T)) / (2 * step), rtol=1e-5, atol=1e-5)


def test_columns_of_one_leaf_add_no_zeros_of_others():
    """And what is made of the basis, here of (5, 40, 5), is computed by the compiled program, not held in it."""

    def f(params, x):
        a, b, c = params
        return np.tanh((x[:, None] - a) * b).sum(1) + c - b[0]

    params, x = (np.ones(5), np.linspace(1, 2, 5), 0.5), np.linspace(-1, 1, 40)
    compiled = rg.jit(rg.jacfwd(f)).lower(params, x)
    assert max(np.size(value) for value in compiled.source.constants.values()) <= 40
    for transform in (lambda f: f, rg.jit):
        by_a, by_b, by_c = transform(rg.jacfwd(f))(params, x)
        reverse = transform(rg.jacobian(f))(params, x)
        for one, other in zip((by_a, by_b, by_c), reverse):
            np.testing.assert_allclose(one, other, atol=1e-13)
        np.testing.assert_array_equal(by_c, np.ones(40))


def test_columns_through_a_loop_that_computes_with_two_leaves():
    def f(a, b):
        return rg.scan(lambda c, x: (np.sin(c * a) + x * b, c - b), a * b, np.linspace(0, 1, 4))[1]

    for transform in (lambda f: f, rg.jit):
        forward = transform(rg.jacfwd(f, (0, 1)))(np.array([0.3, 0.5]), np.array([0.7, -0.2]))
        reverse = transform(rg.jacobian(f, (0, 1)))(np.array([0.3, 0.5]), np.array([0.7, -0.2]))
        for one, other in zip(forward, reverse):
            np.testing.assert_allclose(one, other, atol=1e-13)
