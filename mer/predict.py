"""`python -m mer.predict EXPORT`: labels and probabilities for texts, files, or standard input."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from mer.cli_app import Debug, launch
from mer.data.inputs import Inputs, absent_texts, decode, from_csv, from_json_lines, from_texts
from mer.data.media import MediaFault, clip_path
from mer.data.text import normalise
from mer.errors import MerError
from mer.files import write_text

if TYPE_CHECKING:  # torch takes a second: --help does not wait for it
    from mer.checkpoints.export_folder import Export
    from mer.predictor.output import Pairs
    from mer.predictor.prediction import Prediction

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_FEW = 50  # texts that need no progress bar
_NAMELESS = "only a file named as MELD's are says where its clips lie"
EPILOG = (
    "Predictions go to standard output (or --out), everything else to standard error. "
    "Piped input is one utterance a line. An utterance that could not be read, is silent, empty or unknown to the "
    "backbone gets an average answer and says so (fault). Exit code 0: predicted, marked utterances included; "
    "2: bad input, or not one utterance could be read, said in one message."
)


@app.command(epilog=EPILOG)
def predict(
    export: Annotated[Path, typer.Argument(help="folder written by python -m mer.export")],
    text: Annotated[list[str] | None, typer.Option(help="an utterance; may be repeated")] = None,
    file: Annotated[
        Path | None, typer.Option(help="F.csv in MELD's layout or F.jsonl; utterances see their dialogue")
    ] = None,
    json_lines: Annotated[bool, typer.Option("--json", help="one JSON object per utterance")] = False,
    out: Annotated[Path | None, typer.Option(help="write to F.csv or F.jsonl instead")] = None,
    speaker: Annotated[str, typer.Option(help="who speaks where the input does not say")] = "Speaker",
    backbone: Annotated[Path | None, typer.Option(help="folder of the backbone, if it has moved")] = None,
    batch: Annotated[int, typer.Option(min=1, help="most tokens the backbone reads at once")] = 2048,
    audio: Annotated[list[Path] | None, typer.Option(help="a sound, for models that hear; may be repeated")] = None,
    video: Annotated[list[Path] | None, typer.Option(help="a video, for models that see; may be repeated")] = None,
    debug: Debug = False,
) -> None:
    """Classify utterances with an exported model."""
    clips = {"audio": tuple(audio or ()), "video": tuple(video or ())}
    run(Request(export, tuple(text or ()), file, json_lines, out, speaker, backbone, batch, clips), sys.stdin)


@dataclass(frozen=True)
class Request:
    """How the command was called; see its --help."""

    export: Path
    texts: tuple[str, ...] = ()
    file: Path | None = None
    json_lines: bool = False
    out: Path | None = None
    speaker: str = "Speaker"
    backbone: Path | None = None
    batch_tokens: int = 2048
    clips: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)


def run(request: Request, stdin: TextIO) -> None:
    """Predict what was asked for. Raises: MerError for everything a user can mend."""
    from mer.checkpoints.export_folder import read_export
    from mer.predictor.opening import open_predictor

    export = read_export(request.export)
    reads = tuple(export.config.encoders.present)
    _refuse_others(request, export, reads)
    if request.out is not None and request.out.suffix not in (".csv", ".jsonl"):
        raise MerError(request.out, f"unknown format {request.out.suffix!r}", allowed="--out F.csv or F.jsonl")
    inputs = _read(request, export, stdin)
    predictor = open_predictor(export, backbone=request.backbone)
    progress = None if request.file is not None or len(inputs.rows) > _FEW else False
    if reads == ("text",):
        by_dialogue = predictor.predict_dialogues(
            inputs.dialogues, batch_tokens=request.batch_tokens, progress=progress
        )
    elif len(reads) == 1:
        by_dialogue = predictor.predict_clips(_clips(inputs, reads[0], request), masked=True, progress=progress)
    else:
        of = {modality: _clips(inputs, modality, request) for modality in reads if modality != "text"}
        by_dialogue = predictor.predict_utterances(
            inputs.dialogues, of, batch_tokens=request.batch_tokens, progress=progress
        )
    in_file_order = sorted(zip(inputs.rows, inputs.utterances, by_dialogue, strict=True), key=lambda item: item[0])
    pairs = [(utterance, prediction) for _, utterance, prediction in in_file_order]
    _refuse_nothing(pairs, request, reads)
    for line in _notes(pairs, request, export, reads):
        _say(line)
    _write(pairs, request, export.class_names)
    if inputs.labels is not None:
        _say(score_line(inputs.labels, by_dialogue, export.class_names))


def score_line(labels: Sequence[str], predictions: Sequence[Prediction], class_names: tuple[str, ...]) -> str:
    """Scores as the model card prints them."""
    import numpy as np

    from mer.training.metrics import Scores

    number = {name: position for position, name in enumerate(class_names)}
    true_N = np.array([number[label] for label in labels])
    predicted_N = np.array([number[prediction.label] for prediction in predictions])
    scores = Scores(np.eye(len(class_names))[predicted_N], true_N, class_names)
    parts = {"accuracy": scores.accuracy, "weighted-F1": scores.weighted_f1, "macro-F1": scores.macro_f1}
    parts["UA"] = scores.unweighted_accuracy
    said = f"{len(labels)} labelled utterances: " + ", ".join(f"{k} {100 * v:.2f}" for k, v in parts.items())
    over = f" (macro-F1 and UA over the {scores.present_C.sum()} of {len(class_names)} classes that are labels here)"
    return said if scores.present_C.all() else said + over


def _refuse_others(request: Request, export: Export, reads: tuple[str, ...]) -> None:
    given = {"text": bool(request.texts), **{name: bool(clips) for name, clips in request.clips.items()}}
    for name, is_given in given.items():
        if is_given and name not in reads:
            raise MerError(
                f"--{name}",
                f"{export.folder} does not read it: this model has {', '.join(reads)} only",
                allowed=f"{', '.join(f'--{modality}' for modality in reads)}, --file",
            )


def _clips(inputs: Inputs, modality: str, request: Request) -> list[Path | MediaFault]:
    """Return the path of each utterance's clip; paths in a file are relative to it and stay below its folder.

    Raises: MerError when a file has not a single clip beside it: nothing could be told from what was given.
    """
    if request.file is None:
        given: list[Path | MediaFault] = list(request.clips.get(modality, ()))
        return given or [MediaFault(f"no --{modality} was given")] * len(inputs.utterances)
    clips: list[Path | MediaFault] = []
    for utterance in inputs.utterances:
        relative: str | None = getattr(utterance, modality)
        try:
            clips.append(clip_path(request.file.parent, relative) if relative else MediaFault(_NAMELESS))
        except MediaFault as fault:
            clips.append(fault)
    if all(isinstance(clip, MediaFault) for clip in clips):
        raise MerError(
            request.file,
            f"not one clip of its {len(clips)} utterances is there ({clips[0]})",
            allowed=f"MELD's layout: dev_sent_emo.csv (or train, test) and, beside it, {modality}s/dev/dia0_utt0 ...",
            then=f"put the clips there, or name them one by one: --{modality} FILE",
        )
    return clips


def _read(request: Request, export: Export, stdin: TextIO) -> Inputs:
    reads = tuple(export.config.encoders.present)
    if len(reads) > 1:
        return _read_several(request, export, reads)
    modality = reads[0]
    if modality != "text":
        if request.file is not None and request.clips[modality]:
            raise MerError(f"--{modality} --file", "they exclude each other", then="give one of the two")
        if request.file is not None:
            return _read_file(request.file, request, export)
        if not request.clips[modality]:
            raise MerError("input", "there is none", allowed=f"--{modality} FILE (may be repeated), or --file F.csv")
        return from_texts([str(path) for path in request.clips[modality]], speaker=request.speaker)
    if request.texts and request.file is not None:
        raise MerError("--text --file", "they exclude each other", then="give one of the two")
    if request.texts:
        return _some_text(from_texts(request.texts, speaker=request.speaker), "--text")
    if request.file is not None:
        return _some_text(_read_file(request.file, request, export), request.file)
    lines: list[str] = []
    if not stdin.isatty():
        lines = decode(stdin.buffer.read(), "standard input").split("\n")
        while lines and not lines[-1].strip():
            lines.pop()
    if not lines:
        raise MerError(
            "input", "there is none", allowed='--text "...", --file F.csv, --file F.jsonl, or lines on standard input'
        )
    return _some_text(from_texts(lines, speaker=request.speaker), "standard input")


def _some_text(inputs: Inputs, where: object) -> Inputs:
    """Return the input of a model that reads text alone. Raises: MerError when no utterance has any."""
    if any(normalise(utterance.text) for utterance in inputs.utterances):
        return inputs
    raise MerError(where, "is empty: there is nothing to classify", allowed="some text")


def _read_several(request: Request, export: Export, reads: tuple[str, ...]) -> Inputs:
    """For a fused model: what was given of each modality belongs together, first to first; the rest is absent."""
    given = {name: values for name, values in {"text": request.texts, **request.clips}.items() if values}
    if request.file is not None:
        if given:
            raise MerError("--file", f"excludes --{next(iter(given))}", then="give one of the two")
        return _read_file(request.file, request, export)
    if len({len(values) for values in given.values()}) > 1:
        counts = ", ".join(f"{len(values)} --{name}" for name, values in given.items())
        allowed = "each option as often as the others, or not at all"
        raise MerError("input", f"{counts}: which belong together?", allowed=allowed)
    if not given:
        raise MerError("input", "there is none", allowed=f"{', '.join(f'--{name}' for name in reads)}, or --file F.csv")
    if request.texts:
        return from_texts(request.texts, speaker=request.speaker)
    return absent_texts(len(next(iter(given.values()))), speaker=request.speaker)


def _read_file(path: Path, request: Request, export: Export) -> Inputs:
    if not path.is_file():
        raise MerError(path, "no such file" if not path.exists() else "not a file", allowed="F.csv or F.jsonl")
    if path.suffix.lower() == ".csv":
        return from_csv(path, task=export.task, class_names=export.class_names)
    if tuple(export.config.encoders.present) != ("text",):
        raise MerError(
            path, f"unknown format {path.suffix!r} for clips", allowed="F.csv in MELD's layout, clips beside it"
        )
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return from_json_lines(path, speaker=request.speaker)
    raise MerError(path, f"unknown format {path.suffix!r}", allowed="F.csv in MELD's layout, F.jsonl")


def _refuse_nothing(pairs: Pairs, request: Request, reads: tuple[str, ...]) -> None:
    """Raise MerError when nothing at all could be read, rather than print a page of average answers."""
    if not all(prediction.masked for _, prediction in pairs):
        return
    utterance, first = pairs[0]
    if request.file is None and len(pairs) == 1:
        raise MerError(utterance.text or "input", first.fault, allowed=f"a file that holds {' or '.join(reads)}")
    where = request.file or "input"
    raise MerError(where, f"not one of its {len(pairs)} utterances could be read, the first: {first.fault}")


def _notes(pairs: Pairs, request: Request, export: Export, reads: tuple[str, ...]) -> list[str]:
    """Say what the reader of the predictions should know."""
    from mer.predictor.output import notes

    limit = export.inputs["text"]["input"].get("max_tokens") if reads == ("text",) else None
    lines = notes(pairs, limit)
    encoder = export.config.encoders.text
    named = {utterance.speaker for utterance, _ in pairs} - {request.speaker}
    if encoder is not None and encoder.speaker not in ("none", "local") and not named:
        lines.append(f"note: this model reads who speaks; it was told {request.speaker!r} (--speaker NAME)")
    return lines


def _write(pairs: Pairs, request: Request, class_names: tuple[str, ...]) -> None:
    from mer.predictor.output import csv_text, json_lines, plain_lines

    objects = json_lines(pairs, with_place=request.file is not None)
    if request.out is not None:
        write_text(request.out, csv_text(pairs, class_names) if request.out.suffix == ".csv" else "".join(objects))
        _say(f"{len(pairs)} predictions written to {request.out}")
        return
    for line in objects if request.json_lines else plain_lines(pairs):
        sys.stdout.write(line)
    sys.stdout.flush()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    launch(app, "mer.predict")


if __name__ == "__main__":
    main()
