"""`Executable`: compiled code as a function of arrays."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, TimeoutError
from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError
from retrograde.runtime.cells import Cells
from retrograde.runtime.llvm import NativeModule
from retrograde.types import ArrayType

_ALIGN = 64


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An uninitialized array that starts on a cache line."""
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.empty(nbytes + _ALIGN, np.uint8)
    skip = -raw.ctypes.data % _ALIGN
    return raw[skip : skip + nbytes].view(dtype).reshape(shape)


class Executable:
    """`main(inputs, outputs, arena, cells)` of a module, with the types it was made for.

    Calls release the GIL and may run at the same time: each takes an arena of its own.
    """

    def __init__(
        self, module: NativeModule, inputs: Sequence[ArrayType], outputs: Sequence[ArrayType], arena_bytes: int
    ):
        self.module, self.inputs, self.outputs, self.arena_bytes = module, tuple(inputs), tuple(outputs), arena_bytes
        self._main = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)(module.address("main"))
        self._arenas: list[np.ndarray] = []
        self._lock = threading.Lock()
        self._idle_cells = Cells()
        self._table_in = ctypes.c_void_p * max(len(self.inputs), 1)
        self._table_out = ctypes.c_void_p * max(len(self.outputs), 1)

    def __call__(self, arrays: Sequence[Any], cells: Cells | None = None) -> list[Any]:
        """Run on arrays of just these types; inputs are never written."""
        held = [self._input(i, x, t) for i, (x, t) in enumerate(zip(arrays, self.inputs, strict=True))]
        results = [
            aligned_empty(t.shape, t.dtype) if t.nbytes > 256 else np.empty(t.shape, t.dtype) for t in self.outputs
        ]
        with self._lock:
            arena = self._arenas.pop() if self._arenas else aligned_empty((self.arena_bytes,), np.dtype(np.uint8))
        sources = self._table_in(*[x.ctypes.data for x in held])
        targets = self._table_out(*[y.ctypes.data for y in results])
        try:
            self._main(
                ctypes.addressof(sources),
                ctypes.addressof(targets),
                arena.ctypes.data,
                (cells or self._idle_cells).address,
            )
        finally:
            with self._lock:
                self._arenas.append(arena)
        return [y[()] if not t.shape else y for y, t in zip(results, self.outputs)]

    def _input(self, i: int, x: Any, want: ArrayType) -> np.ndarray:
        if not isinstance(x, np.ndarray):
            x = np.asarray(x, want.dtype)
        if not x.dtype.isnative:
            x = x.astype(x.dtype.newbyteorder("="))
        if x.shape != want.shape or x.dtype != want.dtype:
            raise GraphTypeError(
                f"input {i} of compiled code is {x.dtype}{list(x.shape)}; it was compiled for {want}. Compile again for it"
            )
        flags = x.flags
        if not (flags.c_contiguous and flags.aligned):
            x = np.array(x, want.dtype, order="C", copy=True)
        return x

    def run_interruptible(self, arrays: Sequence[Any], on_poll: Any = None, interval: float = 0.05) -> tuple[list[Any], bool]:
        """Run in a worker thread while this one listens: returns the outputs and whether Ctrl-C ended the run early.

        On Ctrl-C the stop word is set, native loops end after the step they are in, and what they have is returned.
        `on_poll(progress)` is called about every `interval` seconds.
        """
        cells, interrupted = Cells(), False
        with ThreadPoolExecutor(1, thread_name_prefix="retrograde") as pool:
            future = pool.submit(self, arrays, cells)
            while True:
                try:
                    return future.result(timeout=interval), interrupted
                except TimeoutError:
                    if on_poll is not None and not interrupted:
                        on_poll(cells.progress)
                except KeyboardInterrupt:
                    cells.stop()
                    interrupted = True
