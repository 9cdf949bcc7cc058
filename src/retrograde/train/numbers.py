"""Numbers in settings that a program takes as arguments: another learning rate, decay or penalty is the same program.

An optimizer or a penalty names such fields in `numbers`. They reach the program as Python numbers reach a jitted function, weak
in promotion: they take the dtype of what they meet. One that is 0 stays where it is, since it may leave out a part of the
program.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from retrograde.optim.optimizers import is_zero

if TYPE_CHECKING:
    from retrograde.train.program import Settings


def split(settings: Settings) -> tuple[Settings, dict[str, float]]:
    """The settings with None for each such number, and the numbers by the place they were in."""
    found: dict[str, float] = {}

    def take(place: str, value: Any) -> Any:
        if not isinstance(value, (int, float, np.integer, np.floating)) or is_zero(value):
            return value
        found[place] = float(value)
        return None

    return _changed(settings, take), found


def joined(settings: Settings, numbers: Mapping[str, Any]) -> Settings:
    """The settings with the numbers, which may be traced, in their places."""
    return _changed(settings, lambda place, value: numbers.get(place, value))


def _changed(settings: Settings, f: Callable[[str, Any], Any]) -> Settings:
    parts = {name: _walked(getattr(settings, name), f, name) for name in ("optimizer", "penalty")}
    return replace(settings, **parts)


def _walked(value: Any, f: Callable[[str, Any], Any], place: str) -> Any:
    """`value` with f(place, number) for the numbers in it and in what it is around."""
    if isinstance(value, tuple):
        return tuple(_walked(inner, f, f"{place}.{i}") for i, inner in enumerate(value))
    numbers = _named_by(type(value))
    if numbers is None or not is_dataclass(value):
        return value
    made = copy.copy(value)
    for name in (field.name for field in fields(value)):
        inner, there = getattr(value, name), f"{place}.{name}"
        object.__setattr__(made, name, f(there, inner) if name in numbers else _walked(inner, f, there))
    return made


def _named_by(cls: type) -> tuple[str, ...] | None:
    """The fields that a class names; None for one whose base is ours: its `update` may do what traced numbers cannot."""
    return getattr(cls, "numbers", None) if cls.__module__.startswith("retrograde.") else vars(cls).get("numbers")
