"""The one table from NumPy's functions to what they do on traced arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrograde.errors import UnsupportedError

FUNCTIONS: dict[Any, Callable[..., Any]] = {}
REASONS: dict[Any, str] = {}  # of functions that cannot have a rule: why, and what to write


def implements(function: Any) -> Callable[[Callable], Callable]:
    """Enter the decorated function as the rule for a NumPy function."""

    def decorate(rule: Callable) -> Callable:
        FUNCTIONS[function] = rule
        return rule

    return decorate


def refuse(name: str, **given: Any) -> None:
    """Raise for arguments that are given and have no rule."""
    for key, value in given.items():
        if value is not None:
            raise UnsupportedError(f"np.{name}({key}=...) is not supported on traced arrays; leave {key} out")
