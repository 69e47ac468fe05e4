"""Write, amend and copy an export: a folder is built beside its place and renamed, so it is whole or absent."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from safetensors.torch import save_file
from torch import Tensor

from mer.checkpoints.export_folder import ADAPTER_WEIGHTS, BACKBONE, MODEL, Export, adapter_folder, read_export
from mer.checkpoints.export_manifest import MANIFEST, read_manifest
from mer.checkpoints.export_parts import FORMAT
from mer.checkpoints.tensors import save_tensors
from mer.config import DataConfig, TrialConfig
from mer.errors import MerError
from mer.files import fsync_folder, sha256_file, write_json, write_text

Some = TypeVar("Some")


@dataclass(frozen=True)
class Contents:
    """The parts of an export that is to be written.

    Args:
        documents: further files by name, e.g. README.md: text.
        backbone: files to copy into `backbone/`; none for an export that refers to its backbone.
        adapters: modality -> weights of adapters, under peft's names; their adapter_config.json is among the documents.
        threshold, thresholds, temperature: as those of `Export`.
    """

    config: TrialConfig
    class_names: tuple[str, ...]
    tensors: Mapping[str, Tensor]
    preprocessor: Mapping[str, Any]
    provenance: Mapping[str, Any]
    documents: Mapping[str, str] = field(default_factory=dict)
    backbone: Sequence[Path] = ()
    adapters: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    threshold: float | None = None
    thresholds: Mapping[str, float] | None = None
    temperature: float | None = None


def write_export(
    folder: Path, contents: Contents, *, force: bool = False, check: Callable[[Export], None] | None = None
) -> Export:
    """Write an export, whole or not at all.

    Args:
        force: replace an export that is there; anything else is never replaced.
        check: called with the finished export before it gets its name. If it raises, no file is left.
    Raises: MerError when the place is taken.
    """
    return write_whole(folder, lambda place: _fill(place, contents), read_export, force=force, check=check)


def write_whole(
    folder: Path,
    fill: Callable[[Path], None],
    read: Callable[[Path], Some],
    *,
    force: bool,
    check: Callable[[Some], None] | None = None,
) -> Some:
    """Write a folder with a MANIFEST.json, whole or not at all.

    Args:
        fill: writes the files.
        read: opens what was written. Arguments that are not named here are those of `write_export`.
    Raises: MerError when the place is taken.
    """
    refuse_taken(folder, force=force)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.mkdir()
        fill(temporary)
        files = sorted(path for path in temporary.rglob("*") if path.is_file())
        hashes = {path.relative_to(temporary).as_posix(): sha256_file(path) for path in files}
        _write_manifest(temporary, hashes)
        written = read(temporary)
        if check is not None:
            check(written)
        _put_in_place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return read(folder)


def amend_export(folder: Path, documents: Mapping[str, str], files: Mapping[str, Path] | None = None) -> Export:
    """Replace or add documents of an export; its other files stay as they are. All of it happens, or nothing.

    Args: documents, files: as for `copy_export`.
    Raises: MerError for an export that is not whole; OSError where the folder cannot be written.
    """
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        copy_export(folder, temporary, documents, files)
        _put_in_place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return read_export(folder)


def copy_export(
    folder: Path, to: Path, documents: Mapping[str, str], files: Mapping[str, Path] | None = None
) -> Export:
    """Copy an export with some of its documents replaced or added.

    Args:
        to: the new folder.
        documents: file name -> text.
        files: file name -> a file to copy.
    Raises: MerError for an export that is not whole.
    """
    hashes, given = read_manifest(folder), files or {}
    to.mkdir()
    take_files(folder, to, hashes.keys() - documents.keys() - given.keys())
    for name, text in documents.items():
        write_text(to / name, text)
    for name, source in given.items():
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, to / name)
    _write_manifest(to, {**hashes, **{name: sha256_file(to / name) for name in (*documents, *given)}})
    return read_export(to)


def take_files(folder: Path, to: Path, names: Iterable[str]) -> None:
    """Give files of a folder a place in another, which takes no room where that can be."""
    for name in names:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        _link_or_copy(folder / name, to / name)


def _link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, which takes no room; on another file system, or for a link, copy it."""
    try:
        if not source.is_symlink():
            os.link(source, target)
            return
    except OSError:
        pass
    shutil.copyfile(source, target)


def refuse_taken(folder: Path, *, force: bool) -> None:
    """Raises: MerError when an export may not be written here."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.is_dir() and (folder / MANIFEST).is_file():
        if not force:
            raise MerError(folder, "an export is here already", then="replace it with --force, or choose another --out")
    elif folder.exists() or folder.is_symlink():
        what = "a folder that is no export of ours" if folder.is_dir() else "a file"
        raise MerError(folder, f"{what}: it is not replaced", then="choose another --out")


def _fill(folder: Path, contents: Contents) -> None:
    save_tensors(folder / MODEL, dict(contents.tensors), {"format": FORMAT, "class_names": list(contents.class_names)})
    write_json(folder / "config.json", contents.config.model_dump(mode="json"))
    decisions = (contents.threshold, contents.thresholds, contents.temperature)
    write_json(folder / "labels.json", labels_of(contents.config.data, contents.class_names, *decisions))
    write_json(folder / "preprocessor.json", {**contents.preprocessor, "bundled": bool(contents.backbone)})
    write_json(folder / "provenance.json", {**contents.provenance, "format": FORMAT})
    (folder / MODEL).chmod((folder / "config.json").stat().st_mode)  # safetensors lets only the owner read
    for name, text in contents.documents.items():
        write_text(folder / name, text)
    for source in contents.backbone:
        (folder / BACKBONE).mkdir(exist_ok=True)
        shutil.copyfile(source, folder / BACKBONE / source.name)
    for modality, adapter in contents.adapters.items():
        weights = {name: tensor.contiguous() for name, tensor in adapter.items()}
        place = folder / adapter_folder(contents.config, modality) / ADAPTER_WEIGHTS
        save_file(weights, place, metadata={"format": "pt"})
        place.chmod((folder / "config.json").stat().st_mode)


def _write_manifest(folder: Path, hashes: Mapping[str, str]) -> None:
    write_json(folder / MANIFEST, {"format": FORMAT, "sha256": dict(hashes)})


def labels_of(
    data: DataConfig,
    class_names: Sequence[str],
    threshold: float | None = None,
    thresholds: Mapping[str, float] | None = None,
    temperature: float | None = None,
) -> dict[str, Any]:
    """Say in labels.json what a model's outputs are, and when it answers what."""
    told: dict[str, Any] = {"task": data.label, "class_names": list(class_names)}
    if data.task != "class":
        told["kind"] = data.task
    if data.range is not None:
        told["range"] = list(data.range)
    if threshold is not None:
        told["threshold"] = threshold
    if thresholds is not None:
        told["thresholds"] = dict(thresholds)
    if temperature is not None:
        told["temperature"] = temperature
    return told


def _put_in_place(temporary: Path, folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.old")
        folder.rename(aside)
        temporary.rename(folder)
        for path in aside.glob(".*"):  # of other programs, such as git
            path.rename(folder / path.name)
        shutil.rmtree(aside, ignore_errors=True)
    else:
        temporary.rename(folder)
    fsync_folder(folder.parent)
