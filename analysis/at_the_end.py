"""Make picture and page of what has just ended, and name it on other pages. What fails here fails nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mer.study.paths import PICTURE, REPORT, is_study

if TYPE_CHECKING:
    from analysis.page.document import Section
    from analysis.stores.evaluation import Evaluation

SCORES = "scores.svg"
LARGEST_PAGE = 64 * 2**20  # bytes; a larger one is left as it is


def study_pages(folder: Path) -> list[str]:
    """Draw a study's history and write its page into its folder. Returns the lines that say where they are."""
    lines: list[str] = []
    with _harmless(lines):
        from analysis.findings.chance import dev_noise
        from analysis.report import write_report
        from analysis.stores.journal import load_study
        from analysis.study_page.history import history_picture
        from mer.files import write_text

        study = load_study(folder, with_mlflow=False)
        picture = history_picture(study, dev_noise(study))
        if picture is not None:
            write_text(folder / PICTURE, picture)
            lines.append(_line("picture", folder / PICTURE))
        write_report(study, folder / REPORT)
        lines.append(_line("report", folder / REPORT))
    return lines


def evaluation_pages(folder: Path) -> list[str]:
    """Draw an evaluation's scores and write its page into its folder; name it on the page of its study.

    A study that was ranked again, or whose seeds were scored on another corpus alone, has that on its own page.

    Returns: the lines that say where picture and page are.
    """
    lines: list[str] = []
    with _harmless(lines):
        from analysis.evaluation_page.corpora import other_corpora
        from analysis.evaluation_page.scores import scores_picture
        from analysis.report import write_evaluation_report
        from analysis.stores.evaluation import evaluation_in, load_evaluation
        from analysis.study_page.reranked import reranked
        from mer.files import write_text

        results = evaluation_in(folder)
        if results is not None:
            evaluation = load_evaluation(results)
            write_text(folder / SCORES, scores_picture(evaluation))
            lines.append(_line("picture", folder / SCORES))
            write_evaluation_report(evaluation, folder / REPORT)
            lines.append(_line("report", folder / REPORT))
            _name_on_its_study(evaluation)
        elif is_study(folder):
            lines += study_pages(folder) if not (folder / REPORT).is_file() else _where(folder)
            for section, before in ((reranked(folder), "best"), (other_corpora(folder), "facts")):
                _put_on_page(folder, section, before)
    return lines


def with_pages_opened(pages: Callable[[Path], list[str]]) -> Callable[[Path], list[str]]:
    """Return what makes the pages of a folder and shows the page in the browser."""

    def make(folder: Path) -> list[str]:
        from analysis.report import opened

        lines, page = pages(folder), folder / REPORT
        return [*lines, *(opened(page) if page.is_file() else ())]

    return make


def name_on_page(study: Path, generation: str) -> None:
    """List the exports and evaluations of a study on its page, where it has one. Args: study: its folder."""
    with _harmless([]):
        from analysis.page.document import is_about
        from analysis.stores.links import related_to_study
        from analysis.study_page.facts import related

        page = _page_of(study)
        if page is not None and is_about(page, generation):
            _put_on_page(study, related(related_to_study(study, generation), study / REPORT), "facts")


def _name_on_its_study(evaluation: Evaluation) -> None:
    from analysis.stores.links import source_of

    if (source := source_of(evaluation)) is not None:
        name_on_page(*source)


def _line(name: str, path: Path) -> str:
    return f"{name + ':':<17}{path}"


def _where(folder: Path) -> list[str]:
    """Say where the picture and the page of a study are."""
    places = {"picture": folder / PICTURE, "report": folder / REPORT}
    return [_line(name, path) for name, path in places.items() if path.is_file()]


def _page_of(folder: Path) -> str | None:
    page = folder / REPORT
    if not page.is_file() or page.stat().st_size > LARGEST_PAGE:
        return None
    return page.read_text(encoding="utf-8")


def _put_on_page(folder: Path, section: Section | None, before: str) -> None:
    """Put a section on the page of a folder, and its tables beside it. Args: before: as of `with_section`."""
    from analysis.page.document import with_section
    from analysis.report import tables_folder
    from mer.files import write_text

    page = _page_of(folder)
    if section is None or page is None:
        return
    for table in section.tables:
        table.write(tables_folder(folder / REPORT))
    write_text(folder / REPORT, with_section(page, section, before))


@contextmanager
def _harmless(lines: list[str]) -> Iterator[None]:
    try:
        yield
    except Exception as fault:  # a page is worth less than the study: whatever went wrong is said in a line
        words = (str(fault).splitlines() or [""])[0]
        lines.append(f"report:          not made ({type(fault).__name__}: {words}); the study itself is whole")
