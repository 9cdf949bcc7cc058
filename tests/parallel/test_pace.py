"""Shared loops whose first thread goes on alone for some steps: the same results, whatever steps those are."""

import ctypes
import signal
import threading

import numpy as np
import pytest
from llvmlite import ir

import retrograde as rg
from retrograde import nn, optim
from retrograde.codegen import pace
from retrograde.codegen.scalar import I64
from retrograde.runtime.llvm import NativeModule, compile_ir
from retrograde.tree import tree_leaves

RNG = np.random.default_rng(0)
W = RNG.normal(size=(400, 400)) / 20


@pytest.fixture(autouse=True)
def default_threads():
    yield
    rg.set_threads(None)


@pytest.fixture(params=[1, 3, 1000])
def alone(request, monkeypatch):
    """After each step of the team so many are done by its first thread."""
    monkeypatch.setenv("RETROGRADE_CACHE", "0")
    monkeypatch.setattr(pace, "steps_alone", lambda b, *_: ir.Constant(I64, request.param))
    return request.param


@pytest.fixture(scope="module")
def rule():
    """`steps_alone` as a function of numbers."""
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(I64, [I64] * 5), "main")
    b = ir.IRBuilder(function.append_basic_block())
    b.ret(pace.steps_alone(b, *function.args))
    native = NativeModule(compile_ir(str(module)))
    call = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 5)(native.address("main"))
    return lambda took, waited, owed=0, known=pace.UNKNOWN, threads=2: (native, call(took, waited, owed, known, threads))[1]


def test_who_seldom_waits_stays_with_the_team(rule):
    assert rule(1000, 0) == rule(1000, 400) == rule(1000, 500) == 0
    assert rule(1000, 900, threads=10) == 0, "alone it may take ten times its own work"
    assert rule(1000, 400, known=1800) == 0


def test_the_loss_is_a_sixteenth_of_the_time_alone(rule):
    steps = rule(10_000, 9_900)
    assert steps == 16 * (10_000 - 2 * 100) // 200 + 1
    assert rule(10_000, 9_900, owed=5_000) > steps and rule(10_000, 9_900, known=100) > steps
    assert rule(1000, 400, known=900) == 2, "alone it took less than twice its own work"


@pytest.mark.parametrize("took, waited", [(0, 0), (5, 5), (5, 9), (0, 10**15), (10**15, 10**15)])
def test_a_clock_that_is_odd_does_no_harm(rule, took, waited):
    assert rule(took, waited) >= 0


def counted(x):
    """A loop that ends at its seventh step, by a word that it carries."""

    def step(carry, _):
        x, n, _ = carry
        x = np.tanh(x @ W)
        return (x, n + 1, np.equal(n + 1, 7)), np.abs(x).max()

    return rg.scan(step, (x, np.zeros((), np.int64), np.zeros((), bool)), length=20, exit=lambda c: c[2])


def nested(x):
    """A loop in a loop, the outer one backwards."""

    def outer(carry, scale):
        after, _ = rg.scan(lambda c, _: (np.tanh(c @ W) * scale, None), carry, length=3)
        return after, after.sum(axis=1)

    return rg.scan(outer, x, np.linspace(0.5, 1.5, 5), reverse=True)


@pytest.mark.parametrize("f", [counted, nested])
def test_a_loop_that_goes_on_alone_has_the_same_bits(alone, f):
    x = RNG.normal(size=(400, 400))
    compiled = rg.jit(f)
    assert compiled.lower(x).sharing
    found = []
    for threads in (1, 2, 5):
        rg.set_threads(threads)
        found.append([leaf.tobytes() for leaf in tree_leaves(compiled(x))])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("alone", [3], indirect=True)
def test_ctrl_c_ends_a_run_whose_first_thread_is_alone(alone):
    X, y = RNG.normal(size=(700, 784)).astype(np.float32), RNG.integers(0, 10, 700)
    net = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10)).init(1)

    def soon(history):
        if len(history["loss"]) == 2:
            threading.Timer(0.03, signal.raise_signal, (signal.SIGINT,)).start()

    rg.set_threads(3)
    settings = {"loss": "cross_entropy", "optimizer": optim.Adam(), "batch_size": 128, "epochs": 1_000_000}
    run = rg.fit(net, (X, y), callbacks=[soon], **settings)
    assert run.interrupted and run.program.sharing and np.isfinite(run.history["loss"]).all()
    rg.set_threads(1)
    again = rg.fit(net, (X, y), **settings | {"epochs": 2})
    assert again.history["loss"].tobytes() == run.history["loss"][:2].tobytes()
