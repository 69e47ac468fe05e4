"""`python -m mer.reproduce CARD`: a published number against what is got here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mer.cli_app import Debug, launch
from mer.console import page
from mer.terminal.commands import changed, command

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
EPILOG = (
    "Exit code 0: reproduced; 1: lower, higher, not comparable, or one seed alone. The same command goes on after a "
    "kill. docs/bench.md"
)
_AGAIN = "nothing is lost; the same command goes on: seeds that are done are not trained again"


@app.command(epilog=EPILOG)
def reproduce(
    card: Annotated[
        str, typer.Argument(help="a YAML file, or a card that is shipped, e.g. meld_text_ce", show_default=False)
    ],
    data: Annotated[str | None, typer.Option(help="where the data lie, if not where the card says")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="seeds at once [default: as many as fit]")] = None,
    show: Annotated[bool, typer.Option("--show", help="print the card, to copy and change it")] = False,
    out: Annotated[Path | None, typer.Option(help="folder of the verdict [default: reproductions/<card>]")] = None,
    studies: Annotated[Path, typer.Option(help="folder of all studies")] = Path("studies"),
    cache: Annotated[Path, typer.Option(help="folder of all feature files")] = Path("features"),
    debug: Debug = False,
) -> None:
    """Get a claimed number: train its configuration over seeds, score test once per seed, and say how they compare."""
    from mer.study.bench.claim import SHIPPED_CARDS
    from mer.study.bench.yaml_models import find_yaml

    path = find_yaml(card, SHIPPED_CARDS, "card")
    if show:
        sys.stdout.write(path.read_text(encoding="utf-8"))
        return
    from analysis.at_the_end import evaluation_pages, study_pages
    from mer.study.bench.one_cell import CellOptions
    from mer.study.bench.reproduce import read_card
    from mer.study.bench.reproduce import reproduce as run
    from mer.study.bench.state import Place

    read, cell = read_card(path, data, workers)
    given = {
        "--data": (data, None), "--workers": (workers, None), "--out": (out, None),
        "--studies": (studies, "studies"), "--cache": (cache, "features"),
    }  # fmt: skip
    typed = command("mer.reproduce", card, *changed(given))
    place = Place(out or Path("reproductions") / read.card)
    options = CellOptions(studies, cache, place, typed, study_pages, evaluation_pages)
    console = page()
    verdict = run(read, cell, data, options, console)
    console.print("\n".join([f"\n{read.card}", *verdict.lines]), soft_wrap=True, highlight=False)
    console.print(f"written: {place.folder / 'verdict.json'} and verdict.md", soft_wrap=True, highlight=False)
    if verdict.finding != "reproduced":
        raise typer.Exit(1)


def main() -> None:
    launch(app, "mer.reproduce", _AGAIN)


if __name__ == "__main__":
    main()
