"""The clips of a corpus: which are there, how long they are, and which cannot be used."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mer.data.media.faults import MediaAbsent, MediaFault
from mer.data.media.notices import SEPARATOR, Notice, length_notices, notices_in
from mer.data.media.paths import ClipFinder, Modality
from mer.data.prepare.manifest import PreparedUtterance, read_manifest
from mer.data.types import Corpus, Utterance
from mer.errors import MerError
from mer.progress import Step

MODALITIES: tuple[Modality, ...] = ("audio", "video")
_IMPLIED = ("meld", "emorynlp")  # their files name no clips: a folder of clips may lie beside them
LONG_S = 20.0  # by default features are made of the first 20 s (encoders.*.max_seconds)
_APART_S, _APART_SHARE = 1.0, 0.5  # a clip is cut on frames and key frames, so small differences are no mistake
_LONGEST_S = 3600.0  # a deep check decodes no more, and no header is believed beyond it

State = Literal["good", "absent", "unreadable"]


@dataclass(frozen=True, slots=True)
class CheckedClip:
    """One file.

    Args:
        duration_s: None if unknown.
        words: what is wrong with it, or was mended; else "".
        said_s: length that the data name, end minus start; None if they name none.
    """

    id: str
    modality: str
    state: State
    duration_s: float | None = None
    words: str = ""
    said_s: float | None = None

    @property
    def notices(self) -> tuple[Notice, ...]:
        return notices_in(self.words)

    @property
    def says_nothing(self) -> bool:
        """It can be decoded, and there is nothing to hear in it."""
        return self.state == "good" and bool(self.notices)

    @property
    def usable(self) -> bool:
        return self.state == "good" and not self.notices

    @property
    def other_length(self) -> bool:
        """It is much longer or shorter than the data say: by a second and by half of what they say."""
        if self.duration_s is None or self.said_s is None:
            return False
        return abs(self.duration_s - self.said_s) > max(_APART_S, _APART_SHARE * self.said_s)


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
    def other_length(self) -> int:
        return sum(clip.other_length for clip in self.clips)

    @property
    def says_nothing(self) -> int:
        return sum(clip.says_nothing for clip in self.clips)

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
    """Summarise the clips per split and modality.

    A modality without any file is left out where the reader names clips that may be there, as MELD's layout does. One
    whose files the data name themselves stays.

    Args:
        deep: decode every clip. Otherwise headers are read, or the manifest of `prepare` is believed if the file has
            the size that it names.
        workers: threads.
        progress: called with (clips done, clips in all).
    A bad clip never raises.
    """
    entries = _known(corpus.root)
    probe = functools.partial(_probe, ClipFinder(corpus.root, corpus.links), deep)
    jobs = [
        (utterance, modality, entries.get(utterance.id))
        for modality in MODALITIES
        for split in corpus.splits
        for utterance in corpus.utterances(split)
        if any(utterance.clip_names(modality))
    ]
    clips: list[CheckedClip] = []
    with ThreadPoolExecutor(workers, thread_name_prefix="check") as pool:
        try:
            for done, clip in enumerate(pool.map(lambda job: probe(*job), jobs), start=1):
                clips.append(clip)
                progress(done, len(jobs))
        finally:
            pool.shutdown(cancel_futures=True)  # after Ctrl-C: finish the clips at work, start no others
    there = {
        clip.modality for clip in clips if clip.state != "absent" or (corpus.dataset or corpus.name) not in _IMPLIED
    }
    of: dict[tuple[str, str], list[CheckedClip]] = {(split, kind): [] for kind in MODALITIES for split in corpus.splits}
    for (utterance, modality, _), clip in zip(jobs, clips, strict=True):
        of[utterance.split, modality].append(clip)
    return [MediaSummary(*key, tuple(found)) for key, found in of.items() if found and key[1] in there]


def _known(root: Path) -> dict[str, PreparedUtterance]:
    try:
        manifest = read_manifest(root)
    except MerError:  # another program's manifest.json: nothing is known from it, and the check goes on
        return {}
    return {} if manifest is None else manifest.entries


def _probe(
    finder: ClipFinder, deep: bool, utterance: Utterance, modality: Modality, entry: PreparedUtterance | None
) -> CheckedClip:
    said_s = None
    if utterance.start_s is not None and utterance.end_s is not None:
        said_s = utterance.end_s - utterance.start_s
    clip = functools.partial(CheckedClip, utterance.id, modality, said_s=said_s)
    try:
        found = finder.find(modality, *utterance.clip_names(modality))
        duration_s, words = _decoded(found.path, modality) if deep else _header(found.path, modality, entry)
    except MediaAbsent as fault:
        known = getattr(entry, f"{modality}_fault", "")
        return clip("absent", duration_s=None, words=known or str(fault))
    except (MediaFault, OSError) as fault:
        return clip("unreadable", duration_s=None, words=str(fault))
    return clip("good", duration_s=duration_s, words=SEPARATOR.join(filter(None, (*found.notes, words))))


def _header(path: Path, modality: str, entry: PreparedUtterance | None) -> tuple[float | None, str]:
    """Get seconds and words from the manifest or the header. Raises: MediaFault, OSError."""
    from mer.data.media.audio import audio_length
    from mer.data.media.demux import SAMPLE_RATE_HZ, video_duration_s

    made = getattr(entry, modality, None)
    if entry is not None and made is not None and path.stat().st_size == made.bytes:
        if modality == "audio":
            assert entry.audio is not None
            return _heard(entry.audio.samples / SAMPLE_RATE_HZ, entry.audio.notes)
        if entry.video_fault:
            raise MediaFault(entry.video_fault)
        assert entry.video is not None
        return entry.video.duration_s, ""
    if modality == "video":
        duration_s = video_duration_s(path)
        return (duration_s, "") if duration_s > 0 else _decoded(path, modality)
    samples = audio_length(path, max_seconds=_LONGEST_S)
    if samples < round(_LONGEST_S * SAMPLE_RATE_HZ):
        return _heard(samples / SAMPLE_RATE_HZ)
    return _decoded(path, modality)  # no length in the header: a raw stream, or a text file with the name of a sound


def _heard(seconds: float, notes: Sequence[str] = ()) -> tuple[float, str]:
    """Add what the length of a sound tells to the notes that `prepare` made."""
    told = [notice for notice in length_notices(seconds) if notice not in notices_in(notes)]
    return seconds, SEPARATOR.join([*notes, *told])


def _decoded(path: Path, modality: str) -> tuple[float | None, str]:
    """Get seconds and what had to be mended, by decoding. Raises: MediaFault."""
    from mer.data.media.audio import read_audio
    from mer.data.media.video import read_frames

    if modality == "audio":
        audio = read_audio(path, max_seconds=_LONGEST_S)
        return audio.duration_s, SEPARATOR.join(audio.notes)
    frames = read_frames(path, 16, max_seconds=_LONGEST_S, size=(64, 48))
    return frames.duration_s, SEPARATOR.join(frames.notes)
