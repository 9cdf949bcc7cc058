"""PyTorch's losses of classes: CrossEntropyLoss, NLLLoss, KLDivLoss, BCELoss, BCEWithLogitsLoss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from retrograde import numpy as rnp
from retrograde.errors import ModelError
from retrograde.nn.criteria import Criterion


@dataclass(frozen=True, eq=False)
class NLLLoss(Criterion):
    """-weight[y] f[y] of log-probabilities (batch, classes) and labels (batch,); the mean is over the sum of weight[y].

    Labels equal to ignore_index count nothing. One that is no class raises; in compiled code the loss of its point is NaN.

    >>> log_p = np.log([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    >>> nn.NLLLoss()(log_p, np.array([0, 2])).round(3), nn.NLLLoss(ignore_index=2)(log_p, np.array([0, 2])).round(3)
    (np.float64(0.29), np.float64(0.357))
    """

    weight: Any = None
    ignore_index: int = -100

    def __call__(self, input: Any, target: Any, *, sample_weight: Any = None) -> Any:
        """The loss of log-probabilities and integer labels."""
        return self._of_labels(input, target, sample_weight, 0.0)

    def _of_labels(self, log_p: Any, target: Any, sample_weight: Any, smoothing: float) -> Any:
        name, (n, classes) = type(self).__name__, _classes(self, log_p)
        target = target if hasattr(target, "dtype") else np.asarray(target)
        if target.dtype.kind not in "iu" or np.shape(target) != (n,):
            raise ModelError(f"{name}: the target is integer labels of shape {(n,)}; it is {target.dtype} {np.shape(target)}")
        counts = target != self.ignore_index
        odd = counts & ((target < 0) | (target >= classes))
        known = isinstance(target, np.ndarray)
        if known and np.any(odd):
            raise ModelError(f"{name}: label {target[odd][0]} is none of 0 to {classes - 1}")
        target = np.where(counts, target, 0)
        by_class = self._weights(log_p)
        of_point = np.where(counts, np.ones(n, log_p.dtype) if by_class is None else rnp.take(by_class, target, axis=0), 0.0)
        of_point = of_point if sample_weight is None else of_point * _checked(sample_weight, n)
        each = -np.take_along_axis(log_p, np.expand_dims(target, 1), -1)[:, 0] * of_point
        if smoothing:
            spread = -np.sum(log_p if by_class is None else log_p * by_class, axis=-1) / classes
            kept = np.where(counts, 1.0, 0.0).astype(log_p.dtype)
            kept = kept if sample_weight is None else kept * sample_weight
            each = (1.0 - smoothing) * each + smoothing * spread * kept
        each = each if known else np.where(odd, np.nan, each)
        if self.reduction == "none":
            return each
        return np.sum(each) if self.reduction == "sum" else np.sum(each) / np.sum(of_point)

    def _weights(self, log_p: Any) -> Any:
        if self.weight is None:
            return None
        if np.shape(self.weight) != np.shape(log_p)[1:]:
            raise ModelError(f"{type(self).__name__}: weight has shape {np.shape(self.weight)}; it is one number a class, "
                             f"{np.shape(log_p)[1:]}")  # fmt: skip
        return np.asarray(self.weight, log_p.dtype)


@dataclass(frozen=True, eq=False)
class CrossEntropyLoss(NLLLoss):
    """`NLLLoss` of the log-softmax of logits (batch, classes), against labels (batch,) or probabilities (batch, classes).

    label_smoothing moves that part of each label to all classes alike (C. Szegedy et al., 2016, section 7). Raises `ModelError`
    for other shapes, and for labels that are no class.

    >>> logits = np.array([[2.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    >>> nn.CrossEntropyLoss()(logits, np.array([0, 2])).round(3), nn.CrossEntropyLoss()(logits, np.array([1, 1])).round(3)
    (np.float64(0.24), np.float64(2.24))
    >>> rg.grad(nn.CrossEntropyLoss(label_smoothing=0.1))(logits, np.array([0, 2])).round(3)
    array([[-0.073,  0.037,  0.037],
           [ 0.037,  0.037, -0.073]])
    """

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.label_smoothing <= 1:
            raise ModelError(f"CrossEntropyLoss: label_smoothing lies in [0, 1]; it is {self.label_smoothing!r}")

    def __call__(self, input: Any, target: Any, *, sample_weight: Any = None) -> Any:
        """The loss of logits and labels or probabilities."""
        n, classes = _classes(self, input)
        log_p = rnp.log_softmax(input)
        target = target if hasattr(target, "dtype") else np.asarray(target)
        if np.ndim(target) != 2:
            return self._of_labels(log_p, target, sample_weight, self.label_smoothing)
        if np.shape(target) != (n, classes):
            raise ModelError(f"CrossEntropyLoss: probabilities have the logits' shape {(n, classes)}, not {np.shape(target)}")
        target = target.astype(log_p.dtype) * (1.0 - self.label_smoothing) + self.label_smoothing / classes
        by_class = self._weights(log_p)
        return self._reduced(-np.sum(log_p * target if by_class is None else log_p * target * by_class, axis=-1), sample_weight)


@dataclass(frozen=True, eq=False)
class KLDivLoss(Criterion):
    """y (log y - f), f being log-probabilities, y probabilities (0 log 0 = 0) or with `log_target` their logarithms.

    Both have one shape. "batchmean" as the reduction is the sum over the number of points, the divergence itself (S. Kullback
    and R. Leibler, 1951); "mean" is over all elements.

    >>> p = np.array([[0.7, 0.2, 0.1]])
    >>> loss = nn.KLDivLoss(reduction="batchmean")
    >>> loss(np.log(p), p), loss(np.log(np.full((1, 3), 1 / 3)), p).round(3)
    (np.float64(0.0), np.float64(0.297))
    """

    log_target: bool = False

    def __post_init__(self) -> None:
        if self.reduction != "batchmean":
            super().__post_init__()

    def each(self, f: Any, y: Any) -> Any:
        if self.log_target:
            return np.exp(y) * (y - f)
        return np.where(y > 0, y * np.log(np.where(y > 0, y, 1.0)), 0.0) - y * f

    def _reduced(self, each: Any, sample_weight: Any) -> Any:
        if self.reduction == "batchmean":
            per_point = np.sum(np.reshape(each, (np.shape(each)[0], -1)), axis=1)
            return KLDivLoss()._reduced(per_point, sample_weight)
        return super()._reduced(each, sample_weight)


@dataclass(frozen=True, eq=False)
class BCELoss(Criterion):
    """-(y log f + (1 - y) log(1 - f)) of probabilities f, both logarithms being -100 at the least, as in PyTorch.

    f and y have one shape; an f outside [0, 1] raises `ModelError`.

    >>> nn.BCELoss()(np.array([[0.9], [0.2]]), np.array([[1], [0]])).round(3)
    np.float64(0.164)
    """

    weight: Any = None

    def each(self, f: Any, y: Any) -> Any:
        if isinstance(f, np.ndarray) and not np.all((f >= 0) & (f <= 1)):
            raise ModelError("BCELoss takes probabilities from 0 to 1; for logits there is BCEWithLogitsLoss")
        each = -(y * _log(f) + (1.0 - y) * _log(1.0 - f))
        return each if self.weight is None else each * np.asarray(self.weight, each.dtype)


@dataclass(frozen=True, eq=False)
class BCEWithLogitsLoss(BCELoss):
    """pos_weight y softplus(-f) + (1 - y) softplus(f) of logits f, which never overflows; pos_weight is one number a class.

    f and y have one shape, y from 0 to 1.

    >>> logits, y = np.array([[3.0], [-1000.0]]), np.array([[1], [0]])
    >>> nn.BCEWithLogitsLoss()(logits, y).round(3), nn.BCEWithLogitsLoss(pos_weight=10.0)(logits, y).round(3)
    (np.float64(0.024), np.float64(0.243))
    """

    pos_weight: Any = None

    def each(self, f: Any, y: Any) -> Any:
        positive = y if self.pos_weight is None else y * np.asarray(self.pos_weight, y.dtype)
        each = positive * rnp.softplus(-f) + (1.0 - y) * rnp.softplus(f)
        return each if self.weight is None else each * np.asarray(self.weight, each.dtype)


def _log(p: Any) -> Any:
    """log p, not below -100."""
    known = p > np.exp(-100.0)
    return np.where(known, np.log(np.where(known, p, 1.0)), -100.0)


def _classes(loss: Any, f: Any) -> tuple[int, int]:
    if np.ndim(f) != 2:
        raise ModelError(f"{type(loss).__name__}: the prediction has shape (batch, classes); it is {np.shape(f)}")
    return np.shape(f)


def _checked(sample_weight: Any, n: int) -> Any:
    if np.shape(sample_weight) != (n,):
        raise ModelError(f"sample_weight must have one number a point, shape {(n,)}; it has {np.shape(sample_weight)}")
    return sample_weight
