"""The commands: one file each, of options and help texts only, so that `--help` imports nothing heavy."""

from collections.abc import Callable

from retrograde.cli.commands.demo import demo
from retrograde.cli.commands.export import export
from retrograde.cli.commands.predict import predict
from retrograde.cli.commands.train import train

COMMANDS: list[Callable[..., int | None]] = [train, predict, export, demo]
