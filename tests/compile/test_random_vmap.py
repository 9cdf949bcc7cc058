"""Random NumPy programs mapped over an axis: against a loop, nested, compiled, differentiated."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from test_random_graphs import COMMON, close, decisive, has_single, programs

import retrograde as rg


@st.composite
def mapped_programs(draw, floats_only=False):
    program = draw(programs(floats_only=floats_only))
    n = len(program.inputs)
    flags = draw(st.lists(st.booleans(), min_size=n, max_size=n).filter(any))
    places = [draw(st.integers(-x.ndim - 1, x.ndim)) if m else None for x, m in zip(program.inputs, flags)]
    return program, tuple(places), draw(st.integers(1, 3))


def lanes_of(program, places, size):
    """The inputs of each lane, and those of the mapped call."""
    rng = np.random.default_rng(size)
    lanes = [
        [x if place is None else rng.permutation(x.flatten()).reshape(x.shape) for x, place in zip(program.inputs, places)]
        for _ in range(size)
    ]
    given = [x if place is None else np.stack(xs, place) for x, place, xs in zip(program.inputs, places, zip(*lanes))]
    return lanes, given


def tame(values):
    return all(np.all(np.isfinite(v)) and np.max(np.abs(v), initial=0) < 1e3 for v in values if v.dtype != bool)


@settings(max_examples=100, derandomize=True, **COMMON)
@given(mapped_programs())
def test_mapped_values(case):
    program, places, size = case
    lanes, given = lanes_of(program, places, size)
    with np.errstate(all="ignore"):
        each = [program(*xs) for xs in lanes]
    if not all(tame(values) for values in each):
        return
    expected = [np.stack(values) for values in zip(*each)]
    mapped = rg.vmap(program, places)
    if decisive(program):
        close(mapped(*given), expected, 1e-3, single=has_single(program))
        close(rg.jit(mapped)(*given), expected, single=has_single(program))
    twice = rg.vmap(rg.vmap(program, places), tuple(None if p is None else 0 for p in places), out_axes=1)
    doubled = [x if place is None else np.stack([x, x]) for x, place in zip(given, places)]
    if decisive(program):
        close(twice(*doubled), [np.stack([v, v], 1) for v in expected], 1e-3, single=has_single(program))


@settings(max_examples=60, derandomize=True, **COMMON)
@given(mapped_programs(floats_only=True))
def test_mapped_gradients(case):
    program, places, size = case
    lanes, given = lanes_of(program, places, size)

    def loss(*xs):
        return sum(np.sum(np.sin(v) * (k + 1)) for k, v in enumerate(program(*xs)))

    with np.errstate(all="ignore"):
        if not all(tame(program(*xs)) for xs in lanes):
            return
        wanted = tuple(range(len(given)))
        gradient = rg.grad(loss, argnums=wanted)
        each = [gradient(*xs) for xs in lanes]
        expected = [np.stack(values) for values in zip(*each)]
        close(rg.vmap(gradient, places)(*given), expected, 1e-2)
        close(rg.jit(rg.vmap(gradient, places))(*given), expected, 1e2)
        summed = rg.grad(lambda *xs: np.sum(rg.vmap(loss, places)(*xs)), argnums=wanted)(*given)
        moved = [e.sum(0) if p is None else np.moveaxis(e, 0, p) for e, p in zip(expected, places)]
        close(summed, moved, 1e-2)
