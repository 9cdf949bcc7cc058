"""bfloat16 as a dtype of graphs, products of reduced precision, and values held narrow."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import retrograde as rg
from retrograde.compile import Compiled, interpret
from retrograde.errors import GraphTypeError, UnsupportedError
from retrograde.ir import check_graph, evaluate
from retrograde.optimize import optimize
from retrograde.runtime import llvm
from retrograde.trace import trace_to_graph

BF16 = rg.bfloat16
RNG = np.random.default_rng(0)
NARROW = rg.jit(lambda x: x.astype(BF16))
BOTH = pytest.mark.parametrize("dtype", [BF16, np.dtype(np.float16)], ids=["bf16", "f16"])


def same_bits(found, expected):
    assert found.dtype == expected.dtype
    assert np.asarray(found).tobytes() == np.asarray(expected).tobytes()


@pytest.fixture(params=[True, False], ids=["pairs", "float32"])
def processor(request, monkeypatch):
    """This processor as it is, and as if it had no AVX512-BF16."""
    real = llvm.host()
    if request.param and not real.pairs:
        pytest.skip("this processor has no AVX512-BF16")
    monkeypatch.setattr(llvm, "host", lambda: replace(real, pairs=request.param))


@given(st.lists(st.integers(0, 2**32 - 1), min_size=32, max_size=32))
@settings(max_examples=200, deadline=None)
def test_float32_is_rounded_to_the_nearest(bits):
    x = np.array(bits, np.uint32).view(np.float32)
    with np.errstate(all="ignore"):
        same_bits(NARROW(x), x.astype(BF16))


def test_every_bfloat16_comes_back():
    x = np.arange(65536, dtype=np.uint16).view(BF16)
    wide = rg.jit(lambda v: v.astype(np.float32))(x)
    same_bits(wide, x.astype(np.float32))
    quiet = ~np.isnan(wide)
    same_bits(NARROW(wide)[quiet], x[quiet])


@given(st.lists(st.floats(-7e4, 7e4) | st.floats(-1e-4, 1e-4), min_size=16, max_size=16))
@settings(max_examples=200, deadline=None)
def test_float64_is_rounded_to_float16_once(numbers):
    x = np.array(numbers)
    with np.errstate(over="ignore"):
        same_bits(TO_HALF(x), x.astype(np.float16))


TO_HALF = rg.jit(lambda x: x.astype(np.float16))


def test_double_rounding_would_show():
    x = np.array([1 + 2.0**-11 + 2.0**-40, -(1 + 2.0**-11 - 2.0**-40), np.inf, np.nan, 1e300])
    with np.errstate(over="ignore"):
        same_bits(TO_HALF(np.resize(x, 16)), np.resize(x, 16).astype(np.float16))


@pytest.mark.parametrize("function", [
    np.add, np.multiply, np.divide, np.maximum, np.less, np.negative, np.abs, np.square, np.sqrt, np.exp,
], ids=lambda f: f.__name__)  # fmt: skip
def test_arithmetic_means_what_it_means_in_numpy(function):
    args = [np.abs(RNG.normal(size=3000)).astype(np.float32).astype(BF16) for _ in range(function.nin)]
    graph = check_graph(trace_to_graph(lambda *xs: function(*xs), args)[0])
    expected = function(*args)
    same_bits(interpret(graph, args)[0], expected)
    found = Compiled(graph)(args)[0]
    assert found.dtype == expected.dtype
    # exp is within an ulp of float32 of NumPy's, which may tip a rounding
    np.testing.assert_allclose(found.astype(np.float32), expected.astype(np.float32), rtol=2.0**-7 if function is np.exp else 0)


def test_promotion_is_numpys():
    x = np.ones(3, np.float32).astype(BF16)
    for f in (lambda v: v * 2.0, lambda v: v + v, lambda v: v + np.float32(1), lambda v: np.where(v > 0, v, -v), lambda v: v @ v):
        assert rg.jit(f)(x).dtype == np.asarray(f(x)).dtype


def test_storage_in_compiled_code_indexes_copies_and_compares():
    x = RNG.normal(size=(6, 8)).astype(np.float32).astype(BF16)

    def f(v):
        return np.concatenate([v.T[::2], v.T[1::2]]), v[np.array([3, 1])], np.argmax(v, axis=1), np.reshape(v, (4, 12))

    for found, expected in zip(rg.jit(f)(x), f(x)):
        same_bits(found, np.ascontiguousarray(expected))


@pytest.mark.parametrize("f", [np.sum, np.mean, np.max, np.var], ids=lambda f: f.__name__)
def test_reductions_of_bfloat16_are_refused(f):
    with pytest.raises(GraphTypeError, match=r"astype\(np.float32\)"):
        rg.jit(lambda x: f(x))(np.ones(4, BF16))


def test_product_of_two_arrays_is_float32_and_has_a_gradient(processor):
    a, b = (RNG.normal(size=s).astype(np.float32).astype(BF16) for s in ((40, 64), (64, 30)))
    wide = a.astype(np.float32) @ b.astype(np.float32)
    found = rg.jit(lambda x, y: x @ y)(a, b)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wide, rtol=1e-5, atol=1e-5)
    gradient = rg.jit(rg.grad(lambda x, y: np.sum((x @ y) ** 2)))(a, b)
    assert gradient.dtype == BF16
    np.testing.assert_allclose(gradient.astype(np.float32), 2 * wide @ b.astype(np.float32).T, rtol=0.02, atol=0.5)


def test_vmap_of_a_product():
    a, b = (RNG.normal(size=s).astype(np.float32).astype(BF16) for s in ((5, 3, 6), (6, 4)))
    found = rg.vmap(lambda x: x @ b)(a)
    np.testing.assert_allclose(found, a.astype(np.float32) @ b.astype(np.float32), rtol=1e-6, atol=1e-6)


@BOTH
def test_reduced_rounds_operands_and_adds_in_float32(dtype, processor):
    x, w = RNG.normal(size=(48, 64)).astype(np.float32), RNG.normal(size=(32, 64)).astype(np.float32)
    f = rg.reduced(lambda x, w: np.tanh(x @ w.T), dtype)
    x64, w64 = (v.astype(dtype).astype(np.float64) for v in (x, w))
    for g in (f, rg.jit(f)):
        found = g(x, w)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, np.tanh(x64 @ w64.T), rtol=1e-4, atol=2e-6)


@BOTH
def test_gradients_are_near_those_of_float32(dtype, processor):
    """Three layers, at most three roundings by half an ulp for each product: 2^-6 of the norm in bfloat16, 2^-9 in float16."""
    sizes = (64, 96, 64, 32)
    ws = [RNG.normal(size=(a, b)).astype(np.float32) / np.float32(np.sqrt(a)) for a, b in zip(sizes, sizes[1:])]
    x = RNG.normal(size=(128, 64)).astype(np.float32)

    def network(ws):
        h = x
        for w in ws[:-1]:
            h = np.tanh(h @ w)
        return h @ ws[-1]

    def narrow(ws):
        prediction, pull = rg.vjp(rg.reduced(network, dtype), ws, hold=dtype)
        return pull(prediction)[0]

    exact = rg.grad(lambda ws: np.sum(network(ws) ** 2) * 0.5)(ws)
    interpreted, compiled = narrow(ws), rg.jit(narrow)(ws)
    for e, i, c in zip(exact, interpreted, compiled):
        assert i.dtype == c.dtype == np.float32
        bound = 2.0**-6 if dtype == BF16 else 2.0**-9
        assert 0 < np.linalg.norm(i - e) < bound * np.linalg.norm(e)
        assert np.linalg.norm(c - i) < bound / 16 * np.linalg.norm(e)  # a sum in another order may tip a rounding


@BOTH
def test_held_values_take_half_the_memory(dtype):
    ws = [np.ones((16, 16), np.float32)] * 3

    def network(ws):
        h = np.ones((8, 16), np.float32)
        for w in ws:
            h = np.tanh(h @ w)
        return h

    whole, half = rg.held_for_backward(network)(ws), rg.held_for_backward(rg.reduced(network, dtype), hold=dtype)(ws)
    assert {t.dtype for name, t in half if name != "input"} == {dtype}
    size = [sum(t.nbytes for name, t in held if name != "input") for held in (whole, half)]
    assert size[0] == 3 * 8 * 16 * 4 and size[1] * 2 == size[0]


def test_products_inside_loops_are_reduced():
    w, xs = RNG.normal(size=(8, 8)).astype(np.float32), RNG.normal(size=(5, 4, 8)).astype(np.float32)

    def recurrent(w):
        return rg.scan(lambda h, x: (np.tanh(h @ w + x), None), np.zeros((4, 8), np.float32), xs)[0]

    graph = trace_to_graph(rg.reduced(recurrent, BF16), [w])[0]
    assert "matmul[precision=bfloat16]" in str(graph)
    found = rg.jit(rg.reduced(recurrent, BF16))(w)
    np.testing.assert_allclose(found, interpret(graph, [w])[0], atol=2e-3)
    assert np.abs(found - recurrent(w)).max() < 0.05


def test_each_value_is_narrowed_once_and_widened_by_its_readers():
    x, w = np.ones((64, 32), np.float32), np.ones((32, 32), np.float32)

    def f(w):
        y, pull = rg.vjp(rg.reduced(lambda w: np.tanh(np.tanh(x @ w) @ w.T), BF16), w, hold=BF16)
        return pull(y)[0]

    graph = trace_to_graph(f, [w])[0]
    for pairs in (True, False):
        better = check_graph(optimize(graph, pairs))
        narrowed = str(better).count("bf16[32,32] = astype")
        assert narrowed == 1  # the weights, for four products
        np.testing.assert_allclose(evaluate(better, [w])[0], interpret(graph, [w])[0], rtol=1e-6)


def test_other_dtypes_are_refused():
    with pytest.raises(UnsupportedError, match="bfloat16"):
        rg.reduced(lambda x: x, np.float64)
    with pytest.raises(GraphTypeError, match="float32 or bfloat16"):
        rg.numpy.linear._product.type_rule(*[rg.types.type_of(np.ones((2, 2)))] * 2, precision=BF16)
