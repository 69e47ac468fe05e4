"""Audio encoders: a clip's sound to pooled hidden states, or to statistics that need no weights.

    families       the speech encoders that we can read, and the facts in their config.json
    sound          the samples of a file, for all audio encoders
    preprocessing  samples to a backbone's input, by the backbone's own feature extractor
    pretrained     a loaded wav2vec2, HuBERT, WavLM, data2vec-audio or Whisper
    wiring         speech backbones in parts, for tuning
    melstats       155 numbers of voice and sound, without weights

Importing this imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mer.config import AudioEncoderConfig
from mer.data.media.demux import SAMPLE_RATE_HZ
from mer.features.audio.families import POOLER, resolve
from mer.features.backbone.files import BackboneCard, BackboneFolder

if TYPE_CHECKING:
    from mer.features.backbone.clip_encoder import ClipEncoder

SIGNAL = "melstats"
PREPROCESSING_VERSION = 1  # for pretrained backbones; raise it when their input changes


def describe(config: AudioEncoderConfig, found: BackboneFolder | None) -> BackboneCard:
    """Say how many hidden states the encoder has and how wide they are; reads config.json only.

    Args: found: None for melstats, whose pooler is '' since there is nothing to pool.
    Raises: MerError for a model that is no speech encoder we know, or whose config.json lacks its size.
    """
    if found is None:
        from mer.features.audio.melstats import NAMES

        return BackboneCard(SIGNAL, None, None, layers=1, width=len(NAMES))
    backbone = resolve(found)
    return BackboneCard(found.name, found.revision, None, layers=backbone.layers, width=backbone.width, pooler=POOLER)


def open_encoder(config: AudioEncoderConfig, found: BackboneFolder | None) -> ClipEncoder:
    """Load the encoder. Raises: MerError when the folder cannot be loaded whole, or its preprocessing does not fit."""
    if found is None:
        from mer.features.audio.melstats import MelStats

        return MelStats(config)
    from mer.features.audio.pretrained import AudioEncoder

    return AudioEncoder(config, found)


def preprocessing_words(config: AudioEncoderConfig, found: BackboneFolder | None) -> dict[str, Any]:
    """Say how a clip is prepared before the backbone, for the key of its features.

    The preprocessor's own file is left out, since the backbone's fingerprint covers it.
    """
    common = {"max_seconds": config.max_seconds, "sample_rate_hz": SAMPLE_RATE_HZ}
    if found is None:
        from mer.features.audio.melstats import SETTINGS, VERSION

        return {"version": VERSION, **common, **SETTINGS}
    return {"version": PREPROCESSING_VERSION, **common}
