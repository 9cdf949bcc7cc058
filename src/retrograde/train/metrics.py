"""Metrics of a run, under scikit-learn's names: what can be traced is a part of the run's program, the rest comes between epochs.

What a network puts out becomes what a metric wants by the loss: with integer labels the class of the largest output; with a loss
of two classes the side of its threshold; else the output itself. One column of outputs is flattened.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retrograde import nn
from retrograde.errors import DataError, ModelError
from retrograde.nn.losses import binary_cross_entropy, cross_entropy, hinge
from retrograde.train.data import Data
from retrograde.train.scores import MEANS, OF_COUNTS, OF_VALUES, Score, accuracy, average, balanced_accuracy, top_k
from retrograde.transforms import trace

THRESHOLDS: list[tuple[Any, float, tuple[int, int]]] = [  # of losses of two classes: the threshold, the two targets
    (binary_cross_entropy, 0.0, (0, 1)), (hinge, 0.0, (-1, 1)), (nn.BCEWithLogitsLoss, 0.0, (0, 1)), (nn.BCELoss, 0.5, (0, 1)),
    (nn.SoftMarginLoss, 0.0, (-1, 1)),
]  # fmt: skip
TAKEN = ("loss", "start", "epoch", "seen", "seconds", "updates_per_second")


@dataclass(frozen=True)
class Outputs:
    """What outputs and targets mean: labels of `classes`, of which two may share one column cut at a threshold; () for values."""

    classes: tuple[int, ...] = ()
    threshold: float | None = None

    def target(self, y: Any) -> Any:
        """Targets, one column flattened."""
        return y[:, 0] if np.ndim(y) == 2 and np.shape(y)[1] == 1 else y

    def predicted(self, outputs: Any) -> Any:
        """Labels, or the values themselves."""
        if self.threshold is not None:
            low, high = self.classes
            return np.where(self.target(outputs) > self.threshold, high, low)
        return np.argmax(outputs, axis=-1) if self.classes else self.target(outputs)

    def check(self, y: np.ndarray) -> None:
        """Raise `DataError` for targets that mean something else than those that were seen first."""
        if self.classes and not np.isin(y, self.classes).all():
            odd = y[~np.isin(y, self.classes)][0]
            raise DataError(f"metrics: the first points had labels among {len(self.classes)} classes, from {self.classes[0]} to "
                            f"{self.classes[-1]}; later ones have {odd!r}")  # fmt: skip


@dataclass(frozen=True)
class Metric:
    """`metric(y, outputs)` is one float64; mode says what is better: "min", "max", or None where nobody knows.

    Metrics that were `given` alike, for outputs of the same meaning, are equal.
    """

    given: str | Callable | tuple[str, Callable]
    meaning: Outputs
    score: Score = field(compare=False)
    traced: bool
    mode: str | None

    @property
    def name(self) -> str:
        """The name of its column, without a prefix."""
        return _name(self.given)

    @property
    def is_mean(self) -> bool:
        """Whether it is a mean over points, so that of a stream it is that of its chunks."""
        return isinstance(self.given, str) and (self.given in MEANS or self.given.startswith("top_"))

    def __call__(self, y: Any, outputs: Any) -> Any:
        """Its value for these points."""
        return np.add(self.score(y, outputs), np.float64(0.0))


def metrics_of(given: Any, train: bool, loss: Any, points: Data, outputs: Any) -> tuple[Metric, ...]:
    """The metrics of a run as they were given to `fit`, and the accuracy where everybody asks for it."""
    if isinstance(given, str) or callable(given):
        given = [given]
    listed: list[Any] = list(given.items() if isinstance(given, Mapping) else given)
    if listed and points.Xv is None and not train:
        raise ModelError("metrics are of validation points: give validation=, or train_metrics=True for the training points")
    if loss is cross_entropy and points.y.ndim == 1 and "accuracy" not in map(_name, listed):
        listed.insert(0, "accuracy")
    y = points.y if points.yv is None else np.concatenate([points.y, points.yv])
    return get_metrics(listed, loss, y, outputs, points.n if points.yv is None else len(points.yv))


def _name(metric: str | Callable | tuple[str, Callable]) -> str:
    if isinstance(metric, tuple):
        return metric[0]
    return getattr(metric, "__name__", "<lambda>") if callable(metric) else metric


def get_metrics(given: Sequence[Any], loss: Any, y: np.ndarray, outputs: Any, points: int) -> tuple[Metric, ...]:
    """Metrics by name, as functions f(y_true, y_pred), or as pairs of a name and a function of (outputs, target), as losses are.

    The output of the network for one point is `outputs`; of how many `points` they are taken tells what can be traced.

    Raises `ModelError` for a name that nobody knows or that does not fit targets y, and for two metrics of one name.
    """
    if given and not isinstance(outputs, np.ndarray):
        raise ModelError("metrics want a network that returns one array; give a loss of your own, or a callback")
    meaning = _meaning(loss, y, outputs) if given else Outputs()
    shape = (points, *np.shape(outputs)[1:])
    found = tuple(_metric(metric, meaning, y[:1].repeat(points, 0), np.zeros(shape, np.float32)) for metric in given)
    names = [m.name for m in found]
    for name in names:
        if names.count(name) > 1 or name in TAKEN or str(name).startswith("val_"):
            raise ModelError(f"metrics: {name!r} would be two columns of the history or the log; give each a name of its own")
    return found


def columns(metrics: Iterable[Metric], train: bool, validated: bool) -> dict[str, str | None]:
    """The columns of a run's history, in order, and what is better in each."""
    found: dict[str, str | None] = {"loss": "min"}
    if train:
        found |= {m.name: m.mode for m in metrics}
    if validated:
        found |= {"val_loss": "min", **{f"val_{m.name}": m.mode for m in metrics}}
    return found


def _meaning(loss: Any, y: np.ndarray, outputs: np.ndarray) -> Outputs:
    if y.ndim == 1 and y.dtype.kind in "iu" and outputs.ndim == 2 and outputs.shape[1] > 1:
        if y.min() < 0 or y.max() >= outputs.shape[1]:
            raise DataError(f"metrics of {outputs.shape[1]} outputs want labels 0 to {outputs.shape[1] - 1}; y runs from "
                            f"{y.min()} to {y.max()}")  # fmt: skip
        return Outputs(tuple(range(outputs.shape[1])))
    for kind, threshold, classes in THRESHOLDS:
        matches = isinstance(loss, kind) if isinstance(kind, type) else loss is kind
        if matches and outputs.shape[1:] in ((), (1,)) and np.isin(y, classes).all():
            return Outputs(classes, threshold)
    return Outputs()


def _metric(metric: str | Callable | tuple[str, Callable], meaning: Outputs, y: np.ndarray, outputs: np.ndarray) -> Metric:
    if callable(metric):
        return _own(metric, meaning, lambda y, f: metric(meaning.target(y), meaning.predicted(f)), y, outputs)
    if isinstance(metric, tuple):
        return _own(metric, meaning, lambda y, f: metric[1](f, y), y, outputs)
    if metric in OF_VALUES:
        score, mode = OF_VALUES[metric]
        if meaning.classes or np.shape(meaning.target(y)) != np.shape(meaning.target(outputs)):
            raise ModelError(f"metric {metric!r} compares numbers; targets of shape {y.shape[1:]} and outputs of shape "
                             f"{outputs.shape[1:]} a point are not that")  # fmt: skip
        return Metric(metric, meaning, lambda y, f: score(_wide(meaning.target(y)), _wide(meaning.predicted(f))), True, mode)
    score_of_labels = _score_of_labels(str(metric), meaning)
    if score_of_labels is not None:
        return Metric(metric, meaning, score_of_labels, True, "max")
    return Metric(metric, meaning, _scikit_learns(metric, meaning), False, "max")


def _score_of_labels(name: str, meaning: Outputs) -> Score | None:
    """The traced score of predicted labels that has this name."""
    classes, low = len(meaning.classes), min(meaning.classes, default=0)
    top = re.fullmatch(r"top_(k|[1-9]\d*)_accuracy", name)
    figure, _, how = name.partition("_")
    of_labels: Score = accuracy
    if name == "balanced_accuracy":
        of_labels = balanced_accuracy(classes)
    elif figure in OF_COUNTS and how in ("micro", "macro", "weighted", ""):
        if how == "" and classes > 2:
            raise ModelError(f"metric {name!r} is of two classes, here are {classes}; take {name}_macro, _micro or _weighted")
        of_labels = average(OF_COUNTS[figure], how, classes)
    elif name != "accuracy" and not top:
        return None
    if not classes:
        raise ModelError(f"metric {name!r} wants predicted classes: integer labels 0, 1, ... and one output a class, or a loss "
                         "of two classes such as binary_cross_entropy")  # fmt: skip
    if top:
        if classes < 3:
            raise ModelError(f"metric {name!r} wants three classes or more")
        return top_k(2 if top[1] == "k" else int(top[1]))

    def score(y: Any, outputs: Any) -> Any:
        """Labels are counted from 0: those of two classes may be -1 and 1."""
        target, labels = meaning.target(y).astype(np.int64), meaning.predicted(outputs)
        return of_labels((target > low).astype(np.int64), (labels > low).astype(np.int64)) if low else of_labels(target, labels)

    return score


def _wide(values: Any) -> Any:
    return values.astype(np.float64)


def _own(
    given: Callable | tuple[str, Callable], meaning: Outputs, score: Score, y: np.ndarray, outputs: np.ndarray
) -> Metric:
    """A function of the user's: traced if it can be, on values of these shapes."""
    if not _name(given).isidentifier():
        raise ModelError(f"metrics: {_name(given)!r} is no name for a column of the history; define the function by def")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            traced = [out.type.shape for out in trace(score)(y, outputs).outputs] == [()]
        except Exception:  # it wants numbers, and is called between epochs
            traced = False
    return Metric(given, meaning, score, traced, None)


def _scikit_learns(name: str, meaning: Outputs) -> Score:
    """One of scikit-learn's scorers, on an estimator whose points are the outputs of the network."""
    from sklearn.metrics import get_scorer, get_scorer_names

    if name not in get_scorer_names():
        known = sorted({*get_scorer_names(), *OF_VALUES, "top_5_accuracy"})
        near = [k for k in known if k.startswith(str(name))] or difflib.get_close_matches(str(name), known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f". There are {known}, or pass f(y_true, y_pred)"
        raise ModelError(f"no metric is called {name!r}{hint}")
    scorer, estimator = get_scorer(name), _estimator(meaning)
    return lambda y, outputs: scorer(estimator, outputs, meaning.target(y))


def _estimator(meaning: Outputs) -> Any:
    from scipy.special import expit, softmax
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    class Network(RegressorMixin, BaseEstimator):  # type: ignore[misc]
        def __sklearn_is_fitted__(self) -> bool:
            return True

        def predict(self, outputs: np.ndarray) -> np.ndarray:
            return meaning.predicted(outputs)

    if not meaning.classes:
        return Network()

    class Classifier(ClassifierMixin, Network):  # type: ignore[misc]
        classes_ = np.array(meaning.classes)

        def decision_function(self, outputs: np.ndarray) -> np.ndarray:
            if meaning.threshold is not None:
                return meaning.target(outputs) - meaning.threshold
            return outputs[:, 1] - outputs[:, 0] if len(meaning.classes) == 2 else outputs

        def predict_proba(self, outputs: np.ndarray) -> np.ndarray:
            if meaning.threshold is None:
                return softmax(outputs.astype(np.float64), axis=1)
            column = meaning.target(outputs).astype(np.float64)
            positive = column if meaning.threshold else expit(column)
            return np.stack([1.0 - positive, positive], axis=1)

    return Classifier()
