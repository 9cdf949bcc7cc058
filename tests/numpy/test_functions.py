"""Every supported NumPy function, method and operator: traced eagerly and compiled, against NumPy itself.

One table. Each case is checked for value, shape and dtype (NumPy's own, by NEP 50), once through `rg.vjp` on the
float arguments and once under `rg.jit`; a last test asks that no entry of the library's table goes without a case, here or in
another family's file.
"""

import importlib
import operator
from pathlib import Path

import numpy as np
import pytest
from function_suite import Table, call_with, check_compiled, check_eager, traced_arguments

import retrograde as rg
from retrograde.errors import RetrogradeError
from retrograde.numpy.table import FUNCTIONS

RNG = np.random.default_rng(3)
A = RNG.uniform(0.2, 0.9, (3, 4))
B = RNG.uniform(0.2, 0.9, (3, 4))
S = RNG.normal(size=(3, 4))
A32, S32 = A.astype(np.float32), S.astype(np.float32)
ROW = RNG.normal(size=4)
COLUMN = RNG.normal(size=(3, 1))
BATCH = RNG.normal(size=(2, 3, 4))
N = RNG.integers(1, 7, (3, 4))
I32 = RNG.integers(-5, 7, (3, 4)).astype(np.int32)
U8 = RNG.integers(0, 9, (3, 4)).astype(np.uint8)
M = S > 0
EMPTY = np.zeros((0, 4))
ZERO_D = np.float64(0.3)
SPECIAL = np.array([0.0, -0.0, 1.0, -1.5, np.inf, -np.inf, np.nan, 2.5])

UNARY = [
    np.sin,
    np.cos,
    np.tan,
    np.arcsin,
    np.arccos,
    np.arctan,
    np.sinh,
    np.cosh,
    np.tanh,
    np.arcsinh,
    np.arctanh,
    np.exp,
    np.exp2,
    np.expm1,
    np.log,
    np.log2,
    np.log10,
    np.log1p,
    np.sqrt,
    np.cbrt,
    np.square,
    np.reciprocal,
    np.negative,
    np.positive,
    np.absolute,
    np.fabs,
    np.sign,
    np.floor,
    np.ceil,
    np.trunc,
    np.rint,
    np.fix,
    np.deg2rad,
    np.radians,
    np.rad2deg,
    np.degrees,
    np.sinc,
    np.isnan,
    np.isinf,
    np.isfinite,
    np.conjugate,
    np.logical_not,
    np.nan_to_num,
    np.round,
]
BINARY = [
    np.add,
    np.subtract,
    np.multiply,
    np.divide,
    np.power,
    np.float_power,
    np.maximum,
    np.minimum,
    np.fmax,
    np.fmin,
    np.hypot,
    np.arctan2,
    np.logaddexp,
    np.logaddexp2,
    np.copysign,
    np.floor_divide,
    np.remainder,
    np.fmod,
    np.heaviside,
    np.equal,
    np.not_equal,
    np.less,
    np.less_equal,
    np.greater,
    np.greater_equal,
    np.logical_and,
    np.logical_or,
    np.logical_xor,
    np.divmod,
]
BITS = [np.bitwise_and, np.bitwise_or, np.bitwise_xor]

TABLE = Table()
CASES, case, weak, of = TABLE.cases, TABLE.case, TABLE.weak, TABLE.of

for u in UNARY:
    for label, x in [("f64", A), ("f32", A32), ("0d", ZERO_D), ("weak", 0.3), ("empty", EMPTY), ("strided", A[::-1, ::2])]:
        of(u, x, name=label)
    for label, x in [("int", N), ("int32", I32), ("u8", U8)]:
        if u not in (np.arcsin, np.arccos, np.arctanh, np.reciprocal) and not (label == "int32" and "log" in u.__name__):
            of(u, x, name=label)
of(np.arccosh, A + 1.0)
of(np.arccosh, I32**2 + 1)
for u in (
    np.absolute,
    np.sign,
    np.floor,
    np.isnan,
    np.nan_to_num,
    np.logical_not,
    np.fix,
    np.maximum,
    np.rint,
    np.square,
    np.fabs,
):
    of(u, *[SPECIAL] * u.nin if isinstance(u, np.ufunc) else [SPECIAL], name="special")
for u in (np.absolute, np.logical_not, np.invert, np.isnan, np.conjugate, np.rint, np.floor):
    of(u, M, name="bool")
for u in BINARY:
    for label, x, y in [
        ("f64", A, B),
        ("f32", A32, S32 + 3),
        ("f32-f64", A32, B),
        ("broadcast", COLUMN + 3, ROW + 3),
        ("f32-float", A32, 2.0),
        ("float-f32", 2.0, A32),
        ("f32-int", A32, 2),
        ("int-f64", N, B),
        ("i32-int", I32, 3),
        ("int-float", N, 0.5),
        ("i32-f32", I32, A32),
        ("u8-i32", U8, N),
        ("f32-scalar", A32, np.float64(1.5)),
        ("0d", ZERO_D, ZERO_D),
        ("empty", EMPTY, ROW),
        ("weak", 0.3, 0.4),
    ]:
        of(u, x, y, name=label)
    if u not in (np.logaddexp2, np.float_power):  # composed or rounded otherwise at infinities
        of(u, SPECIAL[:, None], SPECIAL[None, :], name="special")
for u in BITS:
    of(u, N, I32)
    of(u, M, ~M)
    of(u, I32, 3)
    of(u, U8, np.int64(5))
for u in (np.left_shift, np.right_shift):
    of(u, N, 2)
    of(u, I32, U8)
    of(u, np.array([1, -7, 3]), np.array([0, 64, 63]))
of(np.invert, I32)
of(np.invert, U8)
of(np.power, N, U8)
of(np.power, N, 2)
of(np.power, S, 2)
of(np.power, S, 3)
of(np.power, A, 0.5)
of(np.power, SPECIAL, 0)
of(np.power, SPECIAL, 2)
of(np.power, SPECIAL, -1)
of(np.power, np.array([0, 1, -1, 2, 3]), 64)
of(np.power, np.array([0, 1, -1, 2, 3]), np.array([70, 70, 71, 70, 70]))
of(np.floor_divide, I32, 0 * I32 + 2)
of(np.divmod, -N, 4)
of(np.maximum, A, np.nan)
of(np.minimum, np.float64(np.nan), A)
of(np.fmax, A, np.nan)
of(np.maximum, M, ~M)
of(np.add, M, M)
of(np.multiply, M, M)
of(np.add, M, 1)
of(np.multiply, M, 2.0)
of(np.add, M, A32)
of(np.matmul, M, M.T)
of(np.round, N, decimals=2)
of(np.round, 100 * A, decimals=-1)
of(np.round, A, decimals=2)
of(np.round, A32, 1)
of(np.around, A, 1)

AXES = [
    {},
    {"axis": 0},
    {"axis": -1},
    {"axis": (0, 1)},
    {"axis": ()},
    {"axis": 1, "keepdims": True},
    {"keepdims": True},
    {"axis": (-1,), "keepdims": 1},
]
for r in (np.sum, np.prod, np.max, np.min, np.mean, np.var, np.std, np.any, np.all, np.amax, np.amin):
    for kw in AXES:
        of(r, S, **kw)
    of(r, S32, axis=1)
    of(r, I32, axis=0)
    of(r, U8, axis=1)
    of(r, M, axis=1)
    of(r, BATCH, axis=(0, 2))
    of(r, ZERO_D)
    of(r, BATCH[:, ::-1, ::2], axis=1)
for r in (np.sum, np.prod, np.mean):
    of(r, S, axis=0, dtype=np.float32)
    of(r, I32, dtype=np.float64)
    of(r, S32, axis=1, dtype=np.float64)
of(np.sum, EMPTY, axis=0)
of(np.prod, EMPTY, axis=1)
of(np.max, EMPTY, axis=1)
of(np.sum, EMPTY)
of(np.all, EMPTY)
of(np.var, S, ddof=1)
of(np.std, S32, axis=0, ddof=1)
of(np.var, S, axis=1, ddof=2, keepdims=True)
of(np.var, S, correction=1)
of(np.sum, S, where=True)
of(np.ptp, S)
of(np.ptp, S, axis=1)
of(np.ptp, S, axis=0, keepdims=True)
for r in (np.max, np.min, np.sum, np.argmax, np.argmin):
    of(r, np.array([[1.0, np.nan, 3.0], [2.0, 2.0, -np.inf]]), axis=1)
    of(r, np.tile([1.0, np.nan, 3.0, 0.5], (700, 2)), axis=1)
for r in (np.argmax, np.argmin):
    of(r, S)
    of(r, S, axis=0)
    of(r, S, axis=-1, keepdims=True)
    of(r, I32, axis=1)
    of(r, M, axis=0)
    of(r, S, keepdims=True)
of(np.average, S)
of(np.average, S, axis=1)
of(np.average, S, axis=0, keepdims=True)
case("average-weights", lambda x, w: np.average(x, axis=1, weights=w), S, A[0])
case("average-int", lambda x, w: np.average(x, axis=0, weights=w), N, np.array([1, 2, 3]))
for name in ("add", "multiply", "maximum", "minimum"):
    u = getattr(np, name)
    case(f"{name}.reduce", lambda x, u=u: u.reduce(x), S)
    case(f"{name}.reduce-axis", lambda x, u=u: u.reduce(x, axis=1, keepdims=True), S)

of(np.reshape, S, (4, 3))
of(np.reshape, S, (2, -1))
of(np.reshape, S, -1)
of(np.reshape, S[:, ::-2], (2, 3))
of(np.reshape, EMPTY, (2, 0, 3))
of(np.ravel, S.T)
of(np.ravel, ZERO_D)
of(np.transpose, BATCH)
of(np.transpose, BATCH, (1, -1, 0))
of(np.matrix_transpose, BATCH)
of(np.swapaxes, BATCH, 0, -1)
of(np.moveaxis, BATCH, 0, -1)
of(np.moveaxis, BATCH, (0, 1), (-1, 0))
of(np.permute_dims, BATCH, (2, 0, 1))
of(np.expand_dims, S, 1)
of(np.expand_dims, S, (0, -1))
of(np.squeeze, S[None, :, None])
of(np.squeeze, S[None, :, None], axis=0)
of(np.squeeze, S[None, :, None], axis=(0, -2))
of(np.flip, S)
of(np.flip, S, axis=1)
of(np.flip, BATCH, axis=(0, -1))
case("broadcast_to", lambda x: np.broadcast_to(x, (2, 3, 4)), S)
case("broadcast_to-number", lambda x: np.broadcast_to(x, 4), ZERO_D)
case("broadcast_arrays", lambda x, y: tuple(np.broadcast_arrays(x, y)), COLUMN, ROW)
for kw in ({}, {"axis": 1}, {"axis": -1}, {"axis": None}, {"dtype": np.float32}):
    case(f"concatenate-{kw}", lambda x, y, kw=kw: np.concatenate([x, y, x], **kw), S, S[:, ::-1].astype(np.float32))
for kw in ({}, {"axis": 1}, {"axis": -1}):
    case(f"stack-{kw}", lambda x, y, kw=kw: np.stack([x, y], **kw), S, I32)
case("stack-numbers", lambda x, y: np.stack([x, 1, y, 0.5]), np.float32(2), np.float32(3))
case("concat", lambda x, y: np.concat([x, y]), M, I32)
for f in (np.vstack, np.hstack, np.column_stack):
    case(f"{f.__name__}-1d", lambda x, y, f=f: f([x, y]), ROW, ROW[::-1])
    case(f"{f.__name__}-2d", lambda x, y, f=f: f((x, y, x)), S, N)
of(np.atleast_1d, ZERO_D)
of(np.atleast_2d, ROW)
of(np.atleast_2d, BATCH)
of(np.atleast_1d, ZERO_D, ROW)
case("split", lambda x: tuple(np.split(x, 2, axis=1)), S)
case("split-at", lambda x: tuple(np.split(x, [1, 3], axis=-1)), S)
for f in (np.zeros_like, np.ones_like):
    of(f, S32)
    of(f, S, dtype=np.int32)
    of(f, S, shape=(2, 2))
case("full_like", lambda x: np.full_like(x, 3), S32)
case("full_like-traced", lambda x, v: np.full_like(x, v, shape=(2,)), S32, ZERO_D)
of(np.copy, S.T)
of(np.astype, S, np.float32)
of(np.astype, 3 * S, np.int64)
of(np.real, S)
of(np.trace, S)
of(np.trace, S, offset=1)
case("trace-axes", lambda x: np.trace(x, offset=-1, axis1=2, axis2=0), BATCH)
case("trace-inf", np.trace, np.where(np.eye(3) > 0, 1.0, np.inf))
case("trace-int", np.trace, I32)
case("shape-ndim-size", lambda x: np.zeros(np.shape(x)) * x + np.ndim(x) + np.size(x) + np.size(x, 1), S)
case("asking", lambda x: x * np.isrealobj(x) + np.iscomplexobj(x) + (np.result_type(x) == x.dtype), S)

of(np.where, M, S, A32)
of(np.where, M, S32, 2.0)
of(np.where, M, 1, S32)
of(np.where, M, M, True)
of(np.where, M, 1.0, 2)
of(np.where, I32, S, 0)
of(np.where, M, I32, U8)
of(np.where, M[:, :1], ROW, COLUMN)
of(np.where, M, M, 3)
of(np.where, M, np.array(5), S32)
of(np.clip, S, -0.5, 0.5)
of(np.clip, S32, 0.0, None)
of(np.clip, S, None, 0.1)
of(np.clip, I32, 0, 3)
of(np.clip, I32, 0.5, 3.5)
of(np.clip, S, ROW, 5)
case("clip-min-max", lambda x: np.clip(x, min=-0.1, max=0.2), S)
case("clip-none", lambda x: np.clip(x, None, None), S)
of(np.clip, S, 1.0, -1.0)
of(np.clip, SPECIAL, -1.0, 1.0)
of(np.clip, S32, np.float64(0), np.float64(1))
of(np.nan_to_num, SPECIAL, nan=1.0, posinf=2.0)
case("take", lambda x: np.take(x, [2, 0, -1], axis=1), S)
case("take-flat", lambda x: np.take(x, np.array([[2, 0], [7, -1]])), S)
case("take-scalar", lambda x: np.take(x, 1, axis=0), S)
case("take_along_axis", lambda x: np.take_along_axis(x, np.array([[0], [2], [1]]), axis=1), S)
case("take_along_axis-flat", lambda x: np.take_along_axis(x, np.array([3, 0]), axis=None), S)
of(np.take, S, I32.astype(np.int32) % 3, axis=0)

of(np.matmul, S, S.T)
of(np.matmul, BATCH, BATCH.swapaxes(1, 2))
of(np.matmul, BATCH, ROW)
of(np.matmul, ROW, S.T)
of(np.matmul, ROW, ROW)
of(np.matmul, S32, ROW)
of(np.matmul, I32, I32.T)
of(np.matmul, EMPTY, S.T)
of(np.matmul, S[:, :0], S.T[:0])
of(np.matmul, BATCH[:, None], BATCH.swapaxes(1, 2))
of(np.dot, S, S.T)
of(np.dot, ROW, ROW)
of(np.dot, BATCH, S.T)
of(np.dot, S32, 2.0)
of(np.dot, BATCH, ROW)
of(np.dot, S, BATCH.swapaxes(1, 2))
of(np.inner, S, A)
of(np.inner, ROW, ROW)
of(np.inner, S, 3.0)
of(np.outer, ROW, ROW)
of(np.outer, S, ROW)
of(np.outer, S32[0], I32[0])
of(np.vdot, S, A)
of(np.tensordot, S, A, axes=((0, 1), (0, 1)))
of(np.tensordot, BATCH, S.T, axes=1)
of(np.tensordot, ROW, ROW, axes=0)
of(np.tensordot, S, A, axes=([0], [0]))
for text, *ops in [
    ("ij,jk->ik", S, S.T),
    ("ij,ij->", S, A),
    ("ij->ji", S),
    ("ii->i", A[:, :3]),
    ("ii", A[:, :3]),
    ("ij->j", S),
    ("bij,bjk->bik", BATCH, BATCH.swapaxes(1, 2)),
    ("i,j->ij", ROW, ROW),
    ("...j,j->...", BATCH, ROW),
    ("ij,jk,kl->il", S, S.T, A),
    ("ij", S.T),
    ("i,i,i->i", ROW, ROW, ROW),
    ("ij,jk", S32, S.T),
    (",ij->ij", ZERO_D, S),
    ("ij,kj->", S, A),
    ("bij->b", BATCH),
    ("ii->i", np.where(np.eye(3) > 0, 1.0, np.nan)),
]:
    case(f"einsum-{text}-{len(CASES)}", lambda *xs, text=text: np.einsum(text, *xs), *ops)

for o in (
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
    operator.eq,
    operator.ne,
    divmod,
):
    for label, x, y in [
        ("a-a", A, B),
        ("a-1", A32, 2),
        ("a-1.0", A32, 2.5),
        ("i-1", I32, 2),
        ("a-list", A, [1.0, 2.0, 3.0, 4.0]),
        ("a-np", A32, np.float32(2)),
        ("a-np64", A32, np.float64(2)),
        ("i-1.0", I32, 0.5),
    ]:
        case(f"op-{o.__name__}-{label}", lambda x, y=y, o=o: o(x, y), x)
        if not (o is operator.pow and label == "i-1"):
            case(f"op-r{o.__name__}-{label}", lambda x, y=y, o=o: o(y, x), x)
for o in (operator.and_, operator.or_, operator.xor):
    case(f"op-{o.__name__}", lambda x, y, o=o: o(o(x, y), o(True, x)), M, ~M)
    case(f"op-{o.__name__}-int", lambda x, o=o: o(o(x, 5), o(6, x)), I32)
case("op-shift", lambda x: (x << 2) + (x >> 1) + (1 << x) + (64 >> x), N)
case("op-unary", lambda x: (-x, +x, abs(x)), S)
case("op-invert", lambda x: ~x, I32)
case("op-matmul", lambda x: (x @ x.T, np.ones((2, 3)) @ x, x @ np.ones(4), [[1.0, 2.0, 3.0]] @ x), S)
weak("op-weak", lambda x, s: (x * s, s * s * x, (s + 1) * x, -s * x, s < x, abs(s) / 3 * x, 2**s * x, s**2 * x), S32, 2.5)
weak("op-weak-int", lambda x, n: (x * n, n * n * x, n / 2 * x, n // 2 * x, n % 2 * x, n**2 * x, (n << 1) * x), S32, 3)
weak("op-weak-ends", lambda x, s: (np.sin(s) * x, np.add(s, 1) * x, np.multiply(s, s) + x, np.where(x > 0, s, x)), S32, 2.5)
weak("op-weak-int-ends", lambda x, n: (np.sqrt(n) * x, np.add(n, 1) * x, np.maximum(n, 2) + x.astype(np.int8)), S32, 3)
weak("op-weak-reduced", lambda x, s: (np.sum(s) * x, np.reshape(s, (1,)) * x, np.stack([s, s])[0] * x), S32, 2.5)


def inplace(x, y):
    x = x.copy()
    x += y
    x -= 2
    x *= y
    x /= 3
    x **= 2
    return x


def filled(x):
    y = np.empty_like(x)
    y[:] = x
    return y


case("op-inplace", inplace, S, A)
case("empty_like", filled, S)

METHODS = {
    "sum": [{}, {"axis": 1}, {"axis": 0, "keepdims": True}, {"dtype": np.float32}],
    "prod": [{"axis": 1}],
    "mean": [{}, {"axis": (0, 1)}],
    "var": [{"ddof": 1}],
    "std": [{"axis": 0}],
    "max": [{"axis": 1}],
    "min": [{}],
    "argmax": [{"axis": 1}],
    "argmin": [{}],
    "any": [{}],
    "all": [{"axis": 0}],
    "ravel": [{}],
    "flatten": [{}],
    "copy": [{}, {"order": "C"}],
    "round": [{}, {"decimals": 1}],
    "conj": [{}],
    "conjugate": [{}],
    "trace": [{}, {"offset": 1}],
    "squeeze": [{}],
    "transpose": [{}],
}
for method, variants in METHODS.items():
    for kw in variants:
        case(f"method-{method}-{kw}", lambda x, method=method, kw=kw: getattr(x, method)(**kw), S)
case("method-reshape", lambda x: (x.reshape(4, 3), x.reshape((2, 6)), x.reshape(-1), x.reshape([12])), S)
case("method-transpose", lambda x: (x.T, x.mT, x.transpose(1, 0, 2), x.transpose((2, 0, 1)), x.swapaxes(0, 1)), BATCH)
case("method-astype", lambda x: (x.astype(np.float32), x.astype("int64"), x.astype(bool), x.astype(float)), 3 * S)
case("method-clip", lambda x: (x.clip(0), x.clip(0.0, 0.5), x.clip(min=0.1), x.clip(max=0.1)), S)
case("method-dot-take", lambda x: (x.dot(x.T), x.take([0, 2], axis=1), x.take(np.array([1, 5]))), S)
case("attributes", lambda x: x * (x.ndim + x.size + x.itemsize + x.nbytes + len(x)) + x.shape[0] + x.real, S)
case("iteration", lambda x: sum(row * i for i, row in enumerate(x)) + np.stack(list(x.flat)).reshape(3, 4), S)

T3 = RNG.normal(size=(3, 4, 5))
KEYS = {
    "int": np.s_[1],
    "negative": np.s_[-1, 2],
    "slice": np.s_[1:],
    "stride": np.s_[::-1, ::2],
    "step": np.s_[2:0:-1],
    "none": np.s_[None, 1, :, None],
    "dots": np.s_[..., 1],
    "middle": np.s_[0, ..., -1],
    "array": np.s_[np.array([2, 0, -1])],
    "list": np.s_[[0, 0, 1]],
    "two": np.s_[np.array([0, 2]), np.array([1, -1])],
    "apart": np.s_[np.array([0, 2]), :, np.array([1, 4])],
    "int-apart": np.s_[0, :, np.array([1, 3])],
    "matrix": np.s_[:, np.array([[0, 1], [2, -3]])],
    "broadcast": np.s_[np.array([[0], [2]]), np.array([1, 3, 0])],
    "with-none": np.s_[np.array([1, 2]), None, 0],
    "mask": np.s_[T3[:, 0, 0] > 0],
    "full-mask": np.s_[T3 > 0.5],
    "mask-2d": np.s_[T3[..., 0] > 0],
    "mask-behind": np.s_[1, T3[0, :, 0] > 0],
    "empty": np.s_[2:1],
    "empty-list": np.s_[[]],
    "tuple-in-key": np.s_[(0, 2), 1],
    "int8": np.s_[np.array([0, -1], np.int8), np.array([3, 3], np.int8)],
    "bool-list": np.s_[[True, False, True]],
    "0d": np.s_[np.array(1), 2],
    "np-int": np.s_[np.int64(-2)],
    "whole": np.s_[()],
    "all": np.s_[...],
}
for label, key in KEYS.items():
    case(f"getitem-{label}", lambda x, key=key: x[key], T3)
case(
    "getitem-traced",
    lambda x, i, j: (x[i], x[:, i], x[i, j], x[i, :, j], x[0, i], x[j[0]]),
    T3,
    np.array([1, -1, 0]),
    np.array([[2], [1]]),
)
case("getitem-traced-int8", lambda x, i: x[i, i], np.arange(90000.0).reshape(300, 300), np.array([1, -1, 100], np.int8))


@pytest.mark.parametrize("f, args", CASES)
def test_traced_eagerly_it_is_numpys(f, args):
    check_eager(f, args)


@pytest.mark.parametrize("f, args", CASES)
def test_compiled_it_is_numpys(f, args):
    check_compiled(f, args)


REFUSED = {
    "sum-out": lambda x: np.sum(x, out=np.zeros(())),
    "mean-out": lambda x: np.mean(x, out=np.zeros(())),
    "mean-int": lambda x: np.mean(x, dtype=int),
    "argmax-out": lambda x: np.argmax(x, out=np.zeros((), int)),
    "add-out": lambda x: np.add(x, x, out=np.zeros(3)),
    "add-where": lambda x: np.add(x, 1, where=np.ones(3, bool)),
    "add-dtype": lambda x: np.add(x, 1, dtype=np.float32),
    "add-casting": lambda x: np.add(x, 1, casting="no"),
    "exp-subok": lambda x: np.exp(x, subok=False),
    "clip-out": lambda x: np.clip(x, 0, 1, out=np.zeros(3)),
    "clip-dtype": lambda x: np.clip(x, 0, 1, dtype=np.float32),
    "round-out": lambda x: np.round(x, 1, out=np.zeros(3)),
    "take-out": lambda x: np.take(x, [0], out=np.zeros(1)),
    "dot-out": lambda x: np.dot(x, x, out=np.zeros(())),
    "matmul-out": lambda x: np.matmul(x, x, out=np.zeros(())),
    "matmul-axes": lambda x: np.matmul(x, x, axes=[(0,), (0,), ()]),
    "einsum-out": lambda x: np.einsum("i,i", x, x, out=np.zeros(())),
    "einsum-dtype": lambda x: np.einsum("i,i", x, x, dtype=np.float32),
    "concatenate-out": lambda x: np.concatenate([x, x], out=np.zeros(6)),
    "concatenate-cast": lambda x: np.concatenate([x, x], dtype=int),
    "concatenate-casting": lambda x: np.concatenate([x, x], dtype=np.float32, casting="no"),
    "stack-cast": lambda x: np.stack([x, x], dtype=int),
    "astype-casting": lambda x: x.astype(int, casting="safe"),
    "method-out": lambda x: x.sum(out=np.zeros(())),
    "method-unknown": lambda x: x.max(foo=1),
    "reduce-out": lambda x: np.add.reduce(x, out=np.zeros(())),
    "at": lambda x: np.add.at(np.zeros(3), [0], x),
    "svd": lambda x: np.linalg.svd(x[None]),
    "eig": lambda x: np.linalg.eig(x[None]),
    "copyto": lambda x: np.copyto(np.zeros(3), x),
    "trace-out": lambda x: np.trace(x[None], out=np.zeros(())),
    "round-int": lambda x: np.round(x.astype(int), -1),
    "einsum-casting": lambda x: np.einsum("i,i", x, x, casting="no"),
    "subtract-bools": lambda x: (x > 0) - (x < 0),
    "negative-bool": lambda x: -(x > 0),
    "invert": lambda x: ~x,
    "shift": lambda x: x << 1,
    "positive-bool": lambda x: np.positive(x > 0),
    "full": lambda x: np.full(3, x[0]),
    "array": lambda x: np.array([x[0], 1.0]),
    "assign": lambda x: np.zeros((2, 3)).__setitem__(0, x),
    "float": lambda x: float(x[0]),
    "int": lambda x: int(x[0]),
    "complex": lambda x: complex(x[0]),
    "item": lambda x: x[0].item(),
    "tolist": lambda x: x.tolist(),
    "math": lambda x: __import__("math").exp(x[0]),
    "format": lambda x: f"{x:.3f}",
    "setitem": lambda x: operator.setitem(x, 0, 1.0),
    "ufunc-inplace": lambda x: operator.iadd(np.zeros(3), x),
    "objects": lambda x: x + np.array([1, None, "a"], object),
    "strings": lambda x: x + np.array(["a", "b", "c"]),
    "matmul-shape": lambda x: x @ np.ones(4),
    "matmul-0d": lambda x: np.matmul(x, 2.0),
    "broadcast": lambda x: x + np.ones(4),
    "reshape": lambda x: x.reshape(2, 2),
    "stack-shape": lambda x: np.stack([x, np.ones(4)]),
    "concatenate-shape": lambda x: np.concatenate([x[None], np.ones((1, 4))]),
    "concatenate-0d": lambda x: np.concatenate([x[0], x[1]]),
    "empty-max": lambda x: np.max(x[:0]),
    "empty-argmax": lambda x: np.argmax(x[:0]),
    "squeeze": lambda x: np.squeeze(x, 0),
    "split": lambda x: np.split(x, 2),
    "einsum-text": lambda x: np.einsum("ij", x),
}


@pytest.mark.parametrize("transform", ["eager", "jit"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_rule_is_refused_and_never_ignored(name, transform):
    f = REFUSED[name]
    x = np.array([1.5, -2.0, 0.5])
    with pytest.raises(RetrogradeError) as caught:
        rg.jit(f)(x) if transform == "jit" else rg.vjp(f, x)
    assert len(str(caught.value)) > 30  # says more than a word


def test_numpys_own_errors_stay_numpys():
    for f, error in [
        (lambda x: x[3], IndexError),
        (lambda x: x[0, 0], IndexError),
        (lambda x: x[1.5], IndexError),
        (lambda x: x[np.ones(2, bool)], IndexError),
        (lambda x: x[..., ...], IndexError),
        (lambda x: np.sum(x, axis=1), np.exceptions.AxisError),
        (lambda x: np.sum(x, axis=(0, 0)), ValueError),
        (lambda x: x[np.array([0, 3])], IndexError),
        (lambda x: np.take(x, [-4]), IndexError),
        (lambda x: len(x[0]), TypeError),
        (lambda x: x.nonsense, AttributeError),
    ]:
        with pytest.raises(error):
            f(np.ones(3))
        with pytest.raises(error):
            rg.jit(f)(np.ones(3))


def test_every_rule_of_the_table_has_a_case(monkeypatch):
    called = set()
    for key, rule in list(FUNCTIONS.items()):
        monkeypatch.setitem(FUNCTIONS, key, lambda *a, _key=key, _rule=rule, **k: called.add(_key) or _rule(*a, **k))
    siblings = [importlib.import_module(path.stem) for path in Path(__file__).parent.glob("test_*.py")]
    for param in [case for module in siblings if hasattr(module, "TABLE") for case in module.TABLE.cases]:
        f, args = param.values
        with np.errstate(all="ignore"):
            rg.trace(call_with(f, args, traced_arguments(f, args)))(*[args[i] for i in traced_arguments(f, args)])
    for param in [case for module in siblings if hasattr(module, "EAGER") for case in module.EAGER.cases]:
        f, args = param.values
        rg.vjp(f, *args)
    missing = {getattr(key, "__name__", key) for key in set(FUNCTIONS) - called}
    assert not missing


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
def test_at_the_tip_of_a_cone_the_derivative_is_zero(transform):
    """np.std of equal elements and np.hypot(0, 0): the subgradient of least norm, not NaN."""
    x = np.array([[2.0, 2.0, 2.0], [1.0, 2.0, 4.0]])
    found = transform(rg.grad(lambda v: np.sum(np.std(v, axis=1))))(x)
    away = x[1] - x[1].mean()
    np.testing.assert_allclose(found, [[0, 0, 0], away / (3 * x[1].std())], rtol=1e-12)
    by_x, by_y = transform(rg.grad(lambda a, b: np.sum(np.hypot(a, b)), (0, 1)))(np.array([0.0, 3.0]), np.array([0.0, 4.0]))
    np.testing.assert_allclose([by_x, by_y], [[0, 0.6], [0, 0.8]], rtol=1e-15)


def test_fmax_and_fmin_of_two_nans_pass_no_cotangent_twice():
    nan = np.array([np.nan])
    for f in (np.fmax, np.fmin):
        out, pull = rg.vjp(f, nan, nan)
        assert np.isnan(out).all()
        np.testing.assert_array_equal(pull(np.ones(1)), np.zeros((2, 1)))
        np.testing.assert_array_equal(rg.vjp(f, nan, np.ones(1))[1](np.ones(1)), [[0], [1]])


def test_take_at_an_empty_list():
    x = np.arange(6.0).reshape(2, 3)
    for indices, axis in (([], None), ([], 1), ((), 0), ([[]], 1)):
        expected = np.take(x, indices, axis)
        found = rg.jit(lambda x, i=indices, a=axis: np.take(x, i, a))(x)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
