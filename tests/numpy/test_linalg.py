"""numpy.linalg on traced arrays: the suite's checks over one table, then what is particular to matrices."""

import numpy as np
import pytest
from function_suite import Table, check_compiled, check_eager, check_gradient, check_lanes, check_second_order
from hypothesis import given, settings
from hypothesis import strategies as st

import retrograde as rg
from retrograde.errors import RetrogradeError

RNG = np.random.default_rng(41)
L = np.linalg


def general(*shape):
    """Well conditioned: nearer to the identity than to singular."""
    return RNG.normal(size=shape) / shape[-1] ** 0.5 + 2 * np.eye(*shape[-2:])


def definite(*shape):
    x = RNG.normal(size=shape)
    return x @ np.swapaxes(x, -1, -2) / shape[-1] + np.eye(shape[-1])


def fixed(f):
    """Of vectors that may change sign: their products that do not."""

    def call(*args, **kwargs):
        out = f(*args, **kwargs)
        if len(out) == 2:
            w, v = out
            return w, (v * w[..., None, :]) @ np.swapaxes(v, -1, -2), v**2
        u, s, vh = out
        return s, (u * s[..., None, :] ** 2) @ vh, u**2, vh**2

    call.__name__ = f.__name__
    return call


A2, A3, A5, B3 = general(2, 2), general(3, 3), general(5, 5), general(4, 3, 3)
S3, S5, SB = definite(3, 3), definite(5, 5), definite(2, 3, 3)
TALL, WIDE, MANY = general(5, 3), general(3, 5), general(2, 2, 4, 3)
V3, M32 = RNG.normal(size=3), RNG.normal(size=(3, 2))
EMPTY, ONE = np.zeros((0, 0)), np.array([[2.5]])
STRIDED = general(7, 6)[1::2, ::2].T
FROZEN = general(3, 3)
FROZEN.flags.writeable = False

TABLE = Table()
of, case = TABLE.of, TABLE.case
for a in (A2, A3, A5, B3, ONE, STRIDED, FROZEN, A3.T, A3.astype(np.float32), EMPTY):
    of(L.inv, a, name=f"{a.shape}{a.dtype}{len(TABLE.cases)}")
    of(L.det, a)
    of(L.slogdet, a)
of(L.inv, np.array([[1, 2], [3, 5]]))
of(L.det, np.array([[1, 2], [3, 5]]))
of(L.det, -A3)
of(L.slogdet, -B3)
of(L.solve, A3, V3)
of(L.solve, A3, M32)
of(L.solve, B3, M32)
of(L.solve, A3, RNG.normal(size=(4, 3, 2)))
of(L.solve, B3[:, None], RNG.normal(size=(2, 3, 1)))
of(L.solve, A3.T, V3)
of(L.solve, A3.astype(np.float32), V3.astype(np.float32))
of(L.solve, A3.astype(np.float32), V3)
of(L.solve, np.array([[2, 1], [1, 3]]), np.array([1, 2]))
of(L.solve, EMPTY, np.zeros((0, 2)))
of(L.solve, A3, np.zeros((3, 0)))
of(L.solve, STRIDED, V3[::-1])
of(L.tensorsolve, general(6, 6).reshape(2, 3, 6), RNG.normal(size=(2, 3)))
of(L.tensorsolve, general(6, 6).reshape(6, 2, 3).transpose(1, 0, 2), RNG.normal(size=6), axes=(0,))
of(L.tensorinv, general(6, 6).reshape(2, 3, 6), ind=2)
of(L.tensorinv, general(6, 6).reshape(6, 3, 2), ind=1)
for s in (S3, S5, SB, ONE, EMPTY, S3.astype(np.float32)):
    of(L.cholesky, s)
    of(L.cholesky, s, upper=True)
    of(L.eigvalsh, s)
    case(f"eigh-{len(TABLE.cases)}", fixed(L.eigh), s)
of(L.cholesky, S3 + np.triu(np.ones((3, 3)), 1))
of(L.eigvalsh, A3, "U")
of(L.eigvalsh, A3, UPLO="L")
case("eigh-upper", lambda x: fixed(L.eigh)(x, UPLO="U"), A3)
for a in (A3, TALL, WIDE, MANY, np.swapaxes(MANY, -1, -2), ONE, TALL.astype(np.float32), np.zeros((3, 0))):
    of(L.qr, a)
    of(L.qr, a, mode="r")
    of(L.svdvals, a)
    of(L.svd, a, compute_uv=False)
    case(f"svd-{len(TABLE.cases)}", lambda x: fixed(L.svd)(x, full_matrices=False), a)
    of(L.pinv, a)
of(L.qr, WIDE, mode="complete")
case("svd-square", fixed(L.svd), A3)
of(L.pinv, np.outer(V3, [1.0, 2.0]) + 0.0, rcond=1e-10)
of(L.pinv, MANY, rcond=np.full((2, 2), 1e-10))
of(L.pinv, TALL, rtol=1e-8)
case("lstsq", lambda a, b: L.lstsq(a, b)[:2], TALL, RNG.normal(size=5))
case("lstsq-matrix", lambda a, b: L.lstsq(a, b, rcond=-1)[:2], TALL, RNG.normal(size=(5, 2)))
case("lstsq-wide", lambda a, b: L.lstsq(a, b), WIDE, RNG.normal(size=3))
case("lstsq-all", lambda a, b: L.lstsq(a, b), TALL.astype(np.float32), RNG.normal(size=5).astype(np.float32))
for ord in (None, 0, 1, 2, 3, -1, -2, 0.5, np.inf, -np.inf):
    of(L.norm, V3, ord)
    of(L.norm, MANY, ord, axis=1, keepdims=True)
    of(L.vector_norm, M32, ord=2 if ord is None else ord, axis=0)
for ord in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
    of(L.norm, M32, ord)
    of(L.norm, MANY, ord, axis=(0, 2), keepdims=ord == 1)
    of(L.norm, MANY, ord, axis=(-1, 1))
    of(L.matrix_norm, MANY, ord="fro" if ord is None else ord, keepdims=ord == 2)
of(L.norm, MANY)
of(L.norm, MANY, keepdims=True)
of(L.norm, np.arange(4))
of(L.norm, V3.astype(np.float32), 3)
of(L.norm, M32.astype(np.float32), "nuc")
of(L.vector_norm, MANY)
of(L.vector_norm, MANY, axis=(0, 2), keepdims=True)
for p in (None, 2, -2, 1, -1, "fro", "nuc", np.inf, -np.inf):
    of(L.cond, A3 if p != 2 else B3, p)
of(L.cond, TALL)
of(L.matrix_rank, np.outer(V3, V3) + 0.0)
of(L.matrix_rank, MANY)
of(L.matrix_rank, S3, hermitian=True)
of(L.matrix_rank, A3, tol=2.0)
of(L.matrix_rank, B3, tol=np.full(4, 2.0))
of(L.matrix_rank, A3, rtol=0.5)
of(L.matrix_rank, V3)
for n in (0, 1, 2, 3, 7, -1, -3):
    of(L.matrix_power, A3 if n != 2 else B3, n)
of(L.matrix_power, np.array([[1, 1], [1, 0]]), 9)
case("multi_dot", lambda *xs: L.multi_dot(xs), M32, RNG.normal(size=(2, 6)), RNG.normal(size=(6, 4)), RNG.normal(size=4))
case("multi_dot-vectors", lambda *xs: L.multi_dot(xs), V3, M32, RNG.normal(size=2))
case("multi_dot-two", lambda *xs: L.multi_dot(xs), M32, RNG.normal(size=(2, 3)))

SMOOTH = [p for p in TABLE.smooth() if "rcond=1e-10" not in p.id]  # of another rank nearby
FEW = SMOOTH[::3]
LANES = [p for p in FEW if "cholesky" not in p.id]  # rows in another order are not definite


@pytest.mark.parametrize("f, args", TABLE.cases)
def test_traced_eagerly_it_is_numpys(f, args):
    check_eager(f, args, tolerance=2e-13)


@pytest.mark.parametrize("f, args", TABLE.cases)
def test_compiled_it_is_numpys(f, args):
    check_compiled(f, args, tolerance=2e-13)


@pytest.mark.parametrize("f, args", SMOOTH)
def test_the_gradient_is_the_central_difference(f, args):
    check_gradient(f, args)


@pytest.mark.parametrize("f, args", FEW)
def test_second_order_is_the_central_difference(f, args):
    check_second_order(f, args)


@pytest.mark.parametrize("f, args", LANES)
def test_vmap_is_a_loop(f, args):
    check_lanes(f, args)


BIG = [(17, np.float64, 1e-12), (33, np.float64, 1e-12), (33, np.float32, 2e-4)]


@pytest.mark.parametrize("n, dtype, tolerance", BIG)
def test_of_larger_matrices_too(n, dtype, tolerance):
    a, b = general(2, n, n).astype(dtype), RNG.normal(size=(2, n, 3)).astype(dtype)
    s, one = definite(2, n, n).astype(dtype), np.eye(n, dtype=dtype)

    def all_of_them(a, b, s):
        (q, r), (u, d, vh), (w, v) = L.qr(a), L.svd(a), L.eigh(s)
        return (
            a @ L.solve(a, b) - b, L.inv(a) @ a - one, q @ r - a, (u * d[:, None]) @ vh - a, (v * w[:, None]) @ v.mT - s,
            L.cholesky(s) @ L.cholesky(s).mT - s, q.mT @ q - one, a @ L.pinv(a) - one,
            L.slogdet(a)[1] - np.log(np.abs(L.det(a))),
        )  # fmt: skip

    for out in rg.jit(all_of_them)(a, b, s):
        assert out.dtype == dtype
        np.testing.assert_allclose(out, 0, atol=tolerance * 5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 6), st.integers(0, 6), st.sampled_from([(), (1,), (2, 3), (0,)]), st.booleans(), st.integers(0, 10**6))
def test_any_shape_and_layout(m, n, batch, turned, seed):
    a = np.random.default_rng(seed).normal(size=(*batch, n, m) if turned else (*batch, m, n))
    a = np.swapaxes(a, -1, -2) if turned else a
    q, r = rg.jit(L.qr)(a)
    np.testing.assert_allclose(q @ r, a, atol=1e-13)
    u, s, vh = rg.jit(lambda x: L.svd(x, full_matrices=False))(a)
    np.testing.assert_allclose((u * s[..., None, :]) @ vh, a, atol=1e-13)
    np.testing.assert_allclose(rg.jit(L.pinv)(a), L.pinv(a), atol=1e-9)


def test_a_matrix_without_an_answer_raises_and_compiled_gives_nan_for_it_alone():
    good, bad = np.diag([1.0, 2.0]), np.diag([1.0, 0.0])
    cases = [
        (L.inv, good, bad),
        (lambda a: L.solve(a, np.ones((2, 1))), good, bad),
        (L.cholesky, good, -good),
        (lambda a: L.eigh(a)[1], good, np.full((2, 2), np.nan)),
        (L.svdvals, good, np.full((2, 2), np.nan)),
    ]
    for f, fine, broken in cases:
        both = np.stack([fine, broken])
        found = rg.jit(f)(both)
        np.testing.assert_allclose(found[0], f(fine), rtol=1e-15)
        assert np.isnan(found[1]).all()
        if f is not L.svdvals and not np.isnan(broken).any():
            with pytest.raises(L.LinAlgError):
                rg.vjp(f, both)


def test_determinants_of_a_singular_matrix():
    a = np.array([[1.0, 2.0], [2.0, 4.0]])
    for run in (rg.jit, lambda f: lambda x: rg.vjp(f, x)[0]):
        assert run(L.det)(a) == 0.0
        sign, size = run(L.slogdet)(a)
        assert (sign, size) == (0.0, -np.inf)


SINGULAR = [
    np.array([[1.0, 2.0], [2.0, 4.0]]), np.array([[0.0, 1.0], [0.0, 0.0]]), np.zeros((1, 1)), np.zeros((3, 3)),
    np.diag([0.0, 2.0, 3.0]), np.diag([0.0, 0.0, 3.0]), np.eye(4, k=1), A5 * (np.arange(5) != 2),
    A3 * (np.arange(3) != 0) * (1 + 2j),
]  # fmt: skip


@pytest.mark.parametrize("a", SINGULAR, ids=lambda a: f"{a.shape}")
def test_the_gradient_of_a_determinant_at_a_singular_matrix_is_the_cofactors(a):
    n = len(a)
    minors = [[np.delete(np.delete(a, i, 0), j, 1) for j in range(n)] for i in range(n)]
    expected = np.array([[(-1) ** (i + j) * L.det(minors[i][j]) for j in range(n)] for i in range(n)])
    for transform in (lambda f: f, rg.jit):
        gradient = transform(rg.grad(L.det, holomorphic=a.dtype == complex))
        np.testing.assert_allclose(gradient(a), expected, atol=1e-14 * (1 + np.max(np.abs(expected))))
        tangent = transform(lambda t: rg.jvp(L.det, (a,), (t,))[1])(A5[:n, :n].astype(a.dtype))
        np.testing.assert_allclose(tangent, np.sum(expected * A5[:n, :n]), atol=1e-13)


def test_of_a_batch_of_determinants_each_has_its_own_way():
    a = np.stack([A2, SINGULAR[0], np.zeros((2, 2))])
    expected = [L.det(A2) * L.inv(A2).T, [[4.0, -2.0], [-2.0, 1.0]], np.zeros((2, 2))]
    for gradient in (rg.jit(rg.grad(lambda x: np.sum(L.det(x)))), rg.vmap(rg.grad(L.det)), rg.jit(rg.vmap(rg.grad(L.det)))):
        np.testing.assert_allclose(gradient(a), expected, atol=1e-14)
    second = rg.jit(rg.vmap(rg.hessian(L.det)))(a)
    np.testing.assert_allclose(second[0].reshape(4, 4), np.fliplr(np.diag([1.0, -1.0, -1.0, 1.0])), atol=1e-14)
    assert np.isnan(second[1:]).all()
    with pytest.raises(L.LinAlgError):
        rg.hessian(L.det)(a[1])


def test_an_ill_conditioned_system_is_solved_as_numpy_does():
    n = 8
    hilbert = 1.0 / (np.arange(n)[:, None] + np.arange(n) + 1)
    b = hilbert @ np.ones(n)
    x = rg.jit(L.solve)(hilbert, b)
    assert np.linalg.norm(hilbert @ x - b) < 1e-14
    np.testing.assert_allclose(rg.jit(L.cond)(hilbert), L.cond(hilbert), rtol=1e-5)


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
def test_equal_eigenvalues_do_no_harm_to_what_does_not_depend_on_vectors(transform):
    x = np.eye(3)
    functions = [
        (lambda a: np.sum(L.eigvalsh(a) ** 2), 2 * np.eye(3)),
        (lambda a: np.sum(np.exp(L.eigvalsh(a))), np.e * np.eye(3)),
        (lambda a: np.sum(L.svdvals(a)), np.eye(3)),
        (lambda a: L.norm(a, "nuc"), np.eye(3)),
        (lambda a: np.sum(L.pinv(a)), -np.ones((3, 3))),
    ]
    for f, expected in functions:
        np.testing.assert_allclose(transform(rg.grad(f))(x), expected, atol=1e-14)

    def power(a):  # a^2, by eigenvectors that are not unique
        w, v = L.eigh(a)
        return np.sum(((v * w**2) @ v.T) * np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 5.0], [3.0, 5.0, 6.0]]))

    def product(a):  # by singular vectors
        u, s, vh = L.svd(a)
        return np.sum((u * s**2) @ vh)

    for f in (power, product):  # NaN, not a wrong number
        assert np.isnan(transform(rg.grad(f))(np.diag([1.0, 2.0, 2.0]))).any()
        assert np.isfinite(transform(rg.grad(f))(np.diag([1.0, 2.0, 3.0]))).all()
    assert np.isnan(transform(rg.hessian(lambda a: np.sum(L.eigvalsh(a) ** 2)))(np.eye(2))).any()


def test_a_norm_has_the_gradient_zero_at_zero():
    zero = np.zeros((2, 3))
    for f in (L.norm, lambda x: L.norm(x, 2), lambda x: L.norm(x, "nuc"), lambda x: np.sum(L.norm(x, axis=1)),
              lambda x: np.sum(L.vector_norm(x, axis=0, ord=3)), lambda x: L.norm(x, np.inf)):  # fmt: skip
        with np.errstate(all="ignore"):
            assert np.isfinite(rg.grad(f)(zero)).all()


def test_equal_singular_values_share_the_spectral_norm():
    for order, expected in ((2, np.eye(2) / 2), (-2, np.eye(2) / 2), ("nuc", np.eye(2))):
        np.testing.assert_allclose(rg.grad(lambda x, order=order: L.norm(x, order))(np.eye(2)), expected)
        assert not np.any(rg.grad(lambda x, order=order: L.norm(x, order))(np.zeros((2, 2))))


@pytest.mark.parametrize("how", [{}, {"ord": 1}, {"ord": np.inf}, {"axis": 1}, {"axis": 0, "ord": 3}], ids=str)
def test_norms_of_complex_arrays(how):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2, 3)) + 1j * rng.normal(size=(2, 3))

    def f(z):
        return L.norm(z, **how)

    assert rg.jit(f)(z).dtype == np.float64
    np.testing.assert_allclose(rg.jit(f)(z), L.norm(z, **how), rtol=1e-14)
    rg.check(lambda z: np.sum(f(z)))(z)


def test_the_backward_pass_of_a_solution_shares_its_factors():
    graph = rg.jit(rg.value_and_grad(lambda a, b: np.sum(L.solve(a, b) ** 2), (0, 1))).lower(A3, V3).graph
    names = [eq.primitive.name for eq in graph.equations]
    assert names.count("lu") == 1 and names.count("triangular_solve") == 4
    assert "implicit" not in names


def test_many_right_sides_of_one_matrix_are_one_system():
    bs = RNG.normal(size=(6, 3))
    found = rg.vmap(lambda b: L.solve(A3, b))(bs)
    np.testing.assert_allclose(found, L.solve(A3, bs.T).T, rtol=1e-13)
    graph = rg.jit(rg.vmap(lambda a, b: L.solve(a, b), in_axes=(None, 0))).lower(A3, bs).graph
    assert [eq.outputs[0].type.shape for eq in graph.equations if eq.primitive.name == "triangular_solve"] == [(3, 6)] * 2


def test_vmap_of_factors():
    many = definite(3, 4, 4)
    np.testing.assert_allclose(rg.vmap(L.cholesky)(many), L.cholesky(many), rtol=1e-14)
    grads = rg.jit(rg.vmap(rg.grad(lambda a: np.sum(L.cholesky(a) ** 3))))(many)
    for a, g in zip(many, grads):
        np.testing.assert_allclose(g, rg.grad(lambda a: np.sum(L.cholesky(a) ** 3))(a), rtol=1e-11, atol=1e-12)


def test_in_loops_and_on_several_threads():
    """Newton's steps in a scan; and matrices that a map deals out to threads."""
    def settle(a):
        return rg.scan(lambda x, _: (L.solve(a + x * np.eye(3), a @ x), None), np.eye(3), None, length=3)[0]

    found = rg.jit(rg.grad(lambda a: np.sum(settle(a))))(A3)
    np.testing.assert_allclose(found, rg.grad(lambda a: np.sum(settle(a)))(A3), rtol=1e-11)
    many = general(8, 40, 40)
    assert "threads: one" in str(rg.jit(lambda xs: rg.map(L.inv, xs)).lower(general(4, 80, 80)))  # LAPACK has its own
    before = rg.get_threads()
    results = []
    for threads in (1, 2):
        rg.set_threads(threads)
        results.append(rg.jit(lambda xs: rg.map(lambda x: L.inv(x @ x), xs))(many))
    rg.set_threads(before)
    np.testing.assert_array_equal(*results)


REFUSED = [
    lambda x: L.eig(x), lambda x: L.eigvals(x), lambda x: L.qr(x[:, :1], mode="complete"), lambda x: L.qr(x, mode="raw"),
    lambda x: L.svd(x[:, :1]), lambda x: L.svd(x, hermitian=True), lambda x: L.pinv(x, hermitian=True),
    lambda x: L.inv(x[:, :1]), lambda x: L.inv(x[0]), lambda x: L.solve(x, np.ones(3)), lambda x: L.inv(x.astype(np.float16)),
    lambda x: L.lstsq(x, np.ones(3)), lambda x: L.multi_dot([x, x], out=np.zeros((2, 2))),
]  # fmt: skip


@pytest.mark.parametrize("transform", ["eager", "jit"])
@pytest.mark.parametrize("f", REFUSED)
def test_what_has_no_rule_is_refused(f, transform):
    x = np.array([[2.0, 1.0], [0.0, 3.0]])
    with pytest.raises(RetrogradeError):
        rg.jit(f)(x) if transform == "jit" else rg.vjp(f, x)


def test_errors_of_shape_are_numpys_too():
    for f in (L.inv, L.det, L.cholesky, L.eigh):
        with pytest.raises(L.LinAlgError):
            rg.jit(f)(np.ones((2, 3)))
    with pytest.raises(ValueError):
        rg.jit(lambda x: L.norm(x, 7))(A3)
    with pytest.raises(ValueError):
        rg.jit(lambda x: L.norm(x, axis=(0, 1, 2)))(MANY[0])


def test_plain_arrays_in_the_librarys_own_namespace():
    for name in ("solve", "matrix_norm", "eigh", "slogdet"):
        assert hasattr(rg.numpy.linalg, name)
    np.testing.assert_array_equal(rg.numpy.linalg.inv(A3), L.inv(A3))
    assert type(rg.numpy.linalg.det(A3)) is np.float64


def test_the_checker_of_derivatives_knows_them():
    def loss(a, b):
        return np.sum(L.solve(a, b) ** 2) + L.slogdet(a)[1] + np.sum(np.sin(L.pinv(a))) + L.det(a) + np.sum(L.eigvalsh(a) ** 3)

    rg.check(loss)(A3, V3)


def test_second_derivatives_through_values_alone():
    def f(a):
        return np.sum(np.sin(L.eigvalsh(a))) + np.sum(L.svdvals(a) ** 1.5) + L.norm(a, "nuc") + L.slogdet(a)[1]

    v, step = RNG.normal(size=(3, 3)), 1e-5
    expected = (rg.grad(f)(S3 + step * v) - rg.grad(f)(S3 - step * v)) / (2 * step)
    for transform in (lambda h: h, rg.jit):
        np.testing.assert_allclose(np.tensordot(transform(rg.hessian(f))(S3), v, 2), expected, rtol=1e-7, atol=1e-8)
    for many in (rg.vmap(rg.grad(f)), rg.jit(lambda xs: rg.map(rg.grad(rg.checkpoint(f)), xs))):
        np.testing.assert_allclose(many(SB)[1], rg.grad(f)(SB[1]), rtol=1e-12)


def test_factors_inside_a_loop_with_a_derivative():
    def f(a):
        def step(c, _):
            return L.qr(c)[0] / 4 + L.inv(c + 5 * np.eye(3)), L.eigvalsh(c + c.T)

        return sum(np.sum(x**2) for x in rg.scan(step, a, None, length=3))

    check_gradient(f, (A3,))


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
def test_a_pseudoinverse_that_cuts_off_more_than_rounding(transform):
    x = np.random.default_rng(3).normal(size=(4, 3)) @ np.diag([3.0, 1.0, 0.2])
    d = np.random.default_rng(4).normal(size=x.shape)
    b = np.arange(4.0)
    by_rcond, by_rtol = (lambda a: np.sum(L.pinv(a, 0.2) ** 2)), (lambda a: np.sum(L.pinv(a, rtol=0.2) ** 2))
    for f in (by_rcond, by_rtol, lambda a: np.sum(L.lstsq(a, b, 0.2)[0])):
        expected = (f(x + 1e-6 * d) - f(x - 1e-6 * d)) / 2e-6
        np.testing.assert_allclose(np.sum(transform(rg.grad(f))(x) * d), expected, rtol=1e-7)
    z, e = x * np.exp(1j * np.arange(12.0)).reshape(4, 3), d * (1 - 2j)
    for f in (lambda a: np.sum(np.abs(1 + L.pinv(a, 0.2)) ** 2), lambda a: np.sum(np.abs(1 + L.lstsq(a, b, 0.2)[0]) ** 2)):
        expected = (f(z + 1e-6 * e) - f(z - 1e-6 * e)) / 2e-6
        np.testing.assert_allclose(np.sum(transform(rg.grad(f))(z) * np.conj(e)).real, expected, rtol=1e-7, atol=1e-8)
