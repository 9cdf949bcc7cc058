"""`check`: what is right passes with a summary; what is wrong is named with its line, element and numbers."""

import numpy as np
import pytest

import retrograde as rg
from retrograde.errors import CheckError

X = np.random.default_rng(2).normal(size=(3, 4))


@rg.custom_pullback
def wrong(x):
    return np.sin(x)


@wrong.def_pullback
def _wrong(ct, out, x):
    return (ct * np.where(x == X[1, 2], 5.0, np.cos(x)),)


def test_a_right_function_gets_a_summary():
    def f(p, n):
        h = np.maximum(p["w"] @ p["w"].T @ X, 0)
        y = rg.scan(lambda c, v: (np.tanh(c * v), c), h, np.stack([h, h]))[0]
        return np.sum(y) * n, rg.checkpoint(np.sin)(p["b"].astype(np.float64))

    report = rg.check(f)({"w": X, "b": np.float32(0.3)}, 2)
    shown = str(report)
    assert all(name in shown for name in ("matmul", "maximum", "scan", "checkpoint", "the function"))
    assert {row.error < 1e-8 for row in report.rows} == {True}
    assert next(row for row in report.rows if row.op == "matmul").compared == 24


def test_a_wrong_rule_is_named_with_line_element_and_both_numbers():
    with pytest.raises(CheckError) as caught:
        rg.check(lambda x: np.sum(np.exp(wrong(x)) ** 2))(X)
    (line,) = str(caught.value).splitlines()[1:]
    assert "test_checking.py" in line and "wrong: operand 0, element (1, 2)" in line and "the pullback gives" in line
    assert line.count("exp") == 0
    with pytest.raises(AssertionError):
        rg.check(wrong)(X)


@pytest.mark.parametrize("inside", ["loop", "checkpoint"])
def test_the_operation_inside_is_named(inside):
    def f(x):
        if inside == "loop":
            return rg.scan(lambda c, _: (wrong(c), None), x, length=2)[0]
        return rg.checkpoint(lambda x: wrong(x) * 2)(x)

    with pytest.raises(CheckError, match=r"wrong: operand 0, element \(1, 2\)"):
        rg.check(f)(X)


def test_a_wrong_operation_is_found(monkeypatch):
    from retrograde.ops import elementwise as ew

    monkeypatch.setattr(ew.tanh, "pullback", lambda ct, z, x: (ct * (1.0 + z * z),))
    with pytest.raises(CheckError, match="tanh: operand 0"):
        rg.check(lambda x: np.tanh(x * 2))(X + 0.123)


def test_forward_against_reverse(monkeypatch):
    from retrograde.ops.shape import concatenate

    monkeypatch.setattr(concatenate, "push", lambda p, t, axis: (concatenate(*p, axis=axis), [concatenate(*p, axis=axis)]))
    with pytest.raises(CheckError, match="forward mode gives"):
        rg.check(lambda x, y: np.concatenate([x, y]))(X, X)


def test_a_value_that_bypasses_the_trace_is_found():
    state = [0.0]

    def f(x):
        state[0] = state[0] + 0.1
        return np.sum(x) * state[0]

    with pytest.raises(CheckError, match="bypass"):
        rg.check(f)(X)


def test_kinks_and_stops_are_told_apart_from_errors():
    report = rg.check(lambda x: np.maximum(x, 0.0) * rg.stop_gradient(x))(np.array([0.0, 1.0]))
    assert sum(row.kinks for row in report.rows) == 1 and report.stopped == 1
    assert "at a kink" in str(report) and "forward against reverse only" in str(report)


def test_floats_are_cast_unless_told_otherwise():
    seen = []
    f = lambda x: seen.append(x.dtype) or np.sum(np.exp(x))  # noqa: E731
    rg.check(f)(X.astype(np.float32))
    assert set(map(str, seen)) == {"float64"}
    seen.clear()
    rg.check(f, dtype=None, tolerance=1e-2)(X.astype(np.float32))
    assert set(map(str, seen)) == {"float32"}


def test_vectors_are_compared_up_to_their_free_sign_or_phase():
    x = np.array([[1, 0.5j, 0.3], [-0.5j, 2, 1], [0.3, 1, 4]])

    def by_eigenvectors(x):
        w, v = np.linalg.eigh(x)
        return np.abs(v) ** 2 * np.sin(w)

    def by_singular_vectors(x):
        u, _, vh = np.linalg.svd(x)
        return np.abs(u[:, :1] * vh[:1] + 0.1) ** 2

    for f in (by_eigenvectors, by_singular_vectors):
        assert rg.check(f)(x).rows[-1].error < 1e-8
        assert rg.check(f)(x.real).rows[-1].error < 1e-8
    with pytest.raises(CheckError, match="phase"):
        rg.check(lambda x: np.linalg.eigh(x)[1].imag)(x)
