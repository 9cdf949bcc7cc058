"""The commands from outside: what they print, write and return, and one clear line for bad input."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from people import FAST, fails, people
from pyarrow import parquet
from safetensors.numpy import save_file
from typer.testing import CliRunner

import retrograde as rg
from retrograde.cli import main
from retrograde.cli.app import app
from retrograde.cli.predicting import load_table_model
from retrograde.io.tables import read_table


def test_train_says_what_it_understood_and_how_good_it_is(trained):
    _, said = trained
    text = said["buys"]
    for words in (
        "240 rows, 6 columns", "buys: classification, 2 classes (no, yes)", "city (4), member (2)", "flagged: age, city",
        "id (text that differs in 240 of 240 rows)", "192 to train on, 48 held out", "updates/s", "model saved to",
    ):  # fmt: skip
        assert words in text
    assert float(text.split("accuracy ")[-1].split(",")[0]) > 0.85
    assert "spend: regression" in said["spend"]
    assert float(said["spend"].split("R² ")[-1].split(",")[0]) > 0.8


def test_predict_gives_classes_and_probabilities(trained):
    folder, _ = trained
    result = CliRunner().invoke(app, ["predict", str(folder / "buys.safetensors"), str(folder / "people.csv")])
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    truth = list(csv.DictReader((folder / "people.csv").read_text(encoding="utf-8").splitlines()))
    assert list(rows[0]) == ["prediction", "p_no", "p_yes"]
    assert np.mean([r["prediction"] == t["buys"] for r, t in zip(rows, truth, strict=True)]) > 0.85
    for row in rows:
        assert float(row["p_no"]) + float(row["p_yes"]) == pytest.approx(1, abs=1e-12)
        assert (row["prediction"] == "yes") == (float(row["p_yes"]) > 0.5)
    assert "240 rows with a known buys: accuracy" in result.stderr


def test_predict_gives_values_in_the_targets_units_to_csv_and_parquet(trained, tmp_path):
    folder, _ = trained
    found = {}
    for name in ("p.csv", "p.parquet"):
        result = CliRunner().invoke(
            app, ["predict", str(folder / "spend.safetensors"), str(folder / "people.csv"), "--out", str(tmp_path / name)]
        )
        assert result.exit_code == 0, result.output
        assert result.stdout == ""
        found[name] = read_table(tmp_path / name).columns["prediction"].numbers()
    truth = read_table(folder / "people.csv").columns["spend"].numbers()
    np.testing.assert_array_equal(found["p.csv"], found["p.parquet"])
    assert np.sqrt(np.mean((found["p.csv"] - truth) ** 2)) < 0.5 * truth.std()


def test_predict_takes_unseen_categories_missing_values_and_no_target(trained, tmp_path):
    folder, _ = trained
    (tmp_path / "new.csv").write_text("member,city,age\ntrue,Tokyo,41\n,,\nFALSE,Rome,30\n")
    result = CliRunner().invoke(app, ["predict", str(folder / "buys.safetensors"), str(tmp_path / "new.csv")])
    assert result.exit_code == 0, result.output
    net, target, preprocessor = load_table_model(str(folder / "buys.safetensors"))
    x = preprocessor.transform(preprocessor.read(read_table(tmp_path / "new.csv", text=["city"])))
    z = np.asarray(net(x), np.float64)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    np.testing.assert_allclose([[float(r["p_no"]), float(r["p_yes"])] for r in rows], p, rtol=1e-9)
    assert target.classes == ["no", "yes"]


def test_the_same_seed_gives_the_same_bits(trained, tmp_path):
    folder, _ = trained
    contents = []
    for name in ("a", "b", "c"):
        out = tmp_path / name
        seed = "2" if name == "c" else "1"
        assert main(["train", str(folder / "people.csv"), "-t", "spend", "-o", str(out), "--seed", seed, *FAST]) == 0
        net, extra = rg.load(out)
        bits = [leaf.tobytes() for layer in net if hasattr(layer, "weight") for leaf in (layer.weight, layer.bias)]
        contents.append((bits, json.dumps(extra)))
    assert contents[0] == contents[1] != contents[2]


@pytest.mark.parametrize("activation", ["gelu", "tanh", "leaky-relu"])
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_other_networks_from_parquet_with_integer_classes(tmp_path, activation, optimizer):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(120, 2))
    columns = {"a": x[:, 0], "b": x[:, 1], "zip": rng.integers(1, 4, 120), "y": np.where(x[:, 0] > 0, 7, 3)}
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    out = str(tmp_path / "m.safetensors")
    options = [
        "--activation",
        activation,
        "--optimizer",
        optimizer,
        "--dropout",
        "0.1",
        "--batch-size",
        "1",
        "--categorical",
        "zip",
    ]
    result = CliRunner().invoke(app, ["train", str(tmp_path / "t.parquet"), "-t", "y", "-o", out, *FAST, *options])
    assert result.exit_code == 0, result.output
    assert float(result.output.split("accuracy ")[-1].split(",")[0]) > 0.8
    assert load_table_model(out)[2].categories == {"zip": ["1", "2", "3"]}
    result = CliRunner().invoke(app, ["predict", out, str(tmp_path / "t.parquet")])
    assert {line.split(",")[0] for line in result.stdout.splitlines()} == {"prediction", "3", "7"}
    assert float(result.stderr.split("accuracy ")[-1].split(",")[0]) > 0.8


def test_linear_model_full_batch_without_test_rows(tmp_path):
    table = people(tmp_path / "t.csv", rows=30)
    options = ["--hidden", "none", "--batch-size", "0", "--test", "0", "--validation", "0", "--epochs", "3"]
    result = CliRunner().invoke(app, ["train", table, "-t", "spend", "-o", str(tmp_path / "m"), *options])
    assert result.exit_code == 0, result.output
    assert "full batch" in result.output
    assert "test on" not in result.output


def test_five_rows_are_enough(tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n1,1.5\n2,2.5\n3,3.5\n4,4.5\n5,5.5\n")
    assert main(["train", str(tmp_path / "t.csv"), "-t", "y", "-o", str(tmp_path / "m"), *FAST]) == 0


@pytest.mark.parametrize(
    "options, words",
    [
        (["-t", "bys"], "no column 'bys'; did you mean 'buys'?"),
        (["-t", "buys", "--drop", "Age"], "did you mean 'age'?"),
        (["-t", "buys", "--hidden", "64,x"], "'64,x' has 'x'"),
        (["-t", "buys", "--hidden", "64,-3"], "has '-3'"),
        (["-t", "buys", "--lr", "-0.1"], "--lr must be a positive number; it is -0.1"),
        (["-t", "buys", "--lr", "nan"], "--lr must be a positive number"),
        (["-t", "buys", "--optimizer", "adma"], "did you mean adam?"),
        (["-t", "buys", "--activation", "rellu"], "did you mean relu?"),
        (["-t", "buys", "--task", "guess"], "there are classification, regression"),
        (["-t", "buys", "--task", "regression"], "needs numbers, but column 'buys' holds text"),
        (["-t", "buys", "--epochs", "0"], "--epochs must be at least 1"),
        (["-t", "buys", "--epochs", "many"], "--epochs"),
        (["-t", "buys", "--batch-size", "-4"], "--batch-size must be at least 0"),
        (["-t", "buys", "--seed", "-1"], "--seed must be at least 0"),
        (["-t", "buys", "--validation", "1.5"], "--validation is a share"),
        (["-t", "buys", "--dropout", "1"], "--dropout must be"),
        (["-t", "buys", "--out", "/no/such/folder/m"], "there is no folder"),
        (["-t", "spend", "--optimizer", "sgd", "--lr", "1e20", "--quiet"], "training diverged: update "),
        (["-t", "id"], "classes in 240 rows"),
        (["-t", "buys", "--drop", "age,city,member,spend"], "no column to predict 'buys' from"),
        ([], "Missing option '--target'"),
        (["-t", "buys", "--frobnicate"], "--frobnicate"),
    ],
)
def test_bad_options_get_one_line(trained, capsys, options, words):
    folder, _ = trained
    before = sorted(folder.iterdir())
    out = [] if "--out" in options else ["--out", str(folder / "never.safetensors")]
    assert words in fails(capsys, "train", folder / "people.csv", *options, *out)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    "content, words",
    [
        ("", "is empty"),
        ("x,y\n", "no rows"),
        ("x,y\n1,a\n2,a\n3,a\n4,a\n5,a\n6,a\n", "one class only"),
        ("x,y\n1,1.5\n2,\n3,2.5\n4,3\n5,1\n", "missing (NaN or empty) in 1 of 5 rows, first in row 2"),
        ("x,y\n1,1.5\n2,nan\n3,2.5\n4,3\n5,1\n", "first in row 2"),
        ("x,y\n1,2\n", "1 rows; at least 5"),
        ("y\n1\n2\n1\n2\n1\n", "no column to predict 'y' from"),
        (
            "x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(40)) + "oops,1\n",
            "holds text where numbers belong: 'oops' in row 41",
        ),
        ("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(9)) + "inf,1\n", "holds inf in row 10"),
        ("x,y\n1,2\n1\n", "cannot be read as a CSV table"),
    ],
)
def test_bad_tables_get_one_line(tmp_path, capsys, content, words):
    (tmp_path / "t.csv").write_text(content)
    assert words in fails(capsys, "train", tmp_path / "t.csv", "-t", "y", "-o", tmp_path / "m")


def test_missing_files_get_one_line(tmp_path, capsys, trained):
    folder, _ = trained
    assert "no file" in fails(capsys, "train", tmp_path / "no.csv", "-t", "y")
    assert "no model file" in fails(capsys, "predict", tmp_path / "no.safetensors", folder / "people.csv")
    assert "no file" in fails(capsys, "predict", folder / "buys.safetensors", tmp_path / "no.csv")
    assert "no folder" in fails(
        capsys, "predict", folder / "buys.safetensors", folder / "people.csv", "-o", tmp_path / "no" / "p.csv"
    )


def test_every_cut_of_a_model_file_gets_one_line(tmp_path, capsys, trained):
    folder, _ = trained
    whole = (folder / "buys.safetensors").read_bytes()
    for length in (0, 4, 8, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut").write_bytes(whole[:length])
        assert "cut" in fails(capsys, "predict", tmp_path / "cut", folder / "people.csv")


def test_other_files_are_no_models(tmp_path, capsys, trained):
    folder, _ = trained
    table = folder / "people.csv"
    assert "not a whole safetensors file" in fails(capsys, "predict", table, table)
    save_file({"w": np.zeros(3, np.float32)}, tmp_path / "foreign")
    assert "not written by retrograde" in fails(capsys, "predict", tmp_path / "foreign", table)
    rg.save(tmp_path / "bare", rg.nn.Sequential(rg.nn.Linear(2, 2)).init(0))
    assert "not how to read a table" in fails(capsys, "predict", tmp_path / "bare", table)
    net, extra = rg.load(folder / "buys.safetensors")
    for damage, words in (
        ({"preprocessor": {}}, "damaged"),
        ({"target": {"name": "y"}}, "damaged"),
        ({"target": extra["target"] | {"classes": ["a", "b", "c"]}}, "2 outputs"),
        ({"preprocessor": extra["preprocessor"] | {"categories": {}}}, "features"),
    ):
        rg.save(tmp_path / "damaged", net, extra=extra | damage)
        assert words in fails(capsys, "predict", tmp_path / "damaged", table)


def test_bad_rows_at_predict_get_one_line(tmp_path, capsys, trained):
    folder, _ = trained
    model = folder / "buys.safetensors"
    for content, words in (
        ("age,city\n1,Rome\n", "lacks 1 column that the model was trained on: 'member'"),
        ("age,city,member\nold,Rome,true\n", "'age' holds text where numbers belong: 'old' in row 1"),
        ("age,city,member\n", "no rows"),
    ):
        (tmp_path / "new.csv").write_text(content)
        assert words in fails(capsys, "predict", model, tmp_path / "new.csv")


def test_the_model_file_holds_plain_json(trained):
    folder, _ = trained
    content = (folder / "buys.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    extra = json.loads(header["__metadata__"]["retrograde-1"])["extra"]
    assert extra["target"]["classes"] == ["no", "yes"]
    assert extra["preprocessor"]["numbers"] == ["age"]


def test_demo_reads_digits_and_shows_the_chain(tmp_path):
    result = CliRunner().invoke(app, ["demo", "--image", "3", "--out", str(tmp_path / "digits")])
    assert result.exit_code == 0, result.output
    assert float(result.output.split("test accuracy ")[1].split(":")[0]) >= 0.97
    assert "2,580 updates in" in result.output
    for words in ("updates/s", "parameters", "dl/df2", "dl/dh2", "dl/dβ1", "dl/dΩ0", "softmax(f2) - onehot(", "64 × 64"):
        assert words in result.output
    assert rg.load(tmp_path / "digits")[0].num_parameters == 6570


def test_demo_refuses_what_it_does_not_have(capsys):
    assert "--image must be from 0 to 449" in fails(capsys, "demo", "--image", "450")
    assert "--epochs must be at least 1" in fails(capsys, "demo", "--epochs", "0")
    assert "--seed" in fails(capsys, "demo", "--seed", "-1")


def test_a_demo_cut_too_short_says_so():
    result = CliRunner().invoke(app, ["demo", "--epochs", "1", "--quiet"])
    assert result.exit_code == 1
    assert "below 0.97" in result.output


def test_help_and_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"retrograde {rg.__version__}\n"
    assert main([]) == 0
    assert "retrograde demo" in capsys.readouterr().out
    for command in ("train", "predict", "demo"):
        assert main([command, "--help"]) == 0
        assert "Examples" in capsys.readouterr().out


def test_as_a_process(tmp_path):
    source = Path(rg.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONIOENCODING": "utf-8"}

    def run(*arguments):
        command = [sys.executable, "-m", "retrograde.cli", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment, cwd=tmp_path)

    people(tmp_path / "people.csv")
    done = run("train", "people.csv", "--target", "buys", *FAST)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "model.safetensors").is_file()
    done = run("predict", "model.safetensors", "people.csv")
    assert done.returncode == 0
    assert done.stdout.count("\n") == 241
    done = run("predict", "people.csv", "people.csv")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("retrograde: error: ")
    assert done.stderr.count("\n") == 1


def test_a_word_among_the_numbers_of_the_target_is_named(tmp_path, capsys):
    rows = "".join(f"{i / 7:.3f},{'oops' if i == 7 else i / 3}\n" for i in range(60))
    (tmp_path / "t.csv").write_text("a,y\n" + rows)
    assert main(["train", str(tmp_path / "t.csv"), "--target", "y", "--out", str(tmp_path / "m")]) == 2
    assert "text where numbers belong: 'oops' in row 8" in capsys.readouterr().err


def test_the_demo_looks_at_its_output_before_it_trains(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "nowhere" / "m"), "--epochs", "1000000"]) == 2
    assert "there is no folder" in capsys.readouterr().err
