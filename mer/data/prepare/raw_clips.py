"""Clips in MELD's archive: where they lie, and which of two belongs to an utterance (methods 7.4)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mer.data.media.demux import video_duration_s
from mer.data.media.faults import MediaAbsent, MediaFault
from mer.data.media.files import require_file
from mer.data.media.paths import VIDEO, ending_of, require_inside, stem_of
from mer.data.readers.csv_dataset import require_folder
from mer.errors import MerError

FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
ARCHIVE = "MELD.Raw"

# 132 test clips exist a second time under this prefix; public projects disagree on which of the two is right
PREFIX = "final_videos_test"
_CLIP = re.compile(rf"(?P<prefix>{PREFIX})?dia(?P<dialogue>0|[1-9]\d*)_utt(?P<utterance>0|[1-9]\d*)", re.A)


@dataclass(slots=True)
class RawClip:
    """The files named after one utterance, without and with the prefix.

    Attributes: spare: files of the same name whose endings come later in the order of VIDEO; they are left alone.
    """

    plain: Path | None = None
    prefixed: Path | None = None
    spare: list[Path] = field(default_factory=list)

    def files(self) -> tuple[Path, ...]:
        return tuple(path for path in (self.plain, self.prefixed, *self.spare) if path is not None)

    def usable(self, raw: Path) -> tuple[RawClip, dict[Path, str]]:
        """Leave out what is not opened: links out of the archive `raw`, and all that is no regular file, with why."""
        refused = {path: said for path in self.files() if (said := _refusal(path, raw))}
        plain, prefixed = (None if path in refused else path for path in (self.plain, self.prefixed))
        return RawClip(plain, prefixed, [path for path in self.spare if path not in refused]), refused


def clip_folders(raw: Path) -> dict[str, Path]:
    """Find the folder of clips of each split that the archive has.

    Raises: MerError if there is none, saying which folders were looked for.
    """
    names = ", ".join(FOLDERS.values())
    require_folder(raw, f"the folder into which {ARCHIVE}.tar.gz was unpacked", "name that folder")
    found = {}
    for split, name in FOLDERS.items():
        places = (base / name for base in _bases(raw, split))
        if folder := next((place for place in places if place.is_dir()), None):
            found[split] = folder
    if not found:
        packed = sorted({p.name for base in (raw, raw / ARCHIVE) for p in base.glob("*.tar.gz")})
        raise MerError(
            raw,
            f"no clips: looked for the folders {names} here, in {ARCHIVE}/, in train/, dev/, test/ of both",
            allowed="an unpacked archive of MELD's clips",
            then=f"unpack {', '.join(packed)} first" if packed else f"name the folder that holds {names}",
        )
    return found


def find_csv(raw: Path, split: str, name: str) -> Path | None:
    """Find the split's CSV file in the archive, beside the clips or above them.

    Raises: MerError for a link that leads out of the archive.
    """
    places = [place for base in _bases(raw, split) for place in (base / name, base / FOLDERS[split] / name)]
    found = next((place for place in places if place.is_file()), None)
    if found is not None and (said := _refusal(found, raw)):
        raise MerError(found, said, allowed="the file itself", then="put the CSV file there in place of the link")
    return found


def _bases(raw: Path, split: str) -> Iterator[Path]:
    for base in (raw, raw / ARCHIVE):
        yield from (base, base / split)


def index_clips(folder: Path) -> dict[str, RawClip]:
    """List clips by name ("dia0_utt3" -> its files), videos of any ending, sorted. Other files are ignored."""
    clips: dict[str, RawClip] = {}
    videos = (path for path in folder.iterdir() if ending_of(path.name) in VIDEO)
    for path in sorted(videos, key=lambda path: (stem_of(path.name), VIDEO.index(ending_of(path.name)), path.name)):
        if match := _CLIP.fullmatch(stem_of(path.name)):
            clip = clips.setdefault(f"dia{match['dialogue']}_utt{match['utterance']}", RawClip())
            if match["prefix"]:
                clip.prefixed, other = clip.prefixed or path, clip.prefixed
            else:
                clip.plain, other = clip.plain or path, clip.plain
            if other is not None:
                clip.spare.append(path)
    return clips


def _refusal(path: Path, raw: Path) -> str:
    """Say why a file is not opened; "" if it may be, or is a link to nowhere, which decoding will report."""
    try:
        require_file(path)
        require_inside(path, raw)
    except MediaAbsent:
        return ""
    except MediaFault as fault:
        return str(fault)
    return ""


def rank(clip: RawClip, expected_s: float | None) -> tuple[list[Path], str]:
    """Order the files of an utterance, the one to take first, and say why in words.

    Among twins, one that cannot be opened comes last; otherwise the one whose length is closer to `expected_s` (end
    minus start by the CSV file) comes first; if lengths do not decide, the one without the prefix.
    """
    if clip.plain is None or clip.prefixed is None:
        only = [path for path in (clip.plain, clip.prefixed) if path is not None] or clip.spare[:1]
        return only, "only one" if clip.prefixed is None else "only one, and it has the prefix"
    plain_first, prefixed_first = [clip.plain, clip.prefixed], [clip.prefixed, clip.plain]
    (plain_s, plain_fault), (prefixed_s, prefixed_fault) = _length(clip.plain), _length(clip.prefixed)
    if prefixed_fault:
        both = f"; nor can the plain one ({plain_fault})" if plain_fault else ""
        return plain_first, f"plain: the prefixed twin cannot be used ({prefixed_fault}){both}"
    if plain_fault:
        return prefixed_first, f"prefixed: the plain twin cannot be used ({plain_fault})"
    if expected_s is None:
        return plain_first, "plain: the CSV file has no usable times"
    lengths = f"plain {plain_s:.2f} s, prefixed {prefixed_s:.2f} s, by the CSV file {expected_s:.2f} s"
    if abs(prefixed_s - expected_s) < abs(plain_s - expected_s):
        return prefixed_first, f"prefixed: its length is closer ({lengths})"
    if abs(prefixed_s - expected_s) == abs(plain_s - expected_s):
        return plain_first, f"plain: both lengths are equally close ({lengths})"
    return plain_first, f"plain: its length is closer ({lengths})"


def _length(path: Path) -> tuple[float, str]:
    """Read the seconds by the header, and what is wrong with the file ("" if nothing)."""
    try:
        length_s = video_duration_s(path)
    except MediaFault as fault:
        return 0.0, str(fault)
    return length_s, "" if length_s > 0 else "its header names no length"
