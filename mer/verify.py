"""`python -m mer.verify STUDY --trial N`, or `--trials 0-9`: train trials again and compare every number."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mer.cli_app import Debug, launch
from mer.errors import MerError

if TYPE_CHECKING:
    from mer.study.evaluate.verify_trial import Verification

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_SHOWN = 5


@app.command()
def verify(
    study: Annotated[Path, typer.Argument(help="study folder or name, e.g. studies/spcl-meld-text")],
    trial: Annotated[int | None, typer.Option(min=0, help="trial number")] = None,
    trials: Annotated[str | None, typer.Option(metavar="0-9,12", help="several, trained as packs")] = None,
    data_root: Annotated[str | None, typer.Option(help="where the data are, if not where the trial says")] = None,
    studies: Annotated[Path, typer.Option(help="folder of all studies")] = Path("studies"),
    cache: Annotated[Path, typer.Option(help="folder of all feature files")] = Path("features"),
    debug: Debug = False,
) -> None:
    """Train trials again from their provenance. Exit code 0 when every number comes back, 1 when one does not.

    Trials of one shape are trained together, whatever company they had in the study: on a CPU that changes no bit. On
    a GPU, or another machine, additions may have another order: numbers that differ by no more than 1e-4 have come back
    "within rounding".
    """
    from mer.study.evaluate.verify_trial import verify_trial, verify_trials
    from mer.study.folder.read_study import find_study

    if (trial is None) == (trials is None):
        raise MerError("mer.verify", "which trials?", allowed="either --trial 3, or --trials 0-9,12")
    folder = find_study(str(study), studies)
    if trial is not None:
        found = [verify_trial(folder, trial, cache, data_root)]
        _print_one(folder, found[0])
    else:
        numbers = _recorded(folder, parse_numbers(str(trials)))
        found = []
        for one in verify_trials(folder, numbers, cache, data_root):
            found.append(one)
            print(_line(one), flush=True)
        _print_sum(found)
    if not all(one.same for one in found):
        raise typer.Exit(1)


def parse_numbers(text: str) -> list[int]:
    """Read `0-9,12` as trial numbers, smallest first. Raises: MerError for a word that is neither number nor range."""
    numbers: set[int] = set()
    for word in text.replace(",", " ").split():
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", word)
        if not found or int(found[2] or found[1]) < int(found[1]):
            raise MerError("--trials", f"{word!r} is no trial number", allowed="numbers and ranges, e.g. 0-9,12")
        numbers |= set(range(int(found[1]), int(found[2] or found[1]) + 1))
    if not numbers:
        raise MerError("--trials", "no trial number given", allowed="numbers and ranges, e.g. 0-9,12")
    return sorted(numbers)


def _recorded(folder: Path, numbers: list[int]) -> list[int]:
    """Leave out trials that have no epoch to compare, and say so. Raises: MerError when none is left."""
    from mer.study.evaluate.verify_trial import recorded_trials

    known = recorded_trials(folder)
    left_out = [number for number in numbers if number not in known]
    if len(left_out) == len(numbers):
        allowed = f"{known[0]} to {known[-1]}" if known else "a study whose trials have recorded an epoch"
        raise MerError("--trials", f"not one of these is recorded in {folder}", allowed=allowed)
    if left_out:
        print(f"not recorded, left out: {', '.join(map(str, left_out))}")
    return [number for number in numbers if number in known]


def _line(found: Verification) -> str:
    """Write the result of one of several trials as a line."""
    words = {"within rounding": f" ({found.rounded} numbers)", "different": f": {(found.differing or [''])[0]}"}
    return (
        f"trial {found.number:5d}  {found.metric} was {found.recorded!r}, is {found.repeated!r} "
        f"({found.epochs} epochs)  {found.verdict}{words.get(found.verdict, '')}"
    )


def _print_sum(found: list[Verification]) -> None:
    changes = list(dict.fromkeys(line for one in found for line in one.changes))
    print("\n  ".join(["what is different here:", *changes]) if changes else _UNCHANGED)
    verdicts = [one.verdict for one in found]
    counts = [f"{verdicts.count(v)} {v}" for v in ("exact", "within rounding", "different") if v in verdicts]
    heading = "verified" if all(one.same for one in found) else "NOT verified"
    print(f"{heading}: {', '.join(counts)} of {len(found)} trials")


_UNCHANGED = "code, packages, machine and data are those of the study"


def _print_one(folder: Path, found: Verification) -> None:
    print(
        f"{folder} trial {found.number}: {found.metric} was {found.recorded!r}, is {found.repeated!r} "
        f"({found.epochs} epochs)"
    )
    for line in found.differing[:_SHOWN]:
        print(f"  {line}")
    if len(found.differing) > _SHOWN:
        print(f"  and {len(found.differing) - _SHOWN} more")
    heading = "what is different here:" if found.changes else "code, packages, machine and data are those of the trial"
    print("\n  ".join([heading, *found.changes]))
    print(
        {
            "exact": "verified: every number of every epoch came back",
            "within rounding": f"verified within rounding: {found.rounded} numbers differ, by 1e-4 at most: "
            "another machine or device adds in another order",
            "different": "NOT verified",
        }[found.verdict]
    )


def main() -> None:
    launch(app, "mer.verify", "type the same command again: a trial is compared as a whole")


if __name__ == "__main__":
    main()
