"""The export folder: one trained model that loads anywhere, with what is needed to judge it. No pickle.

model.safetensors      weights that prediction needs         config.json         the TrialConfig
labels.json            names, thresholds, temperature        preprocessor.json   how text becomes features
provenance.json        which trial, data, code, machine      README.md           the model card
dev_predictions.csv  per_class.csv  confusion.svg            MANIFEST.json       SHA-256 of every file
backbone/              only in a bundle
adapter/               LoRA, in peft's own format: PeftModel.from_pretrained(backbone, "adapter") loads it; a model
                       with several encoders has adapter_text/, adapter_audio/, ...
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mer.checkpoints.export_decisions import read_decisions
from mer.checkpoints.export_manifest import ENSEMBLE, MAKE, MANIFEST, check_files, read_manifest, way_out
from mer.checkpoints.export_parts import FORMAT, Card, Labels, Provenance, reads_model
from mer.checkpoints.tensors import load_tensors, read_card, refuse_infinite
from mer.config import DataConfig, TargetKind, Task, TrialConfig
from mer.errors import MerError
from mer.files import sha256_json
from mer.places import home
from mer.read_files import as_model, complaint, read_object, shown
from mer.tensor_header import read_header

MODEL, BACKBONE, ADAPTER = "model.safetensors", "backbone", "adapter"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_MOST_INSIDE = 8  # exports, each the encoder of the one before
Some = TypeVar("Some")


@dataclass(frozen=True)
class Export:
    """An export whose files are all as they were written.

    Args:
        folder: where it lies.
        config: of the trial.
        class_names: of classes, numbers or labels, in the order of the outputs.
        provenance: where the model comes from.
        preprocessor: how text becomes the features it reads.
        threshold: of two classes, the second is the answer where its probability is at least this; None: the more
            probable class is.
        thresholds: of several labels, each is given where its probability is above its own; None: above one half.
        temperature: scores of classes or labels are divided by it before they become probabilities; None: they are not.
            Thresholds are of the probabilities that come of it.
    """

    folder: Path
    config: TrialConfig
    class_names: tuple[str, ...]
    provenance: dict[str, Any]
    preprocessor: dict[str, Any]
    threshold: float | None = None
    thresholds: dict[str, float] | None = None
    temperature: float | None = None

    @property
    def data(self) -> DataConfig:
        return self.config.data

    @property
    def kind(self) -> TargetKind:
        """What the outputs are: scores of classes, numbers, or scores of labels."""
        return self.config.data.task

    @property
    def title(self) -> str:
        """The model's name for people."""
        return f"{self.provenance.get('study', self.folder.name)}, trial {self.provenance.get('trial', '?')}"

    @property
    def reads(self) -> tuple[str, ...]:
        """The modalities that the model reads, in the order text, audio, video."""
        return tuple(self.config.encoders.present)

    @property
    def reads_dialogues(self) -> bool:
        return self.config.reads_dialogues

    @property
    def reads_context(self) -> bool:
        """True where a turn's answer depends on the others of its dialogue, or on who speaks."""
        text = self.config.encoders.text
        around = text is not None and (bool(text.context.past) or bool(text.context.future) or text.speaker != "none")
        return around or self.reads_dialogues

    @property
    def reads_names(self) -> bool:
        """True where the text encoder reads the speakers' names."""
        text = self.config.encoders.text
        return text is not None and text.speaker not in ("none", "local")

    @property
    def max_tokens(self) -> int | None:
        """Most tokens that are read of a text; None for a model that reads other modalities, and where another export
        reads the text."""
        return self.inputs["text"]["input"].get("max_tokens") if self.reads == ("text",) else None

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
        """Read the weights by name: `model.*`, and those that its kind of prediction needs besides.

        Raises: MerError for NaN or infinity among them.
        """
        path = self.folder / MODEL
        tensors = _whole(path, lambda: load_tensors(path)[0])
        refuse_infinite(path, tensors, way_out(self.folder))
        return tensors

    def adapters(self) -> dict[str, dict[str, Tensor]]:
        """Read the weights of adapters: modality -> tensors under peft's names; {} where there are none.

        Raises: MerError for NaN or infinity among them.
        """
        places = {m: self.folder / adapter_folder(self.config, m) / ADAPTER_WEIGHTS for m in self.config.tuned}
        return {modality: self._adapter(path) for modality, path in places.items() if path.is_file()}

    def _adapter(self, path: Path) -> dict[str, Tensor]:
        _whole(path, lambda: read_header(path))
        tensors = _whole(path, lambda: load_file(path))
        refuse_infinite(path, tensors, way_out(self.folder))
        return tensors


def adapter_folder(config: TrialConfig, modality: str) -> str:
    """The folder of one encoder's adapters inside an export."""
    return ADAPTER if len(config.encoders.present) == 1 else f"{ADAPTER}_{modality}"


def is_export(place: Path | str) -> bool:
    """Return whether a folder that `write_export` wrote is there. Nothing is checked."""
    return (home(place) / MANIFEST).is_file()


def trained_sha256(folder: Path | str) -> str:
    """Hash everything that was trained, by the manifest's hashes: the model, and its adapters if it has any."""
    names = read_manifest(home(folder))
    ours = {name: sha256 for name, sha256 in names.items() if name == MODEL or name.endswith(f"/{ADAPTER_WEIGHTS}")}
    return next(iter(ours.values())) if len(ours) == 1 else sha256_json(ours)


def read_export(folder: Path | str) -> Export:
    """Open an export and check every byte of it.

    Raises: MerError naming the first file that is missing, not as it was written, or not what an export holds.
    """
    folder = home(folder)
    hashes = read_manifest(folder)
    if ENSEMBLE in hashes:
        one = folder / "members" / "1"
        found = "it is an ensemble: several exports that answer together"
        raise MerError(folder, found, allowed="an export of one model", then=f"give a member of it, such as {one}")
    check_files(folder, hashes)
    return opened_export(folder)


def opened_export(folder: Path) -> Export:
    """Open an export whose files were checked. Raises: MerError for what an export does not hold."""
    config_json, labels_json, preprocessor, provenance = (
        read_object(folder / f"{name}.json", then=way_out(folder))
        for name in ("config", "labels", "preprocessor", "provenance")
    )
    if (found := provenance.get("format")) != FORMAT or isinstance(found, bool):
        raise MerError(
            folder, f"an export of format {shown(found)}", allowed=f"format {FORMAT}", then=f"{MAKE} makes it anew"
        )
    as_model(provenance, Provenance, folder / "provenance.json", then=way_out(folder))
    as_model(preprocessor, reads_model(preprocessor), folder / "preprocessor.json", then=way_out(folder))
    labels = as_model(labels_json, Labels, folder / "labels.json", then=way_out(folder))
    try:
        config = TrialConfig.recorded(config_json)
    except ValidationError as fault:
        raise MerError(
            folder / "config.json",
            f"{complaint(fault)[0]}; this version of mer does not know such a configuration",
            then=f"use the version that wrote it, or {MAKE}",
        ) from fault
    names = tuple(labels.class_names)
    decisions = read_decisions(folder, labels, config.data.task)
    export = Export(folder, config, names, provenance, preprocessor, *decisions)
    _refuse_mixed(export, labels)
    _refuse_circle(config, (folder.resolve(),))
    return export


def _refuse_mixed(export: Export, labels: Labels) -> None:
    """Refuse an export whose parts are of two models. Raises: MerError."""
    folder, config = export.folder, export.config
    if labels.task != config.data.label:
        raise MerError(
            folder / "labels.json", f"task is {labels.task}", allowed=config.data.label, then=way_out(folder)
        )
    if labels.kind != config.data.task:
        raise MerError(folder / "labels.json", f"kind is {labels.kind}", allowed=config.data.task, then=way_out(folder))
    told = export.preprocessor.get("modalities")
    told = {export.preprocessor["modality"]: export.preprocessor} if told is None else told
    reads = {name: one["modality"] for name, one in told.items()}
    if reads != {name: name for name in config.encoders.present}:
        raise MerError(
            folder / "preprocessor.json",
            f"it is of a model that reads {', '.join(reads.values()) or 'nothing'}",
            allowed=f"what config.json has: {', '.join(config.encoders.present)}",
            then=way_out(folder),
        )
    path = folder / MODEL
    card = as_model(_whole(path, lambda: read_card(path)), Card, path, then=way_out(folder))
    if tuple(card.class_names) != export.class_names:
        raise MerError(
            folder / "labels.json",
            f"class_names are {_some(export.class_names)}",
            allowed=f"those of the weights: {_some(card.class_names)}",
            then=way_out(folder),
        )


def _refuse_circle(config: TrialConfig, within: tuple[Path, ...]) -> None:
    """Refuse an export whose encoder is that export, or reads it in turn. Raises: MerError."""
    for encoder in config.encoders.present.values():
        if is_export(encoder.backbone):
            place = home(encoder.backbone).resolve()
            if place in within or len(within) >= _MOST_INSIDE:
                found = "it stands in the place of an encoder of itself"
                raise MerError(place, found, allowed="exports that read one another in turn", then=way_out(within[0]))
            _refuse_circle(as_model(read_object(place / "config.json"), TrialConfig, place), (*within, place))


def _some(names: Sequence[str]) -> str:
    return ", ".join(shown(name)[1:-1] for name in names[:10]) + (" ..." if len(names) > 10 else "")


def _whole(path: Path, read: Callable[[], Some]) -> Some:
    """Read tensors of an export. Raises: MerError for a file that is not whole, with what to do."""
    try:
        return read()
    except (MerError, SafetensorError) as fault:
        found = fault.found if isinstance(fault, MerError) else f"not a whole tensors file ({fault})"
        raise MerError(path, found, then=way_out(path.parent)) from fault
