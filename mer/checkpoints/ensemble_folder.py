"""The folder of an ensemble: several exports that answer together, each whole in `members/`. No pickle.

ensemble.json          the members, in order                 labels.json         names, thresholds, temperature
provenance.json        members, seeds, dev scores            README.md           the card
dev_predictions.csv  per_class.csv  confusion.svg            MANIFEST.json       SHA-256 of every file
members/1/ ...         exports, as `mer.checkpoints.export_folder` says
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from mer.checkpoints.export_decisions import read_decisions
from mer.checkpoints.export_folder import Export, opened_export, read_export
from mer.checkpoints.export_manifest import ENSEMBLE, check_files, read_manifest, way_out
from mer.checkpoints.export_parts import FORMAT, Labels
from mer.config import DataConfig, TargetKind, Task
from mer.errors import MerError
from mer.places import home
from mer.read_files import as_model, read_object

_ORDER = ("text", "audio", "video")
_NEEDED = (ENSEMBLE, "labels.json", "provenance.json")


class Members(BaseModel):
    """ensemble.json."""

    model_config = ConfigDict(strict=True, frozen=True)
    format: int = FORMAT
    members: Annotated[list[Annotated[str, Field(pattern=r"^members/[0-9]+$")]], Field(min_length=2, max_length=1000)]


@dataclass(frozen=True)
class Ensemble:
    """An ensemble whose files are all as they were written. What it has in common with an `Export` is named as there.

    Args:
        members: the models, in order; all give the same outputs.
        class_names, provenance, threshold, thresholds, temperature: as those of `Export`; of the averaged answers.
    """

    folder: Path
    members: tuple[Export, ...]
    class_names: tuple[str, ...]
    provenance: dict[str, Any]
    threshold: float | None = None
    thresholds: dict[str, float] | None = None
    temperature: float | None = None

    @property
    def data(self) -> DataConfig:
        return self.members[0].data

    @property
    def kind(self) -> TargetKind:
        return self.data.task

    @property
    def task(self) -> Task:
        return self.data.label

    @property
    def title(self) -> str:
        return f"{self.folder.name}, {len(self.members)} models"

    @property
    def reads(self) -> tuple[str, ...]:
        """The modalities that any member reads, in the order text, audio, video."""
        return tuple(modality for modality in _ORDER if any(modality in member.reads for member in self.members))

    @property
    def reads_dialogues(self) -> bool:
        return any(member.reads_dialogues for member in self.members)

    @property
    def reads_context(self) -> bool:
        return any(member.reads_context for member in self.members)

    @property
    def reads_names(self) -> bool:
        return any(member.reads_names for member in self.members)

    @property
    def max_tokens(self) -> int | None:
        known = [member.max_tokens for member in self.members if member.max_tokens is not None]
        return min(known, default=None)


def is_ensemble(place: Path | str) -> bool:
    """Return whether an ensemble is there. Nothing is checked."""
    return (home(place) / ENSEMBLE).is_file()


def read_any(folder: Path | str) -> Export | Ensemble:
    """Open an export, or an ensemble of exports, and check every byte of it. Raises: MerError."""
    return read_ensemble(folder) if ENSEMBLE in read_manifest(home(folder)) else read_export(folder)


def read_ensemble(folder: Path | str) -> Ensemble:
    """Open an ensemble and check every byte of it, those of its members too.

    Raises: MerError naming the first file that is missing, not as it was written, or not what an ensemble holds.
    """
    folder = home(folder)
    check_files(folder, read_manifest(folder), _NEEDED)
    said = as_model(read_object(folder / ENSEMBLE), Members, folder / ENSEMBLE, then=way_out(folder))
    if said.format != FORMAT:
        raise MerError(folder / ENSEMBLE, f"format is {said.format}", allowed=str(FORMAT), then=way_out(folder))
    members = tuple(opened_export(folder / name) for name in said.members)
    labels = as_model(read_object(folder / "labels.json"), Labels, folder / "labels.json", then=way_out(folder))
    first, names = members[0], tuple(labels.class_names)
    for member in members:
        if (member.class_names, member.kind, member.task) != (names, labels.kind, labels.task):
            raise MerError(
                member.folder / "labels.json",
                f"it gives {labels_words(member.class_names)} ({member.task})",
                allowed=f"what the ensemble gives: {labels_words(names)} ({labels.task})",
                then=way_out(folder),
            )
    provenance = read_object(folder / "provenance.json", then=way_out(folder))
    return Ensemble(folder, members, names, provenance, *read_decisions(folder, labels, first.kind))


def labels_words(names: tuple[str, ...]) -> str:
    """Name the outputs of a model, in order."""
    return ", ".join(names[:20]) + (" ..." if len(names) > 20 else "")
