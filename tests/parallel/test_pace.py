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
    monkeypatch.setattr(pace, "steps_alone", lambda b, *found: (ir.Constant(I64, request.param), found[-1]))
    return request.param


@pytest.fixture(scope="module")
def rule():
    """`steps_alone` as a function of numbers."""
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(I64, [I64] * 5 + [ir.PointerType()]), "main")
    b = ir.IRBuilder(function.append_basic_block())
    steps, saved = pace.steps_alone(b, *function.args[:5])
    b.store(saved, function.args[5])
    b.ret(steps)
    native = NativeModule(compile_ir(str(module)))
    call = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 5, ctypes.c_void_p)(native.address("main"))

    def of(took, waited, *, known=pace.UNKNOWN, threads=2, saved=0):
        found = ctypes.c_int64(0)
        return call(took, waited, known, threads, saved, ctypes.addressof(found)), found.value, native

    return lambda *args, **kwargs: of(*args, **kwargs)[:2]


def test_a_team_that_saves_time_stays_together(rule):
    assert rule(1000, 100) == (0, 800) and rule(1000, 500) == (0, 0)
    assert rule(1000, 900, threads=10) == (0, 0), "alone it may take ten times its own work"
    assert rule(1000, 400, known=1100) == (0, 100)
    assert rule(1000, 900, saved=10_000)[0] == 0, "one slow step does not part a team that saved more"


def test_the_loss_is_a_sixteenth_of_the_time_alone(rule):
    assert rule(10_000, 9_900) == (16 * (10_000 - 2 * 100) // 200 + 1, 0)
    assert rule(10_000, 9_900, saved=-5_000)[0] > rule(10_000, 9_900)[0] > rule(10_000, 9_900, saved=5_000)[0] > 0
    assert rule(1000, 400, known=900) == (2, 0), "alone it took less than twice its own work"


def test_what_was_saved_long_ago_is_forgotten(rule):
    saved = 0
    for _ in range(20_000):
        saved = rule(1000, 100, saved=saved)[1]
    assert 500 * 800 < saved < 2000 * 800


@pytest.mark.parametrize("took, waited", [(0, 0), (5, 5), (5, 9), (0, 10**15), (10**15, 10**15)])
def test_a_clock_that_is_odd_does_no_harm(rule, took, waited):
    assert rule(took, waited)[0] >= 0 and rule(took, waited, known=0)[0] >= 0


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
