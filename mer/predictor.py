"""An exported model at work: text in, labels and probabilities out.

    import mer
    model = mer.load("exports/spcl")
    print(model.predict(["Oh my God!"])[0].label)

Needs torch, transformers and safetensors; no ray, optuna or mlflow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mer.checkpoints.export import MODEL, Export, read_export
from mer.checkpoints.tensors import under
from mer.config import TextEncoderConfig
from mer.data import Dialogue, Utterance
from mer.data.text import NORMALISATION_VERSION, normalise
from mer.errors import MerError
from mer.features.backbones import BackboneFolder, fingerprint, locate
from mer.features.extraction import TOKENS_PER_BATCH
from mer.features.live import LiveEncoder
from mer.features.progress import Progress
from mer.features.tokens import PREPROCESSING_VERSION
from mer.losses import Objective, build_objective
from mer.training import SplitArrays, build_model, class_scores

WORDS = "label_text.words_CLD"  # tensor of an export: features of the label words, where prediction reads them
SOMEBODY = "Speaker"  # who speaks when nobody says who, for encoders that read the speaker's name


@dataclass(frozen=True)
class Prediction:
    """One utterance's label.

    Args:
        label: the most probable class.
        probabilities: of every class, in the model's order; they sum to 1.
        truncated: the utterance was longer than the model reads; its beginning was left out.
    """

    label: str
    probabilities: dict[str, float]
    truncated: bool = False


class Predictor:
    """A loaded export. Build it with `load`."""

    def __init__(self, export: Export, encoder: LiveEncoder, device: str = "cpu") -> None:
        self.export, self.device = export, device
        self._encoder = encoder
        tensors = export.tensors()
        shape = export.preprocessor
        self._layers = [int(layer) for layer in shape["layers"]]
        config = export.config
        try:
            self._model = build_model(
                config, layers=len(self._layers), width=shape["width"], classes=len(self.class_names)
            )
            self._model.load_state_dict(under("model", tensors))
        except RuntimeError as fault:
            raise MerError(
                export.folder / MODEL, f"its weights do not fit config.json: {' '.join(str(fault).split())[:300]}"
            ) from fault
        self._model.to(device).eval()
        words = tensors.get(WORDS)
        self._words_CLD = words.to(device) if words is not None else None
        self._objective: Objective | None = None
        if config.training.prediction == "nearest_anchor":
            ones = torch.ones(len(self.class_names), dtype=torch.long)  # class counts matter in training only
            self._objective = build_objective(config.loss, width=self._model.width, counts_C=ones)
            self._objective.load_state_dict(under("objective", tensors))
            self._objective.to(device).eval()

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.export.class_names

    def predict(self, texts: Sequence[str], *, speaker: str = SOMEBODY) -> list[Prediction]:
        """Labels of single utterances, each without context.

        Args: speaker: who says them, for a model that reads the speaker's name.
        Raises: MerError for an empty text.
        """
        if isinstance(texts, str):
            raise TypeError("predict takes a list of texts, e.g. predict(['Oh my God!'])")
        return self.predict_dialogues(
            [as_dialogue([(speaker, text)], name=f"text {i}") for i, text in enumerate(texts)]
        )

    def predict_dialogue(self, turns: Sequence[tuple[str, str]]) -> list[Prediction]:
        """Labels of all (speaker, text) turns of one dialogue, oldest first, each in the context the model reads."""
        return self.predict_dialogues([as_dialogue(turns, name="dialogue")]) if turns else []

    def predict_dialogues(
        self, dialogues: Sequence[Dialogue], *, batch_tokens: int = TOKENS_PER_BATCH, progress: Progress = False
    ) -> list[Prediction]:
        """Labels of every utterance, dialogue after dialogue."""
        if not any(dialogue.utterances for dialogue in dialogues):
            return []
        live = self._encoder.encode(dialogues, batch_tokens=batch_tokens, progress=progress)
        return self.predictions(self.logits(live.features_NLD), live.truncated_N)

    def logits(self, features_NLD: np.ndarray) -> np.ndarray:
        """Class scores (N, C) float32 of features as the cache holds them: all hidden states (N, L+1, D).

        Raises: MerError when they come from another backbone.
        """
        expected = (self.export.preprocessor["hidden_states"], self.export.preprocessor["width"])
        if features_NLD.ndim != 3 or features_NLD.shape[1:] != expected:
            raise MerError(
                self.export.folder,
                f"features of shape {features_NLD.shape}",
                allowed=f"(utterances, {expected[0]}, {expected[1]}), the hidden states of its backbone",
            )
        rows = SplitArrays((), features_NLD, np.zeros(len(features_NLD), dtype=np.int64))
        if not len(rows):
            return np.empty((0, len(self.class_names)), dtype=np.float32)
        chunks = rows.chunks(self._layers, self.device)
        return class_scores(self.export.config, self._model, self._objective, self._words_CLD, chunks)

    def predictions(self, logits_NC: np.ndarray, truncated_N: Iterable[Any] | None = None) -> list[Prediction]:
        """Class scores as labels with probabilities."""
        chances_NC = torch.softmax(torch.from_numpy(logits_NC).double(), dim=1).tolist()
        cut = [False] * len(logits_NC) if truncated_N is None else [bool(value) for value in truncated_N]
        best_N = logits_NC.argmax(axis=1)
        return [
            Prediction(self.class_names[best], dict(zip(self.class_names, row, strict=True)), was_cut)
            for best, row, was_cut in zip(best_N, chances_NC, cut, strict=True)
        ]


def load(folder: Path | str, *, backbone: Path | str | None = None, device: str = "cpu") -> Predictor:
    """Open an export and its backbone; every file is checked against the hash it was exported with.

    Args:
        folder: written by `python -m mer.export`.
        backbone: where the backbone lies now, if not where the configuration or the bundle says.
        device: of the head; the backbone takes a GPU if there is one.
    Raises: MerError when a file is missing or altered, or the backbone is another one.
    """
    return open_predictor(read_export(folder), backbone=backbone, device=device)


def open_predictor(export: Export, *, backbone: Path | str | None = None, device: str = "cpu") -> Predictor:
    """`load`, for an export that was read already."""
    config = export.config.encoders.text
    if config is None:
        raise MerError(export.folder, "this model reads no text", allowed="models with encoders.text")
    _check_versions(export)
    encoder = _encoder_config(export, config, backbone)
    found = locate(encoder, weights=True)
    _check_backbone(export, found)
    return Predictor(export, LiveEncoder(encoder, found), device)


def as_dialogue(turns: Sequence[tuple[str, str]], *, name: str) -> Dialogue:
    """Turns of (speaker, text) as the feature pipeline takes them. Raises: MerError for an empty text."""
    utterances = []
    for number, (speaker, text) in enumerate(turns):
        if not normalise(text):
            raise MerError(name, f"turn {number} is empty: there is nothing to classify", allowed="some text")
        utterances.append(Utterance("new", name, number, speaker.strip(), text, "", None, None, None))
    return Dialogue(f"new/{name}", tuple(utterances))


def _encoder_config(export: Export, config: TextEncoderConfig, backbone: Path | str | None) -> TextEncoderConfig:
    place = backbone if backbone is not None else export.backbone_folder
    if place is not None:
        return config.model_copy(update={"backbone": str(place), "revision": None})
    revision = export.preprocessor["backbone"].get("revision")  # the commit that was used, also if none was asked for
    return config.model_copy(update={"revision": revision}) if revision else config


def _check_versions(export: Export) -> None:
    reads = export.preprocessor["input"]
    mine = {"preprocessing_version": PREPROCESSING_VERSION, "normalisation_version": NORMALISATION_VERSION}
    for name, version in mine.items():
        if reads.get(name) != version:
            raise MerError(
                export.folder / "preprocessor.json",
                f"{name} {reads.get(name)}: the model was trained on text prepared in another way",
                allowed=f"{name} {version}",
                then="use the version of mer that wrote the export, or train and export again",
            )


def _check_backbone(export: Export, found: BackboneFolder) -> None:
    expected, now = export.preprocessor["backbone"], fingerprint(found, None)
    for what, hash_now in (("weights", now.weights), ("tokenizer", now.tokenizer)):
        wanted = expected[f"{what}_sha256"]
        if hash_now != wanted:
            raise MerError(
                found.folder,
                f"the {what} of backbone {expected['name']!r} are not those the model was trained on: "
                f"sha256 {hash_now}",
                allowed=f"sha256 {wanted}",
                then="give the right folder (--backbone DIR, mer.load(..., backbone=DIR)), or export with --bundle",
            )
