"""Products: `matmul`, `dot`, `einsum` and kin, all by transposes and one batched product."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograde.errors import ShapeError
from retrograde.numpy.complex import conjugate
from retrograde.numpy.elementwise import where
from retrograde.numpy.reductions import sum as _sum
from retrograde.numpy.shaping import array, broadcast_to, expand_dims, moveaxis, normalize_axis, ravel, reshape, transpose
from retrograde.numpy.table import implements, refuse
from retrograde.ops import elementwise as ew
from retrograde.ops.matmul import matmul as _product
from retrograde.ops.promote import apply, is_traced, promote
from retrograde.ops.reduce import any_, sum_
from retrograde.types import is_bfloat16


@implements(np.matmul)
def matmul(x1: Any, x2: Any) -> Any:
    """The matrix product, batched and broadcast; a 1-d operand is a row on the left, a column on the right.

    Of two bfloat16 arrays it is float32, as in NumPy: their products are exact there, and added there.
    """
    precision = _narrow(x1, x2)
    x, y = (array(v) for v in ((x1, x2) if precision else promote(np.matmul, x1, x2)))
    if not x.shape or not y.shape:
        raise ShapeError("matmul: 0-d operands have no matrix product; use * or np.multiply")
    row, column = len(x.shape) == 1, len(y.shape) == 1
    x = expand_dims(x, 0) if row else x
    y = expand_dims(y, 1) if column else y
    if x.shape[-1] != y.shape[-2]:
        raise ShapeError(
            f"matmul: the inner lengths differ: {np.shape(x1)} @ {np.shape(x2)} has {x.shape[-1]} against {y.shape[-2]}"
        )
    if len(y.shape) == 2 and len(x.shape) > 2:  # one matrix for the whole batch: one tall product
        z = _product(reshape(x, (-1 if x.size else math.prod(x.shape[:-1]), x.shape[-1])), y, **precision)
        z = reshape(z, (*x.shape[:-1], y.shape[-1]))
    else:
        batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
        z = _product(broadcast_to(x, (*batch, *x.shape[-2:])), broadcast_to(y, (*batch, *y.shape[-2:])), **precision)
    shape = z.shape
    if row or column:
        z = reshape(z, shape[:-2] + (() if row else shape[-2:-1]) + (() if column else shape[-1:]))
    return z


def _narrow(x: Any, y: Any) -> dict[str, Any]:
    """The parameter of the product that multiplies two bfloat16 arrays as they are."""
    dtypes = [getattr(v, "dtype", None) for v in (x, y)]
    return {"precision": dtypes[0]} if dtypes[0] is not None and dtypes[0] == dtypes[1] and is_bfloat16(dtypes[0]) else {}


@implements(np.dot)
def dot(a: Any, b: Any, out: Any = None) -> Any:
    """NumPy's dot: a sum over a's last and b's second last axis."""
    refuse("dot", out=out)
    a, b = array(a), array(b)
    if not a.shape or not b.shape:
        return apply(ew.multiply, a, b)
    if len(a.shape) <= 2 and len(b.shape) <= 2:
        return matmul(a, b)
    return tensordot(a, b, (-1, -2 if len(b.shape) > 1 else -1))


@implements(np.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """A sum over pairs of axes of two arrays."""
    a, b = array(a), array(b)
    if isinstance(axes, (int, np.integer)):
        left, right = list(range(len(a.shape) - axes, len(a.shape))), list(range(axes))
    else:
        left, right = ([x] if np.ndim(x) == 0 else list(x) for x in axes)
    left = [normalize_axis(x, len(a.shape)) for x in left]
    right = [normalize_axis(x, len(b.shape)) for x in right]
    if [a.shape[x] for x in left] != [b.shape[x] for x in right]:
        raise ShapeError(f"tensordot: axes {left} of {a.shape} and {right} of {b.shape} differ in length")
    free_a = [x for x in range(len(a.shape)) if x not in left]
    free_b = [x for x in range(len(b.shape)) if x not in right]
    shape = [a.shape[x] for x in free_a] + [b.shape[x] for x in free_b]
    inner = math.prod(a.shape[x] for x in left)
    p = reshape(transpose(a, free_a + left), (math.prod(a.shape[x] for x in free_a), inner))
    q = reshape(transpose(b, right + free_b), (inner, math.prod(b.shape[x] for x in free_b)))
    return reshape(matmul(p, q), tuple(shape))


@implements(np.inner)
def inner(a: Any, b: Any) -> Any:
    """A sum over the last axes."""
    a, b = array(a), array(b)
    if not a.shape or not b.shape:
        return apply(ew.multiply, a, b)
    return tensordot(a, b, (-1, -1))


@implements(np.outer)
def outer(a: Any, b: Any, out: Any = None) -> Any:
    """All products of two vectors' elements."""
    refuse("outer", out=out)
    return apply(ew.multiply, expand_dims(ravel(a), 1), expand_dims(ravel(b), 0))


@implements(np.vdot)
def vdot(a: Any, b: Any, /) -> Any:
    """The dot product of the flattened arrays, the first one conjugated."""
    return matmul(conjugate(ravel(a)), ravel(b))


@implements(np.trace)
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    """The sum of a diagonal."""
    refuse("trace", dtype=dtype, out=out)
    a = array(a)
    i, j = normalize_axis(axis1, len(a.shape)), normalize_axis(axis2, len(a.shape))
    mask = np.eye(a.shape[i], a.shape[j], offset, dtype=bool)
    order = [x for x in range(len(a.shape)) if x not in (i, j)] + [i, j]
    return _sum(where(mask, transpose(a, order), a.dtype.type(0)), (-2, -1))


@implements(np.einsum)
def einsum(subscripts: Any, *operands: Any, out: Any = None, optimize: Any = True, **kwargs: Any) -> Any:
    """Einstein's summation, pair by pair in the order that NumPy finds cheapest; each pair is one batched product.

    `optimize` is "greedy" (True and False as well: no result depends on it), "optimal", or a path of `np.einsum_path`.
    """
    refuse("einsum", out=out, **{k: v for k, v in kwargs.items() if k != "order"})
    if not isinstance(subscripts, str):
        subscripts, operands = _from_lists((subscripts, *operands))
    arrays = [array(x) for x in operands]
    terms, result = _parse(subscripts, arrays)
    work = [_self_sum(x, t, set("".join(terms[:i] + terms[i + 1 :]) + result)) for i, (x, t) in enumerate(zip(arrays, terms))]
    for pair in _path(terms, result, arrays, "greedy" if isinstance(optimize, bool) else optimize):
        taken = [work[i] for i in pair]
        work = [w for i, w in enumerate(work) if i not in pair]
        while len(taken) > 1:
            keep = set("".join(t for _, t in (*work, *taken[2:])) + result)
            taken = [_contract(*taken[0], *taken[1], keep), *taken[2:]]
        work.append(taken[0])
    x, term = work[0]
    x, term = _self_sum(x, term, set(result))
    return transpose(x, [term.index(c) for c in result]) if result else x


def _parse(subscripts: str, operands: list) -> tuple[list[str], str]:
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise ShapeError(f"einsum: {len(terms)} terms in {subscripts!r} for {len(operands)} operands")
    free = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" if c not in subscripts]
    widest = max((len(x.shape) - len(t.replace("...", "")) for t, x in zip(terms, operands) if "..." in t), default=0)
    dots = "".join(free[:widest])
    full = []
    for t, x in zip(terms, operands):
        if "..." in t:
            n = len(x.shape) - len(t) + 3
            t = t.replace("...", dots[len(dots) - n :] if n else "")
        if len(t) != len(x.shape):
            raise ShapeError(f"einsum: the term {t!r} names {len(t)} axes, its operand has shape {x.shape}")
        full.append(t)
    if arrow:
        result = right.replace("...", dots)
    else:
        letters = "".join(t for t in full)
        result = dots + "".join(sorted(c for c in set(letters) - set(dots) if letters.count(c) == 1))
    if len(set(result)) != len(result) or not set(result) <= set("".join(full)):
        raise ShapeError(f"einsum: the output {result!r} must name axes of the operands, each once")
    lengths: dict[str, int] = {}
    for t, x in zip(full, operands):
        for c, n in zip(t, x.shape):
            if n != 1 and lengths.setdefault(c, n) != n:
                raise ShapeError(f"einsum: axis {c!r} has lengths {lengths[c]} and {n} in {subscripts!r}")
    return full, result


def _path(terms: list[str], result: str, operands: list, optimize: Any) -> list[tuple[int, ...]]:
    if len(operands) <= 2:
        return [tuple(range(len(operands)))]
    return einsum_path(",".join(terms) + "->" + result, *operands, optimize=optimize)[0][1:]


@implements(np.einsum_path)
def einsum_path(*operands: Any, optimize: Any = "greedy", einsum_call: bool = False) -> Any:
    """The order of contraction and its cost, as `numpy.einsum_path` finds them from the shapes."""
    refuse("einsum_path", einsum_call=einsum_call or None)
    shaped: list[Any] = [np.broadcast_to(np.zeros(()), x.shape) if is_traced(x) else x for x in operands]
    return np.einsum_path(*shaped, optimize=optimize)


def _from_lists(given: tuple) -> tuple[str, tuple]:
    """The form einsum(x, [0, 1], y, [1, 2], [0, 2]) as subscripts and operands; a list's numbers are its letters."""
    lists = list(given[1::2]) + ([given[-1]] if len(given) % 2 else [])
    if not all(isinstance(x, (list, tuple)) for x in lists):
        raise ShapeError("einsum: give the subscripts as a string, such as 'ij,jk->ik', or as a list behind each operand")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    terms = ["".join("..." if k is Ellipsis else letters[k] for k in x) for x in lists]
    count = len(given) // 2
    return ",".join(terms[:count]) + ("->" + terms[-1] if len(given) % 2 else ""), given[: 2 * count : 2]


def _self_sum(x: Any, term: str, keep: set) -> tuple[Any, str]:
    """Take the diagonal of repeated letters and sum out those that nothing else names."""
    for c in dict.fromkeys(term):
        while term.count(c) > 1:
            i, j = term.index(c), term.rindex(c)
            order = [k for k in range(len(term)) if k not in (i, j)] + [i, j]
            x = _sum(where(np.eye(x.shape[i], dtype=bool), transpose(x, order), x.dtype.type(0)), -1, dtype=x.dtype)
            term = "".join(term[k] for k in order[:-1])
    gone = tuple(i for i, c in enumerate(term) if c not in keep)
    return (_sum(x, gone, dtype=x.dtype) if gone else x), "".join(c for c in term if c in keep)


def _contract(x: Any, s: str, y: Any, t: str, keep: set) -> tuple[Any, str]:
    """Two operands to one: shared kept letters are batch, shared others are summed."""
    x, s = _self_sum(x, s, keep | set(t))
    y, t = _self_sum(y, t, keep | set(s))
    batch = [c for c in s if c in t and c in keep]
    inner = [c for c in s if c in t and c not in keep]
    left, right = [c for c in s if c not in t], [c for c in t if c not in s]
    size = {c: max(n, m) for c, n, m in ((c, _length(x, s, c), _length(y, t, c)) for c in {*s, *t})}
    x, y = promote(np.matmul, _stretch(x, s, batch + inner, size), _stretch(y, t, batch + inner, size))
    x = transpose(x, [s.index(c) for c in batch + left + inner])
    y = transpose(y, [t.index(c) for c in batch + inner + right])
    b, m, n, k = ([size[c] for c in group] for group in (batch, left, right, inner))
    if not inner:  # an outer product: no sum, so elementwise
        z = apply(ew.multiply, reshape(x, (*b, *m, *[1] * len(n))), reshape(y, (*b, *[1] * len(m), *n)))
    else:
        z = _product(
            reshape(x, (*b, math.prod(m), math.prod(k))), reshape(y, (*b, math.prod(k), math.prod(n)))
        )
    return reshape(z, (*b, *m, *n)), "".join(batch + left + right)


def _length(x: Any, term: str, letter: str) -> int:
    return x.shape[term.index(letter)] if letter in term else 1


def _stretch(x: Any, term: str, letters: list[str], size: dict[str, int]) -> Any:
    return broadcast_to(x, tuple(size[c] if c in letters else n for c, n in zip(term, x.shape)))


@implements(np.vecdot)
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1, keepdims: bool = False) -> Any:
    """The sum of the products along an axis of both, the first conjugate; the others broadcast."""
    x, y = promote(np.multiply, x1, x2)
    if not x.shape or not y.shape:
        raise ShapeError("vecdot: 0-d operands have no axis to add along; use * or np.multiply")
    x, y = (moveaxis(v, axis, -1) for v in (conjugate(x) if x.dtype.kind == "c" else x, y))
    if x.shape[-1] != y.shape[-1]:
        raise ShapeError(f"vecdot: lengths {x.shape[-1]} and {y.shape[-1]} along axis {axis} differ")
    both = apply(ew.multiply, x, y)
    last = (len(both.shape) - 1,)
    found = any_(both, axes=last) if both.dtype == bool else sum_(both, axes=last)
    return moveaxis(expand_dims(found, -1), -1, axis) if keepdims else found
