"""Outputs of an exported model for a dataset, cached in a feature file: its h and its class scores.

Two kinds of trial read them: students of a teacher (`distill.teacher`), and models that use the export as the frozen
encoder of a modality (`encoders.text.backbone: exports/...`). A trial never runs the exported model itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mer.checkpoints.export_folder import MODEL, Export, is_export, read_export, trained_sha256
from mer.config import SPEAKERS, DataConfig, EncoderConfig, TextEncoderConfig, is_given
from mer.data import Corpus
from mer.data.types import dialogue_numbers
from mer.errors import MerError
from mer.features import BackboneCard, FeatureTable, describe_backbone, ensure_features, load_features
from mer.features.backbone.layers import check_depth
from mer.features.cache.feature_file import check_header, place_of
from mer.features.cache.key import backbone_words, ingredients_of, labels_hash
from mer.features.ensure import Ensured
from mer.features.from_text.pooled import TextReading
from mer.features.from_text.sequences import TextSequenceReading
from mer.features.reading import Extracted, PreparedSplit, Spread
from mer.features.rehearse import rehearse
from mer.features.speakers import SpeakerReading
from mer.files import sha256_file, sha256_json
from mer.predictor.opening import open_predictor
from mer.predictor.scorer import Turns
from mer.progress import Progress, Step
from mer.tensor_header import read_header

_OWN_KEYS = {"backbone", "mode", "layers"}


def ensure_encoder(
    data: DataConfig,
    encoder: EncoderConfig,
    splits: Sequence[str],
    *,
    cache: Path,
    progress: Progress = None,
    spread: Spread | None = None,
    max_failed: float | None = None,
) -> Ensured:
    """`ensure_features`, also for an encoder whose backbone is an export. Raises: MerError."""
    if not is_export(encoder.backbone):
        return ensure_features(
            data, encoder, splits, cache=cache, progress=progress, spread=spread, max_failed=max_failed
        )
    describe_encoder(encoder)
    return ensure_outputs(encoder.backbone, data, splits, cache=cache, progress=progress, spread=spread)


def ensure_earlier(
    data: DataConfig, encoder: TextEncoderConfig, splits: Sequence[str], *, cache: Path, progress: Progress = None
) -> Ensured:
    """Find or make the file of each split in which windows are asked about an earlier turn. Raises: MerError."""
    if is_export(encoder.backbone) or is_given(encoder):
        what = "features that others extracted" if is_given(encoder) else "an export, which reads in its own way"
        raise MerError(
            "loss.contrastive.earlier_share",
            f"encoders.text.backbone {encoder.backbone} is {what}",
            allowed="a pretrained text encoder",
            then="--set loss.contrastive.earlier_share=0",
        )
    kind = TextReading if encoder.mode == "frozen" else TextSequenceReading
    reading = kind(encoder, cache, asks_earlier=True)
    return ensure_features(data, None, splits, cache=cache, progress=progress, reading=reading)


def ensure_speakers(data: DataConfig, splits: Sequence[str], *, cache: Path) -> Ensured:
    """Find or make the file of each split that says who speaks. Raises: MerError."""
    return ensure_features(data, None, splits, cache=cache, progress=False, reading=SpeakerReading())


def rehearse_encoder(
    encoder: EncoderConfig, corpus: Corpus, splits: Sequence[str], *, max_failed: float | None = None
) -> None:
    """`rehearse`, also for an encoder whose backbone is an export. Raises: MerError."""
    if not is_export(encoder.backbone):
        rehearse(encoder, corpus, splits, max_failed=max_failed)
        return
    describe_encoder(encoder)
    for inner in read_export(encoder.backbone).config.encoders.present.values():
        rehearse_encoder(inner, corpus, splits)


def ensure_outputs(
    folder: str,
    data: DataConfig,
    splits: Sequence[str],
    *,
    cache: Path,
    progress: Progress = None,
    spread: Spread | None = None,
) -> Ensured:
    """Find or make the file of an export's outputs for each split, after the features that the export reads.

    Raises: MerError when the export is not whole, or the features that it reads are not to be had.
    """
    reading = ModelReading(read_export(folder), data, progress=progress, spread=spread)
    done = ensure_features(data, None, splits, cache=cache, progress=progress, reading=reading)
    return Ensured(done.paths, done.encoded if reading.encoded else 0, done.seconds)


def describe_encoder(encoder: EncoderConfig) -> BackboneCard:
    """`describe_backbone`, also for an export in an encoder's place.

    Raises: MerError when the export reads another modality, or the encoder has settings that the export decides.
    """
    if not is_export(encoder.backbone):
        card = describe_backbone(encoder)
        if encoder.mode != "frozen":
            check_depth(encoder, card.layers - 1)
        return card
    export, modality = read_export(encoder.backbone), encoder.modality
    where = f"encoders.{modality}.backbone"
    if encoder.mode != "frozen":
        raise MerError(
            where, f"{encoder.backbone} is an export, whose weights stay as they are", allowed="mode: frozen"
        )
    if list(export.inputs) != [modality]:
        reads = ", ".join(export.inputs)
        raise MerError(where, f"{encoder.backbone} reads {reads}", allowed=f"an export that reads {modality} alone")
    said = encoder.model_dump(exclude=_OWN_KEYS)
    usual = type(encoder)().model_dump(exclude=_OWN_KEYS)
    if other := [name for name in said if said[name] != usual.get(name)]:
        raise MerError(
            where,
            f"{encoder.backbone} decides how it reads: {', '.join(other)} cannot be set beside it",
            then="remove it",
        )
    return BackboneCard(encoder.backbone, None, None, layers=1, width=width_of(export))


def width_of(export: Export) -> int:
    """The width of the export's h. Raises: MerError where its weights do not say it."""
    path = export.folder / MODEL
    shape = read_header(path).shapes.get("model.classifier.weight", ())
    if len(shape) != 2:
        raise MerError(path, "its classifier is not there", allowed="an export with one classifier")
    return shape[1]


def own_features(export: Export, data: DataConfig, split: str, *, cache: Path, **how: Any) -> dict[str, Path]:
    """Find or extract the files that an export reads of a split: modality, or SPEAKERS -> file. Raises: MerError."""
    files = {}
    for modality, encoder in export.config.encoders.present.items():
        revision = export.inputs[modality]["backbone"].get("revision")  # the commit that was used
        pinned = encoder.model_copy(update={"revision": revision}) if revision else encoder
        files[modality] = ensure_encoder(data, pinned, [split], cache=cache, **how).paths[split]
    if export.config.reads_speakers:
        files[SPEAKERS] = ensure_speakers(data, [split], cache=cache).paths[split]
    return files


def read_of(tables: Mapping[str, FeatureTable]) -> tuple[dict[str, Any], Turns]:
    """Return what a Scorer reads of a split: features by modality, and how its rows stand in dialogues.

    Args: tables: modality, or SPEAKERS -> the split's table.
    """
    told = tables.get(SPEAKERS)
    speaker_N = None if told is None else told.features[:, 0, 0].astype(np.int64)
    read = {modality: (table.inputs, table.present) for modality, table in tables.items() if modality != SPEAKERS}
    return read, Turns(dialogue_numbers(next(iter(tables.values())).ids), speaker_N)


class ModelReading:
    """Runs an exported model on the cached features of its own encoders; a `mer.features.reading.Reading`."""

    def __init__(self, export: Export, data: DataConfig, *, progress: Progress = None, spread: Spread | None = None):
        self.export, self.data, self.progress, self.spread = export, data, progress, spread
        self.weights = trained_sha256(export.folder)
        self.name = str(export.folder)
        self.slug = f"{export.folder.name}-{self.weights[:8]}"
        self.device, self.unit = "cpu", "utterances"
        self.encoded = 0  # utterances that the model has read so far

    def prepare(self, corpus: Corpus, data: DataConfig, split: str, cache: Path) -> PreparedSplit:
        files = own_features(self.export, data, split, cache=cache, progress=self.progress, spread=self.spread)
        labels = {task: corpus.labels(split, task) for task in corpus.label_names}
        ingredients = self._ingredients(corpus, split, files, labels)
        path = place_of(ingredients, cache=cache, slug=self.slug)
        ids = tuple(utterance.id for utterance in corpus.utterances(split))
        return PreparedSplit(split, ids, labels, corpus.label_names, list(files.items()), ingredients, path)

    def extract(self, prepared: PreparedSplit, *, parts: Path, step: Step) -> Extracted:
        tables: dict[str, FeatureTable] = {modality: load_features(path) for modality, path in prepared.rows}
        predictor = open_predictor(self.export)
        step(0, len(prepared.ids))
        h_NH, logits_NC = predictor.outputs(*read_of(tables))
        present_N: np.ndarray = np.any([tables[m].present for m in self.export.config.encoders.present], axis=0)
        h_NH[~present_N] = 0.0
        step(len(prepared.ids), len(prepared.ids))
        self.encoded += len(prepared.ids)
        return Extracted(h_NH[:, None], len(prepared.ids), present_N=present_N, logits_NC=logits_NC)

    def _ingredients(
        self, corpus: Corpus, split: str, files: Mapping[str, Path], labels: Mapping[str, np.ndarray]
    ) -> dict[str, Any]:
        """Ingredients of the key: the hash of the model's weights, and the keys of its inputs."""
        keys = {modality: check_header(path)["key"] for modality, path in files.items()}
        made = ingredients_of(
            modality="model",
            dataset=corpus.name,
            split=split,
            backbone=backbone_words(
                self.name,
                None,
                "float32",
                weights=self.weights,
                tokenizer="",
                config=sha256_file(self.export.folder / "config.json"),
            ),
            reads={"modalities": list(files), "class_names": list(self.export.class_names)},
            pooler="h",
            storage="float32",
            content_sha256=sha256_json([keys, labels_hash(labels, corpus.label_names)]),
        )
        return {**made, "torch": torch.__version__.split("+")[0]}
