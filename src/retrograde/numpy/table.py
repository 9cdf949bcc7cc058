"""The one table from NumPy's functions to what they do on traced arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from retrograde.errors import DeviceError, UnsupportedError
from retrograde.ops.promote import is_traced

FUNCTIONS: dict[Any, Callable[..., Any]] = {}
REASONS: dict[Any, str] = {}  # of functions that cannot have a rule: why, and what to write


def implements(function: Any) -> Callable[[Callable], Callable]:
    """Enter the decorated function as the rule for a NumPy function."""

    def decorate(rule: Callable) -> Callable:
        FUNCTIONS[function] = rule
        return rule

    return decorate


def implements_traced(function: Any) -> Callable[[Callable], Callable]:
    """As `implements`, for a rule that has less than NumPy has: the decorated function of plain arrays is NumPy's own."""

    def decorate(rule: Callable) -> Callable:
        FUNCTIONS[function] = rule

        @functools.wraps(rule)
        def call(*args: Any, **kwargs: Any) -> Any:
            given = (*args, *kwargs.values())
            return (rule if any(map(is_traced, given)) else function)(*args, **kwargs)

        return call

    return decorate


def check_device(device: Any) -> None:
    """Raise for a device that is not the one there is, the CPU."""
    if device not in (None, "cpu"):
        raise DeviceError(f"device={device!r} is not one of the devices: there is 'cpu' alone. Leave device out")


def refuse(name: str, **given: Any) -> None:
    """Raise for arguments that are given and have no rule."""
    for key, value in given.items():
        if value is not None:
            raise UnsupportedError(f"np.{name}({key}=...) is not supported on traced arrays; leave {key} out")
