"""A command's options as a TOML file: written by a run, read by `--config`.

The file has a section for each panel of the help. What is known of an option (its type, its panel) is read from the command's
signature, so that an option is declared once.
"""

from __future__ import annotations

import inspect
import tomllib
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrograde.errors import DataError, ModelError
from retrograde.io.tables import did_you_mean

OUTPUT = "Output"  # the panel of options that say where a run goes, not what it is
MADE = "made"  # the section of what a run notes of itself
EXPECTED = {int: "a whole number", float: "a number", bool: "true or false", str: 'text, like "a,b"'}


@dataclass(frozen=True)
class Option:
    """An option's type (of the elements, where there are `many`) and its section."""

    kind: type
    many: bool
    section: str

    @property
    def expected(self) -> str:
        """In words."""
        return 'a list of texts, like ["a", "b"]' if self.many else EXPECTED[self.kind]

    def takes(self, value: Any) -> bool:
        """Whether this is a value of it."""
        if self.many:
            return isinstance(value, list) and all(type(each) is self.kind for each in value)
        return type(value) is self.kind or (self.kind is float and type(value) is int)


def options_of(command: Callable) -> dict[str, Option]:
    """The options that say what a run is, in the order of the help."""
    found = {}
    for name, hint in typing.get_type_hints(command, include_extras=True).items():
        if name not in inspect.signature(command).parameters:
            continue
        kind, *notes = typing.get_args(hint)
        if isinstance(kind, types.UnionType):
            kind = next(k for k in typing.get_args(kind) if k is not types.NoneType)
        many = typing.get_origin(kind) is list
        panel = notes[0].rich_help_panel or "Data"
        if panel != OUTPUT:
            found[name] = Option(typing.get_args(kind)[0] if many else kind, many, panel.lower())
    return found


def read_config(path: Path, options: Mapping[str, Option]) -> dict[str, Any]:
    """The options that a file gives, by name.

    Raises `DataError` for a file that is missing or no TOML, `ModelError` for an unknown key or a value of the wrong type.
    """
    found: dict[str, Any] = {}
    for key, value in _parse(path).items():
        if not isinstance(value, dict):
            found[key] = value
        elif key in {option.section for option in options.values()}:
            found |= value
        elif key != MADE:
            sections = list(dict.fromkeys(option.section for option in options.values()))
            raise ModelError(f"{path}: there is no section [{key}]; there are {', '.join(sections)}")
    for name, value in found.items():
        if name not in options:
            raise ModelError(f"{path}: there is no option {name!r}{did_you_mean(name, options)}")
        if not options[name].takes(value):
            raise ModelError(f"{path}: {name} is {value!r}; it must be {options[name].expected}")
    return found


def read_made(path: Path) -> dict[str, Any]:
    """What the run that wrote the file noted of itself; nothing of a file that a person wrote."""
    made = _parse(path).get(MADE, {})
    return made if isinstance(made, dict) else {}


def config_text(values: Mapping[str, Any], options: Mapping[str, Option], made: Mapping[str, Any]) -> str:
    """The file's text: all `values` that are not None, by section; `read_config` gives them back."""
    import tomli_w

    sections: dict[str, dict[str, Any]] = {}
    for name, option in options.items():
        if values[name] is not None:
            sections.setdefault(option.section, {})[name] = values[name]
    return tomli_w.dumps({**sections, MADE: dict(made)})


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no TOML file: {error}") from None
