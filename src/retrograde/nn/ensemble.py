"""`Ensemble`: several networks of one architecture as one network, which averages what they say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograde import numpy as rnp
from retrograde import random
from retrograde.errors import ModelError
from retrograde.nn.classifying import BCEWithLogitsLoss, CrossEntropyLoss, NLLLoss
from retrograde.nn.collecting import as_noted, note_moved
from retrograde.nn.losses import binary_cross_entropy, cross_entropy
from retrograde.nn.module import Module, check_size, child_seeds
from retrograde.tree import tree_leaves, tree_map, tree_structure
from retrograde.vectorize import vmap

AVERAGES = ("mean", "softmax", "sigmoid")


class Ensemble(Module):
    """The average of `size` networks built like `member`, whose arrays have a first axis for them; `Ensemble.of` stacks them.

    average: "mean" of the outputs, for values. "softmax" for logits of classes (on the last axis), "sigmoid" for logits of two
    classes each: probabilities are averaged (B. Lakshminarayanan, A. Pritzel and C. Blundell, "Deep ensembles", NeurIPS 2017,
    section 2.4), and the output is their logits again, so that losses, metrics and argmax take it as a member's.

    All members run at once (`vmap`), in training, too, where each has running statistics of its own. Their outputs are averaged,
    not their weights: the average of weights of networks that were trained apart is no trained network, as they lie in different
    basins and number their units differently. For weights averaged along one run see `optim.Averaged`.

    >>> ensemble = nn.Ensemble(nn.Linear(2, 3), size=5, average="softmax").init(0)
    >>> x = np.ones((4, 2), np.float32)
    >>> ensemble(x).shape, ensemble.members(x).shape
    ((4, 3), (5, 4, 3))
    >>> mean, std = ensemble.mean_and_std(x)  # of the members' probabilities
    >>> np.allclose(mean.sum(axis=1), 1)
    True
    """

    dynamic = ("member",)

    def __init__(self, member: Module, size: int, average: str = "mean"):
        if not isinstance(member, Module):
            raise ModelError(f"Ensemble: member is a network, a Module; it is {member!r}. Ensemble.of([net, ...]) stacks several")
        check_size(self, size=size)
        if average not in AVERAGES:
            raise ModelError(f'Ensemble: average is "mean", "softmax" or "sigmoid", not {average!r}')
        self.member, self.size, self.average = member, int(size), average

    @staticmethod
    def of(networks: Sequence[Module], average: str = "mean") -> Ensemble:
        """The ensemble of these networks; their arrays are copied. Raises `ModelError` if they are not built alike."""
        networks = list(networks)
        if not networks or not all(isinstance(net, Module) and net.initialized for net in networks):
            raise ModelError(f"Ensemble.of takes networks with parameters, one at least; it was given {networks!r}")
        first = networks[0]
        for net in networks[1:]:
            if tree_structure(net) != tree_structure(first) or _types(net) != _types(first):
                raise ModelError(f"Ensemble.of takes networks of one architecture; {net!r} is built otherwise than {first!r}")
        return Ensemble(tree_map(lambda *leaves: np.stack(leaves), *networks), len(networks), average)

    def initialize_from(self, seeds: np.random.SeedSequence, dtype: np.dtype, follows: Any) -> Any:
        """Members of seeds of their own."""
        made = [self.member.initialize_from(child_seeds(seeds, i), dtype, None) for i in range(self.size)]
        return self.replace(member=tree_map(lambda *leaves: np.stack(leaves), *made))

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, i: int) -> Module:
        """Member `i` by itself."""
        if not -self.size <= i < self.size:
            raise IndexError(f"the ensemble has members 0 to {self.size - 1}; {i} is none of them")
        return tree_map(lambda leaf: leaf[i], self.member)

    def members(self, x: Any, key: Any = None) -> Any:
        """What each member makes of `x`: (size, ...); with a key as in training, each with a key of its own."""
        x = tree_map(rnp.asarray, x)  # a table or a list, as one network takes them: beside traced weights NumPy would not
        if key is None:
            return vmap(lambda net: net(x))(self.member)
        outputs, moved = vmap(lambda net, i: net.apply(x, random.fold_in(key, i)))(as_noted(self.member), np.arange(self.size))
        note_moved(self.member, moved)
        return outputs

    def mean_and_std(self, x: Any) -> tuple[Any, Any]:
        """Mean and standard deviation over the members of what is averaged: outputs, or probabilities of logits."""
        outputs = self.members(x)
        if self.average != "mean":
            outputs = rnp.softmax(outputs) if self.average == "softmax" else rnp.sigmoid(outputs)
        return np.mean(outputs, axis=0), np.std(outputs, axis=0)

    def __call__(self, x: Any, key: Any = None) -> Any:
        outputs = self.members(x, key)
        if self.average == "mean":
            return np.mean(outputs, axis=0)
        if self.average == "softmax":
            return rnp.logsumexp(rnp.log_softmax(outputs), axis=0) - math.log(self.size)
        yes, no = (rnp.logsumexp(-rnp.softplus(z), axis=0) for z in (-outputs, outputs))  # softplus(-z) is -log sigmoid(z)
        return yes - no

    def __repr__(self) -> str:
        return f"Ensemble({self.member!r}, size={self.size}, average={self.average!r})"


def average_for(loss: Any) -> str:
    """How an ensemble of networks that were trained by this loss averages."""
    if loss is cross_entropy or isinstance(loss, (CrossEntropyLoss, NLLLoss)):
        return "softmax"
    return "sigmoid" if loss is binary_cross_entropy or isinstance(loss, BCEWithLogitsLoss) else "mean"


def _types(net: Module) -> list[tuple]:
    return [(np.shape(leaf), np.asarray(leaf).dtype) for leaf in tree_leaves(net)]
