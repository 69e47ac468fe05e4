"""`python -m analysis.compare STUDY STUDY ...`: studies and evaluations beside each other, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.report import page_path, told, write_page
from mer.cli_app import Debug, launch
from mer.errors import MerError

if TYPE_CHECKING:
    from analysis.stores.evaluation import Evaluation
    from analysis.stores.study import Study

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def compare(
    named: Annotated[
        list[str],
        typer.Argument(
            metavar="STUDY...", help="studies, evaluations and evaluated exports, by folder or name", show_default=False
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="the page; without it reports/compare.html")] = None,
    studies: Annotated[Path, typer.Option(help="folder of all studies")] = Path("studies"),
    open_it: Annotated[bool, typer.Option("--open", help="show the page in the browser")] = False,
    debug: Debug = False,
) -> None:
    """Compare studies on dev and evaluations on test: scores, intervals, paired verdicts, cost."""
    target = page_path(out) or Path("reports") / "compare.html"
    if len(dict.fromkeys(named)) < 2:
        raise MerError(
            "compare", "needs two studies or evaluations at least", then="python -m analysis.report shows a single one"
        )
    found, results = _read(list(dict.fromkeys(named)), studies)
    told(target, write_comparison(found, results, target), open_it=open_it)


def write_comparison(studies: list[Study], evaluations: list[Evaluation], target: Path) -> Path:
    """Write the page to `target` and its tables to a folder beside it. Returns that folder."""
    from analysis.comparison_page.build import comparison_html, comparison_sections

    sections = comparison_sections(studies, evaluations, target)
    return write_page(target, comparison_html(studies, evaluations, sections), sections)


def _read(named: list[str], studies: Path) -> tuple[list[Study], list[Evaluation]]:
    from analysis.stores.evaluation import load_evaluation
    from analysis.stores.journal import find_study, load_study
    from analysis.stores.links import results_of

    found: list[Study] = []
    results: list[Evaluation] = []
    for name in named:
        path = results_of(name, studies)
        if path is not None:
            results.append(load_evaluation(path))
        else:
            found.append(load_study(find_study(name, studies), with_mlflow=False))
    return found, results


def main() -> None:
    launch(app, "analysis.compare", "nothing is half-written: type the same command again")


if __name__ == "__main__":
    main()
