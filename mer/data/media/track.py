"""The sound track of a container, by PyAV, as 16 kHz mono samples.

Which track: the one marked as default, else the first; one without any sound gives way to the next that has some, and a
commentary comes last. A file with several tracks has a note that says which one is read and why.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mer.data.media.channels import cancelled_words
from mer.data.media.demux import SAMPLE_RATE_HZ, open_container
from mer.data.media.faults import MediaFault
from mer.data.media.mixer import Mixer, open_mixer
from mer.data.media.notices import Notice, sound_notices

RATES_HZ = range(1000, 384_001)  # a header with another rate is damaged, and its sound might need far too much memory

# Codecs add up to about two of their blocks behind the last sample (298 samples for AAC at 44.1 kHz), and Matroska
# counts those before the first. A decoded length this close to the header's counts as equal to it.
CODEC_EDGE_S = 0.1


@dataclass(frozen=True, eq=False)
class Track:
    """The decoded sound track of a file.

    Args:
        samples: int16 (S,), mono, 16 kHz, S >= 1; all that could be decoded, cut to `max_seconds`.
        duration_s: length of the whole track in seconds, before the cut.
        notes: what had to be mended, in words.
    """

    samples: np.ndarray
    duration_s: float
    notes: tuple[str, ...] = ()


def sound_track(path: Path, *, max_seconds: float | None = None) -> Track:
    """Decode the sound track to 16 kHz mono, at most its first `max_seconds`.

    A healthy file gives exactly the samples that its header names (`promised_samples`): the codec's padding is cut off.
    A file that breaks off, or has damaged packets, gives its good part and a note.

    Raises: MediaAbsent; MediaFault "no sound track", "no samples", or why it cannot be decoded.
    """
    with open_container(path) as container:
        order = [(stream.index, bool(stream.disposition & _disposition("default"))) for stream in _order(container)]
    if len(order) == 1:
        return _read(path, order[0][0], max_seconds)
    numbers = {index: number for number, index in enumerate(sorted(index for index, _ in order), start=1)}
    heard: list[tuple[str, Track]] = []
    faults: list[MediaFault] = []
    for index, default in order:
        try:
            track = _read(path, index, max_seconds)
        except MediaFault as fault:
            faults.append(fault)
            continue
        silent = Notice.SILENT in sound_notices(track.samples, track.duration_s)
        why = "the default one" if default and (index, default) == order[0] else "the first with sound"
        why = "all are silent" if silent else why
        heard.append((f"{len(order)} sound tracks: number {numbers[index]} is read, {why}", track))
        if not silent:
            break
    if not heard:
        raise faults[0]
    note, track = heard[0] if Notice.SILENT in sound_notices(heard[-1][1].samples, 1.0) else heard[-1]
    return replace(track, notes=(note, *track.notes))


def promised_samples(path: Path) -> int | None:
    """Read the length of the sound track from the header, in samples at 16 kHz; None if it has none.

    Raises: MediaAbsent, MediaFault as `sound_track` does, as far as the header shows it.
    """
    with open_container(path) as container:
        stream = _order(container)[0]
        _require_decoder(stream)
        promised_s = _promised_s(container, stream)
    return None if promised_s is None else max(1, round(promised_s * SAMPLE_RATE_HZ))


def _order(container: Any) -> list[Any]:
    """Order the sound tracks, the one to read first. Raises: MediaFault if there is none."""
    if not container.streams.audio:
        raise MediaFault(Notice.NO_SOUND_TRACK)
    aside = _disposition("comment") | _disposition("visual_impaired") | _disposition("hearing_impaired")
    default = _disposition("default")
    return sorted(container.streams.audio, key=lambda s: (bool(s.disposition & aside), not s.disposition & default))


def _disposition(name: str) -> Any:
    from av.stream import Disposition

    return Disposition[name]


def _require_decoder(stream: Any) -> None:
    if stream.codec_context is None:
        raise MediaFault("no decoder for its sound track")
    if stream.rate and stream.rate not in RATES_HZ:
        raise MediaFault(f"a sample rate of {stream.rate} Hz")


def _read(path: Path, index: int, max_seconds: float | None, *, only: int | None = None) -> Track:
    """Decode the track of this number among all of the file's. Args: only: the channel to read; None mixes them."""
    wanted = None if max_seconds is None else round(max_seconds * SAMPLE_RATE_HZ)
    with open_container(path) as container:
        stream = container.streams[index]
        _require_decoder(stream)
        promised_s = _promised_s(container, stream)
        mixer = open_mixer(stream.codec_context.layout, only)
        samples, damage = _decode(container, stream, mixer, wanted)
    if not len(samples):
        raise MediaFault(f"cannot be decoded: {damage}" if damage else Notice.NO_SAMPLES)
    if only is None and mixer.levels.cancelled(mixer.as_float(samples)):
        track = _read(path, index, max_seconds, only=mixer.levels.loudest)
        return replace(track, notes=(*track.notes, cancelled_words(mixer.channels, mixer.levels.loudest)))
    samples = mixer.finished(samples)[:wanted]
    notes = [damage] if damage else []
    duration_s = len(samples) / SAMPLE_RATE_HZ
    if len(samples) == wanted and (promised_s is None or promised_s >= duration_s):  # the cut ended the decoding
        return Track(samples, promised_s or duration_s, tuple(notes))
    if promised_s is not None and abs(duration_s - promised_s) <= CODEC_EDGE_S:
        promised = max(1, round(promised_s * SAMPLE_RATE_HZ))
        samples = np.pad(samples[:promised], (0, max(0, promised - len(samples))))
        duration_s = promised_s
    elif promised_s is not None:
        early = "ends early" if duration_s < promised_s else "longer than its header says"
        notes.append(f"sound {early}: {duration_s:.1f} of {promised_s:.1f} s")
    return Track(samples[:wanted], duration_s, tuple(notes))  # padding may have made it longer than the cut


def _promised_s(container: Any, stream: Any) -> float | None:
    """Read the seconds of sound from the header: the track's (Matroska: a tag), else the container's; else None."""
    if stream.duration:
        return max(0.0, float(stream.duration * stream.time_base)) or None
    with contextlib.suppress(KeyError, ValueError):
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds) or None
    return max(0.0, float(container.duration or 0)) / 1_000_000 or None


def _decode(container: Any, stream: Any, mixer: Mixer, wanted: int | None) -> tuple[np.ndarray, str]:
    """Decode until `wanted` samples are there: the mix (S,), and what was wrong, in words ("" if nothing)."""
    import av

    blocks: list[np.ndarray] = []
    total, damaged, broken = 0, 0, ""

    def keep(frame: Any) -> int:
        new = mixer.mix(frame)
        blocks.extend(new)
        return sum(map(len, new))

    try:
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                damaged += 1
                continue
            total += sum(keep(frame) for frame in frames)
            if wanted is not None and total >= wanted:
                break
        else:
            total += keep(None)
    except (
        av.error.FFmpegError,
        OSError,
        ValueError,
    ) as fault:  # ValueError: the sound's format changes within the file
        broken = f"breaks off: {getattr(fault, 'strerror', None) or fault}"
    damage = broken or (f"damaged packets left out: {damaged}" if damaged else "")
    return np.concatenate(blocks) if blocks else np.zeros(0, np.int16), damage
