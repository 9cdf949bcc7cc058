"""What all estimators share: data as scikit-learn checks it, the run, the outputs of the network, and how they are pickled."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from retrograde.errors import DataError
from retrograde.sklearn.network import outputs_of
from retrograde.train import Programs, Run, fit
from retrograde.tree import tree_leaves

SPARSE = ("csr", "csc")
PROGRAMS = Programs(8)  # of this process: a search or a validation fits many estimators of one shape


class Estimator(BaseEstimator):
    """Base of the estimators: `fit` checks the data, makes the network, and hands both to `retrograde.fit`.

    A classifier or a regressor says what a target is (`_learn_target`, `_encode`, `_loss`, `_weigh`); an estimator of a kind of
    network, how that is made (`_network`) and trained (`_train`).
    """

    network_: Any

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train on points X (n, features), dense or sparse, and targets y (n,) or (n, outputs), weighed by sample_weight (n,).

        Raises `DataError` (a ValueError) for unusable data and `ModelError` for parameters that do not fit.
        """
        return self._fit(X, y, sample_weight, self.warm_start and hasattr(self, "network_"))

    def _fit(self, X: Any, y: Any, sample_weight: Any, goes_on: bool, once: bool = False) -> Any:
        self._check_parameters()
        X, y = self._validated(X, y, goes_on)
        self._learn_target(y, goes_on, once)
        rng = check_random_state(self.random_state)
        net = self.network_ if goes_on else self._network(X, rng)
        weight = self._weigh(y, None if sample_weight is None else _weights(sample_weight, X))
        self._train(net, X, self._encode(y, X.dtype), weight, rng, goes_on, once)
        if not all(np.isfinite(leaf).all() for leaf in tree_leaves(self.network_)):
            raise DataError("Solver produced non-finite parameter weights. The input data may contain large values and need to "
                            "be preprocessed, or the learning rate is too high")  # fmt: skip
        return self

    def _validated(self, X: Any, y: Any, goes_on: bool) -> tuple[np.ndarray, Any]:
        kinds = (np.float64, np.float32) if self.dtype is None else np.dtype(self.dtype)
        X, y = validate_data(
            self, X, y, accept_sparse=SPARSE, multi_output=True, y_numeric=self._numeric_target, dtype=kinds, reset=not goes_on
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return _dense(X), y

    def _outputs(self, X: Any) -> np.ndarray:
        """The network's raw outputs."""
        check_is_fitted(self)
        leaves = tree_leaves(self.network_)
        X = validate_data(self, X, accept_sparse=SPARSE, dtype=leaves[0].dtype if leaves else np.float64, reset=False)
        return outputs_of(self.network_, _dense(X))

    def _run(self, net: Any, X: np.ndarray, y: np.ndarray, weight: Any, rng: Any, **settings: Any) -> Run:
        """Train by `retrograde.fit`; keeps the network and the run."""
        listed = [] if self.callbacks is None else self.callbacks
        run = fit(
            net, (X, y), loss=self._loss(), sample_weight=weight, shuffle=self.shuffle, starts=self.starts, dtype=X.dtype,
            seed=int(rng.randint(2**31 - 1)), precision=self.precision, compiled=PROGRAMS, **{"callbacks": listed, **settings},
        )  # fmt: skip
        if run.interrupted:
            warnings.warn("Training interrupted by user.", stacklevel=4)
        self.network_, self.run_ = run.model, run.without("replay")  # estimators do not hold what they were fitted to
        return run

    def __getstate__(self) -> dict[str, Any]:
        """Parameters and plain arrays; compiled code stays behind."""
        state = super().__getstate__()
        return state | {"run_": state["run_"].without("program")} if "run_" in state else state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def callbacks_of(callbacks: Any, more: Callable) -> list[Callable]:
    """The callbacks and one more."""
    return [*(callbacks or ()), more]


def _dense(X: Any) -> np.ndarray:
    return X.toarray() if hasattr(X, "toarray") else X


def _weights(sample_weight: Any, X: np.ndarray) -> np.ndarray:
    weight = check_array(sample_weight, ensure_2d=False, dtype=X.dtype, input_name="sample_weight")
    if weight.shape != (len(X),):
        raise DataError(f"sample_weight must have one number a point, shape {(len(X),)}; its shape is {weight.shape}")
    if not weight.any():
        raise DataError("sample_weight must not be all zero: the weight of at least one point counts")
    return weight
