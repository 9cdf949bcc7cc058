"""A run's folder: checkpoints, of which there is always a whole one, and what the run has said so far.

    config.json                        settings, seed, versions and the network's architecture
    metrics.csv, log.jsonl             one line an epoch (and start)
    checkpoint-00000012.safetensors    after epoch 12, as `run.save` writes it
    checkpoint-00000012-00000345...    after 345 updates more, of a run that comes back to Python within an epoch
    run.lock                           while a process writes here

What lies behind the newest checkpoint is not part of the run: when it goes on, the logs are cut there.
"""

from __future__ import annotations

import json
import platform
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retrograde.errors import ModelError, ModelFileError
from retrograde.io.atomic import UNFINISHED, replace_file
from retrograde.io.model_file import architecture
from retrograde.train.data import check_whole
from retrograde.train.resume import Progress

CHECKPOINT = "checkpoint-{}.safetensors"
FILES = ("config.json", "metrics.csv", "log.jsonl")
Row = dict[str, float | int | None]


@dataclass(frozen=True)
class Checkpoints:
    """When a run writes checkpoints: every `epochs` epochs, every `seconds` seconds, or both; the newest `keep` stay.

    By default every 30 seconds. There is one before the first epoch and one at the end in any case. Seconds count within epochs,
    too, where a run comes back to Python there: after a chunk of a stream, after the n updates of an `Every`.
    """

    epochs: int | None = None
    seconds: float | None = None
    keep: int = 2

    def __post_init__(self) -> None:
        check_whole("checkpoint: keep", self.keep, 1)
        if self.epochs is not None:
            check_whole("checkpoint: epochs", self.epochs, 1)
        if self.seconds is None and self.epochs is None:
            object.__setattr__(self, "seconds", 30.0)
        if self.seconds is not None and not self.seconds >= 0:
            raise ModelError(f"checkpoint: seconds must be a number of at least 0; it is {self.seconds!r}")


def get_folder(folder: Any, checkpoint: Any, resume: Any) -> tuple[Folder | None, Any]:
    """The run's folder, if any, and what to go on with, from `fit`'s arguments of these names."""
    if resume is True:
        if folder is None:
            raise ModelError('resume=True goes on with the run in folder="..."; give the folder')
    elif isinstance(resume, (str, Path)) and (Path(resume).is_dir() or str(resume).endswith("/")):
        if not Path(resume).is_dir():
            raise ModelFileError(f"there is no run's folder {resume}; folder={str(resume)!r}, resume=True begins it or goes on")
        if not Folder(Path(resume), Checkpoints()).begun():
            raise ModelFileError(f"{resume} holds no run; folder={str(resume)!r} begins one in it")
        if folder is not None and Path(folder) != Path(resume):
            raise ModelError(f"resume={str(resume)!r} goes on in that folder; leave folder out")
        folder, resume = resume, True
    if folder is None:
        if checkpoint is not None:
            raise ModelError('checkpoint says when to write into a run\'s folder; give folder="..."')
        return None, resume
    try:
        given = checkpoint if isinstance(checkpoint, Checkpoints) else Checkpoints(**(checkpoint or {}))
    except TypeError as error:
        raise ModelError(f"checkpoint takes epochs, seconds and keep, such as {{'epochs': 5}}: {error}") from None
    found = Folder(Path(folder), given)
    taken = [name for name in FILES if (found.path / name).exists()]
    if taken and not found.begun():
        raise ModelError(f"{folder} has a {taken[0]} that is not a run's; a run would write over it. Choose another folder")
    if resume is True:
        return found, found if found.checkpoints() else None
    found.check_free()
    return found, resume


class Folder:
    """Where one run writes."""

    def __init__(self, path: Path, when: Checkpoints):
        self.path, self.when = path, when
        self.written = (-1, 0)  # the epoch of the newest checkpoint, and the updates behind it
        self.at = time.monotonic()
        self.logged: list[int] = []

    def checkpoints(self) -> list[Path]:
        """From the oldest to the newest."""
        found = (p for p in self.path.glob("checkpoint-*.safetensors") if re.fullmatch(r"checkpoint(-\d+){1,2}", p.stem))
        return sorted(found, key=lambda path: [int(part) for part in path.stem.split("-")[1:]])

    def begun(self) -> bool:
        """Whether a run was begun here: whether there is its description."""
        try:
            return "retrograde" in json.loads((self.path / "config.json").read_text())["versions"]
        except (OSError, ValueError, LookupError, TypeError):
            return False

    def check_free(self) -> None:
        """Raise `ModelError` where there is a run already."""
        if self.checkpoints():
            given = str(self.path)
            raise ModelError(f"{given} holds a run already: resume={given!r} goes on with it, or choose another folder")

    def newest(self, read: Callable[[Path], list[Progress]]) -> list[Progress]:
        """The newest checkpoint that is whole; what is damaged is set aside, with a warning."""
        for path in reversed(self.checkpoints()):
            try:
                return read(path)
            except ModelFileError as error:
                damaged = path.replace(path.with_suffix(".damaged"))
                warnings.warn(f"{error}. It is now {damaged}; the run goes on from the checkpoint before", stacklevel=2)
        raise ModelFileError(f"no checkpoint in {self.path} is whole; begin the run again in another folder")

    def begin(self, config: Mapping[str, Any], starts: Sequence[Progress]) -> None:
        """Write what the run is, and the log of epochs that were run before."""
        for left in self.path.glob(f"*{UNFINISHED}"):  # of writing that was killed
            if left.name.startswith(("checkpoint-", *FILES)):
                left.unlink()
        _tell_changes(self.path / "config.json", config)
        replace_file(self.path / "config.json", (json.dumps(config, indent=2) + "\n").encode())
        self.log_anew(starts)

    def log_anew(self, starts: Sequence[Progress]) -> None:
        """Write the logs from the first epoch on."""
        for name in FILES[1:]:
            replace_file(self.path / name, b"")
        self.logged = [0] * len(starts)
        self.log(starts)

    def until(self, epoch: int) -> int:
        """Epochs from this one to the next that wants a checkpoint."""
        return self.when.epochs - epoch % self.when.epochs if self.when.epochs is not None else 1 << 62

    def due(self, epoch: int) -> bool:
        """Whether a checkpoint is due after this epoch."""
        return self.due_within() or (self.when.epochs is not None and epoch % self.when.epochs == 0)

    def due_within(self) -> bool:
        """Whether one is due in the middle of an epoch."""
        return self.when.seconds is not None and time.monotonic() - self.at >= self.when.seconds

    def write(self, epoch: int, updates: int, save: Callable[[Path], None]) -> None:
        """A checkpoint after this epoch and these updates of the next, unless it is there; then the oldest go."""
        if (epoch, updates) == self.written:
            return
        save(self.path / CHECKPOINT.format(f"{epoch:08}-{updates:08}" if updates else f"{epoch:08}"))
        self.written, self.at = (epoch, updates), time.monotonic()
        for old in self.checkpoints()[: -self.when.keep]:
            old.unlink()

    def log(self, starts: Sequence[Progress]) -> None:
        """Append the epochs that are not in the logs yet."""
        new = (row for i, start in enumerate(starts) for row in self._new(i, start, len(starts) > 1))
        rows = sorted(new, key=lambda row: row["epoch"] or 0)
        if not rows:
            return
        table = self.path / "metrics.csv"
        head = "" if table.stat().st_size else ",".join(rows[0]) + "\n"
        for path, text in (
            (table, head + "".join(",".join("" if v is None else str(v) for v in row.values()) + "\n" for row in rows)),
            (self.path / "log.jsonl", "".join(json.dumps(row) + "\n" for row in rows)),
        ):
            with path.open("a") as file:
                file.write(text)

    def _new(self, i: int, start: Progress, many: bool) -> Iterator[Row]:
        first, self.logged[i] = self.logged[i], len(start.rows["loss"])
        for e in range(first, self.logged[i]):
            updates, seconds = start.rows["updates"][e], start.rows["seconds"][e]
            shown = (name for name, values in start.rows.items() if name not in ("seen", "updates") and values.ndim == 1)
            figures = {name: start.rows[name][e] for name in shown}
            figures["updates_per_second"] = updates / seconds if seconds else np.nan
            row: Row = {"start": i, "epoch": e + 1} if many else {"epoch": e + 1}
            yield row | {name: float(v) if np.isfinite(v) else None for name, v in figures.items()}


def describe(net: Any, settings: Any, **others: Any) -> dict[str, Any]:
    """What a run is, JSON-able: its settings, the network, and the versions of what it ran on."""
    from importlib.metadata import version

    from retrograde import __version__

    try:
        network: Any = architecture(net)
    except ModelError:  # it holds code
        network = _words(net)
    return {
        **{name: value if value is None or isinstance(value, (bool, int, float, str, list)) else _words(value)
           for name, value in others.items()},
        "batch_size": settings.batch, "shuffle": settings.shuffle, "loss": _words(settings.loss),
        "optimizer": _words(settings.optimizer),
        "early_stopping": None if settings.stopping is None else asdict(settings.stopping),
        "metrics": [m.name for m in settings.metrics], "train_metrics": settings.train_metrics,
        "precision": None if settings.narrow is None else settings.narrow.name,
        "mixup": settings.mixup, "augment": None if settings.augment is None else _words(settings.augment), "network": network,
        "versions": {"retrograde": __version__, "numpy": np.__version__, "llvmlite": version("llvmlite"),
                     "python": platform.python_version()},
    }  # fmt: skip


def _words(thing: Any) -> str:
    """A function by its name, else its repr without addresses, which differ each time."""
    return getattr(thing, "__name__", None) or re.sub(r" at 0x[0-9a-f]+", "", repr(thing))


def _tell_changes(path: Path, config: Mapping[str, Any]) -> None:
    """Warn of settings that differ from those that the run began with: its bits will not be those of one that never stopped."""
    try:
        before = json.loads(path.read_text())
    except (OSError, ValueError):
        return
    changed = [name for name in config if name not in ("epochs", "versions") and name in before and before[name] != config[name]]
    if changed:
        told = "; ".join(f"{name} was {before[name]!r} and is {config[name]!r}" for name in changed)
        warnings.warn(f"resume: the run goes on with other settings: {told}", stacklevel=2)
