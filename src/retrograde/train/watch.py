"""`Watch`: statistics of named values and cotangents, streamed out of the compiled run.

At a watched update the pass of its batch is looked at before the update is made, by the names of the glass box. What is looked at
is traced a second time, beside the update: where every update is watched the compiler shares the two, else a branch skips it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrograde import nn, tree
from retrograde import numpy as rnp
from retrograde.control import cond
from retrograde.errors import ModelError
from retrograde.nn.module import leaves_of

SHOWN = 30  # names in the message of an error
LETTERS = {"omega": "Ω", "beta": "β"}
FIGURES: dict[str, Callable] = {
    "norm": lambda x: np.sqrt(np.sum(np.square(x))),
    "mean": np.mean,
    "min": np.min,
    "max": np.max,
    "zeros": lambda x: np.mean(x == 0.0),
}


@dataclass(frozen=True)
class Watch:
    """What `fit(..., watch=)` looks at: `names` of values, at the first update of each epoch and then at every `every`-th of it.

    A name is that of a step of a record ("h1", "f1", "l", your own variables), of a parameter ("Ω0" or "omega0", or as in
    `nn.state_dict`), "dl/d" and such a name for its cotangent, or "update/" and a parameter's for what the update adds to it,
    divided by its norm. every: "epoch" for one update an epoch, or a number of updates. statistics: some of "norm" (Euclidean),
    "mean", "min", "max", "zeros" (the share that is exactly 0) and "histogram": how many elements lie in each of `bins` bins of
    equal width from the least to the greatest. Raises `ModelError` for settings that are none.
    """

    names: Sequence[str]
    every: int | str = "epoch"
    statistics: Sequence[str] = ("norm", "mean", "min", "max", "zeros")
    bins: int = 32

    def __post_init__(self) -> None:
        names = (self.names,) if isinstance(self.names, str) else tuple(self.names)
        wanted = (self.statistics,) if isinstance(self.statistics, str) else tuple(self.statistics)
        if not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            raise ModelError(f'watch takes names of values, each once, such as ["h1", "dl/df0"]; it is {self.names!r}')
        known = [*FIGURES, "histogram"]
        if not wanted or not set(wanted) <= set(known):
            raise ModelError(f"watch: statistics are of {', '.join(known)}; they are {self.statistics!r}")
        if self.every != "epoch" and not _counts(self.every):
            raise ModelError(f'watch: every is "epoch" or a number of updates; it is {self.every!r}')
        if not _counts(self.bins):
            raise ModelError(f"watch: bins is a number of at least 1; it is {self.bins!r}")
        if "histogram" in wanted:  # its bins lie between these
            wanted += tuple(name for name in ("min", "max") if name not in wanted)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "statistics", tuple(name for name in known if name in wanted))

    def stride(self, steps: int) -> int:
        """Updates from one that is watched to the next, in epochs of so many."""
        return steps if self.every == "epoch" else min(int(self.every), steps)

    def columns(self, steps: int) -> dict[str, tuple[int, ...]]:
        """The columns of an epoch of so many updates, by name, with the shape of what one epoch adds to each."""
        times = () if self.every == "epoch" else (-(-steps // self.stride(steps)),)
        return {f"{name}.{figure}": (*times, *self._shape(figure)) for name, figure in self._pairs()}

    def rows(self, seen: Any, steps: int) -> dict[str, Any]:
        """What `at` gave for each update of an epoch, (steps, width), as its columns."""
        ends = np.cumsum([math.prod(self._shape(figure)) for _, figure in self._pairs()])
        parts = np.split(seen[:: self.stride(steps)], ends[:-1], axis=1)
        return {column: np.reshape(part, shape) for (column, shape), part in zip(self.columns(steps).items(), parts)}

    def at(self, step: Any, steps: int, look: Callable[[], list[Any]]) -> Any:
        """The statistics of the values that `look()` gives where the update `step` of an epoch is watched, else zeros."""
        stride = self.stride(steps)
        width = sum(math.prod(self._shape(figure)) for _, figure in self._pairs())
        watched = step % stride == 0 if stride > 1 else True
        if isinstance(watched, bool):
            return self._measure(look()) if watched else np.zeros(width)
        return cond(watched, lambda: self._measure(look()), lambda: np.zeros(width))

    def _measure(self, values: Sequence[Any]) -> Any:
        known = FIGURES | {"histogram": lambda x: histogram(x, self.bins)}
        wide = [value.astype(np.float64) for value in values]
        return np.concatenate([np.reshape(known[figure](x), (-1,)) for x in wide for figure in self.statistics])

    def _pairs(self) -> list[tuple[str, str]]:
        return [(name, figure) for name in self.names for figure in self.statistics]

    def _shape(self, figure: str) -> tuple[int, ...]:
        return (self.bins,) if figure == "histogram" else ()


class Watched(Mapping[str, Mapping[str, np.ndarray]]):
    """What was seen: `watched["h1"]["norm"]` has a number, "histogram" `bins` counts, for each of `steps`.

    `steps` are the numbers of the updates that were watched, from 0 on; `run.explore` opens any of them.
    """

    def __init__(self, watch: Watch, rows: Mapping[str, np.ndarray], batch: int, points: int):
        steps = -(-points // batch)
        own = np.arange(0, steps, watch.stride(steps))
        made = np.ceil(rows["seen"] / batch)  # less than all of them in an epoch that Ctrl-C cut
        whole = (own < made[:, None]).ravel()
        self.steps = (np.arange(len(made))[:, None] * steps + own).ravel()[whole]
        self._found: dict[str, dict[str, np.ndarray]] = {name: {} for name in watch.names}
        for name, figure in watch._pairs():
            values = rows[f"{name}.{figure}"]
            self._found[name][figure] = np.reshape(values, (whole.size, *watch._shape(figure)))[whole]

    def __getitem__(self, name: str) -> Mapping[str, np.ndarray]:
        try:
            return self._found[name]
        except KeyError:
            raise KeyError(f"{name!r} was not watched; {', '.join(self._found)} were") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __repr__(self) -> str:
        return f"<{', '.join(self._found)} at {len(self.steps):,} updates>"


def check_watch(watch: Any, stepped: bool, precision: str | None) -> Watch | None:
    """The `Watch` that was given, or one of the names that were; `ModelError` where the run cannot be watched."""
    if watch is None:
        return None
    if stepped:
        raise ModelError("watch is for runs on points in memory and without Every; look at those in a callback")
    if precision is not None:
        raise ModelError(f"watch looks at passes in the precision of the parameters; leave precision={precision!r} out")
    if not isinstance(watch, (Watch, Iterable)):
        raise ModelError(f'watch takes names of values, such as ["h1", "dl/df0"], or a Watch; it is {watch!r}')
    return watch if isinstance(watch, Watch) else Watch(watch)  # type: ignore[arg-type]


def values_of(
    names: Sequence[str], f: Callable, net: Any, x: Any, y: Any, updated: Callable[[], Any]
) -> list[Any]:
    """The named values of one pass of `f(trained, x, y)`; `updated()` is the network after the update.

    Raises `ModelError` for a name that the pass does not have.
    """
    from retrograde.explore.passes import run_passes

    trained = nn.partition(net)[0]
    passes, seen = run_passes(f, (trained, x, y), 0)
    paths = [leaf.name for leaf in leaves_of(net) if leaf.trained]
    known = dict(zip(paths, passes.parameters)) | passes.named(seen)
    before = dict(zip(passes.parameters, tree.tree_leaves(trained)))

    def variable(name: str, said: str) -> Any:
        for word, letter in LETTERS.items():
            if name not in known and name.startswith(word):
                name = name.replace(word, letter, 1)
        if name not in known:
            shown = ", ".join(list(known)[:SHOWN]) + (", ..." if len(known) > SHOWN else "")
            raise ModelError(f'watch: no value is called {said!r}; there are {shown}, and "dl/d" and "update/" before a name')
        return known[name]

    def value(name: str) -> Any:
        if name.startswith("update/"):
            var = variable(name.removeprefix("update/"), name)
            if var not in before:
                raise ModelError(f"watch: {name!r} is no parameter that is trained; those are {', '.join(paths[:SHOWN])}")
            after = dict(zip(passes.parameters, tree.tree_leaves(nn.partition(updated())[0])))[var]
            return (after - before[var]) / np.sqrt(np.sum(np.square(before[var])))
        if not name.startswith("dl/d"):
            return passes.value(variable(name, name))
        found = passes.cotangent(variable(name.removeprefix("dl/d"), name))
        if found is None:
            raise ModelError(f"watch: {name!r} is not computed: it depends on no parameter, or the loss does not depend on it")
        return found

    return [value(name) for name in names]


def histogram(x: Any, bins: int) -> Any:
    """How many elements of `x` lie in each of `bins` bins of equal width from the least to the greatest; of NaN none do."""
    low, high = np.min(x), np.max(x)
    place = (np.ravel(x) - low) * (bins / np.where(high > low, high - low, 1.0))
    inside = np.isfinite(place)
    place = np.where(inside, np.minimum(place, bins - 1), -1.0).astype(np.int64)
    return rnp.bincount(place, length=bins).astype(np.float64)


def _counts(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= 1
