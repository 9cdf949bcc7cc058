"""What holds for all tests: none reads or writes the user's own cache of compiled code, and Ctrl-C is heard."""

import signal

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background job, where those that press it would wait
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_cache_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("RETROGRADE_CACHE", "0")
    monkeypatch.setenv("RETROGRADE_CACHE_DIR", str(tmp_path / "cache"))
