"""The parameters of an estimator: kept as they are given, checked when it is fitted, as scikit-learn wants it."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from retrograde.errors import ModelError
from retrograde.sklearn.network import ACTIVATIONS

CHOICES = {
    "activation": tuple(ACTIVATIONS), "solver": ("lbfgs", "sgd", "adam"), "learning_rate": ("constant", "invscaling", "adaptive"),
}  # fmt: skip
NUMBERS = {  # an interval each, a bracket for an end that is in it
    "alpha": "[0, inf)", "learning_rate_init": "(0, inf)", "power_t": "[0, inf)", "tol": "[0, inf]", "momentum": "[0, 1]",
    "validation_fraction": "[0, 1)", "beta_1": "[0, 1)", "beta_2": "[0, 1)", "epsilon": "(0, inf)", "dropout": "[0, 1)",
}  # fmt: skip


def keep_parameters(estimator: Any, given: Mapping[str, Any]) -> None:
    """Keep what `__init__` was given (its `locals()`), each under its own name."""
    vars(estimator).update({name: value for name, value in given.items() if name not in ("self", "__class__")})


def hidden_sizes(estimator: Any) -> list[Any]:
    """`hidden_layer_sizes` as a list."""
    sizes = estimator.hidden_layer_sizes
    return list(sizes) if np.iterable(sizes) else [sizes]


def check_parameters(mlp: Any) -> None:
    """Raise `ModelError` for a parameter of an MLP that is none."""
    for name, known in CHOICES.items():
        _refuse(mlp, name, f"one of {sorted(known)}", getattr(mlp, name) in known)
    for name, interval in NUMBERS.items():
        _refuse(mlp, name, f"a number in {interval}", _within(getattr(mlp, name), interval))
    for name in ("max_iter", "max_fun", "starts"):
        _refuse(mlp, name, "an integer of at least 1", is_count(getattr(mlp, name)))
    patience, batch = mlp.n_iter_no_change, mlp.batch_size
    _refuse(mlp, "n_iter_no_change", "an integer of at least 1, or np.inf", is_count(patience) or patience == np.inf)
    _refuse(mlp, "batch_size", "'auto' or an integer of at least 1", batch == "auto" or is_count(batch))
    _refuse(mlp, "hidden_layer_sizes", "integers > 0", all(map(is_count, hidden_sizes(mlp))))
    if mlp.solver == "lbfgs" and (mlp.dropout or mlp.starts > 1 or mlp.precision is not None):
        raise ModelError("solver='lbfgs' takes no dropout, starts or precision; take 'adam' or 'sgd'")


def is_count(value: Any) -> bool:
    """Whether it is an integer of at least 1."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def _within(value: Any, interval: str) -> bool:
    if not isinstance(value, Real):
        return False
    low, high = map(float, interval[1:-1].split(","))
    value = float(value)
    return (low < value or (interval[0] == "[" and value == low)) and (value < high or (interval[-1] == "]" and value == high))


def _refuse(estimator: Any, name: str, wanted: str, good: bool) -> None:
    if not good:
        raise ModelError(f"{name} must be {wanted}; it is {getattr(estimator, name)!r}")
