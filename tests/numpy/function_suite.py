"""The table-driven suite of NumPy's functions: each family's file fills a `Table` and runs these checks over its cases.

A case is a function and its arguments. Arrays are traced, Python numbers only where nothing else is, or by request (`weak`).
"""

import warnings

import numpy as np
import pytest

import retrograde as rg


class Table:
    """Cases, as pytest's parameters."""

    def __init__(self):
        self.cases = []

    def case(self, name, f, *args):
        """`f(*args)` under this name."""
        self.cases.append(pytest.param(f, args, id=name))

    def weak(self, name, f, *args):
        """A case whose Python numbers are traced as well: they stay weak in operators, and nowhere else."""
        f.everything = True
        self.case(name, f, *args)

    def of(self, function, *args, name="", **kwargs):
        """A case for `function(*args, **kwargs)`; the arrays among the positional arguments are traced."""
        shown = ",".join(f"{k}={v}" for k, v in kwargs.items())
        title = f"{function.__name__}-{name or len(self.cases)}-{shown}"
        self.case(title, lambda *xs: function(*xs, **kwargs), *args)

    def smooth(self):
        """The cases whose arguments and results differences make sense of: float64 and finite."""
        return [p for p in self.cases if floats(*p.values) and all(map(is_finite, numpys(*p.values)))]


def leaves(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


def numpys(f, args):
    """What NumPy says; in-place cases get copies."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of lines that are all NaN
        return [np.asarray(x) for x in leaves(f(*[np.copy(x) if isinstance(x, np.ndarray) else x for x in args]))]


def is_number(x):
    return isinstance(x, (np.ndarray, np.generic, float, int)) and not isinstance(x, bool)


def traced_arguments(f, args):
    """Arrays and NumPy scalars are traced; Python numbers only where nothing else is, or by request."""
    if getattr(f, "everything", False):
        return list(range(len(args)))
    arrays = [i for i, x in enumerate(args) if isinstance(x, (np.ndarray, np.generic))]
    return arrays or [i for i, x in enumerate(args) if is_number(x)]


WIDE = (np.float64, np.complex128)


def floats(f, args):
    """The traced arguments in float64 or complex128."""
    return [i for i in traced_arguments(f, args) if np.asarray(args[i]).dtype in WIDE]


def is_finite(x):
    return x.dtype in WIDE and np.isfinite(x).all()


def call_with(f, args, places):
    """`f` as a function of the arguments at these places."""

    def call(*xs):
        full = list(args)
        for i, x in zip(places, xs):
            full[i] = x
        return f(*full)

    return call


def check(found, expected, tolerance):
    assert len(found) == len(expected)
    for a, b in zip(found, expected):
        a = np.asarray(a)
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        scale = tolerance * 1e9 if b.dtype in (np.float32, np.complex64) else tolerance
        with np.errstate(all="ignore"):
            if b.dtype.kind in "fc":
                np.testing.assert_allclose(a, b, rtol=scale, atol=scale)
            else:
                np.testing.assert_array_equal(a, b)


def check_eager(f, args, tolerance=1e-14):
    """Traced eagerly through `rg.vjp`, it gives NumPy's values, shapes and dtypes, and cotangents of its arguments' types."""
    expected = numpys(f, args)
    places = [i for i in traced_arguments(f, args) if np.asarray(args[i]).dtype.kind in "fc"]
    with np.errstate(all="ignore"):
        found, pull = rg.vjp(call_with(f, args, places), *[args[i] for i in places])
    check(leaves(found), expected, tolerance)
    with np.errstate(all="ignore"):
        ones = [np.ones(x.shape, x.dtype) for x in expected]
        many = type(found)._make if hasattr(found, "_fields") else type(found)
        cts = pull(many(ones) if isinstance(found, (tuple, list)) else np.ones_like(expected[0]))
    for i, ct in zip(places, cts):
        assert np.asarray(ct).dtype == np.asarray(args[i]).dtype and np.shape(ct) == np.shape(args[i])


def check_compiled(f, args, tolerance=3e-14):
    """Under `rg.jit` it gives NumPy's values, shapes and dtypes."""
    places = traced_arguments(f, args)
    check(leaves(rg.jit(call_with(f, args, places))(*[args[i] for i in places])), numpys(f, args), tolerance)


def _weighed(f, args):
    """A real scalar that tells all elements of all results apart, as a function of the float64 and complex128 arguments."""
    places = floats(f, args)

    def scalar(*xs):
        total = 0.0
        for out in leaves(call_with(f, args, places)(*xs)):
            weights = np.cos(np.arange(np.size(out), dtype=float)).reshape(np.shape(out))
            total = total + rg.numpy.sum((out * weights * (1 - 0.7j)).real if out.dtype.kind == "c" else out * weights)
        return total

    return scalar, [np.asarray(args[i]) for i in places]


def _direction(xs):
    rng = np.random.default_rng(5)
    drawn = [rng.normal(size=x.shape) for x in xs]
    return [d + 1j * rng.normal(size=x.shape) if x.dtype.kind == "c" else d for d, x in zip(drawn, xs)]


def _inner(xs, ys):
    """The real inner product: of complex numbers as pairs of real ones."""
    return sum(np.sum((np.conj(x) * y).real) for x, y in zip(xs, ys))


def check_gradient(f, args, tolerance=1e-6, step=1e-6):
    """The gradient in a random direction is the central difference; forward mode agrees to rounding, compiled too."""
    scalar, xs = _weighed(f, args)
    ds = _direction(xs)
    grads = rg.grad(scalar, argnums=tuple(range(len(xs))))
    with np.errstate(all="ignore"):
        found = _inner(grads(*xs), ds)
        ahead, behind = (scalar(*[x + t * d for x, d in zip(xs, ds)]) for t in (step, -step))
        expected = (ahead - behind) / (2 * step)
        tangent = rg.jvp(scalar, xs, ds)[1]
        compiled = _inner(rg.jit(grads)(*xs), ds)
    assert abs(found - expected) <= tolerance * (1 + abs(expected)), (found, expected)
    assert abs(found - tangent) <= 1e-11 * (1 + abs(found)), (found, tangent)
    assert abs(found - compiled) <= 1e-11 * (1 + abs(found)), (found, compiled)


def check_second_order(f, args, tolerance=2e-5, step=1e-6):
    """The gradient's own directional derivative, by forward over reverse, is the central difference of the gradient."""
    scalar, xs = _weighed(f, args)
    ds = _direction(xs)
    gradient = rg.grad(scalar, argnums=tuple(range(len(xs))))
    with np.errstate(all="ignore"):
        found = rg.jvp(lambda *ys: gradient(*ys), xs, ds)[1]
        ahead, behind = gradient(*[x + step * d for x, d in zip(xs, ds)]), gradient(*[x - step * d for x, d in zip(xs, ds)])
    for t, a, b in zip(found, ahead, behind):
        expected = (a - b) / (2 * step)
        np.testing.assert_allclose(t, expected, rtol=tolerance, atol=tolerance * (1 + np.max(np.abs(expected), initial=0)))


def check_lanes(f, args):
    """`vmap` over two lanes of every traced argument is a loop over them."""
    places = traced_arguments(f, args)
    call = call_with(f, args, places)
    xs = [np.asarray(args[i]) for i in places]
    lanes = [np.stack([x, x[::-1] if x.ndim else x]) for x in xs]
    with np.errstate(all="ignore"):
        found = leaves(rg.vmap(call)(*lanes))
        rows = [numpys(call, [x[lane] for x in lanes]) for lane in range(2)]
    check(found, [np.stack(both) for both in zip(*rows)], 1e-13)
