"""Where a run of `retrograde train` goes: a model file, or a folder with all that belongs to the run."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrograde.cli.config import Option, config_text, read_made
from retrograde.errors import DataError, ModelError
from retrograde.io.atomic import replace_file
from retrograde.train import Checkpoints
from retrograde.train.folder import Folder

MODEL = "model.safetensors"
CONFIG = "config.toml"
REPORT = "report.html"


@dataclass(frozen=True)
class Places:
    """The `model` file, and the run's `folder`, if it has one."""

    model: Path
    folder: Path | None
    resuming: bool

    def begin(self, options: Mapping[str, Any], known: Mapping[str, Option]) -> None:
        """Make the folder, with the options in it as they are now, those that are `known`.

        Raises `DataError` where a run would go on with another table than it began with; warns of one that is run again so.
        """
        digest = _digest(options["table"])
        if self.resuming and self.folder is not None and _known(self.folder / CONFIG, digest) != digest:
            raise DataError(f"--resume {self.folder}: {options['table']} has changed since the run began; begin another one")
        if options["config"] and _known(Path(options["config"]), digest) != digest:
            warnings.warn(f"the table is not that of {options['config']}, so the model will be another", stacklevel=2)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            config = config_text(resolved(options), known, {"table_sha256": digest})
            replace_file(self.folder / CONFIG, config.encode())


def places_of(options: Mapping[str, Any]) -> Places:
    """Where the options want it; raises `DataError` or `ModelError` where nothing can be written, before the work is done."""
    resume, folder = options["resume"], options["folder"] or options["resume"]
    if resume and options["config"]:
        raise ModelError("--resume takes the config.toml of its run; leave --config out")
    if resume and Path(folder) != Path(resume):
        raise ModelError(f"--resume {resume} goes on in that folder; leave --folder out")
    if folder is None:
        if options["checkpoint_every"] is not None:
            raise ModelError("--checkpoint-every is for a run with a --folder")
        out = options["out"] or MODEL
        check_out(out)
        return Places(Path(out), None, False)
    if options["out"]:
        check_out(options["out"])
    path = Path(folder)
    if not resume and Folder(path, Checkpoints()).begun():
        raise ModelError(f"--folder {folder} holds a run already; go on with it by --resume {folder}, or choose another folder")
    if path.exists() and not path.is_dir():
        raise DataError(f"--folder {folder} is a file; name a folder")
    return Places(Path(options["out"] or path / MODEL), path, bool(resume))


def resolved(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options so that they mean the same in another folder."""
    return {**options, "table": str(Path(options["table"]).resolve())}


def check_out(out: str) -> None:
    """Refuse a place where no file can be written, before the work is done rather than after."""
    parent = Path(out).parent
    if not parent.is_dir():
        raise DataError(f"--out {out}: there is no folder {parent}")
    if Path(out).is_dir():
        raise DataError(f"--out {out} is a folder; name a file, like {Path(out) / MODEL}")
    if not os.access(parent, os.W_OK):
        raise DataError(f"--out {out}: no file may be written in the folder {parent}")


def _known(config: Path, otherwise: str) -> str:
    """The digest of the table of the run that wrote this file; a person's file has none."""
    return str(read_made(config).get("table_sha256", otherwise))


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
