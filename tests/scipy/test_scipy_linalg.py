"""scipy.linalg's counterparts: values of SciPy's, derivatives by differences, compiled and in lanes."""

import mpmath
import numpy as np
import pytest
import scipy.linalg as sl
from function_suite import Table, call_with, check, check_gradient, check_lanes, check_second_order, leaves

import retrograde as rg
from retrograde.errors import RetrogradeError
from retrograde.scipy import linalg as S

RNG = np.random.default_rng(43)


def general(*shape):
    return RNG.normal(size=shape) / shape[-1] ** 0.5 + 2 * np.eye(*shape[-2:])


def definite(n):
    x = RNG.normal(size=(n, n))
    return x @ x.T / n + np.eye(n)


A3, A4, TALL, WIDE = general(3, 3), general(4, 4), general(4, 2), general(2, 4)
S3, B3 = definite(3), definite(3)
V3, M32 = RNG.normal(size=3), RNG.normal(size=(3, 2))
SINGLE = A3.astype(np.float32)

TABLE, OF_SCIPY = Table(), {}


def of(name, *args, **kwargs):
    """A case for ours, and SciPy's function for its value."""
    ours, theirs = getattr(S, name), getattr(sl, name)
    title = f"{name}-{len(TABLE.cases)}-{','.join(f'{k}={v}' for k, v in kwargs.items())}"
    TABLE.case(title, lambda *xs: ours(*xs, **kwargs), *args)
    OF_SCIPY[title] = lambda *xs: theirs(*xs, **kwargs)


of("det", A3)
for a in (A3, SINGLE, A3.T):
    of("solve", a, V3.astype(a.dtype))
    of("inv", a)
    of("expm", a)
    of("lu", a)
    of("lu", a, permute_l=True)
of("solve", A3, M32, transposed=True)
of("solve", S3, M32, assume_a="pos")
of("solve", S3, V3, assume_a="pos", lower=True)
for lower in (False, True):
    of("cholesky", S3, lower=lower)
    for trans in (0, 1, "T"):
        of("solve_triangular", A3, M32, trans=trans, lower=lower)
    of("solve_triangular", A3, V3, lower=lower, unit_diagonal=True)
    of("eigh", S3, lower=lower, eigvals_only=True)
    of("eigvalsh", S3, B3, lower=lower)
of("lu", TALL)
of("lu", WIDE)
of("lu_factor", A4)
of("svd", WIDE, compute_uv=False)
of("svdvals", A3)
of("qr", A3)
of("qr", TALL, mode="economic")
of("qr", WIDE, mode="r")
of("pinv", TALL)
of("norm", M32, ord="nuc")
of("expm", 30 * A3)
of("expm", -20.0 * S3)
of("expm", 1e-6 * A3)
of("expm", np.stack([A3, 10 * A3]))
of("expm", np.zeros((3, 3)))
of("expm", np.array([[0.5]]))
of("block_diag", A3, V3, M32)
Z3, ZH = A3 + 1j * general(3, 3), S3 + 1j * (A3 - A3.T)
ZT, Y32 = TALL - 0.6j * TALL[::-1], M32 * (1 - 0.5j)
for a in (Z3, Z3.astype(np.complex64)):
    for name in ("solve", "inv", "expm", "lu", "qr"):
        of(name, a, *([Y32.astype(a.dtype)] if name == "solve" else []))
of("solve", Z3, M32)
of("expm", 20 * Z3)
of("expm", 1j * S3)
of("lu", ZT, permute_l=True)
of("lu_factor", Z3)
of("qr", ZT, mode="economic")
of("pinv", ZT)
of("svdvals", ZT)
for lower in (False, True):
    of("cholesky", ZH, lower=lower)
    of("eigh", ZH, lower=lower, eigvals_only=True)
    of("eigvalsh", ZH, S3 + 0.1 * (ZH - S3), lower=lower)
    of("solve", ZH, Y32, assume_a="pos", lower=lower)
    for trans in (0, 1, 2, "C"):
        of("solve_triangular", Z3, Y32, trans=trans, lower=lower)
of("toeplitz", V3)
of("toeplitz", V3, RNG.normal(size=4))
of("hankel", V3, RNG.normal(size=2))
of("hankel", V3)
of("circulant", V3)

SMOOTH = [p for p in TABLE.smooth() if "p_indices" not in p.id]
LANES = [p for p in SMOOTH if not any(word in p.id for word in ("cholesky", "assume_a", "eig", "solve_tri", "lower"))]


@pytest.mark.parametrize("f, args", TABLE.cases)
@pytest.mark.parametrize("transform", ["eager", "jit"])
def test_the_value_is_scipys(f, args, transform, request):
    title = request.node.callspec.id.removesuffix(f"-{transform}").removeprefix(f"{transform}-")
    expected = [np.asarray(x) for x in leaves(OF_SCIPY[title](*args))]
    found = leaves(rg.jit(f)(*args) if transform == "jit" else rg.vjp(f, *args)[0])
    large = max(1.0, *(float(np.max(np.abs(x), initial=0)) for x in expected))

    def scaled(xs):
        return [x / x.dtype.type(large) if x.dtype.kind in "fc" else x for x in map(np.asarray, xs)]

    check(scaled(found), scaled(expected), 1e-11 if "expm" in title else 1e-12)  # of expm SciPy's is less exact than ours


@pytest.mark.parametrize("f, args", SMOOTH)
def test_the_gradient_is_the_central_difference(f, args):
    check_gradient(f, args, tolerance=3e-6)


@pytest.mark.parametrize("f, args", [p for p in SMOOTH[::3] if "expm" not in p.id])
def test_second_order_is_the_central_difference(f, args):
    check_second_order(f, args)


@pytest.mark.parametrize("f, args", LANES[::2])
def test_vmap_is_a_loop(f, args):
    places = range(len(args))
    rows = [np.stack([np.asarray(x), 1.1 * np.asarray(x)]) for x in args]
    found = leaves(rg.vmap(call_with(f, args, places))(*rows))
    by_hand = [leaves(f(*[row[i] for row in rows])) for i in range(2)]
    check(found, [np.stack([np.asarray(a), np.asarray(b)]) for a, b in zip(*by_hand)], 1e-12)


def test_lanes_of_the_suite_too():
    check_lanes(S.toeplitz, (V3,))


def test_an_exponential_by_more_digits():
    for a in (A3, 5 * A3, 30 * A3):
        with mpmath.workdps(80):
            exact = np.array(mpmath.expm(mpmath.matrix(a.tolist())).tolist(), dtype=float)
        scale = np.max(np.abs(exact))
        for found in (rg.jit(S.expm)(a), S.expm(a)):
            np.testing.assert_allclose(found / scale, exact / scale, atol=3e-15 * np.linalg.norm(a))


def test_the_derivative_of_an_exponential_is_frechets():
    direction = RNG.normal(size=(3, 3))
    for a in (A3, 20 * A3, 1e-3 * A3):
        tangent = rg.jvp(S.expm, (a,), (direction,))[1]
        expected = sl.expm_frechet(a, direction, compute_expm=False)
        np.testing.assert_allclose(tangent, expected, rtol=1e-11, atol=1e-12 * np.max(np.abs(expected)))
    second = rg.jit(rg.hessian(lambda t: np.sum(S.expm(t * A3))))(0.7)
    np.testing.assert_allclose(second, np.sum(A3 @ A3 @ sl.expm(0.7 * A3)), rtol=1e-12)


def test_an_exponential_of_too_large_a_matrix_is_nan():
    assert np.isnan(rg.jit(S.expm)(1e12 * A3)).all()
    assert np.isnan(rg.jit(S.expm)(np.full((2, 2), np.nan))).all()


def test_factors_solve_systems():
    def by_lu(a, b):
        factors = S.lu_factor(a)
        return S.lu_solve(factors, b), S.lu_solve(factors, b, trans=1)

    def by_cholesky(a, b):
        factor = S.cho_factor(a, lower=True)
        return S.cho_solve(factor, b)

    for f, args in ((by_lu, (A3, M32)), (by_lu, (A3, V3)), (by_cholesky, (S3, V3)), (by_cholesky, (S3, M32))):
        check_gradient(f, args)
        check_second_order(f, args)
    def by_all(a, h, b):
        factors = S.lu_factor(a)
        solved = [S.lu_solve(factors, b, trans=trans) for trans in (0, 1, 2)]
        return *solved, *[S.cho_solve(S.cho_factor(h, lower=lower), b) for lower in (False, True)]

    check_gradient(by_all, (Z3, ZH, Y32))
    for x, matrix in zip(rg.jit(by_all)(Z3, ZH, Y32), (Z3, Z3.T, Z3.conj().T, ZH, ZH)):
        np.testing.assert_allclose(matrix @ x, Y32, atol=1e-13)
    x, y = rg.jit(by_lu)(A3, V3)
    np.testing.assert_allclose(A3 @ x, V3, atol=1e-14)
    np.testing.assert_allclose(A3.T @ y, V3, atol=1e-14)
    p, l, u = S.lu(A3, p_indices=True)
    np.testing.assert_allclose(l[p] @ u, A3, atol=1e-15)


def test_generalized_eigenvectors():
    def f(a, b):
        w, v = S.eigh(a, b)
        return w, v**2

    w, v = rg.jit(S.eigh)(S3, B3)
    np.testing.assert_allclose(S3 @ v, B3 @ v * w, atol=1e-13)
    check_gradient(f, (S3, B3))

    def g(a, b):
        w, v = S.eigh(a, b)
        return w, np.abs(v) ** 2

    b = B3 + 0.1j * (A3 - A3.T)
    w, v = rg.jit(S.eigh)(ZH, b)
    np.testing.assert_allclose(ZH @ v, b @ v * w, atol=1e-13)
    check_gradient(g, (ZH, b))


REFUSED = [
    S.sqrtm, S.logm, S.eig, S.schur, lambda x: S.qr(x[:, :1]), lambda x: S.qr(x, pivoting=True), lambda x: S.eigh(x, type=2),
    lambda x: S.solve(x, np.ones(3)), lambda x: S.block_diag(x[None]), lambda x: sl.solve(x, np.ones(2)), lambda x: sl.expm(x),
]  # fmt: skip


@pytest.mark.parametrize("f", REFUSED)
def test_what_has_no_rule_is_refused(f):
    for run in (rg.jit(f), lambda x: rg.vjp(f, x)):
        with pytest.raises((RetrogradeError, ValueError)) as caught:
            run(np.array([[2.0, 1.0], [0.0, 3.0]]))
        assert len(str(caught.value)) > 30


def test_a_singular_triangle():
    a = np.diag([1.0, 0.0])
    assert np.isnan(rg.jit(S.solve_triangular)(a, np.ones(2))).all()
    with pytest.raises(np.linalg.LinAlgError):
        S.solve_triangular(a, np.ones(2))
