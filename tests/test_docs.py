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


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "ko").glob("*.md")), ids=lambda p: p.name)
def test_a_translation_shows_the_same_code(page):
    original = ROOT / "docs" / page.name
    assert [ast.dump(ast.parse(block)) for block in blocks(page)] == [ast.dump(ast.parse(block)) for block in blocks(original)]
