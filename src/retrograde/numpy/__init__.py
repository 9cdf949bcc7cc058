"""NumPy's functions for plain and traced arrays, composed of primitives; derivatives live in `ops` alone."""

from typing import Any

from retrograde.numpy import linalg, table
from retrograde.numpy.elementwise import *  # noqa: F403
from retrograde.numpy.indexing import getitem, take, take_along_axis
from retrograde.numpy.linear import dot, einsum, inner, matmul, outer, tensordot, trace, vdot
from retrograde.numpy.reductions import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    average,
    log_softmax,
    logsumexp,
    max,
    mean,
    min,
    prod,
    ptp,
    softmax,
    std,
    sum,
    var,
)
from retrograde.numpy.shaping import (
    atleast_1d,
    atleast_2d,
    broadcast_arrays,
    broadcast_to,
    column_stack,
    concat,
    concatenate,
    copy,
    empty_like,
    expand_dims,
    flip,
    full_like,
    hstack,
    moveaxis,
    ones_like,
    permute_dims,
    ravel,
    reshape,
    split,
    squeeze,
    stack,
    swapaxes,
    transpose,
    vstack,
    zeros_like,
)
from retrograde.numpy.special import i0
from retrograde.numpy.updating import at


def __getattr__(name: str) -> Any:
    """NumPy's ufuncs under their own names, by the table."""
    import numpy

    rule = table.FUNCTIONS.get(getattr(numpy, name, None))
    if rule is None:
        raise AttributeError(f"retrograde.numpy has no {name!r}")
    return rule


def __dir__() -> list[str]:
    """With the ufuncs, which are not attributes until they are asked for."""
    import numpy

    return sorted({*globals(), *(name for name in dir(numpy) if _rule_of(getattr(numpy, name)) is not None)})


def _rule_of(function: Any) -> Any:
    try:
        return table.FUNCTIONS.get(function)
    except TypeError:  # of an attribute that is no function
        return None
