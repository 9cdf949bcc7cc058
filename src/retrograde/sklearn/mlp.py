"""`MLPClassifier` and `MLPRegressor`: scikit-learn's own, by parameters, attributes and results, trained by `retrograde.fit`."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target

from retrograde import jit, random
from retrograde.errors import DataError, ModelError
from retrograde.sklearn.base import Estimator, callbacks_of
from retrograde.sklearn.labels import Labels
from retrograde.sklearn.lbfgs import Objective, lbfgs
from retrograde.sklearn.network import drawn, linears, perceptron
from retrograde.sklearn.objectives import L2, half_squares, squared_error
from retrograde.sklearn.parameters import check_parameters, hidden_sizes, keep_parameters
from retrograde.sklearn.solvers import SGD, Adam, AdaptiveSGD, ScalingSGD, Solver
from retrograde.sklearn.tasks import Classifying, Regressing
from retrograde.train import EarlyStopping, Run
from retrograde.train.program import Settings, make_program, start

ENDLESS = 2**31  # epochs of patience


def _stochastic(estimator: Any) -> bool:
    if estimator.solver == "lbfgs":
        raise AttributeError("partial_fit is there for the solvers 'adam' and 'sgd'; 'lbfgs' wants all points at once")
    return True


@functools.partial(jit, static_argnums=(0,), flush_subnormals=True)
def _one_epoch(settings: Settings, carry: Any, X: Any, y: Any, weight: Any) -> Any:
    return make_program(settings)(carry, X, y, weight, None, None, carry["epoch"] + 1)


class Perceptron(Estimator):
    """What the classifier and the regressor share: the network, the solvers, when to stop, and the attributes."""

    loss_curve_: list[float]
    validation_scores_: list[float] | None
    best_loss_: float | None
    best_validation_score_: float | None

    @property
    def coefs_(self) -> list[np.ndarray]:
        """The weights of each layer, of shape (fan_in, fan_out)."""
        return [layer.weight.T for layer in linears(self.network_)]

    @property
    def intercepts_(self) -> list[np.ndarray]:
        """The biases of each layer."""
        return [layer.bias for layer in linears(self.network_)]

    @property
    def n_layers_(self) -> int:
        """Layers, the input's among them."""
        return len(linears(self.network_)) + 1

    def _check_parameters(self) -> None:
        check_parameters(self)

    def _network(self, X: np.ndarray, rng: Any) -> Any:
        net = perceptron([X.shape[1], *hidden_sizes(self), self.n_outputs_], self.activation, self.dropout, self.init)
        return drawn(net, rng, self.activation, X.dtype) if self.starts == 1 and self.init is None else net

    @available_if(_stochastic)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """One epoch over the given points, from where the last call ended, by a program that is kept for the next call."""
        return self._fit(X, y, sample_weight, hasattr(self, "network_"), once=True)

    def _train(self, net: Any, X: np.ndarray, y: np.ndarray, weight: Any, rng: Any, goes_on: bool, once: bool) -> None:
        widths = [X.shape[1], *hidden_sizes(self), self.n_outputs_]
        if goes_on and widths != (had := [linears(net)[0].in_features, *(layer.out_features for layer in linears(net))]):
            raise ModelError(f"warm_start goes on with layers of {had}, but they would be {widths} now: set warm_start=False")
        if not goes_on:
            self._begin()
        if self.solver == "lbfgs":
            self._minimize(net, X, y, weight)
        elif once:
            self._one_epoch(net, X, y, weight, rng, goes_on)
        else:
            self._descend(net, X, y, weight, rng)

    def _begin(self) -> None:
        """The attributes before the first epoch."""
        self.t_, self.n_iter_, self.loss_curve_ = 0, 0, []
        self.best_loss_, self.best_validation_score_ = (None, -np.inf) if self.early_stopping else (np.inf, None)
        self.validation_scores_ = [] if self.early_stopping else None

    def _minimize(self, net: Any, X: np.ndarray, y: np.ndarray, weight: Any) -> None:
        loss = self._loss()
        objective = Objective(half_squares if loss is squared_error else loss, self._penalty())
        found = lbfgs(objective, net, X, y, weight, iterations=self.max_iter, calls=self.max_fun, tolerance=self.tol)
        self.network_, self.loss_, self.n_iter_ = found.net, found.loss, found.iterations
        self.best_loss_ = self.loss_
        if found.gave_up is not None:
            warnings.warn(f"lbfgs failed to converge after {found.iterations} iterations: {found.gave_up}. Increase max_iter, or "
                          "scale the data", ConvergenceWarning, stacklevel=4)  # fmt: skip

    def _descend(self, net: Any, X: np.ndarray, y: np.ndarray, weight: Any, rng: Any) -> None:
        validation = None
        if self.early_stopping:
            (X, y, weight), validation = self._split(X, y, weight, rng)
        batch, stopping = self._batch(len(X)), self._stopping()
        told = {"callbacks": callbacks_of(self.callbacks, _tell)} if self.verbose else {}
        run = self._run(
            net, X, y, weight, rng, optimizer=self._solver(len(X), batch), batch_size=batch, epochs=self.max_iter,
            validation=validation, metrics={"score": self._validation_score()} if validation else (),
            early_stopping=stopping, penalty=self._penalty(), **told,
        )  # fmt: skip
        self._take(run)
        if run.epochs == self.max_iter and not (run.interrupted or (stopping and stopping.ended(run.progress.carry))):
            warnings.warn(f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't "
                          "converged yet.", ConvergenceWarning, stacklevel=4)  # fmt: skip

    def _one_epoch(self, net: Any, X: np.ndarray, y: np.ndarray, weight: Any, rng: Any, goes_on: bool) -> None:
        if self.early_stopping:
            raise ModelError("partial_fit does not support early_stopping=True: it sees a part of the points at a time")
        batch = self._batch(len(X))
        solver = self._solver(len(X), batch, getattr(self, "_state", None) if goes_on else None)
        settings = Settings(self._loss(), solver, batch, self.shuffle, 1, None, penalty=self._penalty())
        key = random.key(int(rng.randint(2**31 - 1)) + self.t_)
        weight = None if weight is None else weight.astype(X.dtype)
        carry, row = _one_epoch(settings, start(net, settings, key), X, y, weight)
        self.network_, self._state = carry["params"], carry["state"]
        self._count(len(X), row["loss"])

    def _take(self, run: Run) -> None:
        """The attributes of a run."""
        self._count(run.points, run.history["loss"])
        self._state = run.optimizer_state
        if self.early_stopping:
            self.validation_scores_ = [*(self.validation_scores_ or ()), *run.history["val_score"].tolist()]
            self.best_validation_score_ = max(self.validation_scores_)

    def _count(self, points: int, losses: np.ndarray) -> None:
        self.loss_curve_ += np.asarray(losses).tolist()
        self.loss_, self.n_iter_, self.t_ = self.loss_curve_[-1], len(losses), self.t_ + points * len(losses)
        if not self.early_stopping:
            self.best_loss_ = min(self.loss_curve_)

    def _split(self, X: np.ndarray, y: np.ndarray, weight: Any, rng: Any) -> tuple[tuple, tuple]:
        """Training and validation points; those of two classes in equal parts, as scikit-learn has it."""
        shared = y if self._stratified else None
        kept, held = train_test_split(np.arange(len(X)), random_state=rng, test_size=self.validation_fraction, stratify=shared)
        if len(held) < 2:
            raise DataError(f"validation_fraction={self.validation_fraction} of {len(X)} points leaves {len(held)} to validate "
                            "on: the validation set is too small")  # fmt: skip
        return (X[kept], y[kept], None if weight is None else weight[kept]), (X[held], y[held])

    def _batch(self, points: int) -> int:
        if self.batch_size == "auto":
            return min(200, points)
        if self.batch_size > points:
            warnings.warn(f"Got `batch_size`={self.batch_size} for {points} points: all of them are one batch", stacklevel=6)
        return min(int(self.batch_size), points)

    def _solver(self, points: int, batch: int, state: Any = None) -> Solver:
        """The optimizer for so many points an epoch, to go on from a state if there is one."""
        first: dict[str, Any] = {"rate": float(self.learning_rate_init), "state": state}
        if self.solver == "adam":
            return Adam(**first, beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon)
        first |= {"momentum": self.momentum, "nesterov": self.nesterovs_momentum}
        if self.learning_rate == "invscaling":
            return ScalingSGD(**first, power_t=self.power_t, points=points, updates=-(-points // batch), seen=self.t_)
        return (AdaptiveSGD if self.learning_rate == "adaptive" else SGD)(**first)

    def _stopping(self) -> EarlyStopping | None:
        patience = ENDLESS if self.n_iter_no_change == np.inf else int(self.n_iter_no_change) + 1
        least = min(float(self.tol), np.finfo(np.float64).max)  # an infinite one bears no subtraction
        if self.early_stopping:
            return EarlyStopping(patience, monitor="val_score", mode="max", min_delta=least)
        if patience == ENDLESS:
            return None
        return EarlyStopping(patience, monitor="loss", min_delta=least, keep_best=False)

    def _penalty(self) -> Callable | None:
        return L2(float(self.alpha)) if self.alpha else None


def _tell(history: dict[str, np.ndarray]) -> None:
    """scikit-learn's line of an epoch."""
    losses = history["loss"]
    print(f"Iteration {losses.shape[-1]}, loss = {np.min(losses[..., -1]):.8f}")
    if "val_score" in history:
        print(f"Validation score: {np.max(history['val_score'][..., -1]):f}")


class MLPClassifier(Classifying, Perceptron):
    """A multilayer perceptron that classifies, as `sklearn.neural_network.MLPClassifier`: changing the import is enough.

    Parameters, defaults and attributes are scikit-learn's, and so are the first weights and biases of a random_state, the loss,
    the solvers and the rule to stop; the shuffle is another. Beside them:

    dropout: of what the hidden layers put out. loss: "log_loss", or as `retrograde.fit` takes it, of raw outputs.
    init: an initializer of `retrograde.nn.initializers` by name, in the place of scikit-learn's numbers. starts: how many initial
    points to train from, of which the best is kept. class_weight: "balanced" or weights by class. callbacks: functions of the
    history, called after each epoch; True ends the run. precision: "bf16" or "f16", for products of reduced precision. dtype:
    that of the network; None is that of X.

    `network_` is the trained network and `run_` the `retrograde.train.Run`, whose history has the curves of validation.
    """

    def __init__(
        self, hidden_layer_sizes: Sequence[int] = (100,), activation: str = "relu", *,
        solver: str = "adam", alpha: float = 0.0001, batch_size: int | str = "auto", learning_rate: str = "constant",
        learning_rate_init: float = 0.001, power_t: float = 0.5, max_iter: int = 200, shuffle: bool = True,
        random_state: Any = None, tol: float = 1e-4, verbose: bool = False, warm_start: bool = False, momentum: float = 0.9,
        nesterovs_momentum: bool = True, early_stopping: bool = False, validation_fraction: float = 0.1, beta_1: float = 0.9,
        beta_2: float = 0.999, epsilon: float = 1e-8, n_iter_no_change: float = 10, max_fun: int = 15000,
        loss: Any = "log_loss", class_weight: Any = None, dropout: float = 0.0, init: str | None = None,
        starts: int = 1, callbacks: Any = None, precision: str | None = None, dtype: Any = None,
    ):  # fmt: skip
        keep_parameters(self, locals())

    @available_if(_stochastic)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Any:
        """One epoch over the given points; the first call names all `classes` that there will be."""
        if not hasattr(self, "network_"):
            if classes is None:
                raise DataError("classes must be passed on the first call to partial_fit")
            self._labels = Labels(y if type_of_target(y) == "multilabel-indicator" else classes)
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise DataError(f"classes={classes!r} is not the same as on the last call to partial_fit, {self.classes_!r}")
        return self._fit(X, y, sample_weight, hasattr(self, "network_"), once=True)

    @property
    def out_activation_(self) -> str:
        """What makes probabilities of the network's raw outputs."""
        return "logistic" if self._logistic else "softmax"

    @property
    def _stratified(self) -> bool:
        return self.n_outputs_ == 1


class MLPRegressor(Regressing, Perceptron):
    """A multilayer perceptron that predicts numbers, as `sklearn.neural_network.MLPRegressor`: changing the import is enough.

    Parameters, defaults and attributes are scikit-learn's, and so are the first weights and biases of a random_state, the loss,
    the solvers and the rule to stop; the shuffle is another. Beside them:

    dropout: of what the hidden layers put out. loss: "squared_error" (half of it), "poisson", or as `retrograde.fit` takes it.
    init: an initializer of `retrograde.nn.initializers` by name, in the place of scikit-learn's numbers. starts: how many initial
    points to train from, of which the best is kept. callbacks: functions of the history, called after each epoch; True
    ends the run. precision: "bf16" or "f16", for products of reduced precision. dtype: that of the network; None is that of X.

    `network_` is the trained network and `run_` the `retrograde.train.Run`, whose history has the curves of validation.
    """

    _stratified = False

    def __init__(
        self, loss: Any = "squared_error", hidden_layer_sizes: Sequence[int] = (100,), activation: str = "relu", *,
        solver: str = "adam", alpha: float = 0.0001, batch_size: int | str = "auto", learning_rate: str = "constant",
        learning_rate_init: float = 0.001, power_t: float = 0.5, max_iter: int = 200, shuffle: bool = True,
        random_state: Any = None, tol: float = 1e-4, verbose: bool = False, warm_start: bool = False, momentum: float = 0.9,
        nesterovs_momentum: bool = True, early_stopping: bool = False, validation_fraction: float = 0.1, beta_1: float = 0.9,
        beta_2: float = 0.999, epsilon: float = 1e-8, n_iter_no_change: float = 10, max_fun: int = 15000,
        dropout: float = 0.0, init: str | None = None,
        starts: int = 1, callbacks: Any = None, precision: str | None = None, dtype: Any = None,
    ):  # fmt: skip
        keep_parameters(self, locals())

    @property
    def out_activation_(self) -> str:
        """What makes predictions of the network's raw outputs."""
        return "exp" if self._of_logarithm else "identity"
