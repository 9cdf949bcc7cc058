"""Programs of very many equations: they compile in a time that grows as they do, and are right."""

import numpy as np
import pytest

import retrograde as rg
from retrograde.codegen import module
from retrograde.compile import Compiled, interpret
from retrograde.optimize import fuse as fusing
from retrograde.optimize.fuse import fuse
from retrograde.trace import trace_to_graph


def chain_of_views(x, n):
    for _ in range(n):
        x = (x * x + 0.25)[::-1]
    return x.sum()


def adam(count, optimizer=None):
    optimizer = optimizer or rg.optim.Adam(1e-2)
    params = [np.linspace(-1, 1, 5 + i % 3).astype(np.float32) for i in range(count)]

    def step(params, state):
        grads = rg.grad(lambda ps: sum((p * p * p).sum() for p in ps))(params)
        return optimizer.update(grads, state, params)

    return step, (params, optimizer.init(params))


def check(f, args):
    graph, _ = trace_to_graph(f, list(args))
    leaves = rg.tree.tree_flatten(args)[0]
    compiled = Compiled(graph)
    for got, want in zip(compiled(leaves), interpret(graph, leaves), strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)
    return compiled


@pytest.mark.slow
def test_ten_thousand_views_compile_and_are_right():
    x = np.linspace(-0.5, 0.5, 1000)
    compiled = check(rg.value_and_grad(lambda x: chain_of_views(x, 5000)), [x])
    assert len(compiled.graph.equations) > 10_000


@pytest.mark.slow
def test_a_thousand_small_parameters_compile_and_are_right():
    check(*adam(1000))


@pytest.mark.parametrize("part", [1, 2, 7, 40])
def test_parts_of_a_graph_in_functions_of_their_own_compute_the_same(monkeypatch, part):
    monkeypatch.setenv("RETROGRADE_CACHE", "off")
    whole = check(rg.value_and_grad(lambda x: chain_of_views(x, 12)), [np.linspace(-0.5, 0.5, 3000)])
    assert "part_" not in whole.ir
    monkeypatch.setattr(module, "PART", part)
    split = check(rg.value_and_grad(lambda x: chain_of_views(x, 12)), [np.linspace(-0.5, 0.5, 3000)])
    assert "part_" in split.ir


@pytest.mark.parametrize("part", [1, 3, 10])
def test_loops_and_branches_in_parts_compute_the_same(monkeypatch, part):
    monkeypatch.setenv("RETROGRADE_CACHE", "off")
    monkeypatch.setattr(module, "PART", part)

    def f(x, w):
        def step(h, row):
            h = rg.cond(h.sum() > 0, lambda h: np.tanh(h @ w) + row, lambda h: h.T.copy() * 0.5 - row, h)
            return h, h[::-1].sum(axis=0)

        last, sums = rg.scan(step, x[0], x)
        return last[:, ::2].sum() + (sums.T @ sums).sum()

    x, w = np.random.default_rng(0).normal(size=(6, 40, 40)), np.eye(40) * 0.3
    check(rg.value_and_grad(f, argnums=(0, 1)), [x, w])


def visits(monkeypatch, f, args):
    """How many groups fusion looks at, to merge another into them."""
    seen = []
    latest_first = fusing._Merged.latest_first

    def counted(self, space, variables, room):
        for group in latest_first(self, space, variables, room):
            seen.append(group)
            yield group

    monkeypatch.setattr(fusing._Merged, "latest_first", counted)
    fuse(trace_to_graph(f, args)[0])
    monkeypatch.undo()
    return len(seen)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: (rg.value_and_grad(lambda x: chain_of_views(x, n)), [np.ones(1000)]),
        lambda n: (adam(n)[0], list(adam(n)[1])),
        lambda n: (lambda x: [x * i for i in range(n)], [np.ones(1000)]),
    ],
)
def test_fusion_looks_at_groups_in_proportion_to_the_equations(monkeypatch, make):
    few, many = (visits(monkeypatch, *make(n)) for n in (200, 800))
    assert many <= 4.5 * few + 50
