"""The saved page in a browser: what it shows is what the record holds, and everybody can read and steer it.

Skipped where there is no Chromium or Playwright; with RETROGRADE_BROWSER=1 that is an error.
"""

import importlib.util
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_record import B, W, X, Y, network, toy, waves  # noqa: F401

import retrograde as rg
from retrograde import nn
from retrograde.explore.tables import number_text
from retrograde.nn.losses import mse

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGS = ["no-sandbox", "disable-gpu", "disable-background-networking", "disable-component-update", "disable-sync", "no-first-run"]
AXE = Path(__file__).parents[2] / "explorer/node_modules/axe-core/axe.min.js"
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

HERE = importlib.util.find_spec("playwright") is not None and Path(CHROMIUM).exists()
if not HERE and os.environ.get("RETROGRADE_BROWSER") != "1":
    pytest.skip("needs playwright and /usr/bin/chromium", allow_module_level=True)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[f"--{arg}" for arg in ARGS])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def toy_record():
    return rg.explore(toy)({"b": np.array(B), "w": np.array(W)}, X, Y)


@pytest.fixture(scope="module")
def net_record():
    return of_layers((3, 4, 2, 3, 2))


@pytest.fixture(scope="module")
def wave_record(waves):  # noqa: F811
    return waves[0]


def of_layers(widths):
    return rg.explore(lambda net, x, y: mse(net(x), y))(*network(widths, seed=0))  # one whose units all live


@pytest.fixture
def show(browser, tmp_path):
    """Opens a record's page; at the end, the page has fetched nothing and complained of nothing."""
    fetched, said, contexts = [], [], []

    def open_page(record, viewport=WIDE, columns=None, language=None, **options):
        contexts.append(browser.new_context(viewport=viewport, locale="en-US", reduced_motion="reduce", **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page.on("request", lambda request: fetched.append(request.url))
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(record.save(tmp_path / "run.html", columns=columns, language=language).as_uri())
        page.locator("h1").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    assert contexts and [url[:80] for url in fetched if not url.startswith(("file:", "data:"))] == []


def written(locator):
    return locator.inner_text().strip().replace("−", "-")


def at_step(page, number):
    """Wait until the page has drawn this moment of the walk."""
    page.locator(".transport output", has_text=f"step {number} of").wait_for()


def node(page, name):
    return page.locator(f'.node[data-name="{name}"]')


def test_the_walk_through_the_toy_shows_the_numbers_of_the_record(show, toy_record):
    page = show(toy_record)
    steps = [step.name for step in toy_record.steps]
    walk = [(name, False) for name in steps] + [(name, True) for name in reversed(steps[:-1])]
    assert len(walk) == 15
    for at, (name, backward) in enumerate(walk):
        at_step(page, at + 1)
        current = page.locator(f".box.current.{'backward' if backward else 'forward'} .node")
        assert current.get_attribute("data-name") == name
        shown = node(page, name).locator(".cotangent" if backward else ".value")
        assert written(shown) == number_text(toy_record[name].cotangent if backward else toy_record[name].value)
        for later, _ in walk[at + 1 :] if not backward else []:
            if later not in steps[: at + 1]:
                assert written(node(page, later).locator(".value")) == ""  # not yet known
        page.keyboard.press("ArrowRight")
    at_step(page, 15)  # stays at the end
    chips = page.locator(".chip")
    assert chips.count() == 8
    for parameter in toy_record.parameters:
        shown = page.locator(f'.chip[data-name="{parameter.name}"] .cotangent')
        assert written(shown) == number_text(parameter.cotangent), parameter.name
    page.keyboard.press("Home")
    at_step(page, 1)
    assert written(chips.first.locator(".cotangent")) == ""


def test_the_product_reuses_the_step_before(show, toy_record):
    page = show(toy_record)
    for _ in range(10):  # eight steps forward, then dl/df3 and dl/dh3; at dl/df2
        page.keyboard.press("ArrowRight")
    at_step(page, 11)
    numbers = [written(n) for n in page.locator(".card .product output.number").all()]
    assert numbers == [number_text(toy_record["h3"].cotangent), number_text(toy_record["f2"].cotangent)]
    assert [drop.get_attribute("data-drop") for drop in page.locator(".drop").all()] == ["b2", "w2"]
    page.get_by_text("Numbers", exact=True).click()
    shown = page.locator(".card div.tex annotation").first.text_content()
    assert shown == "\\frac{\\partial l}{\\partial f_2} = -2.234 \\cdot \\sin(7.137) = -1.683"


def test_written_out_against_shared(show, toy_record):
    page = show(toy_record)
    assert [written(dd) for dd in page.locator(".compare dd").all()] == ["28", "10"]
    page.get_by_role("switch").check()
    assert "7 multiplications" in page.locator(".naive .both").inner_text()
    page.get_by_label("Derivative by").select_option("b1")
    assert "4 multiplications" in page.locator(".naive .both").inner_text()


def test_in_korean(show, toy_record):
    page = show(toy_record)
    page.keyboard.press("End")
    assert "Backward pass" in page.locator(".card h2").inner_text()
    page.get_by_label("Language").select_option("ko")
    page.locator('html[lang="ko"]').wait_for()
    assert "역전파" in page.locator(".card h2").inner_text()


def test_light_and_dark(show, toy_record):
    page = show(toy_record, color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Light or dark").click()
    page.locator('html[data-theme="light"]').wait_for()
    light = page.evaluate(ground)
    assert sum(map(int, dark[4:-1].split(","))) < 150 < 600 < sum(map(int, light[4:-1].split(",")))


@pytest.mark.parametrize("name", ["toy_record", "net_record"])
def test_a_phone_does_not_scroll_sideways(show, name, request):
    page = show(request.getfixturevalue(name), PHONE)
    page.get_by_role("switch").check()
    for key in ("Home", "End"):
        page.keyboard.press(key)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    node(page, "h1").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_click_shows_a_steps_jacobian(show, net_record):
    page = show(net_record)
    node(page, "f1").click()
    detail = page.locator(".detail")
    cells = detail.get_by_role("table", name="Jacobian").get_by_role("cell")
    shown = [float(written(cell)) for cell in cells.all()]
    expected = net_record["f1"].jacobian_by("h1", example=0)  # Ω1 transposed
    np.testing.assert_allclose(shown, expected.ravel(), rtol=5e-3)
    assert "of example" in detail.inner_text() and "4 × 2" in detail.inner_text()
    page.keyboard.press("Escape")
    assert detail.get_by_role("table").count() == 0


def test_a_parameters_jacobian_is_that_of_the_example_that_is_chosen(show, net_record):
    page = show(net_record)
    node(page, "f1").click()
    page.get_by_label("Jacobian by").select_option("Ω1")
    cells = page.locator(".detail").get_by_role("table", name="Jacobian").get_by_role("cell")
    for example in (0, 4):
        page.get_by_label("of example").select_option(str(example))
        shown = [float(written(cell)) for cell in cells.all()]
        np.testing.assert_allclose(shown, net_record["f1"].jacobian_by("Ω1", example=example).ravel(), rtol=5e-3)


def test_complex_numbers_are_written_as_sums(show, waves):  # noqa: F811
    page = show(waves[0])
    page.keyboard.press("End")
    page.locator('.chip[data-name="c"]').click()
    detail = page.locator(".detail")
    assert written(detail.locator("output.number").first) == "1.000 - 2.000i"
    assert "The gradient is its conjugate" in detail.inner_text()
    node(page, "h1").click()
    first = waves[0]["h1"].value[0]
    shown = written(detail.locator(".cells td").first).replace(" ", "").replace("i", "j")
    assert abs(complex(shown) - first) < 5e-3
    assert "Both are complex" in detail.inner_text()


def test_columns_have_names_and_the_page_its_language(show, net_record):
    page = show(net_record, columns={"x": ["age", "height", "weight"]}, language="ko")
    page.locator('html[lang="ko"]').wait_for()
    node(page, "x").click()
    rows = page.locator(".detail .named tr")
    assert [written(row.locator("th")) for row in rows.all()] == ["age", "height", "weight"]
    shown = [float(written(cell)) for cell in rows.first.locator("td").all()]
    np.testing.assert_allclose(shown, net_record["x"].value[:, 0], rtol=5e-3)


def test_the_diagnosis_speaks_the_pages_language(show):
    net, x, y = network((3, 4, 2))
    page = show(rg.explore(lambda net, x, y: mse(net(x), y))(net, 1e3 * x, y))
    assert "standardize it" in page.locator(".diagnosis").inner_text()
    page.get_by_label("Language").select_option("ko")
    assert "표준화하세요" in page.locator(".diagnosis").inner_text()


def test_a_value_read_twice_has_the_sum_of_the_products(show):
    def twice(w):
        h = np.sin(w)
        f = h * 3.0
        return f * h

    record = rg.explore(twice)(0.7)
    page = show(record)
    page.keyboard.press("End")
    products = page.locator(".card .product")
    assert products.count() == 2 and products.locator(".result").count() == 1
    assert written(products.locator(".result output")) == number_text(record["h"].cotangent)
    assert "the sum of the products" in products.last.inner_text()


def test_a_loops_cotangents_are_a_chart_in_time(show):
    def loss(w):
        def step(h, _):
            h = np.tanh(w * h)
            return h, None

        return rg.scan(step, np.ones(2), length=5)[0].sum()

    record = rg.explore(loss)(0.5)
    page = show(record)
    table = page.locator(".cotangents")
    table.locator("summary").click()
    rows = [(written(row.locator("th")), float(written(row.locator("td")))) for row in table.locator("tbody tr").all()]
    steps = [step for step in record.steps if step.name != record.loss_name]
    assert [name for name, _ in rows] == [f"dl/d{step.name}" for step in steps] and len(rows) >= 4
    np.testing.assert_allclose([x for _, x in rows], [np.linalg.norm(s.cotangent) for s in steps], rtol=5e-3)


def test_a_hundred_layers_open_closed(show):
    page = show(of_layers([4] * 101))
    assert page.locator(".node.closed").count() == 99
    page.keyboard.press("End")
    page.get_by_role("button", name="Open all layers").click()
    page.locator('.node[data-name="h99"]').wait_for()
    assert page.locator(".node.closed").count() == 0 and node(page, "f0").locator(".cotangent.known").count() == 1
    page.get_by_role("button", name="Close all layers").click()
    assert page.locator(".node.closed").count() == 99
    page.get_by_role("button", name="Open layer 7:").click()
    assert node(page, "f7").count() == node(page, "h8").count() == 1


@pytest.mark.slow
@pytest.mark.skipif(not AXE.exists(), reason="needs `npm ci --prefix explorer`")
@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["toy_record", "net_record", "wave_record"])
def test_nothing_in_the_way_of_assistive_technology(show, name, scheme, viewport, request):
    page = show(request.getfixturevalue(name), viewport, color_scheme=scheme)
    page.add_script_tag(content=AXE.read_text("utf-8"))
    node(page, "h1").click()
    page.get_by_role("switch").check()
    for key in ("Home", "End"):
        page.keyboard.press(key)
        found = page.evaluate("axe.run()")["violations"]
        assert not found, "\n".join(f"{v['id']}: {n['html'][:200]} {n['failureSummary']}" for v in found for n in v["nodes"][:3])


def test_long_names_have_room_and_the_current_step_is_in_sight(show):
    net = nn.Sequential(nn.GRU(2, 3, batch_first=True), nn.TakeOutput(-1), nn.Linear(3, 1)).init(0, np.float64)
    page = show(rg.explore(lambda net, x: np.sum(net(x) ** 2))(net, np.ones((2, 3, 2))), PHONE)
    spilling = "chips => chips.filter(chip => chip.scrollWidth > chip.clientWidth + 1).map(chip => chip.dataset.name)"
    assert page.locator(".chip").evaluate_all(spilling) == []
    inside = """() => {
        const [box, node] = [".view", ".current"].map(s => document.querySelector(s).getBoundingClientRect());
        const room = [node.top - box.top, box.bottom - node.bottom, node.left - box.left, box.right - node.right];
        return room.every(x => x >= -1);
    }"""
    for _ in range(int(page.locator(".transport input").get_attribute("max"))):
        page.keyboard.press("ArrowRight")
        page.wait_for_function(inside)
