"""`Tracer`: what a user's function is given in place of an array.

It answers NumPy's protocols (`__array_ufunc__`, `__array_function__`), Python's operators and ndarray's methods by
recording equations. What cannot be recorded raises an error that says what to write instead.
"""

from __future__ import annotations

import inspect
import linecache
import operator as op
import sys
import weakref
from typing import Any

import numpy as np

from retrograde import numpy as rnp
from retrograde.errors import (
    DeviceError,
    GraphTypeError,
    RetrogradeError,
    ShapeError,
    TracerBoolError,
    TracerConversionError,
    UnsupportedAttributeError,
    UnsupportedError,
    WriteError,
)
from retrograde.ir.primitive import innermost_level
from retrograde.numpy.standard import check_version
from retrograde.numpy.table import FUNCTIONS, REASONS, check_device
from retrograde.ops.symbol import Symbol
from retrograde.trace.storage import Stale, Storage, check_writable
from retrograde.types import ArrayType

_AT = {np.add: "add", np.multiply: "multiply", np.minimum: "min", np.maximum: "max"}


def _method(name: str):
    function = getattr(rnp, name)

    def method(self, *args, **kwargs):
        return _call(f"ndarray.{name}", function, (self, *args), kwargs)

    method.__name__ = name
    method.__doc__ = f"As `numpy.ndarray.{name}`; recorded."
    return method


def _changing(name: str, operator: Any):
    def method(self, other):
        return self._in_place(name, lambda x: operator(x, other))

    method.__doc__ = f"`x {name} v`."
    return method


class Tracer(Symbol):
    """An array of known shape and dtype whose operations are recorded."""

    __slots__ = ("origin", "storage")

    def __init__(self, builder: Any, atom: Any, view_of: Any = None):
        super().__init__(builder, atom)
        self.storage: Any = None  # while nothing shares its elements
        self.origin: Any = None  # of x[key]: x and key
        if isinstance(view_of, Tracer) and atom.type.shape and view_of.shape:
            if view_of.storage is None:
                view_of.storage = Storage(view_of)
            self.storage = view_of.storage
            self.storage.symbols.append(weakref.ref(self))

    # -- NumPy's protocols

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        out = kwargs.pop("out", None)
        if out is not None and not (method == "__call__" and len(out) == 1 and isinstance(out[0], Tracer)):
            raise TracerConversionError(
                f"np.{ufunc.__name__} was asked to write a traced value into an existing array (out=, or an in-place "
                "operator on a plain array). Write `a = a + x` instead of `a += x`, rg.at(a)[i].add(x) instead of np.add.at, and "
                "drop out="
            )
        if method == "at" and ufunc in _AT and isinstance(inputs[0], Tracer):
            x, key, value = inputs
            x._write(lambda: getattr(rnp.at(x)[key], _AT[ufunc])(value))
            return None
        rule = (FUNCTIONS.get(ufunc) or _of_scipy(ufunc)) if method == "__call__" else FUNCTIONS.get((ufunc, method))
        if method == "outer" and ufunc in FUNCTIONS and ufunc.nin == 2 and ufunc.signature is None:
            rule = rnp.outer_of(ufunc)
        if rule is None:
            raise _unsupported(_ufunc_name(ufunc) + ("" if method == "__call__" else f".{method}"), REASONS.get(ufunc))
        if kwargs and method == "__call__" and not _takes(rule, inputs, kwargs):
            raise _unsupported_arguments(f"np.{ufunc.__name__}", kwargs)
        if out is not None:
            return out[0]._write(lambda: out[0]._fitting(f"{ufunc.__name__}=", _call(ufunc.__name__, rule, inputs, kwargs)))
        return _call(f"np.{ufunc.__name__}", rule, inputs, kwargs)

    def __array_function__(self, func, types, args, kwargs):
        rule = FUNCTIONS.get(func)
        if rule is None:
            raise _unsupported(f"{func.__module__.replace('numpy', 'np', 1)}.{func.__name__}", REASONS.get(func))
        return _call(f"np.{func.__name__}", rule, args, kwargs)

    def __array__(self, dtype=None, copy=None):
        raise TracerConversionError(
            f"{self!r} cannot become a plain array: it would lose its gradient.\n"
            "Instead of a[i], with a plain array a and a traced i, write retrograde.numpy.take(a, i, axis=0). "
            "Instead of np.array([x, y]), np.full(shape, x) or np.arange(x) write retrograde.numpy.array([x, y]) (or np.stack: "
            "np.mean([x, y], axis=0) is np.mean(np.stack([x, y]), axis=0)), "
            "retrograde.numpy.full(shape, x) or retrograde.numpy.arange(x); instead of assigning into a plain array (a[i] = x) "
            "write a = rg.at(a)[i].set(x), or make `a` a traced array, say by np.zeros_like(x); instead of a function outside "
            "NumPy use one that works on traced arrays: retrograde.scipy.linalg and retrograde.scipy.special have SciPy's."
        )

    # -- the Array API standard's

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """`retrograde.numpy`."""
        check_version(api_version)
        return rnp

    @property
    def device(self) -> str:
        """Where the elements will be: on the CPU."""
        return "cpu"

    def to_device(self, device: Any, /, *, stream: Any = None) -> Any:
        """The array itself, where it is already."""
        check_device(device)
        if stream is not None:
            raise DeviceError(f"to_device(stream={stream!r}): the CPU has no streams. Leave stream out")
        return self

    def __dlpack__(self, **_kwargs: Any) -> Any:
        return self.__array__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # DLPack's number of the CPU

    # -- conversion to Python numbers

    def _value(self, what: str, instead: str) -> Any:
        """The number behind the tracer, while one is known (eager use)."""
        builder = self._builder
        if builder.concrete and not builder.closed:
            return builder.value(self.atom)
        found = builder.locate() if builder.locate is not None else None
        what += f" at {found[0]}:{found[1]} ({linecache.getline(*found[:2]).strip()})" if found else ""
        if builder.lanes is not None:
            raise TracerBoolError(
                f"{what} was asked of {self!r}, which is mapped by vmap: it stands for {builder.lanes} values at once, and there "
                f"is no one answer for all of them.\n{instead}"
            )
        raise TracerBoolError(
            f"{what} was asked of {self!r}, which has no number yet: the function is being traced (for jit, a checkpoint or "
                f"a rule of its own, or as a body of control flow), once for all values.\n{instead}"
        )

    def __bool__(self) -> bool:
        return bool(self._value(
            "bool()", "Instead of `if x > 0: a else: b` write np.where(x > 0, a, b) or rg.cond(x > 0, f, g, *operands), which "
            "runs only one of f and g; instead of `while x > 0: x = f(x)` write rg.while_loop(lambda x: x > 0, f, x). Or make "
            "the deciding argument "
            + ("the same for all: in_axes=None" if self._builder.lanes is not None else "static: rg.jit(f, static_argnums=...)")
        ))  # fmt: skip

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise TypeError(f"only integer arrays can be an index; this one is {self!r}")
        return self._value("int()", "Take sizes and indices from shapes or static arguments, not from traced values").__index__()

    def __int__(self) -> int:
        return self.__index__() if self.dtype.kind in "iu" else self._refuse("int(x)", "np.trunc(x)")

    def __float__(self) -> float:
        return self._refuse("float(x)", "x itself")

    def __complex__(self) -> complex:
        return self._refuse("complex(x)", "x itself")

    def item(self, *_args: Any) -> Any:
        """Refused: a plain number would lose its gradient."""
        return self._refuse("x.item()", "x itself")

    def tolist(self) -> Any:
        """Refused: plain numbers would lose their gradient."""
        return self._refuse("x.tolist()", "x itself, or list(x) for its rows")

    def _refuse(self, what: str, instead: str) -> Any:
        raise TracerConversionError(
            f"{what} of {self!r} would lose its gradient; use {instead}. Functions of `math` and other libraries take "
            "plain numbers only: use NumPy's, such as np.exp instead of math.exp. Instead of np.array([x, y]) or np.arange(x) "
            "write retrograde.numpy.array([x, y]) or retrograde.numpy.arange(x); instead of assigning into a plain "
            "array (a[i] = x) build the result with np.stack, np.concatenate or np.where"
        )

    # -- copies

    def __copy__(self):
        return self.snapshot()

    def __deepcopy__(self, memo):
        return self.snapshot()  # a copy of the trace itself would have no gradient

    def __reduce_ex__(self, protocol):
        raise TracerConversionError(
            f"{self!r} cannot be pickled: it stands for a value within its trace. Return it from the traced function "
            "(has_aux=True for extra results), and save the array that comes out"
        )

    # -- indexing

    def __getitem__(self, key):
        found = rnp.getitem(self, key)
        if found.storage is not None:
            found.origin = weakref.ref(self), key
        return found

    # -- writing

    def __setitem__(self, key, value):
        self._write(lambda: rnp.at(self)[key].set(value))

    def _write(self, make: Any) -> Tracer:
        """Take the value that `make` gives; what shares elements with this array becomes stale."""
        check_writable(self, self.storage, innermost_level())
        new = make()
        if new._builder is not self._builder:
            raise WriteError(
                f"{self!r} was to be changed by {new!r}, which belongs to an inner transform (grad, vmap, a loop's body) and has "
                "no meaning outside of it. Return the value from there, and write it then"
            )
        others = self.storage.others(self) if self.storage is not None else []
        for other in others:
            other.storage = Stale(self, self._builder.locate() if self._builder.locate else None)
            other.__class__ = _Stale
        self.atom, self.weak, self.storage = new.atom, False, None
        return self

    def _in_place(self, name: str, make: Any) -> Any:
        """x += v and its like: a number gets another value, an array is written into, as in NumPy."""
        if not self.shape:
            return make(self)
        return self._write(lambda: self._fitting(name, make(self)))

    def _fitting(self, name: str, new: Any) -> Any:
        misfit = f"x {name} v: a result of {new.dtype}{list(new.shape)} does not fit into {self!r}; write x = x {name[:-1]} v"
        if new.shape != self.shape:
            raise ShapeError(misfit)
        if not np.can_cast(new.dtype, self.dtype, "same_kind"):
            raise GraphTypeError(misfit)
        return rnp.astype(new, self.dtype)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __contains__(self, value):
        return bool(rnp.any(rnp.equal(self, value)))

    __iadd__, __isub__, __imul__ = _changing("+=", op.add), _changing("-=", op.sub), _changing("*=", op.mul)
    __itruediv__, __ifloordiv__ = _changing("/=", op.truediv), _changing("//=", op.floordiv)
    __imod__, __ipow__, __imatmul__ = _changing("%=", op.mod), _changing("**=", op.pow), _changing("@=", op.matmul)
    __iand__, __ior__, __ixor__ = _changing("&=", op.and_), _changing("|=", op.or_), _changing("^=", op.xor)
    __ilshift__, __irshift__ = _changing("<<=", op.lshift), _changing(">>=", op.rshift)

    def compress(self, condition, axis=None, out=None):
        """The slices along an axis for which a condition holds."""
        return _call("ndarray.compress", rnp.compress, (condition, self, axis, out), {})

    def put(self, indices, values, mode="raise"):
        """The values at places of the flattened array."""
        self._write(lambda: rnp.put(self, indices, values, mode))

    def fill(self, value):
        """Every element becomes `value`."""
        self[...] = value

    def sort(self, axis=-1, kind=None, order=None, *, stable=None):
        """The elements of each line put in ascending order, in place."""
        self._write(lambda: _call("ndarray.sort", rnp.sort, (self, axis, kind, order), {"stable": stable}))

    def partition(self, kth, axis=-1, kind="introselect", order=None):
        """The elements at `kth` put where sorting puts them, in place."""
        self._write(lambda: _call("ndarray.partition", rnp.partition, (self, kth, axis, kind, order), {}))

    def __matmul__(self, other):
        return rnp.matmul(self, other)

    def __rmatmul__(self, other):
        return rnp.matmul(other, self)

    # -- ndarray's attributes and methods

    @property
    def T(self):
        """The axes reversed."""
        return rnp.transpose(self)

    @property
    def mT(self):
        """The last two axes swapped."""
        return rnp.linalg.matrix_transpose(self)

    @property
    def real(self):
        """The real part; of a real array, itself."""
        return rnp.real(self)

    @property
    def imag(self):
        """The imaginary part; of a real array, zeros."""
        return rnp.imag(self)

    @property
    def flat(self):
        """An iterator over the elements."""
        return iter(self.ravel())

    def astype(self, dtype, order="K", casting="unsafe", subok=True, copy=True):
        """Cast to another dtype."""
        if not np.can_cast(self.dtype, dtype, casting):
            raise GraphTypeError(f"{self!r} cannot be cast to {np.dtype(dtype)} by the rule {casting!r}; drop casting=")
        new = rnp.astype(self, dtype)
        return new.snapshot() if copy and new is self else new

    def reshape(self, *shape, **kwargs):
        """The same elements at another shape; one length may be -1."""
        return rnp.reshape(self, shape[0] if len(shape) == 1 else shape, **kwargs)

    def transpose(self, *axes):
        """The axes permuted."""
        if not axes or axes == (None,):
            return rnp.transpose(self)
        return rnp.transpose(self, axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes)

    def copy(self, order="C"):
        """The same elements, which stay if this array is written into."""
        return self.snapshot()

    def flatten(self, order="C"):
        """One axis with all elements, as an array of its own."""
        return rnp.ravel(self, order).snapshot()

    def conj(self):
        """The complex conjugate; of a real array, a copy."""
        return _call("ndarray.conj", rnp.conjugate, (self,), {})

    conjugate = conj

    def __round__(self, ndigits=None):
        return rnp.round(self, ndigits or 0)

    def __format__(self, spec):
        if not spec:
            return repr(self)
        raise TracerConversionError(
            f"{self!r} cannot be formatted as {spec!r}: it is no plain number. Return it from the traced function (has_aux=True "
            "for extra results) and format it there"
        )

    def __getattr__(self, name):
        if name.startswith("__") or not hasattr(np.ndarray, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise UnsupportedAttributeError(
            f"ndarray.{name} has no rule for traced arrays; write it with NumPy functions that have one "
            "(dir(retrograde.numpy) lists them)"
        )

    sum, mean, var, std, prod = map(_method, ("sum", "mean", "var", "std", "prod"))
    max, min, any, all = map(_method, ("max", "min", "any", "all"))
    argmax, argmin, clip, round, trace = map(_method, ("argmax", "argmin", "clip", "round", "trace"))
    cumsum, cumprod, argsort, argpartition, searchsorted = map(
        _method, ("cumsum", "cumprod", "argsort", "argpartition", "searchsorted")
    )
    ravel, squeeze, swapaxes, take, dot = map(_method, ("ravel", "squeeze", "swapaxes", "take", "dot"))
    repeat, diagonal, nonzero, choose = map(_method, ("repeat", "diagonal", "nonzero", "choose"))

    @property
    def ended(self) -> bool:
        """Whether the trace that made it is over: it stands for nothing any more."""
        return self._builder.closed

    @property
    def type(self) -> ArrayType:
        """Shape and dtype together."""
        return self.atom.type


_VIEWS = {
    "asarray", "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_arrays", "broadcast_to", "diag", "diagonal",
    "expand_dims", "flip", "fliplr", "flipud", "matrix_transpose", "moveaxis", "permute_dims", "ravel", "real",
    "reshape", "rollaxis", "rot90", "squeeze", "swapaxes", "transpose",
}  # fmt: skip


def _call(name: str, rule: Any, args: tuple, kwargs: dict) -> Any:
    """Apply a rule; what a NumPy function returns is an array, so no longer weak in promotion as a Python number is."""
    try:
        out = _strong(rule(*args, **kwargs))
        if isinstance(out, Tracer) and name.rpartition(".")[2] not in _VIEWS and any(out is arg for arg in args):
            return out.snapshot()  # nothing was to be done, but NumPy's result is an array of its own
        return out
    except TypeError as error:
        if not isinstance(error, RetrogradeError) and not _takes(rule, args, kwargs):
            raise _unsupported_arguments(name, kwargs) from None
        raise


def _strong(out: Any) -> Any:
    if isinstance(out, (tuple, list)):
        parts = [_strong(x) for x in out]
        return type(out)(*parts) if hasattr(out, "_fields") else type(out)(parts)
    return Tracer(out._builder, out.atom) if isinstance(out, Tracer) and out.weak else out


def _takes(rule: Any, args: tuple, kwargs: dict) -> bool:
    try:
        inspect.signature(rule).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


class _Stale(Tracer):
    """An array whose elements changed behind its back: any use is an error, but for the end of `x[key] += v`.

    Python makes of that y = x[key]; y += v; x[key] = y. The second step leaves x stale until the third.
    """

    __slots__ = ()

    @property
    def atom(self):
        raise self.storage.error()

    def __repr__(self):
        return "Tracer<written through another>"

    def __setitem__(self, key, value):
        base, its = getattr(value, "origin", None) or (None, None)
        if self.storage.writer() is not value or base is None or base() is not self or its is not key:
            raise self.storage.error()
        self.storage, self.__class__ = None, Tracer
        self[key] = value


def _unsupported_arguments(name: str, kwargs: dict) -> UnsupportedError:
    shown = ", ".join(f"{k}=..." for k in sorted(kwargs)) or "these arguments"
    return UnsupportedError(f"{name}({shown}) is not supported on traced arrays; leave out what has no rule")


def _of_scipy(ufunc: Any) -> Any:
    """The rule for one of SciPy's ufuncs: whoever has one has imported SciPy already."""
    if getattr(np, ufunc.__name__, None) is ufunc or "scipy.special" not in sys.modules:
        return None
    from retrograde.scipy.special import find

    return find(ufunc)


def _ufunc_name(ufunc: Any) -> str:
    """np.exp, but scipy.special.erf where the ufunc is not NumPy's."""
    own = getattr(np, ufunc.__name__, None) is ufunc
    return f"np.{ufunc.__name__}" if own else f"{ufunc.__name__} (a ufunc that is not NumPy's)"


def _unsupported(name: str, reason: str | None = None) -> UnsupportedError:
    if reason is not None:
        return UnsupportedError(f"{name} is not supported on traced arrays: {reason}")
    return UnsupportedError(
        f"{name} has no rule for traced arrays yet, so its gradient would be missing. Write it with functions that have "
        "one (dir(retrograde.numpy) lists them), or compute it outside the traced function if it needs no gradient"
    )


def is_tracer(x: Any) -> bool:
    """Whether `x` is a traced array."""
    return isinstance(x, Tracer)


def concrete(x: Any) -> Any:
    """`x` with NumPy's scalars and arrays left as they are; Python numbers as 0-d arrays."""
    return x if isinstance(x, (np.ndarray, np.generic, Symbol)) else np.asarray(x)
