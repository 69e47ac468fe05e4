"""An exported model at work: text or clips in, labels and probabilities out.

    import mer
    model = mer.load("exports/spcl")
    print(model.predict(["Oh my God!"])[0].label)           # a model that reads text
    print(model.predict_clips(["a.flac"])[0].label)         # one that hears, or sees

Needs torch, transformers and safetensors; no ray, optuna or mlflow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mer.checkpoints.export_folder import MODEL, Export, is_export, read_export, trained_sha256
from mer.checkpoints.tensors import under
from mer.config import EncoderConfig, EncodersConfig, TextEncoderConfig
from mer.data import Dialogue, Utterance
from mer.data.media import MediaFault
from mer.data.text import NORMALISATION_VERSION, normalise
from mer.errors import MerError
from mer.features.backbone.files import BackboneFolder, fingerprint, locate
from mer.features.cache.sequences import Sequences
from mer.features.cache.shards import TOKENS_PER_BATCH
from mer.features.from_clips.live import LiveClips, LiveClipSequences
from mer.features.from_text.live import LiveTexts, LiveTextSequences
from mer.features.modalities import locate_clip_backbone, preprocessing_words
from mer.features.reading import LiveFeatures
from mer.features.text.turn_tokenizer import PREPROCESSING_VERSION
from mer.losses import Objective, build_objective
from mer.models.adapters import from_peft_tensors
from mer.models.weight_names import backbone_prefix
from mer.progress import Progress
from mer.training import FusedSplit, SequenceSplit, Split, SplitArrays, build_model, outputs_of
from mer.training.data import Layers, Part

WORDS = "label_text.words_CLD"  # tensor of an export: features of the label words, if prediction reads them
_NORMALISATION = {"normalisation_version": NORMALISATION_VERSION}
SOMEBODY = "Speaker"  # the speaker's name when none is given, for encoders that read it


@dataclass(frozen=True)
class Prediction:
    """One utterance's label.

    Args:
        label: the most probable class.
        probabilities: one per class, in the model's order; they sum to 1.
        truncated: True if the utterance was too long; a text loses its beginning, a clip its end.
        fault: why the clip could not be read, in which case an average clip was predicted; otherwise ''.
    """

    label: str
    probabilities: dict[str, float]
    truncated: bool = False
    fault: str = ""


class LiveModel:
    """An exported model in the place of an encoder: the next model reads its h."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def encode(self, inputs: Any, **options: Any) -> LiveFeatures:
        """Compute h as features (N, 1, H). Arguments are those of the model's own encoder."""
        ((modality, encoder),) = self.predictor.encoders.items()
        live = encoder.encode(inputs, **options)
        h_NH = self.predictor.representations({modality: (live.features_NLD, live.present_N)})
        return replace(live, features_NLD=h_NH[:, None])


# modality -> its features (N, L+1, D), or Sequences if it is tuned, and True for rows that are there (None: all)
Read = Mapping[str, tuple[np.ndarray | Sequences, np.ndarray | None]]
LiveSequences = LiveTextSequences | LiveClipSequences  # make the input of a tuned encoder from texts or clips
Live = LiveTexts | LiveClips | LiveSequences | LiveModel  # turn texts or clips into what the model reads


class Predictor:
    """A loaded export. Build it with `load`."""

    def __init__(self, export: Export, encoders: Mapping[str, Live], device: str = "cpu") -> None:
        self.export, self.device = export, device
        self.encoders: dict[str, Any] = dict(encoders)  # each takes texts or clips, see `Live`
        tensors = export.tensors()
        for modality, adapter in export.adapters().items():
            tensors |= from_peft_tensors(adapter, f"model.{backbone_prefix(export.config, modality)}")
        tuned = {m: live for m, live in self.encoders.items() if isinstance(live, LiveSequences)}
        moved = {**export.config.encoders.present, **{modality: live.config for modality, live in tuned.items()}}
        config = export.config.model_copy(update={"encoders": EncodersConfig(**moved)})  # where backbones lie now
        layers = {modality: [int(layer) for layer in reads["layers"]] for modality, reads in export.inputs.items()}
        widths = {modality: int(reads["width"]) for modality, reads in export.inputs.items()}
        self._layers: Layers = layers if config.fusion is not None else next(iter(layers.values()))
        width = widths if config.fusion is not None else next(iter(widths.values()))
        try:
            self._model = build_model(
                config,
                layers=self._layers,
                width=width,
                classes=len(self.class_names),
                base={modality: live.base for modality, live in tuned.items()},
                adapters=any(".lora_" in name for name in tensors),
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

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that the model reads, in the order text, audio, video."""
        return tuple(self.encoders)

    def predict(self, texts: Sequence[str], *, speaker: str = SOMEBODY) -> list[Prediction]:
        """Predict single utterances, each without context.

        Args: speaker: the speaker's name, for a model that reads it.
        Raises: MerError for an empty text.
        """
        if isinstance(texts, str):
            raise TypeError("predict takes a list of texts, e.g. predict(['Oh my God!'])")
        return self.predict_dialogues(
            [as_dialogue([(speaker, text)], name=f"text {i}") for i, text in enumerate(texts)]
        )

    def predict_dialogue(self, turns: Sequence[tuple[str, str]]) -> list[Prediction]:
        """Predict all (speaker, text) turns of one dialogue, oldest first, each in the context that the model reads."""
        return self.predict_dialogues([as_dialogue(turns, name="dialogue")]) if turns else []

    def predict_dialogues(
        self, dialogues: Sequence[Dialogue], *, batch_tokens: int = TOKENS_PER_BATCH, progress: Progress = False
    ) -> list[Prediction]:
        """Predict every utterance, dialogue after dialogue."""
        if self.modalities != ("text",):
            raise self._reads_something_else("text")
        if not any(dialogue.utterances for dialogue in dialogues):
            return []
        live = self._read_text(dialogues, batch_tokens, progress)
        return self.predictions(self.logits(live.features_NLD), live.truncated_N)

    def predict_utterances(
        self,
        dialogues: Sequence[Dialogue],
        clips: Mapping[str, Sequence[Path | MediaFault]],
        *,
        batch_tokens: int = TOKENS_PER_BATCH,
        progress: Progress = False,
    ) -> list[Prediction]:
        """Predict with a fused model: every utterance from those of its modalities that are there.

        Args:
            dialogues: the texts in their dialogues; an empty text is an absent one.
            clips: modality -> clip of each utterance, dialogue after dialogue; a MediaFault where there is none.
        """
        utterances = [utterance for dialogue in dialogues for utterance in dialogue.utterances]
        if not utterances:
            return []
        read: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        faults = [""] * len(utterances)
        for modality, encoder in self.encoders.items():
            if modality != "text":
                live = encoder.encode(clips[modality], progress=progress)
                assert live.present_N is not None
                read[modality] = (live.features_NLD, live.present_N)
            else:
                there = np.array([bool(normalise(utterance.text)) for utterance in utterances])
                read[modality] = (self._read_text(dialogues, batch_tokens, progress).features_NLD, there)
        nothing = ~np.stack([present for _, present in read.values()]).any(axis=0)
        for row in np.flatnonzero(nothing):
            faults[row] = "none of its modalities could be read"
        dialogue_N = np.repeat(np.arange(len(dialogues)), [len(dialogue.utterances) for dialogue in dialogues])
        found = self.predictions(self.scores(read, dialogue_N))
        return [replace(prediction, fault=fault) for prediction, fault in zip(found, faults, strict=True)]

    def _read_text(self, dialogues: Sequence[Dialogue], batch_tokens: int, progress: Progress) -> LiveFeatures:
        return self.encoders["text"].encode(dialogues, batch_tokens=batch_tokens, progress=progress)

    def predict_clips(
        self, clips: Sequence[Path | str | MediaFault], *, masked: bool = False, progress: Progress = False
    ) -> list[Prediction]:
        """Predict sound or video files, each by itself.

        Args:
            clips: paths; a MediaFault stands for a clip that is known to be unreadable.
            masked: predict an unreadable clip as an average one and note its `fault`, instead of raising.
        Raises: MerError for a clip that cannot be read.
        """
        modality, encoder = next(iter(self.encoders.items()))
        if len(self.encoders) > 1 or modality == "text":
            raise self._reads_something_else("clips")
        if isinstance(clips, str | Path):
            raise TypeError("predict_clips takes a list of paths, e.g. predict_clips(['a.flac'])")
        if not clips:
            return []
        paths = [clip if isinstance(clip, MediaFault) else Path(clip).expanduser() for clip in clips]
        live = encoder.encode(paths, progress=progress)
        if live.faults and not masked:
            path, fault = next(iter(live.faults.items()))
            raise MerError(path, fault, allowed=f"a file that holds {modality}")
        found = self.predictions(self.logits(live.features_NLD, live.present_N), live.truncated_N)
        return [
            replace(prediction, fault=live.faults.get(str(path), ""))
            for prediction, path in zip(found, paths, strict=True)
        ]

    def _reads_something_else(self, given: str) -> MerError:
        calls = {"text": "predict, predict_dialogue", "audio": "predict_clips", "video": "predict_clips"}
        call = calls[self.modalities[0]] if len(self.modalities) == 1 else "predict_utterances"
        allowed, alone = f"{', '.join(self.modalities)}: {call}", " alone" if len(self.modalities) > 1 else ""
        return MerError(self.export.folder, f"this model does not read {given}{alone}", allowed=allowed)

    def logits(self, features_NLD: np.ndarray | Sequences, present_N: np.ndarray | None = None) -> np.ndarray:
        """Compute class scores (N, C) float32 from features as the cache holds them.

        Args:
            features_NLD: all hidden states (N, L+1, D), or Sequences.
            present_N: bool; rows that are not there are read as average ones. None: all are there.
        Raises: MerError when they come from another backbone.
        """
        return self.scores({self.modalities[0]: (features_NLD, present_N)})

    def scores(self, read: Read, dialogue_N: np.ndarray | None = None) -> np.ndarray:
        """Compute class scores (N, C) float32 from the features of every modality.

        Args: dialogue_N: number of each row's dialogue, never decreasing, for a model with a dialogue encoder; None:
            each row is a dialogue of its own.
        """
        return self.outputs(read, dialogue_N)[1]

    def representations(self, read: Read, dialogue_N: np.ndarray | None = None) -> np.ndarray:
        """Compute h (N, H) float32, the classifier's input; arguments are those of `scores`."""
        return self.outputs(read, dialogue_N)[0]

    def outputs(self, read: Read, dialogue_N: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Compute `representations` and `scores` in one pass."""
        rows = self._rows(read, dialogue_N)
        if not len(rows):
            nothing = np.empty((0, self._model.width), dtype=np.float32)
            return nothing, np.empty((0, len(self.class_names)), dtype=np.float32)
        chunks = rows.chunks(self._layers, self.device)
        return outputs_of(self.export.config, self._model, self._objective, self._words_CLD, chunks)

    def _rows(self, read: Read, dialogue_N: np.ndarray | None) -> Split:
        parts: dict[str, Part] = {}
        for modality, expected in self.export.inputs.items():
            features_NLD, present_N = read[modality]
            if isinstance(features_NLD, Sequences):
                parts[modality] = self._sequence_rows(features_NLD, present_N, modality)
                continue
            shape = (expected["hidden_states"], expected["width"])
            if features_NLD.ndim != 3 or features_NLD.shape[1:] != shape:
                raise MerError(
                    self.export.folder,
                    f"features of shape {features_NLD.shape}",
                    allowed=f"(utterances, {shape[0]}, {shape[1]}), the hidden states of its backbone",
                )
            no_labels = np.zeros(len(features_NLD), dtype=np.int64)  # labels are not read
            parts[modality] = SplitArrays((), features_NLD, no_labels, present_N)
        first = next(iter(parts.values()))
        config = self.export.config
        if config.fusion is None:
            return first
        alone_N = np.arange(len(first)) if dialogue_N is None else dialogue_N
        return FusedSplit(parts, dialogue_N=None if config.dialogue.kind == "none" else alone_N)

    def _sequence_rows(self, sequences: Sequences, present_N: np.ndarray | None, modality: str) -> SequenceSplit:
        encoder = self._model.tuned[modality]
        if sequences.values.shape[1:] != encoder.unit_shape:
            what = "its input" if encoder.start is None else f"its hidden state {encoder.start}"
            raise MerError(
                self.export.folder,
                f"tokens of shape {sequences.values.shape}",
                allowed=f"({', '.join(['tokens', *map(str, encoder.unit_shape)])}), {what}",
            )
        return SequenceSplit((), sequences, np.zeros(len(sequences), dtype=np.int64), encoder.width, present_N)

    def predictions(self, logits_NC: np.ndarray, truncated_N: Iterable[Any] | None = None) -> list[Prediction]:
        """Turn class scores (N, C) into labels with probabilities."""
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
        backbone: the backbone's folder, if it is no longer where the configuration or the bundle says.
        device: where the head runs; the backbone takes a GPU if there is one.
    Raises: MerError when a file is missing or altered, or the backbone is another one.
    """
    return open_predictor(read_export(folder), backbone=backbone, device=device)


def open_predictor(export: Export, *, backbone: Path | str | None = None, device: str = "cpu") -> Predictor:
    """`load`, for an export that was read already."""
    if backbone is not None and len(export.inputs) > 1:
        raise MerError("--backbone", "a fused model has several backbones", then="put them where config.json says")
    encoders = {
        modality: _open_encoder(export, modality, config, backbone)
        for modality, config in export.config.encoders.present.items()
    }
    return Predictor(export, encoders, device)


def _open_encoder(export: Export, modality: str, config: EncoderConfig, backbone: Path | str | None) -> Live:
    reads = export.inputs[modality]
    encoder = _encoder_config(export, reads, config, backbone)
    if is_export(encoder.backbone):
        return _open_model(export, reads, encoder.backbone)
    if isinstance(encoder, TextEncoderConfig):
        _check_versions(export, reads, {"preprocessing_version": PREPROCESSING_VERSION, **_NORMALISATION})
        found = locate(encoder, weights=True)
        _check_backbone(reads, found)
        return LiveTexts(encoder, found) if encoder.mode == "frozen" else LiveTextSequences(encoder, found)
    place = locate_clip_backbone(encoder)
    _check_versions(export, reads, preprocessing_words(encoder, place))
    if place is not None:
        _check_backbone(reads, place)
    if encoder.mode == "frozen" or place is None:
        return LiveClips(encoder, place)
    return LiveClipSequences(encoder, place)


def _open_model(export: Export, reads: Mapping[str, Any], place: str) -> LiveModel:
    """Open an export in the place of an encoder. Raises: MerError when it is not the one of the training."""
    inner = read_export(place)
    found, wanted = trained_sha256(inner.folder), reads["backbone"]["weights_sha256"]
    if found != wanted:
        raise MerError(
            inner.folder / MODEL,
            f"{export.folder} was trained on another model at this place: sha256 {found}",
            allowed=f"sha256 {wanted}",
            then="bring that export back, or train and export again",
        )
    return LiveModel(open_predictor(inner))


def as_dialogue(turns: Sequence[tuple[str, str]], *, name: str) -> Dialogue:
    """Make a dialogue from (speaker, text) turns. Raises: MerError for an empty text."""
    utterances = []
    for number, (speaker, text) in enumerate(turns):
        if not normalise(text):
            raise MerError(name, f"turn {number} is empty: there is nothing to classify", allowed="some text")
        utterances.append(Utterance("new", name, number, speaker.strip(), text, "", None, None, None))
    return Dialogue(f"new/{name}", tuple(utterances))


def _encoder_config(
    export: Export, reads: Mapping[str, Any], config: EncoderConfig, backbone: Path | str | None
) -> EncoderConfig:
    place = backbone if backbone is not None else export.backbone_folder
    if place is not None:
        return config.model_copy(update={"backbone": str(place), "revision": None})
    revision = reads["backbone"].get("revision")  # the commit that was used, also if none was asked for
    return config.model_copy(update={"revision": revision}) if revision else config


def _check_versions(export: Export, reads: Mapping[str, Any], mine: Mapping[str, Any]) -> None:
    for name, version in mine.items():
        if reads["input"].get(name) != version:
            raise MerError(
                export.folder / "preprocessor.json",
                f"{name} {reads['input'].get(name)}: the model was trained on inputs prepared in another way",
                allowed=f"{name} {version}",
                then="use the version of mer that wrote the export, or train and export again",
            )


def _check_backbone(reads: Mapping[str, Any], found: BackboneFolder) -> None:
    expected, now = reads["backbone"], fingerprint(found, None)
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
