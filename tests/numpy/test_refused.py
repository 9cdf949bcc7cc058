"""Nothing returns a silently wrong number, a plain one that lost its gradient, or an array of objects.

Every callable of NumPy's namespaces, its ufuncs' methods, ndarray's methods, `scipy.special` and `scipy.linalg` is driven with
traced arrays in many positions (`driving.py`), whether it has a rule or not. What cannot be driven, and what is known to slip
through, is listed, and the lists are held to be true. `np.ma` and `np.char` are left out: masks and text have no rules, and
their classes make plain arrays of their own, which a traced array refuses ("masked", "char" below). Random generators get
chosen calls: they are compiled code, of which arbitrary arguments have crashed some.
"""

import copy
import io
import json
import math
import operator
import pickle
import statistics
import struct

import numpy as np
import pytest
import scipy.linalg
import scipy.special
from driving import ARGUMENTS, MATRICES, MATRIX, PATTERNS, UNDRIVEN, VECTOR, double, drive, functions_of, plainly, same

import retrograde as rg
from retrograde.errors import RetrogradeError
from retrograde.numpy.table import FUNCTIONS, REASONS

METHODS = ("reduce", "accumulate", "outer", "at", "reduceat")


def methods_of(cls):
    """A class's public methods as functions of their first argument."""
    names = [n for n in dir(cls) if not n.startswith("_") and callable(getattr(cls, n))]
    return {f"{cls.__name__}.{n}": lambda x, *args, _n=n: getattr(x, _n)(*args) for n in names}


UFUNCS = {n: f for n, f in functions_of(np, "np").items() if isinstance(f, np.ufunc)}
SPACES = {
    "numpy": functions_of(np, "np"),
    "linalg": functions_of(np.linalg, "np.linalg"),
    "fft": functions_of(np.fft, "np.fft"),
    "polynomial": functions_of(np.polynomial.polynomial, "np.polynomial.polynomial"),
    "strides": functions_of(np.lib.stride_tricks, "np.lib.stride_tricks"),
    "ufunc_methods": {
        f"{n}.{m}": getattr(f, m) for n, f in UFUNCS.items() for m in METHODS if (f.nin, f.nout) == (2, 1) or m == "at"
    },
    "ndarray": methods_of(np.ndarray),
    "special": functions_of(scipy.special, "scipy.special"),
    "scipy_linalg": functions_of(scipy.linalg, "scipy.linalg"),
}

_BEFORE = "an error of its own, before it asks the traced array anything"
_INSTANCE = "its Python code asks for an instance of np.ndarray, and treats another operand as a number of no axes"
KNOWN = {  # what is not as it should be, and why
    "np.bmat": "returns None for what is neither an array, a list nor text",
    "np.isscalar": "a traced number is an array of no axes, for which np.isscalar says no",
    "np.nditer": _BEFORE,
    "np.nested_iters": _BEFORE,
    "np.polynomial.polynomial.polyval": _INSTANCE + "; wrong for coefficients of several axes",
    "np.polynomial.polynomial.polyvalfromroots": _INSTANCE + "; wrong for plain roots and several points",
    "scipy.special.binom": "the derivative is NaN where a gamma function below the line has a pole",
    **dict.fromkeys(["scipy.special." + n for n in ("bernoulli", "euler", "lmbda", "lqmn", "mathieu_even_coef")], _BEFORE),
    **dict.fromkeys(["scipy.special." + n for n in ("mathieu_odd_coef", "obl_cv_seq", "pbdn_seq", "pbdv_seq")], _BEFORE),
    **dict.fromkeys(["scipy.special." + n for n in ("pbvv_seq", "pro_cv_seq", "riccati_jn", "riccati_yn")], _BEFORE),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("space", SPACES)
def test_nothing_loses_a_gradient(space, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # np.save and its kin write
    undriven, complaints = set(), {}
    for name, f in SPACES[space].items():
        if name.rpartition(".")[2] in UNDRIVEN:
            continue
        patterns = [*(MATRICES if space == "scipy_linalg" else PATTERNS), *([ARGUMENTS[name]] if name in ARGUMENTS else [])]
        driven, found = drive(name, f, patterns)
        if not driven:
            undriven.add(name)
        if found:
            complaints[name] = found
    unknown = [text for name in complaints if name not in KNOWN for text in complaints[name]]
    assert not unknown, "\n".join(unknown)
    assert {name for name in KNOWN if name in SPACES[space]} == set(complaints)
    if space != "ufunc_methods":  # NumPy itself has np.less.reduce of nothing
        assert not undriven


REFUSED = {
    "vectorize": lambda x: np.vectorize(math.sin)(x),
    "frompyfunc": lambda x: np.frompyfunc(double, 1, 1)(x),
    "poly1d": lambda x: np.poly1d(x)(2.0),
    "Polynomial": lambda x: np.polynomial.Polynomial(x),
    "Polynomial-points": lambda x: np.polynomial.Polynomial([1.0, 2.0, 3.0])(x),
    "matrix": lambda x: np.matrix(x),
    "matrix-plus": lambda x: np.matrix(np.ones((1, 3))) + x,
    "bmat": lambda x: np.bmat([[x]]),
    "array-object": lambda x: np.array([x[0], x[1]], dtype=object),
    "full-object": lambda x: np.full(3, x[0], dtype=object),
    "object-plus": lambda x: np.array([1.0, 2.0, 3.0], object) + x,
    "object-returned": lambda x: np.fromiter(iter(x), object),
    "fromiter": lambda x: np.fromiter(iter(x), float),
    "ndenumerate": lambda x: list(np.ndenumerate(x)),
    "broadcast": lambda x: np.broadcast(x, x),
    "masked": lambda x: np.ma.array(x),
    "masked-where": lambda x: np.ma.masked_where(x > 0, x),
    "masked-plus": lambda x: np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0]) + x,
    "plus-masked": lambda x: x + np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0]),
    "char": lambda x: np.char.add(x, "a"),
    "record": lambda x: np.rec.fromarrays([x]),
    "structured": lambda x: x + np.zeros(3, [("a", float)]),
    "float64": lambda x: np.float64(x[0]),
    "complex128": lambda x: np.complex128(x[0]),
    "int64": lambda x: np.int64(x[0]),
    "save": lambda x: np.save(io.BytesIO(), x),
    "savez": lambda x: np.savez(io.BytesIO(), x=x),
    "savetxt": lambda x: np.savetxt(io.StringIO(), x),
    "array2string": lambda x: np.array2string(x),
    "array_repr": lambda x: np.array_repr(x),
    "format_float": lambda x: np.format_float_positional(x[0]),
    "percent-f": lambda x: "%f" % x[0],  # noqa: UP031
    "assert_allclose": lambda x: np.testing.assert_allclose(x, x),
    "assert_array_equal": lambda x: np.testing.assert_array_equal(x, x),
    "assert_array_less": lambda x: np.testing.assert_array_less(x, x + 1),
    "assert_approx_equal": lambda x: np.testing.assert_approx_equal(x[0], x[0]),
    "pickle": lambda x: pickle.dumps(x),
    "fill": lambda x: np.zeros(3).fill(x[0]),
    "setitem": lambda x: operator.setitem(np.zeros(3), 0, x[0]),
    "put": lambda x: np.zeros(3).put([0], x[0]),
    "initial": lambda x: np.sum(np.ones(3), initial=x[0]),
    "method-clip": lambda x: np.zeros(3).clip(x, 1),
    "method-dot": lambda x: np.ones(3).dot(x),
    "method-choose": lambda x: np.array([0, 1, 0]).choose([x, x]),
    "take-mask": lambda x: np.ones(3)[x > 0],
    "take-places": lambda x: np.ones(3)[x.astype(int)],
    "einsum-out": lambda x: np.einsum("i,i->i", np.ones(3), np.ones(3), out=x),
    "random-normal": lambda x: np.random.default_rng(0).normal(x, 1.0),
    "random-choice": lambda x: np.random.default_rng(0).choice(x),
    "random-p": lambda x: np.random.default_rng(0).choice(3, p=x / x.sum()),
    "random-permuted": lambda x: np.random.default_rng(0).permuted(x),
    "seed": lambda x: np.random.seed(x[0]),  # noqa: NPY002
    "fsum": lambda x: math.fsum(x),
    "dist": lambda x: math.dist(x, x),
    "as_array": lambda x: np.ctypeslib.as_array(x),
    "strides": lambda x: x.strides,
    "view": lambda x: x.view(),
    "data": lambda x: x.data,
}


@pytest.mark.filterwarnings("ignore:.*matrix subclass")
@pytest.mark.parametrize("transform", [rg.vjp, lambda f, x: rg.trace(f)(x)], ids=["eager", "traced"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_would_make_plain_numbers_is_refused(name, transform):
    with pytest.raises((RetrogradeError, TypeError, ValueError)) as caught:
        transform(REFUSED[name], VECTOR)
    chain = caught.value
    while not isinstance(chain, RetrogradeError):  # NumPy says "setting an array element with a sequence" because of ours
        assert chain is not None
        chain = chain.__cause__ or chain.__context__
    assert len(str(chain)) > 60


@pytest.mark.parametrize("transform", [rg.vjp, lambda f, x: rg.trace(f)(x)], ids=["eager", "traced"])
@pytest.mark.parametrize(
    "f",
    [
        hash, json.dumps, statistics.mean, memoryview, bytes, np.frombuffer, lambda x: struct.pack("d", x[0]), np.from_dlpack,
        lambda x: np.sin(np.fromiter(iter(x), object)),
    ],
)
def test_what_asks_no_protocol_says_so_itself(f, transform):
    with pytest.raises((TypeError, AttributeError, struct.error)):
        transform(f, VECTOR)


KEPT = {
    "copy": lambda x: copy.copy(x) * x,
    "deepcopy": lambda x: copy.deepcopy({"a": [x]})["a"][0] * x,
    "poly1d-points": lambda x: np.poly1d([1.0, 2.0, 3.0])(x),
    "fromfunction": lambda x: np.fromfunction(lambda i: i * x[0], (3,)),
    "objects-sum": lambda x: np.fromiter(iter(x * x), object).sum(),
    "sum": lambda x: sum(x * x),
    "prod": lambda x: math.prod(x),
    "round": lambda x: round(x[0], 1) + x,
    "around": lambda x: np.around(x, 1) + x,
    "row_stack": lambda x: np.vstack([x, x * x]),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_python_and_numpy_do_by_themselves_keeps_the_gradient(name):
    f = KEPT[name]

    def total(x):
        return np.sum(f(x))

    found = rg.grad(total)(VECTOR)
    steps = np.eye(3) * 1e-6
    np.testing.assert_allclose(found, [(total(VECTOR + d) - total(VECTOR - d)) / 2e-6 for d in steps], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(rg.jit(rg.grad(total))(VECTOR), found, rtol=1e-14)


def test_a_copy_is_an_array_of_its_own():
    def f(x):
        kept = copy.deepcopy({"x": x})
        kept["x"][0] = 5.0
        return np.sum(x * kept["x"])

    np.testing.assert_allclose(rg.grad(f)(VECTOR), [5.0, *2 * VECTOR[1:]])


def test_in_asks_numpys_question():
    assert rg.vjp(lambda x: (MATRIX[0] in x) * x, MATRIX)[0] is not None
    found = []
    rg.vjp(lambda x: found.extend([3.1 in x, 7.0 in x, MATRIX[0] in x]) or x, MATRIX)
    assert found == [3.1 in MATRIX, 7.0 in MATRIX, MATRIX[0] in MATRIX] == [True, False, True]
    with pytest.raises(rg.errors.TracerBoolError):
        rg.jit(lambda x: (0.7 in x) * x)(MATRIX)


def test_the_driver_sees_what_it_is_to_see():
    """Functions that lose the gradient, or the value, each in its own way."""
    def traced(x):
        return not isinstance(x, np.ndarray)

    def complaint(f):
        return drive("f", f, [(VECTOR,)])[1][0]

    assert "plain value that depends" in complaint(lambda x: VECTOR * 1.0 if traced(x) else x * 1.0)
    assert "has the derivative" in complaint(lambda x: rg.stop_gradient(x) if traced(x) else x)
    assert "another value" in complaint(lambda x: x * (3 if traced(x) else 2))
    assert "raises KeyError" in complaint(lambda x: {}[0] if traced(x) else x)
    assert "array of objects" in complaint(lambda x: np.fromiter(iter(x), object) if traced(x) else x)
    assert drive("fine", np.sin, PATTERNS)[1] == []
    assert plainly(np.sin, ("a",)) is None and same("a", 1)


def test_reasons_are_of_functions_without_a_rule():
    assert not set(REASONS) & set(FUNCTIONS)
    for function, reason in REASONS.items():
        assert len(reason) > 40, function
