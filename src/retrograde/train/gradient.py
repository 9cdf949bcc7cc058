"""The gradient of a batch in the precision that was asked for, and the scale of the loss that float16 needs.

float16 reaches from 6e-8 to 65504: cotangents are multiplied by a power of two to lie within, gradients divided by it. The scale
is found while training (P. Micikevicius et al., "Mixed precision training", ICLR 2018, section 3.2): a gradient that is not
finite halves it and its update is left out; after `PATIENCE` good updates it doubles. bfloat16 reaches as far as float32 and
needs none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrograde import nn, tree
from retrograde.errors import ModelError
from retrograde.nn.freezing import without_frozen
from retrograde.precision import reduced
from retrograde.transforms import kept_for_backward, value_and_grad, vjp
from retrograde.types import bfloat16

FIRST, LEAST, MOST = 2.0**15, 1.0, 2.0**24  # of the loss scale
PATIENCE = 2000

Scaling = dict[str, Any]


def dtype_of(precision: str | None) -> np.dtype | None:
    """The dtype of products and of what is held for the backward pass; None for that of the parameters."""
    if precision is None:
        return None
    if precision not in ("bf16", "f16"):
        raise ModelError(f'precision must be "bf16" (bfloat16), "f16" (float16) or None (the same); it is {precision!r}')
    return bfloat16() if precision == "bf16" else np.dtype(np.float16)


def first_scaling(narrow: np.dtype | None) -> Scaling | None:
    """The loss scale before the first update; None where none is needed."""
    if narrow != np.float16:
        return None
    return {"scale": np.float32(FIRST), "good": np.zeros((), np.int64), "skipped": np.zeros((), np.int64)}


def make_gradient(loss: Callable, narrow: np.dtype | None, penalty: Callable | None = None) -> Callable:
    """`gradient(net, x, y, weight, key, scaling) -> (loss, net, gradient)` of one batch.

    The network comes back with its buffers moved on; the gradient is by its trained arrays (`nn.partition`), the rest is
    constant. In reduced precision the network's products are reduced and its values held narrow; the loss, from the prediction
    on, is float32. A `penalty(trained, (x, y, weight))` is added to the loss.
    """

    def whole(net: Any, x: Any, y: Any, weight: Any, key: Any, scaling: None = None) -> tuple:
        trained, _ = nn.partition(net)
        (value, rest), grads = value_and_grad(objective(loss, penalty, net, weight, key), has_aux=True)(trained, x, y)
        return value, nn.combine(trained, rest), grads

    def mixed(net: Any, x: Any, y: Any, weight: Any, key: Any, scaling: Scaling | None = None) -> tuple:
        trained, run = _parts(net)
        prediction, pull, rest = vjp(reduced(lambda p: run(p, x, key), narrow), trained, has_aux=True, hold=narrow)
        value, ct = value_and_grad(lambda f: _weighed(loss, f, y, weight))(prediction)
        grads = pull(ct if scaling is None else tree.tree_map(lambda c: c * scaling["scale"], ct))[0]
        if scaling is not None:
            grads = tree.tree_map(lambda g: g / scaling["scale"], grads)
        if penalty is not None:
            added, more = value_and_grad(lambda p: penalty(p, (x, y, weight)))(trained)
            value, grads = value + added, tree.tree_map(np.add, grads, more)
        return value, nn.combine(trained, rest), grads

    return whole if narrow is None else mixed


def objective(loss: Callable, penalty: Callable | None, net: Any, weight: Any, key: Any) -> Callable:
    """`f(trained, x, y) -> (loss, the rest of the network after that)`, of a batch: what training differentiates."""
    run = _parts(net)[1]

    def f(trained: Any, x: Any, y: Any) -> tuple:
        prediction, rest = run(trained, x, key)
        value = _weighed(loss, prediction, y, weight)
        return value if penalty is None else value + penalty(trained, (x, y, weight)), rest

    return f


def _weighed(loss: Callable, prediction: Any, y: Any, weight: Any) -> Any:
    return loss(prediction, y) if weight is None else loss(prediction, y, sample_weight=weight)


def _parts(net: Any) -> tuple[Any, Callable]:
    """The trained arrays, and `run(trained, x, key) -> (prediction, the rest as it is after that)`, as in training."""
    trained, rest = nn.partition(net)

    def run(p: Any, x: Any, key: Any) -> tuple:
        prediction, moved = nn.combine(p, rest).apply(x, key)
        return prediction, nn.partition(moved)[1]

    return trained, run


def held_values(loss: Callable, narrow: np.dtype | None) -> Callable:
    """`held(net, x, y, key)` is what the backward pass of one batch needs kept, inputs and parameters among it."""

    def held(net: Any, x: Any, y: Any, key: Any) -> list:
        trained, run = _parts(net)
        if narrow is None:
            return kept_for_backward(lambda p: loss(run(p, x, key)[0], y))(trained)
        network = reduced(lambda p: run(p, x, key)[0], narrow)
        return kept_for_backward(network, hold=narrow)(trained) + kept_for_backward(lambda f: loss(f, y))(network(trained))

    return held


def chosen(first: Any, net: Any, other: Any) -> Any:
    """`net` where `first` is True, else `other`; frozen arrays are the same in both and stay untouched."""
    changed = tree.tree_map(lambda a, b: np.where(first, a, b), without_frozen(net)[0], without_frozen(other)[0])
    return nn.combine(changed, other)


def guarded(update: Callable, grads: Any, state: Any, params: Any, scaling: Scaling) -> tuple[tuple, Scaling]:
    """What `update` makes of (params, state) and a scale that may grow; if a gradient is not finite, they stay and it halves."""
    # 0 g is 0 unless g is infinite or NaN, and a sum is faster than a test of each element
    finite = np.isfinite(sum(np.sum(g * 0.0) for g in tree.tree_leaves(grads)))
    grads = tree.tree_map(lambda g: np.where(finite, g, 0.0), grads)  # the update waits for the answer: one pass over memory
    kept = tree.tree_map(lambda a, b: np.where(finite, a, b), tuple(update(grads, state, params)), (params, state))
    good = np.where(finite, scaling["good"] + 1, 0)
    grown = good >= PATIENCE
    scale = np.where(finite, np.where(grown, scaling["scale"] * 2.0, scaling["scale"]), scaling["scale"] * 0.5)
    return kept, {
        "scale": np.minimum(np.maximum(scale, LEAST), MOST), "good": np.where(grown, 0, good),
        "skipped": scaling["skipped"] + np.where(finite, 0, 1),
    }  # fmt: skip
