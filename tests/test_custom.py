"""checkpoint, custom_pullback, stop_gradient: the derivatives, what is held, composition, and the errors."""

import numpy as np
import pytest

import retrograde as rg
from retrograde.errors import DifferentiationError, TracerBoolError
from retrograde.optimize import optimize
from retrograde.tree import tree_leaves

RNG = np.random.default_rng(4)
W, X = RNG.normal(size=(8, 8)) / 3, RNG.normal(size=(8, 300))


def block(w, h):
    for _ in range(3):
        h = np.tanh(w @ np.sin(h))
    return h


def chain(f, n=6):
    def loss(w, x):
        h = x
        for _ in range(n):
            h = f(w, h)
        return np.mean(h**2)

    return loss


def loop(f):
    return lambda w, x: np.sum(rg.scan(lambda h, _: (f(w, h), np.sum(h)), x, length=4)[0] ** 2)


USES = {
    "grad": lambda loss: rg.grad(loss, (0, 1)),
    "vmap of grad": lambda loss: rg.vmap(rg.grad(loss), (None, 1)),
    "grad of vmap": lambda loss: rg.grad(lambda w, x: np.sum(rg.vmap(loss, (None, 1))(w, x))),
    "grad of grad": lambda loss: rg.grad(lambda w, x: np.sum(rg.grad(loss)(w, x) ** 2), (0, 1)),
    "hvp": lambda loss: lambda w, x: rg.hvp(loss, (w, x), (w, x)),
    "jacfwd": lambda loss: lambda w, x: rg.jacfwd(loss)(w, x[:, :2]),
    "checkpoint of it": lambda loss: rg.grad(rg.checkpoint(loss), (0, 1)),
}


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("around", [chain, loop])
@pytest.mark.parametrize("use", USES)
def test_derivatives_are_those_without_a_checkpoint(use, around, transform):
    x = X[:, :5]
    expected = USES[use](around(block))(W, x)
    for f in (rg.checkpoint(block), rg.checkpoint(lambda w, h: rg.checkpoint(block)(w, h))):
        found = transform(USES[use](around(f)))(W, x)
        for got, want in zip(tree_leaves(found), tree_leaves(expected)):
            np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


def test_a_checkpointed_chain_holds_less_interpreted_and_compiled():
    plain, again = chain(block), chain(rg.checkpoint(block))
    held = [sum(t.nbytes for _, t in rg.held_for_backward(loss)(W, X)) for loss in (plain, again)]
    assert held[1] < 0.35 * held[0]
    peaks = [rg.jit(rg.grad(loss)).lower(W, X).plan.peak for loss in (plain, again)]
    assert peaks[1] < 0.6 * peaks[0]
    both = optimize(rg.trace(rg.grad(again))(W, X))
    assert [eq.primitive.name for eq in both.equations].count("matmul") > 2 * 18  # 18 forward, 18 again, and the backward pass


def test_a_sum_of_checkpointed_terms_holds_one_at_a_time():
    def terms(f):
        return lambda w, x: sum(np.mean(f(w * k, x)) for k in range(1, 7))

    peaks = [rg.jit(rg.grad(terms(f))).lower(W, X).plan.peak for f in (block, rg.checkpoint(block))]
    assert peaks[1] < 0.5 * peaks[0]


def test_a_loop_with_a_checkpointed_body_keeps_carries_only():
    held = [sum(t.nbytes for _, t in rg.held_for_backward(loop(f))(W, X)) for f in (block, rg.checkpoint(block))]
    assert held[1] < 0.5 * held[0]


def test_a_checkpoint_takes_pytrees_static_values_and_closures():
    scale = np.float64(1.5)

    @rg.checkpoint
    def f(p, n, *, name):
        assert name == "x"
        return {"y": scale * p["w"] ** n, "n": n}

    loss = lambda p: np.sum(f(p, 3, name="x")["y"])  # noqa: E731
    np.testing.assert_allclose(rg.grad(loss)({"w": X})["w"], 4.5 * X**2)
    outer = rg.grad(lambda s: np.sum(rg.checkpoint(lambda x: s * x)(np.exp(s) * X)))(0.5)  # closes over a traced value
    np.testing.assert_allclose(outer, 1.5 * np.exp(0.5) * np.sum(X))
    with pytest.raises(TracerBoolError, match="checkpoint"):
        rg.grad(rg.checkpoint(lambda x: x if x > 0 else -x))(1.0)


# -- rules of one's own ----------------------------------------------------------------------------------------------


@rg.custom_pullback
def smooth(x, y):
    return np.sin(x) * y


@smooth.def_pullback
def _smooth(ct, out, x, y):
    return ct * np.cos(x) * y, ct * np.sin(x)


@rg.custom_pullback(has_residuals=True)
def smooth_by_residuals(x, y):
    c, s = np.cos(x), np.sin(x)
    out = s * y
    return out, (c, {"s": s, "y": y, "out": out, "note": "static"})


@smooth_by_residuals.def_pullback
def _smooth_by_residuals(ct, residuals):
    c, rest = residuals
    assert rest["note"] == "static"
    return ct * c * rest["y"], ct * rest["out"] / rest["y"]


A, B = RNG.normal(size=(3, 4)), RNG.uniform(1, 2, size=4)
RULES = {
    "grad": lambda f: lambda x, y: rg.grad(lambda *z: np.sum(f(*z) ** 2), (0, 1))(x[0], y),
    "jacrev": lambda f: lambda x, y: rg.jacrev(f, (0, 1))(x[0], y),
    "jacfwd": lambda f: lambda x, y: rg.jacfwd(f, (0, 1))(x[0], y),
    "hessian": lambda f: lambda x, y: rg.hessian(lambda *z: np.sum(f(*z) ** 2), (0, 1))(x[0], y),
    "grad of grad": lambda f: lambda x, y: rg.jacrev(rg.jacrev(f, (0, 1)), (0, 1))(x[0], y),
    "reverse over forward": lambda f: lambda x, y: rg.jacrev(rg.jacfwd(f, (0, 1)), (0, 1))(x[0], y),
    "vmap": lambda f: rg.vmap(f, (0, None)),
    "vmap of grad": lambda f: rg.vmap(rg.grad(lambda x, y: np.sum(f(x, y)), (0, 1)), (0, None)),
    "grad of vmap": lambda f: rg.grad(lambda x, y: np.sum(rg.vmap(f, (0, None))(x, y) ** 2), (0, 1)),
    "loop": lambda f: rg.grad(lambda x, y: np.sum(rg.scan(lambda c, z: (f(c, z), c), y, x)[0]), (0, 1)),
    "checkpoint": lambda f: lambda x, y: rg.grad(lambda *z: np.sum(rg.checkpoint(f)(*z)), (0, 1))(x[0], y),
}


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("f", [smooth, smooth_by_residuals], ids=["plain", "residuals"])
@pytest.mark.parametrize("use", RULES)
def test_a_right_rule_composes_as_the_operations_do(use, f, transform):
    expected = RULES[use](lambda x, y: np.sin(x) * y)(A, B)
    for got, want in zip(tree_leaves(transform(RULES[use](f))(A, B)), tree_leaves(expected)):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


def test_the_rule_is_what_is_used_to_any_order():
    @rg.custom_pullback
    def f(x):
        return x**2

    @f.def_pullback
    def _(ct, out, x):
        return (ct * 10.0 * out * x,)  # on purpose not 2 x

    assert f(3.0) == 9.0
    assert rg.grad(f)(3.0) == rg.jit(rg.grad(f))(3.0) == rg.jvp(f, (3.0,), (1.0,))[1] == 270.0
    # d/dx (10 f(x) x) = 10 f + 10 x f' by the rule
    assert rg.grad(rg.grad(f))(3.0) == 90.0 + 30.0 * 270.0
    assert rg.hvp(f, (3.0,), (1.0,)) == (90.0 + 30.0 * 270.0,)


def test_an_implicit_function():
    @rg.custom_pullback
    def root(a):  # x = a cos x, by Newton
        x = np.ones_like(a)
        for _ in range(30):
            x = x - (x - a * np.cos(x)) / (1 + a * np.sin(x))
        return x

    @root.def_pullback
    def _(ct, x, a):
        return (ct * np.cos(x) / (1 + a * np.sin(x)),)

    rg.check(root)(np.array([0.3, 0.9]))
    by_rule = rg.jacfwd(rg.jacrev(root))(0.9)
    step = 1e-5
    np.testing.assert_allclose(by_rule, (rg.grad(root)(0.9 + step) - rg.grad(root)(0.9 - step)) / (2 * step), rtol=1e-7)


def test_a_rule_that_is_not_linear_has_no_forward_mode():
    @rg.custom_pullback
    def clipped(x):
        return x * 1.0

    @clipped.def_pullback
    def _(ct, out, x):
        return (np.clip(ct, -1, 1),)

    assert rg.grad(lambda x: 5 * clipped(x))(2.0) == 1.0
    with pytest.raises(DifferentiationError, match="not linear in the cotangent"):
        rg.jvp(clipped, (2.0,), (1.0,))


def test_integers_and_none_for_zero():
    @rg.custom_pullback
    def pick(x, i, n):
        assert n == 2
        return rg.numpy.take(x, i) * n, np.sum(i)

    @pick.def_pullback
    def _(ct, out, x, i, n):
        assert ct[1] == 0 and n == 2
        return np.where(np.arange(3) == i, ct[0] * n, 0.0), None, None

    np.testing.assert_array_equal(rg.grad(lambda x: pick(x, np.int64(1), 2)[0])(np.ones(3)), [0, 2, 0])


def _with_rule(rule, f=lambda x, y: x * np.sum(y), **options):
    wrapped = rg.custom_pullback(f, **options) if not options else rg.custom_pullback(**options)(f)
    wrapped.def_pullback(rule)
    return lambda: rg.grad(lambda x: np.sum(wrapped(x, np.ones(2))))(np.ones(3))


@pytest.mark.parametrize(
    "call, says",
    [
        (_with_rule(lambda ct, out, x, y: ct), "must return a tuple"),
        (_with_rule(lambda ct, out, x, y: (ct,)), "a tuple of 1"),
        (_with_rule(lambda ct, out, x, y: ((ct,), y)), "structure"),
        (_with_rule(lambda ct, out, x, y: (np.sum(ct), y)), r"f64\[3\]"),
        (_with_rule(lambda ct, out, x, y: (ct.astype(np.float32), y)), "astype"),
        (_with_rule(lambda ct, r: (ct, None), has_residuals=True), "output, residuals"),
        (lambda: rg.grad(rg.custom_pullback(lambda x: x))(1.0), "no rule yet"),
        (lambda: rg.grad(lambda s: _closing(s)(s))(1.0), "Pass the value as an argument"),
        (lambda: rg.jvp(lambda s: _closing(s)(s), (1.0,), (1.0,)), "Pass the value as an argument"),
    ],
)
def test_what_a_rule_must_be_is_said(call, says):
    with pytest.raises(DifferentiationError, match=says):
        call()


def _closing(s):
    wrapped = rg.custom_pullback(lambda x: x * s)
    wrapped.def_pullback(lambda ct, out, x: (ct,))
    return wrapped


def test_stop_gradient_stops_both_modes():
    f = lambda t: np.sum(rg.stop_gradient({"a": t["a"]})["a"] * t["a"])  # noqa: E731
    x = {"a": X}
    np.testing.assert_array_equal(rg.grad(f)(x)["a"], X)
    np.testing.assert_allclose(rg.jvp(f, (x,), (x,))[1], np.sum(X * X))
    assert rg.stop_gradient((1, X))[1] is X
