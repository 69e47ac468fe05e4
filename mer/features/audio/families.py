"""Speech encoders we can read, by the model_type of their config.json. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from mer.errors import MerError
from mer.features.backbone.files import BackboneFolder, read_config

POOLER = "mean"  # the meaning of 'auto': frame 0 of a speech encoder is no summary of the others


@dataclass(frozen=True)
class Family:
    """One family: the class of its feature extractor in transformers, and the keys of its size in config.json."""

    extractor: str = "Wav2Vec2FeatureExtractor"
    width: str = "hidden_size"
    depth: str = "num_hidden_layers"

    @property
    def reads_mels(self) -> bool:
        """True for a family whose input is log-mel spectrograms of one fixed length instead of samples."""
        return self.extractor == "WhisperFeatureExtractor"


FAMILIES = {
    "wav2vec2": Family(),
    "hubert": Family(),
    "wavlm": Family(),
    "data2vec-audio": Family(),
    "whisper": Family("WhisperFeatureExtractor", width="d_model", depth="encoder_layers"),
}
KNOWN = f"a speech encoder: {', '.join(FAMILIES)}"


@dataclass(frozen=True)
class AudioBackbone:
    """The facts in a config.json. `layers` counts stored hidden states: transformer layers + 1."""

    family: Family
    layers: int
    width: int


def resolve(found: BackboneFolder) -> AudioBackbone:
    """Read config.json. Raises: MerError when it belongs to no family we know, or lacks the model's size."""
    config = read_config(found, encoder_only=False)
    family = FAMILIES.get(str(config.get("model_type")))
    if family is None:
        raise MerError(
            found.folder / "config.json",
            f"model type {config.get('model_type')!r} is not a speech encoder we can read",
            allowed=KNOWN,
            then="choose another encoders.audio.backbone (melstats needs no hub)",
        )
    depth, width = config.get(family.depth), config.get(family.width)
    if not (isinstance(depth, int) and isinstance(width, int) and min(depth, width) > 0):
        raise MerError(
            found.folder / "config.json",
            f"{family.depth} is {depth!r}, {family.width} is {width!r}",
            allowed="whole numbers above 0",
            then="fetch the backbone again",
        )
    return AudioBackbone(family, layers=depth + 1, width=width)
