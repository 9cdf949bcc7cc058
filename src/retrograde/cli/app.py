"""The typer application: its commands, and errors that a person can mend as one line."""

from __future__ import annotations

import functools
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Annotated, Any

import typer

from retrograde.cli.answer import Answer, to_json
from retrograde.cli.commands import COMMANDS
from retrograde.errors import RetrogradeError

app = typer.Typer(
    name="retrograde",
    rich_markup_mode="rich",
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_USAGE_ERROR: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the application; see `retrograde.cli.main`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    try:
        result = app(args=words or ["--help"], standalone_mode=False, prog_name="retrograde")
    except _USAGE_ERROR as error:
        return complain(f"{' '.join(error.format_message().split())} (see: {_help_for(words)})", as_json)
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print(to_json({"error": "interrupted"}) if as_json else "retrograde: interrupted", file=None if as_json else sys.stderr)
        return 130
    return result if isinstance(result, int) else 0


def complain(message: str, as_json: bool) -> int:
    """One line on stderr, or for scripts a JSON object on stdout; returns the exit code for bad input."""
    line = " ".join(str(message).split())
    if as_json:
        print(to_json({"error": line}))
    else:
        print(f"retrograde: error: {line}", file=sys.stderr)
    return 2


def _help_for(words: Sequence[str]) -> str:
    command = [w for w in words[:1] if w in [f.__name__ for f in COMMANDS]]
    return " ".join(["retrograde", *command, "--help"])


def _tidy(command: Callable[..., Answer | int | None]) -> Callable[..., None]:
    """Errors that a person can mend become one line and exit code 2; a closed pipe ends quietly.

    With --json, stdout is for the answer alone: what a command prints while it works goes to stderr.
    """

    @functools.wraps(command)
    def wrapped(**options: Any) -> None:
        as_json = bool(options.get("json"))
        try:
            with redirect_stdout(sys.stderr) if as_json else nullcontext(), _warnings_as_lines():
                found = command(**options)
            code = found.show(as_json) if isinstance(found, Answer) else found
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of a pipe has left; nobody is to hear
            code = 0
        except (RetrogradeError, OSError) as error:
            code = complain(str(error), as_json)
        except MemoryError:
            code = complain("there is not enough memory; a smaller --batch-size, --hidden or table needs less", as_json)
        if code:
            raise typer.Exit(code)

    return wrapped


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """A warning is told as an error would be, without the place in the code."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(f"retrograde: warning: {message}", file=sys.stderr)
        yield


def _show_version(wanted: bool) -> None:
    if wanted:
        import retrograde

        print(f"retrograde {retrograde.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Train neural networks on tables, by backpropagation compiled to native code.

    [bold]Start here[/bold]
    retrograde demo                                handwritten digits
    retrograde train houses.csv --target price     a network for your table
    retrograde predict model.safetensors new.csv   what it says of new rows
    retrograde evaluate model.safetensors new.csv  how good that is

    Each command has its own --help with examples, and --json for scripts. Bad
    input gets one line on stderr (with --json an object on stdout) and exit
    code 2.
    """


for _command in COMMANDS:
    app.command()(_tidy(_command))
