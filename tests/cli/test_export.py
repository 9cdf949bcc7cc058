"""`retrograde export`: what it writes gives what `retrograde predict` says."""

import csv
import ctypes
import json
import shutil
import sys

import numpy as np
import pytest
from safetensors import safe_open

import retrograde as rg
from retrograde import nn
from retrograde.cli import main
from retrograde.cli.exporting import table_function
from retrograde.cli.predicting import load_table_model
from retrograde.cli.preprocess import Preprocessor
from retrograde.io.tables import read_table

needs_cc = pytest.mark.skipif(shutil.which("cc") is None or sys.platform == "win32", reason="there is no C compiler")
NUMBERS, WORDS = [31.5, 44.0, float("nan"), 58.25], ["Paris", "", "Oslo", "Atlantis"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a classifier, a regressor, and rows to predict."""
    folder, rng = tmp_path_factory.mktemp("trained"), np.random.default_rng(0)
    age, city = rng.normal(40, 12, 120), rng.choice(["Paris", "Rome", "Oslo"], 120)
    with open(folder / "people.csv", "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["age", "city", "buys", "spend"])
        for i in range(120):
            z = (age[i] - 40) / 12 + (city[i] == "Rome")
            words = ["" if i % 9 == 5 else age[i], "" if i % 11 == 7 else city[i]]
            writer.writerow([*words, "yes" if z > 0 else "no", 100 + 20 * z])
    with open(folder / "new.csv", "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["age", "city"])
        writer.writerows([["" if np.isnan(n) else n, w] for n, w in zip(NUMBERS, WORDS)])
    for target, other in (("buys", "spend"), ("spend", "buys")):
        fast = ["--hidden", "8", "--epochs", "5", "--quiet", "--out", str(folder / f"{target}.safetensors")]
        assert main(["train", str(folder / "people.csv"), "--target", target, "--drop", other, *fast]) == 0
    return folder


def predicted(folder, target):
    model, new, out = (str(folder / name) for name in (f"{target}.safetensors", "new.csv", "out.csv"))
    assert main(["predict", model, new, "--out", out]) == 0
    with open(out, newline="") as stream:
        return list(csv.DictReader(stream))


def encoded(folder, target):
    _, _, preprocessor = load_table_model(str(folder / f"{target}.safetensors"))
    return preprocessor.encode(preprocessor.read(read_table(str(folder / "new.csv"))))


@needs_cc
def test_a_classifier_as_a_c_function(trained, tmp_path, capsys):
    model, rows = str(trained / "buys.safetensors"), predicted(trained, "buys")
    capsys.readouterr()
    assert main(["export", model, "--to", str(tmp_path / "buys.so"), "--batch-size", "4"]) == 0
    out, err = capsys.readouterr()
    assert "void buys_predict(const double *columns, float *logits, double *probabilities);" in out
    assert '1: city, the number of its category: 0 = "(missing)", 1 = "Oslo", 2 = "Paris", 3 = "Rome"; -1 = any other' in out
    assert '0 = "no", 1 = "yes"' in out and "buys.h" in err
    columns = encoded(trained, "buys")
    assert columns.tolist()[0] == [31.5, 2] and columns[1:, 1].tolist() == [0, 1, -1]
    logits, probabilities = np.zeros((4, 2), np.float32), np.zeros((4, 2))
    function = ctypes.CDLL(str(tmp_path / "buys.so")).buys_predict
    function(*(ctypes.c_void_p(a.ctypes.data) for a in (columns, logits, probabilities)))
    said = [[float(row["p_no"]), float(row["p_yes"])] for row in rows]
    np.testing.assert_allclose(probabilities, said, rtol=1e-5)
    assert ["no" if z[0] > z[1] else "yes" for z in logits] == [row["prediction"] for row in rows]


@pytest.mark.parametrize("target", ["buys", "spend"])
def test_a_tables_model_as_onnx(target, trained, tmp_path, capsys):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    assert main(["export", str(trained / f"{target}.safetensors"), "--to", str(tmp_path / "net.onnx")]) == 0
    assert "# columns: float64 (batch, 2)" in capsys.readouterr().out
    session = runtime.InferenceSession(str(tmp_path / "net.onnx"))
    found = session.run(None, {"columns": encoded(trained, target)})[-1]
    rows = predicted(trained, target)
    said = [float(r["prediction"]) for r in rows] if target == "spend" else [[float(r["p_no"]), float(r["p_yes"])] for r in rows]
    np.testing.assert_allclose(found, said, rtol=1e-5)
    assert "2 = \"Paris\"" in session.get_modelmeta().custom_metadata_map["columns"]


def test_onnx_that_is_not_installed(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", str(trained / "buys.safetensors"), "--to", str(tmp_path / "net.onnx")]) == 2
    assert "pip install 'retrograde[onnx]'" in capsys.readouterr().err


def test_the_function_of_a_regression_is_in_the_targets_units(trained):
    f = table_function(*load_table_model(str(trained / "spend.safetensors")))
    said = [float(row["prediction"]) for row in predicted(trained, "spend")]
    columns = encoded(trained, "spend")
    np.testing.assert_allclose(f(columns)["prediction"], said, rtol=1e-6)
    np.testing.assert_allclose(rg.jit(f)(columns)["prediction"], said, rtol=1e-5)


def test_a_state_dict_and_how_to_read_the_table(trained, tmp_path, capsys):
    model = trained / "buys.safetensors"
    assert main(["export", str(model), "--to", str(tmp_path / "net.safetensors")]) == 0
    out = capsys.readouterr().out
    assert "nn.Linear(6, 8)" in out and "load_file('net.safetensors')" in out
    with safe_open(tmp_path / "net.safetensors", "numpy") as file:
        assert sorted(file.keys()) == ["0.bias", "0.weight", "2.bias", "2.weight"]
        told = json.loads(file.metadata()["table"])
    assert Preprocessor.from_json(told["preprocessor"]) == load_table_model(str(model))[2]
    assert told["target"]["classes"] == ["no", "yes"]


def test_a_network_that_is_no_tables(tmp_path, capsys):
    nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2)).init(0).save(tmp_path / "net.safetensors")
    command = ["export", str(tmp_path / "net.safetensors"), "--to", str(tmp_path / "net.o"), "--quiet"]
    assert main(command) == 2
    assert "--input 3,32,32" in capsys.readouterr().err
    assert main([*command, "--input", "1,4,4", "--name", "see"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "net.o"), str(tmp_path / "net.h")]
    assert "void see(const float *x, float *y);" in (tmp_path / "net.h").read_text()
    nn.Sequential(nn.Sequential(nn.Linear(3, 2))).init(0, np.float64).save(tmp_path / "net.safetensors")
    assert main(command) == 0
    assert "x: 3 numbers, [1, 3]" in (tmp_path / "net.h").read_text()


@pytest.mark.parametrize("options, said", [
    (["--to", "model.exe"], "safetensors, npz, object, shared, onnx"),
    (["--to", "nowhere/model.o"], "no folder"),
    (["--to", "buys.safetensors"], "is the model itself"),
    (["--to", "model.o", "--batch-size", "0"], "1 or more"),
    (["--to", "model.o", "--cpu", "abacus"], "generic"),
    (["--to", "model.o", "--name", "not a name"], "name of a C function"),
])  # fmt: skip
def test_what_cannot_be_is_told_in_one_line(trained, options, said, capsys, monkeypatch):
    monkeypatch.chdir(trained)
    before = (trained / "buys.safetensors").read_bytes()
    assert main(["export", "buys.safetensors", *options]) == 2
    err = capsys.readouterr().err
    assert err.startswith("retrograde: error: ") and said in err and err.count("\n") == 1
    assert (trained / "buys.safetensors").read_bytes() == before
