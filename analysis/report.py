"""`python -m analysis.report STUDY`: one self-contained page about a study, and its tables as CSV and Markdown."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mer.cli_app import Debug, launch

if TYPE_CHECKING:  # Optuna takes a second: not for --help
    from analysis.stores import Study

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def report(
    study: Annotated[str, typer.Argument(help="a study's folder, or its name", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="the page [default: reports/STUDY.html]")] = None,
    studies: Annotated[Path, typer.Option(help="folder of all studies")] = Path("studies"),
    debug: Debug = False,
) -> None:
    """Write one HTML page about a study (works offline), and its tables beside it."""
    from analysis.stores import find_study, load_study
    from mer.errors import MerError

    if out is not None and out.suffix.lower() not in (".html", ".htm"):
        raise MerError(f"--out {out}", "is no .html file", then="name a file, e.g. --out reports/spcl.html")
    record = load_study(find_study(study, studies))
    target = out or Path("reports") / f"{record.name}.html"
    tables = write_report(record, target)
    print(f"{target}  ({target.stat().st_size / 1024:.0f} KB)\n{tables}/  tables as CSV and Markdown")


def write_report(study: Study, target: Path) -> Path:
    """Write the page to `target` and its tables to a folder beside it. Returns that folder."""
    from analysis import details, sections
    from analysis.findings import dev_noise
    from analysis.pages import page
    from analysis.tables import write_text
    from analysis.two_classes import two_classes

    noise, curves = dev_noise(study), two_classes(study)
    parts = [
        sections.header(study),
        sections.best(study, noise),
        sections.leaderboard(study),
        sections.history(study, noise),
        sections.curves(study),
        details.matters(study),
        details.parameters(study),
        details.ranges(study),
        details.classes(study),
        *([curves] if curves else []),
        details.failures(study),
        details.commands(study),
    ]
    folder = target.with_name(f"{target.stem}-tables")
    foot = f"Made by python -m analysis.report from the journal, the study folder and MLflow. Tables: {folder.name}/"
    lead = f"{sections.counted(study)}; objective {', '.join(metric for metric, _ in study.objectives)}"
    shutil.rmtree(folder, ignore_errors=True)
    for _, tables in parts:
        for table in tables:
            if table.rows:
                table.write(folder)
    write_text(target, page(study.name, lead, [section for section, _ in parts], foot))
    return folder


def main() -> None:
    launch(app, "analysis.report")


if __name__ == "__main__":
    main()
