"""Each example runs, and prints a result that is better than the baseline beside it."""

import re
import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture
def printed(monkeypatch, capsys):
    """What an example prints, when it is run as a program."""

    def run(name):
        path = str(FOLDER / f"{name}.py")
        monkeypatch.setattr(sys, "argv", [path])
        runpy.run_path(path, run_name="__main__")
        return capsys.readouterr().out

    return run


def number(text, label):
    """The first number after the label."""
    return float(re.search(rf"^{re.escape(label)}[^\d-]*?(-?\d[\d.]*(e[-+]\d+)?)", text, re.MULTILINE)[1])


def test_tabular(printed):
    text = printed("tabular")
    mean, linear, one, eight = (number(text, name) for name in ("mean", "linear regression", "one network", "eight networks"))
    assert abs(mean) < 0.01 and eight > linear - 0.02 and eight > one
    assert set(re.search(r"spread\n(\w+) .*\n(\w+) ", text).groups()) == {"bmi", "s5"}


def test_images(printed):
    text = printed("images")
    assert number(text, "network:") > 97.5 > number(text, "nearest mean:") + 5
    counts = [int(count) for row in re.findall(r"^\d   (.*)$", text, re.MULTILINE) for count in row.replace(".", "0").split()]
    assert len(counts) == 100 and sum(counts) == 899


def test_time_series(printed):
    text = printed("time_series")
    assert 10 * number(text, "GRU") < number(text, "linear forecast") < number(text, "persistence")


def test_uncertainty(printed):
    text = printed("uncertainty")
    assert max(number(text, "one network"), number(text, "ensemble")) < number(text, "one normal") - 1.0
    shares = [float(share) for share in re.findall(r"([\d.]+) %", re.search(r"^ensemble.*$", text, re.MULTILINE)[0])]
    assert all(abs(share - wanted) < 4 for share, wanted in zip(shares, (50, 80, 95), strict=True))
    disagreement = {float(row.split()[0]): float(row.split()[3]) for row in text.splitlines()[-6:]}
    assert disagreement[1.5] > 2 * disagreement[0.5]


@pytest.mark.slow
def test_pinn(printed):
    text = printed("pinn")
    assert number(text, "network") < 1e-2 < number(text, "u(0, x) for all t")


def test_ensemble(printed):
    text = printed("ensemble")
    assert 3 * number(text, "average of all") < number(text, "straight line")
    assert number(text, "average of all") < number(text, "median of the starts")
    assert sum(int(count) for count in re.findall(r"█ +(\d+)  seeds", text)) == 64


def test_the_readme_lists_each_example():
    listed = re.findall(r"^\| \[(\w+\.py)\]\(\1\)", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in FOLDER.glob("*.py"))
