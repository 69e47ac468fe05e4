"""Make picture and page of a study or an evaluation that has just ended. What fails here fails nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mer.study.paths import PICTURE, REPORT

SCORES = "scores.svg"


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
            lines.append(f"picture:         {folder / PICTURE}")
        write_report(study, folder / REPORT)
        lines.append(f"report:          {folder / REPORT}")
    return lines


def evaluation_pages(folder: Path) -> list[str]:
    """Draw an evaluation's scores and write its page into its folder. Returns the lines that say where they are."""
    lines: list[str] = []
    with _harmless(lines):
        from analysis.evaluation_page.scores import scores_picture
        from analysis.report import write_evaluation_report
        from analysis.stores.evaluation import evaluation_in, load_evaluation
        from mer.files import write_text

        results = evaluation_in(folder)
        if results is not None:
            evaluation = load_evaluation(results)
            write_text(folder / SCORES, scores_picture(evaluation))
            lines.append(f"picture:         {folder / SCORES}")
            write_evaluation_report(evaluation, folder / REPORT)
            lines.append(f"report:          {folder / REPORT}")
    return lines


@contextmanager
def _harmless(lines: list[str]) -> Iterator[None]:
    try:
        yield
    except Exception as fault:  # a page is worth less than the study: whatever went wrong is said in a line
        words = (str(fault).splitlines() or [""])[0]
        lines.append(f"report:          not made ({type(fault).__name__}: {words}); the study itself is whole")
