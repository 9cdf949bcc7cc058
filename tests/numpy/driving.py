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
import scipy.linalg
import scipy.special

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
    yield from [(double, a), (double, a, a), (double, 0, a), (a, double), ([a],), ([a, a],), ([a, a], a), (a, [a, a])]
    yield from [((a, a), a), (a, "float64"), ("name", a)]


PATTERNS = [p for a in (VECTOR, MATRIX, NUMBER) for p in _patterns(a)]
PATTERNS += [(MATRIX, VECTOR), (VECTOR, MATRIX), ((MATRIX, True), VECTOR), (PLACES,), (PLACES, PLACES), (VECTOR[:2], VECTOR)]


# Of scipy.linalg: matrices and vectors only, for its wrappers of Fortran can break the heap when given anything else.
MATRICES = [p for p in PATTERNS if all(any(x is a for a in (MATRIX, VECTOR)) for x in p)] + [((MATRIX, True), VECTOR)]

ARGUMENTS = {
    "np.dsplit": (np.ones((2, 2, 2)), 2), "np.einsum": ("i,ij", VECTOR, MATRIX), "np.einsum_path": ("i,ij", VECTOR, MATRIX),
    "np.moveaxis": (MATRIX, 0, 1), "np.rollaxis": (MATRIX, 1, 0), "np.swapaxes": (MATRIX, 0, 1), "np.reshape": (VECTOR, (3, 1)),
    "np.put_along_axis": (VECTOR, PLACES, VECTOR, 0), "np.ravel_multi_index": ((PLACES, PLACES), (3, 3)),
    "np.unravel_index": (PLACES, (3, 3)), "np.frompyfunc": (double, 1, 1), "np.nested_iters": ([VECTOR, VECTOR], [[0], []]),
    "np.angle": (VECTOR + 1j,), "np.imag": (VECTOR + 1j,), "np.piecewise": (VECTOR, [VECTOR > 0.5], [double]),
    "np.linalg.tensorinv": (MATRIX, 1), "scipy.special.multigammaln": (VECTOR + 2, 2), "np.digitize": (VECTOR, np.arange(3.0)),
    "np.fill_diagonal": (MATRIX, 0.5), "np.insert": (VECTOR, 1, VECTOR), "np.searchsorted": (np.arange(3.0), VECTOR),
    "np.eye": (3,), "np.isnat": (np.array(["2000-01-01"], "M8[D]"),), "np.unpackbits": (PLACES.astype(np.uint8),),
    "np.fromfunction": (lambda i: i * 0.5, (3,)), "np.binary_repr": (2,), "np.ndindex": (2, 2), "np.mask_indices": (3, np.triu),
    "np.isdtype": (np.dtype(float), "real floating"),
    "np.polynomial.polynomial.polyvander2d": (VECTOR, VECTOR, (1, 1)),
    "np.polynomial.polynomial.polyvander3d": (VECTOR, VECTOR, VECTOR, (1, 1, 1)),
    "Generator.multivariate_hypergeometric": (PLACES + 1, 2), "Generator.zipf": (VECTOR + 1.5,),
    "RandomState.zipf": (VECTOR + 1.5,),
    "scipy.special.ellip_harm": (5.0, 8.0, 1, 1, NUMBER), "scipy.special.ellip_harm_2": (5.0, 8.0, 1, 1, NUMBER + 10),
    "scipy.special.sph_harm_y": (2, 1, VECTOR, VECTOR), "scipy.special.sph_harm_y_all": (2, 1, VECTOR, VECTOR),
    "ndarray.reshape": (VECTOR, (3, 1)), "ndarray.swapaxes": (MATRIX, 0, 1),
    "scipy.linalg.convolution_matrix": (VECTOR, 3), "scipy.linalg.eigh_tridiagonal": (VECTOR, VECTOR[:2]),
    "scipy.linalg.eigvalsh_tridiagonal": (VECTOR, VECTOR[:2]), "scipy.linalg.fractional_matrix_power": (MATRIX, 0.5),
    "scipy.linalg.funm": (MATRIX, double), "scipy.linalg.leslie": (VECTOR, VECTOR[:2]), "scipy.linalg.diagsvd": (VECTOR, 3, 3),
    "scipy.linalg.cossin": (scipy.linalg.qr(MATRIX)[0], 1, 1), "scipy.linalg.clarkson_woodruff_transform": (MATRIX, 2),
    "scipy.linalg.lu_solve": ((MATRIX, np.arange(3)), VECTOR), "scipy.linalg.solve_banded": ((1, 1), MATRIX, VECTOR),
    "scipy.linalg.qr_delete": (scipy.linalg.qr(MATRIX)[0], MATRIX, 0), "scipy.linalg.find_best_blas_type": ([MATRIX],),
    "scipy.linalg.get_blas_funcs": ("gemm", [MATRIX]), "scipy.linalg.get_lapack_funcs": ("gesv", [MATRIX]),
    "scipy.special.binom": (2, np.float64(3)),
    **{f"scipy.special.{n}": (2, 2, 0.5, 9.0, NUMBER) for n in ("obl_ang1_cv", "obl_rad1_cv", "obl_rad2_cv", "pro_ang1_cv")},
    **{f"scipy.special.{n}": (2, 2, 0.5, 9.0, NUMBER + 1.5) for n in ("pro_rad1_cv", "pro_rad2_cv")},
}  # fmt: skip


_SETTING = "changes or tells NumPy's own settings"
_FIXED = "takes no array of numbers"
_ABSTRACT = "an abstract type"
_READS = "reads a file"
_MEMORY = "what is in fresh memory is anything"
UNDRIVEN = {
    **dict.fromkeys(["test", "show_config", "show_runtime", "info", "get_include", "set_printoptions", "setbufsize"], _SETTING),
    **dict.fromkeys(["seterr", "seterrcall", "get_printoptions", "getbufsize", "geterr", "geterrcall", "errstate"], _SETTING),
    **dict.fromkeys(["typename", "iinfo", "busdaycalendar", "datetime64", "timedelta64", "datetime_data"], _FIXED),
    **dict.fromkeys(["datetime_as_string", "ABCPolyBase", "rand", "randn", "set_state", "to_device"], _FIXED),
    **dict.fromkeys(["dft", "hadamard", "helmert", "hilbert", "invhilbert", "invpascal", "pascal"], _FIXED),
    **dict.fromkeys([n for n in dir(scipy.special) if n.endswith("_zeros")], _FIXED),
    **dict.fromkeys(["character", "complexfloating", "flatiter", "flexible", "floating", "generic", "inexact"], _ABSTRACT),
    **dict.fromkeys(["integer", "number", "signedinteger", "ufunc", "unsignedinteger"], _ABSTRACT),
    **dict.fromkeys(["fromfile", "fromregex", "fromstring", "genfromtxt", "load", "loadtxt", "memmap"], _READS),
    **dict.fromkeys(["as_strided", "empty", "empty_like", "ndarray", "setfield", "getfield"], _MEMORY),
}


def functions_of(module, prefix):
    """The public functions and classes of a module."""
    found = {f"{prefix}.{n}": getattr(module, n) for n in dir(module) if not n.startswith("_")}
    return {n: f for n, f in found.items() if callable(f) and not (isinstance(f, type) and issubclass(f, Exception))}


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
            found = plainly(self.f, replace(self.args, self.kinds, lambda x, step=step: x + x.dtype.type(step)))
            if found is None or len(found) != len(self.found):
                return None
            traced = [np.asarray(plain) for got, plain in zip(self.found, found) if isinstance(got, Tracer)]
            sums.append(sum(np.sum(x.real) for x in traced if x.dtype.kind in "fc"))
        behind, ahead = (sums[1] - sums[0]) / 1e-6, (sums[2] - sums[1]) / 1e-6
        if not np.isfinite([behind, ahead]).all() or not same(behind, ahead, 1e-3):
            return None
        return None if same(self.slope, (behind + ahead) / 2, 2e-3) else f"has the derivative {self.slope} instead of {ahead}"


def eagerly(call, arrays):
    """The values through `rg.vjp`, and the derivative of their sum in one direction."""
    values, pull = rg.vjp(call, *arrays)
    ones = [np.ones(np.shape(x), x.dtype) if np.asarray(x).dtype.kind in "fc" else np.zeros(np.shape(x), x.dtype) for x in values]
    call.slope = sum(np.sum(ct.real) for ct in pull(ones)) if len(arrays) else 0.0
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
