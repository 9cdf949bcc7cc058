"""What holds for all tests: none of them reads or writes the user's own cache of compiled code."""

import pytest


@pytest.fixture(autouse=True)
def _no_cache_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("RETROGRADE_CACHE", "0")
    monkeypatch.setenv("RETROGRADE_CACHE_DIR", str(tmp_path / "cache"))
