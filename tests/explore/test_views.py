"""What a record says of memory and of what is wrong; its tables, pages, plots and data."""

import html.parser
import json
import re
import subprocess
import sys

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn
from retrograde.explore.sentences import ENGLISH, KOREAN, finding, say
from retrograde.nn.losses import cross_entropy, mse


def classify(net, x, y):
    return cross_entropy(net(x), y)


def deep(layers, activation, width=8, scale=1.0):
    net = nn.Sequential(*[part for _ in range(layers) for part in (nn.Linear(width, width), activation())], nn.Linear(width, 2))
    net = net.init(0, np.float64)
    return nn.Sequential(*[p.replace(weight=p.weight * scale) if isinstance(p, nn.Linear) else p for p in net])


def data(n=50, width=8):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, width)), rng.integers(0, 2, n)


def test_what_is_held_is_what_the_backward_pass_keeps():
    net, (x, y) = deep(3, nn.ReLU), data()
    record = rg.explore(classify)(net, x, y)
    memory = record.memory()
    kept = [(op, t) for op, t in rg.held_for_backward(classify)(net, x, y) if op != "input"]
    assert memory.kept == sum(t.nbytes for _, t in kept)
    held = {value.name: value for value in memory.held}
    assert held["h2"].readers == ("the pullback of f2", "the pullback of h2")
    assert (held["h2"].made, held["h2"].until, held["h2"].nbytes) == ("h2", "the pullback of h2", 50 * 8 * 8)
    assert memory.peak == max(moment.nbytes for moment in memory.moments) >= memory.kept
    names = [moment.name for moment in memory.moments]
    assert names.index("f1") < names.index("l") < names.index("the pullback of l") < names.index("the pullback of f1")
    assert "the peak is made of" in str(memory)


def test_sigmoids_vanish_and_saturate():
    net, (x, y) = deep(10, nn.Sigmoid), data()
    vanishing = next(s for s in rg.explore(classify)(net, x, y).diagnose() if "vanishing" in s)
    sizes = [np.sqrt(np.mean(rg.explore(classify)(net, x, y)[f"f{k}"].cotangent ** 2)) for k in range(11)]
    start = max(k for k in range(11) if sizes[k] < sizes[10] / 10)
    assert f"it starts at f{start}" in vanishing and f"{sizes[10]:.3g} at f10" in vanishing
    saturated = rg.explore(classify)(net, 1000 * x, y).diagnose()
    assert any(s.startswith("h1: ") and "flat" in s for s in saturated)
    assert any("the input x has a root mean square" in s for s in saturated)


def test_large_weights_explode():
    net, (x, y) = deep(10, nn.Tanh, scale=0.2), data()
    wide = deep(10, nn.ReLU, scale=8.0)
    assert any("exploding" in s and "grows" in s for s in rg.explore(classify)(wide, x, y).diagnose())
    assert any("vanishing" in s for s in rg.explore(classify)(net, x, y).diagnose())


def test_dead_units_are_counted():
    net, (x, y) = deep(1, nn.ReLU), data()
    bias = np.where(np.arange(8) < 3, -100.0, 0.0)
    net = nn.Sequential(net[0].replace(bias=bias), *net[1:])
    said = rg.explore(classify)(net, x, y).diagnose()
    assert said == ["h1: 3 of 8 units are 0 for all 50 examples; no derivative passes through them"]

    def columns(phi, x):
        h = np.maximum(phi[0][:, None] + phi[1] @ x, 0)
        return np.mean(h * h)

    said = rg.explore(columns)((bias, net[0].weight), x.T).diagnose()
    assert any("3 of 8 units" in s for s in said)


def test_a_healthy_network_has_no_complaints():
    net, (x, y) = deep(2, nn.ReLU, width=32), data(width=32)
    assert [s for s in rg.explore(classify)(net, x, y).diagnose() if "units" not in s] == []


def test_features_far_apart_are_named():
    net, (x, y) = deep(1, nn.Tanh), data()
    said = rg.explore(classify)(net, x * np.logspace(-4, 1, 8), y).diagnose()
    assert any(s.startswith("the features of x") for s in said)


def test_the_first_nan_is_named_with_its_line_and_inputs():
    def loss(p, x):
        f0 = p["a"] * x
        h1 = np.log(f0)
        return np.sum(h1 * p["c"])

    record = rg.explore(loss)({"a": np.float64(1.0), "c": np.ones(3), "d": np.ones(2)}, np.array([1.0, -2.0, 3.0]))
    said = record.diagnose()
    assert said[0].startswith("NaN is first made in step h1 at [1], by log of -2 (") and "h1 = np.log(f0))" in said[0]
    assert said[1].startswith("no path leads from the loss to the parameter d")
    json.dumps(record.to_dict(), allow_nan=False)


def test_an_infinity_of_the_backward_pass_is_named():
    def loss(w, x):
        h = np.sqrt(w * x)
        return np.sum(h)

    said = rg.explore(loss)(np.array([1.0, 0.0]), np.array([1.0, 1.0])).diagnose()
    assert said[0].startswith("an infinity is first made in the pullback of h at [1]") and "h = np.sqrt(w * x)" in said[0]


def test_inputs_that_are_not_finite_are_said_first():
    net, (x, y) = deep(1, nn.ReLU), data()
    x[3, 2] = np.nan
    assert rg.explore(classify)(net, x, y).diagnose()[0] == "the input x holds 1 of 400 values that are NaN or infinite"


REMARKS = {
    "given": {"kind": finding("input"), "name": "x", "bad": 1, "size": 4},
    "unreached": {"name": "β0"},
    "zero": {"name": "β0", "size": 4},
    "vanishing": {"start": 1.0, "first": "f9", "end": 1e-5, "last": "f0", "per": 0.3, "begins": "f7", "there": 0.09},
    "dead": {"name": "h1", "dead": 3, "units": 8, "examples": 50},
    "all dead": {"name": "h1", "units": 8},
    "saturated": {"name": "h1", "share": 0.7, "size": 8, "margin": 0.01, "low": 0.0, "high": 1.0, "op": "sigmoid"},
    "scale": {"name": "x", "size": 1e3},
    "scales": {"name": "x", "low": 1e-3, "high": 1e3},
    "first": {
        "what": finding("nan"), "where": finding("in pullback", name="h1"), "at": finding("at", place="[1]"),
        "row": finding("row", row=7), "op": "log",
        "operands": [finding("element", x=-2.0), finding("range", low=0.0, high=1.0), finding("empty")],
        "line": finding("line", file="a.py", line=3, text="h1 = np.log(f0)"),
    },
}  # fmt: skip
REMARKS["exploding"] = REMARKS["vanishing"]


def test_every_sentence_has_its_translation():
    assert set(KOREAN) == set(ENGLISH)
    for key, facts in REMARKS.items():
        english, korean = (say(finding(key, **facts), language) for language in ("en", "ko"))
        assert re.search("[가-힣]", korean) and not re.search("[가-힣]", english)
        assert sorted(re.findall(r"[\d.e-]*\d", english)) == sorted(re.findall(r"[\d.e-]*\d", korean)), key


def test_a_diagnosis_in_korean():
    net, (x, y) = deep(10, nn.Sigmoid), data()
    record = rg.explore(classify)(net, x, y)
    english, korean = record.diagnose(), record.diagnose(language="ko")
    assert len(english) == len(korean) and any(s.startswith("기울기 소실") for s in korean)
    with pytest.raises(ValueError, match="'en' or 'ko'; it is 'de'"):
        record.diagnose("de")


class Balanced(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for key, value in attrs if key in ("src", "href")]

    def handle_data(self, text):
        self.text += text


def test_the_notebook_view_fetches_nothing_and_shows_the_numbers():
    net, (x, y) = deep(2, nn.ReLU), data()
    record = rg.explore(classify)(net, x, y)
    bundle = record._repr_mimebundle_()
    page = Balanced()
    page.feed(bundle["text/html"])
    assert page.links == [] and "script" not in page.tags and "http" not in bundle["text/html"]
    for words in ("dl/df1", "1[h2 > 0] ⊙ dl/dh2", "50 × 8", "multiplications", "kept for the backward pass"):
        assert words in page.text, words
    assert "dl/dΩ0" in bundle["text/plain"]
    assert "<record" not in bundle["text/html"].lower()


def test_the_view_escapes_what_users_wrote():
    def loss(w):
        h = np.where(w < 2.0, w, 0.0)
        return np.sum(h)

    assert "&lt;" in rg.explore(loss)(np.ones(3))._repr_html_()


def test_the_description_is_json_and_whole():
    net, (x, y) = deep(2, nn.ReLU), data()
    record = rg.explore(classify)(net, x, y)
    found = json.loads(json.dumps(record.to_dict(elements=100), allow_nan=False))
    assert [s["name"] for s in found["steps"]] == [s.name for s in record.steps]
    by_name = {s["name"]: s for s in (*found["steps"], *found["parameters"], *found["inputs"])}
    np.testing.assert_allclose(by_name["β0"]["cotangent"]["data"], record["β0"].cotangent, rtol=1e-15)
    assert "data" not in by_name["f0"]["value"] and by_name["f0"]["value"]["norm"] > 0
    assert by_name["h1"]["backward"]["text"] == "dl/df1 Ω1"
    assert found["memory"]["peak"] == record.memory().peak and found["reuse"]["naive"] == record.reuse().naive


def test_reuse_of_a_network_counts_the_products():
    """dl/dh_1 of two layers costs n·2·4, each weight its outer products; written out dl/dh_1 is made for Ω0 and β0 each."""
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).init(0, np.float64)
    rng = np.random.default_rng(0)
    reuse = rg.explore(lambda net, x, y: mse(net(x), y))(net, rng.normal(size=(5, 3)), rng.normal(size=(5, 2))).reuse()
    on, omega1, omega0 = 5 * 2 * 4, 2 * 5 * 4, 4 * 5 * 3
    assert reuse.shared == omega1 + on + omega0
    assert reuse.by_parameter == {"Ω1": omega1, "β1": 0, "Ω0": on + omega0, "β0": on}


def test_the_plot_shows_norms_and_updates():
    pytest.importorskip("matplotlib")
    net, (x, y) = deep(2, nn.ReLU), data()
    record = rg.explore(classify)(net, x, y)
    norms, ratios, sizes, dead = record.plot(rate=0.1).axes
    heights = [bar.get_height() for bar in ratios.patches]
    expected = [0.1 * np.linalg.norm(p.cotangent) / w if (w := np.linalg.norm(p.value)) else np.nan for p in record.parameters]
    np.testing.assert_allclose(heights, expected, rtol=1e-12)
    np.testing.assert_allclose(norms.lines[1].get_ydata()[0], np.linalg.norm(record["f0"].cotangent), rtol=1e-12)
    f0 = np.abs(record["f0"].cotangent)
    np.testing.assert_allclose(sizes.lines[0].get_ydata()[0], np.median(f0[f0 > 0]), rtol=1e-6)
    assert len(dead.patches) == 2
    assert record.plot().axes[1].get_title() == "norm of the gradient"


def test_the_plot_of_a_loop_has_room_for_its_names():
    pytest.importorskip("matplotlib")
    net = nn.Sequential(nn.LSTM(2, 3), nn.TakeOutput(-1, batch_first=False)).init(0, np.float64)
    figure = rg.explore(lambda net, x: np.sum(net(x) ** 2))(net, np.ones((8, 2, 2))).plot()
    figure.canvas.draw()  # warns where the axes have no room
    assert all(len(ax.get_xticks()) <= 32 for ax in figure.axes)
    assert figure.axes[3].texts[0].get_text() == "no ReLU"


def test_explore_is_a_function_whatever_was_imported_first():
    code = "import retrograde.explore.record, retrograde as rg; print(callable(rg.explore), 'rich' in __import__('sys').modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True", "False"]


def test_a_table_fits_a_narrow_terminal_and_cuts_no_formula():
    from rich.console import Console

    record = rg.explore(lambda net, x: np.sum(net(x)[0][-1] ** 2))(nn.GRU(2, 3).init(0, np.float64), np.ones((3, 2, 2)))
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(record.table())
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= 80 and "…" not in capture.get()
    assert any(line.startswith(" h3 ") and "(1 - z3) · n3 + z3 · h2" in line and "2 × 3" in line for line in lines)
