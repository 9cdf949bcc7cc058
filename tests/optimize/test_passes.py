"""What each pass does to a graph, by its text and its meaning."""

import numpy as np

import retrograde as rg
from retrograde.ir import check_graph, evaluate
from retrograde.optimize import optimize
from retrograde.optimize.fuse import fuse
from retrograde.optimize.settle import settle
from retrograde.optimize.simplify import simplify
from retrograde.optimize.straighten import straighten
from retrograde.trace import trace_to_graph


def graph_of(f, *args):
    return trace_to_graph(f, args)[0]


def names(graph):
    return [eq.primitive.name for eq in graph.equations]


def test_the_printed_graph_is_readable():
    text = str(graph_of(lambda w, x: np.maximum(w @ x, 0) * 2, np.ones((4, 3)), np.ones((3, 2))))
    assert text == "\n".join(
        [
            "graph(w:f64[4,3], x:f64[3,2]):",
            "  a:f64[4,2] = matmul w x",
            "  b:f64[4,2] = maximum a 0.0",
            "  c:f64[4,2] = multiply b 2.0",
            "  return c",
        ]
    )


def test_simplify_folds_shares_and_drops():
    def f(x):
        a, b = np.sin(x) * 1.0, np.sin(x)
        dead = np.exp(x)
        del dead
        return (a + b) * (np.float64(2.0) * 3.0) + np.negative(-b)

    graph = check_graph(simplify(graph_of(f, np.ones(3))))
    assert names(graph).count("sin") == 1 and "exp" not in names(graph) and "negative" not in names(graph)


def test_simplify_turns_the_product_instead_of_its_transpose():
    x, w = np.ones((5, 3)), np.ones((4, 3))
    graph = simplify(graph_of(rg.grad(lambda w: np.sum((x @ w.T) ** 2)), w))
    last = graph.equations[-1]
    assert last.primitive.name == "matmul" and last.outputs[0].type.shape == (4, 3)


def test_simplify_turns_the_operands_of_an_outer_product_instead_of_itself():
    a, b, c = np.arange(60.0), np.arange(70.0), np.arange(50.0)[:, None, None]
    f = lambda a, b, c: np.transpose(np.exp(c) * (a[:, None] * b), (2, 0, 1))  # noqa: E731
    graph = check_graph(simplify(graph_of(f, a, b, c)))
    assert graph.equations[-1].primitive.name == "multiply"
    np.testing.assert_array_equal(evaluate(graph, [a, b, c])[0], f(a, b, c))
    read_twice = simplify(graph_of(lambda a, b: (lambda m: (m.T, m))(a[:, None] * b), a, b))
    assert names(read_twice).count("multiply") == 1


def test_simplify_takes_parts_from_before_they_were_joined():
    def f(x, y):
        joined = np.stack([x, np.sin(y)])
        return joined[0] + joined[1], np.squeeze(np.sum(x, 0, keepdims=True), 0) * y

    graph = simplify(graph_of(f, np.ones(3), np.ones(3)))
    check_graph(graph)
    assert "concatenate" not in names(graph) and "slice" not in names(graph)
    assert names(graph).count("reshape") == 0
    x, y = np.arange(3.0), np.arange(3.0) + 1
    for found, expected in zip(evaluate(graph, [x, y]), (x + np.sin(y), x.sum() * y)):
        np.testing.assert_allclose(found, expected)


def test_simplify_leaves_slices_that_take_more_or_less_than_a_part():
    def f(x, y):
        joined = np.concatenate([x, y, x])
        return joined[:3], joined[3:5], joined[5:], joined[2:5], joined[:5], joined[::-1]

    x, y = np.arange(3.0), np.arange(3.0, 5.0)
    graph = simplify(graph_of(f, x, y))
    check_graph(graph)
    assert graph.outputs[0] is graph.outputs[2] is graph.inputs[0] and graph.outputs[1] is graph.inputs[1]
    assert "slice" in names(graph)
    for found, expected in zip(rg.jit(f)(x, y), f(x, y), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_settle_gives_outputs_memory_of_their_own():
    graph = settle(graph_of(lambda x: (x, x.T, x.T.reshape(-1), np.float64(1.0), x), np.ones((2, 3))), {})[0]
    check_graph(graph)
    assert len(set(graph.outputs)) == 5
    assert all(eq.primitive.lowering != "view" for eq in graph.equations for o in eq.outputs if o in graph.outputs)


def test_small_graphs_become_straight_and_large_ones_fuse():
    f = lambda x: np.sum(np.exp(x) * 2 + x)  # noqa: E731
    assert names(straighten(settle(graph_of(f, np.ones(10)), {})[0])) == ["straight"]
    big = graph_of(f, np.ones(10_000))
    fused = fuse(settle(big, {})[0])
    assert names(fused) == ["fused"]
    np.testing.assert_allclose(evaluate(check_graph(fused), [np.ones(10_000)])[0], f(np.ones(10_000)))


def test_a_mathematical_function_of_many_elements_is_a_loop():
    """In straight-line code it would be a call for each; an array of the same size is copied or added to without one."""
    for f, count, expected in ((np.exp, 60, "straight"), (np.exp, 100, "fused"), (np.negative, 100, "straight")):
        assert names(optimize(graph_of(f, np.ones(count)))) == [expected]


def test_adam_is_one_loop_for_each_parameter():
    adam = rg.optim.Adam()
    params = {"w": np.ones((90, 90), np.float32)}
    graph = optimize(graph_of(adam.update, params, adam.init(params), params))
    loops = [eq for eq in graph.equations if eq.primitive.name == "fused" and eq.outputs[0].type.shape == (90, 90)]
    assert len(loops) == 1 and len(loops[0].outputs) == 3
