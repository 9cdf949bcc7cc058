"""The code that the README shows runs, block after block, in one namespace."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page):
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_code_blocks_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks(page):
        exec(compile(block, str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_pictures_are_there_small_and_described(page):
    text = page.read_text()
    shown = [(words, path) for words, path in re.findall(r"!\[(.*?)\]\((.*?)\)", text)]
    shown += [(words, path) for path, words in re.findall(r'<img src="(.*?)" alt="(.*?)">', text)]
    assert all(len(words) > 20 for words, _ in shown)
    for path in [*(path for _, path in shown), *re.findall(r'srcset="(.*?)"', text)]:
        picture = page.parent / path
        assert picture.exists() and (picture.suffix == ".svg" or picture.stat().st_size < 150_000), path


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "ko").glob("*.md")), ids=lambda p: p.name)
def test_a_translation_shows_the_same_code(page):
    original = ROOT / "docs" / page.name
    assert [ast.dump(ast.parse(block)) for block in blocks(page)] == [ast.dump(ast.parse(block)) for block in blocks(original)]
