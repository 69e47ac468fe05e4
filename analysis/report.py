"""`python -m analysis.report STUDY`: one self-contained page about a study or an evaluation, and its tables."""

from __future__ import annotations

import shutil
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mer.cli_app import Debug, launch
from mer.errors import MerError

if TYPE_CHECKING:  # Optuna takes a second: not for --help
    from analysis.page.document import Section
    from analysis.stores.evaluation import Evaluation
    from analysis.stores.study import Study
    from analysis.stores.texts import Turn

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
OTHERS = {"compare": "analysis.compare", "seeds": "analysis.seeds"}
EPILOG = (
    "mer report compare STUDY STUDY ...: several on one page. mer report seeds RESULTS.json ...: tables as Markdown."
)


@app.command(epilog=EPILOG)
def report(
    study: Annotated[
        str, typer.Argument(help="a study, an evaluation or an evaluated export, by folder or name", show_default=False)
    ],
    out: Annotated[Path | None, typer.Option(help="the page; without it report.html in the folder")] = None,
    studies: Annotated[Path, typer.Option(help="folder of all studies")] = Path("studies"),
    texts: Annotated[
        bool, typer.Option("--texts", help="show what was said in the hardest dialogues; mind the licence of the data")
    ] = False,
    open_it: Annotated[bool, typer.Option("--open", help="show the page in the browser")] = False,
    debug: Debug = False,
) -> None:
    """Write one HTML page about a study or an evaluation (works offline), and its tables beside it."""
    from analysis.stores.evaluation import load_evaluation
    from analysis.stores.journal import find_study, load_study
    from analysis.stores.links import results_of
    from analysis.stores.texts import dev_texts
    from mer.study.paths import REPORT

    target = page_path(out)
    results = results_of(study, studies)
    if results is not None:
        evaluation = load_evaluation(results)
        target = target or results.parent / REPORT
        tables = write_evaluation_report(evaluation, target)
    else:
        record = load_study(find_study(study, studies))
        target = target or record.folder / REPORT
        tables = write_report(record, target, texts=dev_texts(record) if texts else None)
    told(target, tables, open_it=open_it)


def page_path(out: Path | None) -> Path | None:
    """Return where a page shall lie. Raises: MerError for what is no page."""
    if out is not None and out.suffix.lower() not in (".html", ".htm"):
        raise MerError(f"--out {out}", "is no .html file", then="name a file, e.g. --out reports/spcl.html")
    return out


def told(target: Path, tables: Path, *, open_it: bool) -> None:
    """Print where a page is, and open it where that was asked for."""
    print(f"{target}  ({target.stat().st_size / 1024:.0f} KB)\n{tables}/  tables as CSV and Markdown")
    for line in opened(target) if open_it else ():
        print(line)


def opened(page: Path) -> list[str]:
    """Show a page in the browser. Returns: a line that says so where none could be opened."""
    if webbrowser.open(page.resolve().as_uri()):
        return []
    return [f"no browser could be opened: open {page} yourself"]


def write_report(study: Study, target: Path, *, texts: Mapping[str, Turn] | None = None) -> Path:
    """Write a study's page to `target` and its tables to a folder beside it. Returns that folder.

    Args: texts: utterance id -> what was said, for the page to show.
    """
    from analysis.study_page.build import study_html, study_sections

    sections = study_sections(study, target, texts or {})
    return write_page(target, study_html(study, sections, tables_folder(target)), sections)


def write_evaluation_report(evaluation: Evaluation, target: Path) -> Path:
    """Write an evaluation's page to `target` and its tables to a folder beside it. Returns that folder."""
    from analysis.evaluation_page.build import evaluation_html, evaluation_sections

    sections = evaluation_sections(evaluation, target)
    return write_page(target, evaluation_html(evaluation, sections, tables_folder(target)), sections)


def tables_folder(target: Path) -> Path:
    """Return the folder of a page's tables."""
    return target.with_name(f"{target.stem}-tables")


def write_page(target: Path, html: str, sections: list[Section]) -> Path:
    """Write a page, and its tables into a folder beside it. Returns that folder."""
    from analysis.page.document import tables_of
    from mer.files import write_text

    folder = tables_folder(target)
    shutil.rmtree(folder, ignore_errors=True)
    for table in tables_of(sections):
        table.write(folder)
    write_text(target, html)
    return folder


def main() -> None:
    """Run the command, or hand over to one of its own: compare, seeds."""
    import importlib

    if len(sys.argv) > 1 and sys.argv[1] in OTHERS:
        module = OTHERS[sys.argv.pop(1)]
        importlib.import_module(module).main()
        return
    launch(app, "analysis.report", "nothing is half-written: type the same command again")


if __name__ == "__main__":
    main()
