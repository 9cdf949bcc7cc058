"""`retrograde.numpy` as a namespace of the Python Array API standard, 2024.12, against NumPy's own namespace.

The table holds the standard's functions, all of them, as the standard writes them: `/` ends what is positional alone, and what
follows `*` is given by name.
"""

import inspect
import operator
import re

import numpy as np
import pytest
from function_suite import Table, check_compiled, check_eager, check_gradient, leaves

import retrograde as rg
import retrograde.numpy as rnp
from retrograde.errors import DeviceError, TracerConversionError, UnsupportedError

ONE = """
abs acos acosh asin asinh atan atanh bitwise_invert ceil conj cos cosh exp expm1 floor imag isfinite isinf isnan log log1p log2
log10 logical_not negative positive real reciprocal round sign signbit sin sinh square sqrt tan tanh trunc
"""
TWO = """
add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign divide equal floor_divide greater
greater_equal hypot less less_equal logaddexp logical_and logical_or logical_xor maximum minimum multiply nextafter not_equal pow
remainder subtract
"""
DTYPES = """
bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128
"""

SIGNATURES = """
arange(start, / stop step * dtype device)  asarray(obj / * dtype device copy)  empty(shape * dtype device)
empty_like(x / * dtype device)  eye(n_rows n_cols / * k dtype device)  from_dlpack(x / * device copy)
full(shape fill_value * dtype device)  full_like(x / fill_value * dtype device)
linspace(start stop / num * dtype device endpoint)  ones(shape * dtype device)  ones_like(x / * dtype device)
tril(x / * k)  triu(x / * k)  zeros(shape * dtype device)  zeros_like(x / * dtype device)
astype(x dtype / * copy device)  can_cast(from_ to /)  finfo(type /)  iinfo(type /)  isdtype(dtype kind)
clip(x / min max)  take(x indices / * axis)  take_along_axis(x indices / * axis)
matmul(x1 x2 /)  matrix_transpose(x /)  tensordot(x1 x2 / * axes)  vecdot(x1 x2 / * axis)
broadcast_to(x / shape)  concat(arrays / * axis)  expand_dims(x / axis)  flip(x / * axis)
moveaxis(x source destination /)  permute_dims(x / axes)  repeat(x repeats / * axis)  reshape(x / shape * copy)
roll(x / shift * axis)  squeeze(x / axis)  stack(arrays / * axis)  tile(x repetitions /)  unstack(x / * axis)
argmax(x / * axis keepdims)  argmin(x / * axis keepdims)  count_nonzero(x / * axis keepdims)  nonzero(x /)
searchsorted(x1 x2 / * side sorter)  where(condition x1 x2 /)
unique_all(x /)  unique_counts(x /)  unique_inverse(x /)  unique_values(x /)
argsort(x / * axis descending stable)  sort(x / * axis descending stable)
cumulative_sum(x / * axis dtype include_initial)  cumulative_prod(x / * axis dtype include_initial)
max(x / * axis keepdims)  mean(x / * axis keepdims)  min(x / * axis keepdims)  prod(x / * axis dtype keepdims)
std(x / * axis correction keepdims)  sum(x / * axis dtype keepdims)  var(x / * axis correction keepdims)
all(x / * axis keepdims)  any(x / * axis keepdims)  diff(x / * axis n prepend append)
linalg.cholesky(x / * upper)  linalg.cross(x1 x2 / * axis)  linalg.det(x /)  linalg.diagonal(x / * offset)
linalg.eigh(x /)  linalg.eigvalsh(x /)  linalg.inv(x /)  linalg.matmul(x1 x2 /)  linalg.matrix_norm(x / * keepdims ord)
linalg.matrix_power(x n /)  linalg.matrix_rank(x / * rtol)  linalg.matrix_transpose(x /)  linalg.outer(x1 x2 /)
linalg.pinv(x / * rtol)  linalg.qr(x / * mode)  linalg.slogdet(x /)  linalg.solve(x1 x2 /)  linalg.svd(x / * full_matrices)
linalg.svdvals(x /)  linalg.tensordot(x1 x2 / * axes)  linalg.trace(x / * offset dtype)  linalg.vecdot(x1 x2 / * axis)
linalg.vector_norm(x / * axis keepdims ord)
fft.fft(x / * n axis norm)  fft.ifft(x / * n axis norm)  fft.fftn(x / * s axes norm)  fft.ifftn(x / * s axes norm)
fft.rfft(x / * n axis norm)  fft.irfft(x / * n axis norm)  fft.rfftn(x / * s axes norm)  fft.irfftn(x / * s axes norm)
fft.hfft(x / * n axis norm)  fft.ihfft(x / * n axis norm)  fft.fftfreq(n / * d dtype device)
fft.rfftfreq(n / * d dtype device)  fft.fftshift(x / * axes)  fft.ifftshift(x / * axes)
""".replace("start, /", "start /")
STARRED = ["broadcast_arrays", "meshgrid", "result_type"]  # of any number of arrays
NAMES = dict(re.findall(r"([\w.]+)\(([^)]*)\)", SIGNATURES))
NAMES |= dict.fromkeys(ONE.split(), "x /") | dict.fromkeys(TWO.split(), "x1 x2 /")


def find(namespace, name):
    return operator.attrgetter(name)(namespace)


@pytest.mark.parametrize("name", NAMES)
def test_signature(name):
    """Every function of the standard takes its arguments as the standard says: in order, by name, or both ways."""
    by_place, _, by_name = NAMES[name].partition("*")
    ahead, _, both = by_place.rpartition("/")
    given = inspect.signature(find(rnp, name)).parameters
    kinds = [p.kind for p in given.values()]
    positional = [n for n, p in given.items() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    first = len(ahead.split())
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        assert len(positional) >= first
        assert positional[first : first + len(both.split())] == both.split()
    for wanted in both.split() + by_name.split():
        assert given[wanted].kind is not inspect.Parameter.POSITIONAL_ONLY, wanted
    for wanted in by_name.split():
        assert given[wanted].default is not inspect.Parameter.empty, wanted


def test_names_beside_functions():
    for name in STARRED:
        assert callable(getattr(rnp, name))
    assert (rnp.e, rnp.pi, rnp.inf, rnp.newaxis) == (np.e, np.pi, np.inf, None) and np.isnan(rnp.nan)
    for name in DTYPES.split():
        assert getattr(rnp, name) == np.dtype(name)
    assert rnp.__array_api_version__ == "2024.12"
    assert {"acos", "sort", "float32", "unique_all", "linalg", "fft"} <= set(dir(rnp))


def test_info():
    info = rnp.__array_namespace_info__()
    assert info.devices() == [info.default_device()] == ["cpu"]
    assert info.capabilities() == {"boolean indexing": False, "data-dependent shapes": False, "max dimensions": 64}
    assert info.default_dtypes() == {
        "real floating": np.float64, "complex floating": np.complex128, "integral": np.intp, "indexing": np.intp,
    }  # fmt: skip
    assert info.dtypes(kind=("bool", "real floating")) == {"bool": np.bool, "float32": np.float32, "float64": np.float64}
    assert len(info.dtypes(device="cpu")) == 13
    with pytest.raises(DeviceError, match="'cpu' alone"):
        info.dtypes(device="gpu")


# -- each function, plain, traced eagerly and compiled --------------------------------------------------------------------------

TABLE = Table()
rng = np.random.default_rng(3)
U = rng.uniform(0.1, 0.9, (3, 4))
V = rng.uniform(1.1, 1.9, (3, 4))
M = rng.normal(size=(2, 3, 3)) + 3 * np.eye(3)
S = M @ np.swapaxes(M, -1, -2)
K = np.array([[5, 3, 1], [2, 4, 9]])
B = np.array([[True, False, True], [False, False, True]])
Z = rng.normal(size=(2, 4)) + 1j * rng.normal(size=(2, 4))


def case(name, *args, label="", **kwargs):
    """A case of a function of the standard, which the argument's own namespace has: NumPy's, or of a traced array this one."""

    def call(*xs, namespace=None):
        return find(namespace or xs[0].__array_namespace__(), name)(*xs, **kwargs)

    shown = ",".join(f"{k}={v}" for k, v in kwargs.items())
    TABLE.case(f"{name}-{label or len(TABLE.cases)}-{shown}", call, *args)


for _name in ONE.split():
    case(_name, K if _name == "bitwise_invert" else V if _name == "acosh" else U)
for _name in ("abs", "conj", "exp", "imag", "real", "sqrt", "square", "sin"):
    case(_name, Z)
for _name in TWO.split():
    case(_name, *((K, K[::-1].copy()) if _name.startswith("bitwise") else (U, V)))
case("astype", U, np.float32)
case("astype", K, np.float64, copy=False)
for _name in ("zeros_like", "ones_like"):
    case(_name, U, dtype=np.float32)
case("full_like", U, 3.0)
case("clip", U, 0.3, 0.6)
case("clip", U, max=0.5)
case("linspace", U[0], V[0], num=4, endpoint=False)
for _name in ("tril", "triu"):
    case(_name, U, k=1)
case("take", U, np.array([2, 0]), axis=1)
case("take_along_axis", U, np.array([[0], [3], [1]]), axis=1)
case("matmul", U, V.T.copy())
case("matrix_transpose", M)
case("tensordot", U, V, axes=((1,), (1,)))
case("vecdot", U, V, axis=0)
case("vecdot", Z, Z[::-1].copy())
case("broadcast_to", U[0], (2, 4))
case("expand_dims", U, axis=1)
case("flip", U, axis=0)
case("moveaxis", M, 0, 2)
case("permute_dims", M, (2, 0, 1))
case("repeat", U, 2, axis=1)
case("reshape", U, (2, 6))
case("roll", U, 2, axis=1)
case("squeeze", U[None], axis=0)
case("tile", U, (2, 1))
case("unstack", U, axis=1)
for _name in ("argmax", "argmin"):
    case(_name, U, axis=1, keepdims=True)
case("count_nonzero", U, axis=1, keepdims=True)
case("searchsorted", np.sort(U[0]), V[0] - 0.8, side="right")
case("where", B, K, K[::-1].copy())
case("argsort", U, axis=0, stable=True)
case("sort", U, axis=0, stable=True)
for _name in ("cumulative_sum", "cumulative_prod"):
    case(_name, U, axis=1, include_initial=True)
for _name in ("max", "mean", "min", "prod", "sum"):
    case(_name, U, axis=1, keepdims=True)
case("sum", K, axis=0, dtype=np.float32)
case("prod", U.astype(np.float32), dtype=np.float64)
for _name in ("std", "var"):
    case(_name, U, axis=1, correction=1.0)
for _name in ("all", "any"):
    case(_name, B, axis=1, keepdims=True)
case("diff", U, axis=0, n=1, prepend=np.zeros((1, 4)))
case("linalg.cholesky", S, upper=True)
case("linalg.cross", U[:, :3].copy(), V[:, :3].copy(), axis=1)
for _name in ("det", "inv", "slogdet", "diagonal", "trace", "matrix_transpose", "svdvals", "matrix_rank", "pinv", "matrix_norm"):
    case(f"linalg.{_name}", M)
case("linalg.eigvalsh", S)
case("linalg.matmul", M, S)
case("linalg.matrix_power", M, 3)
case("linalg.outer", U[0], V[0])
case("linalg.solve", M, U[:, :2].copy())
case("linalg.tensordot", U, V, axes=2)
case("linalg.vecdot", U, V, axis=0)
case("linalg.vector_norm", U, axis=1, ord=3)
case("linalg.vector_norm", Z)
case("linalg.matrix_norm", Z, ord=np.inf, keepdims=True)
for _name in ("fft", "ifft", "fftn", "ifftn", "hfft"):
    case(f"fft.{_name}", Z, norm="ortho")
case("fft.irfft", Z, n=5)
case("fft.irfftn", Z)
for _name in ("rfft", "rfftn", "ihfft", "fftshift", "ifftshift"):
    case(f"fft.{_name}", U)
for _name in STARRED[:2]:
    case(_name, U[0], V[0])


@pytest.mark.parametrize("f, args", TABLE.cases)
def test_eager(f, args):
    check_eager(f, args, 1e-12)


@pytest.mark.parametrize("f, args", TABLE.cases)
def test_compiled(f, args):
    check_compiled(f, args, 1e-12)


@pytest.mark.parametrize("f, args", TABLE.cases)
def test_plain(f, args):
    """This namespace's function of plain arrays has the values and dtypes of NumPy's."""

    found = f(*args, namespace=rnp)
    for a, b in zip(leaves(found), leaves(f(*args)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
        assert np.asarray(a).dtype == np.asarray(b).dtype


def eagerly(f):
    """`f` of traced arrays whose values are known. Only floats can be differentiated by, so integers and bools come from them."""

    def call(*xs):
        dtypes = [np.asarray(x).dtype for x in xs]
        floats = [np.asarray(x, None if d.kind in "fc" else np.float64) for x, d in zip(xs, dtypes)]
        return rg.vjp(lambda *ys: f(*[rnp.astype(y, d, copy=False) for y, d in zip(ys, dtypes)]), *floats)[0]

    return call


@pytest.mark.parametrize("how", [lambda f: f, rg.jit, eagerly], ids=["plain", "jit", "eager"])
class TestOthers:
    """What NumPy has no such function for, or what takes no array: each plain, compiled and traced eagerly."""

    def test_descending(self, how):
        x = np.array([[2.0, 1.0, 2.0, 3.0, 1.0], [0.0, -1.0, 5.0, 5.0, 5.0]])
        order = np.argsort(-x, axis=1, stable=True)
        np.testing.assert_array_equal(how(lambda x: rnp.argsort(x, axis=1, descending=True))(x), order)
        np.testing.assert_array_equal(how(lambda x: rnp.sort(x, axis=1, descending=True))(x), np.take_along_axis(x, order, 1))
        whole = np.array([3, 1, 2], np.uint8)
        np.testing.assert_array_equal(how(lambda x: rnp.sort(x, descending=True))(whole), [3, 2, 1])
        np.testing.assert_array_equal(how(lambda x: rnp.sort(x, descending=True))(np.array([1.0, np.nan, 2.0])), [np.nan, 2, 1])

    def test_stacks(self, how):
        np.testing.assert_array_equal(how(lambda x, y: rnp.concat([x, y], axis=1))(U, V), np.concat([U, V], axis=1))
        np.testing.assert_array_equal(how(lambda x, y: rnp.stack((x, y), axis=1))(U, V), np.stack([U, V], axis=1))

    def test_factors(self, how):
        q, r = how(lambda x: rnp.linalg.qr(x, mode="reduced"))(M)
        values, vectors = how(rnp.linalg.eigh)(S)
        u, s, vh = how(lambda x: rnp.linalg.svd(x, full_matrices=False))(M)
        np.testing.assert_allclose(q @ r, M, atol=1e-12)
        np.testing.assert_allclose(vectors * values[:, None] @ np.swapaxes(vectors, -1, -2), S, atol=1e-11)
        np.testing.assert_allclose(u * s[:, None] @ vh, M, atol=1e-12)

    def test_creation(self, how):
        def made(x):
            n = x.shape[0]
            return (
                x[:4] + rnp.arange(4, dtype=rnp.float32), rnp.arange(0, stop=2 * n, step=2, device="cpu") * x,
                rnp.asarray([x[0], 1.0], dtype=rnp.float64), rnp.zeros(n) + rnp.empty(n, dtype=x.dtype) * 0 + x,
                rnp.eye(n, 2, k=1) * x[:, None], rnp.from_dlpack(x, copy=True), rnp.full((2, 2), x[1], device="cpu"),
                rnp.ones((n,), dtype=x.dtype) * x, rnp.empty_like(x, dtype=rnp.float32).shape[0] * x,
            )  # fmt: skip

        x = np.arange(1.0, 5.0)
        n = len(x)
        expected = (
            x + np.arange(4), 2 * np.arange(n) * x, np.array([1.0, 1.0]), x, np.eye(n, 2, k=1) * x[:, None], x,
            np.full((2, 2), 2.0), x, n * x,
        )  # fmt: skip
        for a, b in zip(how(made)(x), expected, strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype

    def test_frequencies(self, how):
        for name in ("fftfreq", "rfftfreq"):
            ours, numpys = getattr(rnp.fft, name), getattr(np.fft, name)
            found = how(lambda d, f=ours: f(6, d=d, dtype=rnp.float32, device="cpu") + 0 * d)(np.float32(0.5))
            np.testing.assert_allclose(found, numpys(6, d=0.5), rtol=1e-6)
            assert found.dtype == np.float32

    def test_dtypes(self, how):

        def asked(x, k):
            assert rnp.result_type(x, k) == np.float64 == rnp.result_type(rnp.float32, k) and rnp.result_type(x, 2) == np.float32
            assert rnp.can_cast(x, rnp.float64) and not rnp.can_cast(rnp.float64, rnp.int32)
            assert rnp.finfo(x).eps == rnp.finfo(rnp.float32).eps == np.finfo(np.float32).eps and rnp.iinfo(k).bits == 64
            assert rnp.isdtype(x.dtype, "real floating") and rnp.isdtype(k.dtype, ("bool", "integral"))
            assert rnp.isdtype(rnp.float32, rnp.float32)
            return x

        how(asked)(np.ones(2, np.float32), np.arange(3))


def test_descending_has_the_gradient_of_its_elements():
    check_gradient(lambda x: rnp.sort(x, axis=1, descending=True), (U,))


@pytest.mark.parametrize("ord", [1, 2, 3, np.inf])
def test_norms_of_complex_vectors_have_gradients(ord):
    check_gradient(lambda z: rnp.linalg.vector_norm(z, axis=1, ord=ord), (Z,))


def test_counts_that_depend_on_values():
    """`unique_*` and `nonzero` of plain arrays are NumPy's; traced, the first are refused, the second wants the values."""
    x = np.array([3, 1, 3, 0])
    for kind in ("all", "counts", "inverse", "values"):
        function = getattr(rnp, f"unique_{kind}")
        found, expected = function(x), getattr(np, f"unique_{kind}")(x)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)
        with pytest.raises(UnsupportedError, match="how many elements come out depends on values"):
            rg.jit(lambda x, f=function: f(x))(x)
    np.testing.assert_array_equal(rnp.nonzero(x), [[0, 1, 2]])
    assert rg.vjp(lambda y: y[rnp.nonzero(y)], x.astype(float))[0].tolist() == [3.0, 1.0, 3.0]
    with pytest.raises(UnsupportedError, match="nonzero"):
        rg.jit(rnp.nonzero)(x)


# what no case of the table can be of: it takes no array, or a list of them, or NumPy's result is another as good
BELOW = """
concat stack arange asarray empty empty_like eye from_dlpack full ones zeros can_cast finfo iinfo isdtype result_type nonzero
unique_all unique_counts unique_inverse unique_values linalg.qr linalg.eigh linalg.svd fft.fftfreq fft.rfftfreq
"""


def test_no_function_is_left_out():
    """Every function of the standard has a case in the table, or a test that names it here."""
    assert {p.id.partition("-")[0] for p in TABLE.cases} | set(BELOW.split()) == set(NAMES) | set(STARRED)


# -- the array object -----------------------------------------------------------------------------------------------------------


def everywhere(f, *args):
    """`f` plain, traced eagerly and compiled: the same values and dtypes."""
    expected = leaves(f(*[np.copy(x) if isinstance(x, np.ndarray) else x for x in args]))
    for found in (rg.jit(f)(*args), eagerly(f)(*args)):
        for a, b in zip(leaves(found), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-14)
            assert np.asarray(a).dtype == np.asarray(b).dtype


ARITHMETIC = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lt", "le", "gt", "ge", "eq", "ne"]


@pytest.mark.parametrize("name", ARITHMETIC)
def test_operators(name):
    f = getattr(operator, name)
    everywhere(lambda x, y: (f(x, y), f(x, 2.0), f(3.0, y), f(y, x)), np.array([1.0, 2.0, 4.0]), np.array([3.0, 2.0, 0.5]))
    everywhere(lambda x, y: (f(x, y), f(x, 2), f(3, x)), np.array([1, 2, 4]), np.array([3, 2, 1]))


@pytest.mark.parametrize("name", ["and_", "or_", "xor", "lshift", "rshift"])
def test_bitwise_operators(name):
    f = getattr(operator, name)
    everywhere(lambda x, y: (f(x, y), f(x, 1), f(6, y)), np.array([1, 6, 12]), np.array([3, 2, 0]))


@pytest.mark.parametrize("name", ["iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow"])
def test_operators_in_place(name):
    def f(x, y):
        x = x.copy()
        return getattr(operator, name)(x, y)

    everywhere(f, np.array([1.0, 2.0, 4.0]), np.array([3.0, 2.0, 0.5]))


@pytest.mark.parametrize("name", ["iand", "ior", "ixor", "ilshift", "irshift"])
def test_bitwise_operators_in_place(name):
    everywhere(lambda x, y: getattr(operator, name)(x.copy(), y), np.array([1, 6, 12]), np.array([3, 2, 0]))


def test_other_operators():
    everywhere(lambda x: (+x, -x, abs(x), x @ x.T, x.mT, x.T, x[1, ::-1], x[..., None]), U - 0.5)
    everywhere(lambda k, b: (~k, ~b), K, B)

    def written(x, y):
        x = x.copy()
        x[1:, ::2] = y
        x @= np.eye(4)
        return x

    everywhere(written, U, np.float64(2.0))


def test_attributes():
    def f(x):
        assert x.__array_namespace__() is x.__array_namespace__(api_version="2023.12") is rnp
        assert (x.device, x.dtype, x.ndim, x.shape, x.size) == ("cpu", np.float64, 2, (3, 4), 12)
        assert x.to_device("cpu") is x and x.__dlpack_device__() == (1, 0)
        with pytest.raises(ValueError, match=r"1999\.12"):
            x.__array_namespace__(api_version="1999.12")
        with pytest.raises(DeviceError, match="'cpu' alone"):
            x.to_device("gpu")
        with pytest.raises(DeviceError, match="no streams"):
            x.to_device("cpu", stream=1)
        with pytest.raises(TracerConversionError, match="lose its gradient"):
            np.from_dlpack(x)
        with pytest.raises(ValueError, match="matrix"):
            x[0].mT  # noqa: B018
        return x

    rg.jit(f)(U)
    rg.vjp(f, U)


def test_numbers_as_far_as_values_are_known():
    """Python's own conversions work eagerly where no gradient would be lost, and never in a trace for all values."""

    def f(x):
        k = rnp.argmax(x)
        return x * int(k) + [5.0, 6.0, 7.0, 8.0][k] + (1.0 if x[0] < 1 else 2.0)

    np.testing.assert_array_equal(rg.vjp(f, np.arange(3.0))[0], np.arange(3.0) * 2 + 8)
    for convert in (bool, int, operator.index):
        with pytest.raises(TracerConversionError):
            rg.jit(lambda k, convert=convert: k * convert(k))(np.int64(3))
    for convert in (float, complex):
        with pytest.raises(TracerConversionError, match="lose its gradient"):
            rg.vjp(lambda x, convert=convert: x * convert(x), 3.0)


# -- what writing into a result shows -------------------------------------------------------------------------------------------


def test_copies_are_arrays_of_their_own():
    x = np.arange(4.0)
    makes = [
        lambda x: rnp.asarray(x, copy=True), lambda x: rnp.astype(x, x.dtype), lambda x: rnp.reshape(x, (4,), copy=True),
        lambda x: rnp.from_dlpack(x, copy=True), lambda x: rnp.array(x, ndmin=1),
    ]  # fmt: skip
    for make in makes:

        def f(x, make=make):
            x = x.copy()
            y = make(x)
            y[0] = 9.0
            return x + y

        everywhere(f, x)
        np.testing.assert_array_equal(f(x), [9, 2, 4, 6])
    assert rnp.asarray(x) is x is rnp.asarray(x, copy=False) is rnp.astype(x, x.dtype, copy=False)


def test_copy_false_never_copies():
    x = np.arange(6.0).reshape(2, 3)
    assert np.shares_memory(rnp.reshape(x, (6,), copy=False), x)
    with pytest.raises(ValueError, match="copy"):
        rnp.reshape(x.T, (6,), copy=False)
    with pytest.raises(ValueError, match="cast to float32"):
        rg.jit(lambda x: rnp.asarray(x, dtype=np.float32, copy=False))(x)
    with pytest.raises(ValueError, match="list of traced"):
        rg.jit(lambda x: rnp.asarray([x, x], copy=False))(x)


def test_a_number_that_a_dtype_cannot_hold_is_an_error():
    with pytest.raises(OverflowError):
        rnp.asarray(300, dtype=np.uint8)
    assert rnp.asarray([2**63]).dtype == np.uint64


@pytest.mark.parametrize("make", [rnp.arange, rnp.asarray, rnp.from_dlpack, rnp.linspace, rnp.full, rnp.zeros_like, rnp.astype])
def test_there_is_one_device(make):
    args = {"linspace": (0, 1), "full": (2, 1.0), "astype": (U, np.float32), "arange": (3,)}.get(make.__name__, (U,))
    with pytest.raises(DeviceError, match="Leave device out"):
        make(*args, device="gpu")


def test_linear_algebra_of_plain_arrays_is_numpys():
    """What has no rule for traced arrays works for plain ones: further singular vectors."""
    z = Z @ Z.conj().T
    np.testing.assert_array_equal(rnp.linalg.inv(z), np.linalg.inv(z))
    assert rnp.linalg.svd(U)[2].shape == (4, 4)
    assert rnp.linalg.qr(U.T, mode="complete").Q.shape == (4, 4)
    with pytest.raises(UnsupportedError, match="full_matrices"):
        rg.jit(rnp.linalg.svd)(U)
