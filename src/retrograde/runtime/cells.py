"""`Cells`: the words through which Python and the threads of a running native program see one another."""

from __future__ import annotations

import numpy as np

STOP, PROGRESS = 0, 8  # in 8-byte words: each on a cache line of its own
WORDS = 48  # with those of the barrier and of the pace of shared loops (`codegen/team.py`)


class Cells:
    """A stop word, which native loops poll, a counter of finished steps, which they write, and their barrier's words."""

    def __init__(self) -> None:
        self._words = np.zeros(WORDS + 8, np.int64)
        skip = (-self._words.ctypes.data % 64) // 8
        self._words = self._words[skip : skip + WORDS]
        self.address = self._words.ctypes.data

    def stop(self) -> None:
        """Ask native loops to end after the step they are in."""
        self._words[STOP] = 1

    def reset(self) -> None:
        """Before another run."""
        self._words[:] = 0

    @property
    def progress(self) -> int:
        """Steps of the outermost loop that are done."""
        return int(self._words[PROGRESS])
