"""The command line: `retrograde train`, `predict`, `evaluate`, `summary`, `check`, `bench`, `demo` (`docs/command-line.md`)."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line on `arguments` (by default the process's own) and return its exit code.

    0: done; 1: the demo fell short, or `check` found something wrong; 2: bad input, told in one line on stderr, or with --json as
    an object on stdout; 130: ended by Ctrl-C.
    """
    from retrograde.cli.app import run

    return run(arguments)
