"""NumPy's functions that shape, index, choose and assemble, against NumPy itself; see `function_suite`."""

import warnings

import numpy as np
import pytest
from function_suite import Table, check_compiled, check_eager, check_gradient, check_lanes, check_second_order
from hypothesis import given, settings
from hypothesis import strategies as st

import retrograde as rg
from retrograde.errors import RetrogradeError
from retrograde.numpy.table import FUNCTIONS

RNG = np.random.default_rng(9)
S = RNG.normal(size=(3, 4))
S32 = S.astype(np.float32)
T = RNG.normal(size=(2, 3, 4))
ROW, ROW2 = RNG.normal(size=4), RNG.normal(size=4)
SQUARE, CUBE = RNG.normal(size=(4, 4)), RNG.normal(size=(3, 3, 3))
N = RNG.integers(0, 9, (3, 4))
I32 = N.astype(np.int32)
Z = np.float64(0.7)
EMPTY = np.zeros((0, 4))
SPECIAL = np.array([0.0, -0.0, 1.0, -1.5, np.inf, -np.inf, np.nan, 2.5])
PLACES = np.array([[2, 0], [1, -1], [0, 3]])
M = S > 0

TABLE = Table()
case = TABLE.case
EAGER = Table()  # where values decide shapes
DIRECT = []


def of(function, *args, **kwargs):
    """A case, and one for the library's own function of that name on plain arrays."""
    DIRECT.append((function, args, {k: v for k, v in kwargs.items() if k != "name"}))
    TABLE.of(function, *args, **kwargs)


# -- shaping ----------------------------------------------------------------------------------------------------------
for kw in ({"shift": 2}, {"shift": -5, "axis": 1}, {"shift": (1, 2), "axis": (0, 1)}, {"shift": 3, "axis": (0, 0)}, {"shift": 0}):
    of(np.roll, S, **kw)
of(np.roll, S32, 1, axis=0)
of(np.roll, EMPTY, 1, axis=0)
case("roll-traced", lambda x, s: (np.roll(x, s, 1), np.roll(x, s)), S, np.int64(-3))
of(np.rollaxis, T, 2)
of(np.rollaxis, T, 0, start=3)
of(np.rollaxis, T, 1, start=-1)
of(np.fliplr, S)
of(np.flipud, S)
for k in range(-1, 4):
    of(np.rot90, T, k=k, axes=(2, 0))
of(np.repeat, S, 2)
of(np.repeat, S, 0, axis=0)
of(np.repeat, S, [1, 0, 3], axis=0)
of(np.repeat, T, 3, axis=-2)
of(np.repeat, Z, 3)
of(np.repeat, EMPTY, 2, axis=0)
for reps in (2, (2, 1), (1, 0), (2, 1, 3), ()):
    of(np.tile, S, reps=reps)
of(np.tile, Z, 3)
of(np.resize, S, (5, 3))
of(np.resize, S, (2,))
of(np.resize, EMPTY, (2, 2))
for f in (np.atleast_1d, np.atleast_2d, np.atleast_3d):
    for x in (Z, ROW, S, T, EMPTY):
        of(f, x)
of(np.atleast_3d, Z, ROW)
case("dstack", lambda x, y: (np.dstack([x, y]), np.dstack([x[0], y[0]]), np.dstack([Z, x[0, 0]])), S, N)
case("block", lambda x, y: (np.block([[x, y], [np.ones((1, 8))]]), np.block([x[0], y[0], 2.0])), S, S32)
case("block-ranks", lambda x: (np.block([[x, x[:, :1]]]), np.block([[[x]], [[x]]]), np.block(x)), S)
case("split-sections", lambda x: (*np.split(x, 3), *np.split(x[:0], 2)), S)
case("array_split", lambda x: (*np.array_split(x, 3, axis=1), *np.array_split(x, [1, 1, 9])), S)
case("hsplit", lambda x: (*np.hsplit(x, 2), *np.hsplit(x[0], [1])), S)
case("vsplit", lambda x: tuple(np.vsplit(x, [2])), S)
case("dsplit", lambda x: tuple(np.dsplit(x, 2)), T)
if hasattr(np, "unstack"):
    case("unstack", lambda x: np.unstack(x, axis=1), S)
of(np.append, S, N)
of(np.append, S, N, axis=1)
of(np.append, S32, 2.0)
case("insert", lambda x, v: (np.insert(x, 1, v), np.insert(x, [1, 1, 3], v[:3]), np.insert(x, slice(0, 2), 5.0)), ROW, ROW2)
case("insert-axis", lambda x, v: (np.insert(x, 1, v, axis=0), np.insert(x, -1, v[:3], axis=1), np.insert(x, 2, 7, axis=1)),
     S, ROW)  # fmt: skip
case("insert-several", lambda x, v: (np.insert(x, [0, 2], v[:2], axis=1), np.insert(x, [1], v.reshape(2, 2)[:1, :1],
     axis=0)), S, ROW)  # fmt: skip
case("insert-block", lambda x, v: (np.insert(x, [1], v[:, :2], axis=1), np.insert(x, 4, v.T, axis=1)), S, S[::-1])
case("insert-int", lambda x: np.insert(x, np.array([True, False, True]), 9, axis=0), N)
case("delete", lambda x: (np.delete(x, 1, 0), np.delete(x, [0, -1], 1), np.delete(x, slice(None, None, 2)), np.delete(x,
     M.ravel())), S)  # fmt: skip
for kw in ({}, {"sparse": True}, {"indexing": "ij"}, {"indexing": "ij", "sparse": True}):
    case(f"meshgrid-{kw}", lambda x, y, kw=kw: np.meshgrid(x, y, [1.0, 2.0], **kw), ROW, ROW2[:3])
of(np.meshgrid, ROW)
of(np.lib.stride_tricks.sliding_window_view, ROW, 2)
of(np.lib.stride_tricks.sliding_window_view, S, (2, 3))
of(np.lib.stride_tricks.sliding_window_view, T, (2, 2), axis=(2, 1))
for kw in ({}, {"order": "F"}):
    of(np.reshape, T, (4, 6), **kw)
    of(np.ravel, T, **kw)
of(np.reshape, T, (-1, 2), order="F")
case("flatten", lambda x: (x.flatten("F"), x.flatten()), S)
of(np.matrix_transpose, T)
case("size", lambda x: x * np.size(x, 1) + np.ndim(x) + np.shape(x)[0], S)

WIDTHS = [2, (1, 2), ((1, 0), (0, 3)), ((5, 7), (9, 6)), 0, {1: (1, 2)}]
for mode in ("constant", "edge", "linear_ramp", "maximum", "mean", "minimum", "reflect", "symmetric", "wrap"):
    for width in WIDTHS if np.lib.NumpyVersion(np.__version__) >= "2.2.0" else WIDTHS[:-1]:
        of(np.pad, S, width, mode=mode)
    of(np.pad, N, 3, mode=mode)
    of(np.pad, S32, (1, 2), mode=mode)
    of(np.pad, ROW, 2, mode=mode)
for mode in ("reflect", "symmetric"):
    of(np.pad, S, ((2, 1), (1, 3)), mode=mode, reflect_type="odd")
    of(np.pad, S, ((7, 5), (4, 11)), mode=mode, reflect_type="odd")
    of(np.pad, ROW[:1], 2, mode=mode, reflect_type="odd")
of(np.pad, S, 1, constant_values=((1, 2), (3, 4)))
of(np.pad, S, 1, constant_values=(1.5, 2.5))
of(np.pad, N, 1, constant_values=2.7)
of(np.pad, EMPTY, 1)
of(np.pad, S, 3, mode="linear_ramp", end_values=((1, 2), (3, 4)))
of(np.pad, N, 3, mode="linear_ramp", end_values=(5, -4))
STATISTICS = ["maximum", "mean", "minimum", *["median" for f in FUNCTIONS if f is np.median]]
for mode in STATISTICS:
    of(np.pad, N, ((1, 2), (0, 3)), mode=mode)
    of(np.pad, S, 2, mode=mode, stat_length=2)
    of(np.pad, S, 2, mode=mode, stat_length=((1, 3), (9, 2)))
case("pad-traced", lambda x, v: (np.pad(x, 1, constant_values=v), np.pad(x, 1, constant_values=(v, 2 * v))), S, Z)
case("pad-empty", lambda x: np.pad(x, ((1, 2), (0, 1)), mode="empty")[1:-2, :-1], S)

# -- arrays of numbers ------------------------------------------------------------------------------------------------
for kw in ({}, {"num": 5}, {"num": 4, "endpoint": False}, {"num": 1}, {"num": 0}, {"num": 3, "retstep": True}):
    of(np.linspace, Z, np.float64(2.5), **kw)
of(np.linspace, np.int64(2), np.int64(9), num=4, dtype=int)
of(np.linspace, ROW, ROW2, num=3, axis=-1)
of(np.linspace, S32[0], S32[1], num=3)
of(np.linspace, ROW, 1, num=3, axis=1)
of(np.logspace, Z, np.float64(2.5), num=4)
of(np.logspace, ROW, ROW2, num=3, base=2.0, axis=1)
of(np.logspace, ROW, 1.5, 3, True, np.exp(ROW2))
of(np.geomspace, Z, np.float64(2.5), num=4)
of(np.geomspace, -np.exp(ROW), -np.exp(ROW2), num=4, endpoint=False, axis=-1)
of(np.geomspace, np.int64(1), np.int64(1000), num=4)
for kw in ({}, {"N": 2}, {"increasing": True}, {"N": 6, "increasing": True}, {"N": 0}):
    of(np.vander, ROW, **kw)
of(np.vander, N[0])
for k in (-2, 0, 1):
    of(np.diag, ROW, k=k)
    of(np.diag, S, k=k)
    of(np.diagflat, S, k=k)
    of(np.tril, T, k=k)
    of(np.triu, S, k=k)
of(np.tril, ROW)
of(np.diag, EMPTY[:, 0], 1)
of(np.triu, I32)
for kw in ({}, {"offset": 2}, {"offset": -1}, {"offset": 9}, {"axis1": 2, "axis2": 0}, {"offset": 1, "axis1": 0, "axis2": -1}):
    of(np.diagonal, T, **kw)
case("indices-from", lambda x: (x[np.tril_indices_from(x)], x[np.triu_indices_from(x, 1)], x[np.diag_indices_from(x)]), SQUARE)

# -- choosing ---------------------------------------------------------------------------------------------------------
for mode in ("clip", "wrap"):
    case(f"take-{mode}", lambda x, i, mode=mode: (np.take(x, i, mode=mode), np.take(x, i, 1, mode=mode)), S,
        np.array([[5, -7], [99, 2]]))  # fmt: skip
case("ix_", lambda x, i: (x[np.ix_(i, [0, 2])], x[np.ix_([True, False, True], i)], *np.ix_(i, i)), S, np.array([2, 0]))
case("unravel_index", lambda i: (*np.unravel_index(i, (3, 4)), *np.unravel_index(i, (2, 3, 4), order="F"),
     *np.unravel_index(i, 20)), N)  # fmt: skip
case("ravel_multi_index", lambda i, j: np.ravel_multi_index((i, j), (3, 4)), np.array([2, 0]), np.array([3, 1]))
case("ravel_multi_index-F", lambda i: np.ravel_multi_index((i, i), (3, 4), ("wrap", "clip"), "F"), np.array([-2, 5]))
case("choose", lambda i, x, y: (np.choose(i, [x, y, 1]), np.choose(i + 2, [x, y, 1], mode="wrap")), N % 3, S, N)
case("choose-clip", lambda i, x: (np.choose(i - 2, [x, 2, x[0]], mode="clip"), np.choose(i % 2, (x, 1), mode="raise")), N, S32)
case("choose-rows", lambda i, x: np.choose(i, x), np.array([0, 2, 1, 1]), S)
case("select", lambda x, y: (np.select([x > 0.5, x < 0], [x, y**2], 7), np.select([x > 0], [x])), S, A := np.abs(S))
case("select-dtypes", lambda x, i: np.select([x > 0.5, i > 3], [x, i], default=1), S32, N)
case("piecewise", lambda x: np.piecewise(x, [x < 0, x >= 0.5], [lambda v: -v, np.sqrt, 2.0]), S)
case("piecewise-one", lambda x: np.piecewise(x, x > 0, [np.log, 1]), ROW)
case("piecewise-args", lambda x: np.piecewise(x, [x < 0], [lambda v, s: v * s, lambda v, s: v + s], 3.0), S)
case("piecewise-int", lambda x: np.piecewise(x, [x > 3, x > 6], [lambda v: v * 0.7, 5]), N)
case("piecewise-0d", lambda x: np.piecewise(x, [x < 0, x >= 0], [lambda v: -v, np.square]), Z)
case("compress", lambda x: (np.compress([True, False, True], x, axis=0), np.compress([False, True], x), x.compress([0, 1],
     axis=1)), S)  # fmt: skip
case("extract", lambda x: (np.extract(M, x), np.extract([1, 0, 1], x[:, 0])), S)
KEYS = {
    "true": np.s_[True],
    "false": np.s_[False],
    "true-none": np.s_[None, np.True_, 1],
    "true-array": np.s_[np.array([0, 1]), True],
    "true-apart": np.s_[True, :, np.array([0, 2])],
    "array-none-array": np.s_[np.array([0, 1]), None, np.array([[2], [0]])],
    "dots-array": np.s_[..., np.array([0, 2]), None],
    "mask-array": np.s_[np.array([True, False]), np.array([2])],
    "mask-slice": np.s_[:, np.array([True, False, True]), ::-2],
    "int-slice-array": np.s_[1, ::2, np.array([[3, 0]])],
    "array-int": np.s_[np.array([1, 0]), :, 2],
    "mask-2d-behind": np.s_[:, T[0] > 0],
    "past-the-front": np.s_[:, -5::-1],
    "none-mask": np.s_[None, T[:, 0, 0] > -9, ..., None],
}
for label, key in KEYS.items():
    case(f"getitem-{label}", lambda x, key=key: x[key], T)


def written(x, v):
    x, y, z, w = x.copy(), x.copy(), x.copy(), x.copy()
    np.put_along_axis(x, PLACES, v[:, :2], 1)
    np.put_along_axis(y, np.array([3, 0]), v[0, :2], None)
    np.fill_diagonal(z, v[0, 0])
    np.fill_diagonal(w, v[0])
    return x, y, z, w


def written_too(x, v):
    x, y, z, w, u = x.copy(), x.copy(), x.copy(), x.copy(), x.copy()
    np.putmask(x, M, v[0, :3])
    np.place(y, M, v[0, :3])
    np.copyto(z, v[1], where=M)
    np.put(w, [0, -1, 5], v[0, :2])
    u.put([3, 99], v[2], mode="clip")
    np.copyto(v := v.copy(), x)
    return x, y, z, w, u, v


def filled(x, v):
    x, y = x.copy(), np.tile(v[:, None], (1, 3))
    np.fill_diagonal(x, 5.0)
    np.fill_diagonal(y, v[1], wrap=True)
    return x, y


case("write", written, S, S[::-1] * 2)
case("write-too", written_too, S, S[::-1] * 2)
case("fill_diagonal", filled, CUBE, np.concatenate([ROW, ROW2]))
case("put_along_axis-broadcast", lambda x: (x := x.copy(), np.put_along_axis(x, np.array([[1]]), 3.0, 1))[0], S)

# -- products ---------------------------------------------------------------------------------------------------------
of(np.kron, S, ROW)
of(np.kron, T, S[:2])
of(np.kron, Z, S)
of(np.kron, I32, N)
of(np.cross, S[:, :3], S[:, 1:])
case("cross-axes", lambda x, y: (np.cross(x, y, axis=0), np.cross(x, y[:, 0], axisa=0, axisb=0, axisc=0),
     np.linalg.cross(x.T, y.T)), S, A)  # fmt: skip
for name in ("matvec", "vecmat"):
    if hasattr(np, name):
        case(name, lambda x, y, name=name: getattr(np, name)(x, y), *((T, ROW) if name == "matvec" else (S[:, :3], T[0])))
case("linalg-names", lambda x, y: (np.linalg.outer(x[0], y[0]), np.linalg.diagonal(x, offset=1), np.linalg.trace(x, offset=-1),
     np.linalg.matmul(x, y.T), np.linalg.tensordot(x, y), np.linalg.vecdot(x, y), np.linalg.vecdot(x, y, axis=0),
     np.linalg.matrix_transpose(x)), S, A)  # fmt: skip
for u in (np.add, np.subtract, np.multiply, np.divide, np.power, np.maximum, np.minimum, np.arctan2, np.hypot, np.less):
    of(u.outer, A, np.abs(ROW), name=f"outer-{u.__name__}")
of(np.add.outer, I32[0], 2.5)
for optimize in (True, False, "optimal", "greedy", ["einsum_path", (0, 2), (0, 1)]):
    case(f"einsum-{optimize}", lambda *xs, o=optimize: np.einsum("ij,jk,kl->il", *xs, optimize=o), S, SQUARE, SQUARE[::-1])
case("einsum-lists", lambda x, y: (np.einsum(x, [0, 1], y, [1, 2], [0, 2]), np.einsum(x, [5, 3], y, [3, 1]), np.einsum(y,
     [..., 0], [0, ...])), S, SQUARE)  # fmt: skip
for text, *xs in [("iij->j", CUBE), ("iii", CUBE), ("...ii->...i", CUBE), ("...ij->...", T), ("i...,i...->...", S, S),
     ("ab,ab,ab->b", S, A, S)]:  # fmt: skip
    case(f"einsum-{text}", lambda *xs, text=text: np.einsum(text, *xs), *xs)
case("einsum_path", lambda x: x * len(np.einsum_path("ij,jk,kl->il", x, SQUARE, SQUARE)[0]), S)
case("polyval", lambda p, x: (np.polyval(p, x), np.polyval(p, 2.0), np.polyval([1, 2], x)), ROW, S)
of(np.polyadd, ROW, ROW2[:2])
of(np.polysub, ROW[:2], ROW2)
of(np.polymul, ROW, ROW2[:3])
of(np.polyder, ROW)
of(np.polyder, ROW, 2)
of(np.polyint, ROW)
of(np.polyint, ROW, 3, [1.0, 2.0, 3.0])
of(np.polyint, ROW, m=2, k=4.0)
case("polynomial", lambda x: np.polynomial.polynomial.polyval(x, [1.0, -2.0, 0.5]), S)

# -- what numbers are made of -----------------------------------------------------------------------------------------
for x in (S, S32, SPECIAL, N):
    of(np.modf, x)
    of(np.frexp, x)
    of(np.signbit, x)
    of(np.spacing, x)
    of(np.ldexp, x, np.int32(3))
    of(np.nextafter, x, np.float32(1.0))
of(np.ldexp, SPECIAL, np.array([1, 2, -1080, 1030, 3, 4, 5, -2]))
of(np.frexp, np.array([1e-300, 5e300, 2.0**-40, 8.0]))
of(np.nextafter, SPECIAL, SPECIAL[::-1])
for u in (np.gcd, np.lcm):
    of(u, N, 6 * I32 - 20)
    of(u, I32, 12)
    of(u, np.array([0, -8, 7, 2**40]), np.array([0, 12, 0, 6**20]))
    of(u, N.astype(np.uint8), np.uint8(6))
of(np.isposinf, SPECIAL)
of(np.isneginf, SPECIAL)
of(np.isneginf, N)
of(np.isclose, S, S + 1e-9)
of(np.isclose, SPECIAL[:, None], SPECIAL)
of(np.isclose, SPECIAL[:, None], SPECIAL, equal_nan=True)
of(np.isclose, N, I32)
of(np.isclose, S32, S, rtol=1e-7)
of(np.allclose, S, S + 1e-9)
of(np.array_equal, S, S32)
of(np.array_equal, N, I32)
of(np.array_equal, SPECIAL, SPECIAL, equal_nan=True)
of(np.array_equiv, N[0], np.tile(I32[0], (3, 1)))
case("shapes-differ", lambda x, y: x * np.array_equal(x, y) + np.array_equiv(x[:, :2], y[:3, :3]), S, SQUARE)
case("can_cast", lambda x: x * np.can_cast(x, np.float32), S)
of(np.sinc, np.array([0.0, 1e-9, -1e-3, 0.009, 0.0095, 0.01, 1.0, -2.5]))

EAGER.case("nonzero", lambda x: (*np.nonzero(x > 0), *(x > 0).nonzero(), *np.where(x > 0)), S)
EAGER.case("flatnonzero", lambda x: (x.ravel()[np.flatnonzero(x > 0)], x[tuple(np.argwhere(x > 0).T)]), S)
EAGER.case("masks", lambda x: (x[x > 0], x[(x > 0)[:, 0]], x[0, x[0] > 0], x[None, x > 0.1, None]), S)
EAGER.case("compress", lambda x: (np.compress(x[:, 0] > 0, x, axis=0), np.extract(x > 0, x), x.compress(x[0] > 0, axis=1)), S)
EAGER.case("grid", lambda x: (x[np.ix_(x[:, 0] < 9, x[0] > 0)], np.delete(x, x[0] > 0, axis=1), np.repeat(x, (x[0] > 0) + 1,
     1)), S)  # fmt: skip


def by_value(x):
    x, y = x.copy(), x.copy()
    x[x > 0] = np.arange(1.0, 1 + np.sum(M))
    np.place(y, y > 0, [3.0, 4.0])
    return x, y


EAGER.case("write", by_value, S)
SMOOTH = TABLE.smooth()


def quiet(check, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        check(*args)


@pytest.mark.parametrize("f, args", TABLE.cases)
def test_traced_eagerly_it_is_numpys(f, args):
    quiet(check_eager, f, args)


@pytest.mark.parametrize("f, args", TABLE.cases)
def test_compiled_it_is_numpys(f, args):
    quiet(check_compiled, f, args)


@pytest.mark.parametrize("f, args", SMOOTH)
def test_gradients_are_central_differences(f, args):
    check_gradient(f, args)


@pytest.mark.parametrize("f, args", SMOOTH[::3])
def test_second_order_is_central_differences(f, args):
    check_second_order(f, args)


@pytest.mark.parametrize("f, args", TABLE.cases[::2])
def test_vmapped_it_is_a_loop(f, args):
    quiet(check_lanes, f, args)


@pytest.mark.parametrize("f, args", EAGER.cases)
def test_values_that_are_known_decide_shapes_and_unknown_ones_are_refused(f, args):
    check_eager(f, args)

    def scalar(x):
        return sum(np.sum(y * np.cos(np.arange(y.size)).reshape(y.shape)) for y in f(x) if y.dtype == float)

    slope = (scalar(S + 1e-6) - scalar(S - 1e-6)) / 2e-6
    if f is not EAGER.cases[0].values[0]:  # whose results are whole numbers
        np.testing.assert_allclose(np.sum(rg.grad(scalar)(S)), slope, rtol=1e-6, atol=1e-7)
    with pytest.raises(RetrogradeError, match=r"size=|where|static"):
        rg.jit(f)(*args)


@pytest.mark.parametrize("place", range(len(DIRECT)))
def test_the_namespace_works_on_plain_arrays(place):
    function, args, kwargs = DIRECT[place]
    own = getattr(rg.numpy, function.__name__)
    if isinstance(getattr(function, "__self__", None), np.ufunc):
        own = rg.numpy.outer_of(function.__self__)
    with np.errstate(all="ignore"):
        found, wanted = own(*args, **kwargs), function(*args, **kwargs)
    found, wanted = (list(x) if isinstance(x, (tuple, list)) else [x] for x in (found, wanted))
    for x, y in zip(found, wanted, strict=True):
        assert np.asarray(x).dtype == np.asarray(y).dtype and np.shape(x) == np.shape(y)
        np.testing.assert_allclose(x, y, rtol=1e-6 if np.asarray(y).dtype == np.float32 else 1e-13, atol=1e-13)


# -- the library's own: a size said beforehand, arrays of traced numbers ----------------------------------------------


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("size", [0, 1, 3, 5, 20])
def test_sized_places_are_numpys_cut_off_or_filled_up(transform, size):
    rnp, mask = rg.numpy, S > 0

    def filled(found, fill):
        return np.concatenate([found[:size], np.full((max(size - len(found), 0), *found.shape[1:]), fill, found.dtype)])

    def places(x):
        m = x > 0
        return (
            rnp.flatnonzero(m, size=size, fill_value=-1), *rnp.nonzero(m, size=size, fill_value=(7, 8)), *rnp.where(m, size=size),
            rnp.argwhere(m, size=size), rnp.extract(m, x, size=size, fill_value=9), rnp.compress(m[0], x, 1, size=size),
        )  # fmt: skip

    rows, columns = np.nonzero(mask)
    wanted = [
        filled(np.flatnonzero(mask), -1), filled(rows, 7), filled(columns, 8), filled(rows, 0), filled(columns, 0),
        filled(np.argwhere(mask), 0), filled(S[mask], 9), filled(S[:, mask[0]].T, 0).T,
    ]  # fmt: skip
    for x, y in zip(transform(places)(S), wanted, strict=True):
        np.testing.assert_array_equal(x, y)
    gradient = transform(rg.grad(lambda x: np.sum(rnp.extract(x > 0, x, size=size) ** 2)))(S)
    kept = np.zeros(S.size, bool)
    kept[np.flatnonzero(mask)[:size]] = True
    np.testing.assert_allclose(gradient, 2 * S * kept.reshape(S.shape), rtol=1e-15)
    lanes = transform(rg.vmap(lambda x: rnp.extract(x > 0, x, size=size)))(np.stack([S, -S]))
    np.testing.assert_array_equal(lanes, [filled(S[mask], 0), filled(-S[-S > 0], 0)])


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
def test_arrays_are_made_of_traced_numbers(transform):
    rnp = rg.numpy

    def made(x):
        a, b = x[0], x[1]
        return rnp.array([a, b, 1]), rnp.array([[a, 2.0], [b, np.float32(3)]], ndmin=3), rnp.full((2, 2), b), rnp.asarray([x, x])

    a, b = np.float64(0.5), np.float64(-1.5)
    wanted = np.array([a, b, 1]), np.array([[a, 2.0], [b, 3.0]], ndmin=3), np.full((2, 2), b), np.array([[a, b], [a, b]])
    for x, y in zip(transform(made)(np.array([a, b])), wanted, strict=True):
        assert np.shape(x) == np.shape(y)
        np.testing.assert_array_equal(x, y)
    found = transform(rg.grad(lambda x: sum(np.sum(y) for y in made(x))))(np.array([a, b]))
    np.testing.assert_array_equal(found, [1 + 1 + 0 + 2, 1 + 1 + 4 + 2])
    np.testing.assert_allclose(rg.grad(lambda s: np.sum(rnp.arange(s, 2.0, 0.5)))(0.1), 4)
    with pytest.raises(RetrogradeError, match="linspace"):
        rg.jit(lambda s: rnp.arange(s, 2.0))(0.1)


@pytest.mark.parametrize("call", [
    lambda x: np.array([x[0], x[1]]), lambda x: np.full(3, x[0]), lambda x: np.arange(x[0]),
    lambda x: np.fill_diagonal(np.eye(4), x),
    lambda x: np.put_along_axis(np.zeros(4), np.array([1]), x[:1], 0), lambda x: np.copyto(np.zeros(4), x),
    lambda x: np.putmask(np.zeros(4), np.ones(4, bool), x), lambda x: np.place(np.zeros(4), np.ones(4, bool), x),
])  # fmt: skip
def test_what_numpy_cannot_be_kept_from_names_the_librarys_own(call):
    for transform in (rg.jit, lambda f: lambda x: rg.vjp(f, x)):
        with pytest.raises(RetrogradeError, match=r"retrograde\.numpy\."):
            transform(call)(ROW)


@pytest.mark.parametrize("call, hint", [
    (np.unique, "outside"), (np.trim_zeros, "outside"), (lambda x: np.isin(x, [1.0]), "any"),
    (lambda x: np.union1d(x, x), "outside"),
    (lambda x: np.apply_along_axis(np.sum, 0, x), "vmap"), (np.roots, "while_loop"),
    (lambda x: np.pad(x, 1, mode=lambda *a: None), "function"), (lambda x: x.__setitem__(True, 1.0), "where"),
])  # fmt: skip
def test_what_is_refused_says_why(call, hint):
    with pytest.raises(RetrogradeError, match=hint):
        rg.vjp(lambda x: call(x.copy()), ROW)


@pytest.mark.parametrize("f", [np.rot90, np.flipud, np.diagonal, lambda x: np.diag(x, 1), lambda x: np.rollaxis(x, 1),
                               lambda x: np.split(x, 2)[1]])  # fmt: skip
def test_a_view_costs_no_memory(f):
    assert "arena: 0 bytes" in str(rg.jit(lambda x: np.sum(np.sin(f(x)))).lower(np.ones((60, 60))))


def test_repeated_arrays_are_arrays_of_their_own():
    """NumPy copies here, so to write into the result changes nothing else."""

    def f(x):
        found = np.tile(x, 2), np.repeat(x, 2), np.resize(x, 4), np.meshgrid(x)[0], np.linspace(x, x, 1)
        for y in found:
            y[0] = 7.0
        return np.sum(x) + sum(np.sum(y) for y in found)

    np.testing.assert_allclose(rg.vjp(f, ROW)[0], f(ROW))


# -- properties -------------------------------------------------------------------------------------------------------


def _one_key(n):
    ints = st.integers(-n, n - 1)
    return st.one_of(
        ints, st.builds(slice, *[st.none() | st.integers(-n - 1, n + 1)] * 2, st.sampled_from([None, 1, 2, -1, -2])), st.none(),
        st.lists(ints, min_size=3, max_size=3).map(np.array), ints.map(lambda i: np.array([[i]])), st.just(np.array(True)),
        st.lists(st.booleans(), min_size=n, max_size=n).map(lambda m: np.array([i == 1 or b for i, b in enumerate(m)])),
    )  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(st.tuples(_one_key(2), _one_key(3), _one_key(4)))
def test_any_mixture_of_indices_is_numpys(key):
    def element(x):
        return x[key]

    try:
        wanted = T[key]
    except IndexError:
        with pytest.raises((IndexError, ValueError)):
            rg.vjp(element, T)
        return
    found, back = rg.vjp(element, T)
    np.testing.assert_array_equal(found, wanted)
    counts = np.zeros_like(T)
    np.add.at(counts, key, 1.0)
    np.testing.assert_array_equal(back(np.ones_like(wanted))[0], counts)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 5), st.integers(1, 3), st.tuples(*[st.integers(0, 9)] * 4),
    st.sampled_from(["edge", "reflect", "symmetric", "wrap", "linear_ramp", "mean"]), st.booleans(),
)  # fmt: skip
def test_any_padding_is_numpys(n, m, widths, mode, odd):
    x = np.random.default_rng(n + 5 * m).normal(size=(n, m))
    options = {"reflect_type": "odd"} if odd and mode in ("reflect", "symmetric") else {}
    found, back = rg.vjp(lambda x: np.pad(x, (widths[:2], widths[2:]), mode, **options), x)
    wanted = np.pad(x, (widths[:2], widths[2:]), mode, **options)
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)
    ahead = np.pad(x + x[::-1], (widths[:2], widths[2:]), mode, **options)  # it is linear
    np.testing.assert_allclose(np.sum(back(wanted)[0] * x[::-1]), np.sum(wanted * (ahead - wanted)), rtol=1e-9, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-4, 4), max_size=4), st.integers(-9, 9), st.integers(0, 4))
def test_any_insertion_deletion_and_roll_is_numpys(places, shift, count):
    def changed(x):
        inside = [min(p, 3) for p in places]
        return np.insert(x, places, 7.0), np.delete(x, inside), np.roll(x, shift), np.repeat(x, count), np.resize(x, count)

    for x, y in zip(rg.vjp(changed, ROW)[0], changed(ROW), strict=True):
        np.testing.assert_array_equal(x, y)
