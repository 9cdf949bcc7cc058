"""Sums of arrays embedded in zeros: one concatenation where they fill an axis, as they are where not."""

import numpy as np
import pytest

import retrograde as rg
from retrograde.ir import check_graph, evaluate
from retrograde.optimize.join import join
from retrograde.optimize.simplify import simplify
from retrograde.trace import trace_to_graph

RNG = np.random.default_rng(0)


def names(graph):
    return [eq.primitive.name for eq in graph.equations]


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_the_gradient_of_a_split_is_joined(axis):
    def f(x):
        a, b, c = np.split(x, [2, 3], axis=axis)
        return np.sum(np.sin(b)) + np.sum(a * a) + np.sum(np.exp(c))

    x = RNG.normal(size=(5, 6, 7))
    before = simplify(trace_to_graph(rg.grad(f), [x])[0])
    graph = check_graph(join(before))
    assert names(before).count("embed") == 3 and names(graph).count("concatenate") == 1
    assert "embed" not in names(graph)
    np.testing.assert_array_equal(evaluate(graph, [x])[0], evaluate(before, [x])[0])
    np.testing.assert_allclose(rg.jit(rg.grad(f))(x), rg.grad(f)(x), rtol=1e-14)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum(np.sin(x[:2])) + np.sum(x[3:] ** 2),  # a gap
        lambda x: np.sum(np.sin(x[:3])) + np.sum(x[2:] ** 2),  # an overlap
        lambda x: np.sum(np.sin(x[::2])) + np.sum(x[1::2] ** 2),  # in turn
        lambda x: np.sum(np.sin(x[:3, :2])) + np.sum(x[3:, 2:] ** 2),  # corners
        lambda x: np.sum(np.sin(x[:3])) + np.sum(np.cos(x) ** 2),  # one part only
    ],
)
def test_what_does_not_fill_an_axis_stays_a_sum(f):
    x = RNG.normal(size=(6, 4))
    graph = join(simplify(trace_to_graph(rg.grad(f), [x])[0]))
    assert "concatenate" not in names(graph)
    np.testing.assert_allclose(rg.jit(rg.grad(f))(x), rg.grad(f)(x), rtol=1e-14)


def test_a_large_concatenation_is_shared_and_has_the_same_bits():
    x, y = RNG.normal(size=(70, 300, 8)), RNG.normal(size=(70, 8, 5)).swapaxes(1, 2)
    f = rg.jit(lambda x, y: np.concatenate([x, y, x[:, :9]], axis=1))
    assert f.lower(x, y).sharing.count()[0] == 1
    try:
        for threads in (1, 2, 3):
            rg.set_threads(threads)
            np.testing.assert_array_equal(f(x, y), np.concatenate([x, y, x[:, :9]], axis=1))
    finally:
        rg.set_threads(None)
