"""Which clips of a corpus are there, how long they are, and which of them cannot be used."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mer.data.media.faults import MediaAbsent, MediaFault
from mer.data.media.paths import clip_path
from mer.data.prepare.manifest import PreparedUtterance, read_manifest
from mer.data.types import Corpus, Utterance
from mer.errors import MerError
from mer.progress import Step

MODALITIES = ("audio", "video")
LONG_S = 20.0  # features are made of the first 20 s
_LONGEST_S = 3600.0  # what a deep check decodes at most, and the most that a header is believed

State = Literal["good", "absent", "unreadable"]


@dataclass(frozen=True, slots=True)
class CheckedClip:
    """One file. `duration_s` is None where it is not known; `words`: what is wrong with it or was mended, or ""."""

    id: str
    modality: str
    state: State
    duration_s: float | None = None
    words: str = ""


@dataclass(frozen=True, slots=True)
class MediaSummary:
    """The clips of one modality of a split, in the order of the corpus."""

    split: str
    modality: str
    clips: tuple[CheckedClip, ...]

    def count(self, state: State) -> int:
        return sum(clip.state == state for clip in self.clips)

    @property
    def over_long(self) -> int:
        return sum(duration > LONG_S for duration in self._durations)

    @property
    def mean_s(self) -> float | None:
        return sum(self._durations) / len(self._durations) if self._durations else None

    @property
    def max_s(self) -> float | None:
        return max(self._durations, default=None)

    @property
    def _durations(self) -> list[float]:
        return [clip.duration_s for clip in self.clips if clip.duration_s is not None]


def check_media(corpus: Corpus, *, deep: bool, workers: int, progress: Step) -> list[MediaSummary]:
    """One summary per split and modality; a modality of which the whole corpus has no file is left out.

    Args:
        deep: decode every clip. Otherwise headers are read, and the manifest of `prepare` is believed about a file
            that has the size it says.
    Never raises for a clip.
    """
    entries = _known(corpus.root)
    probe = functools.partial(_probe, corpus.root, deep)
    jobs = [
        (utterance, modality, entries.get(utterance.id))
        for modality in MODALITIES
        for split in corpus.splits
        for utterance in corpus.utterances(split)
        if getattr(utterance, modality) is not None
    ]
    clips: list[CheckedClip] = []
    with ThreadPoolExecutor(workers, thread_name_prefix="check") as pool:
        for done, clip in enumerate(pool.map(lambda job: probe(*job), jobs), start=1):
            clips.append(clip)
            progress(done, len(jobs))
    there = {clip.modality for clip in clips if clip.state != "absent"}
    of: dict[tuple[str, str], list[CheckedClip]] = {(split, kind): [] for kind in MODALITIES for split in corpus.splits}
    for (utterance, modality, _), clip in zip(jobs, clips, strict=True):
        of[utterance.split, modality].append(clip)
    return [MediaSummary(*key, tuple(found)) for key, found in of.items() if found and key[1] in there]


def worst(summaries: Sequence[MediaSummary]) -> list[CheckedClip]:
    """The clips with something to say, most serious first: unreadable, absent, mended, then the longest."""
    clips = [clip for summary in summaries for clip in summary.clips]
    bad = [clip for state in ("unreadable", "absent") for clip in clips if clip.state == state]
    mended = [clip for clip in clips if clip.state == "good" and clip.words]
    long = [
        c for c in clips if c.state == "good" and not c.words and c.duration_s is not None and c.duration_s > LONG_S
    ]
    return bad + mended + sorted(long, key=lambda clip: clip.duration_s or 0.0, reverse=True)


def _known(root: Path) -> dict[str, PreparedUtterance]:
    try:
        manifest = read_manifest(root)
    except MerError:  # some other program's file: nothing is known, and check is not where that matters
        return {}
    return {} if manifest is None else manifest.entries


def _probe(root: Path, deep: bool, utterance: Utterance, modality: str, entry: PreparedUtterance | None) -> CheckedClip:
    clip = functools.partial(CheckedClip, utterance.id, modality)
    try:
        path = clip_path(root, getattr(utterance, modality))
        duration_s, words = _decoded(path, modality) if deep else _header(path, modality, entry)
    except MediaAbsent as fault:
        known = getattr(entry, f"{modality}_fault", "")
        return clip("absent", None, known or str(fault))
    except (MediaFault, OSError) as fault:
        return clip("unreadable", None, str(fault))
    return clip("good", duration_s, words)


def _header(path: Path, modality: str, entry: PreparedUtterance | None) -> tuple[float | None, str]:
    """Seconds and words from the manifest or the header. Raises: MediaFault, OSError."""
    from mer.data.media.audio import audio_length
    from mer.data.media.demux import SAMPLE_RATE_HZ, video_duration_s

    made = getattr(entry, modality, None)
    if entry is not None and made is not None and path.stat().st_size == made.bytes:
        if modality == "audio":
            assert entry.audio is not None
            return entry.audio.samples / SAMPLE_RATE_HZ, "; ".join(entry.audio.notes)
        if entry.video_fault:
            raise MediaFault(entry.video_fault)
        assert entry.video is not None
        return entry.video.duration_s, ""
    if modality == "video":
        duration_s = video_duration_s(path)
        return (duration_s, "") if duration_s > 0 else _decoded(path, modality)
    samples = audio_length(path, max_seconds=_LONGEST_S)
    if samples < round(_LONGEST_S * SAMPLE_RATE_HZ):
        return samples / SAMPLE_RATE_HZ, ""
    return _decoded(path, modality)  # no length in the header: a raw stream, or text that is named like sound


def _decoded(path: Path, modality: str) -> tuple[float | None, str]:
    """Seconds and what had to be mended. Raises: MediaFault."""
    from mer.data.media.audio import read_audio
    from mer.data.media.video import read_frames

    if modality == "audio":
        audio = read_audio(path, max_seconds=_LONGEST_S)
        return audio.duration_s, "; ".join(audio.notes)
    frames = read_frames(path, 16, max_seconds=_LONGEST_S, size=(64, 48))
    return frames.duration_s, "; ".join(frames.notes)
