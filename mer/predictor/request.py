"""What `python -m mer.predict` was asked for: its options, and the utterances and clips that they name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from mer.data.inputs import Inputs, absent_texts, decode, from_table, from_texts
from mer.data.media import ClipFinder, MediaFault
from mer.data.media.paths import Modality
from mer.data.settings import data_config
from mer.data.tables.table import LARGEST_BYTES
from mer.data.text import normalise
from mer.errors import MerError

if TYPE_CHECKING:  # torch takes a second: --help does not wait for it
    from mer.checkpoints.ensemble_folder import Ensemble
    from mer.checkpoints.export_folder import Export


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
    settings: tuple[str, ...] = ()
    features: tuple[str, ...] = ()


def refuse_others(request: Request, export: Export | Ensemble, reads: tuple[str, ...]) -> None:
    """Refuse options for what the model does not read. Raises: MerError.

    Args: reads: the modalities that it reads from texts and clips themselves.
    """
    given = {"text": bool(request.texts), **{name: bool(clips) for name, clips in request.clips.items()}}
    allowed = [f"--{modality}" for modality in reads] + (["--features"] if set(reads) != set(export.reads) else [])
    for name, is_given in given.items():
        if is_given and name not in reads:
            raise MerError(
                f"--{name}",
                f"{export.folder} reads features of it that others extracted"
                if name in export.reads
                else f"{export.folder} does not read it: this model has {', '.join(export.reads)} only",
                allowed=f"{', '.join(allowed)}, --file",
            )
    if request.features and any(given.values()):
        word = next(name for name, is_given in given.items() if is_given)
        raise MerError("--features", f"excludes --{word}", then="list the utterances in a table: --file F.csv")


def refuse_names_alone(export: Export | Ensemble, reads: tuple[str, ...]) -> None:
    """Refuse features without a table of their utterances, for a model that reads more. Raises: MerError."""
    if reads:
        raise MerError(
            "--features",
            f"{export.folder} reads {' and '.join(reads)} of an utterance too, and features name it alone",
            allowed="a table of the utterances beside them",
            then="--file F.csv with a column id (the names of the features), and what else the model reads",
        )


def clips_of(inputs: Inputs, modality: str, request: Request, reads: tuple[str, ...]) -> list[Path | MediaFault]:
    """Return the path of each utterance's clip; paths in a file are relative to it and stay below its folder.

    Raises: MerError when a file has not a single clip beside it: nothing could be told from what was given.
    """
    if request.file is None:
        given: list[Path | MediaFault] = list(request.clips.get(modality, ()))
        return given or [MediaFault(f"no --{modality} was given")] * len(inputs.utterances)
    finder = ClipFinder(request.file.parent, inputs.links)
    kind: Modality = "video" if modality == "video" else "audio"
    clips: list[Path | MediaFault] = []
    for utterance in inputs.utterances:
        names = utterance.clip_names(modality)
        try:
            clips.append(finder.find(kind, *names).path if any(names) else MediaFault(f"the file names no {modality}"))
        except MediaFault as fault:
            clips.append(fault)
    if all(isinstance(clip, MediaFault) for clip in clips) and reads == (modality,):
        raise MerError(
            request.file,
            f"not one clip of its {len(clips)} utterances is there ({clips[0]})",
            allowed=f"paths from the folder of the file; beside a file named as MELD's: {modality}s/dev/dia0_utt0 ...",
            then=f"name the column: --set data.columns.{modality}=COLUMN; or the clips one by one: --{modality} FILE",
        )
    return clips


def read_inputs(request: Request, export: Export | Ensemble, stdin: TextIO) -> Inputs:
    """Read the utterances that were asked for; with features of others those of a file.

    Raises: MerError for what a user can mend.
    """
    reads = export.reads
    if request.features and request.file is not None:
        return _read_file(request.file, request, export)
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
        content = stdin.buffer.read(LARGEST_BYTES + 1)
        if len(content) > LARGEST_BYTES:
            raise MerError("standard input", f"has more than {LARGEST_BYTES} bytes", then="give it in parts")
        lines = decode(content, "standard input").split("\n")
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


def _read_several(request: Request, export: Export | Ensemble, reads: tuple[str, ...]) -> Inputs:
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


def _read_file(path: Path, request: Request, export: Export | Ensemble) -> Inputs:
    if not path.is_file():
        raise MerError(path, "no such file" if not path.exists() else "not a file", allowed="F.csv, F.tsv or F.jsonl")
    from mer.predictor.given_places import read_live

    said, data = data_config(path, "csv", request.settings), export.data
    changed = {"encoding": said.encoding or data.encoding, "merge_labels": said.merge_labels or data.merge_labels}
    return from_table(
        path,
        data.model_copy(update=changed),
        class_names=export.class_names,
        reads=read_live(export),
        speaker=request.speaker,
        named=said.columns,
    )
