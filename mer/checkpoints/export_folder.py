"""The export folder: one trained model that loads anywhere, with what is needed to judge it. No pickle.

    model.safetensors      weights that prediction needs         config.json         the TrialConfig
    labels.json            class names, task, threshold          preprocessor.json   how text becomes features
    provenance.json        which trial, data, code, machine      README.md           the model card
    dev_predictions.csv  per_class.csv  confusion.svg            MANIFEST.json       SHA-256 of every file
    backbone/              only in a bundle
    adapter/               LoRA, in peft's own format: PeftModel.from_pretrained(backbone, "adapter") loads it; a model
                           with several encoders has adapter_text/, adapter_audio/, ...

The folder is built beside its place and renamed, so it is whole or absent.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mer.checkpoints.tensors import load_tensors, save_tensors
from mer.config import Task, TrialConfig
from mer.errors import MerError
from mer.files import fsync_folder, sha256_file, sha256_json, write_json, write_text
from mer.folder_kinds import EXPORT_MARK, STUDY_MARK
from mer.terminal.commands import command

FORMAT = 1
MANIFEST, MODEL, BACKBONE, ADAPTER = EXPORT_MARK, "model.safetensors", "backbone", "adapter"
_ADAPTER_WEIGHTS = "adapter_model.safetensors"
_MAKE = "python -m mer.export STUDY"


@dataclass(frozen=True)
class Export:
    """An export whose files are all as they were written.

    Args:
        folder: where it lies.
        config: of the trial.
        class_names: in the order of the class scores.
        provenance: where the model comes from.
        preprocessor: how text becomes the features it reads.
        threshold: of two classes, the second is the answer where its probability is at least this; None: the more
            probable class is.
    """

    folder: Path
    config: TrialConfig
    class_names: tuple[str, ...]
    provenance: dict[str, Any]
    preprocessor: dict[str, Any]
    threshold: float | None = None

    @property
    def task(self) -> Task:
        return self.config.data.label

    @property
    def inputs(self) -> dict[str, dict[str, Any]]:
        """Modality -> how it becomes features, in the order text, audio, video (the file is sorted by name)."""
        several: dict[str, dict[str, Any]] = self.preprocessor.get("modalities", {})
        return {name: several.get(name, self.preprocessor) for name in self.config.encoders.present}

    @property
    def backbone_folder(self) -> Path | None:
        """The backbone inside a bundle, else None."""
        folder = self.folder / BACKBONE
        return folder if self.preprocessor.get("bundled") else None

    def tensors(self) -> dict[str, Tensor]:
        """Read the weights by name: `model.*`, and those that its kind of prediction needs besides."""
        return load_tensors(self.folder / MODEL)[0]

    def adapters(self) -> dict[str, dict[str, Tensor]]:
        """Read the weights of adapters: modality -> tensors under peft's names; {} where there are none."""
        places = {m: self.folder / adapter_folder(self.config, m) / _ADAPTER_WEIGHTS for m in self.config.tuned}
        return {modality: load_file(path) for modality, path in places.items() if path.is_file()}


@dataclass(frozen=True)
class Contents:
    """The parts of an export that is to be written.

    Args:
        documents: further files by name, e.g. README.md: text.
        backbone: files to copy into `backbone/`; none for an export that refers to its backbone.
        adapters: modality -> weights of adapters, under peft's names; their adapter_config.json is among the documents.
        threshold: as that of `Export`.
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


def adapter_folder(config: TrialConfig, modality: str) -> str:
    """The folder of one encoder's adapters inside an export."""
    return ADAPTER if len(config.encoders.present) == 1 else f"{ADAPTER}_{modality}"


def is_export(place: Path | str) -> bool:
    """Return whether a folder that `write_export` wrote is there. Nothing is checked."""
    return (Path(place).expanduser() / MANIFEST).is_file()


def trained_sha256(folder: Path | str) -> str:
    """Hash everything that was trained, by the manifest's hashes: the model, and its adapters if it has any."""
    names = _manifest(Path(folder).expanduser())
    ours = {name: sha256 for name, sha256 in names.items() if name == MODEL or name.endswith(f"/{_ADAPTER_WEIGHTS}")}
    return ours[MODEL] if len(ours) == 1 else sha256_json(ours)


def write_export(
    folder: Path, contents: Contents, *, force: bool = False, check: Callable[[Export], None] | None = None
) -> Export:
    """Write an export, whole or not at all.

    Args:
        force: replace an export that is there; anything else is never replaced.
        check: called with the finished export before it gets its name. If it raises, no file is left.
    Raises: MerError when the place is taken.
    """
    refuse_taken(folder, force=force)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.mkdir()
        _fill(temporary, contents)
        export = read_export(temporary)
        if check is not None:
            check(export)
        _put_in_place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return read_export(folder)


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


def read_export(folder: Path | str) -> Export:
    """Open an export and check every byte of it.

    Raises: MerError naming the first file that is missing or not as it was written, with both hashes.
    """
    folder = Path(folder).expanduser()
    for name, expected in _manifest(folder).items():
        _check(folder, name, expected)
    parts = {name: _json(folder / f"{name}.json") for name in ("config", "labels", "preprocessor", "provenance")}
    if parts["provenance"].get("format") != FORMAT:
        found = parts["provenance"].get("format")
        raise MerError(
            folder, f"an export of format {found}", allowed=f"format {FORMAT}", then=f"{_MAKE} makes it anew"
        )
    try:
        config = TrialConfig.recorded(parts["config"])
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise MerError(
            folder / "config.json",
            f"{where}: {first['msg']}; this version of mer does not know such a configuration",
            then=f"use the version that wrote it, or {_MAKE}",
        ) from fault
    names = tuple(parts["labels"]["class_names"])
    threshold = _threshold(folder, parts["labels"].get("threshold"), names)
    return Export(folder, config, names, parts["provenance"], parts["preprocessor"], threshold)


def _threshold(folder: Path, found: Any, names: Sequence[str]) -> float | None:
    """Read the decision threshold. Raises: MerError for one that is no probability, or of other than two classes."""
    if found is None:
        return None
    if len(names) != 2 or not isinstance(found, float) or not 0.0 < found < 1.0:
        allowed = "a probability between 0 and 1, of a model with two classes"
        raise MerError(folder / "labels.json", f"threshold is {found!r}", allowed=allowed, then=_way_out(folder))
    return found


def _fill(folder: Path, contents: Contents) -> None:
    save_tensors(folder / MODEL, dict(contents.tensors), {"format": FORMAT, "class_names": list(contents.class_names)})
    task = contents.config.data.label
    write_json(folder / "config.json", contents.config.model_dump(mode="json"))
    decision = {} if contents.threshold is None else {"threshold": contents.threshold}
    write_json(folder / "labels.json", {"task": task, "class_names": list(contents.class_names), **decision})
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
        place = folder / adapter_folder(contents.config, modality) / _ADAPTER_WEIGHTS
        save_file(weights, place, metadata={"format": "pt"})
        place.chmod((folder / "config.json").stat().st_mode)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    hashes = {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}
    write_json(folder / MANIFEST, {"format": FORMAT, "sha256": hashes})


def _put_in_place(temporary: Path, folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.old")
        folder.rename(aside)
        temporary.rename(folder)
        shutil.rmtree(aside, ignore_errors=True)
    else:
        temporary.rename(folder)
    fsync_folder(folder.parent)


def _manifest(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        raise MerError(folder, "no such folder", allowed="an export", then=f"make one: {_MAKE}")
    if not (folder / MANIFEST).is_file():
        hint = (
            f"it is a study: {command('mer.export', folder)}"
            if (folder / STUDY_MARK).exists()
            else f"make one: {_MAKE}"
        )
        raise MerError(folder, f"not an export (no {MANIFEST} in it)", then=hint)
    manifest = _json(folder / MANIFEST)
    hashes = manifest.get("sha256")
    if not isinstance(hashes, dict) or not hashes or not all(map(_inside, hashes)):
        raise MerError(folder / MANIFEST, "not a list of files with their hashes", then=_way_out(folder))
    return hashes


def _inside(name: str) -> bool:
    return not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts


def _check(folder: Path, name: str, expected: str) -> None:
    path = folder / name
    if not path.is_file():
        raise MerError(path, "this file of the export is missing", then=_way_out(folder))
    found = sha256_file(path)
    if found != expected:
        raise MerError(
            path,
            f"truncated or edited since the export was made: {path.stat().st_size} bytes with sha256 {found}",
            allowed=f"sha256 {expected} (from {MANIFEST})",
            then=_way_out(folder),
        )


def _way_out(folder: Path) -> str:
    return f"copy the folder again from where it is whole, or write it anew: {_MAKE} --out {folder} --force"


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise MerError(path, f"cannot be read: {fault}", then=_way_out(path.parent)) from fault
    if not isinstance(value, dict):
        raise MerError(path, "not a JSON object", then=_way_out(path.parent))
    return value
