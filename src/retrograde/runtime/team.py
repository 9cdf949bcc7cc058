"""Teams of threads that run one native program together, and how many threads there are.

The threads of a team wait in Python for a program and stay in native code for all of it, where they meet at barriers.
A program is handed to the first thread alone, which hands it on: so Ctrl-C, which Python raises in the main thread, can
never start half a team.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

from retrograde.errors import DataError

MOST = 256
_chosen: int | None = None


def set_threads(n: int | None) -> None:
    """Use up to `n` threads from now on; None goes back to the default. Results have the same bits with any number."""
    global _chosen
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST):
        raise DataError(f"set_threads wants a number from 1 to {MOST}, or None for the default; it was given {n!r}")
    _chosen = n


def get_threads() -> int:
    """How many threads a program may use: `set_threads`, else OMP_NUM_THREADS, else the cores this process may run on."""
    return _chosen if _chosen is not None else _default()


@functools.lru_cache(maxsize=1)
def _default() -> int:
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if wanted.isdecimal() and int(wanted) > 0:
        return min(int(wanted), MOST)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST)


def _core() -> int | None:
    """The core that this thread is on, where the system says so."""
    ask = _sched_getcpu()
    return ask() if ask is not None else None


@functools.lru_cache(maxsize=1)
def _sched_getcpu() -> Callable[[], int] | None:
    import ctypes

    return getattr(ctypes.CDLL(None), "sched_getcpu", None) if sys.platform == "linux" else None


def _leave(core: int | None, allowed: set[int], i: int, threads: int) -> None:
    """Move this thread, the leader's i-th of so many, off the leader's core.

    A thread tends to be woken on the core of the one that wakes it. There the two would stay: as one of them always naps at a
    barrier, the kernel never sees both want to run, and two threads take longer than one. Where each core has its thread, this
    one is held to its own; else it may go where there is room. (The leader may always: libraries of several threads, which only
    it calls, let theirs go where the caller may.)
    """
    cores = sorted(allowed)
    if core not in allowed or len(cores) == 1:
        return
    held = threads == len(cores)
    own = {cores[(cores.index(core) + i) % len(cores)]}
    if (held or _core() == core) and os.sched_getaffinity(0) != own:
        os.sched_setaffinity(0, own)
    if not held and os.sched_getaffinity(0) != allowed:
        os.sched_setaffinity(0, allowed)


class _Member:
    """One thread, waiting for work."""

    def __init__(self, number: int):
        self.work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        threading.Thread(target=self._serve, name=f"retrograde-{number}", daemon=True).start()

    def _serve(self) -> None:
        while True:
            self.work.get()()


class Team:
    """Threads that run one program at a time."""

    def __init__(self) -> None:
        self.members: list[_Member] = []

    def start(self, program: Callable[[int], Any], threads: int) -> Future:
        """Run `program(0)`, ..., `program(threads - 1)` at once; the future is done when all are."""
        while len(self.members) < threads:
            self.members.append(_Member(len(self.members)))
        done: Future = Future()

        def lead() -> None:
            try:
                core = _core()
                allowed = os.sched_getaffinity(0) if core is not None else set[int]()
                others = [self._hand_on(program, i, lambda i=i: _leave(core, allowed, i, threads)) for i in range(1, threads)]
                program(0)
                for other in others:
                    other.result()
            except BaseException as error:
                done.set_exception(error)
            else:
                done.set_result(None)

        self.members[0].work.put(lead)
        return done

    def _hand_on(self, program: Callable[[int], Any], i: int, leave: Callable[[], None]) -> Future:
        future: Future = Future()

        def follow() -> None:
            try:
                leave()
                program(i)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(None)

        self.members[i].work.put(follow)
        return future


_idle: list[Team] = []
_lock = threading.Lock()


def borrow() -> Team:
    """A team that is nobody else's until it is given back."""
    with _lock:
        return _idle.pop() if _idle else Team()


def give_back(team: Team) -> None:
    """Let others have it."""
    with _lock:
        _idle.append(team)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # a forked process has none of these threads
