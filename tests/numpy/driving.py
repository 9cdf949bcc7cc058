"""Drive any function with traced arrays: which arguments NumPy itself takes is found by trying, what may come back is a rule.

Arguments are guessed from a list of patterns; those that the function takes of plain arrays are then given to it traced, eagerly
(floats) and for compilation (everything). A call may raise an error that says what is wrong, or return what NumPy returns: traced
where it depends on a traced value, with the right derivative. A plain number that depends on one is a lost gradient.
"""

import contextlib
import copy
import io
import warnings

import numpy as np

import retrograde as rg
from retrograde.errors import RetrogradeError
from retrograde.trace import Tracer

VECTOR = np.array([0.71, 0.23, 0.94])
MATRIX = np.array([[2.03, 0.31, 0.17], [0.31, 3.1, 0.22], [0.17, 0.22, 1.52]])  # symmetric, positive definite
NUMBER = np.float64(0.4)
PLACES = np.array([1, 0, 2])


def double(*args):
    """What is given where a function wants a function."""
    return args[0] * 2


def _patterns(a):
    yield from [(a,), (a, a), (a, 2), (2, a), (a, 0.5), (PLACES, a), (a, PLACES), (a, a, a), (a, a, 2), (2, a, a), (a, 1, a)]
    yield from [(a, a, a, a), (2, 2, a), (2, a, 2), (a, 2, 2), (a > 0.5, a), (a, a > 0.5), (a > 0.5, a, a), (PLACES, PLACES, a)]
    yield from [(double, a), (double, a, a), (double, 0, a), (a, double), ([a],), ([a, a],), ([a, a], a), (a, [a, a]), ((a, a), a)]
    yield from [(a, "float64"), ("name", a)]


PATTERNS = [p for a in (VECTOR, MATRIX, NUMBER) for p in _patterns(a)]
PATTERNS += [(MATRIX, VECTOR), (VECTOR, MATRIX), ((MATRIX, True), VECTOR), (PLACES,), (PLACES, PLACES), (VECTOR[:2], VECTOR)]


def quietly(f, *args):
    """The result of a call, without its warnings and prints."""
    with warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return f(*args)


def is_array(x, kinds):
    return isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind in kinds


def replace(tree, kinds, new):
    """The arguments with `new(x)` for each array of these kinds, through tuples and lists."""
    if isinstance(tree, (tuple, list)):
        return type(tree)(replace(x, kinds, new) for x in tree)
    return new(tree) if is_array(tree, kinds) else tree


def leaves(tree):
    """What is in a result, in order."""
    if isinstance(tree, (tuple, list)):
        return [leaf for x in tree for leaf in leaves(x)]
    return [leaf for x in tree.values() for leaf in leaves(x)] if isinstance(tree, dict) else [tree]


def plainly(f, args):
    """What NumPy returns and what it leaves in its arguments; None where it does not take these."""
    args = copy.deepcopy(args)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return leaves([quietly(f, *args), *args])
    except Exception:
        return None


def moved(x):
    """Another value of the same kind."""
    if x.dtype.kind == "b":
        return ~x
    return x[::-1].copy() if x.dtype.kind in "iu" and x.ndim else x + x.dtype.type(1 if x.dtype.kind in "iu" else 1e-3)


def same(a, b, tolerance=1e-9):
    """Whether two leaves are equal numbers; True for what are no numbers."""
    try:
        a, b = np.asarray(a), np.asarray(b)
        if a.dtype.kind not in "biufc" or b.dtype.kind not in "biufc":
            return True
        return a.shape == b.shape and np.allclose(a, b, tolerance, tolerance, equal_nan=True)
    except (TypeError, ValueError):
        return True


def is_clear(error, name):
    """An error of ours, or caused by one, or one of Python's that names the function or what it cannot take."""
    chain = error
    while chain is not None:
        if isinstance(chain, RetrogradeError):
            return True
        chain = chain.__cause__ or chain.__context__
    if isinstance(error, IndexError):
        return True
    said = str(error)
    named = any(word in said for word in (name.rpartition(".")[2], "Tracer", "must be an array", "cannot be interpreted"))
    return named and isinstance(error, (TypeError, AttributeError, ValueError))


class Call:
    """One call of `f(*args)` with the arrays of some kinds traced, and what is wrong with what came of it."""

    def __init__(self, name, f, args, kinds):
        self.name, self.f, self.args, self.kinds = name, f, args, kinds
        self.arrays = []
        replace(args, kinds, lambda x: self.arrays.append(x) or x)
        self.found, self.slope = None, 0.0

    def __call__(self, *traced):
        values = iter(traced)
        args = replace(self.args, self.kinds, lambda _: next(values))
        args = tuple(copy.deepcopy(a) if is_array(a, "biufc") else a for a in args)
        self.found = leaves([quietly(self.f, *args), *args])
        return [x for x in self.found if isinstance(x, Tracer)]

    def complaint(self, transform):
        """What is wrong; None if nothing is."""
        expected = plainly(self.f, self.args)
        other = plainly(self.f, replace(copy.deepcopy(self.args), self.kinds, moved))
        try:
            with np.errstate(all="ignore"):
                values = transform(self, self.arrays)
        except Exception as error:
            return None if is_clear(error, self.name) else f"raises {type(error).__name__}: {error}"
        if len(self.found) != len(expected):
            return f"returns {len(self.found)} things instead of {len(expected)}"
        other = other if other is not None and len(other) == len(expected) else expected
        values = iter(values)
        for got, plain, away in zip(self.found, expected, other):
            if isinstance(got, Tracer):
                if not same(next(values), plain):
                    return f"returns another value than NumPy: {plain!r}"
                continue
            if isinstance(got, np.ndarray) and got.dtype.kind == "O" and not (is_array(plain, "O")):
                return "returns an array of objects"
            if is_array(plain, "biufc") and not is_array(got, "biufc") and not isinstance(got, (bool, int, float, complex)):
                return f"returns a {type(got).__name__} instead of {plain!r}"
            if not same(got, plain):
                return f"returns the plain value {got!r} instead of {plain!r}"
            loses = "biufc" if transform is compiled else "fc"
            if np.asarray(plain).dtype.kind in loses and not same(plain, away):
                return f"returns a plain value that depends on a traced one: {got!r}"
        return self.steepness() if transform is eagerly else None

    def steepness(self):
        """What is wrong with the derivative, where differences on both sides agree on one."""
        sums = []
        for step in (-1e-6, 0, 1e-6):
            found = plainly(self.f, replace(self.args, self.kinds, lambda x: x + x.dtype.type(step)))
            if found is None or len(found) != len(self.found):
                return None
            traced = [np.asarray(plain) for got, plain in zip(self.found, found) if isinstance(got, Tracer)]
            sums.append(sum(np.sum(x) for x in traced if x.dtype.kind in "fc"))
        behind, ahead = (sums[1] - sums[0]) / 1e-6, (sums[2] - sums[1]) / 1e-6
        if not np.isfinite([behind, ahead]).all() or not same(behind, ahead, 1e-3):
            return None
        return None if same(self.slope, (behind + ahead) / 2, 2e-3) else f"has the derivative {self.slope} instead of {ahead}"


def eagerly(call, arrays):
    """The values through `rg.vjp`, and the derivative of their sum in one direction."""
    values, pull = rg.vjp(call, *arrays)
    ones = [np.ones(np.shape(x), x.dtype) if np.asarray(x).dtype.kind in "fc" else np.zeros(np.shape(x), x.dtype) for x in values]
    call.slope = sum(np.sum(ct) for ct in pull(ones)) if len(arrays) else 0.0
    return values


def compiled(call, arrays):
    """The values of the graph that `rg.jit` would compile."""
    return rg.ir.evaluate(rg.trace(call)(*arrays), arrays)


def drive(name, f, patterns):
    """How many of the patterns it takes, and what is wrong with what came of them."""
    driven, complaints = 0, []
    for args in patterns:
        if plainly(f, args) is None:
            continue
        driven += 1
        for transform, kinds in ((eagerly, "fc"), (compiled, "biufc")):
            call = Call(name, f, args, kinds)
            if call.arrays and (found := call.complaint(transform)):
                complaints.append(f"{name}{args!r} {transform.__name__} {found}"[:300])
    return driven, complaints
