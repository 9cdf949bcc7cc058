"""Work on short rows in one loop: values, gradients, sums, in-place rows, and what stays as it was."""

import numpy as np
import pytest

import retrograde as rg
from retrograde.compile import Compiled, interpret
from retrograde.nn.losses import cross_entropy
from retrograde.ops.control import by_rows
from retrograde.optimize import optimize, straighten
from retrograde.trace import trace_to_graph

RNG = np.random.default_rng(8)


@pytest.fixture(autouse=True)
def _no_straight_code(monkeypatch):
    monkeypatch.setattr(straighten, "LIMIT", 0)


def count(graph):
    return sum(eq.primitive is by_rows for eq in graph.equations) + sum(map(count, graph.subgraphs()))


def check(f, args, wanted=1):
    graph = trace_to_graph(f, args)[0]
    compiled = Compiled(graph)
    assert count(compiled.graph) == wanted
    with np.errstate(all="ignore"):
        expected = interpret(graph, args)
        passed = interpret(optimize(graph), args)
    for got, again, want in zip(compiled(args), passed, expected):
        tolerance = 1e-5 if want.dtype == np.float32 else 1e-12
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(again, want, rtol=tolerance, atol=tolerance)
        assert np.asarray(got).dtype == want.dtype and np.shape(got) == want.shape


@pytest.mark.parametrize("rows, columns", [(8, 1), (9, 2), (31, 3), (33, 10), (127, 7), (1000, 16), (17, 15)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_loss_of_logits_and_its_gradient_are_one_loop(rows, columns, dtype):
    logits, bias = RNG.normal(size=(rows, columns)).astype(dtype), RNG.normal(size=columns).astype(dtype)
    labels = RNG.integers(0, columns, rows)
    check(rg.value_and_grad(lambda z, b: cross_entropy(z + b, labels), argnums=(0, 1)), (logits, bias))


def test_labels_are_brought_into_range_and_may_be_negative():
    labels = np.array([-1, 0, 5, 2, -7, 1, 2, 0, 1])
    f = lambda z, i: np.sum(np.exp(np.take_along_axis(z - z.max(1, keepdims=True), i[:, None], 1)) ** 2, axis=0)  # noqa: E731
    z = RNG.normal(size=(9, 4))
    wanted = np.clip(np.where(labels < 0, labels + 4, labels), 0, 3)
    graph = trace_to_graph(rg.grad(lambda z, i: f(z, i)[0]), (z, labels))[0]
    np.testing.assert_allclose(Compiled(graph)((z, labels))[0], rg.grad(lambda z: f(z, wanted)[0])(z), rtol=1e-12)


def test_a_row_reads_a_transposed_operand_and_writes_where_one_dies():
    def f(x, w):
        for _ in range(3):
            x = x / np.square(x).sum(axis=1, keepdims=True) + np.tanh(x - x.max(axis=1, keepdims=True)) * w
        return x, x.sum(axis=0)

    check(f, (RNG.uniform(1, 2, (5, 40)).T, RNG.normal(size=5)))
    carry = RNG.uniform(1, 2, (40, 5))

    def loop(x, w):
        return rg.fori_loop(0, 4, lambda i, x: f(x, w)[0], x)

    check(loop, (carry, RNG.normal(size=5)))


def test_values_that_others_want_come_out():
    def f(x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        total = e.sum(axis=1, keepdims=True)
        p = e / total
        return p, total[:, 0], (p * p).sum(), (p[:, :1] + np.ones((1, 40))).sum(axis=0)

    check(f, (RNG.normal(size=(40, 6)),))


def test_two_stretches_with_a_product_between():
    def f(x, w):
        p = np.exp(x - x.max(axis=1, keepdims=True))
        q = (p / p.sum(axis=1, keepdims=True)) @ w
        q = np.exp(q - q.max(axis=1, keepdims=True))
        return q / q.sum(axis=1, keepdims=True)

    check(f, (RNG.normal(size=(50, 6)), RNG.normal(size=(6, 7))), wanted=2)


def test_what_stays_as_it_was():
    def softmax(x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    check(softmax, (RNG.normal(size=(40, 17)),), wanted=0)  # rows too long
    check(softmax, (RNG.normal(size=(7, 5)),), wanted=0)  # too few
    check(lambda x: np.tanh(x) * 2, (RNG.normal(size=(40, 6)),), wanted=0)  # nothing is reduced


def test_a_softmax_of_many_lanes():
    x = RNG.normal(size=(3, 20, 4))
    f = rg.vmap(rg.grad(lambda z: cross_entropy(z, np.arange(20) % 4)))
    np.testing.assert_allclose(rg.jit(f)(x), f(x), rtol=1e-12, atol=1e-14)
