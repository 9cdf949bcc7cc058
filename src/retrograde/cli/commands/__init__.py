"""The commands: one file each, of options and help texts only, so that `--help` imports nothing heavy."""

from collections.abc import Callable

from retrograde.cli.answer import Answer
from retrograde.cli.commands.bench import bench
from retrograde.cli.commands.check import check
from retrograde.cli.commands.demo import demo
from retrograde.cli.commands.evaluate import evaluate
from retrograde.cli.commands.explain import explain
from retrograde.cli.commands.export import export
from retrograde.cli.commands.predict import predict
from retrograde.cli.commands.summary import summary
from retrograde.cli.commands.train import train

COMMANDS: list[Callable[..., Answer | int | None]] = [train, predict, evaluate, summary, explain, export, check, bench, demo]
