"""`python -m mer.study sync | audit STUDY`: look after studies that exist."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mer.cli_app import Debug, launch

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Look after studies that exist."
)
Study = Annotated[str, typer.Argument(help="a study, by name or folder", show_default=False)]
Studies = Annotated[Path, typer.Option("--studies", help="folder of all studies")]
DEFAULT_STUDIES = Path("studies")


@app.callback()
def group() -> None:
    """Look after studies that exist."""


@app.command()
def sync(
    study: Study,
    studies: Studies = DEFAULT_STUDIES,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="compare every value in MLflow, not only each run's digest")
    ] = False,
    debug: Debug = False,
) -> None:
    """Write to MLflow what is missing there. Exit 0 only when all of it is in."""
    from mer.study.tracking.command import sync_command

    sync_command(study, studies, thorough=thorough)


@app.command()
def audit(
    study: Study,
    studies: Studies = DEFAULT_STUDIES,
    repair: Annotated[bool, typer.Option("--repair", help="mend what can be mended; deletes no number")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the findings as JSON")] = False,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="compare every value in MLflow, not only each run's digest")
    ] = False,
    debug: Debug = False,
) -> None:
    """Compare journal, folders, weights and MLflow. Exit 0 when all agree, 1 with findings, 2 when nothing is read."""
    from mer.study.audit.command import audit_command

    if not audit_command(study, studies, mend=repair, as_json=as_json, thorough=thorough):
        raise typer.Exit(1)


def main() -> None:
    launch(app, "mer.study", "what is written stays: type the same command again")


if __name__ == "__main__":
    main()
