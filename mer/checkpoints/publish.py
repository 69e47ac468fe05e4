"""Publishing: move a finished tensors file into the store and leave a link in its place."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from mer.checkpoints.header import read_front, sidecar, without_card
from mer.checkpoints.store_folder import FOLDER, StoreFolder, beside, resolved
from mer.errors import MerError
from mer.files import fsync_folder, sha256_file, write_text
from mer.read_files import require_regular

_CHUNK_BYTES = 2**20
_NO_SYMLINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}


class Publisher(StoreFolder):
    """Writes into the store. Any number of processes may publish at once.

    Args: symlink: `os.symlink`, or a stand-in for a file system that has none.
    """

    def __init__(
        self, studies: Path, also: tuple[Path, ...] = (), *, symlink: Callable[[str, Path], object] = os.symlink
    ) -> None:
        super().__init__(studies, also)
        self.links = True  # False once a file system has refused a symlink: files stay where they are, as copies
        self._symlink = symlink

    def publish(self, path: Path, *, split_card: bool = False) -> str:
        """Move a finished file into the store, put a relative link in its place, and return its SHA-256.

        A file may be published again, and files of equal content from several processes at once. On a file system
        without symlinks the file stays a copy; `links` then turns False, and one warning says so.

        Args: split_card: first move the JSON card of one of our checkpoints out of its header into a sidecar.
        Raises: MerError when the file is torn, or is a link that leads elsewhere.
        """
        root = self.root_of(path)
        with self.locked(fcntl.LOCK_SH):
            if path.is_symlink():
                return self._linked(path)
            self.remember(root)
            require_regular(path)
            with path.open("rb") as stream:
                return self._publish(path, stream, split_card)

    def object_of(self, path: Path) -> str | None:
        """SHA-256 of the object that publishing a file, card apart, would give or has given; None when none is there.

        Raises: MerError when the file is torn; OSError.
        """
        with path.open("rb") as stream:
            front = read_front(stream, path)
            sha = _copy(stream, len(front), without_card(front)[0], None)
        return sha if self.object(sha).exists() else None

    def relink(self, path: Path) -> None:
        """Lead a link to the object that its words name, which is there: its folder came from another depth."""
        target = self.named(path)
        assert target is not None
        link = beside(path)
        with self.locked(fcntl.LOCK_SH):
            self._symlink(os.path.relpath(target.resolve(), path.parent.resolve()), link)
            link.replace(path)
            fsync_folder(path.parent)

    @contextlib.contextmanager
    def moving(self, into: Path) -> Iterator[None]:
        """Hold `gc` off while folders with links move to `into`, a folder in the studies folder.

        A link counts its way up to the store. A `.store` link in `into` makes that way right from one level deeper.
        """
        if not self.root.exists():
            yield
            return
        with self.locked(fcntl.LOCK_SH):
            bridge = into / FOLDER
            if not bridge.is_symlink():
                with contextlib.suppress(OSError, NotImplementedError):
                    self._symlink(os.path.relpath(self.root.resolve(), into.resolve()), bridge)
            yield

    def _publish(self, path: Path, stream: BinaryIO, split_card: bool) -> str:
        front = read_front(stream, path)
        start = len(front)
        front, card = without_card(front) if split_card else (front, None)
        sha = _copy(stream, start, front, None)
        target = self.object(sha)
        link = beside(path)
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
            if path.is_symlink():  # another process has published it meanwhile
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
        temporary = beside(target)
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
        """True when the object is there and its bytes have the right hash; a spoilt one is written again."""
        try:
            if sha256_file(target) != sha:
                return False
            with contextlib.suppress(PermissionError):  # another user's object
                os.utime(target)  # a new reference: its grace begins anew
            return True
        except FileNotFoundError:
            return False

    def _linked(self, path: Path) -> str:
        """SHA-256 of the object that a link leads to. Raises: MerError when it leads nowhere, or elsewhere."""
        fault = self.link_fault(path)
        if fault:
            raise fault
        return resolved(path).stem

    def _say_no_links(self, path: Path) -> None:
        if self.links:
            self.links = False
            words = f"{path.parent}: this file system has no symlinks; equal tensors files stay copies at full size"
            warnings.warn(words, RuntimeWarning, stacklevel=4)


def _copy(stream: BinaryIO, start: int, front: bytes, out: BinaryIO | None) -> str:
    """Write `front` and everything after `start` in `stream` to `out`, if given; return the SHA-256 of those bytes."""
    digest = hashlib.sha256(front)
    if out:
        out.write(front)
    stream.seek(start)
    while chunk := stream.read(_CHUNK_BYTES):
        digest.update(chunk)
        if out:
            out.write(chunk)
    return digest.hexdigest()


def _changed(path: Path) -> MerError:
    return MerError(path, "it changed while it was published", then="publish finished files only")
