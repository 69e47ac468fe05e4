"""MANIFEST.json of an export: it names every file with its SHA-256, and every file of the folder is named."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict

from mer.errors import MerError
from mer.files import sha256_file
from mer.folder_kinds import EXPORT_MARK, STUDY_MARK
from mer.read_files import Unreadable, read_model, require_regular, shown
from mer.tensor_header import read_header
from mer.terminal.commands import command, quoted
from mer.terminal.escapes import neutral

MANIFEST = EXPORT_MARK
ENSEMBLE = "ensemble.json"  # names the members of an ensemble
MAKE = "python -m mer.export STUDY"
_NEEDED = ("config.json", "labels.json", "model.safetensors", "preprocessor.json", "provenance.json")
_LARGE_BYTES = 2**28  # only tensors are larger; their size is compared with their header before they are hashed
_ALLOWED = "names of files inside the folder, each with its hash"


class _Manifest(BaseModel):
    model_config = ConfigDict(strict=True)
    sha256: dict[str, str]


def read_manifest(folder: Path) -> dict[str, str]:
    """Read the hashes of an export's files by their names. Raises: MerError when it is none."""
    if not folder.is_dir():
        raise MerError(folder, "no such folder", allowed="an export", then=f"make one: {MAKE}")
    if not (folder / MANIFEST).is_file():
        is_study = (folder / STUDY_MARK).exists()
        hint = f"it is a study: {command('mer.export', folder)}" if is_study else f"make one: {MAKE}"
        raise MerError(folder, f"not an export (no {MANIFEST} in it)", then=hint)
    hashes = read_model(folder / MANIFEST, _Manifest, then=way_out(folder)).sha256
    for name in hashes:
        if not _is_inside(name):
            raise MerError(folder / MANIFEST, f"names {shown(name)}", allowed=_ALLOWED, then=way_out(folder))
    return hashes


def check_files(folder: Path, hashes: Mapping[str, str], needed: Sequence[str] = _NEEDED) -> None:
    """Check every byte of an export. Raises: MerError naming the first file at fault."""
    if absent := [name for name in needed if name not in hashes]:
        raise MerError(folder / MANIFEST, f"does not name {', '.join(absent)}", allowed=_ALLOWED, then=way_out(folder))
    for name, expected in hashes.items():
        _check(folder, name, expected)
    for path in _files(folder):
        if path.relative_to(folder).as_posix() not in {*hashes, MANIFEST}:
            found = f"{MANIFEST} does not name this file: it came after the export was made"
            raise MerError(path, found, allowed="the files that were exported", then="move it out of the export")


def way_out(folder: Path) -> str:
    """Advise on an export that is not as it was written."""
    anew = command("mer.export", "STUDY", "--out", folder, "--force")
    return f"copy the folder again from where it is whole, or write it anew: {anew}"


def _is_inside(name: str) -> bool:
    parts = PurePosixPath(name).parts
    plain = "/".join(parts) == name and "\\" not in name and "\x00" not in name
    return bool(parts) and plain and ".." not in parts and not name.startswith("/")


def _files(folder: Path) -> list[Path]:
    """List the files of a folder, links and all; those whose names begin with a dot are other programs'."""
    found: list[Path] = []
    for place, inner, names in os.walk(folder):
        inner[:] = [name for name in inner if not name.startswith(".")]
        links = [name for name in inner if (Path(place) / name).is_symlink()]
        found += [Path(place) / name for name in (*names, *links) if not name.startswith(".")]
    return sorted(found)


def _check(folder: Path, name: str, expected: str) -> None:
    path = folder / name
    if not path.exists():
        raise MerError(path, "this file of the export is missing", then=way_out(folder))
    if not path.resolve().is_relative_to(folder.resolve()):
        copy = folder.absolute().with_name(f"{folder.absolute().name}-copy")
        then = (
            f"where you trust what its links lead to, make a copy without links: cp -rL {quoted(folder)} {quoted(copy)}"
        )
        raise MerError(path, "a link that leads out of the export", allowed="the file itself", then=then)
    size = require_regular(path).st_size
    if size > _LARGE_BYTES:
        if path.suffix != ".safetensors":
            raise MerError(path, f"has {size} bytes", allowed=f"at most {_LARGE_BYTES}", then=way_out(folder))
        try:
            read_header(path)
        except Unreadable as fault:
            raise MerError(path, fault.found, allowed=fault.allowed, then=way_out(folder)) from fault
    found = sha256_file(path)
    if found != expected:
        raise MerError(
            path,
            f"truncated or edited since the export was made: {size} bytes with sha256 {found}",
            allowed=f"sha256 {neutral(expected)[:100]} (from {MANIFEST})",
            then=way_out(folder),
        )
