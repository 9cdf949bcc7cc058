"""Which traced arrays show the same elements, so that writing into one means in a trace what it means in NumPy.

A traced array is a value, and writing into it gives its symbol a new one. In NumPy all views of the array would change with it.
Here those that are still in use become stale, and to use one is an error; an argument, which is the caller's own array,
cannot be written into at all.
"""

from __future__ import annotations

import weakref
from typing import Any

from retrograde.errors import WriteError


class Storage:
    """The arrays that share elements (weakly), and the name of the argument whose elements they are, if any."""

    __slots__ = ("argument", "symbols")

    def __init__(self, *symbols: Any, argument: str | None = None):
        self.symbols = [weakref.ref(x) for x in symbols]
        self.argument = argument

    def others(self, symbol: Any) -> list[Any]:
        """Those that are in use, without this one."""
        alive = [x for x in (ref() for ref in self.symbols) if x is not None]
        self.symbols = [weakref.ref(x) for x in alive]
        return [x for x in alive if x is not symbol]


class Stale:
    """Why an array may not be used any more: another with the same elements, `writer`, was written into at `line`."""

    __slots__ = ("line", "writer")

    def __init__(self, writer: Any, line: tuple[str, int, str] | None):
        self.writer, self.line = weakref.ref(writer), line

    def error(self) -> WriteError:
        """For whoever uses it."""
        at = f" at {self.line[0]}:{self.line[1]}" if self.line else ""
        return WriteError(
            f"a traced array is used after another that shares its elements was written into{at}. In NumPy a view (x.T, x[1:], "
            "x.reshape(...)) and its base change together; traced, they do not. Take a copy before the write (x[1:].copy()), or "
            "make the view again after it"
        )


def check_writable(symbol: Any, storage: Storage | None, level: int) -> None:
    """Raise where to write would change what a trace cannot: an argument, a number, an array of the code around a body."""
    if not symbol.shape:
        raise WriteError(
            f"{symbol!r} has no axes, and like NumPy's numbers it does not change. Give the name another value: x = v instead of "
            "x[()] = v"
        )
    if storage is not None and storage.argument is not None:
        raise WriteError(
            f"`{storage.argument}` is an argument of the traced function: in NumPy the caller's array would change, which a "
            "traced function cannot do. Write into a copy: x = x.copy(), then x[i] = v"
        )
    if level > symbol._builder.level:
        raise WriteError(
            f"{symbol!r} belongs to the code around a loop, a branch or a vmapped function, which is traced once and would "
            "change it once, not as often as it runs. Let it be carried, or return the new array"
        )
