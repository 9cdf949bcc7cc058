"""Products and the loop nests that finish them: values, bits on any number of threads, and what is joined."""

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn, optim, spatial
from retrograde.codegen import matmul_plan
from retrograde.compile import Compiled, interpret
from retrograde.ops.control import product
from retrograde.optimize import finish, optimize, straighten
from retrograde.parallel import share
from retrograde.trace import trace_to_graph

RNG = np.random.default_rng(6)
SIZES = [(1, 3, 17), (31, 33, 127), (127, 31, 3), (33, 1, 64), (3, 127, 33), (64, 48, 16), (130, 96, 70)]


@pytest.fixture(autouse=True)
def _small_is_large(monkeypatch):
    """Every product is joined with its nest, windows hold a few rows, and threads share small work."""
    monkeypatch.setattr(finish, "NEAR_BYTES", 0)
    monkeypatch.setattr(finish, "FAR_BYTES", 0)
    monkeypatch.setattr(matmul_plan, "WINDOW_BYTES", 2000)
    monkeypatch.setattr(straighten, "LIMIT", 0)
    for name in ("SHARE_NS", "BARRIER_NS", "STEP_NS", "START_NS"):
        monkeypatch.setattr(share, name, 0)
    monkeypatch.setattr(matmul_plan, "STRAIGHT_LIMIT", 64)
    before = rg.get_threads()
    yield
    rg.set_threads(before)


def bias_and_relu(x, y, b, u, v):
    return np.maximum(x @ y + b, 0)


def derivative_and_bias_gradient(x, y, b, u, v):
    g = np.where(u > 0, x @ y, 0)
    return g, g.sum(axis=0)


def only_a_sum(x, y, b, u, v):
    return (np.tanh(x @ y) * u).sum(axis=0)


def update(x, y, b, u, v):
    g = x @ y
    m = 0.9 * u + 0.1 * g
    w = 0.99 * v + 0.01 * g * g
    return m, w, b - 0.1 * m / (np.sqrt(np.abs(w)) + 0.1)


def of_a_transpose(x, y, b, u, v):
    return np.tanh((y.T @ x.T).T * b) + u


def of_integers(x, y, b, u, v):
    return (np.rint(10 * x).astype(np.int64) @ np.rint(10 * y).astype(np.int64)) * 2 + np.rint(u).astype(np.int64)


NESTS = [bias_and_relu, derivative_and_bias_gradient, only_a_sum, update, of_a_transpose, of_integers]


def operands(m, k, n, dtype):
    shapes = ((m, k), (k, n), (n,), (m, n), (m, n))
    return [RNG.normal(size=shape).astype(dtype) for shape in shapes]


def joined(graph):
    return sum(eq.primitive is product for eq in graph.equations) + sum(map(joined, graph.subgraphs()))


@pytest.mark.parametrize("f", NESTS)
@pytest.mark.parametrize("m, k, n", SIZES)
def test_compiled_equals_interpreted_on_any_number_of_threads(f, m, k, n):
    for dtype in (np.float32, np.float64):
        args = operands(m, k, n, dtype)
        graph = trace_to_graph(f, args)[0]
        compiled, expected = Compiled(graph), interpret(graph, args)
        assert joined(compiled.graph) == 1
        found = []
        for threads in (1, 2, 3, 16):
            rg.set_threads(threads)
            found.append(compiled(args))
        tolerance = 3e-5 if dtype == np.float32 else 1e-12
        for got, want in zip(found[0], expected):
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * k)
        for other in found[1:]:
            assert all(a.tobytes() == b.tobytes() for a, b in zip(found[0], other))


def test_what_it_stands_for_interpreted():
    args = operands(5, 3, 4, np.float64)
    graph = trace_to_graph(update, args)[0]
    for a, b in zip(interpret(optimize(graph), args), interpret(graph, args)):
        np.testing.assert_array_equal(a, b)


def test_what_stays_apart():
    def kept(x, y, b, u, v):
        z = x @ y
        return z, np.exp(z)

    def rows_are_summed(x, y, b, u, v):
        return np.exp(x @ y).sum(axis=1)

    def read_elsewhere(x, y, b, u, v):
        return u + (x @ y)[::-1]

    for f in (kept, rows_are_summed, read_elsewhere):
        args = operands(6, 5, 7, np.float64)
        graph = trace_to_graph(f, args)[0]
        assert joined(optimize(graph)) == 0
        for a, b in zip(Compiled(graph)(args), interpret(graph, args)):
            np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("precision", [None, "bf16"])
def test_a_run_has_the_same_bits_joined_or_not_and_on_any_number_of_threads(precision, monkeypatch):
    X, y = RNG.normal(size=(90, 37)).astype(np.float32), RNG.integers(0, 5, 90)
    net = nn.Sequential(nn.Linear(37, 66), nn.ReLU(), nn.Linear(66, 41), nn.Tanh(), nn.Linear(41, 5)).init(1)

    def run(threads):
        rg.set_threads(threads)
        return rg.fit(net, (X, y), optimizer=optim.Adam(1e-2), loss="cross_entropy", batch_size=32, epochs=3, precision=precision)

    runs = [run(threads) for threads in (1, 2, 3)]
    assert joined(runs[0].program.graph) >= 5
    monkeypatch.setattr(finish, "NEAR_BYTES", 1 << 40)
    monkeypatch.setattr(finish, "FAR_BYTES", 1 << 40)
    runs.append(run(2))
    assert joined(runs[-1].program.graph) == 0
    leaves = [rg.tree.tree_leaves(r.model) for r in runs]
    for other in leaves[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(leaves[0], other))


def test_a_gradient_that_only_the_optimizer_reads_is_never_whole_in_memory():
    x, ct, w, m = (RNG.normal(size=shape) for shape in ((40, 300), (40, 200), (200, 300), (200, 300)))

    def step(x, ct, w, m):
        m = 0.9 * m + ct.T @ x
        return w - 0.1 * m, m

    assert Compiled(trace_to_graph(step, (x, ct, w, m))[0]).plan.peak < w.nbytes


def test_a_weight_is_updated_where_it_lies():
    x, ct, w = (RNG.normal(size=shape) for shape in ((40, 300), (40, 200), (200, 300)))
    f = lambda x, ct, w: rg.fori_loop(0, 5, lambda i, w: w - 0.1 * ((ct * (i + 1)).T @ x), w)  # noqa: E731
    loop = Compiled(trace_to_graph(f, (x, ct, w))[0])
    assert loop.plan.peak < w.nbytes
    np.testing.assert_allclose(loop((x, ct, w))[0], w - 0.1 * 15 * (ct.T @ x), rtol=1e-11, atol=1e-11)


def image(x, w, b=None):  # with channels last, as between layers
    return np.moveaxis(spatial.convolve(x, w, b, padding=1), 1, -1)


def image_bias_and_relu(x, w, b, u):
    return np.maximum(image(x, w, b), 0)


def image_derivative(x, w, b, u):
    g = np.where(np.cumsum(u, axis=0) > 0, image(x, w), 0)
    return g, g.sum(axis=(1, 2))


def image_sums_over_the_batch(x, w, b, u):
    return np.tanh(image(x, w)).sum(axis=0)


def image_read_twice(x, w, b, u):
    z = image(x, w)
    return np.tanh(z), np.flip(z, 2)


@pytest.mark.parametrize("f, joined", [
    (image_bias_and_relu, True), (image_derivative, True), (image_sums_over_the_batch, False), (image_read_twice, False),
])  # fmt: skip
@pytest.mark.parametrize("points", [3, 5])
def test_images_are_finished_behind_their_convolution(f, joined, points):
    args = [RNG.normal(size=shape).astype(np.float32) for shape in [(points, 3, 6, 5), (9, 3, 3, 3), (9,), (points, 6, 5, 9)]]
    graph, _ = trace_to_graph(f, args)
    found = any(eq.primitive is product for eq in optimize(graph).equations)
    assert found == (joined and points >= 4)
    expected, runs = interpret(graph, args), []
    for threads in (1, 2, 3):
        rg.set_threads(threads)
        runs.append(Compiled(graph)(args))
    for got, wanted in zip(runs[0], expected):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
    assert all(a.tobytes() == b.tobytes() for run in runs[1:] for a, b in zip(runs[0], run))
