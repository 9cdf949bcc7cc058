"""grad, value_and_grad, vjp, jacobian: closed forms, nesting, pytrees, and the errors."""

import numpy as np
import pytest

import retrograde as rg
from retrograde import errors


def toy(phi, x, y):
    b, w = phi
    f = b[3] + w[3] * np.cos(b[2] + w[2] * np.exp(b[1] + w[1] * np.sin(b[0] + w[0] * x)))
    return (f - y) ** 2


def toy_by_hand(b, w, x, y):
    """Every derivative of the toy by the chain rule, written out."""
    f0 = b[0] + w[0] * x
    h1 = np.sin(f0)
    f1 = b[1] + w[1] * h1
    h2 = np.exp(f1)
    f2 = b[2] + w[2] * h2
    h3 = np.cos(f2)
    f3 = b[3] + w[3] * h3
    d_f3 = 2 * (f3 - y)
    d_f2 = -np.sin(f2) * w[3] * d_f3
    d_f1 = np.exp(f1) * w[2] * d_f2
    d_f0 = np.cos(f0) * w[1] * d_f1
    d_f = np.array([d_f0, d_f1, d_f2, d_f3])
    return d_f, d_f * np.array([x, h1, h2, h3])


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit])
def test_the_toy_agrees_with_the_closed_form(transform):
    b, w = np.array([1.0, 2.0, -3.0, 0.4]), np.array([0.1, -0.4, 2.0, 3.0])
    by_b, by_w = transform(rg.grad(toy))((b, w), 2.3, 2.0)
    expected_b, expected_w = toy_by_hand(b, w, 2.3, 2.0)
    np.testing.assert_allclose(by_b, expected_b, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(by_w, expected_w, rtol=1e-12, atol=1e-12)


def textbook_network(phi, x, y):
    betas, omegas = phi
    h = x
    for beta, omega in zip(betas[:-1], omegas[:-1]):
        h = (beta + np.matmul(omega, h)).clip(0.0)
    f = betas[-1] + np.matmul(omegas[-1], h)
    return np.sum((f - y) ** 2)


def textbook_backward(betas, omegas, x, y):
    """Backpropagation by hand: forward keeping f and h, then dl/df_k from the last layer to the first."""
    fs, hs = [], [x]
    for k in range(len(betas)):
        fs.append(betas[k] + np.matmul(omegas[k], hs[k]))
        hs.append(fs[k].clip(0.0))
    d_betas, d_omegas = [None] * len(betas), [None] * len(betas)
    d_f = 2 * (fs[-1] - y)
    for k in reversed(range(len(betas))):
        d_betas[k] = d_f
        d_omegas[k] = np.matmul(d_f, hs[k].T)
        if k:
            d_f = (fs[k - 1] > 0) * np.matmul(omegas[k].T, d_f)
    return d_betas, d_omegas


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit])
def test_a_deep_relu_network_agrees_with_backpropagation_by_hand(transform):
    rng = np.random.default_rng(0)
    sizes = [3, 6, 6, 6, 6, 6, 2]  # K = 5 hidden layers of D = 6
    omegas = [rng.normal(size=(n, m)) for m, n in zip(sizes, sizes[1:])]
    betas = [rng.normal(size=(n, 1)) for n in sizes[1:]]
    x, y = rng.normal(size=(3, 1)), rng.normal(size=(2, 1))
    found = transform(rg.grad(textbook_network))((betas, omegas), x, y)
    for parts, expected in zip(found, textbook_backward(betas, omegas, x, y)):
        for a, b in zip(parts, expected):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_second_order_by_composition():
    x = np.array([0.3, -1.2, 2.0])
    first = rg.grad(lambda v: np.sum(np.sin(v) * v**3))
    second = rg.grad(lambda v: np.sum(first(v)))(x)
    np.testing.assert_allclose(second, (6 * x - x**3) * np.sin(x) + 6 * x**2 * np.cos(x), rtol=1e-12)
    third = rg.grad(lambda v: np.sum(rg.grad(lambda u: np.sum(first(u)))(v)))(x)
    assert third.shape == x.shape


def test_any_pytree_argnums_and_aux():
    def f(p, q):
        return np.sum(p["a"] * q) + p["b"][0] ** 2, {"mean": np.mean(q), "note": 3}

    p, q = {"a": np.ones(3), "b": (np.float64(2.0),)}, np.arange(3.0)
    (value, aux), (by_p, by_q) = rg.value_and_grad(f, argnums=(0, 1), has_aux=True)(p, q)
    assert value == 7.0 and aux == {"mean": 1.0, "note": 3}
    np.testing.assert_array_equal(by_p["a"], q)
    assert by_p["b"] == (4.0,)
    np.testing.assert_array_equal(by_q, np.ones(3))


def test_dtypes_are_numpys():
    x = np.ones(3, np.float32)
    value, g = rg.value_and_grad(lambda v, s: np.sum(np.exp(v) * s))(x, 2.0)
    assert value.dtype == np.float32 and g.dtype == np.float32
    assert rg.grad(lambda v: np.sum(v * x))(np.ones(3)).dtype == np.float64


def test_python_control_flow_on_values():
    def f(x):
        total = x
        while total < 100:
            total = total * x
        return total if x > 1 else -total

    assert rg.grad(f)(3.0) == 5 * 3.0**4


def test_unreached_parameters_get_zeros():
    g = rg.grad(lambda p: np.sum(p["used"] ** 2))({"used": np.ones(2), "idle": np.ones((2, 3), np.float32)})
    assert g["idle"].shape == (2, 3) and g["idle"].dtype == np.float32 and not g["idle"].any()


def test_vjp_and_jacobian():
    a = np.arange(6.0).reshape(2, 3)
    out, pull = rg.vjp(lambda x: a @ x, np.ones(3))
    np.testing.assert_array_equal(out, a.sum(1))
    np.testing.assert_array_equal(pull(np.array([1.0, 0.0]))[0], a[0])
    np.testing.assert_array_equal(pull(np.array([0.0, 1.0]))[0], a[1])
    np.testing.assert_array_equal(rg.jacobian(lambda x: a @ x)(np.ones(3)), a)
    assert rg.jacobian(lambda x: np.outer(x, x))(np.ones(2)).shape == (2, 2, 2)


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit])
def test_jacobian_of_many_outputs_of_some_that_reach_nothing_and_of_none(transform):
    x, p = np.linspace(-1.0, 1.0, 150), {"w": np.arange(1.0, 3.0), "idle": np.ones((2, 2))}

    def f(x, p):
        return {"outer": np.tanh(x)[:, None] * p["w"], "constant": np.ones(3), "empty": x[:0] * 2, "sum": x.sum()}

    by_x, by_p = {}, {}
    for name, (found_x, found_p) in transform(rg.jacobian(f, (0, 1)))(x, p).items():
        by_x[name], by_p[name] = found_x, found_p
    expected = np.einsum("ik,i,j->ijk", np.eye(150), 1 - np.tanh(x) ** 2, p["w"])
    np.testing.assert_allclose(by_x["outer"], expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(by_p["outer"]["w"], np.einsum("i,jk->ijk", np.tanh(x), np.eye(2)), rtol=1e-12, atol=1e-14)
    assert by_p["outer"]["idle"].shape == (150, 2, 2, 2) and not by_p["outer"]["idle"].any()
    assert by_x["constant"].shape == (3, 150) and not by_x["constant"].any()
    assert by_x["empty"].shape == (0, 150) and by_p["empty"]["w"].shape == (0, 2)
    np.testing.assert_array_equal(by_x["sum"], np.ones(150))
    by_x["sum"][:] = 0  # the caller's own


LEAKED = []


@pytest.mark.parametrize(
    "f, x, error, says",
    [
        (lambda x: float(x), 1.0, errors.TracerConversionError, "np.exp instead of math.exp"),
        (lambda x: np.sum(np.array([x, x])), 1.0, errors.TracerConversionError, "np.stack"),
        (lambda x: _assign(x), np.ones(2), errors.WriteError, "x.copy"),
        (lambda x: np.sum(np.roots(x)), np.ones(3), errors.UnsupportedError, "roots are eigenvalues"),
        (lambda x: x, np.ones(3), errors.DifferentiationError, "np.mean"),
        (lambda x: x**2, 3, errors.DifferentiationError, "2.0 instead of 2"),
        (lambda x: np.sum(x), np.array(["a"], object), errors.DifferentiationError, "floating-point"),
        (lambda x: (x, x), 1.0, errors.DifferentiationError, "has_aux"),
        (lambda x: np.sum(x) + LEAKED[0], np.ones(2), errors.LeakedTracerError, "has_aux"),
        (lambda x: np.sum(np.add(x, x, out=np.zeros(2))), np.ones(2), errors.TracerConversionError, "out="),
        (lambda x: np.sum(rg.vmap(lambda y: np.sum(y[y > 0]))(x[None])), np.ones(2), errors.UnsupportedError, "np.where"),
    ],
)
def test_what_cannot_be_traced_says_what_to_write_instead(f, x, error, says):
    if not LEAKED:
        rg.grad(lambda v: LEAKED.append(v) or np.sum(v))(np.ones(2))
    with pytest.raises(error, match=says):
        rg.grad(f)(x)


def test_assignment_into_a_plain_array_says_what_to_write_instead():
    def f(x):
        a = np.zeros(2)
        a[0] = x[0]
        return np.sum(a)

    with pytest.raises(ValueError, match="sequence") as caught:  # NumPy's own words, with ours as their cause
        rg.grad(f)(np.ones(2))
    assert isinstance(caught.value.__cause__, errors.TracerConversionError)
    assert "np.stack" in str(caught.value.__cause__)


def test_argnums_are_positions_each_named_once():
    f = lambda a, b: a * b**2  # noqa: E731
    assert rg.grad(f, np.int64(1))(2.0, 3.0) == 12.0
    assert rg.grad(f, [np.int8(-1), 0])(2.0, 3.0) == (12.0, 9.0)
    for argnums in ("a", 1.0, None, ("b",)):
        for transform in (rg.grad, rg.value_and_grad, rg.jacobian):
            with pytest.raises(errors.DifferentiationError, match="argnums is the position"):
                transform(f, argnums)
    for argnums in ((1, 1), (0, -2)):
        for transform in (rg.grad, rg.jacobian):
            with pytest.raises(errors.DifferentiationError, match="twice"):
                transform(f, argnums)(2.0, 3.0)


@pytest.mark.parametrize("ct", [np.ones(3) * 1j, np.array(["a", "b", "c"])])
def test_a_cotangent_is_of_the_outputs_kind(ct):
    with pytest.raises(errors.DifferentiationError, match="dtype"):
        rg.vjp(np.sin, np.ones(3))[1](ct)
    assert rg.vjp(np.sin, np.zeros(3))[1](np.arange(1, 4))[0].tolist() == [1.0, 2.0, 3.0]


def test_a_ufunc_of_another_library_is_not_called_numpys():
    import scipy.special

    with pytest.raises(errors.UnsupportedError, match=r"not NumPy's\).*dir\(retrograde\.numpy\)"):
        rg.grad(lambda x: np.sum(scipy.special.ellipk(x)))(np.ones(2))
    assert {"exp", "arctan2", "mean", "einsum", "erf"} <= set(dir(rg.numpy))


def _assign(x):
    x[0] = 1.0
    return np.sum(x)


def test_bool_under_jit_names_where():
    with pytest.raises(errors.TracerBoolError, match=r"np\.where"):
        rg.jit(lambda x: x if x > 0 else -x)(1.0)


def test_jit_retraces_and_specializes():
    calls = []

    @rg.jit
    def f(x):
        calls.append(x.shape)
        return x * 2

    for x in (np.ones(3), np.ones(3), np.ones(4), np.ones(3, np.float32)):
        np.testing.assert_array_equal(f(x), x * 2)
    assert calls == [(3,), (4,), (3,)]
    g = rg.jit(lambda x, n: sum(x for _ in range(n)), static_argnums=1)
    assert g(2.0, 3) == 6.0 and g(2.0, 5) == 10.0
    assert rg.jit(lambda x, *, scale: x * scale)(2.0, scale=4.0) == 8.0


def test_jit_takes_strided_read_only_and_empty_inputs():
    f = rg.jit(lambda x: np.sum(x * 2, axis=0))
    a = np.arange(24.0).reshape(4, 6)[::2, ::3]
    np.testing.assert_array_equal(f(a), a.sum(0) * 2)
    b = np.arange(4.0).reshape(2, 2)
    b.flags.writeable = False
    np.testing.assert_array_equal(f(b), b.sum(0) * 2)
    np.testing.assert_array_equal(f(np.zeros((0, 3))), np.zeros(3))


def test_grad_of_jit_and_jit_of_grad():
    f = lambda x: np.sum(np.tanh(x) ** 2)  # noqa: E731
    x = np.linspace(-1, 1, 7)
    plain = rg.grad(f)(x)
    np.testing.assert_allclose(rg.grad(rg.jit(f))(x), plain, rtol=1e-14)
    np.testing.assert_allclose(rg.jit(rg.grad(f))(x), plain, rtol=1e-14)
