"""Optimizers by name."""

from __future__ import annotations

import difflib
from typing import Any

from retrograde.errors import ModelError
from retrograde.optim.adaptive import LAMB, Adadelta, Adamax, Lion, NAdam, RAdam, Rprop
from retrograde.optim.lbfgs import LBFGS
from retrograde.optim.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop

OPTIMIZERS: dict[str, type] = {
    "sgd": SGD, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "adagrad": Adagrad, "nadam": NAdam, "radam": RAdam,
    "adamax": Adamax, "adadelta": Adadelta, "lion": Lion, "lamb": LAMB, "lbfgs": LBFGS,
    "rprop": Rprop,
}  # fmt: skip


def get_optimizer(optimizer: Any, lr: float | None = None) -> Any:
    """An optimizer by name (with a learning rate), or the object itself; `ModelError` for what is neither.

    >>> optim.get_optimizer("adam", lr=0.01)
    Adam(lr=0.01, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0, amsgrad=False)
    """
    if isinstance(optimizer, type):
        raise ModelError(f"an optimizer is an object, not its class: {optimizer.__name__}() instead of {optimizer.__name__}")
    if not isinstance(optimizer, str):
        if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
            raise ModelError(f"an optimizer has init(params) and update(grads, state, params); {optimizer!r} has not")
        return optimizer
    name = "sgd" if optimizer.lower() == "gd" else optimizer.lower()
    if name not in OPTIMIZERS:
        near = difflib.get_close_matches(name, OPTIMIZERS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ModelError(f"no optimizer is called {optimizer!r}{hint} There are {sorted(OPTIMIZERS)}")
    return OPTIMIZERS[name]() if lr is None else OPTIMIZERS[name](lr=lr)
