"""Random NumPy programs: traced, interpreted, compiled and differentiated, against NumPy and against each other.

A program is a list of steps, each a function of earlier values. It runs on plain arrays (what NumPy says), on tracers
eagerly, compiled, and its gradient eagerly, compiled, and by central differences along a random direction.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import retrograde as rg
from retrograde.compile import interpret
from retrograde.ir import check_graph
from retrograde.optimize import optimize
from retrograde.trace import trace_to_graph

SIZES = st.sampled_from([0, 1, 1, 2, 3, 4, 5, 17])
SHAPES = st.lists(SIZES, max_size=3).filter(lambda s: np.prod(s) <= 300).map(tuple)
LARGE = st.sampled_from([(70, 40), (40, 1, 70), (2800,), (7, 20, 20), (1, 2600), (64, 64)])
DTYPES = st.sampled_from([np.float64] * 5 + [np.float32, np.float32, np.int64, np.int32, np.bool_])
SMOOTH = [
    np.sin,
    np.cos,
    np.tanh,
    np.square,
    np.negative,
    np.arctan,
    lambda x: np.exp(np.clip(x, -20, 3)),
    lambda x: np.log1p(np.square(x)),
]
STEPS = [np.abs, np.sign, np.floor, lambda x: x > 0.25, lambda x: np.maximum(x, 0.1), lambda x: np.clip(x, -0.7, 0.6)]
PAIRS = [
    np.add,
    np.subtract,
    np.multiply,
    lambda x, y: x / (np.square(y) + 1.5),
    np.maximum,
    np.minimum,
    np.hypot,
    lambda x, y: np.where(x > y, x, y * 2),
]


class Program:
    """Steps over a growing list of values; which are outputs is part of it."""

    def __init__(self, inputs, steps, outputs):
        self.inputs, self.steps, self.outputs = inputs, steps, outputs

    def __call__(self, *arrays):
        values = list(arrays)
        for _, f, operands in self.steps:
            values.append(f(*[values[i] for i in operands]))
        return tuple(values[i] for i in self.outputs)

    def __repr__(self):
        lines = [f"v{i} = {x.dtype}{x.shape} strides {x.strides}" for i, x in enumerate(self.inputs)]
        lines += [f"v{len(self.inputs) + k} = {name}{operands}" for k, (name, _, operands) in enumerate(self.steps)]
        return "\n".join([*lines, f"return {self.outputs}"])


@st.composite
def programs(draw, floats_only=False, large=False):
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    inputs = [draw_input(draw, rng, floats_only, large) for _ in range(draw(st.integers(1, 3)))]
    if draw(st.integers(0, 5)) == 0:
        inputs.append(inputs[0])  # the same array passed twice
    values, steps = list(inputs), []
    for _ in range(draw(st.integers(1, 12))):
        made = draw_step(draw, rng, values, floats_only)
        if made is None:
            continue
        _, f, operands = made
        with np.errstate(all="ignore"):
            value = f(*[values[i] for i in operands])
        if np.size(value) > 20_000:
            continue
        steps.append(made)
        values.append(value)
    picks = st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=3)
    return Program(inputs, steps, [len(values) - 1, *draw(picks)][: draw(st.integers(1, 4))])


def draw_input(draw, rng, floats_only, large):
    shape = draw(LARGE if large and draw(st.booleans()) else SHAPES)
    dtype = np.float64 if floats_only else draw(DTYPES)
    x = rng.uniform(-1.5, 1.5, shape)
    x = (x > 0) if dtype == np.bool_ else (x * 4).astype(dtype) if np.dtype(dtype).kind == "i" else x.astype(dtype)
    how = draw(st.sampled_from(["plain", "plain", "reversed", "strided", "transposed", "read-only"]))
    if how == "reversed":
        x = x[(slice(None, None, -1),) * x.ndim]
    elif how == "strided" and x.ndim:
        x = np.repeat(x, 2, axis=-1)[..., ::2]
    elif how == "transposed":
        x = np.asfortranarray(x)
    elif how == "read-only" and isinstance(x, np.ndarray):
        x.flags.writeable = False
    return x


def draw_step(draw, rng, values, smooth):
    i = draw(st.integers(0, len(values) - 1))
    x = np.asarray(values[i])
    n, shape = x.ndim, x.shape
    kind = draw(st.sampled_from(KINDS if not smooth else [k for k in KINDS if k not in ("step", "cast", "arg")]))
    axes = tuple(sorted(draw(st.sets(st.integers(0, n - 1), max_size=n)))) if n else ()
    axis = draw(st.integers(-n, n - 1)) if n else None
    if kind == "unary":
        k = draw(st.integers(0, len(SMOOTH) - 1))
        return (f"smooth{k}", SMOOTH[k], [i]) if x.dtype != bool else None
    if kind == "step":
        k = draw(st.integers(0, len(STEPS) - 1))
        return (f"step{k}", STEPS[k], [i]) if x.dtype != bool else None
    if kind == "scalar":
        c = draw(st.sampled_from([0.5, -1.5, 2, 3.0, np.float32(0.25)]))
        return f"*{c!r}+1", lambda v: v * c + 1, [i]
    if kind == "pair":
        j = fitting(draw, values, lambda y: broadcasts(shape, y.shape) and bool not in (x.dtype, y.dtype))
        k = draw(st.integers(0, (3 if smooth else len(PAIRS) - 1)))
        return None if j is None else (f"pair{k}", PAIRS[k], [i, j])
    if kind == "reduce":
        f = draw(
            st.sampled_from(
                [np.sum, np.mean, np.var] if smooth else [np.sum, np.mean, np.var, np.max, np.min, np.any, np.prod, np.all]
            )
        )
        if (f not in (np.sum, np.prod, np.any, np.all) and x.size == 0) or (f is np.prod and x.size > 60):
            return None
        kw = {"axis": draw(st.sampled_from([None, axes, axis])), "keepdims": draw(st.booleans())}
        return f"{f.__name__}{kw}", lambda v: f(v, **kw), [i]
    if kind == "arg" and x.size and n:
        f = draw(st.sampled_from([np.argmax, np.argmin]))
        return f"{f.__name__}{axis}", lambda v: f(v, axis=axis), [i]
    if kind == "reshape":
        target = draw(st.sampled_from([(-1,) if x.size else (0,), shape[::-1], (*shape, 1), (1, *shape), factored(x.size)]))
        return f"reshape{target}", lambda v: np.reshape(v, target), [i]
    if kind == "transpose":
        order = draw(st.permutations(range(n)))
        return f"transpose{order}", lambda v: np.transpose(v, order), [i]
    if kind == "slice" and n:
        key = tuple(
            slice(
                *draw(
                    st.sampled_from(
                        [
                            (None, None, None),
                            (1, None, None),
                            (None, None, -1),
                            (None, None, 2),
                            (None, -1, None),
                            (-1, None, -2),
                            (2, 1, 1),
                            (0, 1, 1),
                        ]
                    )
                )
            )
            for _ in range(n)
        )
        if draw(st.booleans()) and shape[0]:
            key = (draw(st.integers(-shape[0], shape[0] - 1)), *key[1:])
        if draw(st.booleans()):
            key = (*key[:1], None, *key[1:])
        return f"{key}", lambda v: v[key], [i]
    if kind == "take" and n and shape[axis]:
        places = rng.integers(-shape[axis], shape[axis], draw(st.sampled_from([(), (3,), (2, 2), (0,), (5,)])))
        key = (slice(None),) * (axis % n) + (places,)
        return f"[{places.tolist()} at {axis}]", lambda v: v[key], [i]
    if kind == "index-traced" and n and shape[0]:
        j = fitting(draw, values, lambda y: y.dtype.kind == "i" and y.size < 100)
        return None if j is None else ("x[y % n]", lambda v, w: rg.numpy.take(v, w % shape[0], axis=0), [i, j])
    if kind == "join":
        j = fitting(draw, values, lambda y: y.shape == shape)
        f = np.stack if n == 0 or draw(st.booleans()) else np.concatenate
        at = draw(st.integers(0, n if f is np.stack else n - 1))
        return f"{f.__name__}{at}", lambda v, w: f([v, w, v], axis=at), [i, j]
    if kind == "matmul" and n:
        j = fitting(draw, values, lambda y: y.ndim and matches(shape, y.shape) and x.dtype.kind == y.dtype.kind)
        return None if j is None else ("matmul", lambda v, w: np.matmul(v, w) * 0.3, [i, j])
    if kind == "where":
        j = fitting(draw, values, lambda y: broadcasts(shape, y.shape))
        c = np.asarray(rng.integers(0, 2, shape), bool)
        return f"where{c.shape}", lambda v, w: np.where(c, v, w), [i, j]
    if kind == "cast":
        dtype = draw(st.sampled_from([np.float32, np.float64, np.int64, np.int32, bool]))
        return f"astype {dtype}", lambda v: np.clip(v, -1000, 1000).astype(dtype) if x.dtype.kind == "f" else v.astype(dtype), [i]
    if kind == "broadcast":
        target = (draw(st.integers(0, 3)), *shape)
        return f"broadcast_to{target}", lambda v: np.broadcast_to(v, target), [i]
    return None


KINDS = [
    "unary",
    "unary",
    "pair",
    "pair",
    "scalar",
    "step",
    "reduce",
    "reduce",
    "arg",
    "reshape",
    "transpose",
    "slice",
    "take",
    "index-traced",
    "join",
    "matmul",
    "where",
    "cast",
    "broadcast",
]


def fitting(draw, values, fits):
    found = [k for k, y in enumerate(values) if fits(np.asarray(y))]
    return draw(st.sampled_from(found)) if found else None


def broadcasts(a, b):
    try:
        np.broadcast_shapes(a, b)
    except ValueError:
        return False
    return True


def matches(a, b):
    if a[-1] != b[-2 if len(b) > 1 else -1]:
        return False
    return broadcasts(a[:-2], b[:-2])


def factored(n):
    return next(((k, n // k) for k in (2, 3, 5, 7) if n and n % k == 0), (n, 1))


def close(found, expected, scale=1.0, single=False):
    assert len(found) == len(expected)
    for a, b in zip(found, expected):
        a, b = np.asarray(a), np.asarray(b)
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        if b.dtype.kind != "f":
            np.testing.assert_array_equal(a, b)
            continue
        tolerance = scale * (3e-4 if b.dtype == np.float32 or single else 1e-9)
        largest = np.max(np.abs(b), where=np.isfinite(b), initial=1.0)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * largest)


def decisive(program):
    """Whether rounding cannot flip what the program decides: no comparison, step or integer made of inexact floats."""
    inexact, values = set(), list(range(len(program.inputs)))
    for k, (name, _, operands) in enumerate(program.steps):
        me = len(values) + k
        if any(o in inexact for o in operands) and name.startswith(("step", "arg", "astype", "pair7", "any", "all", "smooth")):
            return False
        if name.startswith(("smooth", "pair3", "pair6", "mean", "var", "sum", "prod", "matmul", "*")) or any(
            o in inexact for o in operands
        ):
            inexact.add(me)
    return True


def check_values(program):
    with np.errstate(all="ignore"):
        expected = program(*program.inputs)
        if not all(np.all(np.isfinite(v)) for v in expected) or any(
            np.max(np.abs(v), initial=0) > 1e6 for v in expected if v.dtype != bool
        ):
            return
        eager = rg.vjp(lambda xs: program(*call(program, xs)), floats(program))[0]
        close(eager, expected, 1e-3)
        graph, _ = trace_to_graph(program, program.inputs)
        check_graph(graph)
        close(interpret(graph, program.inputs), expected, 1e-3)
        better = check_graph(optimize(graph))
        close(interpret(better, program.inputs), expected, 1e-3)
    before = [x.copy() for x in program.inputs]
    found = rg.jit(program)(*program.inputs)
    for x, old in zip(program.inputs, before):
        np.testing.assert_array_equal(x, old)
    if decisive(program):
        close(found, expected, single=has_single(program))
    for v in found:
        assert not any(np.shares_memory(v, x) for x in program.inputs)
    assert not any(np.shares_memory(v, w) for k, v in enumerate(found) for w in found[:k])


def has_single(program):
    """Whether some of the way is in float32, as the result need not be."""
    return any(x.dtype == np.float32 for x in program.inputs) or any("float32" in name for name, _, _ in program.steps)


def floats(program):
    return [x for x in program.inputs if x.dtype.kind == "f"]


def call(program, xs):
    replaced = iter(xs)
    return [next(replaced) if x.dtype.kind == "f" else x for x in program.inputs]


def check_gradients(program):
    def loss(xs):
        return sum(np.sum(np.sin(v) * (k + 1)) for k, v in enumerate(program(*xs)))

    with np.errstate(all="ignore"):
        if not all(np.all(np.abs(v) < 1e3) for v in program(*program.inputs)):
            return
        grads = rg.grad(loss)(list(program.inputs))
        for g, x in zip(grads, program.inputs):
            assert np.shape(g) == x.shape and g.dtype == x.dtype
        close(rg.jit(rg.grad(loss))(list(program.inputs)), grads, 1e2)
        rng = np.random.default_rng(0)
        directions = [rng.normal(size=x.shape) for x in program.inputs]
        t = 1e-6

        def at(s):
            return loss([x + s * d for x, d in zip(program.inputs, directions)])

        found = sum(np.sum(g * d) for g, d in zip(grads, directions))
        wide, narrow = (at(t) - at(-t)) / (2 * t), (at(t / 2) - at(-t / 2)) / t
        scale = 1 + sum(np.sum(np.abs(g * d)) for g, d in zip(grads, directions))
        if abs(wide - narrow) < 1e-5 * scale:  # differences that agree with one another say something
            assert abs(found - narrow) < 1e-4 * scale


COMMON = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=90, derandomize=True, **COMMON)
@given(programs())
def test_values(program):
    check_values(program)


@settings(max_examples=40, derandomize=True, **COMMON)
@given(programs(large=True))
def test_values_in_loop_nests(program):
    check_values(program)


@settings(max_examples=50, derandomize=True, **COMMON)
@given(programs(floats_only=True))
def test_gradients(program):
    check_gradients(program)


@settings(max_examples=20, derandomize=True, **COMMON)
@given(programs(floats_only=True, large=True))
def test_gradients_in_loop_nests(program):
    check_gradients(program)


@pytest.mark.slow
@settings(max_examples=400, derandomize=True, **COMMON)
@given(st.booleans().flatmap(lambda large: programs(large=large)))
def test_many_values(program):
    check_values(program)


@pytest.mark.slow
@settings(max_examples=200, derandomize=True, **COMMON)
@given(st.booleans().flatmap(lambda large: programs(floats_only=True, large=large)))
def test_many_gradients(program):
    check_gradients(program)
