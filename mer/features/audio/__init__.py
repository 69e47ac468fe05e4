"""Audio encoders: a clip's sound to pooled hidden states, or to statistics that need no weights.

- `families`: what a config.json says     - `preprocessing`: samples to a backbone's input, by its own extractor
- `pretrained`: wav2vec2, HuBERT, WavLM, data2vec-audio, Whisper     - `melstats`: 155 numbers of voice and sound
- `sound`: a file's samples, as both take them

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
PREPROCESSING_VERSION = 1  # of pretrained backbones; raise it when what one is given changes


def describe(config: AudioEncoderConfig, found: BackboneFolder | None) -> BackboneCard:
    """Read config.json only. `found` is None for melstats, whose pooler is '' (there is nothing to pool).

    Raises: MerError for what is no speech encoder we know, or does not say its size.
    """
    if found is None:
        from mer.features.audio.melstats import NAMES

        return BackboneCard(SIGNAL, None, None, layers=1, width=len(NAMES))
    backbone = resolve(found)
    return BackboneCard(found.name, found.revision, None, layers=backbone.layers, width=backbone.width, pooler=POOLER)


def open_encoder(config: AudioEncoderConfig, found: BackboneFolder | None) -> ClipEncoder:
    """Load it. Raises: MerError when the folder cannot be loaded whole, or its preprocessing does not fit."""
    if found is None:
        from mer.features.audio.melstats import MelStats

        return MelStats(config)
    from mer.features.audio.pretrained import AudioEncoder

    return AudioEncoder(config, found)


def preprocessing_words(config: AudioEncoderConfig, found: BackboneFolder | None) -> dict[str, Any]:
    """What happens to a clip before the backbone, for the key of its features.

    The preprocessor's own file is not in here: the backbone's fingerprint has it.
    """
    common = {"max_seconds": config.max_seconds, "sample_rate_hz": SAMPLE_RATE_HZ}
    if found is None:
        from mer.features.audio.melstats import SETTINGS, VERSION

        return {"version": VERSION, **common, **SETTINGS}
    return {"version": PREPROCESSING_VERSION, **common}
