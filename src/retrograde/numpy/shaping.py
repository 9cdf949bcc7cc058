"""NumPy's functions that rearrange: composed of views and `concatenate`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError, ShapeError, UnsupportedError
from retrograde.numpy.table import FUNCTIONS, check_device, implements, refuse
from retrograde.ops import shape as sh
from retrograde.ops.promote import as_operand, astype, is_traced, own


def array(x: Any) -> Any:
    """`x` as an array or symbol (Python numbers become 0-d arrays)."""
    x = as_operand(x)
    return x if hasattr(x, "dtype") else np.asarray(x)


def real_array(name: str, x: Any, kinds: str = "fiub") -> Any:
    """`x` as an array or symbol of floats, integers or bools; of complex numbers, if not among the `kinds`, an error."""
    x = array(x)
    if x.dtype.kind not in kinds:
        raise UnsupportedError(f"np.{name} of {x.dtype} is not supported on traced arrays; cast it, say to float32")
    return x


def normalize_axis(axis: Any, ndim: int) -> int:
    """A non-negative axis, or NumPy's AxisError."""
    axis = axis.__index__()
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(axis, ndim)
    return axis % ndim


@implements(np.reshape)
def reshape(a: Any, /, shape: Any = None, order: str = "C", *, copy: Any = None) -> Any:
    """The same elements at another shape; one length may be -1. Traced arrays are in C order, so "A" and "K" mean "C"."""
    a = array(a)
    if copy is not None:
        found = reshape(a, shape, order)
        if copy is False and not is_traced(a) and not np.may_share_memory(a, found):
            raise ValueError("reshape(copy=False): the elements do not lie in the order that the shape wants; leave copy out")
        return own(found) if copy else found
    shape = tuple(n.__index__() for n in shape) if np.ndim(shape) else (shape.__index__(),)
    if order == "F":
        return transpose(reshape(transpose(a), shape[::-1]))
    if order not in ("C", "A", "K"):
        raise ValueError(f"order must be one of 'C', 'F', 'A', or 'K' (got {order!r})")
    if -1 in shape:
        rest = math.prod(n for n in shape if n != -1)
        if shape.count(-1) > 1 or rest == 0 or a.size % rest:
            raise ShapeError(f"cannot reshape {a.size} elements of shape {a.shape} into {shape}")
        shape = tuple(a.size // rest if n == -1 else n for n in shape)
    return a if shape == a.shape else sh.reshape(a, shape=shape)


@implements(np.ravel)
def ravel(a: Any, order: str = "C") -> Any:
    """All elements along one axis."""
    return reshape(a, -1 if array(a).size else 0, order)


@implements(np.transpose)
def transpose(a: Any, axes: Any = None) -> Any:
    """Axes permuted, by default reversed."""
    a = array(a)
    n = len(a.shape)
    axes = tuple(reversed(range(n))) if axes is None else tuple(normalize_axis(x, n) for x in axes)
    return a if axes == tuple(range(n)) else sh.transpose(a, axes=axes)


permute_dims = transpose


@implements(np.swapaxes)
def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """Two axes exchanged."""
    a = array(a)
    order = list(range(len(a.shape)))
    i, j = normalize_axis(axis1, len(order)), normalize_axis(axis2, len(order))
    order[i], order[j] = order[j], order[i]
    return transpose(a, order)


@implements(np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """Axes moved to new places, the others kept in order."""
    a = array(a)
    n = len(a.shape)
    source = [normalize_axis(x, n) for x in np.atleast_1d(source)]
    destination = [normalize_axis(x, n) for x in np.atleast_1d(destination)]
    order = [x for x in range(n) if x not in source]
    for place, x in sorted(zip(destination, source)):
        order.insert(place, x)
    return transpose(a, order)


@implements(np.broadcast_to)
def broadcast_to(array_: Any, shape: Any, subok: bool = False) -> Any:
    """Stretched to `shape`."""
    shape = tuple(shape) if np.ndim(shape) else (int(shape),)
    a = array(array_)
    return a if a.shape == shape else sh.broadcast_to(a, shape=shape)


@implements(np.broadcast_arrays)
def broadcast_arrays(*args: Any, subok: bool = False) -> tuple:
    """All stretched to their common shape."""
    shape = np.broadcast_shapes(*[array(a).shape for a in args])
    return tuple(broadcast_to(a, shape) for a in args)


@implements(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Any:
    """New axes of length 1."""
    a = array(a)
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    n = len(a.shape) + len(axes)
    at = {normalize_axis(x, n) for x in axes}
    old = iter(a.shape)
    return reshape(a, tuple(1 if i in at else next(old) for i in range(n)))


@implements(np.squeeze)
def squeeze(a: Any, axis: Any = None) -> Any:
    """Without axes of length 1."""
    a = array(a)
    n = len(a.shape)
    if axis is None:
        axes = {i for i in range(n) if a.shape[i] == 1}
    else:
        axes = {normalize_axis(x, n) for x in (axis if isinstance(axis, (tuple, list)) else (axis,))}
    if any(a.shape[i] != 1 for i in axes):
        raise ShapeError(f"squeeze: axis {axis} of shape {a.shape} has a length other than 1")
    return reshape(a, tuple(m for i, m in enumerate(a.shape) if i not in axes))


def _joined(arrays: Any) -> list:
    arrays = [array(x) for x in arrays]
    if not arrays:
        raise ShapeError("need at least one array to join")
    dtype = np.result_type(*[x.dtype for x in arrays])
    return [astype(x, dtype) for x in arrays]


@implements(np.concatenate)
def concatenate(arrays: Any, axis: Any = 0, out: Any = None, dtype: Any = None, casting: Any = "same_kind") -> Any:
    """Joined along an existing axis."""
    refuse("concatenate", out=out)
    parts = _joined(arrays)
    if dtype is not None:
        if not np.can_cast(parts[0].dtype, dtype, casting):
            given, wanted = parts[0].dtype, np.dtype(dtype)
            raise GraphTypeError(f"cannot join arrays of {given} into {wanted} by the rule {casting!r}; cast them first")
        parts = [astype(x, dtype) for x in parts]
    if axis is None:
        parts, axis = [ravel(x) for x in parts], 0
    if not parts[0].shape:
        raise ShapeError("concatenate: 0-d arrays have no axis to join along; use np.stack")
    return sh.concatenate(*parts, axis=normalize_axis(axis, len(parts[0].shape)))


concat = concatenate


@implements(np.stack)
def stack(arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Joined along a new axis."""
    refuse("stack", out=out)
    parts = _joined(arrays)
    if any(x.shape != parts[0].shape for x in parts):
        raise ShapeError(f"stack: all shapes must be equal; they are {[tuple(x.shape) for x in parts]}")
    axis = normalize_axis(axis, len(parts[0].shape) + 1)
    return concatenate([expand_dims(x, axis) for x in parts], axis, dtype=dtype, casting=casting)


@implements(np.atleast_1d)
def atleast_1d(*arrays: Any) -> Any:
    """At least one axis."""
    found = [reshape(a, (1,)) if not array(a).shape else array(a) for a in arrays]
    return found[0] if len(found) == 1 else tuple(found)


@implements(np.atleast_2d)
def atleast_2d(*arrays: Any) -> Any:
    """At least two axes."""
    found = [reshape(a, (1, -1)) if len(array(a).shape) < 2 else array(a) for a in arrays]
    return found[0] if len(found) == 1 else tuple(found)


@implements(np.vstack)
def vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Joined row-wise."""
    return concatenate([atleast_2d(x) for x in tup], 0, dtype=dtype, casting=casting)


@implements(np.hstack)
def hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Joined column-wise."""
    parts = [atleast_1d(x) for x in tup]
    return concatenate(parts, 0 if len(parts[0].shape) == 1 else 1, dtype=dtype, casting=casting)


@implements(np.column_stack)
def column_stack(tup: Any) -> Any:
    """1-d arrays as the columns of a matrix."""
    return concatenate([expand_dims(x, 1) if len(array(x).shape) == 1 else array(x) for x in tup], 1)


@implements(np.split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list:
    """Cut along an axis, into equal parts or at indices."""
    from retrograde.numpy.indexing import getitem

    a = array(ary)
    axis = normalize_axis(axis, len(a.shape))
    n = a.shape[axis]
    if np.ndim(indices_or_sections) == 0:
        if n % indices_or_sections:
            raise ShapeError(f"split: {n} elements do not divide into {indices_or_sections} equal parts")
        cuts = [i * (n // indices_or_sections) for i in range(1, indices_or_sections)]
    else:
        cuts = list(indices_or_sections)
    return [getitem(a, (slice(None),) * axis + (slice(i, j),)) for i, j in zip([0, *cuts], [*cuts, n])]


@implements(np.flip)
def flip(m: Any, axis: Any = None) -> Any:
    """The order of elements reversed along axes."""
    from retrograde.numpy.indexing import getitem

    m = array(m)
    axes = range(len(m.shape)) if axis is None else (axis if isinstance(axis, tuple) else (axis,))
    turned = {normalize_axis(a, len(m.shape)) for a in axes}
    return getitem(m, tuple(slice(None, None, -1) if a in turned else slice(None) for a in range(len(m.shape))))


@implements(np.zeros_like)
def zeros_like(a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *, device: Any = None) -> Any:
    """Zeros of a's shape and dtype; of a traced array one that can be written into."""
    return full_like(a, 0, dtype, shape=shape, device=device)


@implements(np.ones_like)
def ones_like(a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *, device: Any = None) -> Any:
    """Ones of a's shape and dtype; of a traced array one that can be written into."""
    return full_like(a, 1, dtype, shape=shape, device=device)


@implements(np.full_like)
def full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *, device: Any = None
) -> Any:
    """`fill_value` at a's shape and dtype. Floats like a traced array are traced, so that results can be written into them."""
    check_device(device)
    a, number = array(a), as_operand(fill_value)
    shape, dtype = a.shape if shape is None else shape, np.dtype(dtype or a.dtype)
    number = astype(number, dtype)
    if is_traced(number) or not is_traced(a) or dtype.kind not in "fc":
        return broadcast_to(number, shape) if is_traced(number) else np.full(shape, number, dtype)[()]
    return sh.broadcast_to.beside(a, number, shape=tuple(shape) if np.ndim(shape) else (int(shape),))


@implements(np.empty_like)
def empty_like(a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *, device: Any = None) -> Any:
    """As `zeros_like`."""
    return full_like(a, 0, dtype, shape=shape, device=device)


@implements(np.copy)
def copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    """The same elements, which stay if `a` is written into."""
    a = array(a)
    return own(a) if is_traced(a) else np.array(a)


FUNCTIONS[np.shape] = lambda a: array(a).shape
FUNCTIONS[np.ndim] = lambda a: len(array(a).shape)
FUNCTIONS[np.size] = lambda a, axis=None: np.size(np.broadcast_to(0, array(a).shape), axis)
_NUMBERS = {"i": 0, "f": 0.0, "c": 0j}


@implements(np.result_type)
def result_type(*arrays_and_dtypes: Any) -> np.dtype:
    """The dtype that arrays, dtypes and numbers have together; a traced Python number is as weak as a plain one."""
    return np.result_type(*map(_dtype_or_number, arrays_and_dtypes))


def _dtype_or_number(x: Any) -> Any:
    if not is_traced(x):
        return x
    return _NUMBERS.get(x.dtype.kind, x.dtype) if x.weak else x.dtype
