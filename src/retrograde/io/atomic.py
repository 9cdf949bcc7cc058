"""Files replaced whole: a reader sees the old content or the new one, never a part."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

UNFINISHED = ".part"  # behind the name of a file that is being written


def replace_file(path: Any, content: bytes) -> Path:
    """Write `content` next to `path`, then put it in its place; returns the path. Raises `OSError` about `path` itself."""
    path = Path(path)
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent or ".", prefix=path.name, suffix=UNFINISHED)
    except OSError as error:  # of the file that was asked for, not of the temporary one
        raise OSError(error.errno, error.strerror, str(path)) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if hasattr(os, "O_DIRECTORY"):  # where a folder can be opened, its entry for the new file is made to last
        folder = os.open(path.parent or ".", os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return path
