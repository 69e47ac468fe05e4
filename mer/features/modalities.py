"""One door to the encoders of all modalities: by its configuration, an encoder is described, opened, or taken apart.

`text`, `audio` and `video` know their own families; code for all modalities asks here. Importing this imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mer.config import (
    AudioEncoderConfig,
    ClipEncoderConfig,
    EncoderConfig,
    TextEncoderConfig,
    VideoEncoderConfig,
    is_given,
    is_signal,
)
from mer.errors import MerError
from mer.features import audio, given, video
from mer.features.backbone.clip_encoder import ClipEncoder, SideBySide
from mer.features.backbone.files import DEPTH_KEYS, WIDTH_KEYS, BackboneCard, BackboneFolder, locate, read_config

if TYPE_CHECKING:
    from mer.features.audio.pretrained import AudioReader
    from mer.features.backbone.wiring import ClipWiring, Wiring
    from mer.features.video.pretrained import VideoReader


def describe_backbone(encoder: EncoderConfig) -> BackboneCard:
    """Say how many hidden states a backbone has and how wide they are, from its config.json alone.

    Raises: MerError when the backbone is not to be had, or is not an encoder we can read.
    """
    if is_given(encoder):
        return given.describe(encoder)
    if isinstance(encoder, TextEncoderConfig):
        return _describe_text(locate(encoder, weights=False))
    if isinstance(encoder, AudioEncoderConfig):
        audio.refuse_foreign(encoder)
    found = None if is_signal(encoder) else locate(encoder, weights=False)
    if isinstance(encoder, VideoEncoderConfig):
        return video.describe(encoder, found)
    return audio.describe(encoder, found)


def _describe_text(found: BackboneFolder) -> BackboneCard:
    config = read_config(found)
    width, depth = (next((config[k] for k in keys if k in config), None) for keys in (WIDTH_KEYS, DEPTH_KEYS))
    if not isinstance(width, int) or not isinstance(depth, int):
        raise MerError(
            found.folder / "config.json",
            f"model type {config.get('model_type')!r} does not say its width and its number of layers",
            allowed=f"a text encoder with {WIDTH_KEYS[0]} and {DEPTH_KEYS[0]}",
        )
    return BackboneCard(found.name, found.revision, found.pinned_sha256, layers=depth + 1, width=width)


# -- clips: encoders of media files --------------------------------------------------------------------------------


def locate_clip_backbone(config: ClipEncoderConfig) -> BackboneFolder | None:
    """Find the backbone's folder; None for signal statistics. Raises: MerError when it is not to be had."""
    return None if is_signal(config) else locate(config, weights=True)


def load_clip_encoder(config: ClipEncoderConfig, found: BackboneFolder | None) -> ClipEncoder:
    """Load the backbone as it is. Raises: MerError when the folder cannot be loaded whole."""
    if isinstance(config, AudioEncoderConfig):
        return audio.open_encoder(config, found)
    return video.open_encoder(config, found)


def step_count(config: ClipEncoderConfig, found: BackboneFolder | None, length: int) -> int:
    """Count the steps of time that a clip has with pooler none, at most. Args: length: what `probe` says of it."""
    if isinstance(config, AudioEncoderConfig):
        return audio.step_count(config, found, length)
    return video.step_count(config, found)


def open_clip_encoder(config: ClipEncoderConfig, found: BackboneFolder | None) -> ClipEncoder:
    """Load the backbone; on a CPU it encodes each clip where it is loaded. Raises: MerError as `load_clip_encoder`."""
    encoder = load_clip_encoder(config, found)
    on_cpu = str(getattr(encoder, "device", "")) == "cpu"  # statistics have no device: their `load` does all already
    return SideBySide(encoder) if on_cpu else encoder


def open_clip_reader(config: ClipEncoderConfig, found: BackboneFolder) -> AudioReader | VideoReader:
    """Open the reader that makes a pretrained backbone's input from files; loads no weights.

    Raises: MerError when the backbone's preprocessing does not fit.
    """
    if isinstance(config, AudioEncoderConfig):
        from mer.features.audio.pretrained import AudioReader

        return AudioReader(config, found)
    from mer.features.video.pretrained import VideoReader

    return VideoReader(config, found)


def preprocessing_words(config: ClipEncoderConfig, found: BackboneFolder | None) -> dict[str, Any]:
    """Say how a clip is prepared before the backbone, as a part of its key."""
    if isinstance(config, AudioEncoderConfig):
        return audio.preprocessing_words(config, found)
    return video.preprocessing_words(config, found)


# -- parts of a backbone -------------------------------------------------------------------------------------------


def wiring_of(encoder: EncoderConfig, found: BackboneFolder) -> Wiring:
    """Choose the wiring of a backbone: how its layers are found and run one by one.

    Raises: MerError when config.json is of no family of this modality, or its layers cannot be found.
    """
    if not isinstance(encoder, TextEncoderConfig):
        return clip_wiring(encoder, found)
    from mer.features.text.wiring import TextWiring

    return TextWiring(encoder, found)


def clip_wiring(encoder: ClipEncoderConfig, found: BackboneFolder) -> ClipWiring:
    """`wiring_of` an encoder of media files."""
    if isinstance(encoder, AudioEncoderConfig):
        from mer.features.audio.wiring import speech_wiring

        return speech_wiring(encoder, found)
    from mer.features.video.wiring import video_wiring

    return video_wiring(encoder, found)
