"""What `sweep` tries: spaces of parameters, all of a grid, and draws."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from retrograde.errors import ModelError

Parameters = dict[str, Any]


def check_space(space: Any) -> dict[str, Any]:
    """The space with lists of values for those that are sequences; raises `ModelError` for what none can be drawn from."""
    if not isinstance(space, Mapping) or not space or not all(isinstance(name, str) for name in space):
        raise ModelError(f'the space is a dict of values by parameter, such as {{"lr": [0.01, 0.1]}}; it is {space!r}')
    return {name: values if hasattr(values, "rvs") else _listed(name, values) for name, values in space.items()}


def grid(space: Mapping[str, Any]) -> list[Parameters]:
    """All combinations of the values; those of the last parameter change fastest."""
    for name, values in space.items():
        if hasattr(values, "rvs"):
            raise ModelError(f'method="grid" tries all values, but {name!r} is a distribution; give a list, such as '
                             "np.geomspace(1e-4, 1e-1, 10), or take method=\"random\"")  # fmt: skip
    return [dict(zip(space, values)) for values in itertools.product(*space.values())]


def drawn(space: Mapping[str, Any], seed: int) -> Iterator[Parameters]:
    """Combinations drawn at random, the same for a seed however many are taken; of lists alone each comes once."""
    finite = not any(hasattr(values, "rvs") for values in space.values())
    most = math.prod(map(len, space.values())) if finite else math.inf
    seen: set[tuple[int, ...]] = set()
    for number in itertools.count():
        if len(seen) == most:
            return
        rng = np.random.default_rng([seed, number])
        places = {name: int(rng.integers(len(v))) if isinstance(v, list) else 0 for name, v in space.items()}
        if finite and (at := tuple(places.values())) in seen:
            continue
        if finite:
            seen.add(at)
        yield {n: v[places[n]] if isinstance(v, list) else plain(v.rvs(random_state=rng)) for n, v in space.items()}


def plain(value: Any) -> Any:
    """A number of NumPy's as Python's, which files hold and which does not widen float32."""
    return value.item() if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0) else value


def _listed(name: str, values: Any) -> list[Any]:
    listed = values.ndim == 1 if isinstance(values, np.ndarray) else isinstance(values, Sequence) and not isinstance(values, str)
    if not listed or not len(values):
        raise ModelError(f"{name!r}: give a list of values, or a distribution such as scipy.stats.loguniform(1e-4, 1e-1); it is "
                         f"{values!r}")  # fmt: skip
    return [plain(value) for value in values]


def described(values: Any) -> Any:
    """What a file says of the values of a parameter: a distribution by its name and arguments."""
    if isinstance(values, list):
        return [as_json(value) for value in values]
    if not hasattr(values, "dist"):
        return as_json(values)
    return {"distribution": values.dist.name, "args": as_json(values.args), **as_json(values.kwds)}


def as_json(value: Any) -> Any:
    """A value as a file holds it: of what is no number, text, list or dict, the name; so of what is not finite, too."""
    return json.loads(json.dumps(value, default=shown), parse_constant=str)


def shown(value: Any) -> Any:
    """A value of a table or a file: a function or a class by its name, what is no plain number or text by its repr."""
    value = plain(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return getattr(value, "__name__", None) or re.sub(" at 0x[0-9a-f]+", "", repr(value))
