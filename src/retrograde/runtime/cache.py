"""Object code on disk, so that a program that was compiled once starts at once in the next process.

The folder is `$RETROGRADE_CACHE_DIR`, else the user's own cache folder. An entry is one file, named by its key:

    magic, length of the head, head (JSON: key, facts of the program), object code, SHA-256 of all that comes before

It is written under another name and then renamed, so that readers see it whole or not at all. What does not check out to
the last bit is deleted and counts as absent. No fault of the disk ever fails a computation: without a folder of one's own, on
a full disk or a read-only one, there is no cache. What was used longest ago goes first when the folder outgrows
`$RETROGRADE_CACHE_MB`. `RETROGRADE_CACHE=0` turns the cache off.

The folder must be the user's own and writable by nobody else, as must each entry: the check sum guards against torn files and
bad disks, not against somebody who can write with the user's own rights (who could as well write to the user's programs).
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import stat
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from retrograde.errors import DataError

MAGIC = b"RGCODE01"
SUFFIX = ".code"
CHECK = hashlib.sha256().digest_size
LARGEST = 1 << 26  # bytes of an entry
DEFAULT_MB = 256
ABANDONED = 3600  # seconds after which a file that was being written is nobody's any more

_PACKAGE = Path(__file__).resolve().parents[1]
_SOURCES = ("types.py", "compile.py", "ir", "ops", "optimize", "memory", "parallel", "codegen", "runtime")


class Entry(NamedTuple):
    """Object code and what its caller wants to know of it (plain JSON)."""

    facts: dict[str, Any]
    code: bytes


def enabled() -> bool:
    """Whether code may be kept on disk: not with `RETROGRADE_CACHE=0`."""
    return os.environ.get("RETROGRADE_CACHE", "1").strip().lower() not in ("0", "off", "no", "false")


def load(key: str) -> Entry | None:
    """The entry of a key, if there is a sound one; it counts as used now."""
    home = _folder(make=False) if _limit() else None
    if home is None:
        return None
    path = home / (key + SUFFIX)
    try:
        raw = _read(path)
    except OSError:
        return None
    found = _open(raw, key) if raw is not None else None
    with suppress(OSError):
        if found is None:
            path.unlink()
        else:
            os.utime(path)
    return found


def store(key: str, entry: Entry) -> None:
    """Keep an entry, if there is a place for it."""
    limit = _limit()
    head = json.dumps({"key": key, "facts": entry.facts}).encode()
    body = b"".join((MAGIC, struct.pack("<I", len(head)), head, entry.code))
    home = _folder(make=True)
    if home is None or len(body) + CHECK > min(LARGEST, limit):
        return
    import tempfile

    with suppress(OSError):
        handle, name = tempfile.mkstemp(prefix=".writing-", dir=home)  # mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(body)
                file.write(hashlib.sha256(body).digest())
            os.replace(name, home / (key + SUFFIX))
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
        _evict(home, limit)


@functools.lru_cache(maxsize=1)
def source_digest(since: float) -> str | None:
    """A digest of the sources that make code of a graph; None where they cannot be read, or changed `since` (a time)."""
    digest = hashlib.sha256()
    try:
        for path in _sources():
            if os.stat(path).st_mtime >= since:
                return None
            digest.update(f"{path.relative_to(_PACKAGE).as_posix()}\n".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    except OSError:
        return None
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    for part in _SOURCES:
        path = _PACKAGE / part
        if path.suffix:
            yield path
        else:
            yield from sorted(path.rglob("*.py"))


def _open(raw: bytes, key: str) -> Entry | None:
    """The entry in these bytes; None if they are not all that was written for this key."""
    start = len(MAGIC) + 4
    if len(raw) < start + CHECK or not raw.startswith(MAGIC) or hashlib.sha256(raw[:-CHECK]).digest() != raw[-CHECK:]:
        return None
    (length,) = struct.unpack_from("<I", raw, len(MAGIC))
    head = json.loads(raw[start : start + length])  # its check sum was right: it is what `store` wrote
    return Entry(head["facts"], raw[start + length : -CHECK]) if head["key"] == key else None


def _read(path: Path) -> bytes | None:
    """The bytes of a plain file that only this user can write; None for anything else."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags)
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or not _ours(found) or found.st_size > LARGEST:
            return None
        return file.read()


def _ours(found: os.stat_result) -> bool:
    """Whether a file or folder is this user's and nobody else can write to it; where there are no modes, always."""
    return os.name == "nt" or (found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _folder(make: bool) -> Path | None:
    """The folder, if there is one that can be trusted; `make` it if it is absent."""
    home = _place() if enabled() else None
    try:
        if home is None:
            return None
        if make and not home.exists():
            home.parent.mkdir(parents=True, exist_ok=True)
            home.mkdir(mode=0o700, exist_ok=True)
        link, found = os.lstat(home), os.stat(home)
    except OSError:
        return None
    owned = not stat.S_ISLNK(link.st_mode) or os.name == "nt" or link.st_uid == os.geteuid()
    return home if owned and stat.S_ISDIR(found.st_mode) and _ours(found) else None


def _place() -> Path | None:
    """Where the folder is on this system, absolute; None where nobody says."""
    environment = os.environ
    if chosen := environment.get("RETROGRADE_CACHE_DIR"):
        return Path(os.path.expanduser(chosen)).absolute()
    if sys.platform == "win32":
        base = environment.get("LOCALAPPDATA", "")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = environment.get("XDG_CACHE_HOME", "")
        base = base if os.path.isabs(base) else os.path.expanduser("~/.cache")
    return Path(base) / "retrograde" if os.path.isabs(base) else None


def _limit() -> int:
    """Bytes that the folder may take."""
    given = os.environ.get("RETROGRADE_CACHE_MB", "").strip() or str(DEFAULT_MB)
    try:
        limit = float(given) * 1e6
        if not 0 <= limit < float("inf"):
            raise ValueError
    except ValueError:
        raise DataError(
            f"RETROGRADE_CACHE_MB is {given!r}; it is the size of the cache in megabytes, such as 256 (RETROGRADE_CACHE=0 "
            "turns the cache off)"
        ) from None
    return int(limit)


def _evict(home: Path, limit: int) -> None:
    """Delete what was used longest ago, until the rest fits; and what a process that died left half written."""
    entries, now = [], time.time()
    with os.scandir(home) as found:
        for item in found:
            with suppress(OSError):  # another process may have deleted it
                facts = item.stat(follow_symlinks=False)
                if item.name.endswith(SUFFIX):
                    entries.append((facts.st_mtime_ns, facts.st_size, item.path))
                elif item.name.startswith(".writing-") and now - facts.st_mtime > ABANDONED:
                    os.unlink(item.path)
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= limit:
            return
        with suppress(OSError):
            os.unlink(path)
        total -= size
