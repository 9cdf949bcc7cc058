"""A step of a record by what a person calls it: `f2`, `Ω1` or `omega1`, `0.weight`; and derivatives by name: `dl/df2`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from retrograde.errors import DifferentiationError
from retrograde.explore.formula import GREEK
from retrograde.explore.step import Step
from retrograde.io.tables import did_you_mean


def look_up(name: str, known: Mapping[str, Step], loss: str) -> Any:
    """The step of this name; of "dl/df2" the derivative of the loss, of "df3/df2" the Jacobian of a step that reads the other.

    Raises `KeyError` with the nearest name where there is none, `DifferentiationError` where no derivative is taken.
    """
    quotient = None if name in known else re.fullmatch(r"[d∂](.+)/[d∂](.+)", name)
    if quotient is None:
        return _step(name, known)
    of, by = quotient[1], _step(quotient[2], known)
    if of != loss and (of in known or of.lower() not in ("l", "loss")):
        return _step(of, known).jacobian_by(by.name)
    if by.cotangent is None:
        raise DifferentiationError(f"no derivative by the {by.kind} {by.name} is taken; name its argument in explore's argnums")
    return by.cotangent


def _step(name: str, known: Mapping[str, Step]) -> Step:
    if name in known:
        return known[name]
    wanted = _spelled(name)
    for fits in (lambda own: own == wanted, lambda own: own.endswith("." + wanted)):
        found = {id(step): step for own, step in known.items() if fits(_spelled(own))}
        if len(found) == 1:
            return found.popitem()[1]
        if found:
            raise KeyError(f"{name!r} may be {' or '.join(step.name for step in found.values())}; ask for one of them")
    words = [word for own in known if (word := _spelled(own)) != own and word.isidentifier()]
    raise KeyError(f"no step is called {name!r}{did_you_mean(name, [*known, *words])}")


def _spelled(name: str) -> str:
    """Greek letters by their names, net[0] as net.0 (which is net.layers.0), no capitals."""
    plain = re.sub(r"\[(\w+)\]", r".\1", "".join(GREEK.get(letter, letter) for letter in name)).lower()
    return re.sub(r"_(?=\d+$)", "", plain).replace("layers.", "")


__all__ = ["look_up"]
