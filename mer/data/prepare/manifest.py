"""The manifest of `python -m mer.data prepare`: what was made of each clip.

A second run skips what is done, and `check` tells the reasons of faults from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from mer.errors import MerError
from mer.files import write_json
from mer.read_files import read_object

MANIFEST = "manifest.json"
MANIFEST_VERSION = 2  # raise it when the same raw clips would give other files
NO_CLIP = "no clip in the archive"
_KEPT = ("raw", "entries", "unannotated")
_MADE_BY = "mer.data.prepare"


@dataclass(frozen=True, slots=True)
class WrittenSound:
    """A FLAC file that was written. `samples`: number at 16 kHz; `notes`: what had to be mended, in words."""

    bytes: int
    sha256: str
    samples: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlacedVideo:
    """A video that was put in place. `link`: hard, symbolic or copy. `duration_s`: by its header; None if unusable."""

    bytes: int
    sha256: str
    duration_s: float | None
    link: str


@dataclass(frozen=True, slots=True)
class PreparedUtterance:
    """Outcome of one utterance.

    Attributes:
        source: raw clip that was taken, relative to the raw folder; None if there was none.
        decision: why this clip, in words.
        seen: every raw clip of the utterance -> its size in bytes and modification time in ns.
        expected_s: end minus start by the CSV file; None if it has no usable times.
        audio_fault, video_fault: why the file is missing or cannot be used; "" if it is in order.
    """

    source: str | None
    decision: str
    seen: Mapping[str, tuple[int, int]]
    expected_s: float | None
    audio: WrittenSound | None = None
    video: PlacedVideo | None = None
    audio_fault: str = ""
    video_fault: str = ""


@dataclass(slots=True)
class Manifest:
    """Outcome by utterance id, and by split the raw clips that belong to no utterance."""

    raw: str = ""
    entries: dict[str, PreparedUtterance] = field(default_factory=dict)
    unannotated: dict[str, list[str]] = field(default_factory=dict)

    def write(self, root: Path) -> None:
        write_json(
            root / MANIFEST,
            {
                "made_by": _MADE_BY,
                "version": MANIFEST_VERSION,
                "raw": self.raw,
                "unannotated": self.unannotated,
                "entries": {name: asdict(entry) for name, entry in self.entries.items()},
            },
        )


def read_manifest(root: Path) -> Manifest | None:
    """Read the manifest in `root`; None if there is none. One of another version is empty: all is made again.

    Raises: MerError for a file of that name that `prepare` did not write.
    """
    path = root / MANIFEST
    try:
        content = read_object(path)
        if content["made_by"] != _MADE_BY:
            raise ValueError("another program's file")
        if content["version"] != MANIFEST_VERSION:
            return Manifest()
        return TypeAdapter(Manifest).validate_python({name: content[name] for name in _KEPT})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as fault:
        raise MerError(
            path,
            "this is not a manifest that `python -m mer.data prepare` wrote",
            allowed="none, or an untouched one",
            then=f"move {path} away, audios/ and videos/ beside it too, then prepare again; or choose another folder",
        ) from fault
