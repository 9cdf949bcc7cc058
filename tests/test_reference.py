"""Each public name of `nn` and `optim` has an example that runs; the pages list and show all of them."""

import doctest
import inspect
import re
import runpy
from pathlib import Path

import pytest

from retrograde import nn, optim

DOCS = Path(__file__).resolve().parents[1] / "docs"
WRITER = runpy.run_path(str(DOCS / "reference.py"))
PUBLIC = WRITER["public"]()
TEXTS = WRITER["pages"]()
LOSSES = {name for name in nn.__all__ if name.endswith("Loss")}
GUIDES = {
    "layers.md": {*nn.__all__, *nn.initializers.__all__} - LOSSES - {"augment", "initializers", "losses"},
    "losses-and-optimizers.md": {*LOSSES, *optim.__all__, *optim.schedules.__all__},
    "regularization.md": {*nn.augment.__all__},
}


@pytest.mark.parametrize("name", PUBLIC)
def test_the_example_of_a_docstring_runs(name):
    names = {}
    exec(WRITER["IMPORTS"], names)
    test = doctest.DocTestParser().get_doctest(inspect.getdoc(PUBLIC[name]) or "", names, name, None, None)
    assert test.examples, f"{name} has no example in its docstring"
    said = []
    doctest.DocTestRunner().run(test, out=said.append)
    assert not said, "".join(said)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_a_docstring_is_its_own_and_begins_with_one_line(name):
    thing = PUBLIC[name]
    assert "__doc__" in vars(thing) or inspect.isfunction(thing)
    first, *rest = inspect.getdoc(thing).split("\n")
    assert first.endswith((".", ":")) and rest[0] == ""


@pytest.mark.parametrize("page", TEXTS)
def test_the_page_is_what_the_docstrings_say(page):
    written = (DOCS / "reference" / page).read_text()
    assert written == TEXTS[page], f"docs/reference/{page} is out of date: run `python docs/reference.py`"


def test_each_public_name_stands_on_one_page():
    headings = [name for text in TEXTS.values() for name in re.findall(r"^### `([\w.]+)`$", text, re.MULTILINE)]
    assert sorted(headings) == sorted(PUBLIC)


def test_links_within_the_pages_lead_to_a_heading():
    for text in TEXTS.values():
        anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
        assert set(re.findall(r"\(#([^)]+)\)", text)) <= anchors


@pytest.mark.parametrize("page", GUIDES)
def test_the_guide_names_each(page):
    text = (DOCS / page).read_text()
    missing = [name for name in GUIDES[page] if not re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`", text)]
    assert not missing


def test_a_loss_by_name_says_its_name():
    for name, loss in nn.losses.LOSSES.items():
        assert f'"{name}"' in inspect.getdoc(loss)
