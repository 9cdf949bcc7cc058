"""The saved page as a file: its size, what it would fetch, its data, and the other faces of the formulas."""

import json
import math
import re
from importlib.resources import files

import numpy as np
import pytest
from test_record import B, W, X, Y, closed_forms, network, record, toy, waves  # noqa: F401

import retrograde as rg
from retrograde.errors import ShapeError
from retrograde.explore import saving
from retrograde.explore.faces import with_numbers, with_shapes, written_out
from retrograde.explore.tables import number_text
from retrograde.nn.losses import mse

NAMESPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1998/Math/MathML", "http://www.w3.org/1999/xhtml"}


def data_of(path):
    """The record's data, read as a browser reads it: up to the first end tag of a script."""
    page = path.read_text("utf-8")
    found = re.search(r'<script id="record" type="application/json">(.*?)</script>', page, re.DOTALL)
    return json.loads(found.group(1))


def of_layers(widths):
    return rg.explore(lambda net, x, y: mse(net(x), y))(*network(widths))


def test_the_page_is_one_small_file_that_fetches_nothing(record, tmp_path):  # noqa: F811
    path = record.save(tmp_path / "run.html")
    assert [p.name for p in tmp_path.iterdir()] == ["run.html"]
    page = path.read_text("utf-8")
    built = files("retrograde.explore").joinpath("built/index.html").read_text("utf-8")
    assert len(built.encode()) < 1_500_000 and built.count(saving.PLACE) == 1 and saving.PLACE not in page
    assert set(re.findall(r"https?://[^\s\"'`<>)]*", page)) <= NAMESPACES
    assert not re.search(r"<(?:script|iframe)[^>]+src=|<link[^>]+href=\"(?!data:)", page)
    (style,) = re.findall(r"<style[^>]*>(.*?)</style>", page, re.DOTALL)
    assert not re.search(r"url\((?![\"']?data:)|@import", style)


def test_the_data_is_that_of_the_record(record, tmp_path):  # noqa: F811
    data = data_of(record.save(tmp_path / "run.html"))
    values, derivatives = closed_forms()
    shown = {step["name"]: step for step in (*data["steps"], *data["parameters"], *data["inputs"])}
    for name, value in values.items():
        assert shown[name]["value"]["data"] == [pytest.approx(value, rel=1e-8)]
    for name, derivative in derivatives.items():
        assert shown[name]["cotangent"]["data"] == [pytest.approx(derivative, rel=1e-8)]
        assert f"{shown[name]['cotangent']['data'][0]:.3f}" == number_text(record[name].cotangent)  # both round alike
    by_f2 = shown["h3"]["jacobians"]["f2"]
    assert by_f2["shape"] == [1, 1] and by_f2["batch"] == 0
    assert by_f2["examples"][0]["data"] == [pytest.approx(-np.sin(values["f2"]), rel=1e-8)]
    assert by_f2["examples"][0]["norm"] == pytest.approx(np.sin(values["f2"]))
    assert (data["reuse"]["naive"], data["reuse"]["shared"]) == (28, 10)
    assert shown["x"]["value"]["data"] == [2.3] and data["loss"] == record.loss


def test_nothing_in_the_data_ends_the_script(tmp_path):
    def loss(p):
        return p * len("</script><!--<script>")

    loss.__name__ = "</script><script>alert(1)//"
    path = rg.explore(loss)(2.0).save(tmp_path / "run.html")
    data = data_of(path)
    assert data["title"] == loss.__name__ and any("</script>" in (step["source"] or {}).get("text", "") for step in data["steps"])
    assert path.read_text("utf-8").count("alert(1)") == 1
    assert "</script>" not in path.read_text("utf-8").split("alert(1)")[0].rsplit('type="application/json">', 1)[1]


def test_nan_and_infinity_are_words(tmp_path):
    def loss(p, x):
        h = np.log(x)
        return np.sum(p * h)

    data = data_of(rg.explore(loss)(np.float64(1.0), np.array([1.0, -2.0, 0.0])).save(tmp_path / "run.html"))
    by_name = {step["name"]: step for step in data["steps"]}
    assert by_name["h"]["value"]["data"] == [0, "nan", "-inf"] and by_name["h"]["value"]["not_finite"] == 2
    assert data["loss"] == "nan" and "NaN is first made in step h" in data["diagnosis"]["en"][0]


def test_large_arrays_are_pictures_unless_they_are_asked_for(tmp_path):
    def loss(w, x):
        h = x @ w
        return np.mean(h * h)

    w, x = np.random.default_rng(0).normal(size=(2, 300, 300))
    record = rg.explore(loss)(w, x)  # noqa: F811
    data = data_of(record.save(tmp_path / "run.html"))
    (h,) = (step["value"] for step in data["steps"] if step["name"] == "h")
    assert "data" not in h and len(h["picture"]["data"]) == math.prod(h["picture"]["shape"]) <= saving.SIDE[1] ** 2
    assert sum(h["histogram"]["counts"]) == 300 * 300 and len(h["histogram"]["edges"]) == saving.BINS + 1
    shown = data_of(record.save(tmp_path / "run.html", show=["h"]))
    (h,) = (step["value"] for step in shown["steps"] if step["name"] == "h")
    np.testing.assert_allclose(h["data"], record["h"].value.ravel(), rtol=1e-8)
    assert "picture" in shown["parameters"][0]["value"]
    with pytest.raises(KeyError, match="no step is called 'g'"):
        record.save(tmp_path / "run.html", show=["g"])


def test_the_file_of_a_deep_network_is_small(tmp_path):
    path = of_layers([4] * 101).save(tmp_path / "run.html")
    data = data_of(path)
    assert len(data["steps"]) == 200 and path.stat().st_size < 1_500_000
    assert [len(names) for names in data["layers"]] == [2] * 99 + [1]


def test_layers_are_a_linear_map_and_what_follows_it(record):  # noqa: F811
    assert record.to_dict()["layers"] == []
    assert of_layers((3, 4, 2, 3, 2)).to_dict()["layers"] == [["f0", "h1"], ["f1", "h2"], ["f2", "h3"], ["f3"]]


def test_a_formula_with_numbers_in_the_place_of_symbols(record):  # noqa: F811
    face = with_numbers(record)
    assert face.forward(record["f2"]).tex == "-3.000 + 2.000 \\cdot 5.068"
    assert face.forward(record["l"]).tex == "(2.372 - 2.000)^2"
    assert face.backward(record["f2"]).tex == "-2.234 \\cdot \\sin(7.137)"
    assert face.backward(record["w2"]).tex == "-1.683 \\cdot 5.068"
    assert face.local(record["h3"], "f2").tex == "-\\sin(7.137)"
    assert face.forward(record["x"]) is None


def test_a_formula_with_shapes_below_its_arrays(record):  # noqa: F811
    assert with_shapes(record).forward(record["f2"]).tex == record["f2"].formula.tex  # a chain of numbers has none
    deep = of_layers((3, 4, 2))
    assert with_shapes(deep).forward(deep["f1"]).tex == (
        "\\underset{\\;6 \\times 4\\;}{h_1} \\underset{\\;2 \\times 4\\;}{\\Omega_1}^T + \\underset{\\;2\\;}{\\beta_1}"
    )
    assert "\\begin{bmatrix} 0 & 0 \\end{bmatrix}" in with_numbers(deep).forward(deep["f1"]).tex


def test_columns_are_as_many_as_their_names(tmp_path):
    net = of_layers((3, 4, 2))
    data = data_of(net.save(tmp_path / "run.html", columns={"h0": ["a", "b", "c"]}, language="ko"))
    shown = {step["name"]: step["columns"] for step in (*data["inputs"], *data["parameters"], *data["steps"])}
    assert shown["x"] == ["a", "b", "c"] and shown["f0"] is None and data["language"] == "ko"
    with pytest.raises(ShapeError, match=r"columns has 2 names for x, whose shape is \(6, 3\)"):
        net.save(tmp_path / "run.html", columns={"x": ["a", "b"]})
    with pytest.raises(KeyError, match="no step is called 'age'"):
        net.save(tmp_path / "run.html", columns={"age": []})
    with pytest.raises(ValueError, match="language is 'en' or 'ko'; it is 'fr'"):
        net.save(tmp_path / "run.html", language="fr")


def test_jacobians_of_a_batch_are_those_of_its_examples(tmp_path, monkeypatch):
    net = of_layers((3, 4, 2))
    (by_weight,) = (step["jacobians"]["Ω1"] for step in saving.page_data(net)["steps"] if step["name"] == "f1")
    assert by_weight["shape"] == [8, 2] and by_weight["batch"] == 6 and len(by_weight["examples"]) == 6
    for i, shown in enumerate(by_weight["examples"]):
        np.testing.assert_allclose(shown["data"], net["f1"].jacobian_by("Ω1", example=i).ravel(), rtol=1e-8)
    monkeypatch.setattr(saving, "JACOBIANS", 1)  # little room: the first example alone
    (by_weight,) = (step["jacobians"]["Ω1"] for step in saving.page_data(net)["steps"] if step["name"] == "f1")
    assert by_weight["batch"] == 6 and len(by_weight["examples"]) == 1


def test_a_vectors_jacobian_is_whole():
    def loss(w, x):
        h = np.maximum(w * x, 0)
        return np.sum(h * h)

    data = saving.page_data(rg.explore(loss)(np.ones(4), np.arange(4.0) - 1))
    (h,) = (step for step in data["steps"] if step["name"] == "h")
    assert h["jacobians"]["w"]["batch"] == 0 and h["jacobians"]["w"]["shape"] == [4, 4]
    assert h["jacobians"]["w"]["examples"][0]["data"] == np.diag([0.0, 0, 1, 2]).ravel().tolist()


def test_complex_numbers_are_two_lists(waves, tmp_path):  # noqa: F811
    wave = waves[0]
    shown = {step["name"]: step for step in data_of(wave.save(tmp_path / "run.html"))["steps"]}["h1"]
    value = wave["h1"].value
    np.testing.assert_allclose(shown["value"]["data"], value.real, rtol=1e-8)
    np.testing.assert_allclose(shown["value"]["imaginary"], value.imag, rtol=1e-8)
    assert shown["value"]["max"] == pytest.approx(np.abs(value).max()) and shown["jacobians"] == {}
    assert "i" in with_numbers(wave).forward(wave["f1"]).tex
    json.dumps(wave.to_dict(), allow_nan=False)


def test_derivatives_written_out_are_the_derivatives(record):  # noqa: F811
    """Each is an expression in parameters and inputs alone; Python computes it to the derivative."""
    given = {f"b{k}": B[k] for k in range(4)} | {f"w{k}": W[k] for k in range(4)} | {"x": X, "y": Y}
    _, derivatives = closed_forms()
    found = written_out(record)
    assert set(found) == {p.name for p in record.parameters}
    for name, formula in found.items():
        code = formula.text.replace("·", "*").replace("²", "**2")
        computed = eval(code, {"__builtins__": {}, "sin": np.sin, "cos": np.cos, "exp": np.exp}, given)
        assert computed == pytest.approx(derivatives[name], rel=1e-12), formula.text
        assert formula.tex.count("{") == formula.tex.count("}")
    assert found["b3"].tex.startswith("2 \\cdot (b_3 + w_3 \\cdot \\cos(")
    assert written_out(of_layers((3, 4, 2))) == {}  # of a chain of numbers only


def test_open_hands_the_file_to_the_browser(record, tmp_path, monkeypatch):  # noqa: F811
    opened = []
    monkeypatch.setattr(saving.webbrowser, "open", opened.append)
    path = record.save(tmp_path / "run.html")
    assert not opened
    record.save(path, open=True)
    assert opened == [path.resolve().as_uri()]
