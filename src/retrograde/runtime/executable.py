"""`Executable`: compiled code as a function of arrays."""

from __future__ import annotations

import ctypes
import functools
import threading
from array import array
from collections.abc import Sequence
from concurrent.futures import TimeoutError
from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError
from retrograde.runtime.cells import Cells
from retrograde.runtime.llvm import NativeModule
from retrograde.runtime.team import borrow, get_threads, give_back
from retrograde.types import ArrayType

_ALIGN = 64
_LARGE = 1 << 16  # bytes from which an array that starts on a cache line is worth making one


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An uninitialized array that starts on a cache line."""
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.empty(nbytes + _ALIGN, np.uint8)
    skip = -raw.ctypes.data % _ALIGN
    return raw[skip : skip + nbytes].view(dtype).reshape(shape)


class Executable:
    """`main(inputs, outputs, arena, cells, thread, threads)` of a module, with the types it was made for.

    Calls release the GIL and may run at the same time: each takes an arena of its own. A `shared` program is run by a
    team of threads, each but the first with `scratch_bytes` of its own behind the arena.
    """

    def __init__(
        self, module: NativeModule, inputs: Sequence[ArrayType], outputs: Sequence[ArrayType], arena_bytes: int,
        shared: bool = False, scratch_bytes: int = 0, entry: str = "main",
    ):  # fmt: skip
        self.module, self.inputs, self.outputs, self.arena_bytes = module, tuple(inputs), tuple(outputs), arena_bytes
        self.shared, self.scratch_bytes = shared, scratch_bytes
        self._main = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4, ctypes.c_int64, ctypes.c_int64)(module.address(entry))
        self._arenas: list[np.ndarray] = []
        self._lock = threading.Lock()
        self._idle_cells = Cells()
        self._makers = [(aligned_empty if t.nbytes >= _LARGE else np.empty, *t) for t in self.outputs]

    def __call__(self, arrays: Sequence[Any], cells: Cells | None = None) -> list[Any]:
        """Run on arrays of just these types; inputs are never written."""
        threads = get_threads() if self.shared else 1
        if threads > 1:
            results, interrupted = self._run_team(arrays, threads, cells or Cells())
            if interrupted:
                raise KeyboardInterrupt
            return results
        call = _Call(self, arrays, 1)
        call.run(cells or self._idle_cells, 0)
        self._return(call)
        return call.found()

    def run_interruptible(
        self, arrays: Sequence[Any], on_poll: Any = None, interval: float = 0.05, into: Sequence[np.ndarray] = ()
    ) -> tuple[list[Any], bool]:
        """Run in other threads while this one listens: returns the outputs and whether Ctrl-C ended the run early.

        On Ctrl-C the stop word is set, native loops end after the step they are in, and what they have is returned.
        `on_poll(progress)` is called about every `interval` seconds. The first outputs are written `into` these arrays.
        """
        return self._run_team(arrays, get_threads() if self.shared else 1, Cells(), on_poll, interval, into)

    def _run_team(
        self, arrays: Sequence[Any], threads: int, cells: Cells, on_poll: Any = None, interval: float = 0.05,
        into: Sequence[np.ndarray] = (),
    ) -> tuple[list[Any], bool]:  # fmt: skip
        call, interrupted = _Call(self, arrays, threads, into), False
        team = borrow()
        future = team.start(functools.partial(call.run, cells), threads)
        while True:
            try:
                future.result(timeout=interval)
                break
            except TimeoutError:
                if on_poll is not None and not interrupted:
                    on_poll(cells.progress)
            except KeyboardInterrupt:
                cells.stop()
                interrupted = True
        give_back(team)
        self._return(call)
        return call.found(), interrupted

    def _arena(self, nbytes: int) -> np.ndarray:
        with self._lock:
            while self._arenas:
                arena = self._arenas.pop()
                if len(arena) >= nbytes:
                    return arena
        return aligned_empty((nbytes,), np.dtype(np.uint8))

    def _return(self, call: _Call) -> None:
        with self._lock:
            self._arenas.append(call.arena)

    def take(self, arrays: Sequence[Any]) -> list[np.ndarray]:
        """The operands as contiguous arrays of just the types that were compiled for."""
        if len(arrays) != len(self.inputs):
            raise GraphTypeError(f"compiled code takes {len(self.inputs)} arrays; it was given {len(arrays)}")
        held = list(arrays)
        i = -1
        for x in arrays:  # a call of small code costs little more than this loop
            i += 1
            want = self.inputs[i]
            if type(x) is np.ndarray and x.dtype is want[1] and x.shape == want[0]:
                flags = x.flags
                if flags.c_contiguous and flags.aligned:
                    continue
            held[i] = self._convert(i, x, want)
        return held

    def _convert(self, i: int, x: Any, want: ArrayType) -> np.ndarray:
        if not isinstance(x, np.ndarray):
            x = np.asarray(x, want.dtype)
        if not x.dtype.isnative:
            x = x.astype(x.dtype.newbyteorder("="))
        if x.shape != want.shape or x.dtype != want.dtype:
            raise GraphTypeError(
                f"input {i} of compiled code is {x.dtype}{list(x.shape)}; it was compiled for {want}. Compile again for it"
            )
        if not (x.flags.c_contiguous and x.flags.aligned):
            x = np.array(x, want.dtype, order="C", copy=True)
        return x

    def make(self, into: Sequence[np.ndarray] = ()) -> list[np.ndarray]:
        """Arrays for the outputs: those given for the first of them, fresh ones for the others."""
        for y, want in zip(into, self.outputs):
            if (y.shape, y.dtype) != want or not (y.flags.c_contiguous and y.flags.aligned and y.flags.writeable):
                raise GraphTypeError(f"an output of type {want} cannot be written into this array of {y.dtype}{list(y.shape)}")
        return [*into, *(make(shape, dtype) for make, shape, dtype in self._makers[len(into) :])]


class _Call:
    """The arrays of one call. Native code takes tables of the array objects and reads the data pointers itself."""

    def __init__(self, of: Executable, arrays: Sequence[Any], threads: int, into: Sequence[np.ndarray] = ()):
        self.threads = threads
        self.main = of._main
        self.held, self.results = of.take(arrays), of.make(into)
        self.arena = of._arena(of.arena_bytes + (threads - 1) * of.scratch_bytes)
        self.sources, self.targets = array("Q", map(id, self.held)), array("Q", map(id, self.results))

    def run(self, cells: Cells, thread: int) -> None:
        """This thread's part of the program."""
        sources, targets = self.sources.buffer_info()[0], self.targets.buffer_info()[0]
        self.main(sources, targets, self.arena.ctypes.data, cells.address, thread, self.threads)

    def found(self) -> list[Any]:
        """The outputs; those without axes as NumPy scalars."""
        return [y if y.ndim else y[()] for y in self.results]
