"""Compiled code of these tests is kept in one folder for the session: many fits here are of one shape."""

import pytest


@pytest.fixture(scope="session")
def _folder(tmp_path_factory):
    return tmp_path_factory.mktemp("code")


@pytest.fixture(autouse=True)
def _shared_cache(monkeypatch, _folder, _no_cache_of_the_user):
    monkeypatch.setenv("RETROGRADE_CACHE", "1")
    monkeypatch.setenv("RETROGRADE_CACHE_DIR", str(_folder))
