"""`NeuralClassifier` and `NeuralRegressor`: any network as an estimator, with the arguments of `retrograde.fit`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from retrograde.errors import ModelError
from retrograde.nn import Module
from retrograde.sklearn.base import Estimator
from retrograde.sklearn.parameters import keep_parameters
from retrograde.sklearn.tasks import Classifying, Regressing


class Neural(Estimator):
    """What the classifier and the regressor share: the network as given, and its training."""

    def _check_parameters(self) -> None:
        if not (isinstance(self.net, Module) or callable(self.net)):
            raise ModelError("net must be an nn.Module, or a function of (n_features, n_outputs) that makes one; it is "
                             f"{self.net!r}")  # fmt: skip

    def _network(self, X: np.ndarray, rng: Any) -> Any:
        net = self.net if isinstance(self.net, Module) else self.net(X.shape[1], self.n_outputs_)
        if not isinstance(net, Module):
            raise ModelError(f"net, called with {X.shape[1]} features and {self.n_outputs_} outputs, made no nn.Module: {net!r}")
        with np.errstate(all="ignore"):
            shape = np.shape((net if net.initialized else net.init(0, X.dtype))(X[:1]))
        self._check_outputs(shape)
        return net

    def _train(self, net: Any, X: np.ndarray, y: np.ndarray, weight: Any, rng: Any, goes_on: bool, once: bool) -> None:
        run = self._run(
            net, X, y, weight, rng, optimizer=self.optimizer, batch_size=self.batch_size, epochs=self.epochs,
            validation=self.validation, early_stopping=self.early_stopping, penalty=self.penalty, progress=bool(self.verbose),
            metrics=self._listed_metrics(),
        )  # fmt: skip
        self.n_iter_, self.loss_curve_, self.loss_ = run.epochs, run.history["loss"].tolist(), float(run.history["loss"][-1])

    def _listed_metrics(self) -> list[Any]:
        """Those that were given, after the score of the validation points, where there are some."""
        given = () if self.metrics is None else self.metrics
        listed = given.items() if isinstance(given, Mapping) else [given] if isinstance(given, str) or callable(given) else given
        return [*([("score", self._validation_score())] if self.validation is not None else []), *listed]

    def _check_outputs(self, shape: tuple[int, ...]) -> None:
        if shape != (1, self.n_outputs_):
            raise ModelError(f"the network makes {shape} of one point; for this target it must be (1, {self.n_outputs_})")


class NeuralClassifier(Classifying, Neural):
    """Any network as a classifier: one raw output for two classes, or one for each class.

    net: an nn.Module, with its parameters to go on from or without, or a function of (n_features, n_outputs) that makes one.
    All else is as in `retrograde.fit`; validation is a fraction, and adds "val_score", the accuracy, to the history.
    class_weight: "balanced" or weights by class. dtype: that of a network without parameters; None is that of X. `network_` is
    the trained network, `run_` the `Run`.
    """

    def __init__(
        self, net: Any, *, loss: Any = "log_loss", optimizer: Any = None, batch_size: int | None = 32, epochs: int = 10,
        shuffle: bool = True, validation: Any = None, early_stopping: Any = None, metrics: Any = None, penalty: Any = None,
        callbacks: Any = None, starts: int = 1, class_weight: Any = None, random_state: Any = None, warm_start: bool = False,
        verbose: bool = False, precision: str | None = None, dtype: Any = None,
    ):  # fmt: skip
        keep_parameters(self, locals())

    def _check_outputs(self, shape: tuple[int, ...]) -> None:
        if shape == (1, 2) and self._labels.count == 2 and not self._labels.multilabel:
            self.n_outputs_ = 2  # a softmax of two
        super()._check_outputs(shape)


class NeuralRegressor(Regressing, Neural):
    """Any network as a regressor: as many outputs as the target has columns.

    net: an nn.Module, with its parameters to go on from or without, or a function of (n_features, n_outputs) that makes one.
    All else is as in `retrograde.fit`; validation is a fraction, and adds "val_score", the coefficient of determination, to the
    history. dtype: that of a network without parameters; None is that of X. `network_` is the trained network, `run_` the `Run`.
    """

    def __init__(
        self, net: Any, *, loss: Any = "squared_error", optimizer: Any = None, batch_size: int | None = 32, epochs: int = 10,
        shuffle: bool = True, validation: Any = None, early_stopping: Any = None, metrics: Any = None, penalty: Any = None,
        callbacks: Any = None, starts: int = 1, random_state: Any = None, warm_start: bool = False, verbose: bool = False,
        precision: str | None = None, dtype: Any = None,
    ):  # fmt: skip
        keep_parameters(self, locals())
