"""`python -m mer.verify STUDY --trial N`: train a trial again and compare every number."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mer.cli_app import Debug, launch

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_SHOWN = 5


@app.command()
def verify(
    study: Annotated[Path, typer.Argument(help="study folder or name, e.g. studies/spcl-meld-text")],
    trial: Annotated[int, typer.Option(min=0, help="trial number")],
    data_root: Annotated[str | None, typer.Option(help="where the data are, if not where the trial says")] = None,
    studies: Annotated[Path, typer.Option(help="folder of all studies")] = Path("studies"),
    cache: Annotated[Path, typer.Option(help="folder of all feature files")] = Path("features"),
    debug: Debug = False,
) -> None:
    """Train a trial again from its provenance. Exit code 0 when every number comes back, 1 when one does not."""
    from mer.study.evaluate.verify_trial import verify_trial
    from mer.study.folder.read_study import find_study

    folder = find_study(str(study), studies)
    found = verify_trial(folder, trial, cache, data_root)
    print(
        f"{folder} trial {trial}: {found.metric} was {found.recorded!r}, is {found.repeated!r} ({found.epochs} epochs)"
    )
    for line in found.differing[:_SHOWN]:
        print(f"  {line}")
    if len(found.differing) > _SHOWN:
        print(f"  and {len(found.differing) - _SHOWN} more")
    heading = "what is different here:" if found.changes else "code, packages, machine and data are those of the trial"
    print("\n  ".join([heading, *found.changes]))
    print("verified: every number of every epoch came back" if found.same else "NOT verified")
    if not found.same:
        raise typer.Exit(1)


def main() -> None:
    launch(app, "mer.verify")


if __name__ == "__main__":
    main()
