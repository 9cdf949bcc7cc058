"""Random calls of some sixty functions: shapes, axes, keepdims and dtypes, against NumPy in value, shape and dtype, and in the
gradient against central differences.

Inputs keep off kinks and poles: magnitudes are distinct and far apart, so that no step of the differences changes an order.
"""

import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import retrograde as rg

SIDES = st.integers(0, 4)
SHAPES = st.lists(SIDES, min_size=0, max_size=3).map(tuple)
FULL = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)
DTYPES = st.sampled_from([np.float64] * 4 + [np.float32, np.int64, np.int32, np.bool_, np.complex128])
REAL = st.sampled_from([np.float64] * 4 + [np.float32, np.int64, np.bool_])

ELEMENTWISE = [
    np.sin, np.cos, np.tanh, np.arctan, np.sinh, np.exp, np.expm1, np.square, np.negative, np.absolute, np.sqrt, np.log, np.log1p,
    np.reciprocal, np.sign, np.floor, np.rint, np.cbrt, np.arcsinh, np.sinc,
]  # fmt: skip
POSITIVE = {np.sqrt, np.log, np.log1p, np.cbrt, np.reciprocal}
REAL_ONLY = {np.cbrt, np.floor, np.sinc, np.rint, np.sign}
PAIRS = [
    np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum, np.hypot, np.arctan2, np.logaddexp, np.fmax, np.copysign,
    np.remainder, np.float_power,
]  # fmt: skip
REDUCTIONS = [
    np.sum, np.mean, np.prod, np.max, np.min, np.var, np.std, np.median, np.ptp, np.nansum, np.nanmax, np.nanmean, np.nanstd,
    np.linalg.norm, np.all, np.argmax,
]  # fmt: skip
ALONG = [np.cumsum, np.cumprod, np.sort, np.argsort, np.flip, np.diff, np.nancumsum, np.fft.fft, np.gradient]


def axes_of(x):
    return st.integers(-x.ndim, x.ndim - 1)


def after(f, *more, **kwargs):
    return lambda x: f(x, *more, **kwargs)


SHAPING = {  # from a way to draw and the array, a function
    "transpose": lambda draw, x: after(np.transpose, draw(st.permutations(range(x.ndim)))),
    "moveaxis": lambda draw, x: after(np.moveaxis, draw(axes_of(x)), draw(axes_of(x))),
    "swapaxes": lambda draw, x: after(np.swapaxes, draw(axes_of(x)), draw(axes_of(x))),
    "roll": lambda draw, x: after(np.roll, draw(st.integers(-5, 5)), draw(axes_of(x))),
    "repeat": lambda draw, x: after(np.repeat, draw(st.integers(0, 3)), draw(axes_of(x))),
    "stack": lambda draw, x: (lambda axis: lambda x: np.stack([x, x * 2], axis))(draw(axes_of(x))),
    "concatenate": lambda draw, x: (lambda axis: lambda x: np.concatenate([x, x, -x], axis))(draw(axes_of(x))),
    "pad": lambda draw, x: after(np.pad, draw(st.integers(0, 2)), mode=draw(st.sampled_from(["constant", "edge", "wrap"]))),
    "tile": lambda draw, x: after(np.tile, draw(st.lists(st.integers(0, 3), min_size=1, max_size=3).map(tuple))),
    "reshape": lambda draw, x: after(np.reshape, (-1, x.shape[draw(axes_of(x))])),
    "expand_dims": lambda draw, x: after(np.expand_dims, draw(axes_of(x))),
    "take": lambda draw, x: after(np.take, draw(st.lists(st.integers(-9, 9), max_size=4)), draw(axes_of(x)), mode="wrap"),
    "delete": lambda draw, x: after(np.delete, draw(st.integers(-1, 0)), draw(axes_of(x))),
    "index": lambda draw, x: (lambda step: lambda x: x[..., ::step])(draw(st.sampled_from([-2, -1, 1, 2]))),
    "tril": lambda draw, x: after(np.tril, draw(st.integers(-2, 2))),
    "tensordot": lambda draw, x: lambda x: np.tensordot(x, x, x.ndim),
    "einsum": lambda draw, x: lambda x: np.einsum("...i,...i->...", x, x),
}

SETTINGS = settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def numbers(draw, shape, dtype, positive=False):
    """Of distinct magnitudes from 0.1 to about 2, shuffled, with random signs."""
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    size = int(np.prod(shape))
    x = rng.permutation(0.1 + 0.43 * np.sqrt(np.arange(size) + rng.uniform(0.1, 0.3)))
    if not positive:
        x = x * rng.choice([-1, 1], size)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.permutation(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (x * (2 if np.dtype(dtype).kind in "iu" else 1)).reshape(shape).astype(dtype)


def compare(f, *args):
    """Value, shape and dtype traced and compiled; what NumPy refuses, we refuse. Then the gradient."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = f(*args)
        except (TypeError, ValueError, IndexError) as error:
            if "cannot reshape array of size 0" in str(error):
                return  # a median of nothing is NaN to NumPy along one axis, and this along several
            with pytest.raises((TypeError, ValueError, IndexError)):
                rg.trace(f)(*args)
            return
        floats = [i for i, x in enumerate(args) if x.dtype.kind in "fc"]
        found = rg.vjp(_only(f, args, floats), *[args[i] for i in floats])[0] if floats else rg.jit(f)(*args)
        same(found, expected)
        wide = all(args[i].dtype in (np.float64, np.complex128) for i in floats)
        smooth = floats and wide and all(x.dtype.kind in "fc" and np.isfinite(x).all() for x in leaves(expected))
        if smooth:
            check_gradient(_only(f, args, floats), [args[i] for i in floats])


def _only(f, args, places):
    def call(*xs):
        full = list(args)
        for i, x in zip(places, xs):
            full[i] = x
        return f(*full)

    return call


def leaves(out):
    return list(out) if isinstance(out, (tuple, list)) else [np.asarray(out)]


def same(found, expected):
    for a, b in zip(leaves(found), leaves(expected), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        tolerance = {np.float16: 3e-3, np.float32: 3e-6, np.complex64: 3e-6}.get(b.dtype.type, 1e-12)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def inner(xs, ys):
    return sum(np.sum((np.conj(x) * y).real) for x, y in zip(xs, ys))


def check_gradient(f, xs, step=1e-6):
    outs, pull = rg.vjp(f, *xs)
    rng = np.random.default_rng(3)
    cts = [rng.normal(size=x.shape) + (1j * rng.normal(size=x.shape) if x.dtype.kind == "c" else 0) for x in leaves(outs)]
    ds = [rng.normal(size=x.shape) + (1j * rng.normal(size=x.shape) if x.dtype.kind == "c" else 0) for x in xs]
    grads = pull(type(outs)(cts) if isinstance(outs, (tuple, list)) else cts[0])
    ahead, behind = (leaves(f(*[x + t * d for x, d in zip(xs, ds)])) for t in (step, -step))
    expected = inner(cts, [(a - b) / (2 * step) for a, b in zip(ahead, behind)])
    size = sum(np.sum(np.abs(a)) for a in ahead) + sum(np.sum(np.abs(g)) for g in grads)
    assert abs(inner(grads, ds) - expected) <= 1e-6 * (1 + abs(expected)) + 3e-9 * size


@SETTINGS
@given(st.data(), st.sampled_from(ELEMENTWISE), SHAPES, DTYPES)
def test_elementwise(data, f, shape, dtype):
    kinds = "fc" if f is np.reciprocal else "fiub" if f in REAL_ONLY else "fiubc"  # 1 / n in integers is refused here
    dtype = dtype if np.dtype(dtype).kind in kinds else np.float64
    compare(f, numbers(data.draw, shape, dtype, positive=f in POSITIVE))


@SETTINGS
@given(st.data(), st.sampled_from(PAIRS), FULL, REAL, REAL)
def test_pairs_broadcast(data, f, shape, one, other):
    smaller = tuple(data.draw(st.sampled_from([1, n])) for n in shape[data.draw(st.integers(0, len(shape))) :])
    x, y = numbers(data.draw, shape, one, positive=f is np.float_power), numbers(data.draw, smaller, other, positive=True) + 0
    x = x + x.dtype.type(0) if x.dtype.kind != "f" else x * x.dtype.type(1.037)  # ties no y
    compare(f, *((x, y) if data.draw(st.booleans()) or f in (np.remainder, np.divide, np.float_power) else (y, x)))


@SETTINGS
@given(st.data(), st.sampled_from(REDUCTIONS), SHAPES, REAL, st.booleans())
def test_reductions(data, f, shape, dtype, keepdims):
    x = numbers(data.draw, shape, dtype)
    axis = data.draw(st.none() | axes_of(x)) if x.ndim else None
    if x.ndim > 1 and f not in (np.argmax,) and data.draw(st.booleans()):
        axis = tuple(data.draw(st.permutations(range(x.ndim)))[:2])
    compare(lambda x: f(x, axis=axis, keepdims=keepdims), x)


@SETTINGS
@given(st.data(), st.sampled_from(ALONG), FULL, REAL)
def test_along_an_axis(data, f, shape, dtype):
    x = numbers(data.draw, shape, dtype)
    axis = data.draw(axes_of(x))
    compare(lambda x: f(x, axis=axis), x)


@SETTINGS
@given(st.data(), st.sampled_from(sorted(SHAPING)), FULL, DTYPES)
def test_shape_and_choice(data, name, shape, dtype):
    x = numbers(data.draw, shape, dtype)
    compare(SHAPING[name](data.draw, x), x)
