"""What a loop carries on: programs of random operations in a loop's body, compiled as interpreted."""

import numpy as np
import pytest

import retrograde as rg


def two_by_a_loop(x, y, z):
    def step(state):
        count, a, b = state
        return count + 1, np.tanh(a + 0.1 * y), np.where(count > 1, a, b)

    return rg.while_loop(lambda state: state[0] < 3, step, (np.zeros((), np.int64), x, z))[1:]


STEPS = [
    lambda x, y, z: 0.5 * x + 0.3 * y,
    lambda x, y, z: np.tanh(x - y * z),
    lambda x, y, z: np.where(np.sum(x) > np.sum(y), y, z),
    lambda x, y, z: two_by_a_loop(x, y, z)[0],
    lambda x, y, z: sum(two_by_a_loop(x, y, z)),
    lambda x, y, z: rg.fori_loop(0, 2, lambda i, q: 0.5 * q + y, x),
    lambda x, y, z: rg.at(x)[0].set(y[1]),
    lambda x, y, z: rg.cond(np.sum(x) > 0, lambda u, v: u - v, lambda u, v: 0.5 * u + v, y, z),
    lambda x, y, z: np.sort(x)[::-1] * 0.9 + y[0],
    lambda x, y, z: np.roll(x, 1) * 0.7 - np.mean(z),
]  # fmt: skip


def random_body(rng):
    """A step whose carry is some vectors: a few operations on them and on one another's results, of which some are carried on."""
    count = int(rng.integers(2, 5))
    chosen = [(STEPS[rng.integers(len(STEPS))], rng.random(3)) for _ in range(rng.integers(3, 12))]
    ends, kept = rng.random(count), rng.random(count) < 0.25

    def body(carry):
        values = list(carry)
        for step, which in chosen:
            values.append(step(*(values[int(w * len(values))] for w in which)))
        made = values[count:]
        return tuple(carry[int(e * count)] if keep else made[int(e * len(made))] for e, keep in zip(ends, kept))

    return body, tuple(rng.normal(size=(count, 3)))


@pytest.mark.parametrize("seed", [10, 16, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(100, 160))])
def test_loops_of_random_operations(seed):
    body, start = random_body(np.random.default_rng(seed))
    wanted = start
    for _ in range(3):
        wanted = body(wanted)
    found = rg.jit(lambda carry: rg.scan(lambda c, _: (body(c), None), carry, length=3)[0])(start)
    for a, b in zip(found, wanted):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-12)
