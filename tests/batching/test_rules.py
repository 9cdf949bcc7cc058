"""The generic suite of batching rules: each primitive's samples, every set of operands mapped, against a loop over lanes."""

import itertools

import numpy as np
import pytest
from outputs import outputs_of

import retrograde as rg
import retrograde.ops.update
import retrograde.random  # registers its primitives
from retrograde.ir.primitive import REGISTRY
from retrograde.trace import trace_to_graph

OPERANDLESS = {"iota"}  # nothing to map
AFTER_OPTIMIZATION = {"fused", "product", "by_rows", "straight", "after", "random_rows"}  # made after any vmap; they loop
LOOPS: set[str] = set()  # primitives that are applied lane by lane on purpose
LANES = 3
CASES = [
    pytest.param(output, args, params, id=f"{output.name}-{i}")
    for name, primitive in sorted(REGISTRY.items())
    if primitive.samples is not None and name not in OPERANDLESS
    for i, (args, params) in enumerate(primitive.samples())
    for output in outputs_of(primitive, args, params)
]
FIRST = [case for case in CASES if case.id.endswith("-1")]
SMOOTH = [
    case
    for case in CASES
    if case.values[0].pullback is not None and all(np.asarray(a).dtype.kind in "fi" for a in case.values[1])
    and any(np.asarray(a).dtype == np.float64 for a in case.values[1])
    and case.values[0].type_rule(*map(rg.types.type_of, case.values[1]), **case.values[2]).dtype.kind == "f"
]  # fmt: skip


def lane(x, i):
    """A value like `x`, in the domain where `x` is, that differs from lane to lane."""
    x = np.asarray(x)
    if x.ndim == 0 and x.dtype.kind in "iu":
        return (x - i % 2).astype(x.dtype)[()]
    if x.ndim > 1 and x.shape[-1] == x.shape[-2] and np.allclose(x, np.conj(np.swapaxes(x, -1, -2))):
        rolled = np.roll(x, (i, i), (-2, -1))  # a Hermitian matrix stays one, and definite
    else:
        rolled = np.roll(x, i) if x.ndim else x
    return (rolled * (1 - 0.1 * i)).astype(x.dtype)[()] if x.dtype.kind in "fc" else rolled[()]


def stacked(x, axis):
    return np.stack([lane(x, i) for i in range(LANES)], axis)


def looped(f, args, mapped):
    """What the loop says."""
    with np.errstate(all="ignore"):
        return np.stack([f(*[lane(x, i) if m else x for x, m in zip(args, mapped)]) for i in range(LANES)])


def subsets(n):
    """Every choice of operands to map, at least one."""
    return [mapped for mapped in itertools.product([False, True], repeat=n) if any(mapped)]


def same(found, expected):
    assert found.dtype == expected.dtype and found.shape == expected.shape
    if expected.dtype.kind not in "fc":
        np.testing.assert_array_equal(found, expected)
        return
    tolerance = 1e-12 if expected.dtype in (np.float64, np.complex128) else 5e-6
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def test_every_primitive_has_a_rule_or_is_known_to_loop():
    without = {name for name, primitive in REGISTRY.items() if primitive.batch is None}
    assert without == LOOPS | AFTER_OPTIMIZATION | OPERANDLESS


@pytest.mark.parametrize("primitive, args, params", CASES)
def test_rule_agrees_with_a_loop(primitive, args, params):
    def f(*xs):
        return primitive(*xs, **params)

    for mapped in subsets(len(args)):
        expected = looped(f, args, mapped)
        for end in (0, -1):
            in_axes = tuple(end if m else None for m in mapped)
            same(rg.vmap(f, in_axes)(*[stacked(x, end) if m else x for x, m in zip(args, mapped)]), expected)


@pytest.mark.parametrize("primitive, args, params", FIRST)
def test_compiled_rule_agrees_with_a_loop(primitive, args, params):
    def f(*xs):
        return primitive(*xs, **params)

    mapped = subsets(len(args))
    both = {mapped[0], mapped[-1]}
    calls = [rg.vmap(f, tuple(-1 if m else None for m in chosen), out_axes=-1) for chosen in both]
    inputs = [[stacked(x, -1) if m else x for x, m in zip(args, chosen)] for chosen in both]
    for found, chosen in zip(rg.jit(lambda lists: [g(*xs) for g, xs in zip(calls, lists)])(inputs), both):
        same(np.moveaxis(found, -1, 0), looped(f, args, chosen))


@pytest.mark.parametrize("primitive, args, params", FIRST)
def test_without_its_rule_a_primitive_loops(primitive, args, params, monkeypatch):
    monkeypatch.setattr(getattr(primitive, "all", primitive), "batch", None)
    mapped = (True, *[False] * (len(args) - 1))

    def f(*xs):
        return primitive(*xs, **params)

    g, inputs = rg.vmap(f, tuple(0 if m else None for m in mapped)), (stacked(args[0], 0), *args[1:])
    expected = looped(f, args, mapped)
    same(g(*inputs), expected)
    graph = trace_to_graph(g, inputs)[0]
    assert [eq.primitive.name for eq in graph.equations] == ["scan"]
    with np.errstate(all="ignore"):
        same(rg.compile.interpret(graph, inputs)[0], expected)


@pytest.mark.parametrize("primitive, args, params", SMOOTH)
def test_per_lane_gradients_are_those_of_a_loop(primitive, args, params):
    varying = tuple(i for i, a in enumerate(args) if np.asarray(a).dtype == np.float64)

    def loss(*xs):
        y = primitive(*xs, **params)
        return np.sum(y * np.cos(np.arange(y.size)).reshape(y.shape))

    gradient = rg.grad(loss, argnums=varying)
    inputs = [stacked(x, 0) for x in args]
    each = [gradient(*[x[i] for x in inputs]) for i in range(LANES)]
    found = rg.vmap(gradient)(*inputs)
    through = rg.grad(lambda *xs: np.sum(rg.vmap(loss)(*xs)), argnums=varying)(*inputs)
    for got, summed, *expected in zip(found, through, *each):
        same(got, np.stack(expected))
        same(summed, np.stack(expected))
