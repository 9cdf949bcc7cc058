"""What the shell offers for an option's value; imported with the commands, so it imports only when asked."""

from __future__ import annotations

from collections.abc import Iterable

import typer


def columns(ctx: typer.Context, incomplete: str) -> list[str]:
    """The columns of the table that stands on the command line already."""
    from retrograde.io.tables import column_names

    words = [ctx.params.get("table"), *ctx.args]  # with an option that still lacks its value, nothing is told apart yet
    table = next((word for word in words if word), "")
    try:
        return _matching(column_names(table), incomplete)
    except (OSError, ValueError):
        return []  # there is no place for an error


def tasks(incomplete: str) -> list[str]:
    """Of `--task`."""
    return _matching(["classification", "regression"], incomplete)


def activations(incomplete: str) -> list[str]:
    """Of `--activation`."""
    from retrograde.cli.network import ACTIVATIONS

    return _matching(ACTIVATIONS, incomplete)


def optimizers(incomplete: str) -> list[str]:
    """Of `--optimizer`."""
    from retrograde.cli.network import OPTIMIZERS

    return _matching(OPTIMIZERS, incomplete)


def schedules(incomplete: str) -> list[str]:
    """Of `--schedule`."""
    from retrograde.cli.network import SCHEDULES

    return _matching(SCHEDULES, incomplete)


def metrics(incomplete: str) -> list[str]:
    """Scikit-learn's names."""
    from sklearn.metrics import get_scorer_names

    return _matching(get_scorer_names(), incomplete)


def _matching(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
