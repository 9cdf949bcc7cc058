"""What `fit` does against learning the data by heart: penalties on weights, mixup, augmentation of the batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from retrograde import numpy as rnp
from retrograde import random, tree
from retrograde.errors import ModelError
from retrograde.optim.optimizers import is_zero

AUGMENT, MIXUP = 0xFFFFFFFF, 0xFFFFFFFE  # folded into a batch's key; a network folds in small numbers, those of its layers


@dataclass(frozen=True)
class Penalty:
    """l1 sum |w| + l2 sum w^2 over the trained weights: arrays of two axes or more, not biases and not the scales of norms.

    What `own(trained, points)` returns is added, points being (x, y, weight or None) of a batch.
    """

    numbers = ("l1", "l2")

    l1: float
    l2: float
    own: Callable | None = None

    def __call__(self, trained: Any, points: Sequence[Any]) -> Any:
        weights = weights_of(trained)
        total = 0.0 if is_zero(self.l2) else sum(self.l2 * np.sum(np.square(w)) for w in weights)
        total = total if is_zero(self.l1) else total + sum(self.l1 * np.sum(np.abs(w)) for w in weights)
        return total if self.own is None else total + self.own(trained, points)


def weights_of(trained: Any) -> list[Any]:
    """The arrays that a penalty is on."""
    return [leaf for leaf in tree.tree_leaves(trained) if np.ndim(leaf) >= 2]


class Pairs(NamedTuple):
    """Targets of mixed points that are labels, and so cannot be mixed: those of both, and the first one's share in the loss."""

    first: Any
    second: Any
    second_weight: Any
    share: Any


def augmented(augment: Callable, x: Any, key: Any) -> Any:
    """The batch as `augment(x, key)` changes it."""
    found = augment(x, random.fold_in(key, AUGMENT))
    if np.shape(found) != np.shape(x) or getattr(found, "dtype", None) != x.dtype:
        got = f"{getattr(found, 'dtype', type(found).__name__)} {np.shape(found)}"
        raise ModelError(f"augment must return a batch as it was given, {x.dtype} {np.shape(x)}; it returned {got}")
    return found


def mixed(alpha: float, points: Sequence[Any], key: Any) -> list[Any]:
    """x, y and weights (or None) of a batch mixed with those of another order of it, share times the one and 1 - share the other.

    H. Zhang et al., "mixup: Beyond empirical risk minimization", ICLR 2018: the share is drawn from Beta(alpha, alpha), once for
    the batch. Integer labels become `Pairs`.
    """
    x, y, weight = points
    key = random.fold_in(key, MIXUP)
    order = random.permutation(random.fold_in(key, 0), len(x))
    share = symmetric_beta(random.fold_in(key, 1), alpha).astype(x.dtype)

    def other(values: Any) -> Any:
        return None if values is None else rnp.take(values, order, axis=0)

    def mix(values: Any) -> Any:
        return None if values is None else share * values + (1.0 - share) * other(values)

    if y.dtype.kind in "iu":
        return [mix(x), Pairs(y, other(y), other(weight), share), weight]
    return [mix(x), mix(y), mix(weight)]


def of_pairs(loss: Callable) -> Callable:
    """The loss, for targets that may be `Pairs`: share times that of the first labels and 1 - share that of the second."""

    def of(prediction: Any, target: Any, **given: Any) -> Any:
        if not isinstance(target, Pairs):
            return loss(prediction, target, **given)
        second = {"sample_weight": target.second_weight} if given else {}
        return target.share * loss(prediction, target.first, **given) + (1.0 - target.share) * loss(
            prediction, target.second, **second
        )

    return of


def symmetric_beta(key: Any, alpha: float) -> Any:
    """A float64 drawn from Beta(alpha, alpha), exactly, from two uniform numbers.

    T of Student's distribution with 2 alpha degrees of freedom by the polar method (R. Bailey, 1994, "Polar generation of random
    variates with the t-distribution", Mathematics of Computation 62), and (1 + T / sqrt(2 alpha + T^2)) / 2 of it; written so
    that nothing overflows for small alpha.
    """
    u = 1.0 - random.uniform(key, (2,), np.float64)  # in (0, 1]
    q, c = np.maximum(u[0] ** (1.0 / alpha), 1e-300), np.cos(2.0 * math.pi * u[1])
    return 0.5 + 0.5 * c * np.sqrt(1.0 - q) / np.sqrt(q + (1.0 - q) * c * c)


def check_regularization(l1: Any, l2: Any, own: Any, mixup: Any, augment: Any, trained: Any) -> Penalty | None:
    """The penalty, if there is one, where all are what they should be."""
    for name, value in (("l1", l1), ("l2", l2), ("mixup", mixup)):
        if name == "mixup" and value is None:
            continue
        number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
        if not number or not 0 <= value < np.inf or (name == "mixup" and value == 0):
            wanted = "a positive number, or None" if name == "mixup" else "a number, 0 or more"
            raise ModelError(f"{name} must be {wanted}; it is {value!r}")
    if augment is not None and not callable(augment):
        raise ModelError(f"augment is a function f(x, key) of a batch, such as nn.augment.random_flip(); it is {augment!r}")
    if own is not None and not callable(own):
        raise ModelError(f"penalty is a function f(parameters, (x, y, weight)) of a batch that returns one number; it is {own!r}")
    if not (l1 or l2):
        return None if own is None else Penalty(0.0, 0.0, own)
    if not weights_of(trained):
        raise ModelError("l1 and l2 are penalties on weights, arrays of two axes or more; the network has none that are trained")
    return Penalty(float(l1), float(l2), own)
