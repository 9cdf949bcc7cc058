"""Compiled code as a function: buffers, threads, interruption."""

import os
import signal
import threading

import numpy as np
import pytest

import retrograde as rg
from retrograde.errors import GraphTypeError
from retrograde.runtime.cells import Cells


def test_inputs_are_never_written_and_outputs_are_fresh():
    x = np.arange(6.0).reshape(2, 3)
    before = x.copy()
    f = rg.jit(lambda x: (x, x.T, x + 1, x))
    a, b, c, d = f(x)
    assert np.array_equal(x, before) and np.array_equal(a, x) and np.array_equal(b, x.T) and np.array_equal(c, x + 1)
    assert not any(np.shares_memory(p, q) for p, q in [(a, x), (b, x), (a, d), (a, b)])


def test_wrong_arrays_are_refused_by_the_executable():
    compiled = rg.jit(lambda x: x * 2).lower(np.ones(3))
    with pytest.raises(GraphTypeError, match="compiled for f64"):
        compiled([np.ones(4)])
    with pytest.raises(GraphTypeError, match="float32"):
        compiled([np.ones(3, np.float32)])


def test_byte_order_and_alignment():
    f = rg.jit(lambda x: x * 2)
    swapped = np.arange(4.0).astype(">f8")
    raw = np.zeros(4 * 8 + 1, np.uint8)[1:].view(np.float64)
    raw[:] = [1, 2, 3, 4]
    np.testing.assert_array_equal(f(raw), raw * 2)
    np.testing.assert_array_equal(f(swapped), np.arange(4.0) * 2)
    assert rg.grad(lambda x: np.sum(x**2))(swapped).dtype == np.float64


def test_two_threads_at_once_have_arenas_of_their_own():
    rng = np.random.default_rng(0)
    f = rg.jit(lambda a: np.tanh(a @ a) @ np.tanh(a.T @ a))
    inputs = [rng.normal(size=(80, 80)) for _ in range(4)]
    expected = [f(a) for a in inputs]
    wrong = []

    def work(i):
        for _ in range(50):
            if not np.array_equal(f(inputs[i]), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_the_stop_word_ends_loops_after_the_step_they_are_in():
    def count(limit):
        return rg.scan(lambda c, _: ((c[0] + 1, c[0] >= limit), None), (np.int64(0), np.bool_(False)), length=10**9)[0]

    compiled = rg.jit(count).lower(np.int64(0))
    cells = Cells()
    threading.Timer(0.2, cells.stop).start()
    found = compiled.executable([np.int64(0)], cells)
    assert 0 < int(found[0]) < 10**9
    assert cells.progress >= int(found[0]) - 1


def test_ctrl_c_reaches_a_run_in_native_code():
    def spin(x):
        return rg.scan(lambda c, _: (np.cos(c), None), x, length=10**10)[0]

    f = rg.jit(spin)
    f.lower(np.ones(8))
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    found, interrupted = f.run_interruptible(np.ones(8))
    assert interrupted and np.allclose(found, 0.7390851332151607)


def test_cells_lie_on_cache_lines_of_their_own():
    cells = Cells()
    assert cells.address % 64 == 0
    cells.stop()
    cells.reset()
    assert cells.progress == 0


def test_subnormals_are_flushed_only_where_asked():
    tiny = np.float32([1e-40, -1e-40, 1e-30, 0.5])
    factor = np.float32(0.5)
    kept, flushed = (rg.jit(lambda x, c: x * c, flush_subnormals=f)(tiny, factor) for f in (False, True))
    np.testing.assert_array_equal(kept, tiny * factor)
    assert flushed.tolist() == [0.0, 0.0, float(np.float32(1e-30) * factor), 0.25]
    assert tiny[0] * factor != 0, "the mode is restored after the call"
    assert rg.jit(lambda x, c: x * c)(tiny, factor)[0] != 0
