"""Text from sound, for datasets whose text is missing: a data folder in, the same folder with transcripts out.

What comes out is an ordinary data folder: nothing else in the system knows about speech recognition. The recogniser's
model (`asr`) is loaded when the first clip is not in the cache.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mer.data.media import MediaFault, clip_path
from mer.data.readers.csv_dataset import SPLITS, Dataset
from mer.data.readers.csv_rows import read_rows
from mer.data.registry import find_dataset, load_corpus
from mer.data.transcribe.recogniser import Recogniser, SpeechModel, brief, transcript, versions
from mer.data.transcribe.word_errors import word_errors, words
from mer.data.types import Corpus, Utterance
from mer.errors import MerError
from mer.files import sha256_file, sha256_json, write_json, write_text
from mer.progress import Step

MARKER = "transcripts.json"  # says that the folder is ours to write again, and how the text came about
TEXT_COLUMN = "Utterance"
_MADE_BY = "mer.data.transcribe"

log = logging.getLogger(__name__)


class TranscriptCache:
    """Transcripts by the SHA-256 of the clip's bytes: one file of JSON lines for each model and its options.

    A line is written as soon as its clip is heard. A line that a killed run left half written is skipped when read.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        name = re.sub(r"[^\w.-]+", "-", str(identity["model"])).strip("-.")[-60:]
        self.path = folder / f"{name}-{sha256_json(identity)[:16]}.jsonl"
        self._identity = dict(identity)
        self._texts = dict(_cached_lines(self.path))
        self._ready = False

    def get(self, sha256: str) -> str | None:
        return self._texts.get(sha256)

    def add(self, sha256: str, text: str) -> None:
        self._texts[sha256] = text
        if not self._ready:
            self._begin()
        self._append({"sha256": sha256, "text": text})

    def _begin(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            self._append({"made_by": _MADE_BY, **self._identity, "versions": versions()})
        elif not self.path.read_bytes().endswith(b"\n"):
            with self.path.open("ab") as stream:  # ends a half-written line, so that ours is not glued to it
                stream.write(b"\n")
        self._ready = True

    def _append(self, line: Mapping[str, Any]) -> None:
        with self.path.open("ab") as stream:
            stream.write(json.dumps(line, ensure_ascii=True).encode() + b"\n")


@dataclass(slots=True)
class SplitTally:
    """What became of a split: utterances = kept + from_cache + transcribed + unreadable.

    Attributes:
        kept: had text, which --only-missing leaves alone.
        empty: of those heard now or earlier, how many hold no words.
        errors, gold_words: of utterances that were heard and have gold text; `errors / gold_words` is the word error
            rate. Unreadable clips are left out: they say nothing about the recogniser.
    """

    utterances: int = 0
    kept: int = 0
    from_cache: int = 0
    transcribed: int = 0
    empty: int = 0
    unreadable: int = 0
    errors: int = 0
    gold_words: int = 0

    @property
    def word_error_rate(self) -> float | None:
        """May exceed 1; None where there is no gold text."""
        return self.errors / self.gold_words if self.gold_words else None

    def __str__(self) -> str:
        kept = f"{self.kept} kept, " if self.kept else ""
        rate = self.word_error_rate
        return (
            f"{self.utterances} utterances: {kept}{self.from_cache} from the cache, {self.transcribed} transcribed, "
            f"{self.unreadable} unreadable; {self.empty} of those heard are empty; word error rate "
            + ("unknown, no gold text" if rate is None else f"{rate:.2%} of {self.gold_words} words")
        )

    def score(self, gold: str, heard: str) -> None:
        if gold_words := words(gold):
            self.errors += word_errors(gold_words, words(heard))
            self.gold_words += len(gold_words)


def transcribe_corpus(
    root: Path,
    out: Path,
    *,
    dataset: str = "meld",
    splits: Sequence[str] = ("train", "dev"),
    recogniser: Recogniser | None = None,
    cache: Path = Path("transcripts"),
    only_missing: bool = False,
    model: SpeechModel | None = None,
    progress: Step | None = None,
) -> dict[str, SplitTally]:
    """Write `out`: the files of `root` with transcripts for text, and links to its clips.

    A clip is heard from its audio file, or else from the sound track of its video; where neither can be used the text
    is empty and a warning is logged. Splits that an earlier run with the same arguments wrote into `out` stay.

    Args:
        cache: folder of the transcript cache; a run that was interrupted goes on from it.
        only_missing: keep text that is there, transcribe empty cells only.
        model: a loaded model; None loads the recogniser's when the first clip is not in the cache.
        progress: called with (utterances done, utterances in all).
    Raises: MerError for a folder that is not right, a model that cannot be had, a model that fails on a clip.
    """
    asr = (recogniser or Recogniser()).resolved()
    reader, corpus = _csv_dataset(dataset), load_corpus(dataset, root, splits)
    media = _media_entries(corpus)
    marker = _require_ours(out, corpus.root)
    identity = asr.identity()
    listener = _Listener(corpus.root, asr, TranscriptCache(cache, identity), model)
    done, total = itertools.count(1), sum(len(corpus.utterances(split)) for split in corpus.splits)

    def step() -> None:
        if progress is not None:
            progress(next(done), total)

    # All is heard before anything is written: a run that fails leaves an earlier result whole, and its work cached.
    heard = {split: _hear_split(reader, corpus, split, listener, only_missing, step) for split in corpus.splits}
    origin = {"root": str(corpus.root.resolve()), "dataset": dataset, "only_missing": only_missing, **identity}
    stay = marker.get("splits") if all(marker.get(key) == value for key, value in origin.items()) else None
    results = stay if isinstance(stay, dict) else {}
    for split, (tally, _) in heard.items():
        source = sha256_file(reader.path(corpus.root, split))
        results[split] = asdict(tally) | {"source_sha256": source, "word_error_rate": tally.word_error_rate}
    # The marker comes first: a folder that was left half written can then be written again.
    write_json(out / MARKER, {"made_by": _MADE_BY, **origin, "versions": versions(), "splits": results})
    for split in set(SPLITS) - results.keys():  # of another model, or of other data
        reader.path(out, split).unlink(missing_ok=True)
    _link_media(out, corpus.root, media)
    for split, (_, text) in heard.items():
        write_text(reader.path(out, split), text)
    return {split: tally for split, (tally, _) in heard.items()}


@dataclass(slots=True)
class _Listener:
    """From an utterance to its text, through the cache."""

    root: Path
    asr: Recogniser
    cache: TranscriptCache
    model: SpeechModel | None

    def hear(self, utterance: Utterance, tally: SplitTally) -> str | None:
        """The text; None if no clip can be used."""
        from mer.data.media.audio import read_audio

        faults = []
        for relative in filter(None, (utterance.audio, utterance.video)):
            try:
                path = clip_path(self.root, relative)
                sha256 = _sha256(path)
                if (known := self.cache.get(sha256)) is not None:
                    tally.from_cache += 1
                    return known
                samples = read_audio(path, max_seconds=self.asr.max_seconds).samples
            except MediaFault as fault:
                faults.append(f"{relative}: {fault}")
                continue
            text = self._transcribe(samples, path)
            self.cache.add(sha256, text)
            tally.transcribed += 1
            return text
        log.warning("%s: no sound, so no text: %s", utterance.id, "; ".join(faults) or "the data name no clip")
        return None

    def _transcribe(self, samples: np.ndarray, path: Path) -> str:
        self.model = self.model or self.asr.load()
        try:
            return transcript(self.model, samples, self.asr.decoding())
        except Exception as fault:  # an unknown language, a missing CUDA library, no memory: all come this late
            raise MerError(
                path,
                f"the model {self.asr.model!r} failed on this clip: {brief(fault)}",
                then="run the same command again, it goes on after the last transcript (they are in "
                f"{self.cache.path}); if it is the device, with --device cpu",
            ) from fault


def _hear_split(
    reader: Dataset, corpus: Corpus, split: str, listener: _Listener, only_missing: bool, step: Callable[[], None]
) -> tuple[SplitTally, str]:
    """The split's file with the transcripts in it, as text."""
    source = reader.path(corpus.root, split)
    header = _header(source)
    rows = read_rows(source, reader.columns, reader.advice(corpus.root), optional=header)
    tally, text = SplitTally(utterances=len(rows)), io.StringIO(newline="")
    writer = csv.writer(text)  # \r\n and minimal quotes, as MELD's own files
    writer.writerow(header)
    for row in rows:
        gold = row.cells[TEXT_COLUMN]
        if only_missing and gold.strip():
            tally.kept += 1
        else:
            heard = listener.hear(reader.parse(row, split), tally)
            tally.unreadable += heard is None
            tally.empty += heard == ""
            if heard is not None:
                tally.score(gold, heard)
            row.cells[TEXT_COLUMN] = heard or ""
        writer.writerow([row.cells[column] for column in header])
        step()
    return tally, text.getvalue()


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return [name.strip() for name in next(csv.reader(stream))]


def _csv_dataset(name: str) -> Dataset:
    reader = find_dataset(name)
    if isinstance(reader, Dataset) and TEXT_COLUMN in reader.columns:
        return reader
    raise MerError("--dataset", f"{name} has no CSV files with a column {TEXT_COLUMN} to fill", allowed="meld")


def _media_entries(corpus: Corpus) -> list[str]:
    """Files and folders at the top of the root that hold the clips, such as audios and videos."""
    utterances = [utterance for split in corpus.splits for utterance in corpus.utterances(split)]
    named = {clip for utterance in utterances for clip in (utterance.audio, utterance.video) if clip}
    if not named:
        raise MerError(
            "--dataset",
            f"the files of {corpus.name} say of no utterance where its clip is: there is nothing to transcribe",
            allowed="meld",
        )
    tops = {PurePosixPath(clip.replace("\\", "/")).parts[0] for clip in named}
    there = sorted(top for top in tops - {"..", "/"} if (corpus.root / top).exists())
    if not there:
        raise MerError(
            corpus.root,
            "none of the clips are here: there is nothing to transcribe",
            allowed=f"a folder with {' or '.join(sorted(tops))} beside the CSV files",
        )
    return there


def _require_ours(out: Path, root: Path) -> dict[str, Any]:
    """What the marker of an earlier run says; {} for a new or an empty folder.

    Raises: MerError if `out` is the root, a file, or holds anything that we did not write.
    """
    choose = "choose a new or an empty folder: --out FOLDER"
    if out.resolve() == root.resolve():
        raise MerError(out, "--out is the data folder itself; its text is not overwritten", then=choose)
    if out.exists() and not out.is_dir():
        raise MerError(out, "this is a file", allowed="a folder", then=choose)
    there = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    try:
        marker = json.loads((out / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        marker = None
    if isinstance(marker, dict) and marker.get("made_by") == _MADE_BY:
        return marker
    if not there:
        return {}
    shown = ", ".join(there[:3]) + (f" and {len(there) - 3} more" if len(there) > 3 else "")
    raise MerError(
        out,
        f"the folder holds files that `mer.data transcribe` did not write: {shown}",
        allowed="nothing is overwritten",
        then=choose,
    )


def _link_media(out: Path, root: Path, names: Sequence[str]) -> None:
    """Relative links, so that both folders can be moved together; links of an earlier run go."""
    for path in out.iterdir():
        if path.is_symlink():
            path.unlink()
    for name in names:
        if (link := out / name).exists():
            raise MerError(link, "is in the way of a link to the clips", then="move it away, and run this again")
        link.symlink_to(os.path.relpath(root.resolve() / name, out.resolve()))


def _cached_lines(path: Path) -> Iterable[tuple[str, str]]:
    if not path.exists():
        return
    for line in path.read_bytes().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("sha256"), str) and isinstance(entry.get("text"), str):
            yield entry["sha256"], entry["text"]


def _sha256(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as fault:
        raise MediaFault(f"cannot be opened: {fault.strerror}") from fault
