"""Thousands of equations, as Python's own loops unroll them."""

import numpy as np
import pytest

import retrograde as rg


def logistic_map(x, r, steps):
    for _ in range(steps):
        x = r * x * (1 - x)
    return x


def by_hand(x, r, steps):
    """The orbit's end and its derivatives by x and r, step by step."""
    dx, dr = 1.0, 0.0
    for _ in range(steps):
        dx, dr = r * (1 - 2 * x) * dx, x * (1 - x) + r * (1 - 2 * x) * dr
        x = r * x * (1 - x)
    return x, (dx, dr)


def test_ten_thousand_equations_are_differentiated():
    value, slopes = rg.value_and_grad(logistic_map, (0, 1))(0.3, 2.9, 3400)
    expected, exact = by_hand(0.3, 2.9, 3400)
    assert value == pytest.approx(expected) and slopes[1] == pytest.approx(exact[1], rel=1e-9)
    assert slopes[0] == pytest.approx(exact[0], abs=1e-12)


@pytest.mark.parametrize("steps", [400, 1500])
def test_thousands_of_equations_are_compiled(steps):
    """Few of them are straight-line code, more are not."""
    compiled = rg.jit(rg.value_and_grad(lambda x, r: np.sum(logistic_map(x, r, steps)), (0, 1)))
    xs = np.array([0.3, 0.5, 0.7])
    value, (dx, dr) = compiled(xs, 3.2)
    found = [by_hand(x, 3.2, steps) for x in xs]
    assert value == pytest.approx(sum(x for x, _ in found))
    np.testing.assert_allclose(dx, [d[0] for _, d in found], atol=1e-10)
    assert dr == pytest.approx(sum(d[1] for _, d in found), rel=1e-8)
