"""NumPy's functions on complex arrays, by the table: values, gradients, lanes and native code."""

import numpy as np
import pytest
from function_suite import Table, check_compiled, check_eager, check_gradient, check_lanes, check_second_order

import retrograde as rg
from retrograde.errors import GraphTypeError, UnsupportedError

RNG = np.random.default_rng(23)


def draw(*shape):
    return RNG.uniform(0.3, 2.0, shape) + 1j * RNG.uniform(-1.5, 1.5, shape)


Z, W, X = draw(2, 3), draw(3), RNG.normal(size=3)
SINGLE = draw(5).astype(np.complex64)

TABLE = Table()
for f in (np.real, np.imag, np.conj, np.angle, np.abs, np.sign, np.iscomplex, np.isreal):
    TABLE.of(f, Z)
    TABLE.of(f, SINGLE)
    TABLE.of(f, X)
TABLE.of(np.angle, Z, deg=True)
TABLE.of(np.angle, np.arange(-1, 2))
for f in (np.iscomplex, np.isreal):
    TABLE.of(f, np.array([1 + 0j, 2j, np.nan]))
for f in (np.iscomplexobj, np.isrealobj):
    TABLE.of(lambda x, f=f: np.zeros(2) + f(x), Z)
TABLE.of(np.nan_to_num, np.array([1j, complex(np.nan, 1), complex(2, np.nan)]), nan=3.0)
TABLE.of(np.nan_to_num, np.array([1j, complex(np.inf, 1), complex(2, -np.inf)]), posinf=1.0, neginf=-1.0)
for f in (np.isnan, np.isinf, np.isfinite):
    TABLE.of(f, np.array([1j, complex(np.nan, 1), complex(0, -np.inf), complex(np.inf, np.nan)]))
for f in (np.sqrt, np.exp, np.log, np.sin, np.cos, np.tan, np.arctan, np.sinh, np.tanh, np.arcsinh, np.square, np.reciprocal,
          np.negative, np.positive, np.log2, np.expm1):  # fmt: skip
    TABLE.of(f, Z)
    TABLE.of(f, SINGLE)
for f in (np.add, np.subtract, np.multiply, np.divide, np.power):
    TABLE.of(f, Z, W)
    TABLE.of(f, np.abs(X), W)
    TABLE.of(f, SINGLE[:3], X.astype(np.float32))
    TABLE.of(f, np.array([1, 2, 3]), W)
for f in (np.equal, np.not_equal):
    TABLE.of(f, np.array([1 + 1j, 2j, np.nan]), np.array([1 + 1j, 2, np.nan]))
for n in (2, 3, -1, -2, 0, 0.5, 1.5, 1 + 2j, 60):
    TABLE.case(f"x**{n}", lambda z, n=n: z**n, W)
TABLE.case("2**x", lambda z: 2.0**z, W)
TABLE.case("x*1j", lambda x: x * 1j + (2 - 1j) / x, X)
TABLE.case("float32*1j", lambda x: x * 1j, X.astype(np.float32))
TABLE.case("int*1j", lambda x: x * 1j, np.arange(3))
TABLE.case("methods", lambda z: z.real * z.imag + z.conj() - abs(z), Z)
TABLE.case("x**2 of a sum", lambda z: (z @ W) ** 2, Z)
for f in (np.sum, np.mean, np.prod, np.var, np.std):
    TABLE.of(f, Z)
    TABLE.of(f, Z, axis=0, keepdims=True)
    TABLE.of(f, SINGLE)
for f in (np.any, np.all):
    TABLE.of(f, np.array([[0j, 1j], [0, 0]]), axis=1)
TABLE.of(np.round, Z, decimals=1)
TABLE.of(np.rint, Z)
TABLE.of(np.where, np.array([True, False, True]), Z, 1j)
TABLE.case("where real or complex", lambda x, z: np.where(x > 0, x, z), X, W)
for f in (np.vdot, np.inner, np.outer, np.multiply, np.dot, np.matmul):
    TABLE.of(f, W, X)
    TABLE.of(f, W, W[::-1].copy())
TABLE.of(np.tensordot, Z, draw(3, 2), axes=1)
TABLE.case("einsum", lambda z, w: np.einsum("ij,j,kj->ik", z, w, np.conj(z)), Z, W)
TABLE.of(np.matmul, draw(4, 2, 3), draw(4, 3, 2))
TABLE.of(np.trace, draw(3, 3))
for f in (np.transpose, np.ravel, np.flip, np.zeros_like, np.ones_like, np.copy, np.squeeze):
    TABLE.of(f, Z)
TABLE.case("concatenate", lambda z, x: np.concatenate([z, x, z * 2]), W, X)
TABLE.case("stack", lambda z, x: np.stack([z, x], axis=1), W, X)
TABLE.case("index", lambda z: z[:, ::-1][1, [0, 2, 0]], Z)
TABLE.case("astype", lambda z: z.astype(np.complex128) + z.astype(bool), SINGLE)
TABLE.case("astype of a real array", lambda x: x.astype(complex) * 1j, X)
TABLE.of(np.full_like, Z, 2 - 1j)

V, HOLES, GRID = draw(5), draw(3, 4), draw(3, 4)
HOLES[0, 1], HOLES[2, 0], HOLES[2, 3] = complex(np.nan, 2), complex(1, np.nan), np.nan
TIES = np.array([1 + 2j, 1 + 1j, 0.5 + 9j, 1 + 2j, complex(-0.0, 1), complex(0.0, -1)], np.complex64)
PARTS = ((np.nan, 1), (2, np.nan), (3, 0), (np.nan, np.nan), (np.nan, 0), (1, np.nan), (0, 2))
UNKNOWN = np.array([complex(*parts) for parts in PARTS])
for f in (np.sort, np.argsort):
    TABLE.of(f, GRID)
    TABLE.of(f, GRID, axis=0)
    TABLE.of(f, SINGLE)
    TABLE.of(f, TIES, kind="stable")
    TABLE.of(f, UNKNOWN, kind="stable")
TABLE.case("partition", lambda z: (np.partition(z, 2)[2], np.argpartition(z, 2)[2]), V)
TABLE.case("lexsort", lambda z, x: np.lexsort((x, z.real.round() + 0j)), W, X)
for x in (V, SINGLE, X, np.arange(3)[::-1], np.arange(3, dtype=np.int16)):
    TABLE.of(np.sort_complex, x)
for f in (np.nansum, np.nanprod, np.nanmean, np.nanvar, np.nanstd, np.nancumsum, np.nancumprod):
    TABLE.of(f, HOLES)
    TABLE.of(f, HOLES, axis=1)
    TABLE.of(f, GRID, axis=0)
for f in (np.cumsum, np.cumprod, np.diff, np.gradient, np.trapezoid, np.average, np.cumulative_sum):
    TABLE.of(f, GRID, axis=1)
    TABLE.of(f, SINGLE)
for f in (np.ediff1d, np.diag, np.vander, np.rot90):
    TABLE.of(f, GRID if f is np.rot90 else W)
TABLE.case("accumulate", lambda z: (np.add.accumulate(z, 1), np.multiply.accumulate(z)), GRID)
TABLE.case("gradient at places", lambda z: np.gradient(z, np.array([0.0, 0.5, 1.5, 1.7]), axis=1, edge_order=2), GRID)
TABLE.case("trapezoid at places", lambda z, x: np.trapezoid(z, x), W, X)
for mode in ("full", "same", "valid"):
    for f in (np.convolve, np.correlate):
        TABLE.of(f, V, W, mode=mode)
        TABLE.of(f, V, X, mode=mode)
        TABLE.of(f, X, W[:2], mode=mode)
TABLE.case("interp", lambda x, z: np.interp(x, np.arange(5.0), z), np.array([0.3, 3.6, 9.0, -1.0]), V)
TABLE.case("average by weights", lambda z, w: np.average(z, axis=0, weights=w), GRID, W)
for f in (np.cov, np.corrcoef):
    TABLE.of(f, GRID)
    TABLE.case(f"{f.__name__} of two", lambda z, w, f=f: f(z, w), W, W[::-1] * (1 + X))
TABLE.case("select", lambda z: np.select([z.real > 1, z.imag > 0], [z, z * 2], 1j), V)
for mode in ("constant", "reflect", "wrap", "edge", "mean", "linear_ramp"):
    TABLE.of(np.pad, GRID, pad_width=1, mode=mode)
for f, more in ((np.roll, (1,)), (np.tile, (2,)), (np.repeat, (2,))):
    TABLE.case(f.__name__, lambda z, f=f, more=more: f(z, *more), GRID)
for f in (np.kron, np.vecdot, np.cross):
    TABLE.of(f, W, W[::-1] + X)
TABLE.of(np.kron, GRID, W)
for f in (np.isclose, np.allclose):
    TABLE.of(f, np.array([1 + 1j, 1 + 1.1j, np.nan]), np.array([1 + 1j, 1 + 1j, np.nan]), equal_nan=True)
TABLE.of(np.sinc, np.array([0, 1e-3j, 1.5 - 0.7j]))


@pytest.mark.parametrize("f", [np.median, np.nanmax, np.nanmedian, np.unwrap, np.max, np.argmax, np.maximum.accumulate])
def test_what_has_no_rule_for_complex_numbers_says_so(f):
    with pytest.raises((UnsupportedError, GraphTypeError), match=r"complex|c128"):
        rg.jit(f)(W)


@pytest.mark.parametrize("f, args", TABLE.cases)
def test_eager(f, args):
    check_eager(f, args)


@pytest.mark.parametrize("f, args", TABLE.cases)
def test_compiled(f, args):
    check_compiled(f, args)


@pytest.mark.parametrize("f, args", TABLE.smooth())
def test_gradient(f, args):
    check_gradient(f, args)


@pytest.mark.parametrize("f, args", TABLE.smooth()[::3])
def test_second_order(f, args):
    check_second_order(f, args)


@pytest.mark.parametrize("f, args", TABLE.cases[::3])
def test_lanes(f, args):
    if any(np.ndim(a) == 0 for a in args if isinstance(a, (np.ndarray, np.generic))):
        return
    check_lanes(f, args)
