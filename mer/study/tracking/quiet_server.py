"""MLflow's server as `mlflow ui` starts it, without what it says of itself; faults and warnings are still said.

Run as `python -m mer.study.tracking.quiet_server OPTIONS` by `mer.ui`, whose address is then the last thing to be read.
"""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

_FAULT = re.compile(r"warning|error|fail|cannot", re.IGNORECASE)
QUIET_UVICORN = ("--uvicorn-opts", "--log-level warning")
QUIET_WARNINGS = "ignore:starlette.middleware.wsgi is deprecated"  # MLflow's own affair, printed at every start


def main() -> None:
    import click
    from mlflow.cli import cli

    say = click.echo

    def say_faults(message: Any = None, *more: Any, **named: Any) -> None:
        if _FAULT.search(str(message)):
            say(message, *more, **named)

    click.echo = say_faults
    signal.signal = _interrupted_once(signal.signal)
    cli.main(args=["ui", *QUIET_UVICORN, *sys.argv[1:]], prog_name="mlflow")


def _interrupted_once(place: Callable[..., Any]) -> Callable[..., Any]:
    """Return `signal.signal`, but a handler of SIGINT is told SIGTERM.

    MLflow hands every signal on to its server. Ctrl-C has reached that already, since the terminal interrupts both; a
    second interruption would end it with a traceback.
    """

    def placed(number: int, handler: Any) -> Any:
        if number == signal.SIGINT and callable(handler):

            def told(_: int, frame: FrameType | None) -> None:
                handler(signal.SIGTERM, frame)

            return place(number, told)
        return place(number, handler)

    return placed


if __name__ == "__main__":
    main()
