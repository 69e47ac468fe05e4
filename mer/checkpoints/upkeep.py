"""Upkeep of the store: what it holds, whether it is whole, and the removal of what no link refers to."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from mer.checkpoints.header import sidecar
from mer.checkpoints.store_folder import FOLDER, OBJECT_NAME, SUFFIX, StoreFolder, absolute, resolved
from mer.errors import MerError
from mer.files import sha256_file
from mer.read_files import read_object

GRACE_S = 3600.0
_LEFTOVER = re.compile(r"\..+\.(safetensors|json)\.[0-9a-f]{8}\.tmp")  # names that mer.files.atomic_path gives


@dataclass(frozen=True)
class Usage:
    """The sizes of a store.

    Args:
        references: links into the store.
        logical_bytes: the size of those files if they were copies.
        objects: files in the store.
        stored_bytes: their size.
        orphans: objects without any link.
        orphan_bytes: their size; `gc` gives it back.
        plain: tensors files outside the store, for example those of running trials.
        plain_bytes: their size.
    """

    references: int
    logical_bytes: int
    objects: int
    stored_bytes: int
    orphans: int
    orphan_bytes: int
    plain: int
    plain_bytes: int


@dataclass(frozen=True)
class Check:
    """The findings of `verify`; `faults` is empty in a store that is whole."""

    objects: int
    references: int
    faults: list[MerError]
    orphans: list[Path]


@dataclass(frozen=True)
class Collected:
    """The files that `gc` removed, or would remove."""

    objects: list[Path]
    leftovers: list[Path]
    freed_bytes: int
    young: int  # unreferenced, but younger than the grace time: left alone


@dataclass
class _Scene:
    """One look at everything below the watched folders."""

    links: list[tuple[Path, str]] = field(default_factory=list)  # path, target as it is written
    plain: list[Path] = field(default_factory=list)
    leftovers: list[Path] = field(default_factory=list)


class Upkeep(StoreFolder):
    """Counts, checks and cleans a store."""

    def du(self) -> Usage:
        """Count links and objects, and add up their sizes."""
        self._need()
        scene = self._look()
        sizes = {path.stem: size for path in self.objects() if (size := _size(path)) is not None}
        referenced = [sha for path, text in scene.links if (sha := self.referenced(path, text)) in sizes]
        orphans = sizes.keys() - set(referenced)
        plain = [size for path in scene.plain if (size := _size(path)) is not None]
        return Usage(
            len(referenced),
            sum(sizes[sha] for sha in referenced),
            len(sizes),
            sum(sizes.values()),
            len(orphans),
            sum(sizes[sha] for sha in orphans),
            len(plain),
            sum(plain),
        )

    def verify(self) -> Check:
        """Follow every link, compare every sidecar, hash every object."""
        self._need()
        with self.locked(fcntl.LOCK_SH):
            scene, objects = self._look(), self.objects()
            ours = [path for path, text in scene.links if _is_ours(path, text)]
            faults = [fault for path in ours if (fault := self.link_fault(path) or _sidecar_fault(path))]
            referenced = {self.referenced(path, text) for path, text in scene.links}
        faults += [fault for path in objects if (fault := _object_fault(path))]  # takes long, and needs no lock
        return Check(len(objects), len(ours), faults, [path for path in objects if path.stem not in referenced])

    def gc(self, *, dry_run: bool = False, grace_s: float = GRACE_S, only: frozenset[str] | None = None) -> Collected:
        """Remove objects that no link refers to, and leftovers of killed writers.

        Waits for publishers and keeps new ones waiting. Looks twice: a folder that a user moves by hand during the
        first look is seen by the second.

        Args:
            dry_run: remove nothing.
            grace_s: younger files are left alone.
            only: consider these objects and nothing else.
        Raises: MerError when a folder that may hold links cannot be looked into.
        """
        self._need()
        with self.locked(fcntl.LOCK_EX, needed=True):
            scene = self._look()
            free = self._unreferenced(scene, only)
            if free:
                free = [path for path in self._unreferenced(self._look(), only) if path in set(free)]
            leftovers = [] if only is not None else [*scene.leftovers, *self._half_written()]
            old, dead = _older(free, grace_s), _older(leftovers, grace_s)
            if not dry_run:
                for path in [*old, *dead]:
                    path.unlink(missing_ok=True)
        freed = sum(old.values()) + sum(dead.values())
        return Collected(list(old), list(dead), freed, len(free) - len(old))

    def sweep(self) -> list[Path]:
        """Remove what killed publishers had half written, whatever its age: the lock keeps living ones out."""
        if not self._half_written():
            return []
        with self.locked(fcntl.LOCK_EX, needed=True):
            dead = self._half_written()
            for path in dead:
                path.unlink(missing_ok=True)
        return dead

    def _unreferenced(self, scene: _Scene, only: frozenset[str] | None) -> list[Path]:
        referenced = {self.referenced(path, text) for path, text in scene.links}
        return [p for p in self.objects() if p.stem not in referenced and (only is None or p.stem in only)]

    def _half_written(self) -> list[Path]:
        return sorted(path for path in self.root.glob("??/.*") if _LEFTOVER.fullmatch(path.name))

    def _need(self) -> None:
        if not self.root.is_dir():
            raise MerError(
                self.studies,
                "there is no model store here",
                allowed=f"a studies folder with {FOLDER}/ in it; the first trial that ends makes it",
                then="name the folder with --studies",
            )

    def _look(self) -> _Scene:
        """Find every link, plain tensors file and leftover below the watched folders, through linked folders too."""
        scene, seen = _Scene(), {_identity(self.root)}
        pending = self.roots()
        tops = {absolute(root) for root in pending}
        while pending:
            folder = pending.pop()
            try:
                identity = _identity(folder)
                if identity in seen:
                    continue
                seen.add(identity)
                with os.scandir(folder) as entries:
                    for entry in entries:
                        _sort(Path(entry.path), entry, scene, pending, top=absolute(folder) in tops)
            except (FileNotFoundError, NotADirectoryError):  # removed, or moved, while we look; the caller looks again
                continue
            except PermissionError as fault:
                raise MerError(
                    folder, "may not be looked into, and could hold links", then="mend its rights"
                ) from fault
        return scene


def _sort(path: Path, entry: os.DirEntry[str], scene: _Scene, pending: list[Path], *, top: bool) -> None:
    """Add an entry of a folder to the scene, or to the folders still to be looked into."""
    if entry.is_dir():
        pending.append(path)
    elif _LEFTOVER.fullmatch(entry.name):
        scene.leftovers.append(path)
    elif entry.is_symlink():
        try:
            text = str(path.readlink())
        except OSError:  # removed, or replaced by a file, while we look; the caller looks again
            return
        if top and not path.exists() and not _is_ours(path, text):  # a study on a disk that is not mounted?
            raise MerError(path, f"leads nowhere ({text}), and could be a folder with links", then="mend the link")
        scene.links.append((path, text))
    elif entry.name.endswith(SUFFIX):
        scene.plain.append(path)


def _is_ours(path: Path, text: str) -> bool:
    return path.name.endswith(SUFFIX) or bool(OBJECT_NAME.fullmatch(Path(text).name))


def _object_fault(path: Path) -> MerError | None:
    """The fault of an object whose bytes do not have the hash that is its name, else None."""
    try:
        found = sha256_file(path)
    except FileNotFoundError:  # collected meanwhile
        return None
    if found == path.stem:
        return None
    then = "what links to it has lost its tensors: publish a good copy (it takes this one's place), or train again"
    return MerError(path, f"its bytes have the hash {found[:12]}..., which is not its name", then=then)


def _sidecar_fault(path: Path) -> MerError | None:
    """The fault of a card that belongs to other tensors. A file without a sidecar of ours has no such fault."""
    try:
        sha = str(read_object(sidecar(path))["tensors_sha256"])
    except (OSError, ValueError, LookupError):
        return None
    if sha == resolved(path).stem or not path.is_symlink():  # removed, or written anew, meanwhile
        return None
    return MerError(sidecar(path), f"belongs to other tensors ({sha[:12]}...) than {path.name} beside it")


def _size(path: Path) -> int | None:
    """Bytes of a file; None when it was removed meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _older(paths: list[Path], age_s: float) -> dict[Path, int]:
    """Sizes of the files that are not younger than that; a file that was removed meanwhile is left out."""
    found = {}
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            status = path.lstat()
            if time.time() - status.st_mtime >= age_s:
                found[path] = status.st_size
    return found


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino
