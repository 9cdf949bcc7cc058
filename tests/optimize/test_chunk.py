"""A long axis taken in chunks: the same results, for programs whose rows meet in sums only, and for those where they do not."""

import os
import signal
import threading

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn, optim
from retrograde.compile import interpret
from retrograde.ir.check import check_graph
from retrograde.ops.control import scan
from retrograde.optimize import chunk as chunking
from retrograde.optimize.chunk import chunk
from retrograde.optimize.simplify import simplify
from retrograde.trace import trace_to_graph
from retrograde.tree import tree_leaves

RNG = np.random.default_rng(0)
W1, W2, B = RNG.normal(size=(6, 5)), RNG.normal(size=(5, 3)), RNG.normal(size=5)
POINTS = RNG.normal(size=(1031, 6))


@pytest.fixture(autouse=True)
def everything_is_far(monkeypatch):
    monkeypatch.setattr(chunking, "FAR_BYTES", 0)
    monkeypatch.setattr(chunking, "LEAST", 256)
    monkeypatch.setattr(chunking, "CHUNK_BYTES", 4096)


def network(params, x):
    w1, b, w2 = params
    return np.tanh(x @ w1 + b) @ w2


def squares(params, x, y):
    return np.mean((network(params, x) - y) ** 2)


def crossed(params, x, y):
    f = network(params, x)
    f = f - np.max(f, axis=1, keepdims=True)
    label = np.argmax(y, axis=1)
    found = np.take_along_axis(f - np.log(np.sum(np.exp(f), axis=1, keepdims=True)), label[:, None], axis=1)
    return -np.mean(found)


def normalized(params, x, y):  # all rows are read again after a sum over them
    h = x @ params[0]
    h = (h - np.mean(h, axis=0)) / np.sqrt(np.var(h, axis=0) + 0.1)
    return np.mean((np.tanh(h) @ params[2] - y) ** 2)


def sideways(params, x, y):  # rows are the last axis here
    h = np.tanh(params[0].T @ x.T + params[1][:, None])
    return np.sum((params[2].T @ h - y.T) ** 2)


def reordered(params, x, y):  # a row meets another: what reverses, shifts or sorts by rows is no part of a chunk
    f = network(params, x)
    return np.sum((f[::-1] - y) ** 2) + np.sum(f[1:] * f[:-1]) + np.max(f)


def split_up(params, x, y):
    a, b = np.split(network(params, x), [1], axis=1)
    joined = np.concatenate([b, a * a], axis=1).reshape(len(x), 1, 3)
    return np.sum(np.squeeze(joined, 1) * y) + np.sum(np.where(a > 0, a, 0.1 * b[:, :1]))


def dropped(params, x, y):  # the draw is cut too, of three axes here
    keep = rg.random.bernoulli(params[3], 0.5, (len(x), 5, 1))[:, :, 0]
    noise = rg.random.normal(params[3], (3,), np.float64)  # no rows, so it stays whole
    return np.mean((np.where(keep, np.tanh(x @ params[0] + params[1]), 0) @ params[2] + noise - y) ** 2)


def test_a_mask_is_drawn_chunk_by_chunk_and_is_the_same():
    x, y, params = RNG.normal(size=(1031, 6)), RNG.normal(size=(1031, 3)), (W1, B, W2)
    key = rg.random.key(3)
    f = rg.value_and_grad(lambda params, key, x, y: dropped((*params, key), x, y))
    graph = simplify(trace_to_graph(f, (params, key, x, y))[0])
    cut = check_graph(chunk(graph))
    made = [out.type.shape for eq in cut.equations for out in eq.outputs if eq.primitive is not scan]
    assert not any(1031 in shape and len(shape) > 1 for shape in made)  # no mask, nor anything else, of all rows
    arrays = tree_leaves((params, key, x, y))
    whole = interpret(graph, arrays)
    for found in (interpret(cut, arrays), rg.jit(f)(params, key, x, y)):
        for a, b in zip(tree_leaves(found), whole):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("loss", [squares, crossed, normalized, sideways, reordered, split_up])
@pytest.mark.parametrize("rows", [512, 1031])
def test_gradients_are_those_of_the_whole(loss, rows):
    x, y = RNG.normal(size=(rows, 6)), RNG.normal(size=(rows, 3))
    f = rg.value_and_grad(loss)
    graph = simplify(trace_to_graph(f, ((W1, B, W2), x, y))[0])
    cut = check_graph(chunk(graph))
    loops = [eq for eq in cut.equations if eq.primitive is scan]
    assert bool(loops) == (loss is not reordered) and all(eq.params["length"] == chunking.GROUPS for eq in loops)
    arrays = [*tree_leaves(((W1, B, W2), x, y))]
    whole = interpret(graph, arrays)
    for found in (interpret(cut, arrays), rg.jit(f).lower((W1, B, W2), x, y)(arrays)):
        for a, b in zip(found, whole):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_values_of_every_row_come_out_too():
    x = RNG.normal(size=(1000, 6))

    def f(x):
        h = np.tanh(x @ W1 + B)
        return h.T, np.sum(h @ W2, axis=0), h[:, ::2]

    graph = trace_to_graph(f, (x,))[0]
    assert any(eq.primitive is scan for eq in chunk(simplify(graph)).equations)
    for a, b in zip(rg.jit(f)(x), f(x)):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_nothing_is_cut_where_two_axes_are_that_long_or_sums_are_large():
    x = RNG.normal(size=(300, 300))
    for f in (lambda x: np.sum(np.tanh(x @ x)), lambda x: np.sum(np.tanh(x @ x[:, :7]))):
        graph = simplify(trace_to_graph(f, (x,))[0])
        assert chunk(graph) is graph
    x = RNG.normal(size=(300, 200))
    graph = simplify(trace_to_graph(rg.grad(lambda w: np.sum(np.tanh(x @ w))), (RNG.normal(size=(200, 60)),))[0])
    assert chunk(graph) is graph  # 12,000 sums


def full_batch(epochs, threads=None, **settings):
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    rg.set_threads(threads)
    try:
        return rg.fit(net, (POINTS, POINTS[:, :3] ** 2), optimizer=optim.Adam(1e-3), batch_size=None, epochs=epochs, **settings)
    finally:
        rg.set_threads(None)


def test_the_bits_are_the_same_on_any_number_of_threads():
    runs = [full_batch(20, threads) for threads in (1, 2, 3)]
    assert "length=16" in str(runs[0].program.graph)
    for run in runs[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(tree_leaves(run.model), tree_leaves(runs[0].model)))
        assert np.array_equal(run.history["loss"], runs[0].history["loss"])


def test_the_summary_tells_how_much_of_what_is_held_is_there_at_once():
    net = nn.Sequential(nn.Linear(6, 256), nn.Tanh(), nn.Dropout(0.5), nn.Linear(256, 3))
    run = rg.fit(net, (POINTS, POINTS[:, :3]), optimizer=optim.SGD(1e-3), batch_size=None, epochs=1)
    assert 0 < run.arena_bytes < run.held_bytes
    assert f"never more than {run.arena_bytes:,} at once" in run.summary()
    assert "at once" not in rg.fit(net, (POINTS, POINTS[:, :3]), optimizer=optim.SGD(1e-3), batch_size=8, epochs=1).summary()


def test_many_starts_are_those_of_one():
    many = full_batch(5, starts=3)
    for run in many.starts:
        alone = full_batch(5, seed=run.seed)
        np.testing.assert_allclose(run.history["loss"], alone.history["loss"], rtol=1e-6)


def test_ctrl_c_leaves_out_no_part_of_a_sum():
    def soon(history):
        if len(history["loss"]) == 2:
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()

    run = full_batch(100_000_000, callbacks=[soon])
    assert run.interrupted
    whole = full_batch(run.epochs)
    assert all(np.array_equal(a, b) for a, b in zip(tree_leaves(run.model), tree_leaves(whole.model)))


def test_columns_that_end_where_the_rows_do_are_not_taken_for_rows():
    x, w = RNG.normal(size=(512, 6)), RNG.normal(size=(6, 600))
    f = rg.value_and_grad(lambda b: np.sum(np.tanh(np.sin(x * b[:6]) @ w + b)[:, 500:512]))
    for found, want in zip(rg.jit(f)(np.ones(600)), f(np.ones(600))):
        np.testing.assert_allclose(found, want, rtol=1e-10, atol=1e-12)


def test_the_features_of_a_wide_layer_are_left_alone(monkeypatch):
    monkeypatch.setattr(chunking, "CHUNK_BYTES", 384 << 10)
    w, b, v = RNG.normal(size=(512, 8)), RNG.normal(size=8), RNG.normal(size=(512, 8))

    def step(w, b, v, x):  # the weight's rows meet in a sum, but nothing long is computed for it
        loss, (dw, db) = rg.value_and_grad(lambda w, b: np.sum(np.tanh(x @ w + b)), argnums=(0, 1))(w, b)
        return loss, w - 0.1 * (0.9 * v + dw), b - 0.1 * db, 0.9 * v + dw

    graph = simplify(trace_to_graph(step, (w, b, v, RNG.normal(size=(8, 512))))[0])
    assert chunk(graph) is graph
