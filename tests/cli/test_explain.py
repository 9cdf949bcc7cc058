"""`retrograde explain`: the table, the page and the JSON of one row or of the toy, and what bad input is told."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from people import fails, people
from typer.testing import CliRunner

import retrograde as rg
from retrograde import nn
from retrograde.cli.app import app
from retrograde.cli.predicting import load_table_model, read_for_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explained")
    table = people(folder / "people.csv")
    for target, other in (("buys", "spend"), ("spend", "buys")):
        options = ["--target", target, "--drop", other, "--hidden", "8", "--epochs", "5", "--quiet"]
        result = CliRunner().invoke(app, ["train", table, *options, "--out", str(folder / f"{target}.safetensors")])
        assert result.exit_code == 0, result.output
    return folder


def explain(*arguments):
    result = CliRunner().invoke(app, ["explain", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


def data_of(path):
    found = re.search(r'<script id="record" type="application/json">(.*?)</script>', path.read_text("utf-8"), re.DOTALL)
    return json.loads(found.group(1))


def test_the_toy_is_the_textbooks(tmp_path):
    page = tmp_path / "toy.html"
    said = [line.split() for line in explain("--toy", "--out", page).splitlines()]
    numbers = {line[0]: line[-1] for line in said if len(line) > 2}
    assert numbers["f2"] == "7.137" and numbers["dl/df1"] == "-17.060" and numbers["dl/dw0"] == "5.246"
    data = data_of(page)
    assert [step["name"] for step in data["steps"]] == ["f0", "h1", "f1", "h2", "f2", "h3", "f3", "l"]
    assert data["steps"][5]["source"]["text"] == "h3 = np.cos(f2)" and data["language"] is None


def test_a_row_of_a_table_is_what_is_explained(folder, tmp_path):
    page = tmp_path / "run.html"
    model, table = folder / "buys.safetensors", folder / "people.csv"
    said = explain(model, table, "--row", 3, "--out", page, "--lang", "ko")
    assert "row 3 of people.csv: buys is" in said and "dl/dΩ0" in said and str(page) in said
    net, target, preprocessor = load_table_model(str(model))
    rows = read_for_model(str(table), target, preprocessor)
    x = preprocessor.transform(preprocessor.read(rows))[2:3]
    answer = target.encode(target.values(rows.columns["buys"]))[2:3]
    expected = rg.grad(lambda net: nn.losses.cross_entropy(net(x), answer))(net)
    data = data_of(page)
    shown = {step["name"]: step for step in (*data["inputs"], *data["parameters"], *data["steps"])}
    np.testing.assert_allclose(shown["x"]["value"]["data"], x[0], rtol=1e-6)
    np.testing.assert_allclose(shown["Ω0"]["cotangent"]["data"], expected[0].weight.ravel(), rtol=1e-5, atol=1e-7)
    assert shown["x"]["columns"] == preprocessor.feature_names
    assert preprocessor.feature_names[:4] == ["age", "age is missing", "city is missing", "city = Oslo"]
    assert preprocessor.feature_names[4:] == ["city = Paris", "city = Rome", "member = false", "member = true"]
    assert shown["f1"]["columns"] == ["no", "yes"] and data["language"] == "ko"


def test_json_is_all_of_it(folder, tmp_path):
    said = explain(folder / "spend.safetensors", folder / "people.csv", "--json", "--out", tmp_path / "run.html")
    found = json.loads(said)
    with open(folder / "people.csv", encoding="utf-8") as stream:
        first = next(csv.DictReader(stream))
    assert found["answer"] == float(first["spend"]) and found["target"] == "spend" and found["row"] == 1
    output = next(step for step in found["record"]["steps"] if step["name"] == "f1")
    _, target, _ = load_table_model(str(folder / "spend.safetensors"))
    assert found["prediction"] == pytest.approx(output["value"]["data"][0] * target.scale + target.mean, rel=1e-6)
    assert found["columns"]["f1"] == ["spend"] and Path(found["page"]).exists()


def test_open_hands_the_page_to_the_browser(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    explain("--toy", "--open", "--out", tmp_path / "toy.html")
    assert opened == [(tmp_path / "toy.html").resolve().as_uri()]


def test_bad_input_is_one_line(folder, tmp_path, capsys):
    model, table, page = folder / "buys.safetensors", folder / "people.csv", tmp_path / "run.html"
    with open(table, encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    unknown, half = tmp_path / "unknown.csv", tmp_path / "half.csv"
    for path, names, answers in ((unknown, ["age", "city", "member"], ()), (half, ["age", "city", "member", "buys"], ("", "no"))):
        with open(path, "w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, names, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(row | ({"buys": answer} if answers else {}) for row, answer in zip(rows, answers or ("", "")))
    plain = tmp_path / "plain.safetensors"
    nn.Sequential(nn.Linear(2, 3)).init(0).save(plain)
    explain_to = ("explain", "--out", page)
    assert "has no column 'buys'; the loss compares" in fails(capsys, *explain_to, model, unknown)
    assert "row 1 of" in (said := fails(capsys, *explain_to, model, half)) and "such as row 2" in said
    assert "has rows 1 to 240" in fails(capsys, *explain_to, model, table, "--row", 241)
    assert "rg.explore(lambda net, x, y:" in fails(capsys, *explain_to, plain, table)
    assert "takes a model and a table" in fails(capsys, *explain_to, model)
    assert "neither a model nor a table" in fails(capsys, *explain_to, model, "--toy")
    assert "--lang 'de' is unknown; there are en, ko" in fails(capsys, *explain_to, "--toy", "--lang", "de")
    assert "there is no folder" in fails(capsys, "explain", "--toy", "--out", tmp_path / "nowhere" / "run.html")
    assert not page.exists()
