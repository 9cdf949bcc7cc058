"""Sums of products that a loop only adds to: one product behind it, with the same numbers; loops that read them as they grow."""

import numpy as np
import pytest

import retrograde as rg
from retrograde.compile import interpret
from retrograde.ir import check_graph
from retrograde.ops.control import scan
from retrograde.ops.prune import prune
from retrograde.optimize import hoist as hoisting
from retrograde.optimize.hoist import hoist
from retrograde.optimize.simplify import simplify
from retrograde.trace import trace_to_graph
from retrograde.tree import tree_leaves

RNG = np.random.default_rng(0)
XS, YS = RNG.normal(size=(7, 2, 4)), RNG.normal(size=(7, 2, 3))
START = RNG.normal(size=(4, 3))


@pytest.fixture(autouse=True)
def everything_is_worth_it(monkeypatch):
    monkeypatch.setattr(hoisting, "LIMIT", 0)


def hoisted(f, *args):
    """The graph after the pass, whose results are checked, and the carries of its loops."""
    before = prune(simplify(trace_to_graph(f, args)[0]))
    graph = check_graph(hoist(before))
    leaves = tree_leaves(args)
    for found, want in zip(interpret(graph, leaves), interpret(before, leaves), strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-12)
    return graph, [eq.params["num_carry"] for eq in graph.equations if eq.primitive is scan]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "add",
    [
        lambda total, x, y: total + x.T @ y,
        lambda total, x, y: x.T @ np.tanh(y) + total,  # stacked for this
        lambda total, x, y: total + (y.T @ x).T,
        lambda total, x, y: total + np.reshape(x, (4, 2)) @ y,  # the left factor lies the other way
    ],
)
def test_a_sum_of_products_is_one_product(add, reverse):
    def f(start, xs, ys):
        return rg.scan(lambda c, xy: (add(c, *xy), None), start, (xs, ys), reverse=reverse)[0]

    graph, carries = hoisted(f, START, XS, YS)
    assert sum(carries) == 0 and [eq.primitive.name for eq in graph.equations].count("matmul") == 1
    np.testing.assert_allclose(rg.jit(f)(START, XS, YS), f(START, XS, YS), rtol=1e-12)


@pytest.mark.parametrize(
    "step",
    [
        lambda c, x, y: (c + x.T @ y, np.sum(c)),  # read as it grows
        lambda c, x, y: (c + np.tanh(c) + x.T @ y, None),
        lambda c, x, y: (c * 0.5 + x.T @ y, None),
        lambda c, x, y: (c + np.exp(x[:1, :3]), None),  # no product
        lambda c, x, y: (c + START, None),
    ],
)
def test_other_carries_stay(step):
    _, carries = hoisted(lambda start: rg.scan(lambda c, xy: step(c, *xy), start, (XS, YS)), START)
    assert sum(carries) == 1


def test_factors_larger_than_the_sum_are_not_stacked():
    xs = RNG.normal(size=(6, 50, 2))
    f = lambda start: rg.scan(lambda c, x: (c + np.tanh(x).T @ np.sin(x), None), start, xs)[0]  # noqa: E731
    assert hoisted(f, np.zeros((2, 2)))[1] == [1]


def test_small_sums_stay(monkeypatch):
    monkeypatch.undo()
    f = lambda start: rg.scan(lambda c, xy: (c + xy[0].T @ xy[1], None), start, (XS, YS))[0]  # noqa: E731
    assert hoisted(f, START)[1] == [1]


def recurrent(params, xs):
    w, u, b, start = params
    return np.sum(rg.scan(lambda h, x: ((h := np.tanh(x @ u + h @ w.T + b)), h), start, xs)[1] ** 2)


def test_the_gradients_of_a_recurrence_are_products_of_stacks():
    params = [RNG.normal(size=s) / 2 for s in ((6, 6), (4, 6), (6,), (2, 6))]
    _, carries = hoisted(rg.grad(recurrent), params, XS)
    assert carries == [1, 1], "what is left is the state forward and its cotangent back"
    for found, want in zip(rg.jit(rg.grad(recurrent))(params, XS), rg.grad(recurrent)(params, XS)):
        np.testing.assert_allclose(found, want, rtol=1e-10)
