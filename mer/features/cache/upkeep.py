"""Upkeep of a cache folder: list its files, check them, remove those that nobody has read for long."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

from filelock import Timeout

from mer.errors import MerError
from mer.features.cache.feature_file import check_header, verify_features
from mer.locks import acquire

DAY_S = 86_400
_OF_SAFETENSORS = re.compile(r"\.tmp[A-Za-z0-9]{6}")  # the name by which it writes before it renames


@dataclass(frozen=True)
class CachedFile:
    """One file of the cache. A damaged one has a `fault` and an empty `header`.

    Args:
        cache_bytes: size on disk.
        unused_s: seconds since it was last loaded or made.
    """

    path: Path
    cache_bytes: int
    unused_s: float
    header: dict[str, Any]
    fault: MerError | None

    @property
    def key(self) -> str:
        return str(self.header.get("key", ""))


@dataclass(frozen=True)
class Removal:
    """A file or folder that `collect` removes, with the reason."""

    path: Path
    cache_bytes: int
    reason: str


def entries(cache: Path) -> list[CachedFile]:
    """List all feature files under `cache` and check their headers."""
    found = []
    for path in sorted(cache.rglob("*.safetensors")):
        if any(part.startswith(".") for part in path.relative_to(cache).parts):
            continue  # shards and half-written files
        state, fault, header = path.stat(), None, {}
        try:
            header = check_header(path)
        except MerError as problem:
            fault = problem
        found.append(CachedFile(path, state.st_size, max(0.0, time.time() - state.st_mtime), header, fault))
    return found


def masked_rows(entry: CachedFile) -> int:
    """Count the clips of a good file that could not be read, whose rows are zero. 0 for text."""
    from safetensors import safe_open

    if "present" not in entry.header["shapes"]:
        return 0
    with safe_open(entry.path, framework="np") as file:  # this tensor only: a cache may hold gigabytes
        return int((file.get_tensor("present") == 0).sum())


def verify(cache: Path) -> Iterator[tuple[Path, MerError | None]]:
    """Read every file whole and check every byte."""
    for entry in entries(cache):
        fault = entry.fault
        if fault is None:
            try:
                verify_features(entry.path)
            except MerError as problem:
                fault = problem
        yield entry.path, fault


def collect(
    cache: Path, *, older_than_days: float | None = None, keep: Sequence[str] = (), dry_run: bool = False
) -> list[Removal]:
    """Remove leftovers of killed runs and, if asked, files not used for some days.

    Files of a running extraction are left alone.

    Args:
        older_than_days: None removes leftovers only.
        keep: keys (or their beginnings) of files that stay whatever their age.
    Returns: the removed files, or with `dry_run` those that would be.
    """
    chosen = list(_leftovers(cache))
    if older_than_days is not None:
        for entry in entries(cache):
            kept = any(entry.key.startswith(key) for key in keep)
            if entry.fault is None and not kept and entry.unused_s >= older_than_days * DAY_S:
                chosen.append(Removal(entry.path, entry.cache_bytes, f"not used for {entry.unused_s / DAY_S:.0f} days"))
    return [removal for removal in chosen if _remove(removal.path, dry_run)]


def _leftovers(cache: Path) -> Iterator[Removal]:
    for path in sorted(cache.rglob(".*")):
        if path.suffix == ".parts" and path.is_dir():
            size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            yield Removal(path, size, "shards of an extraction that was interrupted")
        elif (path.suffix == ".tmp" and path.parent.suffix != ".parts") or _is_forgotten(path):
            yield Removal(path, path.stat().st_size, "half-written")


def _is_forgotten(path: Path) -> bool:
    """True for what safetensors left when its process was killed. Its age tells it from one that is being written."""
    return bool(_OF_SAFETENSORS.fullmatch(path.name)) and time.time() - path.stat().st_mtime > DAY_S


def _remove(path: Path, dry_run: bool) -> bool:
    """Remove one file or folder unless a running extraction holds its lock."""
    # path.name: '.dev-1a2b.parts', '.dev-1a2b.safetensors.<hex>.tmp', or 'dev-1a2b.safetensors'
    stem = path.name.lstrip(".").split(".")[0]
    lock_path = path.with_name(f".{stem}.lock")
    try:
        with acquire(lock_path, timeout_s=0):
            if not dry_run:
                if path.is_dir():
                    rmtree(path)
                else:
                    path.unlink(missing_ok=True)
                    if not path.name.startswith("."):
                        path.with_suffix(".json").unlink(missing_ok=True)
            lock_path.unlink(missing_ok=True)
    except Timeout:
        return False
    return True
