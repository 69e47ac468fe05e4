"""Launch a typer command, and the --debug option that all commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.main import get_command

from mer import console
from mer.places import home
from mer.terminal.encoding import leave_ascii
from mer.terminal.streams import neutral_streams

# `console.run` reads --debug from the command line; a command declares it to accept it and to show it in --help.
Debug = Annotated[bool, typer.Option("--debug", help="show the traceback of an error")]


def launch(app: typer.Typer, module: str, then: str = "") -> None:
    """Run the typer app of `module`: usage errors print their usage and exit 2, the rest ends as `console.run` says.

    Typer's standalone mode stays on: it knows how to show its own usage errors. Only an interruption, which it turns
    into a silent exit, is handed on.

    Args: then: how to go on after an interruption, as `console.run` takes it.
    """

    def command() -> None:
        try:
            _made_neutral(get_command(app))(prog_name=f"python -m {module}")
        except SystemExit as end:
            if isinstance(end.__context__, typer.Abort) and isinstance(end.__context__.__cause__, EOFError):
                raise end.__context__.__cause__ from None  # of a file that ends too early: nobody was asked anything
            if end.code == console.EXIT_INTERRUPTED or isinstance(end.__context__, typer.Abort):
                raise _interruption(end) from None
            raise

    leave_ascii()
    console.run(command, then)


def _interruption(end: BaseException) -> KeyboardInterrupt:
    """Return the interruption that typer turned into an exit: its kind tells whether the user knows how to go on."""
    at: BaseException | None = end
    while at is not None and not isinstance(at, KeyboardInterrupt):
        at = at.__cause__ or at.__context__
    return at or KeyboardInterrupt()


def _made_neutral(command: Any) -> Any:
    """Make what a command prints harmless. Typer's own help and usage errors, which are coloured, are left alone.

    A `~` in a path is the home folder: no shell puts it in place in `--studies=~/studies`.
    """
    for part in getattr(command, "commands", {}).values():
        _made_neutral(part)
    if not hasattr(command, "commands"):
        invoke = command.invoke

        def invoke_neutrally(context: Any) -> Any:
            context.params = {name: _placed(value) for name, value in context.params.items()}
            with neutral_streams():
                return invoke(context)

        command.invoke = invoke_neutrally
    return command


def _placed(value: Any) -> Any:
    if isinstance(value, list):
        return [_placed(part) for part in value]
    return home(value) if isinstance(value, Path) else value
