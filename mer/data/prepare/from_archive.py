"""From MELD's raw archive to a corpus that can be read: a FLAC file and a video per utterance (methods 7.4, 7.6).

A bad clip is listed and does not end the run. The manifest records what was made from which file, so a second run
makes only the rest. Errors that concern every clip (a full disk, a missing folder) end the run.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

from mer.config import DataConfig
from mer.data.media.demux import video_duration_s, write_flac
from mer.data.media.faults import MediaFault
from mer.data.media.notices import sound_notices
from mer.data.media.paths import ending_of
from mer.data.media.track import Track, sound_track
from mer.data.prepare.manifest import NO_CLIP, Manifest, PlacedVideo, PreparedUtterance, WrittenSound
from mer.data.prepare.out_folder import alone, collect_csv, open_manifest
from mer.data.prepare.placing import Link, permissions, place
from mer.data.prepare.raw_clips import RawClip, clip_folders, index_clips, rank
from mer.data.prepare.report import Preparation, log_lines
from mer.data.readers.meld import MELD
from mer.data.registry import survey_corpus
from mer.data.types import Utterance
from mer.errors import MerError
from mer.files import sha256_file, write_text
from mer.places import home
from mer.progress import Step

LOG = "prepare.log"
SAVE_EVERY_S = 20.0
UNSEEN = (-1, -1)  # size and time of a raw clip that was not looked at
LONGEST_S = 1800.0  # s; a sound is decoded as a whole, 58 MB at this length


@dataclass(frozen=True, slots=True)
class _Job:
    utterance: Utterance
    clip: RawClip
    raw: Path
    out: Path
    link: Link


def default_workers() -> int:
    """Return two per processor, since each waits for the disk half of its time; 16 at most."""
    return min(16, 2 * len(os.sched_getaffinity(0)))


def prepare(raw: Path, out: Path, *, workers: int, link: Link = "auto", progress: Step) -> Preparation:
    """Write audios/{split}/*.flac, videos/{split}/*.mp4, manifest.json and prepare.log into `out`.

    Args:
        raw: folder of the unpacked archive; it is only read.
        workers: threads; each holds one decoded sound.
        progress: called with (clips done, clips in all).
    Raises: MerError if there are no clips or no CSV files, or `out` holds clips from elsewhere; OSError from writing.
    """
    raw, out = home(raw), home(out)
    folders = clip_folders(raw)
    with alone(out):
        manifest = open_manifest(raw, out)
        splits = collect_csv(raw, out, folders)
        corpus = survey_corpus(DataConfig(dataset="meld", root=str(out)), splits)  # whatever the labels
        manifest.raw = str(raw.resolve())
        manifest.write(out)  # now, since it also marks the folder as ours
        jobs = []
        for split in splits:
            clips = index_clips(folders[split])
            utterances = corpus.utterances(split)
            names = {_name(utterance) for utterance in utterances}
            unknown = [path for name, clip in clips.items() if name not in names for path in clip.files()]
            manifest.unannotated[split] = [path.relative_to(raw).as_posix() for path in unknown]
            jobs += [_Job(u, clips.get(_name(u), RawClip()), raw, out, link) for u in utterances]
        try:
            kept = _run(jobs, manifest, out, workers, progress)
        finally:
            manifest.write(out)
            write_text(out / LOG, "".join(f"{line}\n" for line in log_lines(manifest)))
    asked = {split: tuple(u.id for u in corpus.utterances(split)) for split in splits}
    _require_some(raw, out, manifest, asked)
    left_out = {s: f"no {MELD.path(out, s).name}" for s in folders if s not in splits}
    left_out |= {s: "no folder of clips" for s in MELD.present(DataConfig(root=str(out))) if s not in folders}
    return Preparation(manifest, asked, kept, left_out)


def _require_some(raw: Path, out: Path, manifest: Manifest, asked: Mapping[str, tuple[str, ...]]) -> None:
    """Raise MerError if not one utterance got a usable clip, with the reasons by count."""
    entries = [manifest.entries[name] for names in asked.values() for name in names]
    if any(entry.audio is not None or (entry.video is not None and not entry.video_fault) for entry in entries):
        return
    reasons = Counter(fault for e in entries for fault in {e.audio_fault, e.video_fault} if fault).most_common(3)
    raise MerError(
        raw,
        f"not one of {len(entries)} utterances has a usable clip: "
        + "; ".join(f"{reason} ({count} times)" for reason, count in reasons),
        allowed="clips named dia0_utt0.mp4 after dialogue and utterance of the CSV files, with the ending of any video",
        then=f"read {out / LOG}, mend the clips, then the same command",
    )


def _run(jobs: list[_Job], manifest: Manifest, out: Path, workers: int, progress: Step) -> int:
    """Do all jobs, saving the manifest every SAVE_EVERY_S. Returns: how many were done before."""
    earlier = manifest.entries
    manifest.entries = dict(earlier)
    kept, saved = 0, time.monotonic()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="prepare")
    try:
        running = {pool.submit(_prepare_one, job, earlier.get(job.utterance.id)): job.utterance.id for job in jobs}
        for done, future in enumerate(as_completed(running), start=1):
            name, entry = running[future], future.result()
            kept += entry is earlier.get(name)
            manifest.entries[name] = entry
            progress(done, len(jobs))
            if time.monotonic() - saved > SAVE_EVERY_S:
                manifest.write(out)
                saved = time.monotonic()
        order = {job.utterance.id: None for job in jobs}
        rest = {name: entry for name, entry in manifest.entries.items() if name not in order}
        manifest.entries = {name: manifest.entries[name] for name in order} | rest
    finally:
        pool.shutdown(cancel_futures=True)  # after a full disk or Ctrl-C: finish the clips at work, start no others
    return kept


def _prepare_one(job: _Job, earlier: PreparedUtterance | None) -> PreparedUtterance:
    """Make sound and video of one utterance; return `earlier` itself if nothing has changed since."""
    audio_path, video_path = _targets(job)
    expected_s = _expected_s(job.utterance)
    clip, refused = job.clip.usable(job.raw)
    seen = {p.relative_to(job.raw).as_posix(): UNSEEN if p in refused else _stamp(p) for p in job.clip.files()}
    if earlier is not None and _still_there(job, earlier, seen, expected_s):
        return earlier
    if not clip.files():
        for path in (audio_path, video_path):
            path.unlink(missing_ok=True)
        name, why = next(zip(seen, refused.values(), strict=True), (None, NO_CLIP))
        return PreparedUtterance(name, "none", seen, expected_s, audio_fault=why, video_fault=why)
    ranked, decision = rank(clip, expected_s)
    decision += "".join(f"; {path.name}: {said}" for path, said in refused.items())
    decision += "".join(f"; {path.name} left alone: {ending_of(ranked[0].name)} comes first" for path in clip.spare)
    source, track, audio_fault = _first_with_sound(ranked)
    if source != ranked[0]:
        decision += f"; but {ranked[0].name} gives no sound, so the other one"
    if audio_fault:
        audio_path.unlink(missing_ok=True)
    video, video_fault = _place_video(source, video_path, job.link)
    return PreparedUtterance(
        source=source.relative_to(job.raw).as_posix(),
        decision=decision,
        seen=seen,
        expected_s=expected_s,
        audio=None if track is None else _write_sound(audio_path, track, permissions(source)),
        video=video,
        audio_fault=audio_fault,
        video_fault=video_fault,
    )


def _first_with_sound(ranked: list[Path]) -> tuple[Path, Track | None, str]:
    """Find the first file with usable sound: the file and its sound. Without one: the first file and its fault."""
    faults = []
    for path in ranked:
        try:
            track = sound_track(path, max_seconds=LONGEST_S)
        except MediaFault as fault:
            faults.append(str(fault))
            continue
        cut = (f"{track.duration_s:.0f} s long: cut to {LONGEST_S:g} s",) if track.duration_s > LONGEST_S else ()
        said = (*track.notes, *cut, *sound_notices(track.samples, track.duration_s))
        return path, replace(track, notes=said), ""
    return ranked[0], None, faults[0]


def _write_sound(path: Path, track: Track, mode: int) -> WrittenSound:
    write_flac(path, track.samples, mode=mode)
    return WrittenSound(path.stat().st_size, sha256_file(path), len(track.samples), track.notes)


def _place_video(source: Path, target: Path, link: Link) -> tuple[PlacedVideo | None, str]:
    """Put the clip in its place even if it cannot be decoded, so that `videos` has all that the archive has."""
    try:
        duration_s, fault = video_duration_s(source) or None, ""
    except MediaFault as unusable:
        duration_s, fault = None, str(unusable)
    try:
        size, sha256 = source.stat().st_size, sha256_file(source)
    except OSError as unreadable:
        target.unlink(missing_ok=True)
        return None, f"cannot be read: {unreadable.strerror}"
    return PlacedVideo(size, sha256, duration_s, place(source, target, link)), fault


def _still_there(
    job: _Job, earlier: PreparedUtterance, seen: Mapping[str, tuple[int, int]], expected_s: float | None
) -> bool:
    """True if it was made from the same raw files for the same times, and its files are as they were left."""
    if dict(earlier.seen) != dict(seen) or earlier.expected_s != expected_s or not seen:
        return False
    if earlier.video is not None:
        wanted = ("hard", "copy") if job.link == "auto" else (job.link,)
        if earlier.video.link not in wanted:
            return False
    made = (earlier.audio, earlier.video)
    return all(_size(path) == (file.bytes if file else None) for path, file in zip(_targets(job), made, strict=True))


def _targets(job: _Job) -> tuple[Path, Path]:
    audio, video = job.utterance.audio, job.utterance.video
    assert audio is not None and video is not None  # MELD's reader names both
    return job.out / audio, job.out / video


def _name(utterance: Utterance) -> str:
    return f"{utterance.dialogue}_utt{utterance.number}"


def _expected_s(utterance: Utterance) -> float | None:
    if utterance.start_s is None or utterance.end_s is None:
        return None
    return round(utterance.end_s - utterance.start_s, 6)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:  # a link to nowhere, which decoding will report
        return UNSEEN
    return status.st_size, status.st_mtime_ns


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
