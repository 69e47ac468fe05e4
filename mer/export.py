"""`python -m mer.export STUDY`: write the best trial as a folder that loads anywhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mer.cli_app import Debug, launch
from mer.console import page
from mer.errors import MerError
from mer.redaction import words_without_secrets
from mer.terminal.commands import command

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

EPILOG = (
    "The model's dev scores are recomputed from the written folder and compared with the trial's before it counts. "
    "Load it with mer.load(DIR), or python -m mer.predict DIR."
)


@app.command(epilog=EPILOG)
def export(
    study: Annotated[str, typer.Argument(help="study folder, e.g. studies/quickstart, or a name under --studies")],
    trial: Annotated[int | None, typer.Option(min=0, help="number of a trial [default: the best finished]")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="folder to write [default: exports/<study>-<number>]; with --top: DIR-1, DIR-2 ..."),
    ] = None,
    top: Annotated[int | None, typer.Option(min=1, help="export the K best, each to its own folder")] = None,
    bundle: Annotated[bool, typer.Option("--bundle", help="copy the backbone into the folder")] = False,
    merge: Annotated[bool, typer.Option("--merge", help="add LoRA adapters into the weights they change")] = False,
    force: Annotated[bool, typer.Option("--force", help="replace an export that is there")] = False,
    studies: Annotated[Path, typer.Option(help="folder of all studies")] = Path("studies"),
    cache: Annotated[Path, typer.Option(help="folder of all feature files")] = Path("features"),
    student: Annotated[
        str, typer.Option(metavar="MODALITY", help="one student of a merged distillation, at its own best epoch")
    ] = "",
    data_root: Annotated[str | None, typer.Option(help="folder of the study's data, if it has moved")] = None,
    threshold: Annotated[
        str, typer.Option(metavar="METRIC", help="of two classes: keep the threshold best on dev, e.g. by dev_macro_f1")
    ] = "",
    debug: Debug = False,
) -> None:
    """Export the best trial of a study, or any of its trials."""
    if trial is not None and top is not None:
        raise MerError("--trial --top", "they exclude each other", then="give one of the two")
    from mer.study.export.choose import ExportOptions
    from mer.study.export.write import export_study
    from mer.study.folder.read_study import find_study, read_record

    console = page()
    record = read_record(find_study(study, studies))
    typed = command("mer.export", *words_without_secrets(sys.argv[1:]))
    options = ExportOptions(out, trial, top, bundle, force, cache, data_root, typed, student, merge, threshold)
    done = export_study(record, options, console)
    unfinished = sum(standing.state == "interrupted" for standing in record.standings)
    if unfinished and trial is None:
        console.print(f"note: {unfinished} trials of this study were interrupted; --resume of the study finishes them")
    if top is not None and len(done) < top:
        console.print(f"note: {top} were asked for, but the study has {len(done)} finished")


def main() -> None:
    launch(app, "mer.export")


if __name__ == "__main__":
    main()
