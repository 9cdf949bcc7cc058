"""A run in its folder: what it holds, that it can be run again, and gone on with, to the same bits."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest
from people import fails, people

import retrograde as rg
from retrograde.cli import main

RUN = ["-t", "buys", "--drop", "spend", "--hidden", "6", "--seed", "5", "-q"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A table and the folder of a run of six epochs."""
    place = tmp_path_factory.mktemp("kept")
    table, folder = people(place / "people.csv"), place / "run"
    options = ["--epochs", "6", "--early-stopping", "4", "--metric", "f1_macro", "--monitor", "roc_auc"]
    assert main(["train", table, *RUN, *options, "--folder", str(folder)]) == 0
    return table, folder


def model(folder):
    return (Path(folder) / "model.safetensors").read_bytes()


def test_the_folder_holds_the_run(kept):
    _, folder = kept
    names = {path.name for path in folder.iterdir()}
    assert {"config.toml", "metrics.csv", "log.jsonl", "config.json", "model.safetensors", "report.html"} <= names
    config = tomllib.loads((folder / "config.toml").read_text())
    assert config["training"]["metric"] == ["f1_macro"]
    assert config["training"]["lr"] == 1e-3  # resolved
    assert config["data"]["task"] == "classification"
    assert "output" not in config
    header, *rows = (folder / "metrics.csv").read_text().splitlines()
    assert len(rows) == 6
    assert {"val_f1_macro", "val_roc_auc", "val_loss"} <= set(header.split(","))


def test_the_report_is_a_whole_page_of_the_runs_figures(kept):
    _, folder = kept
    page = (folder / "report.html").read_text(encoding="utf-8")
    opened, words = [], []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag != "meta":
                opened.append(tag)

        def handle_startendtag(self, tag, attrs):
            assert tag in ("path", "polyline")

        def handle_endtag(self, tag):
            assert opened.pop() == tag

        def handle_data(self, data):
            words.append(data)

    Reader().feed(page)
    assert opened == []
    for wanted in ("buys", "balanced accuracy", "Confusion", "val_f1_macro", "192 to train on, 48 held out for the test"):
        assert any(wanted in word for word in words), wanted
    assert page.count("<polyline") == 2
    assert "http" not in page


def test_a_run_again_from_its_config_gives_the_same_bytes(kept, tmp_path, monkeypatch):
    _, folder = kept
    monkeypatch.chdir(tmp_path)  # the table is found from anywhere
    assert main(["train", "--config", str(folder / "config.toml"), "-q", "--folder", "again"]) == 0
    assert model("again") == model(folder)
    assert main(["train", "--config", str(folder / "config.toml"), "-q", "--epochs", "2", "--out", "two"]) == 0
    assert rg.load("two")[1]["trained"]["epochs"] == 2  # the command line wins


def test_resume_gives_the_bytes_of_a_run_that_never_stopped(kept, tmp_path):
    table, _ = kept
    for folder, epochs in (("whole", "7"), ("parts", "3")):
        assert main(["train", table, *RUN, "--epochs", epochs, "--folder", str(tmp_path / folder)]) == 0
    assert main(["train", "--resume", str(tmp_path / "parts"), "--epochs", "7", "-q"]) == 0
    assert model(tmp_path / "parts") == model(tmp_path / "whole")
    assert len((tmp_path / "parts" / "metrics.csv").read_text().splitlines()) == 8


@pytest.mark.slow
def test_resume_after_kill_gives_the_bytes_of_a_run_that_never_stopped(kept, tmp_path):
    table, _ = kept
    options = [table, *RUN, "--early-stopping", "0", "--checkpoint-every", "50"]
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "retrograde.cli", "train", *options, "--epochs", "100000000", "--folder", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(Path(rg.__file__).parents[1])}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    limit = time.monotonic() + 60
    while not list(folder.glob("checkpoint-*[1-9]*.safetensors")) and time.monotonic() < limit:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (first, *_) = sorted(folder.glob("checkpoint-*.safetensors"))
    epochs = str(int(first.stem.rpartition("-")[2]) + 1000)
    assert main(["train", "--resume", str(folder), "--epochs", epochs, "-q"]) == 0
    assert main(["train", *options, "--epochs", epochs, "--folder", str(tmp_path / "whole")]) == 0
    assert model(folder) == model(tmp_path / "whole")


def test_what_a_folder_cannot_be(kept, tmp_path, capsys):
    table, folder = kept
    assert "holds a run already; go on with it by --resume" in fails(capsys, "train", table, *RUN, "--folder", folder)
    assert "is a file" in fails(capsys, "train", table, *RUN, "--folder", table)
    assert "there is no file" in fails(capsys, "train", "--resume", tmp_path / "none")
    assert "leave --folder out" in fails(capsys, "train", "--resume", folder, "--folder", tmp_path)
    assert "leave --config out" in fails(capsys, "train", "--resume", folder, "--config", folder / "config.toml")
    assert "for a run with a --folder" in fails(capsys, "train", table, *RUN, "--checkpoint-every", "3")


def test_a_run_does_not_go_on_with_another_table(tmp_path, capsys):
    table = people(tmp_path / "people.csv", rows=60)
    assert main(["train", table, *RUN, "--epochs", "1", "--folder", str(tmp_path / "run")]) == 0
    people(tmp_path / "people.csv", rows=60, seed=1)
    assert "has changed since the run began" in fails(capsys, "train", "--resume", tmp_path / "run", "--epochs", "2")


@pytest.mark.filterwarnings("default")
def test_a_run_again_on_another_table_is_told(tmp_path, capsys):
    table = people(tmp_path / "people.csv", rows=60)
    assert main(["train", table, *RUN, "--epochs", "1", "--folder", str(tmp_path / "run")]) == 0
    people(tmp_path / "people.csv", rows=60, seed=1)
    assert main(["train", "--config", str(tmp_path / "run" / "config.toml"), "--out", str(tmp_path / "m"), "-q"]) == 0
    assert "retrograde: warning: the table is not that of" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text, words",
    [
        ("[training]\nepohs = 3\n", "there is no option 'epohs'; did you mean 'epochs'?"),
        ("[trainin]\nepochs = 3\n", "there is no section [trainin]; there are data, network, training, regularization"),
        ("epochs = 3.5\n", "epochs is 3.5; it must be a whole number"),
        ("epochs = true\n", "epochs is True; it must be a whole number"),
        ("lr = '0.1'\n", "lr is '0.1'; it must be a number"),
        ("hidden = [64, 32]\n", "hidden is [64, 32]; it must be text"),
        ("metric = 'f1'\n", "metric is 'f1'; it must be a list of texts"),
        ("quiet = true\n", "there is no option 'quiet'"),
        ("epochs = \n", "is no TOML file"),
    ],
)
def test_a_wrong_config_gets_one_line_with_its_name(tmp_path, capsys, text, words):
    (tmp_path / "wrong.toml").write_text(text)
    line = fails(capsys, "train", "t.csv", "-t", "y", "--config", tmp_path / "wrong.toml")
    assert words in line
    assert "wrong.toml" in line


def test_a_config_by_hand_needs_no_sections(tmp_path):
    people(tmp_path / "people.csv", rows=60)
    text = f"table = '{tmp_path}/people.csv'\ntarget = 'spend'\nlr = 1\nepochs = 2\nhidden = 'none'\n"
    (tmp_path / "mine.toml").write_text(text)
    assert main(["train", "--config", str(tmp_path / "mine.toml"), "--out", str(tmp_path / "m"), "-q"]) == 0
    assert rg.load(tmp_path / "m")[1]["options"]["lr"] == 1


@pytest.mark.parametrize(
    "options, words",
    [
        (["--loss", "mse"], "--loss 'mse' is not for classification; there is cross_entropy"),
        (["--schedule", "cosin"], "did you mean cosine?"),
        (["--metric", "f1_macr"], "did you mean 'f1_macro'?"),
        (["--metric", "f1_macro", "--validation", "0"], "are of validation rows"),
        (["--monitor", "val_loss", "--validation", "0"], "are of validation rows"),
        (["--validation", "0.999"], "leaves none to train on"),
        (["--precision", "f8"], "--precision is bf16 or f16"),
        (["--starts", "0"], "--starts must be at least 1"),
        (["--weight-decay", "-1"], "--weight-decay must be a number of at least 0"),
        (["--clip-norm", "0"], "--clip-norm must be a positive number"),
    ],
)
def test_bad_options_of_a_run_get_one_line(kept, tmp_path, capsys, options, words):
    assert words in fails(capsys, "train", kept[0], *RUN, *options, "--folder", tmp_path / "run")
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_what_was_mistyped_can_be_said_again_of_the_same_folder(kept, tmp_path, capsys):
    run = ["train", kept[0], *RUN, "--epochs", "1", "--folder", str(tmp_path / "run")]
    assert "no metric" in fails(capsys, *run, "--metric", "f1_macr")
    assert main([*run, "--metric", "f1_macro"]) == 0


@pytest.mark.parametrize("schedule", ["cosine", "onecycle", "plateau"])
def test_schedules_and_penalties_train(kept, tmp_path, capsys, schedule):
    more = ["--clip-norm", "1", "--l1", "1e-4", "--l2", "1e-4", "--weight-decay", "0.01", "--starts", "2", "--loss", "huber"]
    options = ["-t", "spend", "--drop", "buys", "--hidden", "8", "--lr", "0.01", "--epochs", "20", "--monitor", "loss", *more]
    assert main(["train", kept[0], *options, "--schedule", schedule, "--out", str(tmp_path / "m"), "--json", "-q"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["test"]["r2"] > 0.7
    assert set(found["figures"]) == {"loss", "val_loss"}
