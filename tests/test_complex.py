"""Complex numbers through every transform: the convention at the public edge, promotion, errors, native code."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import retrograde as rg
from retrograde import optim
from retrograde.errors import CheckError, DataError, DifferentiationError, GraphTypeError, ModelError, UnsupportedError

RNG = np.random.default_rng(17)
Z = RNG.normal(size=(2, 3)) + 1j * RNG.normal(size=(2, 3))
A = RNG.normal(size=(3, 3)) + 1j * RNG.normal(size=(3, 3))
X = RNG.normal(size=3)


def loss(z):
    return np.sum(np.abs(np.tanh(z @ A) - 1j) ** 2)


def by_parts(f, z, step=1e-6):
    """dL/dRe + i dL/dIm by central differences, element by element."""
    found = np.zeros_like(z)
    for index in np.ndindex(z.shape):
        for unit in (1, 1j):
            move = np.zeros_like(z)
            move[index] = step * unit
            found[index] += unit * (f(z + move) - f(z - move)) / (2 * step)
    return found


LOSSES = {
    "tanh": loss,
    "modulus": lambda z: np.sum(np.abs(z)),
    "parts": lambda z: np.sum(z.real**2 * z.imag),
    "conjugate": lambda z: np.sum((z * np.conj(z)).real ** 2),
    "angle": lambda z: np.sum(np.angle(z) * np.arange(1.0, 4.0)),
    "sign": lambda z: np.sum((np.sign(z) * (1 + 2j)).real),
    "power": lambda z: np.sum(np.abs(z**3 / (z + 2) ** (0.5 + 1j))),
    "variance": lambda z: np.var(z) + np.std(z) + np.abs(np.mean(z)),
    "inner": lambda z: np.vdot(z[0], z[1]).imag + np.abs(np.einsum("ij,jk,lk->", z, A, np.conj(z))) ** 2,
    "where": lambda z: np.sum(np.where(z.real > 0, z * z, 1j * z).imag),
    "prod": lambda z: np.abs(np.prod(z)),
    "written": lambda z: np.sum(np.abs(rg.at(z)[0].multiply(2j)[:, ::-1].T) ** 2),
    "fft": lambda z: np.sum(np.abs(np.fft.fft(z, axis=0) + np.fft.ifft(z)) ** 3),
}


@pytest.mark.parametrize("f", LOSSES.values(), ids=LOSSES)
def test_gradient_is_of_steepest_ascent(f):
    expected = by_parts(f, Z)
    for gradient in (rg.grad(f), rg.jit(rg.grad(f))):
        found = gradient(Z)
        assert found.dtype == np.complex128 and found.shape == Z.shape
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    t = RNG.normal(size=Z.shape) + 1j * RNG.normal(size=Z.shape)
    for push in (rg.jvp, rg.jit(lambda p, t: rg.jvp(f, p, t))):
        along = push(f, (Z,), (t,))[1] if push is rg.jvp else push((Z,), (t,))[1]
        np.testing.assert_allclose(along, np.sum((np.conj(expected) * t).real), rtol=1e-6, atol=1e-7)
    rg.check(f)(Z)


@pytest.mark.parametrize("f", LOSSES.values(), ids=LOSSES)
def test_second_order_is_that_of_differences(f):
    t = RNG.normal(size=Z.shape) + 1j * RNG.normal(size=Z.shape)
    (found,) = rg.hvp(f, (Z,), (t,))
    step = 1e-6
    expected = (rg.grad(f)(Z + step * t) - rg.grad(f)(Z - step * t)) / (2 * step)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * (1 + np.max(np.abs(expected))))


@pytest.mark.parametrize("f", LOSSES.values(), ids=LOSSES)
def test_lanes_are_a_loop(f):
    many = np.stack([Z, Z[::-1] * 1j])
    found = rg.vmap(rg.value_and_grad(f))(many)
    for got, expected in zip(found, zip(*[rg.value_and_grad(f)(z) for z in many])):
        np.testing.assert_allclose(got, np.stack(expected), rtol=1e-12, atol=1e-12)


def test_single_precision_stays():
    z = Z.astype(np.complex64)
    found = rg.jit(rg.grad(lambda z: np.sum(np.abs(z * 2j + 1.0) ** 2)))(z)
    assert found.dtype == np.complex64
    np.testing.assert_allclose(found, 8 * z - 4j, rtol=1e-5, atol=1e-5)


def test_a_real_argument_has_a_real_gradient():
    def f(x):
        return np.sum(np.abs(np.exp(1j * x) + A @ x) ** 2)

    found = rg.grad(f)(X)
    assert found.dtype == np.float64
    step = 1e-6
    expected = [(f(X + step * e) - f(X - step * e)) / (2 * step) for e in np.eye(3)]
    np.testing.assert_allclose(found, expected, rtol=1e-7)
    np.testing.assert_array_equal(rg.grad(lambda x: np.sum(np.abs(x.astype(complex)) ** 2))(X), 2 * X)


def test_holomorphic_functions_have_their_complex_derivative():
    for f, derivative in ((np.exp, np.exp), (np.sin, np.cos), (lambda z: z**3, lambda z: 3 * z * z)):
        z = np.complex128(0.3 + 0.7j)
        np.testing.assert_allclose(rg.grad(f, holomorphic=True)(z), derivative(z), rtol=1e-14)
        for jacobian in (rg.jacrev, rg.jacfwd):
            np.testing.assert_allclose(jacobian(f, holomorphic=True)(Z[0]), np.diag(derivative(Z[0])), rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(rg.jvp(f, (z,), (2j,))[1], 2j * derivative(z), rtol=1e-14)
        step = 1e-20  # of a function that is real on the real line, the derivative without subtraction
        np.testing.assert_allclose(f(0.4 + step * 1j).imag / step, rg.grad(f)(0.4), rtol=1e-14)


def test_jacobians_of_complex_values():
    def wave(x):
        return np.exp(1j * x) * x[0]

    step = 1e-6
    expected = np.stack([(wave(X + step * e) - wave(X - step * e)) / (2 * step) for e in np.eye(3)], axis=1)
    for jacobian in (rg.jacrev, rg.jacfwd):
        np.testing.assert_allclose(jacobian(wave)(X), expected, atol=1e-9)
        rows = jacobian(lambda z: np.stack([np.sum(np.abs(z) ** 2), np.sum(z.imag)]))(Z[0])
        np.testing.assert_allclose(rows, [2 * Z[0], [1j, 1j, 1j]], atol=1e-14)
        np.testing.assert_allclose(jacobian(lambda x: np.exp(1j * x))(0.5), 1j * np.exp(0.5j), rtol=1e-14)
        np.testing.assert_allclose(jacobian(np.exp, holomorphic=True)(0.5j), np.exp(0.5j), rtol=1e-14)
        with pytest.raises(DifferentiationError, match="holomorphic=True"):
            jacobian(lambda z: z * 2)(Z[0])
        with pytest.raises(DifferentiationError, match="holomorphic=True wants complex"):
            jacobian(lambda x: x * 1j, holomorphic=True)(X)


def test_cotangents_are_conjugate_to_the_transpose():
    out, pull = rg.vjp(lambda z: z @ A, Z)
    ct = RNG.normal(size=out.shape) + 1j * RNG.normal(size=out.shape)
    np.testing.assert_allclose(pull(ct)[0], ct @ A.conj().T, rtol=1e-13)


def test_a_complex_loss_is_refused():
    with pytest.raises(DifferentiationError, match="real loss"):
        rg.grad(lambda z: np.sum(z))(Z)
    with pytest.raises(DifferentiationError, match="real loss"):
        rg.jit(rg.grad(lambda x: np.sum(x * 1j)))(X)


def test_a_rule_of_ones_own_is_in_the_public_convention():
    @rg.custom_pullback
    def square(z):
        return z * z

    @square.def_pullback
    def rule(ct, out, z):
        return (ct * np.conj(2 * z),)

    def f(g):
        return lambda z: np.sum(np.abs(g(z) - 1) ** 2) + np.sum(g(z * 1j).imag)

    expected = rg.grad(f(lambda z: z * z))(Z)
    np.testing.assert_allclose(rg.grad(f(square))(Z), expected, rtol=1e-13)
    np.testing.assert_allclose(rg.jit(rg.grad(f(square)))(Z), expected, rtol=1e-13)
    t = Z[::-1] * 1j
    np.testing.assert_allclose(rg.jvp(square, (Z,), (t,))[1], 2 * Z * t, rtol=1e-13)
    np.testing.assert_allclose(rg.vmap(rg.grad(f(square)))(Z), expected, rtol=1e-13)


def test_check_finds_a_wrong_conjugate():
    @rg.custom_pullback
    def square(z):
        return z * z

    @square.def_pullback
    def rule(ct, out, z):
        return (ct * 2 * z,)

    with pytest.raises(CheckError, match="imaginary part"):
        rg.check(lambda z: np.sum(np.abs(square(z)) ** 2))(Z)


def test_checkpoints_loops_and_branches():
    def step(z):
        return np.sin(z) * (0.5 + 0.5j) + np.conj(z) * 0.1

    def looped(z):
        z, seen = rg.scan(lambda z, k: (step(z) * k, np.abs(z)), z, np.array([1j, 0.5 + 0j, 1.2 + 0.1j]))
        z = rg.cond(np.sum(seen) > 0, lambda z: z * 1j, lambda z: z, z)
        return np.sum(np.abs(rg.checkpoint(step)(z)) ** 2) + np.sum(seen)

    def unrolled(z):
        total = 0.0
        for k in (1j, 0.5, 1.2 + 0.1j):
            total, z = total + np.sum(np.abs(z)), step(z) * k
        return np.sum(np.abs(step(z * 1j)) ** 2) + total

    expected = rg.value_and_grad(unrolled)(Z)
    for call in (rg.value_and_grad(looped), rg.jit(rg.value_and_grad(looped))):
        for got, want in zip(call(Z), expected):
            np.testing.assert_allclose(got, want, rtol=1e-12)
    t = Z[::-1] + 1j
    np.testing.assert_allclose(rg.jvp(looped, (Z,), (t,))[1], rg.jvp(unrolled, (Z,), (t,))[1], rtol=1e-12)


def test_constants_tell_programs_apart():
    """The imaginary part of a number in the code is part of what code on disk is found by."""
    for number in (1j, 2j, 1 + 1j, -0.0j):
        np.testing.assert_array_equal(rg.jit(lambda z, number=number: z * number)(Z), Z * number)


def test_casts():
    with pytest.warns(np.exceptions.ComplexWarning):
        found = rg.jit(lambda z: z.astype(float) * 2)(Z)
    np.testing.assert_array_equal(found, Z.real * 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(rg.jit(lambda z: (z * [1, 0, 1]).astype(bool))(Z), [[True, False, True]] * 2)
    with pytest.raises(GraphTypeError, match="cut it down"):
        rg.jit(lambda x, z: rg.at(x)[0].set(z[0, 0]))(X, Z)
    with pytest.raises(GraphTypeError):
        rg.jit(lambda x: x.copy().__iadd__(1j))(X)


@pytest.mark.parametrize("call", [
    np.floor, np.arctan2, np.max, np.argmax, lambda z: np.maximum(z, 1), lambda z: z < 1, lambda z: z // 2, lambda z: z % 2,
    np.real_if_close, np.cbrt, np.hypot, rg.numpy.sigmoid, rg.numpy.erf, lambda z: np.clip(z, 0, 1), np.logaddexp,
    lambda z: rg.at(z)[0].max(1.0),
])  # fmt: skip
def test_what_has_no_meaning_is_refused(call):
    with pytest.raises((GraphTypeError, UnsupportedError)):
        rg.jit(lambda z: call(z, z) if call in (np.arctan2, np.hypot, np.logaddexp) else call(z))(Z)


def test_what_would_lose_the_imaginary_part_is_refused(tmp_path):
    with pytest.raises(UnsupportedError, match="two real arrays"):
        rg.random.normal(rg.random.key(0), (3,), np.complex64)
    net = rg.nn.Linear(2, 2).init(0)
    with pytest.raises(ModelError, match="complex"):
        rg.save(tmp_path / "net", net.replace(weight=net.weight + 1j))
    with pytest.raises(DataError):
        rg.fit(rg.nn.Linear(3, 3), (Z, Z.real), loss="mse", epochs=1)
    with pytest.raises(GraphTypeError, match="imaginary"):
        rg.jit(lambda z: np.sum(z, dtype=float))(Z)


LARGE = [1e300 + 1e300j, 1e-300 + 1e-300j, 1e308 - 1e308j, 1e-320 + 0j]


@pytest.mark.parametrize("z", LARGE)
def test_absolute_values_and_quotients_do_not_overflow(z):
    z = np.array([z] * 40)
    with np.errstate(all="ignore"):
        for f in (np.abs, lambda z: z / z, lambda z: 1 / z, np.sqrt, np.log, np.angle):
            np.testing.assert_allclose(rg.jit(f)(z), f(z), rtol=1e-14)


CORNERS = np.array([complex(a, b) for a in (0.0, -0.0, 1.0, -2.0, np.inf, -np.inf) for b in (0.0, -0.0, 1.5)])


@pytest.mark.parametrize("f", [np.exp, np.sqrt, np.log, np.abs, np.angle, np.conj, np.square, np.negative])
def test_corners(f):
    with np.errstate(all="ignore"):
        expected = f(CORNERS)
        found = rg.jit(f)(CORNERS)
    tell = np.isfinite(expected) | (f is np.abs) | (f is np.log)
    np.testing.assert_allclose(found.real[tell], expected.real[tell], rtol=1e-14)
    np.testing.assert_allclose(found.imag[tell], expected.imag[tell], rtol=1e-14)


def test_branch_cuts_are_numpys():
    sides = np.array([complex(a, b) for a in (-3.0, -0.5, 0.5, 3.0) for b in (0.0, -0.0)])
    sides = np.concatenate([sides, 1j * sides.conj()])
    for f in (np.sqrt, np.log, np.arcsin, np.arccos, np.arctan, np.arcsinh, np.arccosh, np.arctanh):
        np.testing.assert_allclose(rg.jit(f)(sides), f(sides), rtol=1e-13, atol=1e-15, err_msg=f.__name__)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 2), (64, 33, 17), (130, 70, 90)])
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_products(shape, dtype):
    m, k, n = shape
    x, y = ((RNG.normal(size=s) + 1j * RNG.normal(size=s)).astype(dtype) for s in ((m, k), (k, n)))
    found = rg.jit(lambda x, y: (x @ y, np.conj(x).T @ x, np.einsum("ij,jk->ki", x, y)))(x, y)
    for got, expected in zip(found, (x @ y, np.conj(x).T @ x, (x @ y).T)):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, expected, rtol=20 * np.sqrt(k) * np.finfo(dtype).eps, atol=30 * k * np.finfo(dtype).eps)


def test_the_same_bits_on_any_number_of_threads():
    z = RNG.normal(size=(300, 200)) + 1j * RNG.normal(size=(300, 200))
    run = rg.jit(lambda z: (np.sum(np.exp(z), axis=1), z.T @ np.conj(z), np.fft.fft(z)))
    found = []
    try:
        for count in (1, 2):
            rg.set_threads(count)
            found.append(run(z))
    finally:
        rg.set_threads(None)
    for a, b in zip(*found):
        np.testing.assert_array_equal(a, b)


OPTIMIZERS = [optim.SGD(0.2), optim.SGD(0.1, momentum=0.5, nesterov=True), optim.Adam(0.05), optim.AdamW(0.05),
              optim.RMSprop(0.02), optim.Adagrad(0.5)]  # fmt: skip


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_a_complex_network_trains(optimizer, dtype):
    rng = np.random.default_rng(3)

    def draw(*shape, size=1.0):
        return (size * (rng.normal(size=shape) + 1j * rng.normal(size=shape))).astype(dtype)

    x = draw(64, 2)
    y = np.exp(1j * np.angle(x[:, :1] * x[:, 1:])).astype(dtype)
    params = {"w1": draw(2, 8, size=0.5), "b1": draw(8, size=0.1), "w2": draw(8, 1, size=0.3)}

    def loss(p):
        h = x @ p["w1"] + p["b1"]
        h = h * np.tanh(np.abs(h)) / (np.abs(h) + 1e-3)  # squashed without touching the angle
        return np.mean(np.abs(h * h @ p["w2"] - y) ** 2)

    @rg.jit
    def train(p, state, steps):
        def step(carry, _):
            p, state = carry
            value, g = rg.value_and_grad(loss)(p)
            return optimizer.update(g, state, p), value

        return rg.scan(step, (p, state), steps)

    (found, _), values = train(params, optimizer.init(params), np.arange(150))
    assert values[-1] < 0.6 * values[0]
    assert all(found[name].dtype == dtype for name in params)


def test_adam_is_optax_s():
    """The second moment is |g|**2; a step turns with the plane."""
    optax = pytest.importorskip("optax")
    import jax

    with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
        theirs, ours = optax.adam(0.1), optim.Adam(0.1)
        p = q = Z
        state, other = ours.init(p), theirs.init(q)
        for k in range(3):
            g = np.cos(Z + k)
            p, state = ours.update(g, state, p)
            step, other = theirs.update(g, other, q)
            q = np.asarray(q + step)
    np.testing.assert_allclose(p, q, rtol=1e-12)
    turned, _ = optim.Adam(0.1).update(1j * Z, optim.Adam(0.1).init(Z), 1j * Z)
    straight, _ = optim.Adam(0.1).update(Z, optim.Adam(0.1).init(Z), Z)
    np.testing.assert_allclose(turned, 1j * straight, rtol=1e-14)


def test_agrees_with_torch():
    torch = pytest.importorskip("torch")
    z = torch.tensor(Z, requires_grad=True)
    torch.sum(torch.abs(torch.tanh(z @ torch.tensor(A)) - 1j) ** 2).backward()
    np.testing.assert_allclose(rg.grad(loss)(Z), z.grad.numpy(), rtol=1e-12)


STEPS = {
    "*": lambda a, b: (b, a * b), "+": lambda a, b: (b, a + b), "-": lambda a, b: (b - a, a),
    "/": lambda a, b: (a / (3 + b * b), b), "exp": lambda a, b: (np.exp(a * 0.1), b), "sin": lambda a, b: (np.sin(a * 0.2), b),
    "conj": lambda a, b: (b, np.conj(a)), "abs": lambda a, b: (np.abs(a), b), "real": lambda a, b: (b, a.real),
    "sqrt": lambda a, b: (np.sqrt(a * a + 2), b), "sum": lambda a, b: (a - np.mean(a, axis=0) * 0.3, b),
    "T": lambda a, b: (b.T, a), "@": lambda a, b: (a @ b / a.shape[0], a), "1j": lambda a, b: (a * 1j, b),
}  # fmt: skip


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(st.lists(st.sampled_from(list(STEPS)), max_size=8), st.integers(0, 2**16), st.sampled_from([3, 30]))
def test_random_programs(steps, seed, n):
    """In straight code and in loop nests."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.3, 1.0, (n, n)) + 1j * rng.uniform(-1, 1, (n, n))
    y = rng.uniform(0.3, 1.0, (n, n))

    def program(a, b):
        for s in steps:
            a, b = STEPS[s](a, b)
        return a, b

    def scalar(x, y):
        a, b = program(x, y)
        return np.sum(np.abs(a - 0.5) ** 2) + np.sum(np.abs(b * (1 + 1j)) ** 2)

    with np.errstate(all="ignore"):
        if not all(np.all(np.abs(v) < 1e4) for v in program(x, y)):
            return
        for got, expected in zip(rg.jit(program)(x, y), program(x, y)):
            assert got.dtype == expected.dtype
            np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-11)
        grads = rg.jit(rg.grad(scalar, argnums=(0, 1)))(x, y)
        t = rng.normal(size=(n, n)) + 1j * rng.normal(size=(n, n)), rng.normal(size=(n, n))
        along = rg.jvp(scalar, (x, y), t)[1]
        step = 1e-6
        ahead, behind = (scalar(x + s * t[0], y + s * t[1]) for s in (step, -step))
    found = sum(np.sum((np.conj(g) * d).real) for g, d in zip(grads, t))
    size = 1 + sum(np.sum(np.abs(g * d)) for g, d in zip(grads, t))
    assert abs(found - along) <= 1e-10 * size
    assert abs(found - (ahead - behind) / (2 * step)) <= 1e-4 * size
