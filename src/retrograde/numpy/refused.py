"""NumPy's functions that cannot have a rule, with the reason and what to write; other functions without one are just missing."""

from __future__ import annotations

import numpy as np

from retrograde.numpy.table import REASONS

_VALUES = "how many elements come out depends on values, which a trace cannot hold. Compute it outside of the traced function"
_MAPPED = "it calls a function of plain slices. Use rg.vmap(function, in_axes=axis), which traces it once for all of them"

REASONS.update(dict.fromkeys([np.unique, np.union1d, np.intersect1d, np.setdiff1d, np.setxor1d], _VALUES))
REASONS.update({getattr(np, n): _VALUES for n in ("unique_all", "unique_counts", "unique_inverse", "unique_values")})
REASONS[np.trim_zeros] = _VALUES + ", or slice at known places"
REASONS[np.isin] = "membership in a set has no rule. Write np.any(x[..., None] == values, axis=-1)"
REASONS.update(dict.fromkeys([np.apply_along_axis, np.apply_over_axes], _MAPPED))
REASONS[np.roots] = "the roots are eigenvalues of a matrix that is not symmetric. Solve for them by iteration, say rg.while_loop"
