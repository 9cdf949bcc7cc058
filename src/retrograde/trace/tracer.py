"""`Tracer`: what a user's function is given in place of an array.

It answers NumPy's protocols (`__array_ufunc__`, `__array_function__`), Python's operators and ndarray's methods by
recording equations. What cannot be recorded raises an error that says what to write instead.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from retrograde import numpy as rnp
from retrograde.errors import (
    GraphTypeError,
    RetrogradeError,
    TracerBoolError,
    TracerConversionError,
    UnsupportedAttributeError,
    UnsupportedError,
)
from retrograde.numpy.table import FUNCTIONS
from retrograde.ops.symbol import Symbol
from retrograde.types import ArrayType


def _method(name: str):
    function = getattr(rnp, name)

    def method(self, *args, **kwargs):
        return _call(f"ndarray.{name}", function, (self, *args), kwargs)

    method.__name__ = name
    method.__doc__ = f"As `numpy.ndarray.{name}`; recorded."
    return method


class Tracer(Symbol):
    """An array of known shape and dtype whose operations are recorded."""

    __slots__ = ()

    # -- NumPy's protocols

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if kwargs.pop("out", None) is not None:
            raise TracerConversionError(
                f"np.{ufunc.__name__} was asked to write a traced value into an existing array (out=, or an in-place "
                "operator on a plain array). Write `a = a + x` instead of `a += x`, and drop out="
            )
        rule = FUNCTIONS.get(ufunc) if method == "__call__" else FUNCTIONS.get((ufunc, method))
        if rule is None:
            raise _unsupported(f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}"))
        if kwargs and method == "__call__":
            raise _unsupported_arguments(f"np.{ufunc.__name__}", kwargs)
        return _call(f"np.{ufunc.__name__}", rule, inputs, kwargs)

    def __array_function__(self, func, types, args, kwargs):
        rule = FUNCTIONS.get(func)
        if rule is None:
            raise _unsupported(f"{func.__module__.replace('numpy', 'np', 1)}.{func.__name__}")
        return _call(f"np.{func.__name__}", rule, args, kwargs)

    def __array__(self, dtype=None, copy=None):
        raise TracerConversionError(
            f"{self!r} cannot become a plain array: it would lose its gradient.\n"
            "Instead of a[i], with a plain array a and a traced i, write retrograde.numpy.take(a, i, axis=0). "
            "Instead of np.array([x, y]) write np.stack([x, y]); instead of assigning into a plain array (a[i] = x) "
            "build the result with np.stack, np.concatenate or np.where; instead of a function outside NumPy use one "
            "that works on traced arrays."
        )

    # -- conversion to Python numbers

    def _value(self, what: str, instead: str) -> Any:
        """The number behind the tracer, while one is known (eager use)."""
        builder = self._builder
        if builder.concrete and not builder.closed:
            return builder.value(self.atom)
        if builder.lanes is not None:
            raise TracerBoolError(
                f"{what} was asked of {self!r}, which is mapped by vmap: it stands for {builder.lanes} values at once, and there "
                f"is no one answer for all of them.\n{instead}"
            )
        raise TracerBoolError(
            f"{what} was asked of {self!r}, which has no number yet: the function is being traced once for all values, for "
            f"jit, a loop, a checkpoint or a rule of its own.\n{instead}"
        )

    def __bool__(self) -> bool:
        return bool(self._value(
            "bool()", "Instead of `if x > 0: a else: b` write np.where(x > 0, a, b), or make the deciding argument "
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
            "plain numbers only: use NumPy's, such as np.exp instead of math.exp"
        )

    # -- indexing

    def __getitem__(self, key):
        return rnp.getitem(self, key)

    def __setitem__(self, key, value):
        raise TracerConversionError(
            f"{self!r} cannot be assigned into: traced arrays do not change in place.\n"
            "Build the new array instead: np.where(mask, new, x), np.concatenate or np.stack"
        )

    def __iter__(self):
        return (self[i] for i in range(len(self)))

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
        return rnp.swapaxes(self, -1, -2)

    @property
    def real(self):
        """The real part; of a real array, itself."""
        if self.dtype.kind == "c":
            raise _unsupported("the real part of a complex array")
        return self

    @property
    def flat(self):
        """An iterator over the elements."""
        return iter(self.ravel())

    def astype(self, dtype, order="K", casting="unsafe", subok=True, copy=True):
        """Cast to another dtype."""
        if not np.can_cast(self.dtype, dtype, casting):
            raise GraphTypeError(f"{self!r} cannot be cast to {np.dtype(dtype)} by the rule {casting!r}; drop casting=")
        return rnp.astype(self, dtype)

    def reshape(self, *shape, **kwargs):
        """The same elements at another shape; one length may be -1."""
        return rnp.reshape(self, shape[0] if len(shape) == 1 else shape, **kwargs)

    def transpose(self, *axes):
        """The axes permuted."""
        if not axes or axes == (None,):
            return rnp.transpose(self)
        return rnp.transpose(self, axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes)

    def copy(self, order="C"):
        """Itself: traced arrays never change."""
        return self

    def flatten(self, order="C"):
        """One axis with all elements."""
        return rnp.ravel(self, order)

    def conj(self):
        """The complex conjugate; of a real array, itself."""
        return rnp.conjugate(self)

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
    ravel, squeeze, swapaxes, take, dot = map(_method, ("ravel", "squeeze", "swapaxes", "take", "dot"))

    @property
    def type(self) -> ArrayType:
        """Shape and dtype together."""
        return self.atom.type


def _call(name: str, rule: Any, args: tuple, kwargs: dict) -> Any:
    """Apply a rule; what a NumPy function returns is an array, so no longer weak in promotion as a Python number is."""
    try:
        return _strong(rule(*args, **kwargs))
    except TypeError as error:
        if not isinstance(error, RetrogradeError) and not _takes(rule, args, kwargs):
            raise _unsupported_arguments(name, kwargs) from None
        raise


def _strong(out: Any) -> Any:
    if isinstance(out, (tuple, list)):
        return type(out)(_strong(x) for x in out)
    return type(out)(out._builder, out.atom) if isinstance(out, Tracer) and out.weak else out


def _takes(rule: Any, args: tuple, kwargs: dict) -> bool:
    try:
        inspect.signature(rule).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _unsupported_arguments(name: str, kwargs: dict) -> UnsupportedError:
    shown = ", ".join(f"{k}=..." for k in sorted(kwargs)) or "these arguments"
    return UnsupportedError(f"{name}({shown}) is not supported on traced arrays; leave out what has no rule")


def _unsupported(name: str) -> UnsupportedError:
    return UnsupportedError(
        f"{name} has no rule for traced arrays yet, so its gradient would be missing. Write it with functions that have "
        "one (docs/numpy-coverage.md lists them), or compute it outside the traced function if it needs no gradient"
    )


def is_tracer(x: Any) -> bool:
    """Whether `x` is a traced array."""
    return isinstance(x, Tracer)


def concrete(x: Any) -> Any:
    """`x` with NumPy's scalars and arrays left as they are; Python numbers as 0-d arrays."""
    return x if isinstance(x, (np.ndarray, np.generic, Symbol)) else np.asarray(x)
