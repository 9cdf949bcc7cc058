"""PyTorch's losses with margins: hinge, ranking, multi-class, cosine and triplet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from retrograde import numpy as rnp
from retrograde.errors import ModelError
from retrograde.nn.classifying import _classes
from retrograde.nn.criteria import Criterion, _inputs


class SoftMarginLoss(Criterion):
    """log(1 + exp(-y f)) for y = -1 or 1, of one shape with f.

    >>> nn.SoftMarginLoss()(np.array([[2.0], [-3.0]]), np.array([[1], [-1]])).round(3)
    np.float64(0.088)
    """

    def each(self, f: Any, y: Any) -> Any:
        return rnp.softplus(-y * f)


@dataclass(frozen=True, eq=False)
class HingeEmbeddingLoss(Criterion):
    """The distance f where y = 1, max(0, margin - f) where y = -1, of one shape (R. Hadsell, S. Chopra and Y. LeCun, 2006).

    >>> nn.HingeEmbeddingLoss(reduction="none")(np.array([0.3, 0.3, 2.0]), np.array([1, -1, -1]))
    array([0.3, 0.7, 0. ])
    """

    margin: float = 1.0

    def each(self, f: Any, y: Any) -> Any:
        return np.where(y == 1, f, np.where(y == -1, np.maximum(self.margin - f, 0), f + np.maximum(self.margin - f, 0)))


@dataclass(frozen=True, eq=False)
class MarginRankingLoss(Criterion):
    """max(0, margin - y (a - b)): y = 1 if a is to rank above b, else -1. Called as (a, b, y), or ((a, b), y) in `fit`.

    a, b and y have one shape.

    >>> nn.MarginRankingLoss(margin=1.0, reduction="none")(np.array([3.0, 0.5]), np.array([1.0, 0.0]), np.array([1, 1]))
    array([0. , 0.5])
    """

    margin: float = 0.0

    def each(self, a: Any, b: Any, y: Any) -> Any:
        return np.maximum(self.margin - y * (a - b), 0)

    def __call__(self, input1: Any, input2: Any, target: Any = None, *, sample_weight: Any = None) -> Any:
        """The loss of two scores and which is the higher."""
        if target is None:
            (input1, input2), target = _inputs(self, input1, None), input2
        return self._of(input1, input2, target, sample_weight=sample_weight)


@dataclass(frozen=True, eq=False)
class MultiMarginLoss(Criterion):
    """sum over i != y of max(0, margin - f[y] + f[i])^p / classes, times weight[y], for labels y; p is 1 or 2.

    J. Weston and C. Watkins (1999). f is (batch, classes), y (batch,). Raises `ModelError` for other shapes, and for labels that
    are no class.

    >>> nn.MultiMarginLoss(reduction="none")(np.array([[2.0, 0.0, 0.0], [0.5, 0.0, 0.0]]), np.array([0, 0])).round(3)
    array([0.   , 0.333])
    """

    p: int = 1
    margin: float = 1.0
    weight: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.p not in (1, 2):
            raise ModelError(f"MultiMarginLoss: p is 1 or 2, not {self.p!r}")

    def __call__(self, input: Any, target: Any, *, sample_weight: Any = None) -> Any:
        """The loss of scores (batch, classes) and integer labels (batch,)."""
        n, classes = _classes(self, input)
        y = _labels(self, target, (n,), classes, 0)
        at = np.expand_dims(y, 1)
        gap = np.maximum(self.margin - np.take_along_axis(input, at, 1) + input, 0)
        gap = np.where(np.arange(classes) == at, 0.0, gap if self.p == 1 else np.square(gap))
        each = np.sum(gap, axis=1) / classes
        if self.weight is not None:
            each = each * rnp.take(np.asarray(self.weight, each.dtype), y, axis=0)
        return self._reduced(_nan_where_odd(each, y, classes, 0), sample_weight)


class MultiLabelMarginLoss(Criterion):
    """sum over labels j and classes i that are no label of max(0, 1 - (f[j] - f[i])) / classes.

    The target (batch, classes) lists the labels of each point, up to the first -1.

    >>> scores, labels = np.array([[0.1, 0.2, 0.4, 0.8]]), np.array([[3, 0, -1, 1]])      # 3 and 0
    >>> nn.MultiLabelMarginLoss()(scores, labels).round(3)
    np.float64(0.85)
    """

    def __call__(self, input: Any, target: Any, *, sample_weight: Any = None) -> Any:
        """The loss of scores (batch, classes) and lists of labels of the same shape."""
        n, classes = _classes(self, input)
        y = _labels(self, target, (n, classes), classes, -1)
        given, counts = y, np.cumsum((y < 0).astype(np.int64), axis=1) == 0
        y = np.where(counts, y, 0)
        is_label = np.any((np.expand_dims(y, 2) == np.arange(classes)) & np.expand_dims(counts, 2), axis=1)
        of_label = np.expand_dims(np.take_along_axis(input, y, 1), 2)  # (batch, place in the list, 1)
        gap = np.maximum(1.0 - (of_label - np.expand_dims(input, 1)), 0)
        pairs = np.expand_dims(counts, 2) & ~np.expand_dims(is_label, 1)
        each = np.sum(np.where(pairs, gap, 0.0), axis=(1, 2)) / classes
        return self._reduced(_nan_where_odd(each, given, classes, -1), sample_weight)


@dataclass(frozen=True, eq=False)
class CosineEmbeddingLoss(Criterion):
    """1 - cos(a, b) where y = 1, max(0, cos(a, b) - margin) where y = -1. Called as (a, b, y), or ((a, b), y) in `fit`.

    a and b are (batch, features), y is (batch,), else `ModelError` is raised.

    >>> a, b = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[2.0, 0.0], [3.0, 4.0]])
    >>> nn.CosineEmbeddingLoss(reduction="none")(a, b, np.array([1, -1])).round(3)
    array([0. , 0.6])
    """

    margin: float = 0.0

    def __call__(self, input1: Any, input2: Any, target: Any = None, *, sample_weight: Any = None) -> Any:
        """The loss of two arrays (batch, features) and y (batch,)."""
        if target is None:
            (input1, input2), target = _inputs(self, input1, None), input2
        target = target if hasattr(target, "dtype") else np.asarray(target)
        if np.ndim(input1) != 2 or np.shape(input1) != np.shape(input2) or np.shape(target) != np.shape(input1)[:1]:
            raise ModelError(f"CosineEmbeddingLoss takes two arrays (batch, features) and a target (batch,); their shapes are "
                             f"{np.shape(input1)}, {np.shape(input2)} and {np.shape(target)}")  # fmt: skip
        eps = 1e-12  # as PyTorch's kernel has it
        squares = (np.sum(np.square(input1), axis=1) + eps) * (np.sum(np.square(input2), axis=1) + eps)
        cosine = np.sum(input1 * input2, axis=1) / np.sqrt(squares)
        apart = np.where(target == -1, np.maximum(cosine - self.margin, 0), 0.0)
        return self._reduced(np.where(target == 1, 1.0 - cosine, apart), sample_weight)


@dataclass(frozen=True, eq=False)
class TripletMarginLoss(Criterion):
    """max(0, |a - p + eps| - |a - n + eps| + margin) of anchors, positives and negatives (V. Balntas et al., 2016).

    Norms are p-norms over the last axis; `swap` takes the nearer of a and p to n. Called as (anchor, positive, negative), or
    ((anchor, positive, negative), y) in `fit`, whose y is not looked at.

    >>> anchor, positive, negative = np.array([[0.0, 0.0]]), np.array([[0.0, 1.0]]), np.array([[1.5, 0.0]])
    >>> nn.TripletMarginLoss()(anchor, positive, negative).round(3)
    np.float64(0.5)
    """

    margin: float = 1.0
    p: float = 2.0
    eps: float = 1e-6
    swap: bool = False

    def __call__(self, anchor: Any, positive: Any, negative: Any = None, *, sample_weight: Any = None) -> Any:
        """The loss of three arrays (batch, features)."""
        if negative is None:
            anchor, positive, negative = _inputs(self, anchor, None, None)
        if np.ndim(anchor) == 0 or not np.shape(anchor) == np.shape(positive) == np.shape(negative):
            raise ModelError(f"TripletMarginLoss takes three arrays of one shape; they have {np.shape(anchor)}, "
                             f"{np.shape(positive)} and {np.shape(negative)}")  # fmt: skip
        near, far = self._distance(anchor, positive), self._distance(anchor, negative)
        if self.swap:
            far = np.minimum(far, self._distance(positive, negative))
        return self._reduced(np.maximum(near - far + self.margin, 0), sample_weight)

    def _distance(self, a: Any, b: Any) -> Any:
        gap = a - b + self.eps
        if self.p == 2:
            return np.sqrt(np.sum(np.square(gap), axis=-1))
        return np.sum(np.abs(gap) ** self.p, axis=-1) ** (1.0 / self.p)


def _labels(loss: Any, target: Any, shape: tuple[int, ...], classes: int, least: int) -> Any:
    name, target = type(loss).__name__, target if hasattr(target, "dtype") else np.asarray(target)
    if target.dtype.kind not in "iu" or np.shape(target) != shape:
        raise ModelError(f"{name}: the target is integer labels of shape {shape}; it is {target.dtype} {np.shape(target)}")
    if isinstance(target, np.ndarray) and target.size and not (target.min() >= least and target.max() < classes):
        raise ModelError(f"{name}: labels run from {target.min()} to {target.max()}; they are {least} to {classes - 1}")
    return target


def _nan_where_odd(each: Any, labels: Any, classes: int, least: int) -> Any:
    """In compiled code, where nothing can be raised: NaN for points with a label that is no class."""
    if isinstance(labels, np.ndarray):
        return each
    odd = (labels < least) | (labels >= classes)
    return np.where(np.any(odd, axis=1) if np.ndim(labels) == 2 else odd, np.nan, each)
