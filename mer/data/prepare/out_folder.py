"""The folder that `prepare` writes: locked for one run, known for its own, with the CSV files of its splits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from filelock import Timeout

from mer.data.prepare.manifest import MANIFEST, Manifest, read_manifest
from mer.data.prepare.placing import copy
from mer.data.prepare.raw_clips import find_csv
from mer.data.readers.meld import MELD
from mer.errors import MerError
from mer.locks import acquire
from mer.terminal.commands import command


@contextlib.contextmanager
def alone(out: Path) -> Iterator[None]:
    """Lock `out` for this run, and remove half-written files of a killed one. Raises: MerError if it is locked."""
    if out.exists() and not out.is_dir():
        raise MerError(out, "this is a file", allowed="a folder", then="choose another folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    try:
        lock = acquire(out / ".prepare.lock", timeout_s=0)
    except Timeout as fault:
        found = "another `python -m mer.data prepare` is at work in this folder"
        raise MerError(out, found, then="wait for it to end, or choose another folder with --out") from fault
    with lock:
        if (out / MANIFEST).is_file():
            for kind in ("audios", "videos"):
                for rest in (out / kind).glob("*/.dia*.tmp"):
                    rest.unlink(missing_ok=True)
        yield


def open_manifest(raw: Path, out: Path) -> Manifest:
    """Open the manifest of earlier runs. Raises: MerError if `out` has clips that no earlier run made."""
    manifest = read_manifest(out)
    if manifest is not None:
        return manifest
    there = [f"{kind}/" for kind in ("audios", "videos") if (out / kind).exists()]
    if there:
        raise MerError(
            out,
            f"{' and '.join(there)} here were not made from {raw}; they are not overwritten",
            allowed="a folder without them, or one that `python -m mer.data prepare` made",
            then="choose another folder with --out, or move them away",
        )
    return Manifest()


def collect_csv(raw: Path, out: Path, folders: Mapping[str, Path]) -> list[str]:
    """Copy the CSV files that only the archive has. Returns: the splits with clips and a CSV file.

    Raises: MerError if there is none.
    """
    for split in folders:
        target = MELD.path(out, split)
        source = find_csv(raw, split, target.name)
        if not target.exists() and source is not None:
            copy(source, target)
    splits = [split for split in folders if MELD.path(out, split).is_file()]
    if not splits:
        names = ", ".join(MELD.path(out, split).name for split in folders)
        raise MerError(
            out,
            f"no {names} here, nor in {raw}",
            allowed="the CSV file of a split beside its clips, or in the folder to write",
            then=f"`{command('mer.data', 'get', 'meld', '--root', out)}`, then the same command",
        )
    return splits
