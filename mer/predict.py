"""`python -m mer.predict EXPORT`: labels and probabilities for texts, files, or standard input."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from mer.cli_app import Debug, launch
from mer.errors import MerError
from mer.files import write_text
from mer.predictor.request import Request, clips_of, read_inputs, refuse_names_alone, refuse_others

if TYPE_CHECKING:  # torch takes a second: --help does not wait for it
    from mer.checkpoints.ensemble_folder import Ensemble
    from mer.checkpoints.export_folder import Export
    from mer.data.types import Utterance
    from mer.predictor.output import Pairs
    from mer.predictor.prediction import Prediction

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_FEW = 50  # texts that need no progress bar
EPILOG = (
    "Predictions go to standard output (or --out), everything else to standard error. "
    "Piped input is one utterance a line. An utterance that could not be read, is silent, empty or unknown to the "
    "backbone gets an average answer and says so (fault). Exit code 0: predicted, marked utterances included; "
    "2: bad input, or not one utterance could be read, said in one message."
)


@app.command(epilog=EPILOG)
def predict(
    export: Annotated[Path, typer.Argument(help="folder written by python -m mer.export, or ORG/NAME of the hub")],
    text: Annotated[list[str] | None, typer.Option(help="an utterance; may be repeated")] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="F.csv, F.tsv or F.jsonl of texts, paths of clips or both; utterances see their dialogue"),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="data.KEY=VALUE", help="how --file is read, e.g. data.columns.text=said"),
    ] = None,
    json_lines: Annotated[bool, typer.Option("--json", help="one JSON object per utterance")] = False,
    out: Annotated[Path | None, typer.Option(help="write to F.csv or F.jsonl instead")] = None,
    speaker: Annotated[str, typer.Option(help="who speaks where the input does not say")] = "Speaker",
    backbone: Annotated[Path | None, typer.Option(help="folder of the backbone, if it has moved")] = None,
    batch: Annotated[int, typer.Option(min=1, help="most tokens the backbone reads at once")] = 2048,
    audio: Annotated[list[Path] | None, typer.Option(help="a sound, for models that hear; may be repeated")] = None,
    video: Annotated[list[Path] | None, typer.Option(help="a video, for models that see; may be repeated")] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PLACE",
            help="folder or table of new features, for models of features that others extracted; "
            "of one modality: audio=PLACE; with --file its rows, else all that lies there",
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Classify utterances with an exported model."""
    clips = {"audio": tuple(audio or ()), "video": tuple(video or ())}
    asked = Request(
        export, tuple(text or ()), file, json_lines, out, speaker, backbone, batch, clips, tuple(settings or ()),
        tuple(features or ()),
    )  # fmt: skip
    run(asked, sys.stdin)


def run(request: Request, stdin: TextIO) -> None:
    """Predict what was asked for. Raises: MerError for everything a user can mend."""
    from mer.checkpoints.ensemble_folder import read_any
    from mer.checkpoints.hub_export import export_folder
    from mer.data.inputs import from_names
    from mer.predictor.given_places import read_live, refuse_given, typed_places
    from mer.predictor.opening import open_any

    export = read_any(export_folder(request.export))
    places = typed_places(request.features, export)
    refuse_given(export, places)
    reads = read_live(export)
    refuse_others(request, export, reads)
    if request.out is not None and request.out.suffix not in (".csv", ".jsonl"):
        raise MerError(request.out, f"unknown format {request.out.suffix!r}", allowed="--out F.csv or F.jsonl")
    is_listed = bool(places) and request.file is None
    if is_listed:
        refuse_names_alone(export, reads)
    read = None if is_listed else read_inputs(request, export, stdin)
    for line in read.notes if read else ():
        _say(line)
    predictor = open_any(export, backbone=request.backbone, features=places)
    inputs = read or from_names(predictor.listed, speaker=request.speaker)
    progress = None if request.file is not None or len(inputs.rows) > _FEW else False
    if reads == ("text",) and not places:
        by_dialogue = predictor.predict_dialogues(
            inputs.dialogues, batch_tokens=request.batch_tokens, progress=progress
        )
    elif len(reads) == 1 and not export.reads_dialogues and not places:
        by_dialogue = predictor.predict_clips(
            clips_of(inputs, reads[0], request, reads), masked=True, progress=progress
        )
    else:
        of = {modality: clips_of(inputs, modality, request, reads) for modality in reads if modality != "text"}
        by_dialogue = predictor.predict_utterances(
            inputs.dialogues, of, batch_tokens=request.batch_tokens, progress=progress
        )
    in_file_order = sorted(zip(inputs.rows, inputs.utterances, by_dialogue, strict=True), key=lambda item: item[0])
    pairs = [(utterance, prediction) for _, utterance, prediction in in_file_order]
    _refuse_nothing(pairs, request, reads)
    for line in [*_notes(pairs, request, export), *(f"note: {line}" for line in predictor.notes)]:
        _say(line)
    _write(pairs, request, export.class_names)
    scored = [pair for pair in zip(inputs.labels, by_dialogue, strict=True) if pair[0]] if inputs.labels else []
    if scored:
        _say(score_line([label for label, _ in scored], [one for _, one in scored], export.class_names))
    if export.kind != "class" and (line := target_score_line(inputs.utterances, by_dialogue, export)):
        _say(line)


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


def target_score_line(
    utterances: Sequence[Utterance], predictions: Sequence[Prediction], export: Export | Ensemble
) -> str:
    """Scores of numbers or of several labels; "" where no utterance says any."""
    import numpy as np

    from mer.config.metrics import USUAL
    from mer.study.show.words import show
    from mer.training import scores_of

    names = export.class_names
    truth = np.array([utterance.targets or (np.nan,) * len(names) for utterance in utterances], dtype=np.float64)
    if np.isnan(truth).all():
        return ""
    if export.kind == "regression":
        outputs = np.array([[one.numbers[name] for name in names] for one in predictions])
    else:  # as they are given, at the thresholds of the export
        outputs = np.array([[1.0 if name in one.labels else -1.0 for name in names] for one in predictions])
    scores = scores_of(export.data, outputs, truth, names)
    metrics = scores.as_metrics("dev")
    wanted = [f"dev_{name}" for name in USUAL[export.kind] if name != "loss"]
    parts = [f"{name.removeprefix('dev_')} {show(name, metrics[name])}" for name in wanted if name in metrics]
    return f"{len(scores.scored_N)} labelled utterances: {', '.join(parts)}"


def _refuse_nothing(pairs: Pairs, request: Request, reads: tuple[str, ...]) -> None:
    """Raise MerError when nothing at all could be read, rather than print a page of average answers."""
    if not all(prediction.masked for _, prediction in pairs):
        return
    utterance, first = pairs[0]
    if request.file is None and len(pairs) == 1:
        raise MerError(utterance.text or "input", first.fault, allowed=f"a file that holds {' or '.join(reads)}")
    where = request.file or "input"
    raise MerError(where, f"not one of its {len(pairs)} utterances could be read, the first: {first.fault}")


def _notes(pairs: Pairs, request: Request, export: Export | Ensemble) -> list[str]:
    """Say what the reader of the predictions should know."""
    from mer.predictor.output import notes

    lines = notes(pairs, export.max_tokens)
    named = {utterance.speaker for utterance, _ in pairs} - {request.speaker}
    if request.features and request.file is None and export.reads_context:
        lines.append("note: this model reads dialogues, and each utterance was one: --file F.csv says which belong")
    if export.reads_names and not named:
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
    launch(app, "mer.predict", "nothing is half-written: type the same command again")


if __name__ == "__main__":
    main()
