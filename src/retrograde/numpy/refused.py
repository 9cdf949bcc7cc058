"""NumPy's functions that cannot have a rule, with the reason and what to write; other functions without one are just missing.

Of those that NumPy does not dispatch (`np.asarray`, `np.vectorize`, ...) the reason is for docs/numpy-coverage.md alone: they
meet a traced array's conversion to a plain one, which raises.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.numpy.table import REASONS


def _because(reason: str, *functions: Any) -> None:
    REASONS.update(dict.fromkeys(functions, reason))


_VALUES = "how many elements come out depends on values, which a trace cannot hold. Compute it outside of the traced function"
_because(_VALUES, np.unique, np.union1d, np.intersect1d, np.setdiff1d, np.setxor1d)
_because(_VALUES, *[getattr(np, n) for n in ("unique_all", "unique_counts", "unique_inverse", "unique_values")])
_because(_VALUES + ", or slice at known places", np.trim_zeros)
_because("membership in a set has no rule. Write np.any(x[..., None] == values, axis=-1)", np.isin)

_because(
    "it calls a function of plain slices. Use rg.vmap(function, in_axes=axis), which traces it once for all of them",
    np.apply_along_axis, np.apply_over_axes,
)  # fmt: skip
_because(
    "it calls a function of plain numbers, one by one. Use rg.vmap(function), or NumPy's functions in the place of it",
    np.vectorize, np.frompyfunc,
)  # fmt: skip
_because("it goes through plain numbers. Work on whole arrays, or use rg.scan", np.nditer, np.nested_iters, np.ndenumerate)

_DTYPE = "the result's dtype depends on values. "
_because(_DTYPE + "Take x.real to say that you want the real part", np.real_if_close)
_because(_DTYPE + "Of a symmetric matrix use np.linalg.eigh or eigvalsh", np.linalg.eig, np.linalg.eigvals)
_because("the roots are eigenvalues of a matrix that is not symmetric. Solve for them by iteration, say rg.while_loop", np.roots)
_because("it has no rule. Start with p = [1.0], and take np.polymul(p, [1, -root]) for each root", np.poly)
_because("division with remainder has no rule. Write the system for the quotient, and np.linalg.solve it", np.polydiv)
_because("it has no rule. Write np.linalg.lstsq(np.vander(x, degree + 1), y)[0]", np.polyfit)
_because("a polynomial is an object around plain coefficients. Use np.polyval, np.polymul and kin on arrays of them", np.poly1d)

_because("counts have no derivative. Write np.bincount of places that np.digitize gives", np.histogram2d, np.histogramdd)
_because("it has no rule. Write np.histogram(x, bins, range)[1]", np.histogram_bin_edges)
_because("bits have no derivative. Compute it outside of the traced function", np.bitwise_count, np.packbits, np.unpackbits)
_because("dates have no rule. Compute it outside of a trace", np.isnat, np.is_busday, np.busday_count, np.busday_offset)
_because("it looks at plain values or types. Use x.dtype and np.result_type", np.common_type, np.min_scalar_type, np.mintypecode)

_because(
    "a traced array is not what you would have in the file. Return it from the traced function (has_aux=True for extra results), "
    "and save what comes out",
    np.save, np.savetxt, np.savez, np.savez_compressed,
)  # fmt: skip
_because(
    "a traced array is no plain number to be shown. Return it from the traced function (has_aux=True for extra results), "
    "and print what comes out",
    np.array2string, np.array_repr, np.array_str, np.base_repr, np.binary_repr, np.format_float_positional,
    np.format_float_scientific,
)  # fmt: skip
_MEMORY = "a traced array has no memory. "
_because(_MEMORY + "Whether it may be written into is checked when it is", np.shares_memory, np.may_share_memory, np.isfortran)
_because(_MEMORY + "Use x itself, and x.astype for another dtype", np.frombuffer, np.from_dlpack)
_because(_MEMORY + "Use np.lib.stride_tricks.sliding_window_view or indices", np.lib.stride_tricks.as_strided)

_PLAIN = "NumPy makes a plain array of whatever it is given, which would lose the gradient. "
_because(
    _PLAIN + "Use x itself, or retrograde.numpy.asarray",
    np.asarray, np.asanyarray, np.asarray_chkfinite, np.ascontiguousarray, np.asfortranarray, np.require,
)  # fmt: skip
_because(_PLAIN + "Use retrograde.numpy.array, or np.stack", np.array, np.fromiter)
_because(_PLAIN + "Use retrograde.numpy.arange", np.arange)
_because(_PLAIN + "Use retrograde.numpy.full, or np.full_like", np.full)
_because("np.matrix is a class of plain arrays. Use arrays of two axes, np.block and @", np.matrix, np.asmatrix, np.bmat)
_because("np.recarray is a class of plain arrays. Use a dict or a tuple of arrays", np.recarray, np.record)
_because("broadcasting plans are for plain arrays. Use np.broadcast_shapes and np.broadcast_to", np.broadcast)
_because(
    "its argument decides the shape of the result, so it is a plain number. Take it from shapes or static arguments",
    np.bartlett, np.blackman, np.hamming, np.hanning, np.kaiser, np.tri, np.tril_indices, np.triu_indices, np.diag_indices,
)  # fmt: skip
