"""Features in a folder: a file for each clip (MERTools: `NAME.npy`), or a folder of frames (`NAME/0001.npy`).

Folders inside it may be parts of the data (`train`, `valid`, `test`) or belong to the names. Links may not lead out.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from mer.data.media import MediaFault
from mer.data.media.paths import require_inside
from mer.features.backbone.hash_memo import HashMemo
from mer.features.given.arrays import ENDINGS as ARRAYS
from mer.features.given.arrays import as_unfit, open_arrays
from mer.features.given.index import Index
from mer.features.given.names import part_of
from mer.features.given.numbers import ENDINGS as TABLES
from mer.features.given.numbers import read_frames
from mer.features.given.unfit import Unfit
from mer.features.given.which import array_of

ENDINGS = (*ARRAYS, *TABLES)
MOST_FILES = 2_000_000


class Folder:
    """A folder of features; a `mer.features.given.source.Source`. Lists its names, opens nothing.

    Args: modality: of the arrays to take, where a file holds several.
    Raises: Unfit for a folder without a file of features, or one name in two files.
    """

    def __init__(self, path: Path, modality: str) -> None:
        self.path, self.modality, self.index = path, modality, Index()
        frames: dict[str, list[str]] = {}
        for place in _files(path):
            name = place[: place.rindex(".")]
            self._add(name, place)
            if "/" in name:
                frames.setdefault(name.rpartition("/")[0], []).append(place)
        if not frames and not self.index.at:
            raise Unfit(f"holds no file of features: none ends in {', '.join(ENDINGS)}")
        self._frames = {name: sorted(places) for name, places in frames.items()}
        for name in self._frames:
            self._add(name, f"{name}/")

    def _add(self, name: str, place: str) -> None:
        first, _, rest = name.partition("/")
        if rest and (part := part_of(first)):
            self.index.add(part, rest, place)
        self.index.add("", name, place)

    @property
    def first(self) -> str:
        """The place that says how wide the features are."""
        return next(place for place in self.index.at.values() if not place.endswith("/"))

    def read(self, place: str) -> np.ndarray:
        """Read the array of a clip. Raises: Unfit."""
        if place.endswith("/"):
            frames = [np.atleast_2d(self._read_file(file)) for file in self._frames[place[:-1]]]
            if len({frame.shape[1:] for frame in frames}) > 1:
                raise Unfit("its frames are not of one width")
            return np.concatenate(frames)
        return self._read_file(place)

    def listed(self) -> list[tuple[str, str]]:
        """Name every utterance that has features: (part of the data, or "", name).

        Raises: Unfit where files in folders may be clips, or frames of clips.
        """
        files = {place: key for place, key in self.index.by_place.items() if not place.endswith("/")}
        if odd := next((place for place, (_, name) in files.items() if "/" in name), None):
            raise Unfit(f"{odd} may be a clip, or a frame of one")
        return list(files.values())

    def hashes(self, places: list[str], memo: HashMemo) -> tuple[str, dict[str, str | None]]:
        """Hash what is read: "" for the whole, and each place; None for one that cannot be read."""
        told: dict[str, str | None] = {}
        for place in places:
            try:
                require_inside(self.path / place, self.path)
                told[place] = memo.sha256(self.path / place)
            except (OSError, MediaFault):
                told[place] = None
        return "", told

    def _read_file(self, place: str) -> np.ndarray:
        file = self.path / place
        try:
            require_inside(file, self.path)
            if file.suffix.lower() in TABLES:
                return read_frames(file)
            with open_arrays(file) as arrays, as_unfit(file.suffix.lower()):
                return arrays.read(array_of(arrays.shapes, self.modality))
        except MediaFault as fault:
            raise Unfit(str(fault)) from fault
        except OSError as fault:
            raise Unfit(f"cannot be opened: {fault.strerror or fault}") from fault


def _files(root: Path) -> list[str]:
    """List the files of features below a folder, in an order that no machine changes. Follows no link to a folder."""
    found: list[str] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = Path(folder).relative_to(root).as_posix()
        found += [name if inside == "." else f"{inside}/{name}" for name in sorted(names) if _is_feature(name)]
        if len(found) > MOST_FILES:
            raise Unfit(f"holds more than {MOST_FILES} files")
    return found


def _is_feature(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(ENDINGS)
