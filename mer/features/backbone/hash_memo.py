"""SHA-256 of files that are read again and again, remembered by path, size and time of change."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mer.files import sha256_file, sha256_json, write_json
from mer.progress import Step
from mer.read_files import read_object

_LARGEST_BYTES = 2**28  # of a memo: some millions of clips


class HashMemo:
    """Remembers hashes. A broken or read-only memo is ignored, and files are then hashed anew.

    Args: path: JSON file of the memo; None remembers nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._known: dict[str, str] = {}
        self._changed = False
        if path is not None:
            with contextlib.suppress(OSError, ValueError):
                known = read_object(path, largest=_LARGEST_BYTES)
                self._known = {stamp: sha for stamp, sha in known.items() if isinstance(sha, str)}

    def sha256(self, file: Path) -> str:
        """Hash a file, or the files of a folder by their names. Raises: OSError when it cannot be read."""
        if file.is_dir():
            return sha256_json({child.name: self.sha256(child) for child in sorted(file.iterdir()) if child.is_file()})
        state = file.stat()
        stamp = f"{file.resolve()} {state.st_size} {state.st_mtime_ns}"
        if stamp not in self._known:
            self._known[stamp] = sha256_file(file)
            self._changed = True
        return self._known[stamp]

    def is_new(self, files: Sequence[Path]) -> bool:
        """True when most of these were never hashed here, so that hashing them will take a while."""
        known = {stamp.rsplit(" ", 2)[0] for stamp in self._known}
        return sum(str(file.resolve()) in known for file in files) < len(files) / 2

    def sha256_all(self, files: Sequence[Path], step: Step, threads: int) -> list[str | None]:
        """Hash every file in threads (hashlib releases Python's lock); None for a file that cannot be read."""

        def one(file: Path) -> str | None:
            try:
                return self.sha256(file)
            except OSError:
                return None

        hashes: list[str | None] = []
        with ThreadPoolExecutor(threads) as pool:
            for sha256 in pool.map(one, files):
                hashes.append(sha256)
                step(len(hashes), len(files))
        return hashes

    def save(self) -> None:
        if self.path is not None and self._changed:
            with contextlib.suppress(OSError):  # a cache that others own may be read-only
                write_json(self.path, self._known)
                self._changed = False
