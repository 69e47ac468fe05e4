"""`python -m mer.export STUDY`: the best trial as a folder that loads anywhere, as a search space, or on the hub."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mer.cli_app import Debug, launch
from mer.console import page
from mer.errors import MerError
from mer.folder_kinds import EXPORT_MARK
from mer.places import home
from mer.redaction import words_without_secrets
from mer.terminal.commands import command

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

EPILOG = (
    "The model's dev scores are recomputed from the written folder and compared with the trial's before it counts. "
    "Load it with mer.load(DIR), or python -m mer.predict DIR."
)


@app.command(epilog=EPILOG)
def export(
    given: Annotated[
        list[str],
        typer.Argument(metavar="STUDY", help="study folder, e.g. studies/quickstart, or a name under --studies"),
    ],
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
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="fit a temperature to dev, so that probabilities are truer")
    ] = False,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="put the exports that are given together: they answer with their mean")
    ] = False,
    as_space: Annotated[
        bool, typer.Option("--as-space", help="print (or --out F.yaml) the search space that trains this trial again")
    ] = False,
    push: Annotated[
        str, typer.Option(metavar="ORG/NAME", help="put the export on the model hub too; STUDY may be an export")
    ] = "",
    private: Annotated[bool, typer.Option("--private", help="a model that --push makes is seen by you alone")] = False,
    fold: Annotated[
        int | None, typer.Option(min=1, help="of a trial over folds: the one whose model is exported [default: 1]")
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="add an ONNX graph, model.onnx; STUDY may be an export")] = False,
    transformers: Annotated[
        bool,
        typer.Option("--transformers", help="add a folder for AutoModelForSequenceClassification, where it can be"),
    ] = False,
    debug: Debug = False,
) -> None:
    """Export the best trial of a study, or any of its trials; or put exports together."""
    if ensemble:
        others = {
            "--trial": trial is not None, "--top": top is not None, "--bundle": bundle, "--merge": merge,
            "--student": bool(student), "--as-space": as_space, "--push": bool(push), "--fold": fold is not None,
            "--onnx": onnx, "--transformers": transformers,
        }  # fmt: skip
        beside = [name for name, asked in others.items() if asked]
        _put_together(given, beside, out, force, calibrate, threshold, cache, data_root)
        return
    if len(given) > 1:
        found = f"{len(given)} are given: {', '.join(given)}"
        raise MerError("STUDY", found, allowed="one", then="to put exports together, add --ensemble")
    study = given[0]
    if trial is not None and top is not None:
        raise MerError("--trial --top", "they exclude each other", then="give one of the two")
    if push and top is not None:
        raise MerError("--push --top", "one model goes to the hub at a time", then="push them one by one: --trial N")
    if as_space:
        _print_space(study, studies, trial, out, force)
        return
    if calibrate and (home(study) / EXPORT_MARK).is_file():
        anew = command("mer.export", "STUDY", "--calibrate", "--out", study, "--force")
        raise MerError(study, "is an export already", allowed="--calibrate with a study", then=f"export anew: {anew}")
    forms = [name for name, asked in (("onnx", onnx), ("transformers", transformers)) if asked]
    if push:
        from mer.study.export.push import require_hub

        require_hub(push)
    if (push or forms) and (home(study) / EXPORT_MARK).is_file():
        _finish([home(study)], forms, push, private)
        return
    from mer.study.export.choose import ExportOptions
    from mer.study.export.write import export_study
    from mer.study.folder.read_study import find_study, read_record

    console = page()
    record = read_record(find_study(study, studies))
    typed = command("mer.export", *words_without_secrets(sys.argv[1:]))
    options = ExportOptions(
        out, trial, top, bundle, force, cache, data_root, typed, student, merge, threshold, calibrate, fold
    )
    done = export_study(record, options, console)
    unfinished = sum(standing.state == "interrupted" for standing in record.standings)
    if unfinished and trial is None:
        console.print(f"note: {unfinished} trials of this study were interrupted; --resume of the study finishes them")
    if top is not None and len(done) < top:
        console.print(f"note: {top} were asked for, but the study has {len(done)} finished")
    _finish([one.export.folder for one in done], forms, push, private)
    from analysis.at_the_end import name_on_page

    name_on_page(record.folder, record.generation)


def _put_together(
    given: list[str],
    others: list[str],
    out: Path | None,
    force: bool,
    calibrate: bool,
    threshold: str,
    cache: Path,
    data_root: str | None,
) -> None:
    """Make an ensemble. Args: others: options that were given and are not of one. Raises: MerError."""
    if others:
        then = f"leave {'it' if len(others) == 1 else 'them'} out: a member has what its own export has"
        raise MerError(f"--ensemble {' '.join(others)}", "they exclude each other", then=then)
    if out is None:
        raise MerError("--ensemble", "it is not said where", then="--out FOLDER, e.g. --out exports/together")
    from mer.checkpoints.hub_export import export_folder
    from mer.study.export.ensemble import EnsembleOptions, export_ensemble

    typed = command("mer.export", *words_without_secrets(sys.argv[1:]))
    options = EnsembleOptions(out, force, calibrate, threshold, cache, data_root, typed)
    export_ensemble([export_folder(one) for one in given], options, page())


def _finish(folders: list[Path], forms: list[str], push: str, private: bool) -> None:
    """Add other forms of the models, then push."""
    for folder in folders:
        if forms:
            from mer.study.export.other_forms import add_forms

            page().print("\n".join(add_forms(folder, forms)), highlight=False, soft_wrap=True, markup=False)
        if push:
            _push(folder, push, private)


def _push(folder: Path, repo: str, private: bool) -> None:
    from mer.study.export.push import push

    done, console = push(folder, repo, private=private), page()
    lines = [
        f"pushed {folder} to {done.url} (commit {done.commit[:12]}), without places of this machine",
        *(f"  note: {note}" for note in done.notes),
        f"  load it: mer.load({repo!r}), or mer.load({repo!r}, revision={done.commit!r}) for this very one",
    ]
    console.print("\n".join(lines), highlight=False, soft_wrap=True, markup=False)


def _print_space(study: str, studies: Path, trial: int | None, out: Path | None, force: bool) -> None:
    """Print a trial as a search space, or write it to a file."""
    if out is not None and out.suffix not in (".yaml", ".yml"):
        raise MerError(out, "is no name of a search space", allowed="--out FILE.yaml, or no --out: it is printed")
    if out is not None and out.exists() and not force:
        raise MerError(out, "is there already", then="replace it with --force, or choose another --out")
    from mer.files import write_text
    from mer.study.export.as_space import trial_as_space
    from mer.study.export.choose import choose_trial
    from mer.study.folder.read_study import find_study, read_record

    record = read_record(find_study(study, studies))
    text = trial_as_space(record, choose_trial(record, trial), out)
    if out is None:
        sys.stdout.write(text)
        return
    write_text(out, text)
    page().print(f"written: {out}; run it: {command('mer.tune', out)}", highlight=False, soft_wrap=True, markup=False)


def main() -> None:
    launch(app, "mer.export", "nothing is half-written: type the same command again")


if __name__ == "__main__":
    main()
