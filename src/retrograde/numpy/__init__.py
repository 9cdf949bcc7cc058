"""NumPy's functions for plain and traced arrays, composed of primitives; derivatives live in `ops` alone.

It is a namespace of the Python Array API standard as well; see docs/array-api.md.
"""

from typing import Any

from numpy import (  # whose arguments are never traced
    diag_indices,
    empty,
    eye,
    identity,
    indices,
    ones,
    tri,
    tril_indices,
    triu_indices,
    zeros,
)

from retrograde.numpy import fft, linalg, refused, table
from retrograde.numpy.accumulating import (
    cumprod,
    cumsum,
    cumulative_prod,
    cumulative_sum,
    diff,
    ediff1d,
    gradient,
    nancumprod,
    nancumsum,
    trapezoid,
    unwrap,
)
from retrograde.numpy.assembling import (
    append,
    array_split,
    atleast_3d,
    block,
    delete,
    dsplit,
    dstack,
    fliplr,
    flipud,
    hsplit,
    insert,
    meshgrid,
    repeat,
    resize,
    roll,
    rollaxis,
    rot90,
    sliding_window_view,
    tile,
    unstack,
    vsplit,
)
from retrograde.numpy.choosing import (
    argwhere,
    choose,
    compress,
    copyto,
    extract,
    fill_diagonal,
    flatnonzero,
    ix_,
    nonzero,
    piecewise,
    place,
    put,
    put_along_axis,
    putmask,
    ravel_multi_index,
    select,
    unravel_index,
)
from retrograde.numpy.complex import angle, conj, conjugate, imag, iscomplex, isreal, real, sign
from retrograde.numpy.creating import (
    arange,
    array,
    asarray,
    diag,
    diagflat,
    diagonal,
    from_dlpack,
    full,
    geomspace,
    linspace,
    logspace,
    tril,
    triu,
    vander,
)
from retrograde.numpy.elementwise import *  # noqa: F403
from retrograde.numpy.indexing import getitem, take, take_along_axis
from retrograde.numpy.linear import dot, einsum, einsum_path, inner, matmul, outer, tensordot, trace, vdot, vecdot
from retrograde.numpy.nanfunctions import nanargmax, nanargmin, nanmax, nanmean, nanmin, nanprod, nanstd, nansum, nanvar
from retrograde.numpy.numbers import (
    allclose,
    array_equal,
    array_equiv,
    can_cast,
    frexp,
    gcd,
    isclose,
    isneginf,
    isposinf,
    lcm,
    ldexp,
    modf,
    nextafter,
    signbit,
    spacing,
)
from retrograde.numpy.ordering import argpartition, argsort, digitize, lexsort, partition, searchsorted, sort, sort_complex
from retrograde.numpy.padding import pad
from retrograde.numpy.polynomials import polyadd, polyder, polyint, polymul, polysub, polyval
from retrograde.numpy.products import cross, kron, matvec, outer_of, vecmat
from retrograde.numpy.quantiles import median, nanmedian, nanpercentile, nanquantile, percentile, quantile
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
    result_type,
    split,
    squeeze,
    stack,
    swapaxes,
    transpose,
    vstack,
    zeros_like,
)
from retrograde.numpy.sliding import convolve, correlate, interp
from retrograde.numpy.special import i0
from retrograde.numpy.standard import (
    VERSION,
    Info,
    bool,
    complex64,
    complex128,
    e,
    finfo,
    float32,
    float64,
    iinfo,
    inf,
    int8,
    int16,
    int32,
    int64,
    isdtype,
    nan,
    newaxis,
    pi,
    uint8,
    uint16,
    uint32,
    uint64,
    unique_all,
    unique_counts,
    unique_inverse,
    unique_values,
)
from retrograde.numpy.statistics import bincount, corrcoef, count_nonzero, cov, histogram
from retrograde.numpy.updating import at

__array_api_version__ = VERSION


def __array_namespace_info__() -> Info:
    """What the namespace can do, by the Array API standard's inspection API."""
    return Info()


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
