"""`numpy.linalg` of complex matrices: values, gradients along real and imaginary directions, lanes and native code."""

import numpy as np
import pytest
from function_suite import Table, check_compiled, check_eager, check_gradient, check_lanes, check_second_order

import retrograde as rg
from retrograde.errors import UnsupportedError

RNG = np.random.default_rng(61)


def draw(*shape):
    return RNG.normal(size=shape) + 1j * RNG.normal(size=shape)


A, B, C, T, V = draw(3, 3) + 2 * np.eye(3), draw(3, 2), draw(2, 4, 4), draw(4, 2), draw(3)
R = RNG.normal(size=(3, 3)) + 2 * np.eye(3)
SINGLE = A.astype(np.complex64)

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
case("slogdet of many", lambda a: np.linalg.slogdet(a * 1e-120), C)
case("tensorsolve", lambda a, b: np.linalg.tensorsolve(a.reshape(3, 3), b), A, V)


@pytest.mark.parametrize("f, args", TABLE.cases)
def test_eager(f, args):
    check_eager(f, args, 1e-12)


@pytest.mark.parametrize("f, args", TABLE.cases)
def test_compiled(f, args):
    check_compiled(f, args, 1e-12)


@pytest.mark.parametrize("f, args", TABLE.smooth())
def test_gradient(f, args):
    check_gradient(f, args)


@pytest.mark.parametrize("f, args", TABLE.smooth())
def test_second_order(f, args):
    check_second_order(f, args)


@pytest.mark.parametrize("f, args", TABLE.cases[::2])
def test_lanes(f, args):
    check_lanes(f, args)


@pytest.mark.parametrize("f", [np.linalg.cholesky, np.linalg.qr, np.linalg.eigh, np.linalg.svd])
def test_what_is_not_supported_says_what_is(f):
    with pytest.raises(UnsupportedError, match=r"complex128 .* solve, inv, det"):
        rg.vjp(f, A)


def test_a_singular_matrix_is_an_error_and_nan_where_compiled():
    with pytest.raises(np.linalg.LinAlgError):
        rg.vjp(np.linalg.inv, np.zeros((2, 2), complex))
    assert np.isnan(rg.jit(np.linalg.inv)(np.zeros((2, 2), complex))).all()
