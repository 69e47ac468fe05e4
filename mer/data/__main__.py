"""python -m mer.data: get the data, make a sample corpus, check what is there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from mer.cli_app import Debug, launch
from mer.console import page
from mer.data.check.checked import as_json, check_everything
from mer.data.check.finding import Tokens
from mer.data.check.report import next_step, print_page
from mer.data.fetch import get_meld
from mer.data.prepare.from_archive import LOG, default_workers, prepare
from mer.data.prepare.placing import Link
from mer.data.prepare.report import fault_lines, summary_lines
from mer.data.readers.split_record import keep_splits
from mer.data.registry import folds_of, present_splits, survey_corpus
from mer.data.sample.corpus import default_processes, write_sample
from mer.data.settings import data_config
from mer.data.transcribe.corpus import transcribe_corpus
from mer.data.transcribe.recogniser import Recogniser
from mer.data.transcribe.speech_models import spoken_by
from mer.data.types import Corpus
from mer.files import write_json
from mer.progress import reporting
from mer.terminal.commands import command

_MEND = "next: mend what is marked wrong, then run the same command again"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help=__doc__)


@app.command("get")
def get_command(
    dataset: Annotated[Literal["meld"], typer.Argument(help="what to fetch")],
    root: Annotated[Path, typer.Option(help="folder for the CSV files")] = Path("datasets/MELD"),
    debug: Debug = False,
) -> None:
    """Fetch the official MELD text (three CSV files, 1.6 MB) and check its hashes."""
    written = get_meld(root)
    for path in written:
        print(f"fetched {path}")
    if not written:
        print(f"{root} has the official files already")
    print(f"next: {command('mer.data', 'check', root)}")


@app.command("sample")
def sample_command(
    out: Annotated[Path, typer.Argument(help="folder to write; new, empty, or an earlier sample corpus")],
    seed: Annotated[int, typer.Option(help="random seed; the same seed gives the same corpus")] = 0,
    modalities: Annotated[
        str, typer.Option(help="comma-separated; text alone takes no time, voices and faces half a minute and 40 MB")
    ] = "text,audio,video",
    dialogues: Annotated[int, typer.Option(min=3, help="dialogues of train; dev and test get a third as many")] = 120,
    raw: Annotated[bool, typer.Option("--raw", help="clips as in MELD's raw archive, faults included")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="processes; one per processor if left out")] = None,
    debug: Debug = False,
) -> None:
    """Generate a small corpus in MELD's shape, with voices and faces, free to use (CC0)."""
    wanted = tuple(name.strip() for name in modalities.split(",") if name.strip())
    sizes = {"train": dialogues, "dev": dialogues // 3, "test": dialogues // 3}
    with reporting(None, "sample", "clips", brief=True) as progress:
        write_sample(
            out, dialogues_per_split=sizes, seed=seed, modalities=wanted, raw=raw,
            workers=workers or default_processes(), progress=progress,
        )  # fmt: skip
    then = ("prepare", out, "--out", out.with_name(f"{out.name}-prepared")) if raw else ("check", out)
    print(f"wrote a sample corpus to {out}\nnext: {command('mer.data', *then)}")


@app.command("prepare")
def prepare_command(
    raw: Annotated[Path, typer.Argument(help="folder into which the archive of MELD's clips was unpacked; only read")],
    out: Annotated[Path, typer.Option(help="folder to write; an earlier run is continued")] = Path("datasets/MELD"),
    workers: Annotated[int | None, typer.Option(min=1, help="clips at once; two per processor if left out")] = None,
    link: Annotated[Link, typer.Option(help="how videos get there; auto: hard links, copies where it must")] = "auto",
    debug: Debug = False,
) -> None:
    """Make a corpus of MELD's raw clips: a FLAC file and a video per utterance. Bad clips are listed, not fatal."""
    with reporting(None, "prepare", "clips", brief=True) as progress:
        prepared = prepare(raw, out, workers=workers or default_workers(), link=link, progress=progress)
    for line in summary_lines(prepared):
        print(line)
    if faults := fault_lines(prepared):
        listed = "\n".join(f"  {line}" for line in faults[:5])
        more = f"\n  and {len(faults) - 5} more" if len(faults) > 5 else ""
        print(f"{len(faults)} clips cannot be used in full, listed in {out / LOG}:\n{listed}{more}", file=sys.stderr)
    print(f"wrote {out}\nnext: {command('mer.data', 'check', out)}")


@app.command("check")
def check_command(
    root: Annotated[Path, typer.Argument(help="folder of the data")],
    dataset: Annotated[
        str | None, typer.Option(help="how the data are read, see docs/corpora.md; default: as they look")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="a key of data, e.g. data.columns.text=said")
    ] = None,
    splits: Annotated[
        str, typer.Option(help="comma-separated, such as train,dev; all that are there if left out")
    ] = "",
    deep: Annotated[
        bool, typer.Option("--clips", "--deep", help="decode every clip instead of reading headers")
    ] = False,
    backbone: Annotated[
        str, typer.Option(help="text backbone for which unknown and cut tokens are counted; none: leave that out")
    ] = "minilm",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="write all of it here too; ROOT/check.json gets onto model cards")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="clips at once; two per processor if left out")] = None,
    debug: Debug = False,
) -> None:
    """Say on one page what is in a dataset: counts, clips, what splits share.

    Exit code 0: sound; 1: something makes results wrong; 2: refused.
    """
    data = data_config(root, dataset, overrides or [])
    if (folds := folds_of(data)) is not None:
        for note in folds.notes:
            print(note)
        data = data.model_copy(update={"folds": None})  # the rest is about the splits of the data
    asked = tuple(split.strip() for split in splits.split(",") if split.strip()) or present_splits(data)
    corpus = survey_corpus(data, asked or ("train", "dev"))
    keep_splits(corpus)
    for note in corpus.notes:
        print(note)
    if corpus.made is not None and not corpus.made.kept:
        print(f"written: {corpus.made.path}")
    tokens = None if backbone == "none" else _tokens(corpus, backbone)
    with reporting(None, "check", "clips", brief=True) as progress:
        checked = check_everything(
            corpus, deep=deep, workers=workers or default_workers(), progress=progress, tokens=tokens
        )
    print_page(checked, page(markup=True))
    if json_file is not None:
        write_json(json_file, as_json(checked))
        print(f"written: {json_file}")
    print(next_step(data.dataset, root, checked.media, asked, overrides or []) if not checked.wrong else _MEND)
    raise typer.Exit(checked.exit_code)


@app.command("transcribe")
def transcribe_command(
    root: Annotated[Path, typer.Argument(help="folder of the CSV files and the clips")],
    out: Annotated[Path, typer.Option(help="folder to write; new, empty, or an earlier one of this command")],
    dataset: Annotated[str, typer.Option(help="reader: meld")] = "meld",
    splits: Annotated[str, typer.Option(help="comma-separated; test only if it is named here")] = "train,dev",
    model: Annotated[str, typer.Option(help="name or hub id of a model, or a local folder")] = "distil-large-v3",
    language: Annotated[
        str | None, typer.Option(help="code of the language spoken [default: that of the model's name, else en]")
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="where the model runs")] = "auto",
    compute_type: Annotated[str, typer.Option(help="auto: float16 on a GPU, int8 on a CPU")] = "auto",
    vad: Annotated[bool, typer.Option("--vad/--no-vad", help="leave out what is not speech")] = True,
    max_seconds: Annotated[float, typer.Option(min=0.1, help="only so much of a clip is heard")] = 20.0,
    only_missing: Annotated[bool, typer.Option("--only-missing/--all", help="keep the text that is there")] = False,
    cache: Annotated[Path, typer.Option(help="folder of the transcripts made so far")] = Path("transcripts"),
    debug: Debug = False,
) -> None:
    """Write a data folder whose text is what faster-whisper hears in the clips (needs the optional extra asr)."""
    asked = tuple(split.strip() for split in splits.split(",") if split.strip()) or ("train", "dev")
    recogniser = Recogniser(
        model=model, language=language or spoken_by(model) or "en", device=device, compute_type=compute_type, vad=vad,
        max_seconds=max_seconds,
    )  # fmt: skip
    with reporting(None, "transcribe", "clips", brief=True) as progress:
        tallies = transcribe_corpus(
            root, out, dataset=dataset, splits=asked, recogniser=recogniser, cache=cache, only_missing=only_missing,
            progress=progress,
        )  # fmt: skip
    for split, tally in tallies.items():
        print(f"{split}: {tally}")
    print(f"wrote {out}\nnext: {command('mer.data', 'check', out)}")


def _tokens(corpus: Corpus, backbone: str) -> Tokens | None:
    """Count what a text backbone reads of the corpus; None for one that has no text."""
    from mer.config import TextEncoderConfig
    from mer.features.text.coverage import corpus_coverage

    dialogues = [dialogue for split in corpus.splits for dialogue in corpus.dialogues(split)]
    if not any(utterance.text.strip() for dialogue in dialogues for utterance in dialogue.utterances):
        return None
    found = corpus_coverage(dialogues, TextEncoderConfig(backbone=backbone))
    return Tokens(found.backbone, tuple(found.words()), found.unknown_share, found.unread, found.cut)


def main() -> None:
    launch(app, "mer.data", "nothing is half-written: type the same command again")


if __name__ == "__main__":
    main()
