"""A table that the tests of the commands share, and what bad input gets."""

import csv

import numpy as np

from retrograde.cli import main

FAST = ["--hidden", "8", "--epochs", "30", "--quiet"]


def people(path, rows=240, seed=0):
    """A table with every kind of column, whose answers follow from it up to a little noise."""
    rng = np.random.default_rng(seed)
    age, city = rng.normal(40, 12, rows), rng.choice(["Paris", "Rome", "Oslo"], rows)
    member = rng.random(rows) < 0.5
    z = (age - 40) / 12 + 2.0 * (city == "Rome") - 1 + 0.5 * member + rng.normal(0, 0.1, rows)
    with open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "age", "city", "member", "buys", "spend"])
        for i in range(rows):
            words = [f"u{i}", "" if i % 29 == 5 else f"{age[i]:.3f}", "" if i % 31 == 7 else city[i], str(member[i]).lower()]
            writer.writerow([*words, "yes" if z[i] > 0 else "no", f"{100 + 20 * z[i]:.4f}"])
    return str(path)


def fails(capsys, *arguments):
    """The one line that bad input gets."""
    assert main([str(a) for a in arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("retrograde: error: "), err
    assert err.count("\n") == 1, err
    return err
