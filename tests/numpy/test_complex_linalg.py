"""`numpy.linalg` of complex matrices: values, gradients along real and imaginary directions, lanes and native code."""

import numpy as np
import pytest
from function_suite import Table, check_compiled, check_eager, check_gradient, check_lanes, check_second_order

import retrograde as rg

RNG = np.random.default_rng(61)
L = np.linalg


def draw(*shape):
    return RNG.normal(size=shape) + 1j * RNG.normal(size=shape)


A, B, C, T, V = draw(3, 3) + 2 * np.eye(3), draw(3, 2), draw(2, 4, 4), draw(4, 2), draw(3)
R = RNG.normal(size=(3, 3)) + 2 * np.eye(3)
SINGLE = A.astype(np.complex64)
H, POSITIVE, MANY = A + A.conj().T, A @ A.conj().T + np.eye(3), C @ C.conj().mT + np.eye(4)


def fixed(f):
    """Of vectors whose phase is free: what does not depend on it."""

    def call(*args, **kwargs):
        out = f(*args, **kwargs)
        if len(out) == 2:
            w, v = out
            return w, (v * w[..., None, :]) @ np.conj(np.swapaxes(v, -1, -2)), np.abs(v) ** 2, v * np.conj(v[..., :1, :])
        u, s, vh = out
        return s, (u * s[..., None, :] ** 2) @ vh, np.abs(u) ** 2, np.abs(vh) ** 2, u * np.conj(u[..., :1, :])

    return call


TABLE = Table()
of, case = TABLE.of, TABLE.case
of(np.linalg.solve, A, B)
of(np.linalg.solve, A, V)
of(np.linalg.solve, R, B)
of(np.linalg.solve, A, R)
of(np.linalg.solve, SINGLE, V.astype(np.complex64))
of(np.linalg.solve, C, draw(4, 3))
for f in (np.linalg.inv, np.linalg.det, np.linalg.slogdet, np.linalg.eigvalsh, np.linalg.pinv, np.linalg.svdvals, np.linalg.norm):
    of(f, A)
    of(f, SINGLE)
    of(f, C)
of(np.linalg.eigvalsh, A, UPLO="U")
for x in (POSITIVE, POSITIVE.astype(np.complex64), MANY, np.array([[2.0 + 0j]]), np.zeros((0, 0), complex)):
    of(L.cholesky, x)
    of(L.cholesky, x, upper=True)
    case(f"eigh-{len(TABLE.cases)}", fixed(L.eigh), x)
of(L.cholesky, POSITIVE + np.triu(A, 1) + 1j * np.eye(3))  # what is not read
case("eigh-upper", lambda x: fixed(L.eigh)(x, UPLO="U"), A)
for x in (A, T, T.T, C[:, :, :3], SINGLE, A.T, np.zeros((3, 0), complex)):
    of(L.qr, x)
    of(L.qr, x, mode="r")
    case(f"svd-{len(TABLE.cases)}", lambda x: fixed(L.svd)(x, full_matrices=False), x)
for x in (T, T.T):
    of(np.linalg.pinv, x)
    of(np.linalg.svdvals, x)
    of(np.linalg.matrix_rank, x)
for order in (None, "fro", "nuc", 2, -2, 1, np.inf):
    of(np.linalg.norm, A, ord=order)
for order in (0, 1, 2, 3, np.inf, -np.inf):
    of(np.linalg.norm, V, ord=order)
    of(np.linalg.norm, SINGLE, ord=order, axis=1)
for p in (None, 1, "fro"):
    of(np.linalg.cond, A, p=p)
for n in (-2, 0, 3):
    of(np.linalg.matrix_power, A, n=n)
of(L.pinv, np.outer(V, [1.0, 2j]), rcond=1e-10)
of(L.matrix_rank, H, hermitian=True)
case("lstsq", lambda a, b: L.lstsq(a, b)[:2], T, draw(4))
case("lstsq-matrix", lambda a, b: L.lstsq(a, b, rcond=-1), SINGLE[:, :2], SINGLE)
case("lstsq-wide", lambda a, b: L.lstsq(a, b), T.T, draw(2))
case("lstsq-mixed", lambda a, b: L.lstsq(a, b)[:2], T, RNG.normal(size=4))
case("slogdet of many", lambda a: np.linalg.slogdet(a * 1e-120), C)
case("tensorsolve", lambda a, b: np.linalg.tensorsolve(a.reshape(3, 3), b), A, V)


@pytest.mark.parametrize("f, args", TABLE.cases)
def test_eager(f, args):
    check_eager(f, args, 1e-12)


@pytest.mark.parametrize("f, args", TABLE.cases)
def test_compiled(f, args):
    check_compiled(f, args, 1e-12)


SMOOTH = [p for p in TABLE.smooth() if "rcond" not in p.id]  # of another rank nearby


@pytest.mark.parametrize("f, args", SMOOTH)
def test_gradient(f, args):
    check_gradient(f, args)


@pytest.mark.parametrize("f, args", SMOOTH[::2])
def test_second_order(f, args):
    check_second_order(f, args)


@pytest.mark.parametrize("f, args", [p for p in TABLE.cases[::2] if "cholesky" not in p.id])  # rows in another order
def test_lanes(f, args):
    check_lanes(f, args)


def test_a_singular_matrix_is_an_error_and_nan_where_compiled():
    with pytest.raises(np.linalg.LinAlgError):
        rg.vjp(np.linalg.inv, np.zeros((2, 2), complex))
    assert np.isnan(rg.jit(np.linalg.inv)(np.zeros((2, 2), complex))).all()


@pytest.mark.parametrize("m, n, dtype", [(40, 40, complex), (40, 40, np.complex64), (300, 3, complex), (3, 300, complex)])
def test_of_larger_matrices_too(m, n, dtype):
    a, size = draw(2, m, n).astype(dtype), min(m, n)
    h = a @ a.conj().mT / n + np.eye(m, dtype=dtype)

    def all_of_them(a, h):
        (q, r), (u, s, vh), (w, v), l = L.qr(a), L.svd(a, full_matrices=False), L.eigh(h), L.cholesky(h)
        return (
            q @ r - a, np.conj(q).mT @ q - np.eye(size, dtype=dtype), (u * s[:, None]) @ vh - a,
            (v * w[:, None]) @ np.conj(v.mT) - h,
            l @ np.conj(l.mT) - h, s - L.svdvals(a), w - L.eigvalsh(h), a @ L.pinv(a) @ a - a,
        )  # fmt: skip

    tolerance = 2e-4 if dtype == np.complex64 else 1e-12
    for out in rg.jit(all_of_them)(a, h):
        np.testing.assert_allclose(out, 0, atol=20 * tolerance)


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
def test_equal_values(transform):
    """What reads values only has its derivative, what reads vectors has NaN."""
    one = np.eye(3, dtype=complex)
    turned = np.linalg.qr(A)[0]
    functions = [
        (lambda a: np.sum(L.eigvalsh(a) ** 2), one, 2 * one),
        (lambda a: np.sum(L.svdvals(a)), turned, turned),
        (lambda a: L.norm(a, "nuc"), turned, turned),
        (lambda a: np.sum(L.pinv(a)).real, one, -np.ones((3, 3))),
    ]
    for f, at, expected in functions:
        np.testing.assert_allclose(transform(rg.grad(f))(at), expected, atol=1e-14)

    def by_eigenvectors(a):
        w, v = L.eigh(a)
        return np.sum(np.abs((v * w**2) @ v.conj().T + A) ** 2)

    def by_singular_vectors(a):
        u, s, vh = L.svd(a)
        return np.sum(np.abs((u * s**2) @ vh + A) ** 2)

    for f in (by_eigenvectors, by_singular_vectors):
        assert np.isnan(transform(rg.grad(f))(np.diag([1.0 + 0j, 2.0, 2.0]))).any()
        assert np.isfinite(transform(rg.grad(f))(np.diag([1.0 + 0j, 2.0, 3.0]))).all()


@pytest.mark.parametrize("f", [L.cholesky, L.eigvalsh, lambda a: L.eigh(a)[1], L.svdvals, lambda a: L.svd(a)[2]])
def test_a_matrix_without_an_answer_is_nan_where_compiled_and_no_other_is(f):
    broken = -POSITIVE if f is L.cholesky else np.full((3, 3), np.nan + 0j)
    found = rg.jit(f)(np.stack([POSITIVE, broken]))
    np.testing.assert_allclose(found[0], rg.jit(f)(POSITIVE), rtol=1e-14)
    assert np.isnan(found[1]).all()


def test_a_matrix_that_is_not_positive_definite():
    with pytest.raises(L.LinAlgError):
        rg.vjp(L.cholesky, -POSITIVE)


def test_holomorphic_powers_by_eigenvectors():
    """exp of i times a Hermitian matrix, by its eigenvectors, has the derivative that a sum of powers has."""

    def by_vectors(h):
        w, v = L.eigh(h)
        return np.abs(np.sum(((v * np.exp(0.3j * w)) @ v.conj().T)[:2])) ** 2

    def by_powers(h):
        h = np.tril(h, -1) + np.tril(h, -1).conj().T + np.diag(np.diag(h).real)
        term = total = np.eye(3, dtype=complex)
        for k in range(1, 30):
            term = term @ h * (0.3j / k)
            total = total + term
        return np.abs(np.sum(total[:2])) ** 2

    np.testing.assert_allclose(rg.jit(rg.grad(by_vectors))(H), rg.grad(by_powers)(H), atol=1e-12)
    t = draw(3, 3)
    np.testing.assert_allclose(rg.hvp(by_vectors, (H,), (t,)), rg.hvp(by_powers, (H,), (t,)), atol=1e-11)
