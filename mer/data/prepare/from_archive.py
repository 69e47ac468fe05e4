"""From MELD's raw archive to a corpus that can be read: a FLAC file and a video per utterance (methods 7.4, 7.6).

A bad clip is listed and does not end the run. The manifest records what was made from which file, so a second run
makes only the rest. Errors that concern every clip (a full disk, a missing folder) end the run.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

from mer.data.media.demux import Track, sound_track, video_duration_s, write_flac
from mer.data.media.faults import MediaFault
from mer.data.media.notices import sound_notices
from mer.data.prepare.manifest import (
    MANIFEST,
    NO_CLIP,
    Manifest,
    PlacedVideo,
    PreparedUtterance,
    WrittenSound,
    read_manifest,
)
from mer.data.prepare.placing import Link, place
from mer.data.prepare.raw_clips import RawClip, clip_folders, find_csv, index_clips, rank
from mer.data.prepare.report import Preparation, log_lines
from mer.data.readers.meld import MELD
from mer.data.registry import load_corpus
from mer.data.types import Utterance
from mer.errors import MerError
from mer.files import atomic_path, sha256_file, write_text
from mer.progress import Step

LOG = "prepare.log"
SAVE_EVERY_S = 20.0
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
    raw, out = raw.expanduser(), out.expanduser()
    folders = clip_folders(raw)
    with _alone(out):
        manifest = _open_manifest(raw, out)
        splits = _collect_csv(raw, out, folders)
        corpus = load_corpus("meld", out, splits)
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
    left_out = {s: f"no {MELD.path(out, s).name}" for s in folders if s not in splits}
    left_out |= {s: "no folder of clips" for s in MELD.present(out) if s not in folders}
    return Preparation(manifest, {s: tuple(u.id for u in corpus.utterances(s)) for s in splits}, kept, left_out)


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
    seen = {path.relative_to(job.raw).as_posix(): _stamp(path) for path in job.clip.files()}
    if earlier is not None and _still_there(job, earlier, seen, expected_s):
        return earlier
    if not seen:
        for path in (audio_path, video_path):
            path.unlink(missing_ok=True)
        return PreparedUtterance(None, "none", seen, expected_s, audio_fault=NO_CLIP, video_fault=NO_CLIP)
    ranked, decision = rank(job.clip, expected_s)
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
        audio=None if track is None else _write_sound(audio_path, track),
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


def _write_sound(path: Path, track: Track) -> WrittenSound:
    write_flac(path, track.samples)
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
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Lock `out` for this run, and remove half-written files of a killed one. Raises: MerError if it is locked."""
    if out.exists() and not out.is_dir():
        raise MerError(out, "this is a file", allowed="a folder", then="choose another folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".prepare.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            found = "another `python -m mer.data prepare` is at work in this folder"
            raise MerError(out, found, then="wait for it to end, or choose another folder with --out") from fault
        if (out / MANIFEST).is_file():
            for kind in ("audios", "videos"):
                for rest in (out / kind).glob("*/.dia*.tmp"):
                    rest.unlink(missing_ok=True)
        yield


def _open_manifest(raw: Path, out: Path) -> Manifest:
    """Open the manifest of earlier runs. Raises: MerError if `out` has clips that no earlier run made."""
    manifest = read_manifest(out)
    if manifest is not None:
        return manifest
    there = [f"{kind}/" for kind in ("audios", "videos") if (out / kind).exists()]
    if there:
        raise MerError(
            out,
            f"{' and '.join(there)} here were not made from {raw}; they are not overwritten",
            allowed="a folder without them, or one that `python -m mer.data prepare` made",
            then="choose another folder with --out, or move them away",
        )
    return Manifest()


def _collect_csv(raw: Path, out: Path, folders: Mapping[str, Path]) -> list[str]:
    """Copy the CSV files that only the archive has. Returns: the splits with clips and a CSV file.

    Raises: MerError if there is none.
    """
    for split in folders:
        target = MELD.path(out, split)
        source = find_csv(raw, split, target.name)
        if not target.exists() and source is not None:
            with atomic_path(target) as temporary:
                shutil.copyfile(source, temporary)
    splits = [split for split in folders if MELD.path(out, split).is_file()]
    if not splits:
        names = ", ".join(MELD.path(out, split).name for split in folders)
        raise MerError(
            out,
            f"no {names} here, nor in {raw}",
            allowed="the CSV file of a split beside its clips, or in the folder to write",
            then=f"`python -m mer.data get meld --root {out}`, then the same command",
        )
    return splits
