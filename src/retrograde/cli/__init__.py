"""The command line: `retrograde train`, `retrograde predict`, `retrograde demo`."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line on `arguments` (by default the process's own) and return its exit code.

    0: done; 1: the demo fell short; 2: bad input, told in one line on stderr; 130: ended by Ctrl-C.
    """
    from retrograde.cli.app import run

    return run(arguments)
