"""Hidden states of a teacher's encoder, stage by stage, cached in a feature file: what a review compares with.

The stages are evenly spaced hidden states, the last one included; each is averaged over equal parts of time. A file
holds them as features (N, stages x parts, D), float16, beside those of the teacher's outputs (`mer.model_outputs`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mer.checkpoints.export_folder import Export, is_export, read_export, trained_sha256
from mer.config import STAGES, DataConfig, EncoderConfig, has_weights, is_given
from mer.data import Corpus
from mer.errors import MerError
from mer.features import ensure_features, load_features
from mer.features.backbone.files import locate
from mer.features.cache.feature_file import check_header, place_of
from mer.features.cache.key import backbone_words, ingredients_of, labels_hash
from mer.features.cache.shards import as_stored
from mer.features.ensure import Ensured
from mer.features.partial import base_weights
from mer.features.reading import Extracted, PreparedSplit
from mer.files import sha256_file, sha256_json
from mer.model_outputs import describe_encoder, ensure_encoder
from mer.models.sequence_encoder import SequenceEncoder
from mer.predictor.opening import open_predictor
from mer.progress import Progress, Step
from mer.training import SequenceSplit

_WHERE = "distill.teacher"


def ensure_stages(
    teacher: Export | str,
    data: DataConfig,
    splits: Sequence[str],
    *,
    stages: int,
    parts: int,
    cache: Path,
    progress: Progress = None,
) -> Ensured:
    """Find or make the file of each split. Raises: MerError when the teacher has no such hidden states."""
    export = read_export(teacher) if isinstance(teacher, str) else teacher
    reading = StageReading(export, data, stages, parts, progress)
    done = ensure_features(data, None, splits, cache=cache, progress=progress, reading=reading)
    return Ensured(done.paths, done.encoded if reading.encoded else 0, done.seconds)


def stage_numbers(export: Export, stages: int) -> tuple[str, list[int]]:
    """Choose the teacher's encoder (text where it has one) and the numbers of its stages.

    Raises: MerError when it has fewer hidden states, or none of its own.
    """
    modality, encoder = next(iter(export.config.encoders.present.items()))
    if not has_weights(encoder) or is_export(encoder.backbone):
        what = "features that others extracted" if is_given(encoder) else "statistics of the signal"
        what = "another export" if is_export(encoder.backbone) else what
        raise MerError(
            _WHERE,
            f"{export.folder} reads {modality} by {what}, {encoder.backbone}, which has no hidden states to review",
            allowed="a teacher whose first encoder is pretrained",
            then="take another teacher, or distill.feature: similarity",
        )
    first = (encoder.first_tuned or 0) if encoder.mode != "frozen" else 0
    last = int(describe_encoder(encoder).layers) - 1
    if encoder.mode != "frozen":
        last = max(int(layer) for layer in export.inputs[modality]["layers"])
    if last - first < stages:
        raise MerError(
            _WHERE,
            f"{export.folder} has {last - first} layers of {modality} to review, and its students {stages} stages",
            allowed=f"at most {last - first} stages",
            then=f"list {max(last - first, 2)} or fewer hidden states in encoders.*.layers",
        )
    return modality, [first + round((stage + 1) * (last - first) / stages) for stage in range(stages)]


class StageReading:
    """Runs a teacher's encoder on its cached inputs; a `mer.features.reading.Reading`."""

    def __init__(self, export: Export, data: DataConfig, stages: int, parts: int, progress: Progress = None) -> None:
        self.export, self.data, self.parts, self.progress = export, data, parts, progress
        self.modality, self.numbers = stage_numbers(export, stages)
        encoder: EncoderConfig = export.config.encoders.present[self.modality]
        self.is_tuned = encoder.mode != "frozen"
        whole = {"mode": "full"} | ({"pooler": type(encoder)().pooler} if encoder.keeps_states else {})
        self.encoder = encoder if self.is_tuned else encoder.model_copy(update=whole)
        self.weights = trained_sha256(export.folder)
        self.name = f"stages of {export.folder}"
        self.slug = f"{export.folder.name}-{self.weights[:8]}-{STAGES}"
        self.device, self.unit = "cpu", "utterances"
        self.encoded = 0

    def prepare(self, corpus: Corpus, data: DataConfig, split: str, cache: Path) -> PreparedSplit:
        path = ensure_encoder(self.data, self.encoder, [split], cache=cache, progress=self.progress).paths[split]
        labels = {task: corpus.labels(split, task) for task in corpus.label_names}
        ids = tuple(utterance.id for utterance in corpus.utterances(split))
        config = sha256_file(self.export.folder / "config.json")
        ingredients = ingredients_of(
            modality=STAGES,
            dataset=corpus.name,
            split=split,
            backbone=backbone_words(self.name, None, "float32", weights=self.weights, tokenizer="", config=config),
            reads={"modality": self.modality, "hidden_states": self.numbers, "parts": self.parts},
            pooler="equal parts of time",
            content_sha256=sha256_json([check_header(path)["key"], labels_hash(labels, corpus.label_names)]),
        )
        place = place_of(ingredients, cache=cache, slug=self.slug)
        return PreparedSplit(split, ids, labels, corpus.label_names, [path], ingredients, place)

    @torch.no_grad()
    def extract(self, prepared: PreparedSplit, *, parts: Path, step: Step) -> Extracted:
        table = load_features(prepared.rows[0])
        assert table.sequences is not None
        encoder = self._open()
        count = len(table.ids)
        split = SequenceSplit(table.ids, table.sequences, np.zeros(count, dtype=np.int64), encoder.width)
        pieces = []
        for start in range(0, count, split.chunk_rows):
            step(start, count)
            batch, _ = split.batch(np.arange(start, min(start + split.chunk_rows, count)), [])
            staged = encoder.staged(batch, self.parts)[1]
            pieces.append(staged.flatten(1, 2).numpy())
        step(count, count)
        self.encoded += count
        states = np.concatenate(pieces)
        states[~table.present] = 0.0
        return Extracted(as_stored(states), count, present_N=table.present)

    def _open(self) -> SequenceEncoder:
        """Build the encoder with the weights that the teacher has, in eval mode."""
        found = locate(self.encoder, weights=True)
        start = self.encoder.first_tuned
        base: Mapping[str, Any] = base_weights(self.encoder, found, start)
        if self.is_tuned:
            return open_predictor(self.export).encoder_reading(self.modality, self.numbers)
        return SequenceEncoder(self.encoder, found, base, start=start, reads=self.numbers).eval()
