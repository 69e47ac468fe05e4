"""The common ground of publishing and upkeep: objects, links that lead to them, watched folders, the lock."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shlex
import uuid
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from mer.errors import MerError
from mer.files import write_text
from mer.locks import NO_LOCKS
from mer.read_files import read_model

FOLDER = ".store"
SUFFIX = ".safetensors"

OBJECT_NAME = re.compile(r"[0-9a-f]{64}\.safetensors")


class _Note(BaseModel):
    """A remembered folder, relative to the studies folder."""

    folder: str


class StoreFolder:
    """The store of one studies folder, as files and links.

    Args:
        studies: the folder whose files may be published; the store is `.store` in it.
        also: further folders with links into the store (`exports`). One that was published from is remembered.
    """

    def __init__(self, studies: Path, also: tuple[Path, ...] = ()) -> None:
        self.studies, self.also = Path(studies), tuple(Path(folder) for folder in also)
        self.root = self.studies / FOLDER

    def object(self, sha: str) -> Path:
        """The path of the object with this SHA-256, whether it is there or not."""
        return self.root / sha[:2] / f"{sha}{SUFFIX}"

    def objects(self) -> list[Path]:
        """Every object in the store."""
        return sorted(path for path in self.root.glob(f"??/*{SUFFIX}") if OBJECT_NAME.fullmatch(path.name))

    # -- links ---------------------------------------------------------------------------------------------------

    def link_fault(self, path: Path) -> MerError | None:
        """Find what is wrong with a link; None when it is sound, or was removed meanwhile."""
        try:
            text = str(path.readlink())
        except OSError:
            return None
        target = resolved(path)
        if not path.is_symlink():  # removed, or replaced by a file, meanwhile
            return None
        if not target.exists():
            then = "move the folder back to the depth it had in the studies folder, or delete the link"
            return MerError(path, f"the link leads nowhere ({text})", then=then)
        if not self._is_object(target):
            allowed = f"links to objects in {self.root}"
            return MerError(path, f"the link leads out of the store ({text})", allowed=allowed, then="delete the link")
        return None

    def referenced(self, path: Path, text: str) -> str | None:
        """SHA-256 of the object that a link keeps alive, or None.

        A link in a folder that was moved to another depth leads nowhere; its words still name the object.

        Args: text: the target as it is written in the link.
        """
        target = resolved(path)
        if self._is_object(target):
            return target.stem
        name = Path(text).name
        return Path(name).stem if OBJECT_NAME.fullmatch(name) else None

    def named(self, link: Path) -> Path | None:
        """Return the object that a link names, wherever the link leads; None when it is not there."""
        sha = self.referenced(link, str(link.readlink()))
        return self.object(sha) if sha and self.object(sha).is_file() else None

    def _is_object(self, target: Path) -> bool:
        return target.parent.parent == self.root.resolve() and bool(OBJECT_NAME.fullmatch(target.name))

    # -- watched folders -----------------------------------------------------------------------------------------

    def root_of(self, path: Path) -> Path:
        """The watched folder that `path` lies in. Raises: MerError for a path elsewhere, whose link `gc` would miss."""
        for root in (self.studies, *self.also):
            if absolute(path).is_relative_to(absolute(root)) or path.parent.resolve().is_relative_to(root.resolve()):
                if path.parent.resolve().is_relative_to(self.root.resolve()):
                    raise MerError(path, "it lies in the store itself")
                return root
        places = ", ".join(map(str, (self.studies, *self.also)))
        raise MerError(path, "outside the folders that this store serves", allowed=places)

    def remember(self, root: Path) -> None:
        """Note a further folder with links, so that every later `gc` looks into it without being told."""
        if root == self.studies:
            return
        words = os.path.relpath(root.resolve(), self.studies.resolve())
        note = self.root / "roots" / f"{hashlib.sha256(words.encode()).hexdigest()[:16]}.json"
        if not note.exists():
            write_text(note, json.dumps({"folder": words}) + "\n")

    def roots(self) -> list[Path]:
        """All watched folders. Raises: MerError when one of them is not there."""
        roots = [self.studies]
        for folder in self.also:
            if not folder.is_dir():
                raise MerError(folder, "no such folder", then="check --also")
            roots.append(folder)
        for note in sorted((self.root / "roots").glob("*.json")):
            folder = self.studies.resolve() / read_model(note, _Note, then=f"rm {shlex.quote(str(note))}").folder
            if not folder.is_dir():
                then = f"bring it back; if it is gone for good: rm {note}"
                raise MerError(folder, "links into the store were made in it, and it is not there now", then=then)
            roots.append(folder)
        return roots

    # -- the lock ------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def locked(self, kind: int, *, needed: bool = False) -> Iterator[None]:
        """Hold the store's lock, which the system releases when the process dies.

        Every process passes a gate first, and one that waits for the exclusive lock waits inside the gate. Publishers
        that come without a pause can therefore not keep `gc` out for ever.

        Args:
            kind: `fcntl.LOCK_SH` for publishers, `fcntl.LOCK_EX` for `gc`.
            needed: refuse to go on without a lock.
        Raises: MerError when a lock is needed and the file system has none.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".gate").open("a") as gate, (self.root / ".lock").open("a") as lock:
            try:
                fcntl.flock(gate, fcntl.LOCK_EX)
                fcntl.flock(lock, kind)
                fcntl.flock(gate, fcntl.LOCK_UN)
            except OSError as fault:
                if fault.errno not in NO_LOCKS:
                    raise
                if needed:
                    words = "this file system has no locks, so nobody can say that no trial is being stored now"
                    raise MerError(self.root, words, then="run gc on the machine that holds the disk") from fault
            yield


def beside(path: Path) -> Path:
    """A temporary name in the form that `mer.files.atomic_path` gives, so that `gc` knows it for a leftover."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")


def resolved(path: Path) -> Path:
    """The path that a link leads to; the link itself when it is removed at this moment (`realpath` then raises)."""
    try:
        return Path(os.path.realpath(path))
    except OSError:
        return path


def absolute(path: Path) -> Path:
    """The path from the root of the file system, with its links unresolved."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - links stay as they are
