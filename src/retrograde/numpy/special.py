"""The one function of NumPy's that is a special function: `i0`. The others are in `retrograde.scipy.special`."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.numpy.shaping import array
from retrograde.numpy.table import implements
from retrograde.ops import special as sp
from retrograde.ops.promote import astype
from retrograde.types import kind_of


@implements(np.i0)
def i0(x: Any) -> Any:
    """The modified Bessel function of the first kind, order 0."""
    x = array(x)
    return sp.i0(x if kind_of(x.dtype) == "f" else astype(x, np.float64))
