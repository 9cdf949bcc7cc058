"""Loops dealt out by rows: the same numbers, the same bits on any number of threads, and loops whose rows meet left whole."""

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn
from retrograde.ir import check_graph
from retrograde.ops.control import scan
from retrograde.optimize import deal as dealing
from retrograde.optimize.deal import deal
from retrograde.optimize.simplify import simplify
from retrograde.trace import trace_to_graph
from retrograde.tree import tree_leaves

RNG = np.random.default_rng(0)
W = RNG.normal(size=(6, 6)) / 3
XS = RNG.normal(size=(5, 24, 6))
START = RNG.normal(size=(24, 6))


@pytest.fixture
def everything_is_long(monkeypatch):
    monkeypatch.setattr(dealing, "LEAST_FLOPS", 0)


def groups_of(f, *args):
    graph = check_graph(deal(simplify(trace_to_graph(f, args)[0])))
    return [eq.params["length"] for eq in graph.equations if eq.primitive is scan and not eq.params["num_carry"]]


def forward(w, start, xs):
    return rg.scan(lambda h, x: ((h := np.tanh(h @ w + x)), h[:, ::2]), start, xs)


def backward(w, start, xs):
    return rg.scan(lambda h, x: ((h := np.tanh(h @ w + x)), h), start, xs, reverse=True)


def sideways(w, start, xs):  # rows are the last axis here
    return rg.scan(lambda h, x: ((h := np.tanh(w @ h + x.T)), np.sum(h, axis=0)), start.T, xs)


def masked(w, start, xs):  # one operand of all steps has the rows, others are read by step or not at all
    keep = start[:, :1] > 0
    step = lambda h, x: (np.where(keep, h @ w, h + x[0]), np.max(h + x[1], axis=-1))  # noqa: E731
    return rg.scan(step, start, (xs, xs[:, 0]))


def gradient(w, start, xs):
    return rg.grad(lambda w, start, xs: np.sum(forward(w, start, xs)[1] ** 2), argnums=(0, 1, 2))(w, start, xs)


@pytest.mark.parametrize("f", [forward, backward, sideways, masked, gradient])
def test_a_loop_over_a_batch_is_dealt_out(f, everything_is_long):
    assert set(groups_of(f, W, START, XS)) == {3}
    for found, want in zip(tree_leaves(rg.jit(f)(W, START, XS)), tree_leaves(f(W, START, XS)), strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "step",
    [
        lambda h, x: (np.tanh(h - np.mean(h, axis=0)), None),  # rows meet
        lambda h, x: (h[::-1] + x, None),
        lambda h, x: (h @ W, np.sum(h)),  # puts out a sum over rows
        lambda h, x: (np.tanh((h @ h.T) @ h), None),
        lambda h, x: (np.cumsum(h, axis=0), None),
    ],
)
def test_a_loop_whose_rows_meet_stays_whole(step, everything_is_long):
    f = lambda start, xs: rg.scan(step, start, xs)  # noqa: E731
    assert groups_of(f, START, XS) == []
    for found, want in zip(tree_leaves(rg.jit(f)(START, XS)), tree_leaves(f(START, XS)), strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-10)


def test_small_batches_short_loops_and_large_weights_stay_whole(monkeypatch):
    assert groups_of(forward, W, START, XS) == [], "too little work"
    monkeypatch.setattr(dealing, "LEAST_FLOPS", 0)
    assert groups_of(forward, W, START[:14], XS[:, :14]) == [], "too few rows"
    monkeypatch.setattr(dealing, "NEAR_BYTES", W.nbytes + START.nbytes - 1)
    assert groups_of(forward, W, START, XS) == [], "too large a weight"


def test_an_lstm_has_the_same_bits_on_any_number_of_threads():
    net, x = nn.LSTM(8, 48, batch_first=True).init(0), RNG.normal(size=(24, 20, 8)).astype(np.float32)
    loss = lambda net, x: np.mean(net(x)[0] ** 2)  # noqa: E731
    f, runs = rg.jit(rg.grad(loss)), []
    compiled = f.lower(net, x)
    loops = [eq for eq in compiled.graph.equations if eq.primitive is scan]
    assert [eq.params["length"] for eq in loops] == [3, 3] and all(eq in compiled.sharing.shared for eq in loops)
    try:
        for threads in (1, 2, 3):
            rg.set_threads(threads)
            runs.append(tree_leaves(f(net, x)))
    finally:
        rg.set_threads(None)
    for one, two, three, want in zip(*runs, tree_leaves(rg.grad(loss)(net, x)), strict=True):
        assert one.tobytes() == two.tobytes() == three.tobytes()
        np.testing.assert_allclose(one, want, rtol=2e-4, atol=1e-7)
