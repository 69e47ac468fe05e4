"""Transcribe a data folder whose text is missing: the same folder comes out with transcripts for text.

The result is an ordinary data folder, so nothing else in the system knows about speech recognition. The recogniser's
model (`asr`) is loaded when the first clip is not in the cache.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from mer.data.media import ClipFinder
from mer.data.readers.csv_dataset import SPLITS, Dataset
from mer.data.registry import find_dataset, load_corpus
from mer.data.tables import read_rows
from mer.data.transcribe.listener import Listener
from mer.data.transcribe.out_folder import MARKER, link_media, media_entries, require_ours
from mer.data.transcribe.recogniser import Recogniser, SpeechModel, versions
from mer.data.transcribe.tally import SplitTally
from mer.data.transcribe.transcript_cache import MADE_BY, TranscriptCache
from mer.data.types import Corpus
from mer.errors import MerError
from mer.files import sha256_file, write_json, write_text
from mer.progress import Step
from mer.read_files import open_regular

TEXT_COLUMN = "Utterance"


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
    """Write into `out` the files of `root` with transcripts for text, and links to its clips.

    Sound comes from an utterance's audio file, or else from the sound track of its video. Where neither can be used the
    text is empty and a warning is logged. Splits that an earlier run with the same arguments wrote into `out` stay.

    Args:
        root: data folder to read.
        out: folder to write, new, empty or written by an earlier run.
        cache: folder of the transcript cache, from which an interrupted run goes on.
        only_missing: keep text that is there, transcribe empty cells only.
        model: a loaded model; None loads the recogniser's when the first clip is not in the cache.
        progress: called with (utterances done, utterances in all).
    Returns: split -> what became of its utterances.
    Raises: MerError for a wrong folder, a model that cannot be loaded, and a model that fails on a clip.
    """
    asr = (recogniser or Recogniser()).resolved()
    reader, corpus = _csv_dataset(dataset), load_corpus(dataset, root, splits)
    media = media_entries(corpus)
    marker = require_ours(out, corpus.root)
    identity = asr.identity()
    listener = Listener(ClipFinder(corpus.root, corpus.links), asr, TranscriptCache(cache, identity), model)
    done, total = itertools.count(1), sum(len(corpus.utterances(split)) for split in corpus.splits)

    def step() -> None:
        if progress is not None:
            progress(next(done), total)

    # Everything is transcribed before anything is written: a run that fails leaves an earlier result whole.
    heard = {split: _hear_split(reader, corpus, split, listener, only_missing, step) for split in corpus.splits}
    origin = {"root": str(corpus.root.resolve()), "dataset": dataset, "only_missing": only_missing, **identity}
    stay = marker.get("splits") if all(marker.get(key) == value for key, value in origin.items()) else None
    results = stay if isinstance(stay, dict) else {}
    for split, (tally, _) in heard.items():
        source = sha256_file(reader.path(corpus.root, split))
        results[split] = asdict(tally) | {"source_sha256": source, "word_error_rate": tally.word_error_rate}
    # The marker is written first, so that a folder left half written may be written again.
    write_json(out / MARKER, {"made_by": MADE_BY, **origin, "versions": versions(), "splits": results})
    for split in set(SPLITS) - results.keys():  # written with another model, or from other data
        reader.path(out, split).unlink(missing_ok=True)
    link_media(out, corpus.root, media)
    for split, (_, text) in heard.items():
        write_text(reader.path(out, split), text)
    return {split: tally for split, (tally, _) in heard.items()}


def _hear_split(
    reader: Dataset, corpus: Corpus, split: str, listener: Listener, only_missing: bool, step: Callable[[], None]
) -> tuple[SplitTally, str]:
    """Return the counts of a split, and the text of its file with the transcripts in it."""
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
    """Read the column names of a CSV file."""
    with open_regular(path) as content, io.TextIOWrapper(content, encoding="utf-8-sig", newline="") as stream:
        return [name.strip() for name in next(csv.reader(stream))]


def _csv_dataset(name: str) -> Dataset:
    """Return the reader of a dataset whose CSV files have a text column. Raises: MerError for any other."""
    reader = find_dataset(name)
    if isinstance(reader, Dataset) and TEXT_COLUMN in reader.columns:
        return reader
    raise MerError("--dataset", f"{name} has no CSV files with a column {TEXT_COLUMN} to fill", allowed="meld")
