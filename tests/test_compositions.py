"""Random compositions of transforms: what the outermost one gives, against differences or a loop over what it was given."""

import functools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import retrograde as rg

N = 3
V = np.array([0.3, -0.7, 0.5])
A = np.array([[0.4, -0.3, 0.2], [0.1, 0.5, -0.6], [-0.2, 0.3, 0.4]])


def _loop(x):
    return rg.scan(lambda c, a: (np.tanh(a @ c + 0.1 * c), np.sum(c)), x, np.stack([A, A.T]))[0] * np.cos(x)


def _exits(x):
    def step(c, a):
        h = np.sin(a * c[0] + c[0])
        return (h, np.sum(x) * 0 + np.sum(h**2) > 1e9, c[2] + 1.0), h

    carry, ys = rg.scan(step, (x, np.False_, np.float64(0.0)), A, exit=lambda c: c[1])
    return carry[0] + np.sum(ys, 0)


FUNCTIONS = {
    "elementwise": lambda x: np.sin(x) * np.exp(-(x**2)),
    "product": lambda x: np.tanh(A @ x) * (x @ A),
    "reduced": lambda x: x * np.log(1.5 + np.sum(x**2)) / (2.0 + np.mean(np.cos(x))),
    "moved": lambda x: np.concatenate([x[1:] * x[0], np.sin(x[:1])]) + np.outer(x, x)[1],
    "gathered": lambda x: rg.numpy.take(np.arctan(x), np.array([2, 0, 2])) * x[::-1],
    "loop": _loop,
    "loop that may end": _exits,
}


def weighed(f):
    return lambda x: np.sum(f(x) * np.array([1.0, 0.6, -0.8]))


def derivative(f, x, v):
    """Along v, by differences of fourth order."""
    h = 2e-3
    at = lambda s: np.asarray(f(x + s * h * v))  # noqa: E731
    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h)


def columns(f, x):
    return np.stack([derivative(f, x, e) for e in np.eye(N)], -1)


def with_a_rule(f):
    wrapped = rg.custom_pullback(lambda x: f(x))
    wrapped.def_pullback(lambda ct, out, x: rg.vjp(f, x)[1](ct))
    return wrapped


def batch(x):
    return np.stack([x, x * 0.5, np.sin(x)])


# name: (the transform, of a function from N numbers to N; what it must give, from the function's values alone)
TRANSFORMS = {
    "grad": (lambda f: rg.grad(weighed(f)), lambda f, x: columns(weighed(f), x)),
    "jvp": (lambda f: lambda x: rg.jvp(f, (x,), (V,))[1], lambda f, x: derivative(f, x, V)),
    "jvp along x": (lambda f: lambda x: rg.jvp(f, (x,), (np.sin(x),))[1], lambda f, x: derivative(f, x, np.sin(x))),
    "linearize": (lambda f: lambda x: rg.linearize(f, x)[1](V), lambda f, x: derivative(f, x, V)),
    "vjp": (lambda f: lambda x: rg.vjp(f, x)[1](V * x)[0], lambda f, x: (V * x) @ columns(f, x)),
    "jacfwd": (lambda f: lambda x: rg.jacfwd(f)(x) @ V, lambda f, x: columns(f, x) @ V),
    "jacrev": (lambda f: lambda x: V @ rg.jacrev(f)(x), lambda f, x: V @ columns(f, x)),
    "hessian": (
        lambda f: lambda x: rg.hessian(weighed(f))(x) @ V, lambda f, x: derivative(rg.grad(weighed(f)), x, V),
    ),
    "hvp": (lambda f: lambda x: rg.hvp(weighed(f), (x,), (V,))[0], lambda f, x: derivative(rg.grad(weighed(f)), x, V)),
    "vmap": (lambda f: lambda x: np.sum(rg.vmap(f)(batch(x)), 0), lambda f, x: sum(f(row) for row in batch(x))),
    "vmap of one": (lambda f: rg.vmap(f, None, axis_size=2, out_axes=None), lambda f, x: f(x)),
    "jit": (rg.jit, lambda f, x: f(x)),
    "checkpoint": (rg.checkpoint, lambda f, x: f(x)),
    "rule": (with_a_rule, lambda f, x: f(x)),
    "in a loop": (
        lambda f: lambda x: rg.scan(lambda c, _: (f(c) * 0.5, None), x, length=2)[0], lambda f, x: f(f(x) * 0.5) * 0.5,
    ),
}  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(FUNCTIONS)), st.lists(st.sampled_from(sorted(TRANSFORMS)), max_size=2),
    st.sampled_from(sorted(TRANSFORMS)), st.integers(0, 5),
)  # fmt: skip
def test_the_outermost_transform_of_any_composition(name, inner, outer, seed):
    x = np.random.default_rng(seed).uniform(-1, 1, N)
    f = functools.reduce(lambda g, step: TRANSFORMS[step][0](g), inner, FUNCTIONS[name])
    transform, reference = TRANSFORMS[outer]
    found, expected = transform(f)(x), reference(f, x)
    scale = 1 + np.max(np.abs(expected))
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * scale)
    np.testing.assert_allclose(rg.jit(transform(f))(x), found, rtol=0, atol=1e-11 * scale)
