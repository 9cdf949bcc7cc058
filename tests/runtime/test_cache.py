"""The cache of object code: what hits, what misses, and what it must never believe."""

import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import retrograde as rg
from retrograde.errors import DataError
from retrograde.ir.digest import digest_graph
from retrograde.ir.primitive import REGISTRY, Primitive
from retrograde.runtime import cache
from retrograde.runtime.cache import Entry, load, store

SOURCE = Path(rg.__file__).resolve().parents[1]
KEY = "0" * 64
ENTRY = Entry({"peak": 64, "constants": [0, 2]}, bytes(range(256)) * 3)
digest_of_sources = cache.source_digest.__wrapped__
posix = pytest.mark.skipif(os.name == "nt", reason="no modes of files here")


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("RETROGRADE_CACHE", "1")
    monkeypatch.setattr("retrograde.compile.WORTH_KEEPING", 0.0)
    monkeypatch.setattr(cache, "source_digest", lambda since: "as they are")  # whoever edits them while the tests run
    return tmp_path / "cache"


def entries(folder):
    return sorted(folder.glob("*.code")) if folder.exists() else []


def program(x):
    return rg.scan(lambda c, r: (np.tanh(c + r) * 0.5, np.sum(c)), x[0], x)


X = np.linspace(-2, 2, 5 * 300).reshape(5, 300)


def bits(f=program, x=X):
    compiled = rg.jit(f).lower(x)
    return compiled, b"".join(np.asarray(y).tobytes() for y in compiled([x]))


SCRIPT = """
import sys; sys.path.insert(0, {tests!r})
import retrograde.compile
retrograde.compile.WORTH_KEEPING = 0.0
import test_cache
retrograde.compile.cache.source_digest = lambda since: "as they are"
compiled, found = test_cache.bits()
import hashlib
print(compiled.from_cache, found.hex(), hashlib.sha256(compiled.ir.encode()).hexdigest())
"""


def start(**environment):
    code = SCRIPT.format(tests=str(Path(__file__).parent))
    env = {**os.environ, "PYTHONPATH": str(SOURCE), **environment}
    return subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True)


def answer(process):
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    hit, found, ir = output.split()
    return hit == "True", bytes.fromhex(found), ir


# -- hits


def test_a_second_trace_loads_what_the_first_compiled(folder):
    first, expected = bits()
    second, found = bits()
    assert (first.from_cache, second.from_cache) == (False, True) and found == expected
    assert "compiled in" in str(first) and "loaded from the cache in" in str(second)
    assert first.ir == second.ir and str(first.plan) == str(second.plan)
    assert len(entries(folder)) == 1


def test_another_process_with_another_hash_seed_loads_it_and_emits_the_same_code():
    first, expected = bits()
    for seed in ("1", "2"):
        hit, found, ir = answer(start(PYTHONHASHSEED=seed))
        assert hit and found == expected
        import hashlib

        assert ir == hashlib.sha256(first.ir.encode()).hexdigest()


def test_a_program_with_arrays_it_closes_over_gets_those_of_now():
    def of(weight, unread):
        def f(x):
            x * unread
            return x @ weight

        return rg.jit(f).lower(X)

    rng = np.random.default_rng(0)
    for expected_hit in (False, True):
        weight, unread = rng.normal(size=(300, 40)), rng.normal(size=(5, 300))
        compiled = of(weight, unread)
        assert compiled.from_cache == expected_hit
        np.testing.assert_allclose(compiled([X])[0], X @ weight, rtol=1e-12)


def test_a_training_run_and_shared_work_have_the_same_bits():
    from retrograde import nn, optim

    rng = np.random.default_rng(0)
    points = rng.normal(size=(300, 64)).astype(np.float32), rng.integers(0, 10, 300)
    net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)).init(0)
    settings = {"loss": "cross_entropy", "optimizer": optim.Adam(1e-3), "batch_size": 128, "epochs": 3}
    runs = []
    for threads in (1, 2):
        rg.set_threads(threads)
        try:
            runs.append(rg.fit(net, points, **settings))
        finally:
            rg.set_threads(None)
    assert [run.program.from_cache for run in runs] == [False, True]
    for a, b in zip(rg.tree.tree_leaves(runs[0].model), rg.tree.tree_leaves(runs[1].model)):
        assert np.array_equal(a, b)


def test_small_programs_are_not_kept(folder, monkeypatch):
    monkeypatch.setattr("retrograde.compile.WORTH_KEEPING", 1e9)
    bits()
    assert not entries(folder)


def test_the_cache_can_be_turned_off(folder, monkeypatch):
    monkeypatch.setenv("RETROGRADE_CACHE", "0")
    assert not bits()[0].from_cache and not bits()[0].from_cache and not folder.exists()


# -- keys


def key_of(f, *args):
    return rg.jit(f).lower(*args)._key()


def body(number, op=np.tanh):
    return lambda x: rg.scan(lambda c, r: (op(c) * number, None), x[0], x)[0]


x32 = np.ones((4, 3), np.float32)
VARIANTS = {
    "the program": (lambda x: np.sin(x) * 2.0, x32),
    "a literal": (lambda x: np.sin(x) * 3.0, x32),
    "the sign of zero": (lambda x: np.sin(x) * 0.0, x32),
    "the other sign of zero": (lambda x: np.sin(x) * -0.0, x32),
    "a dtype": (lambda x: np.sin(x) * 2.0, x32.astype(np.float64)),
    "a shape": (lambda x: np.sin(x) * 2.0, x32[:3]),
    "an axis order": (lambda x: np.sin(x) * 2.0, x32.T.copy()),
    "a primitive": (lambda x: np.cos(x) * 2.0, x32),
    "a parameter": (lambda x: np.sum(x, 0), x32),
    "another parameter": (lambda x: np.sum(x, 1)[:3], x32),
    "the wiring": (lambda x: np.sin(x) - x, x32),
    "the other wiring": (lambda x: x - np.sin(x), x32),
    "outputs": (lambda x: (np.sin(x), x), x32),
    "outputs in another order": (lambda x: (x, np.sin(x)), x32),
    "a loop": (body(2.0), x32),
    "another number in its body": (body(3.0), x32),
    "another function in its body": (body(2.0, np.sin), x32),
}


def test_keys_tell_programs_apart_and_nothing_else():
    keys = {what: key_of(f, x) for what, (f, x) in VARIANTS.items()}
    assert None not in keys.values() and len(set(keys.values())) == len(VARIANTS)
    assert keys == {what: key_of(f, x) for what, (f, x) in VARIANTS.items()}
    assert key_of(lambda other_name: np.sin(other_name) * 2.0, x32) == keys["the program"]


def test_inputs_in_another_order_are_another_program():
    a, b = np.ones(3), np.ones(3)
    assert key_of(lambda a, b: a - b, a, b) != key_of(lambda a, b: b - a, a, b)


def test_flags_processors_versions_and_sources_are_in_the_key(monkeypatch):
    def key(**flags):
        return rg.jit(lambda x: x * 2, **flags).lower(x32)._key()

    keys = {key(), key(flush_subnormals=True)}
    from retrograde.runtime import llvm

    for name, value in (("cpu", "another"), ("features", "+none"), ("vector_bytes", 8), ("llvm", [1, 0, 0])):
        known = llvm.compiler()
        with monkeypatch.context() as patched:
            patched.setattr(llvm, "compiler", lambda known={**known, name: value}: known)
            keys.add(key())
    with monkeypatch.context() as patched:
        patched.setattr(cache, "source_digest", lambda since: "other sources")
        keys.add(key())
    assert len(keys) == 7


def test_the_digest_of_the_sources_is_none_if_they_changed_under_the_process(monkeypatch, tmp_path):
    (tmp_path / "types.py").write_text("a = 1")
    monkeypatch.setattr(cache, "_PACKAGE", tmp_path)
    monkeypatch.setattr(cache, "_SOURCES", ("types.py",))
    now = time.time() + 1
    first = digest_of_sources(now)
    assert first is not None and digest_of_sources(now - 100) is None
    (tmp_path / "types.py").write_text("a = 2")
    assert digest_of_sources(now) not in (None, first)
    (tmp_path / "types.py").unlink()
    assert digest_of_sources(now) is None


def test_the_sources_that_make_code_are_all_in_the_digest():
    found = {path.relative_to(cache._PACKAGE).parts[0] for path in cache._sources()}
    assert found == set(cache._SOURCES) and len(list(cache._sources())) > 40


def test_the_primitives_of_others_make_no_key():
    primitive = Primitive("somebody_elses")
    try:
        primitive.def_type(lambda x: x)
        primitive.def_reference(lambda x: x)
        primitive.def_lower("elementwise")(lambda e, x: x)
        assert digest_graph(rg.trace(lambda x: primitive(x) + 1)(x32)) is None
    finally:
        del REGISTRY["somebody_elses"]


# -- entries that are not sound


def test_an_entry_comes_back_as_it_was(folder):
    assert load(KEY) is None and not folder.exists()
    store(KEY, ENTRY)
    assert load(KEY) == ENTRY
    assert [p.name for p in folder.iterdir()] == [KEY + ".code"]


def test_an_entry_cut_short_anywhere_is_a_miss_and_goes(folder):
    store(KEY, ENTRY)
    path = folder / (KEY + ".code")
    whole = path.read_bytes()
    for length in [*range(120), *range(120, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:length])
        assert load(KEY) is None and not path.exists(), length
    path.write_bytes(whole + b"\0")
    assert load(KEY) is None


def test_an_entry_with_any_bit_flipped_is_a_miss_and_goes(folder):
    store(KEY, ENTRY)
    path = folder / (KEY + ".code")
    whole = path.read_bytes()
    for at in [*range(120), *range(120, len(whole), 31), *range(len(whole) - 33, len(whole))]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :])
        assert load(KEY) is None and not path.exists(), at


def test_an_entry_of_another_key_or_format_is_a_miss(folder):
    store(KEY, ENTRY)
    other = "1" * 64
    os.rename(folder / (KEY + ".code"), folder / (other + ".code"))
    assert load(other) is None
    import hashlib

    head = json.dumps({"key": KEY, "facts": {}}).encode()
    text = b"RGCODE99" + struct.pack("<I", len(head)) + head + b"code"
    (folder / (KEY + ".code")).write_bytes(text + hashlib.sha256(text).digest())
    assert load(KEY) is None


def test_damaged_programs_are_compiled_again(folder):
    expected = bits()[1]
    (path,) = entries(folder)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(whole), 4):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        compiled, found = bits()
        assert not compiled.from_cache and found == expected
        path.write_bytes(whole[:at])
        compiled, found = bits()
        assert not compiled.from_cache and found == expected
    assert bits()[0].from_cache


# -- folders that are not to be trusted, or not there


@posix
def test_folder_and_entries_are_for_the_user_alone(folder):
    store(KEY, ENTRY)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / (KEY + ".code")).stat().st_mode & 0o777 == 0o600


@posix
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o720, 0o1777])
def test_a_folder_that_others_may_write_to_is_not_used(folder, mode):
    store(KEY, ENTRY)
    folder.chmod(mode)
    assert load(KEY) is None
    store("1" * 64, ENTRY)
    assert len(entries(folder)) == 1
    assert not bits()[0].from_cache and not bits()[0].from_cache
    folder.chmod(0o755)
    assert load(KEY) == ENTRY


@posix
def test_a_symlink_to_such_a_folder_is_not_used_either(folder, monkeypatch, tmp_path):
    store(KEY, ENTRY)
    link = tmp_path / "link"
    link.symlink_to(folder)
    monkeypatch.setenv("RETROGRADE_CACHE_DIR", str(link))
    assert load(KEY) == ENTRY
    folder.chmod(0o777)
    assert load(KEY) is None


@posix
def test_a_folder_or_an_entry_of_another_user_is_not_used(folder, monkeypatch):
    store(KEY, ENTRY)
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    assert load(KEY) is None
    store("1" * 64, ENTRY)
    assert len(entries(folder)) == 1


@posix
def test_an_entry_that_others_may_write_to_is_a_miss(folder):
    store(KEY, ENTRY)
    (folder / (KEY + ".code")).chmod(0o620)
    assert load(KEY) is None


@posix
def test_entries_that_are_no_plain_files_are_misses(folder, tmp_path):
    store(KEY, ENTRY)
    path = folder / (KEY + ".code")
    os.rename(path, tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert load(KEY) is None
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    assert load(KEY) is None
    path.unlink(missing_ok=True)
    path.mkdir()
    assert load(KEY) is None
    store(KEY, ENTRY)  # cannot replace a folder: no cache, no error


def test_without_a_place_there_is_no_cache(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        monkeypatch.setenv("RETROGRADE_CACHE_DIR", str(place))
        store(KEY, ENTRY)
        assert load(KEY) is None
        assert not bits()[0].from_cache


def test_a_full_disk_is_a_miss(folder, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    store(KEY, ENTRY)
    assert load(KEY) is None and list(folder.iterdir()) == []


def test_the_users_own_folders(monkeypatch, tmp_path):
    monkeypatch.delenv("RETROGRADE_CACHE_DIR")
    home = tmp_path / "home"
    for name, value in (("HOME", home), ("USERPROFILE", home), ("XDG_CACHE_HOME", "relative/is/ignored"), ("LOCALAPPDATA", home)):
        monkeypatch.setenv(name, str(value))
    for platform, expected in (("linux", ".cache/retrograde"), ("darwin", "Library/Caches/retrograde"), ("win32", "retrograde")):
        monkeypatch.setattr(sys, "platform", platform)
        assert cache._place() == home / expected
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache._place() == tmp_path / "xdg" / "retrograde"


# -- size, and many processes


def test_what_was_used_longest_ago_goes_first(folder, monkeypatch):
    monkeypatch.setenv("RETROGRADE_CACHE_MB", "0.01")
    large = Entry({}, bytes(2000))
    keys = [str(i) * 64 for i in range(7)]
    for i, key in enumerate(keys[:4]):
        store(key, large)
        os.utime(folder / (key + ".code"), (1000 + i, 1000 + i))
    assert load(keys[0]) == large  # now the last in use
    half_written, fresh = folder / ".writing-old", folder / ".writing-new"
    half_written.write_bytes(b"x")
    fresh.write_bytes(b"x")
    os.utime(half_written, (1000, 1000))
    for key in keys[4:]:
        store(key, large)
    kept = {path.name[0] for path in entries(folder)}
    assert kept == {"0", "4", "5", "6"} and not half_written.exists() and fresh.exists()
    assert sum(path.stat().st_size for path in entries(folder)) <= 10_000
    store("9" * 64, Entry({}, bytes(20_000)))  # larger than the whole cache
    assert {path.name[0] for path in entries(folder)} == kept


@pytest.mark.parametrize("given", ["many", "-1", "nan", "inf"])
def test_a_size_that_is_none_is_refused(monkeypatch, given):
    monkeypatch.setenv("RETROGRADE_CACHE_MB", given)
    with pytest.raises(DataError, match="size of the cache in megabytes"):
        load(KEY)


def test_processes_that_write_at_once(folder):
    processes = [start() for _ in range(2)]
    answers = [answer(p) for p in processes]
    assert answers[0][1] == answers[1][1] == bits()[1]
    assert bits()[0].from_cache
    assert len(list(folder.iterdir())) == 1


def test_threads_that_write_and_read_at_once(folder):
    from concurrent.futures import ThreadPoolExecutor

    def turn(i):
        store(KEY, ENTRY)
        return load(KEY)

    with ThreadPoolExecutor(4) as pool:
        assert all(found == ENTRY for found in pool.map(turn, range(200)))
