"""Groups of parameters: `Grouped` gives parts of the tree optimizers of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from retrograde.errors import ModelError
from retrograde.optim.optimizers import Optimizer, State, end_epoch, wants_objective
from retrograde.tree import tree_leaves, tree_names, tree_structure, tree_unflatten

SHOWN = 8  # names in the message of an error


@dataclass(frozen=True)
class Grouped(Optimizer):
    """`default` for all parameters but those that a rule of `groups` catches, which have the rule's optimizer.

    groups: {rule: optimizer}, or pairs (rule, optimizer). A rule is a glob on the parameter's name in `nn.state_dict`
    ("0.weight", "*bias") or a function of (name, array); the first that holds counts. A rule that catches nothing raises
    `ModelError`. The state has one entry a group: "default", "0", "1", ... What sees all gradients together, such as
    `Clipped(max_norm=)`, goes around the whole; a schedule goes around each optimizer.

    >>> net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).init(0)
    >>> optimizer = optim.Grouped(optim.Adam(1e-3), {"0.*": optim.SGD(1e-4, momentum=0.9), "*bias": optim.Adam(1e-2)})
    >>> {group: sorted(state.get("m", state.get("velocity"))) for group, state in optimizer.init(net).items()}
    {'default': ['2.weight'], '0': ['0.bias', '0.weight'], '1': ['2.bias']}
    """

    default: Any
    groups: Any = ()

    def __post_init__(self) -> None:
        pairs = tuple(self.groups.items() if isinstance(self.groups, Mapping) else self.groups)
        for pair in pairs:
            if not (isinstance(pair, tuple) and len(pair) == 2 and (isinstance(pair[0], str) or callable(pair[0]))):
                raise ModelError("Grouped: groups are pairs of a rule (a glob, or a function of (name, array)) and an optimizer; "
                                 f"this is {pair!r}")  # fmt: skip
        for optimizer in (self.default, *(optimizer for _, optimizer in pairs)):
            if not hasattr(optimizer, "update") or wants_objective(optimizer):
                raise ModelError(f"Grouped: {optimizer!r} is no optimizer that steps by gradients, such as AdamW()")
        object.__setattr__(self, "groups", pairs)

    def init(self, params: Any) -> State:
        return {name: optimizer.init(part) for name, optimizer, part in self._parts(params, params)}

    def update(self, grads: Any, state: State, params: Any) -> tuple[Any, State]:
        new: State = {}
        found: dict[str, Any] = {}
        for (name, optimizer, part), (_, _, slopes) in zip(self._parts(params, params), self._parts(params, grads)):
            stepped, new[name] = optimizer.update(slopes, state[name], part)
            found |= stepped
        return tree_unflatten(tree_structure(params), [found[name] for name in tree_names(params)]), new

    def end_epoch(self, state: State, loss: Any) -> State:
        return {name: end_epoch(optimizer, state[name], loss) for name, optimizer in self._optimizers()}

    def _optimizers(self) -> list[tuple[str, Any]]:
        return [("default", self.default), *((str(i), optimizer) for i, (_, optimizer) in enumerate(self.groups))]

    def _parts(self, params: Any, values: Any) -> list[tuple[str, Any, dict[str, Any]]]:
        """For each group its name, its optimizer and the leaves of `values` in it, by name; rules look at `params`."""
        names = tree_names(params)
        places = [self._place(name, leaf) for name, leaf in zip(names, tree_leaves(params))]
        for place, (rule, _) in enumerate(self.groups):
            if place not in places:
                shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
                raise ModelError(f"Grouped: the rule {rule!r} catches no parameter, or none that an earlier rule left; they are "
                                 f"{shown}")  # fmt: skip
        leaves = tree_leaves(values)
        return [
            (name, optimizer, {n: leaf for n, at, leaf in zip(names, places, leaves) if at == place})
            for place, (name, optimizer) in enumerate(self._optimizers(), -1)
        ]

    def _place(self, name: str, leaf: Any) -> int:
        """The number of the first rule that holds, or -1."""
        return next((i for i, (rule, _) in enumerate(self.groups) if _holds(rule, name, leaf)), -1)


def decay_weights_only(optimizer: Any) -> Grouped:
    """`optimizer` whose weight decay leaves out biases and the gains of norms: arrays of one axis or none, and any named bias.

    Raises `ModelError` for one that has no `weight_decay`.

    >>> optimizer = optim.decay_weights_only(optim.AdamW(lr=0.1, weight_decay=0.5))
    >>> net, still = ({"weight": np.full((1, 2), p), "bias": np.full(1, p)} for p in (1.0, 0.0))
    >>> optimizer.update(still, optimizer.init(net), net)[0]
    {'weight': array([[0.95, 0.95]]), 'bias': array([1.])}
    """
    return Grouped(optimizer, ((_is_bias_or_gain, _without_decay(optimizer)),))


def _holds(rule: str | Callable, name: str, leaf: Any) -> bool:
    return fnmatchcase(name, rule) if isinstance(rule, str) else bool(rule(name, leaf))


def _is_bias_or_gain(name: str, leaf: Any) -> bool:
    return len(leaf.shape) < 2 or "bias" in name.rpartition(".")[2]


def _without_decay(optimizer: Any) -> Any:
    if hasattr(optimizer, "optimizer"):
        return replace(optimizer, optimizer=_without_decay(optimizer.optimizer))
    if not hasattr(optimizer, "weight_decay"):
        raise ModelError(f"decay_weights_only: {optimizer!r} has no weight_decay; AdamW(weight_decay=0.1) has")
    return replace(optimizer, weight_decay=0.0)
