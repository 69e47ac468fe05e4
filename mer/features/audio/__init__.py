"""Audio encoders: a clip's sound to pooled hidden states, or to statistics that need no weights.

    families       the speech encoders that we can read, and the facts in their config.json
    sound          the samples of a file, for all audio encoders
    preprocessing  samples to a backbone's input, by the backbone's own feature extractor
    pretrained     a loaded wav2vec2, HuBERT, WavLM, data2vec-audio or Whisper
    wiring         speech backbones in parts, for tuning
    melstats       155 numbers of voice and sound, without weights
    melframes      48 of them for every 10 ms, for models that read sequences
    smile          functionals of openSMILE: eGeMAPSv02, ComParE_2016

Importing this imports no torch.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from mer.config import AudioEncoderConfig
from mer.data.media.demux import SAMPLE_RATE_HZ
from mer.errors import MerError
from mer.features.audio import smile
from mer.features.audio.families import POOLER, resolve
from mer.features.backbone.files import BackboneCard, BackboneFolder
from mer.places import home

if TYPE_CHECKING:
    from mer.features.backbone.clip_encoder import ClipEncoder

PREPROCESSING_VERSION = 1  # for pretrained backbones; raise it when their input changes


def refuse_foreign(config: AudioEncoderConfig) -> None:
    """Refuse emotion2vec, whose code transformers does not have, before anything is downloaded. Raises: MerError."""
    is_converted = (home(config.backbone) / "config.json").is_file()
    if "emotion2vec" not in PurePath(config.backbone.lower()).name or is_converted:
        return
    raise MerError(
        "encoders.audio.backbone",
        f"{config.backbone!r}: emotion2vec is a model of FunASR with pickled weights, which transformers cannot open",
        allowed="its features, extracted with FunASR: file:FOLDER",
        then="FunASR's generate(..., output_dir=FOLDER, granularity='utterance') writes a .npy for each clip; "
        "docs/howto/given_features.md shows it",
    )


def describe(config: AudioEncoderConfig, found: BackboneFolder | None) -> BackboneCard:
    """Say how many hidden states the encoder has and how wide they are; reads config.json only.

    Args: found: None for statistics, whose pooler is '' since there is nothing to pool.
    Raises: MerError for a model that is no speech encoder we know, or whose config.json lacks its size.
    """
    if found is None:
        return BackboneCard(config.backbone, None, None, layers=1, width=_width(config))
    backbone = resolve(found)
    return BackboneCard(found.name, found.revision, None, layers=backbone.layers, width=backbone.width, pooler=POOLER)


def _width(config: AudioEncoderConfig) -> int:
    """Count the numbers of signal statistics. Raises: MerError for a set whose program is not installed."""
    if config.backbone in smile.SETS:
        smile.version_there(config)
        return smile.SETS[config.backbone].width
    from mer.features.audio import melframes, melstats

    return len((melframes if config.keeps_states else melstats).NAMES)


def open_encoder(config: AudioEncoderConfig, found: BackboneFolder | None) -> ClipEncoder:
    """Load the encoder. Raises: MerError when the folder cannot be loaded whole, or its preprocessing does not fit."""
    if found is None:
        if config.backbone in smile.SETS:
            return smile.Functionals(config)
        from mer.features.audio.melframes import MelFrames
        from mer.features.audio.melstats import MelStats

        return MelFrames(config) if config.keeps_states else MelStats(config)
    from mer.features.audio.pretrained import AudioEncoder

    return AudioEncoder(config, found)


def preprocessing_words(config: AudioEncoderConfig, found: BackboneFolder | None) -> dict[str, Any]:
    """Say how a clip is prepared before the backbone, for the key of its features.

    The preprocessor's own file is left out, since the backbone's fingerprint covers it.
    """
    common = {"max_seconds": config.max_seconds, "sample_rate_hz": SAMPLE_RATE_HZ}
    if config.backbone in smile.SETS:
        return {**common, **smile.words(config)}
    if found is None:
        from mer.features.audio import melframes, melstats

        version = (melframes if config.keeps_states else melstats).VERSION
        return {"version": version, **common, **melstats.SETTINGS}
    return {"version": PREPROCESSING_VERSION, **common}


def step_count(config: AudioEncoderConfig, found: BackboneFolder | None, length: int) -> int:
    """Count the steps of time of a clip, at most. Args: length: of the clip, from its encoder's `probe`."""
    if found is None:
        from mer.features.audio.melframes import frame_count

        return frame_count(length)
    from mer.features.audio.wiring import speech_wiring

    wiring = speech_wiring(config, found)
    return wiring.states(wiring.raw_units(length))
