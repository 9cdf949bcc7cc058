"""For scripts and shells: one JSON object of every command, benchmarks, completion."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from people import FAST, fails
from typer.testing import CliRunner

import retrograde as rg
from retrograde.cli import main
from retrograde.cli.answer import to_json
from retrograde.cli.app import app
from retrograde.cli.commands import COMMANDS
from retrograde.cli.peers import PEERS, Work, installed


def only_json(text):
    """What stdout holds: one line, one object, no word that JSON has not."""
    (line,) = text.splitlines()
    return json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_every_command_has_json():
    for command in COMMANDS:
        result = CliRunner().invoke(app, [command.__name__, "--help"], env={"COLUMNS": "200"})
        assert "--json" in result.output, command


def test_train_and_predict_as_json(trained, tmp_path):
    folder, _ = trained
    table, out = str(folder / "people.csv"), str(tmp_path / "m")
    result = CliRunner().invoke(app, ["train", table, "-t", "buys", "--drop", "spend", "--out", out, "--hidden", "8", "--json"])
    found = only_json(result.stdout)
    assert (found["model"], found["task"], found["rows"]["test"], found["network"]) == (out, "classification", 48, "8-8-2")
    assert found["test"]["accuracy"] > 0.8
    assert "to train on" in result.stderr  # what is said meanwhile
    result = CliRunner().invoke(app, ["predict", out, table, "--json"])
    found = only_json(result.stdout)
    assert list(found["columns"]) == ["prediction", "p_no", "p_yes"]
    assert len(found["columns"]["p_no"]) == found["rows"] == 240
    assert found["scores"]["accuracy"] > 0.8
    result = CliRunner().invoke(app, ["predict", out, table, "--json", "--out", str(tmp_path / "p.csv")])
    assert "columns" not in only_json(result.stdout)
    assert (tmp_path / "p.csv").read_text().count("\n") == 241


@pytest.mark.parametrize(
    "words",
    [
        ["train", "no.csv", "-t", "y"], ["train", "--frobnicate"], ["predict", "no", "no.csv"], ["evaluate", "no", "no.csv"],
        ["summary", "no"], ["check", "no"], ["bench", "no"], ["demo", "--epochs", "0"], ["nothing"],
    ],
)  # fmt: skip
def test_errors_as_json(capsys, words):
    assert main([*words, "--json"]) == 2
    said = capsys.readouterr()
    assert list(only_json(said.out)) == ["error"]
    assert said.err == ""


def test_what_is_not_finite_is_null():
    found = json.loads(to_json({"a": math.nan, "b": [1.0, -math.inf], "c": {"d": np.float32(1)}, "e": np.array([np.nan, 2.0])}))
    assert found == {"a": None, "b": [1.0, None], "c": {"d": 1.0}, "e": [None, 2.0]}


@pytest.mark.filterwarnings("default")
def test_warnings_are_one_line(tmp_path, trained, capsys):
    folder, _ = trained
    run = ["train", str(folder / "people.csv"), "-t", "buys", *FAST, "--epochs", "1", "--folder", str(tmp_path / "run")]
    assert main(run) == 0
    assert main(["train", "--resume", str(tmp_path / "run"), "--batch-size", "16", "-q"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("retrograde: warning: resume: the run goes on with other settings: batch_size was 32 and is 16")


def test_bench_measures_itself_and_scikit_learn(capsys):
    options = ["--hidden", "4", "--inputs", "3", "--rows", "64", "--seconds", "0.01", "--against", "scikit-learn"]
    assert main(["bench", *options, "--json"]) == 0
    found = only_json(capsys.readouterr().out)
    assert (found["network"], found["rows"], found["batch_size"]) == ("3-4-3", 64, 32)
    ours, theirs = found["retrograde"], found["peers"]["scikit-learn"]
    for name in ("updates_per_second", "examples_per_second", "predictions_per_second", "single_predictions_per_second"):
        assert theirs["ratios"][name] == pytest.approx(ours[name] / theirs[name])
    assert ours["compile_seconds"] > 0 and ours["gflops"] > 0
    assert ours["examples_per_second"] == pytest.approx(32 * ours["updates_per_second"])


def test_bench_of_a_model(trained, tmp_path, capsys):
    folder, _ = trained
    options = ["--rows", "40", "--seconds", "0.01", "--against", "none"]
    assert main(["bench", str(folder / "spend.safetensors"), *options]) == 0
    assert "8-16-1, regression, 40 rows" in capsys.readouterr().out
    rg.save(tmp_path / "m", rg.nn.Sequential(rg.nn.Conv2d(1, 1, 3)).init(0))
    assert "bench measures dense networks" in fails(capsys, "bench", tmp_path / "m")
    assert "--against: 'tensorfloww' is not installed" in fails(capsys, "bench", "--against", "tensorfloww")
    assert "--seconds" in fails(capsys, "bench", "--seconds", "0")


@pytest.mark.slow
def test_every_peer_that_is_installed_is_measured():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(24, 3)).astype(np.float32)
    for classes, y in ((True, rng.integers(2, size=24)), (False, rng.normal(size=(24, 2)).astype(np.float32)[:, :1])):
        work = Work([3, 4, 2 if classes else 1], classes, x, y, 10, 0.01)
        for name in installed():
            found = PEERS[name](work)
            assert min(found.values()) > 0, name
            assert found["examples_per_second"] == pytest.approx(8 * found["updates_per_second"])  # three batches of 24


def completed(monkeypatch, capsys, words):
    """What bash would offer for the last of the words."""
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    monkeypatch.setenv("_RETROGRADE_COMPLETE", "complete_bash")
    with pytest.raises(SystemExit):
        main(["--help"])
    return capsys.readouterr().out.split("\n")[:-1]


def test_bash_completes_commands_options_names_and_columns(trained, monkeypatch, capsys):
    folder, _ = trained
    monkeypatch.chdir(folder)
    assert {"train", "predict", "evaluate"} <= set(completed(monkeypatch, capsys, "retrograde "))
    assert "--early-stopping" in completed(monkeypatch, capsys, "retrograde train --ear")
    assert completed(monkeypatch, capsys, "retrograde train people.csv --target ")[:6] == [
        "id", "age", "city", "member", "buys", "spend",
    ]  # fmt: skip
    assert completed(monkeypatch, capsys, "retrograde train people.csv -t bu")[:1] == ["buys"]
    assert not any(completed(monkeypatch, capsys, "retrograde train missing.csv -t bu"))
    for words, wanted in (
        ("--optimizer adam", ["adam", "adamw"]), ("--activation sig", ["sigmoid"]), ("--schedule cos", ["cosine"]),
        ("--metric f1_mac", ["f1_macro"]), ("--task reg", ["regression"]),
    ):  # fmt: skip
        assert [w for w in completed(monkeypatch, capsys, f"retrograde train people.csv {words}") if w] == wanted


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from retrograde.cli import main; main(['train', '--help'])\n"
        "heavy = {'scipy', 'sklearn', 'pyarrow', 'llvmlite', 'tomli_w'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(rg.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
