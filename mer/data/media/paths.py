"""Where a clip lies: the name that the data give, with whatever ending the file has. No name may leave the root.

A folder of clips may hold .wav where the data say .flac, .MP4 where they say .mp4, or videos alone where sound is read:

1. the name as the data give it;
2. the same name with another ending, in any case, in the order of SOUND and then VIDEO (pictures: of VIDEO);
3. for sound, the same two steps for the utterance's video, whose sound track is read. Only where the data name no sound
   of its own, or its folder holds no sound at all: beside other sounds, one that is missing is missing for a reason.

Two files of one id are told apart by that order, and the clip has a note that says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from mer.data.media.faults import MediaAbsent, MediaFault
from mer.data.media.files import require_file

Modality = Literal["audio", "video"]

SOUND = (".flac", ".wav", ".ogg", ".oga", ".opus", ".m4a", ".mp3", ".aac", ".wma", ".amr", ".aif", ".aiff")
VIDEO = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ts")
ENDINGS: dict[Modality, tuple[str, ...]] = {"audio": SOUND + VIDEO, "video": VIDEO}


@dataclass(frozen=True, slots=True)
class FoundClip:
    """A clip's file. `notes`: which of several files it is; () if there was no choice."""

    path: Path
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class ClipFinder:
    """Finds the clips below a folder; it lists a folder once. Safe for several threads.

    Args:
        root: folder of the data.
        links: anywhere: the owner of the folder made its links (`mer.data prepare --link symbolic`), so they may lead
            out of it. inside: a data file names the paths, and no link may carry them out of the folder.
    """

    root: Path
    links: Literal["anywhere", "inside"] = "anywhere"
    _listed: dict[Path, dict[str, list[str]]] = field(default_factory=dict)

    def find(self, modality: Modality, *names: str | None) -> FoundClip:
        """Return the file that the first of `names` (paths relative to the root) leads to; None is passed over.

        Raises: MediaAbsent if none leads to a file; MediaFault if a path leaves the root, or what lies there is a loop
            of links or no regular file.
        """
        fault: MediaFault = MediaAbsent("no such file")
        for name in filter(None, names):
            path = self._below(name)
            for found in (path, *self._siblings(path, modality)):
                try:
                    require_file(found)
                except MediaAbsent:
                    continue
                except MediaFault as unusable:  # a pipe, a folder
                    fault = unusable
                    continue
                return FoundClip(self._inside(found), self._choice(found, path, modality))
            if self._holds_sound(path.parent):
                break
        raise fault

    def _below(self, name: str) -> Path:
        """Join the name to the root. An absolute path is one of the root's if it lies below it."""
        if "\x00" in name:
            raise MediaFault("cannot be opened: its name has a zero byte")
        parts = PurePosixPath(name.replace("\\", "/"))
        if parts.is_absolute():
            for root in (self.root.absolute(), self.root.resolve()):
                if parts.is_relative_to(root.as_posix()):
                    parts = parts.relative_to(root.as_posix())
                    break
        odd = parts.is_absolute() or ".." in parts.parts or not parts.parts or ":" in parts.parts[0]
        if odd or not name.strip():
            raise MediaFault(f"the path {name!r} leaves the data folder: not opened")
        return self.root / parts

    def _inside(self, path: Path) -> Path:
        if self.links == "inside":
            require_inside(path, self.root)
        return path

    def _siblings(self, path: Path, modality: Modality) -> list[Path]:
        """List the files of the same name with another ending, the one to take first."""
        endings = ENDINGS[modality]
        names = self._listing(path.parent).get(stem_of(path.name), ())
        ranked = sorted((endings.index(ending), name) for name in names if (ending := ending_of(name)) in endings)
        return [path.with_name(name) for _, name in ranked if name != path.name]

    def _holds_sound(self, folder: Path) -> bool:
        return any(ending_of(name) in SOUND for names in self._listing(folder).values() for name in names)

    def _choice(self, found: Path, path: Path, modality: Modality) -> tuple[str, ...]:
        others = [other for other in self._siblings(path, modality) if other != found]
        if modality == "audio" and ending_of(found.name) not in VIDEO:  # a video beside its sound is no second sound
            others = [other for other in others if ending_of(other.name) not in VIDEO]
        if not others:
            return ()
        named = ", ".join([found.name, *(other.name for other in others)])
        endings = dict.fromkeys(ending_of(path.name) for path in (found, *others))
        why = "the name in the data" if found == path else f"the order is {' '.join(endings)}"
        return (f"{1 + len(others)} files of one id ({named}): {found.name} is read, {why}",)

    def _listing(self, folder: Path) -> dict[str, list[str]]:
        """List a folder's names by their stem; empty if it cannot be listed."""
        if folder not in self._listed:
            names: dict[str, list[str]] = {}
            try:
                for name in sorted(path.name for path in folder.iterdir()):
                    names.setdefault(stem_of(name), []).append(name)
            except OSError:
                pass
            self._listed[folder] = names
        return self._listed[folder]


def require_inside(path: Path, root: Path) -> None:
    """Raise MediaFault if links carry an existing path out of the root."""
    if not path.resolve().is_relative_to(root.resolve()):
        raise MediaFault(f"a link that leads out of {root.name or root}: not opened")


def clip_path(root: Path, name: str, modality: Modality | None = None) -> Path:
    """Find one clip below `root`, as `ClipFinder` does.

    Args: modality: None: by the ending in `name`.
    Raises: MediaAbsent, MediaFault.
    """
    kind: Modality = "video" if ending_of(name) in VIDEO else "audio"
    return ClipFinder(root).find(modality or kind, name).path


def ending_of(name: str) -> str:
    """Return the ending in lower case; "" if the name has none that a clip may have."""
    ending = PurePosixPath(name).suffix.lower()
    return ending if ending in ENDINGS["audio"] else ""


def stem_of(name: str) -> str:
    """Return the name without such an ending: the clip's id."""
    return name[: len(name) - len(ending_of(name))]
