"""How `sweep` chooses what to try next: a list made beforehand (grid, random), or Optuna."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from retrograde.errors import ModelError
from retrograde.train.space import Parameters, drawn, grid, plain
from retrograde.train.trials import Trial

METHODS = ("grid", "random", "optuna")


class Pruning:
    """A callback of `fit` that tells an Optuna trial each epoch's loss, and ends the run where its pruner says so.

    The loss is the validation points' if there are some; of many starts the best.
    """

    def __init__(self, trial: Any):
        self.trial, self.pruned = trial, False
        self.curve: list[float] = []

    def __call__(self, history: dict[str, np.ndarray]) -> bool:
        values = history.get("val_loss", history["loss"])
        self.curve.append(float(np.fmin.reduce(np.atleast_1d(values[..., -1]))))
        self.trial.report(self.curve[-1], len(self.curve))
        self.pruned = bool(self.trial.should_prune())
        return self.pruned


class Search(Protocol):
    """What comes next, and what came of it."""

    def ask(self) -> Parameters | None:
        """The parameters of the next trial; None at the end."""

    def callback(self) -> Pruning | None:
        """A callback for the run of that trial, if somebody may end it."""

    def tell(self, trial: Trial) -> None:
        """What came of it; of trials that are read from a file, too."""


class Listed:
    """One after another, whatever comes of them."""

    def __init__(self, parameters: Iterator[Parameters]):
        self.parameters = parameters

    def ask(self) -> Parameters | None:
        return next(self.parameters, None)

    def callback(self) -> None:
        return None

    def tell(self, trial: Trial) -> None:
        pass


class Optuna:
    """Optuna's TPE (J. Bergstra et al., "Algorithms for hyper-parameter optimization", NeurIPS 2011), or another of its samplers.

    With a pruner a trial is stopped early when, by the pruner's rule, others were ahead of it at the same epoch.
    """

    def __init__(self, space: Mapping[str, Any], seed: int, sampler: Any, pruner: Any):
        try:
            import optuna
        except ImportError:
            raise ImportError("method=\"optuna\" needs optuna: pip install 'retrograde[optuna]'") from None
        self.optuna, self.space, self.prunes = optuna, space, pruner is not None
        level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self.study = optuna.create_study(
                sampler=sampler or optuna.samplers.TPESampler(seed=seed), pruner=pruner or optuna.pruners.NopPruner()
            )
        finally:
            optuna.logging.set_verbosity(level)
        self.distributions = {name: self._distribution(name, values) for name, values in space.items()}
        self.trial: Any = None
        self.pruning: Pruning | None = None

    def _distribution(self, name: str, values: Any) -> Any:
        of = self.optuna.distributions
        if isinstance(values, list):
            return of.CategoricalDistribution(range(len(values)))  # by place: Optuna takes plain numbers and texts alone
        low, high = (plain(bound) for bound in values.support())
        kind = getattr(getattr(values, "dist", None), "name", None)
        if kind == "randint":
            return of.IntDistribution(int(low), int(high))
        if kind in ("uniform", "loguniform", "reciprocal"):
            return of.FloatDistribution(float(low), float(high), log=kind != "uniform")
        raise ModelError(f"{name!r}: for Optuna give a list, or uniform, loguniform or randint of scipy.stats; it is {values!r}")

    def ask(self) -> Parameters:
        self.trial, self.pruning = self.study.ask(self.distributions), None
        found = self.trial.params
        return {name: v[found[name]] if isinstance(v, list) else found[name] for name, v in self.space.items()}

    def callback(self) -> Pruning | None:
        self.pruning = Pruning(self.trial) if self.prunes else None
        return self.pruning

    def tell(self, trial: Trial) -> None:
        states = self.optuna.trial.TrialState
        for epoch, value in enumerate(trial.curve if self.pruning is None else (), 1):  # of a trial out of a file
            self.trial.report(value, epoch)
        state = {"done": states.COMPLETE, "pruned": states.PRUNED}.get(trial.state, states.FAIL)
        self.study.tell(self.trial, trial.score if trial.state == "done" else None, state=state)


def get_search(method: str, space: Mapping[str, Any], seed: int, sampler: Any, pruner: Any) -> Search:
    """The search of this name."""
    if method not in METHODS:
        raise ModelError(f'method is "grid", "random" or "optuna", not {method!r}')
    if method == "optuna":
        return Optuna(space, seed, sampler, pruner)
    if sampler is not None or pruner is not None:
        raise ModelError(f'sampler and pruner are objects of Optuna\'s, for method="optuna"; the method is {method!r}')
    return Listed(iter(grid(space)) if method == "grid" else drawn(space, seed))
