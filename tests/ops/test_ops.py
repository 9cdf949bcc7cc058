"""The generic suite: each primitive, from its own samples, by one set of checks."""

import numpy as np
import pytest
from outputs import outputs_of

import retrograde as rg
import retrograde.ops.accumulate
import retrograde.ops.correlate
import retrograde.ops.pool
import retrograde.ops.sort
import retrograde.ops.update
import retrograde.random  # registers its primitives
from retrograde.compile import Compiled, interpret
from retrograde.ir import check_graph, evaluate
from retrograde.ir.primitive import REGISTRY
from retrograde.optimize import optimize
from retrograde.trace import trace_to_graph
from retrograde.types import type_of

# tested where they are used
NESTED = {"branch", "scan", "fused", "product", "by_rows", "straight", "checkpoint", "custom", "after", "implicit"}
WIDE, SINGLE = (np.float64, np.complex128), (np.float32, np.complex64)
CASES = [
    pytest.param(output, args, params, id=f"{output.name}-{i}")
    for name, primitive in sorted(REGISTRY.items())
    if name not in NESTED
    for i, (args, params) in enumerate(primitive.samples())
    for output in outputs_of(primitive, args, params)
]
SMOOTH = [
    case
    for case in CASES
    if case.values[0].pullback is not None
    and case.values[0].name != "stop_gradient"  # its derivative is 0 on purpose
    and case.values[2].get("dtype", np.dtype(float)) in WIDE  # differences through float32 are rounding
    and any(np.asarray(a).dtype in WIDE for a in case.values[1])
    and all(np.isfinite(a).all() for a in case.values[1] if np.asarray(a).dtype.kind in "fc")
]


def graph_of(primitive, args, params):
    return trace_to_graph(lambda *xs: primitive(*xs, **params), args)[0]


def run(primitive, args, params):
    with np.errstate(all="ignore"):
        return primitive.reference(*args, **params)


@pytest.mark.parametrize("primitive, args, params", CASES)
def test_type_rule_says_what_numpy_gives(primitive, args, params):
    expected = primitive.type_rule(*map(type_of, args), **params)
    assert type_of(run(primitive, args, params)) == expected


@pytest.mark.parametrize("primitive, args, params", CASES)
def test_optimized_graph_is_well_typed_and_means_the_same(primitive, args, params):
    graph = check_graph(graph_of(primitive, args, params))
    better = check_graph(optimize(graph))
    with np.errstate(all="ignore"):
        (found,) = evaluate(better, args)
    if primitive.name == "matmul" and np.asarray(found).dtype.kind == "c":  # said in real products
        assert_close(found, run(primitive, args, params))
    else:
        np.testing.assert_array_equal(found, run(primitive, args, params))


@pytest.mark.parametrize("primitive, args, params", CASES)
def test_compiled_equals_interpreted(primitive, args, params):
    graph = graph_of(primitive, args, params)
    (found,) = Compiled(graph)(args)
    expected = interpret(graph, args)[0]
    assert_close(found, expected)


def assert_close(found, expected):
    assert type_of(found) == type_of(expected)
    tolerance = 2e-6 if np.asarray(expected).dtype in SINGLE else 1e-14
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("primitive, args, params", SMOOTH)
def test_pullback_agrees_with_central_differences(primitive, args, params):
    check_pullback(lambda *xs: primitive(*xs, **params), args)


@pytest.mark.parametrize("primitive, args, params", SMOOTH)
def test_second_order_agrees_with_central_differences(primitive, args, params):
    varying = [i for i, a in enumerate(args) if np.asarray(a).dtype in WIDE]

    def gradient(*xs):
        grads = rg.grad(lambda *ys: _weigh(primitive(*ys, **params)), argnums=tuple(varying))(*xs)
        return sum(map(_weigh, grads[1:]), _weigh(grads[0]))

    check_pullback(gradient, args, tolerance=2e-5)


@pytest.mark.parametrize("primitive, args, params", SMOOTH)
def test_push_forward_agrees_with_central_differences_and_the_pullback(primitive, args, params):
    varying, directions, pushed, pulled = forward_and_reverse(primitive, params, args)
    if np.asarray(pulled[0]).dtype.kind not in "fc":
        assert not np.any(pushed[1])
        return

    def at(t):
        moved = [x + t * d for x, d in zip((np.asarray(args[i]) for i in varying), directions)]
        with np.errstate(all="ignore"):
            return np.asarray(primitive(*_merge(args, varying, moved), **params))

    step = 1e-6
    found, expected = np.asarray(pushed[1]), (at(step) - at(-step)) / (2 * step)
    assert type_of(found) == type_of(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * (1 + np.max(np.abs(expected), initial=0)))


@pytest.mark.parametrize("primitive, args, params", SMOOTH)
def test_compiled_push_forward_equals_the_interpreted(primitive, args, params):
    varying, directions, (value, tangent), _ = forward_and_reverse(primitive, params, args)

    def push(xs, ts):
        return rg.jvp(lambda *ys: primitive(*_merge(args, varying, ys), **params), xs, ts)

    found = rg.jit(push)([np.asarray(args[i]) for i in varying], directions)
    scale = 1 + np.max(np.abs(tangent), initial=0)
    for got, expected in zip(found, (value, tangent)):
        assert type_of(got) == type_of(expected)
        np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-14 * scale)


def forward_and_reverse(primitive, params, args):
    """The value and its tangent in random directions, and the cotangents of a random one; <ct, J t> is <J' ct, t>."""
    rng = np.random.default_rng(1)
    varying = [i for i, a in enumerate(args) if np.asarray(a).dtype in WIDE]
    given = [np.asarray(args[i]) for i in varying]
    directions = [_draw(rng, x) for x in given]

    def f(*xs):
        return primitive(*_merge(args, varying, xs), **params)

    with np.errstate(all="ignore"):
        value, tangent = rg.jvp(f, given, directions)
        out, pull = rg.vjp(f, *given)
        np.testing.assert_array_equal(value, out)
        ct = _draw(rng, out)
        cts = pull(ct)
        if np.asarray(out).dtype.kind in "fc":
            terms = [_inner(ct, tangent), *map(_inner, cts, directions)]
            assert abs(terms[0] - sum(terms[1:])) <= 1e-12 * (1 + sum(map(abs, terms)) + np.sum(np.abs(ct * tangent)))
    return varying, directions, (value, tangent), (out, cts)


def _draw(rng, x):
    """Random numbers like `x`, complex ones if it is."""
    drawn = rng.normal(size=np.shape(x))
    return drawn + 1j * rng.normal(size=np.shape(x)) if np.asarray(x).dtype.kind == "c" else drawn


def _inner(x, y):
    """The real inner product: of complex numbers as pairs of real ones."""
    return np.sum((np.conj(x) * y).real)


def _weigh(x):
    """A weighted sum that tells all elements apart, and their parts."""
    if x.dtype.kind == "c":
        return _weigh(x.real) + 0.7 * _weigh(x.imag)
    if x.size == 0:
        return np.float64(0.0) * rg.numpy.sum(x)
    return rg.numpy.sum(x * np.cos(np.arange(x.size, dtype=float)).reshape(x.shape))


def check_pullback(f, args, tolerance=1e-6):
    """<ct, df> by the pullback against central differences in a random direction, for each float or complex argument."""
    rng = np.random.default_rng(0)
    varying = [i for i, a in enumerate(args) if np.asarray(a).dtype in WIDE]
    with np.errstate(all="ignore"):
        out, pull = rg.vjp(lambda *xs: f(*_merge(args, varying, xs)), *[np.asarray(args[i]) for i in varying])
        if np.asarray(out).dtype.kind not in "fc":
            return
        ct = _draw(rng, out)
        cts = pull(ct)
        for place, i in enumerate(varying):
            direction = _draw(rng, args[i])
            step = 1e-6

            def at(t, i=i, direction=direction):
                moved = list(args)
                moved[i] = np.asarray(args[i]) + t * direction
                return np.asarray(f(*moved))

            expected = _inner(ct, (at(step) - at(-step)) / (2 * step))
            found = _inner(cts[place], direction)
            assert abs(found - expected) <= tolerance * (1 + abs(expected)) * 10, (found, expected)


def _merge(args, varying, xs):
    merged = list(args)
    for i, x in zip(varying, xs):
        merged[i] = x
    return merged


@pytest.mark.parametrize("primitive, args, params", [case for case in SMOOTH if case.values[0].push is not None])
def test_a_push_forward_of_its_own_is_the_derived_one(primitive, args, params, monkeypatch):
    direct = forward_and_reverse(primitive, params, args)[2]
    monkeypatch.setattr(primitive, "push", None)
    for own, derived in zip(direct, forward_and_reverse(primitive, params, args)[2]):
        np.testing.assert_allclose(own, derived, rtol=1e-13, atol=1e-13)
