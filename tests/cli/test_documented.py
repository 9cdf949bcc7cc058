"""The commands that the page shows run, one after the other, in one folder."""

import re
import shlex
from pathlib import Path

import pytest

from retrograde.cli import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "command-line.md"


@pytest.mark.slow
def test_the_commands_of_the_page_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text()
    exec(compile(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], str(PAGE), "exec"), {})
    commands = re.findall(r"^\$ retrograde (.*)$", text, re.MULTILINE)
    assert len(commands) > 10
    for command in commands:
        assert main(shlex.split(command)) == 0, (command, capsys.readouterr().err)
        said = capsys.readouterr().out
        if "--out churn.safetensors" in command:
            shown = re.search(r"--out churn.safetensors\n(.*?)\n\.\.\.", text, re.DOTALL)[1]
            assert shown in said
