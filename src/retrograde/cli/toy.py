"""The textbook's chain: three functions, eight parameters, one squared error; `retrograde explain --toy` looks into it."""

from __future__ import annotations

from typing import Any

import numpy as np

PARAMETERS = {"b": np.array([1.0, 2.0, -3.0, 0.4]), "w": np.array([0.1, -0.4, 2.0, 3.0])}
X, Y = 2.3, 2.0


def chain(p: dict[str, Any], x: Any, y: Any) -> Any:
    """(f3 - y)² of f3 = b3 + w3 cos(b2 + w2 exp(b1 + w1 sin(b0 + w0 x)))."""
    b, w = p["b"], p["w"]
    f0 = b[0] + w[0] * x
    h1 = np.sin(f0)
    f1 = b[1] + w[1] * h1
    h2 = np.exp(f1)
    f2 = b[2] + w[2] * h2
    h3 = np.cos(f2)
    f3 = b[3] + w[3] * h3
    return (f3 - y) ** 2
