"""Shared work: the same bits on any number of threads, barriers where memory says so, small work on one thread."""

import signal
import threading

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn, optim
from retrograde.codegen.work import work_of
from retrograde.errors import DataError
from retrograde.tree import tree_leaves

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def default_threads():
    yield
    rg.set_threads(None)


def on(threads, f, *args):
    rg.set_threads(threads)
    return f(*args)


def network(sizes, activation=nn.ReLU):
    layers = [layer for a, b in zip(sizes, sizes[1:]) for layer in (nn.Linear(a, b), activation())]
    return nn.Sequential(*layers[:-1]).init(1)


@pytest.mark.parametrize(
    "sizes, batch, points",
    [
        ((784, 256, 128, 10), 128, 515),
        pytest.param((300, 517, 129), 65, 200, marks=pytest.mark.slow),
        pytest.param((1024, 1024, 512), 256, 600, marks=pytest.mark.slow),
    ],
)
def test_a_run_has_the_same_bits_on_any_number_of_threads(sizes, batch, points):
    X = RNG.normal(size=(points, sizes[0])).astype(np.float32)
    y = RNG.integers(0, sizes[-1], points)
    settings = {"loss": "cross_entropy", "optimizer": optim.Adam(), "batch_size": batch, "epochs": 3, "validation": 0.2}
    runs = [on(t, lambda: rg.fit(network(sizes), (X, y), **settings)) for t in (1, 2, 3, 16)]
    assert runs[0].program.sharing, "this run is large enough to be shared"
    for run in runs[1:]:
        for name, values in runs[0].history.items():
            assert values.tobytes() == run.history[name].tobytes(), name
        for a, b in zip(tree_leaves(runs[0].model), tree_leaves(run.model), strict=True):
            assert a.tobytes() == b.tobytes()


def normalized(x, w):
    """Products, reductions over either axis, broadcasting back, and a value used by two later steps."""
    h = np.tanh(x @ w)
    centered = (h - h.mean(axis=0)) / (h.std(axis=1, keepdims=True) + 1.0)
    g = centered.T @ centered
    return g, np.maximum(g, g.max(axis=0)).sum(axis=1), np.exp(-np.abs(h)).T


@pytest.mark.parametrize("shape", [((700, 300), (300, 517)), ((2, 4000), (4000, 2000)), ((4000, 3), (3, 3000))])
def test_a_function_is_shared_and_right(shape):
    x, w = (RNG.normal(size=s) / 20 for s in shape)
    f = rg.jit(normalized)
    assert f.lower(x, w).sharing
    found = [on(t, f, x, w) for t in (1, 2, 5)]
    for one, two, five, want in zip(*found, normalized(x, w), strict=True):
        assert one.tobytes() == two.tobytes() == five.tobytes()
        np.testing.assert_allclose(one, want, rtol=1e-9, atol=1e-12)


def test_small_work_stays_on_one_thread():
    x = np.ones((8, 8), np.float32)
    compiled = rg.jit(lambda x: np.tanh(x @ x)).lower(x)
    assert not compiled.sharing and "threads: one" in str(compiled)


def test_a_table_costs_what_is_picked_from_it():
    """Counted whole, a table of some thousand points made every small network look large enough to share."""
    at = RNG.integers(0, 2_000, 1_000)
    picked = [rg.jit(lambda x: np.take(x, at, axis=0) * 2.0).lower(np.ones((n, 8))) for n in (2_000, 1_000_000)]
    small, large = ([work_of(64)(eq).ns for eq in c.graph.equations if eq.primitive.name == "fused"] for c in picked)
    assert small == large != []


def test_a_loop_with_exit_ends_at_the_same_step_for_all():
    w = RNG.normal(size=(400, 400)) / 20


    def counted(x):
        def step(carry, _):
            x, n, _ = carry
            x = np.tanh(x @ w)
            return (x, n + 1, np.equal(n + 1, 7)), np.abs(x).max()

        return rg.scan(step, (x, np.zeros((), np.int64), np.zeros((), bool)), length=100, exit=lambda c: c[2])

    x = RNG.normal(size=(400, 400))
    f = rg.jit(counted)
    assert f.lower(x).sharing
    (one, n, _), ys = on(1, f, x)
    (many, m, _), zs = on(3, f, x)
    assert n == m == 7 and one.tobytes() == many.tobytes() and ys.tobytes() == zs.tobytes()
    assert (ys[:7] > 0).all() and (ys[7:] == 0).all()


@pytest.mark.parametrize("reverse", [False, True])
def test_steps_that_carry_nothing_are_dealt_out(reverse):
    x, w = RNG.normal(size=(9, 60, 50)), RNG.normal(size=(50, 50)) / 7

    def each(x):
        def descend(carry, _):
            x, total = carry
            x = np.tanh(x @ w)
            return (x, total + x.sum()), x[0]

        (x, total), rows = rg.scan(descend, (x, np.zeros(())), length=20)
        return {"last": x, "total": total, "rows": rows}

    f = rg.jit(lambda x: rg.scan(lambda _, x: (None, each(x)), None, x, reverse=reverse)[1])
    assert f.lower(x).sharing
    one, two, many = (on(t, f, x) for t in (1, 2, 12))
    for name, values in one.items():
        assert values.tobytes() == two[name].tobytes() == many[name].tobytes()
        for i in range(len(x)):
            np.testing.assert_allclose(values[i], each(x[i])[name], rtol=1e-9)


def test_ctrl_c_stops_all_threads_at_one_step():
    X = RNG.normal(size=(2000, 784)).astype(np.float32)
    y = RNG.integers(0, 10, 2000)

    def soon(history):
        if len(history["loss"]) == 2:
            threading.Timer(0.05, signal.raise_signal, (signal.SIGINT,)).start()

    rg.set_threads(3)
    settings = {"loss": "cross_entropy", "batch_size": 128, "epochs": 1_000_000, "callbacks": [soon]}
    run = rg.fit(network((784, 256, 128, 10)), (X, y), **settings)
    assert run.interrupted and run.program.sharing and np.isfinite(run.history["loss"]).all()


def test_two_python_threads_have_a_team_each():
    x, w = RNG.normal(size=(700, 300)), RNG.normal(size=(300, 517))
    f = rg.jit(normalized)
    rg.set_threads(2)
    want = [a.tobytes() for a in f(x, w)]
    found = []
    callers = [threading.Thread(target=lambda: found.append([a.tobytes() for a in f(x, w)])) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert found == [want] * 4


@pytest.mark.parametrize("n", [0, -1, 2.0, True, "2", 10**6])
def test_a_number_of_threads_that_cannot_be(n):
    with pytest.raises(DataError, match="set_threads wants"):
        rg.set_threads(n)


def test_a_view_of_a_number_is_read_by_shared_work():
    """The cotangent of a checkpointed loss is the number 1, which its mean stretches."""
    w, x = RNG.normal(size=(256, 256)) / 16, RNG.normal(size=(256, 256))
    loss = lambda w, x: np.mean(np.tanh(w @ x) ** 2)  # noqa: E731
    np.testing.assert_allclose(rg.jit(rg.grad(rg.checkpoint(loss)))(w, x), rg.grad(loss)(w, x), rtol=1e-10, atol=1e-14)
