"""Describe a backbone by the name that a user gave it."""

from __future__ import annotations

from mer.config import AudioEncoderConfig, EncoderConfig, VideoEncoderConfig, is_signal
from mer.errors import MerError
from mer.features.backbone.files import DEPTH_KEYS, WIDTH_KEYS, BackboneCard, locate, read_config


def describe_backbone(encoder: EncoderConfig) -> BackboneCard:
    """Read config.json only. Raises: MerError when the backbone is not to be had, or is not an encoder we can read."""
    if isinstance(encoder, AudioEncoderConfig):
        from mer.features import audio

        return audio.describe(encoder, None if is_signal(encoder) else locate(encoder, weights=False))
    if isinstance(encoder, VideoEncoderConfig):
        from mer.features import video

        return video.describe(encoder, None if is_signal(encoder) else locate(encoder, weights=False))
    found = locate(encoder, weights=False)
    config = read_config(found)
    width, depth = (next((config[k] for k in keys if k in config), None) for keys in (WIDTH_KEYS, DEPTH_KEYS))
    if not isinstance(width, int) or not isinstance(depth, int):
        raise MerError(
            found.folder / "config.json",
            f"model type {config.get('model_type')!r} does not say its width and its number of layers",
            allowed=f"a text encoder with {WIDTH_KEYS[0]} and {DEPTH_KEYS[0]}",
        )
    return BackboneCard(found.name, found.revision, found.pinned_sha256, layers=depth + 1, width=width)
