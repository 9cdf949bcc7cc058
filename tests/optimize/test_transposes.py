"""Transpositions that are taken back are gone where elementwise operations alone lie between, and kept where not."""

import numpy as np
import pytest

import retrograde as rg
from retrograde.ir import evaluate
from retrograde.ir.check import check_graph
from retrograde.ops import shape as sh
from retrograde.optimize.simplify import simplify
from retrograde.optimize.transposes import cancel_transposes
from retrograde.trace import trace_to_graph

RNG = np.random.default_rng(0)
X, Y, C = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(2, 3, 4)), RNG.normal(size=(4, 1, 1))
THERE, BACK = (2, 0, 1), (1, 2, 0)


def turned(graph):
    return sum(eq.primitive is sh.transpose and min(eq.inputs[0].type.shape) > 1 for eq in graph.equations)


def between(x, y):
    return np.transpose(np.tanh(np.transpose(x, THERE)) * 2, BACK)


def both(x, y):
    return np.transpose(np.where(np.transpose(x, THERE) > 0, np.transpose(y, THERE), 0), BACK)


def by_channel(x, y):
    return np.transpose(np.transpose(x, THERE) * C + 1, BACK)


def read_besides(x, y):
    h = np.exp(np.transpose(x, THERE))
    return np.transpose(h, BACK), np.sum(h, axis=2)


def other_way(x, y):
    return np.transpose(np.tanh(np.transpose(x, THERE)), THERE)


def one_of_two(x, y):
    return np.transpose(np.transpose(x, THERE) + np.reshape(y, (4, 2, 3)), BACK)


def summed(x, y):
    return np.transpose(np.cumsum(np.transpose(x, THERE), axis=0), BACK)


@pytest.mark.parametrize("f, left", [
    (between, 0), (both, 0), (by_channel, 0), (read_besides, 1), (other_way, 2), (one_of_two, 2), (summed, 2),
])  # fmt: skip
def test_what_is_taken_back_is_left_out(f, left):
    graph = simplify(trace_to_graph(f, (X, Y))[0])
    better = simplify(check_graph(cancel_transposes(graph)))
    assert turned(check_graph(better)) == left
    for found, wanted in zip(evaluate(better, (X, Y)), evaluate(graph, (X, Y))):
        np.testing.assert_array_equal(found, wanted)
    for found, wanted in zip(evaluate(better, (X, Y)), rg.tree.tree_leaves(rg.jit(f)(X, Y))):
        np.testing.assert_allclose(found, wanted, rtol=1e-14)
