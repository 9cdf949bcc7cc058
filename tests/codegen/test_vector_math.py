"""The emitted mathematical functions, compiled in loops, against mpmath and NumPy's wider formats."""

from __future__ import annotations

import re

import llvmlite.binding as llvm
import mpmath as mp
import numpy as np
import pytest
import scipy.special

import retrograde as rg
from retrograde.codegen.vector_math import MATH_NAMES
from retrograde.ops import elementwise

TWO = ("arctan2", "hypot", "logaddexp", "power")
INF, NAN = np.inf, np.nan
FLOATS = (np.float32, np.float64)

EXACT = {
    "exp2": lambda x: mp.mpf(2) ** x,
    "log2": lambda x: mp.log(x, 2),
    "arcsin": mp.asin, "arccos": mp.acos, "arctan": mp.atan, "arcsinh": mp.asinh, "arccosh": mp.acosh, "arctanh": mp.atanh,
    "arctan2": mp.atan2,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "softplus": lambda x: mp.log1p(mp.exp(x)),
    "logaddexp": lambda x, y: max(x, y) + mp.log1p(mp.exp(-abs(x - y))),
    "cbrt": lambda x: mp.sign(x) * mp.cbrt(abs(x)),
    "power": lambda x, y: mp.power(x, y),
    "erfc": lambda x: mp.erfc(x) if x < 200 else mp.mpf(0),
}  # fmt: skip

# where a function is not NaN; points outside are tested by the special values
DOMAIN = {
    "log": (0, INF), "log2": (0, INF), "log10": (0, INF), "log1p": (-1, INF), "arcsin": (-1, 1), "arccos": (-1, 1),
    "arctanh": (-1, 1), "arccosh": (1, INF),
}  # fmt: skip


def compiled(name: str, *columns: np.ndarray) -> np.ndarray:
    """The function in a compiled loop; short columns are repeated, since tiny arrays are not compiled to loops."""
    primitive, n = getattr(elementwise, name), len(columns[0])
    long = [np.resize(c, max(n, 4096)) for c in columns]
    return np.asarray(rg.jit(lambda *xs: primitive(*xs))(*long))[:n]


def points(name: str, dtype, n: int, column: int = 0) -> np.ndarray:
    """Numbers of all sizes, half of them any bit pattern, in the function's domain."""
    rng = np.random.default_rng(5 + column)
    unsigned = np.uint32 if dtype is np.float32 else np.uint64
    limit = 110 if dtype is np.float32 else 760
    parts = [
        rng.integers(0, np.iinfo(unsigned).max, 6 * n, unsigned, endpoint=True).view(dtype),
        rng.uniform(-1.2, 1.2, n), rng.uniform(-5, 5, n), rng.uniform(-limit, limit, n), 1 + rng.normal(0, 1e-3, n),
        rng.uniform(0.3, 3, n), np.exp(rng.uniform(-20, 20, n)),
    ]  # fmt: skip
    x = np.concatenate([p.astype(dtype) for p in parts])
    low, high = DOMAIN.get(name, (-INF, INF))
    x = x[np.isfinite(x) & (x >= low) & (x <= high)]
    return np.random.default_rng(11 + column).permutation(x)  # so that two columns meet in all ways


def arguments(name: str, dtype, n: int) -> list[np.ndarray]:
    columns = [points(name, dtype, n, c) for c in range(2 if name in TWO else 1)]
    if name == "power":
        columns[0] = abs(columns[0])
    if name in TWO:  # of the bit patterns, few pairs are close to each other; add those
        a, b = columns
        k = min(len(a), len(b))
        near = (a[:k] * np.linspace(0.25, 4, k)).astype(dtype)
        columns = [np.concatenate([a[:k], a[:k]]), np.concatenate([b[:k], b[:k] if name == "power" else near])]
        columns = [c[np.isfinite(columns[0]) & np.isfinite(columns[1])] for c in columns]
    return columns


def by_mpmath(name: str, columns: list[np.ndarray]) -> np.ndarray:
    f = EXACT.get(name) or getattr(mp, name)
    found = np.empty(len(columns[0]), object)
    with mp.workprec(140 if name not in ("sin", "cos", "tan") else 1200):
        for i, xs in enumerate(zip(*columns)):
            found[i] = f(*[mp.mpf(float(x)) for x in xs])
    return found


def by_numpy(name: str, columns: list[np.ndarray]) -> np.ndarray:
    wide = [c.astype(np.float64) for c in columns]
    with np.errstate(all="ignore"):
        if name in ("erf", "erfc", "expit"):
            return getattr(scipy.special, name)(*wide)
        if name == "sigmoid":
            return scipy.special.expit(*wide)
        return np.logaddexp(wide[0], 0.0) if name == "softplus" else getattr(np, name)(*wide)


def worst_ulp(name: str, columns: list[np.ndarray], found: np.ndarray, exact: np.ndarray) -> tuple[float, str]:
    """The largest error in units of the exact value's last place, and where."""
    info = np.finfo(found.dtype)
    as_mp = exact.dtype == object
    size = np.array([float(v) for v in exact]) if as_mp else exact
    rounded = size.astype(found.dtype)
    if name == "logaddexp":  # its two terms may cancel: the error is relative to them
        size = np.maximum(abs(size), abs(np.maximum(*columns).astype(np.float64)))
    exponent = np.maximum(np.frexp(np.where(np.isfinite(size), size, 1))[1] - 1, info.minexp)
    unit = exponent - info.nmant
    if as_mp:
        good = np.isfinite(found) & np.isfinite(rounded)
        error = np.array([
            float(mp.ldexp(abs(mp.mpf(float(f)) - e), int(-u))) if ok else 0.0 for f, e, u, ok in zip(found, exact, unit, good)
        ])  # fmt: skip
    else:
        error = np.ldexp(abs(np.where(np.isfinite(rounded), found.astype(np.float64) - exact, 0.0)), -unit)
    beyond = ~np.isfinite(rounded) | ~np.isfinite(found)
    same = (found == rounded) | (np.isnan(found) & np.isnan(rounded))
    edge = abs(np.where(beyond, size, 0)) <= float(info.max) * (1 + 2 * info.eps)  # either answer at the threshold
    error = np.where(beyond, np.where(same | (beyond & edge & np.isinf(found)), 0.0, INF), error)
    i = int(np.argmax(error))
    return float(error[i]), f"{name}{tuple(c[i] for c in columns)!r} gives {found[i]!r}, is {float(exact[i])!r}"


@pytest.fixture(autouse=True)
def quiet_overflow():
    with np.errstate(over="ignore", invalid="ignore"):
        yield


@pytest.mark.parametrize("name", MATH_NAMES)
def test_float32_errors(name):
    columns = arguments(name, np.float32, 6000)
    error, where = worst_ulp(name, columns, compiled(name, *columns), by_numpy(name, columns))
    assert error <= 2, where


@pytest.mark.parametrize("name", MATH_NAMES)
def test_float64_errors(name):
    columns = arguments(name, np.float64, 160)
    error, where = worst_ulp(name, columns, compiled(name, *columns), by_mpmath(name, columns))
    assert error <= 2, where


@pytest.mark.slow
@pytest.mark.parametrize("name", MATH_NAMES)
def test_float32_errors_densely(name):
    columns = [np.arange(0, 2**32, 4093, dtype=np.uint32).view(np.float32)]
    if name in TWO:
        columns.append(np.random.default_rng(3).permutation(columns[0]))
    low, high = DOMAIN.get(name, (-INF, INF))
    inside = np.logical_and.reduce([np.isfinite(c) & (c >= low) & (c <= high) for c in columns])
    columns = [c[inside] for c in columns]
    error, where = worst_ulp(name, columns, compiled(name, *columns), by_numpy(name, columns))
    assert error <= 2, where


PI = np.pi
SPECIAL = {
    "exp": [(0, 1), (-0.0, 1), (INF, INF), (-INF, 0), (800, INF), (-800, 0)],
    "exp2": [(0, 1), (INF, INF), (-INF, 0), (10, 1024), (-3, 0.125), (1100, INF), (-1100, 0)],
    "expm1": [(0, 0), (-0.0, -0.0), (INF, INF), (-INF, -1), (-800, -1), (800, INF)],
    "log": [(1, 0), (0, -INF), (-0.0, -INF), (INF, INF), (-1, NAN), (-INF, NAN)],
    "log2": [(1, 0), (8, 3), (2.0**-20, -20), (0, -INF), (-0.0, -INF), (INF, INF), (-1, NAN), (-INF, NAN)],
    "log10": [(1, 0), (1000, 3), (0, -INF), (-0.0, -INF), (INF, INF), (-1, NAN), (-INF, NAN)],
    "log1p": [(0, 0), (-0.0, -0.0), (-1, -INF), (INF, INF), (-2, NAN), (-INF, NAN)],
    "sin": [(0, 0), (-0.0, -0.0), (INF, NAN), (-INF, NAN)],
    "cos": [(0, 1), (-0.0, 1), (INF, NAN), (-INF, NAN)],
    "tan": [(0, 0), (-0.0, -0.0), (INF, NAN), (-INF, NAN)],
    "arcsin": [(0, 0), (-0.0, -0.0), (1, PI / 2), (-1, -PI / 2), (1.5, NAN), (-1.5, NAN), (INF, NAN)],
    "arccos": [(0, PI / 2), (1, 0), (-1, PI), (1.5, NAN), (-1.5, NAN), (-INF, NAN)],
    "arctan": [(0, 0), (-0.0, -0.0), (1, PI / 4), (INF, PI / 2), (-INF, -PI / 2)],
    "arctan2": [
        (0, 1, 0), (-0.0, 1, -0.0), (0, -1, PI), (-0.0, -1, -PI), (0, 0, 0), (-0.0, 0, -0.0), (0, -0.0, PI), (-0.0, -0.0, -PI),
        (1, 0, PI / 2), (-1, -0.0, -PI / 2), (1, -1, 3 * PI / 4), (-1, 1, -PI / 4), (INF, INF, PI / 4),
        (INF, -INF, 3 * PI / 4), (-INF, -INF, -3 * PI / 4), (1, INF, 0), (-1, INF, -0.0), (1, -INF, PI), (INF, 1, PI / 2),
        (NAN, 1, NAN), (1, NAN, NAN),
    ],
    "sinh": [(0, 0), (-0.0, -0.0), (INF, INF), (-INF, -INF), (800, INF), (-800, -INF)],
    "cosh": [(0, 1), (-0.0, 1), (INF, INF), (-INF, INF), (800, INF), (-800, INF)],
    "tanh": [(0, 0), (-0.0, -0.0), (INF, 1), (-INF, -1), (50, 1), (-50, -1)],
    "arcsinh": [(0, 0), (-0.0, -0.0), (INF, INF), (-INF, -INF)],
    "arccosh": [(1, 0), (INF, INF), (0.5, NAN), (-INF, NAN)],
    "arctanh": [(0, 0), (-0.0, -0.0), (1, INF), (-1, -INF), (1.5, NAN), (INF, NAN)],
    "cbrt": [(0, 0), (-0.0, -0.0), (27, 3), (-8, -2), (INF, INF), (-INF, -INF)],
    "power": [
        (0, 0, 1), (2, 10, 1024), (-2, 3, -8), (-2, 2, 4), (4, 0.5, 2), (-8, 1 / 3, NAN), (0, -1, INF), (-0.0, -1, -INF),
        (-0.0, 3, -0.0), (-0.0, 2, 0), (NAN, 0, 1), (1, NAN, 1), (1, INF, 1), (-1, INF, 1), (-1, -INF, 1), (2, INF, INF),
        (2, -INF, 0), (0.5, INF, 0), (0.5, -INF, INF), (INF, 2, INF), (INF, -2, 0), (-INF, 3, -INF), (-INF, 2, INF),
        (-INF, -3, -0.0), (-INF, 0.5, INF), (NAN, 1, NAN), (2, NAN, NAN), (0, -INF, INF), (10, 400, INF), (10, -400, 0),
    ],
    "erf": [(0, 0), (-0.0, -0.0), (INF, 1), (-INF, -1), (10, 1)],
    "erfc": [(0, 1), (-0.0, 1), (INF, 0), (-INF, 2), (-10, 2), (40, 0)],
    "hypot": [(3, 4, 5), (0, 0, 0), (-0.0, -0.0, 0), (INF, NAN, INF), (NAN, -INF, INF), (NAN, 1, NAN), (1, INF, INF)],
    "sigmoid": [(0, 0.5), (INF, 1), (-INF, 0), (800, 1), (-800, 0)],
    "softplus": [(INF, INF), (-INF, 0), (800, 800), (-800, 0)],
    "logaddexp": [
        (-INF, -INF, -INF), (INF, INF, INF), (INF, -INF, INF), (-INF, INF, INF), (-INF, 3, 3), (3, -INF, 3), (5, INF, INF),
        (NAN, 1, NAN), (1, NAN, NAN), (800, 0, 800),
    ],
}  # fmt: skip


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", MATH_NAMES)
def test_special_values(name, dtype):
    cases = SPECIAL[name] + ([(NAN, NAN)] if name not in TWO else [])
    *columns, expected = (np.array(c, dtype) for c in zip(*cases))
    found = compiled(name, *columns)
    np.testing.assert_array_equal(found, expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[numbers]), np.signbit(expected[numbers]))


SUBNORMAL = [
    ("exp", np.float32, -103.0), ("exp", np.float64, -744.0), ("exp2", np.float32, -148.5), ("sigmoid", np.float32, -90.0),
    ("sigmoid", np.float64, -730.0), ("softplus", np.float32, -95.0), ("softplus", np.float64, -740.0),
    ("erfc", np.float32, 9.9), ("erfc", np.float64, 27.0), ("log", np.float32, 3e-45), ("log", np.float64, 5e-324),
    ("log1p", np.float64, 5e-324), ("expm1", np.float32, -3e-42), ("sin", np.float32, 3e-45), ("tanh", np.float64, -1e-310),
    ("cbrt", np.float32, 1e-44), ("cbrt", np.float64, 5e-324), ("arctan", np.float32, 1e-42), ("erf", np.float64, 3e-320),
]  # fmt: skip


@pytest.mark.parametrize(("name", "dtype", "x"), SUBNORMAL)
def test_subnormal_numbers_keep_their_digits(name, dtype, x):
    columns = [np.array([x], dtype)]
    found = compiled(name, *columns)
    assert found[0] != 0
    error, where = worst_ulp(name, columns, found, by_mpmath(name, columns))
    assert error <= 2, where


def test_hard_cases_of_trigonometry():
    # the numbers closest to a multiple of pi / 2, and the largest
    single = np.array([16367173 * 2.0**72, np.finfo(np.float32).max, 2.0**127, 51471.852, 1e22, 0.5], np.float32)
    double = np.array([6381956970095103 * 2.0**797, np.finfo(float).max, 2.0**1023, 1e22, 51471.852, 0.5, np.pi, 1e300])
    for name in ("sin", "cos", "tan"):
        for x in (single, double, -double):
            error, where = worst_ulp(name, [x], compiled(name, x), by_mpmath(name, [x]))
            assert error <= 2, where


def test_powers_with_large_exponents():
    rng = np.random.default_rng(2)
    exponent = rng.uniform(-744, 709, 1500)
    x = np.concatenate([np.exp(rng.uniform(-1, 1, 500)), 1 + rng.normal(0, 1e-6, 500), np.exp(rng.uniform(-700, 700, 500))])
    y = exponent / np.log(x)
    error, where = worst_ulp("power", [x, y], compiled("power", x, y), by_mpmath("power", [x, y]))
    assert error <= 2, where
    x, y = np.array([-3.0, -1.5, 2.0**53 + 2, -2.0]), np.array([33.0, 101.0, 2.0, 2.0**53])
    np.testing.assert_array_max_ulp(compiled("power", x, y), np.power(x, y), 2)


def vector_calls(name: str, dtype) -> tuple[str, str]:
    """The optimized code of a loop over the function, and its machine code."""
    from retrograde.runtime.llvm import assembly, optimized

    primitive = getattr(elementwise, name)
    columns = [np.zeros(10000, dtype)] * (2 if name in TWO else 1)
    text = rg.jit(lambda *xs: primitive(*xs)).lower(*columns).ir
    return optimized(text), assembly(text)


@pytest.mark.skipif(not llvm.get_host_cpu_features().get("fma"), reason="without a fused multiply-add, loops call one")
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", MATH_NAMES)
def test_loops_are_vectorized(name, dtype):
    optimized, assembly = vector_calls(name, dtype)
    assert re.search(r"(fmul|fdiv) <\d+ x (float|double)>", optimized)
    called = re.findall(r"\bcall [^@]*@([\w.]+)\(", optimized)
    assert called
    assert all(symbol.startswith(("llvm.", "fused_")) for symbol in called), called
    # and no intrinsic becomes a call of the C library
    assert not re.search(r"[\s$](fma|rint|fabs|copysign|exp|log|sqrt)f?\b", assembly)


def test_many_calls_in_straight_line_code_are_not_all_inlined(monkeypatch):
    from retrograde.codegen.vector_math import STRAIGHT_LIMIT
    from retrograde.optimize import straighten

    monkeypatch.setattr(straighten, "LIMIT", 1e6)
    graph = rg.jit(lambda x: np.tanh(x) * 2).lower(np.zeros(300, np.float32))
    inlined = [line for line in graph.ir.splitlines() if "call" in line and "rg.tanh.f32" in line and "noinline" not in line]
    kept = [line for line in graph.ir.splitlines() if "call" in line and "rg.tanh.f32" in line and "noinline" in line]
    assert len(inlined) + len(kept) == 300
    assert 0 < len(inlined) < STRAIGHT_LIMIT / 20
    x = np.linspace(-3, 3, 300, dtype=np.float32)
    found = rg.jit(lambda x: np.tanh(x) * 2)(x)
    np.testing.assert_array_equal(found, np.resize(compiled("tanh", x), 300) * 2)


def test_half_precision_goes_through_float32():
    x = np.linspace(-9, 9, 5000).astype(np.float16)
    expected = np.tanh(x.astype(np.float64)).astype(np.float16)
    found = rg.jit(lambda x: elementwise.tanh(x))(x)
    np.testing.assert_array_max_ulp(found, expected, 1)


def test_float64_to_float16_rounds_once_and_needs_no_library():
    """Midpoints of float16 and their float32 and float64 neighbours, subnormals, overflow, NaN; and cbrt, in float64 inside."""
    edge = np.arange(0, 0x7C00, 7, dtype=np.uint16).view(np.float16).astype(np.float64)
    middle = (edge[:-1] + edge[1:]) / 2
    ends = [0.0, 2.0**-25, 65519.999, 65520.0, 1e300, 5e-324, np.inf, np.nan]
    x = np.concatenate([edge, middle, np.nextafter(middle, 1e9), np.nextafter(middle, 0), middle * (1 + 1e-9), ends])
    x = np.concatenate([x, -x])
    with np.errstate(all="ignore"):
        expected = x.astype(np.float16)
    np.testing.assert_array_equal(rg.jit(lambda x: x.astype(np.float16))(x).view(np.uint16), expected.view(np.uint16))
    y = np.linspace(-9, 9, 5000).astype(np.float16)
    np.testing.assert_array_max_ulp(rg.jit(np.cbrt)(y), np.cbrt(y.astype(np.float64)).astype(np.float16), maxulp=1)
