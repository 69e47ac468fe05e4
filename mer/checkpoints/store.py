"""Transparent model storage: identical tensors files are stored once and linked into place.

    studies/
      .store/ab/abcdef....safetensors      an object: read-only, named by the SHA-256 of its bytes
      spcl/trials/00042/best.safetensors   -> ../../../.store/ab/abcdef....safetensors

Every folder looks whole, every reader opens files as before, and `cp -rL` makes a whole copy anywhere.

Sharing is by file. Two checkpoints share what they hold in equal files, so what varies from trial to trial must lie
outside of what is equal: the JSON card goes into a sidecar when a checkpoint is published (`split_card`), and frozen
tensors into a file of their own (`save_tensors(..., parts=...)`).

Writers of any number need no coordination: an object appears by rename, then a link by rename, and a kill in between
leaves a file that nobody needs. `gc` alone must see a still picture: it holds the store's lock exclusively, publishers
share it. On top of that it leaves alone what is younger than a grace time.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from mer.checkpoints.header import read_front, sidecar, without_card
from mer.errors import MerError
from mer.files import fsync_folder, sha256_file, write_text

FOLDER = ".store"
SUFFIX = ".safetensors"
GRACE_S = 3600.0

_OBJECT = re.compile(r"[0-9a-f]{64}\.safetensors")
_LEFTOVER = re.compile(r"\..+\.(safetensors|json)\.[0-9a-f]{8}\.tmp")  # names that mer.files.atomic_path gives
_CHUNK_BYTES = 2**20
_NO_SYMLINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}


@dataclass(frozen=True)
class Usage:
    """What a store holds.

    Args:
        references: links into the store.
        logical_bytes: what those files would take as copies.
        objects: files in the store.
        stored_bytes: what those take.
        orphans: objects without any link.
        orphan_bytes: what those take; `gc` gives it back.
        plain: tensors files that are not in the store (of running trials, say).
        plain_bytes: what those take.
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
    """What `verify` found; `faults` is empty in a store that is whole."""

    objects: int
    references: int
    faults: list[MerError]
    orphans: list[Path]


@dataclass(frozen=True)
class Collected:
    """What `gc` removed, or would remove."""

    objects: list[Path]
    leftovers: list[Path]
    freed_bytes: int
    young: int  # unreferenced, but younger than the grace time: left alone


@dataclass
class _Scene:
    """One look at everything below the roots."""

    links: list[tuple[Path, str]] = field(default_factory=list)  # path, target as it is written
    plain: list[Path] = field(default_factory=list)
    leftovers: list[Path] = field(default_factory=list)


class Store:
    """The content-addressed store of one studies folder.

    Args:
        studies: the folder whose files may be published; the store is `.store` in it.
        also: further folders with links into the store (`exports`). One that was published from is remembered.
        symlink: `os.symlink`, or a stand-in for a file system that has none.
    """

    def __init__(
        self, studies: Path, also: tuple[Path, ...] = (), *, symlink: Callable[[str, Path], object] = os.symlink
    ) -> None:
        self.studies, self.also = Path(studies), tuple(Path(folder) for folder in also)
        self.root = self.studies / FOLDER
        self.links = True  # False once a file system has refused a symlink: files stay where they are, as copies
        self._symlink = symlink

    # -- publishing ----------------------------------------------------------------------------------------------

    def publish(self, path: Path, *, split_card: bool = False) -> str:
        """Move a finished file into the store and put a relative link in its place; returns its SHA-256.

        Publishing again, equal content from elsewhere, or both at once from several processes, is fine.

        Args:
            split_card: first move the JSON card of one of our checkpoints out of its header into a sidecar.
        Raises: MerError when the file is torn, or a link that leads elsewhere. Without symlinks the file stays a
            copy; `links` says so, and a warning once.
        """
        root = self._root_of(path)
        with self._locked(fcntl.LOCK_SH):
            if path.is_symlink():
                return self._linked(path)
            self._remember(root)
            with path.open("rb") as stream:
                return self._publish(path, stream, split_card)

    def publish_folder(self, folder: Path, *, split_card: bool = False, skip: tuple[str, ...] = ()) -> dict[Path, str]:
        """Publish every `*.safetensors` in `folder` and below, but for the names in `skip`."""
        paths = sorted(path for path in folder.rglob(f"*{SUFFIX}") if path.name not in skip)
        return {path: self.publish(path, split_card=split_card) for path in paths if not path.name.startswith(".")}

    def _publish(self, path: Path, stream: BinaryIO, split_card: bool) -> str:
        front = read_front(stream, path)
        start = len(front)
        front, card = without_card(front) if split_card else (front, None)
        sha = _copy(stream, start, front, None)
        target = self.object(sha)
        link = _beside(path)
        try:
            try:
                self._symlink(os.path.relpath(target.parent.resolve() / target.name, path.parent.resolve()), link)
            except (OSError, NotImplementedError) as fault:
                if isinstance(fault, OSError) and fault.errno not in _NO_SYMLINKS:
                    raise
                self._say_no_links(path)
                return sha
            if not self._sound(target, sha):
                self._write_object(target, stream, start, front, path)
            if card is not None:  # before the link: until then the card in the header counts
                write_text(sidecar(path), json.dumps({"tensors_sha256": sha, "card": card}, indent=1) + "\n")
            if path.is_symlink():  # somebody else has published it meanwhile
                return self._linked(path)
            if not path.exists() or not os.path.samestat(path.stat(), os.fstat(stream.fileno())):
                raise _changed(path)
            link.replace(path)
            fsync_folder(path.parent)
        finally:
            link.unlink(missing_ok=True)
        return sha

    def _write_object(self, target: Path, stream: BinaryIO, start: int, front: bytes, source: Path) -> None:
        made = not target.parent.exists()
        target.parent.mkdir(exist_ok=True)
        if made:
            fsync_folder(self.root)
        temporary = _beside(target)
        try:
            with temporary.open("xb") as out:
                sha = _copy(stream, start, front, out)
                out.flush()
                os.fsync(out.fileno())
            if sha != target.stem:
                raise _changed(source)
            temporary.chmod(0o444)
            temporary.replace(target)
            fsync_folder(target.parent)
        finally:
            temporary.unlink(missing_ok=True)

    def _sound(self, target: Path, sha: str) -> bool:
        """True when the object is there and whole: nothing good may be given up for something bad."""
        try:
            if sha256_file(target) != sha:
                return False
            with contextlib.suppress(PermissionError):  # another user's object
                os.utime(target)  # a new reference: its grace begins anew
            return True
        except FileNotFoundError:
            return False

    def _linked(self, path: Path) -> str:
        """The object that a link leads to."""
        fault = self._link_fault(path)
        if fault:
            raise fault
        return _resolved(path).stem

    def _say_no_links(self, path: Path) -> None:
        if self.links:
            self.links = False
            words = f"{path.parent}: this file system has no symlinks; equal tensors files stay copies at full size"
            warnings.warn(words, RuntimeWarning, stacklevel=4)

    def object(self, sha: str) -> Path:
        return self.root / sha[:2] / f"{sha}{SUFFIX}"

    # -- moving and forgetting -----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def moving(self, into: Path) -> Iterator[None]:
        """Around moving folders with links to `into`, a folder in the studies folder: `gc` looks before or after, and
        the links, which count their way up, find the store from one level deeper too."""
        if not self.root.exists():
            yield
            return
        with self._locked(fcntl.LOCK_SH):
            bridge = into / FOLDER
            if not bridge.is_symlink():
                with contextlib.suppress(OSError, NotImplementedError):
                    self._symlink(os.path.relpath(self.root.resolve(), into.resolve()), bridge)
            yield

    # -- looking -------------------------------------------------------------------------------------------------

    def du(self) -> Usage:
        """Count links and objects, and what they take."""
        self._need()
        scene = self._look()
        sizes = {path.stem: size for path in self._objects() if (size := _size(path)) is not None}
        referenced = [sha for path, text in scene.links if (sha := self._reference(path, text)) in sizes]
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
        with self._locked(fcntl.LOCK_SH):
            scene, objects = self._look(), self._objects()
            ours = [path for path, text in scene.links if _is_ours(path, text)]
            faults = [fault for path in ours if (fault := self._link_fault(path) or _sidecar_fault(path))]
            referenced = {self._reference(path, text) for path, text in scene.links}
        faults += [fault for path in objects if (fault := _object_fault(path))]  # long; nobody need wait for it
        return Check(len(objects), len(ours), faults, [path for path in objects if path.stem not in referenced])

    def _link_fault(self, path: Path) -> MerError | None:
        """What is wrong with a link. None also when it has gone meanwhile."""
        try:
            text = str(path.readlink())
        except OSError:
            return None
        resolved = _resolved(path)
        if not path.is_symlink():  # removed, or replaced by a file, meanwhile
            return None
        if not resolved.exists():
            then = "move the folder back to the depth it had in the studies folder, or delete the link"
            return MerError(path, f"the link leads nowhere ({text})", then=then)
        if not self._is_object(resolved):
            allowed = f"links to objects in {self.root}"
            return MerError(path, f"the link leads out of the store ({text})", allowed=allowed, then="delete the link")
        return None

    def _is_object(self, resolved: Path) -> bool:
        return resolved.parent.parent == self.root.resolve() and bool(_OBJECT.fullmatch(resolved.name))

    def _reference(self, path: Path, text: str) -> str | None:
        """The object that a link counts for: by where it leads, else, in a folder that was moved, by its words."""
        resolved = _resolved(path)
        if self._is_object(resolved):
            return resolved.stem
        name = Path(text).name
        return Path(name).stem if _OBJECT.fullmatch(name) else None

    # -- collecting ----------------------------------------------------------------------------------------------

    def gc(self, *, dry_run: bool = False, grace_s: float = GRACE_S, only: frozenset[str] | None = None) -> Collected:
        """Remove objects that no link refers to, and leftovers of killed writers.

        Waits for publishers and keeps new ones waiting. Looks twice, so that a folder which somebody moves by hand
        during the first look is seen by the second.

        Args:
            dry_run: remove nothing.
            grace_s: younger files are left alone.
            only: consider these objects and nothing else.
        Raises: MerError when a folder that may hold links cannot be looked into.
        """
        self._need()
        with self._locked(fcntl.LOCK_EX, needed=True):
            scene = self._look()
            free = self._unreferenced(scene, only)
            if free:
                free = [path for path in self._unreferenced(self._look(), only) if path in set(free)]
            leftovers = [] if only is not None else [*scene.leftovers, *self._stray()]
            old, dead = _older(free, grace_s), _older(leftovers, grace_s)
            if not dry_run:
                for path in [*old, *dead]:
                    path.unlink(missing_ok=True)
        freed = sum(old.values()) + sum(dead.values())
        return Collected(list(old), list(dead), freed, len(free) - len(old))

    def _unreferenced(self, scene: _Scene, only: frozenset[str] | None) -> list[Path]:
        referenced = {self._reference(path, text) for path, text in scene.links}
        return [p for p in self._objects() if p.stem not in referenced and (only is None or p.stem in only)]

    # -- the ground ----------------------------------------------------------------------------------------------

    def _need(self) -> None:
        if not self.root.is_dir():
            raise MerError(
                self.studies,
                "there is no model store here",
                allowed=f"a studies folder with {FOLDER}/ in it; the first trial that ends makes it",
                then="name the folder with --studies",
            )

    def _objects(self) -> list[Path]:
        return sorted(path for path in self.root.glob(f"??/*{SUFFIX}") if _OBJECT.fullmatch(path.name))

    def _stray(self) -> list[Path]:
        """Half-written objects."""
        return sorted(path for path in self.root.glob("??/.*") if _LEFTOVER.fullmatch(path.name))

    @contextlib.contextmanager
    def _locked(self, kind: int, *, needed: bool = False) -> Iterator[None]:
        """Hold the store's lock, shared or exclusive. It dies with the process.

        Everybody passes a gate first, and who waits for the exclusive lock waits in it: publishers that come and go
        without a pause cannot keep `gc` out for ever.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".gate").open("a") as gate, (self.root / ".lock").open("a") as lock:
            try:
                fcntl.flock(gate, fcntl.LOCK_EX)
                fcntl.flock(lock, kind)
                fcntl.flock(gate, fcntl.LOCK_UN)
            except OSError as fault:
                if fault.errno not in _NO_LOCKS:
                    raise
                if needed:
                    words = "this file system has no locks, so nobody can say that no trial is being stored now"
                    raise MerError(self.root, words, then="run gc on the machine that holds the disk") from fault
            yield

    def _root_of(self, path: Path) -> Path:
        """The scanned folder that `path` lies in. A link anywhere else would be invisible to `gc`."""
        for root in (self.studies, *self.also):
            if _absolute(path).is_relative_to(_absolute(root)) or path.parent.resolve().is_relative_to(root.resolve()):
                if path.parent.resolve().is_relative_to(self.root.resolve()):
                    raise MerError(path, "it lies in the store itself")
                return root
        places = ", ".join(map(str, (self.studies, *self.also)))
        raise MerError(path, "outside the folders that this store serves", allowed=places)

    def _remember(self, root: Path) -> None:
        """Note a further folder with links, so that every later `gc` looks into it, asked to or not."""
        if root == self.studies:
            return
        words = os.path.relpath(root.resolve(), self.studies.resolve())
        note = self.root / "roots" / f"{hashlib.sha256(words.encode()).hexdigest()[:16]}.json"
        if not note.exists():
            write_text(note, json.dumps({"folder": words}) + "\n")

    def _roots(self) -> list[Path]:
        roots = [self.studies]
        for folder in self.also:
            if not folder.is_dir():
                raise MerError(folder, "no such folder", then="check --also")
            roots.append(folder)
        for note in sorted((self.root / "roots").glob("*.json")):
            folder = self.studies.resolve() / json.loads(note.read_text(encoding="utf-8"))["folder"]
            if not folder.is_dir():
                then = f"bring it back; if it is gone for good: rm {note}"
                raise MerError(folder, "links into the store were made in it, and it is not there now", then=then)
            roots.append(folder)
        return roots

    def _look(self) -> _Scene:
        """Every link, plain tensors file and leftover below the roots, through links to folders as well."""
        scene, seen = _Scene(), {_identity(self.root)}
        pending = self._roots()
        tops = {_absolute(root) for root in pending}
        while pending:
            folder = pending.pop()
            try:
                identity = _identity(folder)
                if identity in seen:
                    continue
                seen.add(identity)
                with os.scandir(folder) as entries:
                    for entry in entries:
                        self._sort(Path(entry.path), entry, scene, pending, top=_absolute(folder) in tops)
            except (FileNotFoundError, NotADirectoryError):  # removed, or moved, while we look; the caller looks again
                continue
            except PermissionError as fault:
                raise MerError(
                    folder, "may not be looked into, and could hold links", then="mend its rights"
                ) from fault
        return scene

    def _sort(self, path: Path, entry: os.DirEntry[str], scene: _Scene, pending: list[Path], *, top: bool) -> None:
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


def _copy(stream: BinaryIO, start: int, front: bytes, out: BinaryIO | None) -> str:
    """`front` and what follows `start` in `stream`, to `out` if given; returns the SHA-256 of it all."""
    digest = hashlib.sha256(front)
    if out:
        out.write(front)
    stream.seek(start)
    while chunk := stream.read(_CHUNK_BYTES):
        digest.update(chunk)
        if out:
            out.write(chunk)
    return digest.hexdigest()


def _beside(path: Path) -> Path:
    """A temporary name as `mer.files.atomic_path` makes them: what is left of it is known for a leftover."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")


def _is_ours(path: Path, text: str) -> bool:
    return path.name.endswith(SUFFIX) or bool(_OBJECT.fullmatch(Path(text).name))


def _changed(path: Path) -> MerError:
    return MerError(path, "it changed while it was published", then="publish finished files only")


def _object_fault(path: Path) -> MerError | None:
    try:
        found = sha256_file(path)
    except FileNotFoundError:  # collected meanwhile
        return None
    if found == path.stem:
        return None
    then = "what links to it has lost its tensors: publish a good copy (it takes this one's place), or train again"
    return MerError(path, f"its bytes have the hash {found[:12]}..., which is not its name", then=then)


def _size(path: Path) -> int | None:
    """None when it has gone meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _sidecar_fault(path: Path) -> MerError | None:
    """A card that belongs to other tensors. Files without a sidecar, or with one of another kind, have none."""
    try:
        note: Any = json.loads(sidecar(path).read_text(encoding="utf-8"))
        sha = note["tensors_sha256"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    if sha == _resolved(path).stem or not path.is_symlink():  # removed, or written anew, meanwhile
        return None
    return MerError(sidecar(path), f"belongs to other tensors ({sha[:12]}...) than {path.name} beside it")


def _older(paths: list[Path], age_s: float) -> dict[Path, int]:
    """Those not younger than that, with their bytes. Temporary files come and go meanwhile."""
    found = {}
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            status = path.lstat()
            if time.time() - status.st_mtime >= age_s:
                found[path] = status.st_size
    return found


def _resolved(path: Path) -> Path:
    """Where a link leads; the path itself when it is removed at this moment (`realpath` then raises)."""
    try:
        return Path(os.path.realpath(path))
    except OSError:
        return path


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - links stay as they are


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino
