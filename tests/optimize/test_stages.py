"""Long sums over the first axis and others in two stages: the same numbers, and an axis left for threads to share."""

import numpy as np
import pytest

import retrograde as rg
from retrograde.ir import check_graph, evaluate
from retrograde.optimize.stages import in_stages
from retrograde.trace import trace_to_graph

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "shape, axes, stages",
    [
        ((16, 64, 64), (0, 1), 2),
        ((16, 32, 8, 16), (0, 2), 2),
        ((16, 64, 64), (1, 2), 1),  # the first axis stays
        ((16, 64, 64), (0, 1, 2), 1),  # nothing stays
        ((2048, 32), (0,), 1),  # no other axis
        ((4, 256, 64), (0, 1), 1),  # too few to share
        ((16, 8, 8), (0, 1), 1),  # too little
    ],
)
def test_a_sum_over_the_first_axis_and_others(shape, axes, stages):
    x = RNG.normal(size=shape)
    graph = check_graph(in_stages(trace_to_graph(lambda x: np.sum(x, axis=axes), [x])[0]))
    assert [eq.primitive.name for eq in graph.equations] == ["sum"] * stages
    np.testing.assert_allclose(evaluate(graph, [x])[0], np.sum(x, axis=axes), rtol=1e-12)


def test_a_layer_norms_gradient_is_shared_and_has_the_same_bits():
    x, scale, y = (RNG.normal(size=s).astype(np.float32) for s in ((64, 128, 64), (64,), (64, 128, 64)))

    def loss(x, scale):
        centered = x - np.mean(x, axis=-1, keepdims=True)
        return np.sum(y * centered / np.sqrt(np.mean(np.square(centered), axis=-1, keepdims=True) + 1e-5) * scale)

    f, found = rg.jit(rg.grad(loss, argnums=(0, 1))), []
    compiled = f.lower(x, scale)
    large = [eq for eq in compiled.graph.equations if any(a.type.size == x.size for a in eq.inputs)]
    assert all(eq in compiled.sharing.shared for eq in large if eq.primitive.name == "fused")
    try:
        for threads in (1, 2, 3):
            rg.set_threads(threads)
            found.append(f(x, scale))
    finally:
        rg.set_threads(None)
    for got, same, again, want in zip(*found, rg.grad(loss, argnums=(0, 1))(x, scale)):
        assert got.tobytes() == same.tobytes() == again.tobytes()
        np.testing.assert_allclose(got, want, rtol=2e-3, atol=2e-3)
