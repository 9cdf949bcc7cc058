"""The memory plan: nothing alive shares bytes, updates happen in place, the peak is what the arena has."""

import numpy as np

import retrograde as rg
from retrograde import nn, optim
from retrograde.memory import plan_memory
from retrograde.optimize import optimize
from retrograde.trace import trace_to_graph


def planned(f, *args):
    graph = optimize(trace_to_graph(f, args)[0])
    return graph, plan_memory(graph)


def overlapping(plan):
    blocks = plan.blocks
    return [
        (a, b)
        for i, a in enumerate(blocks)
        for b in blocks[:i]
        if a.start <= b.end and b.start <= a.end and a.offset < b.offset + b.nbytes and b.offset < a.offset + a.nbytes
        and a.nbytes and b.nbytes
    ]  # fmt: skip


def network(w, x):
    for weight in w:
        x = np.tanh(x @ weight) + np.sum(x, axis=0)
    return np.mean(x**2)


def test_blocks_alive_together_never_overlap():
    rng = np.random.default_rng(0)
    w = [rng.normal(size=(40, 40)) for _ in range(6)]
    _, plan = planned(rg.value_and_grad(network), w, rng.normal(size=(50, 40)))
    assert len(plan.blocks) > 10 and not overlapping(plan)
    assert plan.peak >= max(b.offset + b.nbytes for b in plan.blocks)
    floor = max(sum(b.nbytes for b in plan.blocks if b.start <= t <= b.end) for t in range(200))
    assert plan.peak <= 1.1 * floor + 64 * len(plan.blocks)


def test_a_training_loop_updates_in_place():
    """Parameters and optimizer states of the loop need no memory beyond the carry itself."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 300)).astype(np.float32), rng.normal(size=(64, 300)).astype(np.float32)
    net = nn.Sequential(nn.Linear(300, 300)).init(0)
    adam = optim.Adam()

    def train(net, state):
        def step(carry, _):
            net, state = carry
            g = rg.grad(lambda net: np.mean((net(x) - y) ** 2))(net)
            return adam.update(g, state, net), None

        return rg.scan(step, (net, state), length=3)[0]

    _, plan = planned(train, net, adam.init(net))
    weight = 300 * 300 * 4
    # one gradient and activations; no second copy of the weight, m or v
    assert plan.peak < 1.5 * weight + 4 * x.nbytes


def test_the_printed_plan_names_peak_and_blocks():
    text = str(rg.jit(lambda x: np.exp(x @ x).sum(0) @ x).lower(np.ones((60, 60))))
    assert "bytes at the peak" in text and "matmul" in text and "fused" in text


def test_thousands_of_values_of_one_size_are_placed_apart_and_closely():
    """Beyond a number of values, those of one size are placed by themselves: a chain's must all be held for its derivative."""

    def chain(x, y):
        for i in range(700):
            x = np.concatenate([x[1:], np.sin(x[:1])])  # neither fused nor done in place
            y = y @ y if i % 100 == 0 else y
        return np.sum(x) * np.sum(y)

    graph, plan = planned(rg.grad(chain), np.ones(150), np.ones((40, 40)))
    assert len(plan.blocks) > 2000 and not overlapping(plan)
    floor = max(sum(b.nbytes for b in plan.blocks if b.start <= t <= b.end) for t in range(len(graph.equations)))
    assert floor <= plan.peak <= 1.3 * floor
    assert plan.peak >= max(b.offset + b.nbytes for b in plan.blocks)


def test_what_a_loop_carries_on_is_not_written_over_by_its_last_reader():
    """`low` goes into the next step, and `low - c["low"]`, in which it is read last, must not take its memory."""

    def step(c, _):
        low = rg.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * 0.5), (np.zeros((), np.int64), c["low"]))[1]
        change = low - c["low"]
        row = np.where(np.sum(change) < 9, change, rg.numpy.take(c["rows"], c["n"] % 3, axis=0))
        return {"low": low, "rows": rg.at(c["rows"])[c["n"] % 3].set(row), "n": c["n"] + 1}, None

    start = {"low": np.array([1.0, 2.0]), "rows": np.zeros((3, 2)), "n": np.int64(0)}
    found = rg.jit(lambda c: rg.scan(step, c, length=2)[0])(start)
    np.testing.assert_allclose(found["low"], [1 / 64, 2 / 64])
    np.testing.assert_allclose(found["rows"], [[-7 / 8, -14 / 8], [-7 / 64, -14 / 64], [0, 0]])
