"""Video encoders: a clip's frames to pooled hidden states, or to statistics that need no weights.

    families       the video encoders that we can read, and the facts in their config.json
    frames         a clip to evenly spaced pictures
    faces          crop every picture to its largest face
    preprocessing  pictures to a backbone's input, as the backbone's own image processor does it
    pretrained     a loaded TimeSformer, VideoMAE, ViViT or CLIP
    wiring         video backbones in parts, for tuning
    framestats     417 numbers of appearance and motion, without weights
    frameseries    338 numbers of every frame, for models that read sequences

Importing this imports neither torch nor OpenCV.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mer.config import VideoEncoderConfig
from mer.features.backbone.files import BackboneCard, BackboneFolder
from mer.features.video.faces import model_file
from mer.features.video.families import resolve
from mer.files import sha256_file

if TYPE_CHECKING:
    from mer.features.backbone.clip_encoder import ClipEncoder

SIGNAL = "framestats"


def describe(config: VideoEncoderConfig, found: BackboneFolder | None) -> BackboneCard:
    """Say how many hidden states the encoder has and how wide they are; reads config.json only.

    Args: found: None for framestats, whose pooler is '' since there is nothing to pool.
    Raises: MerError for a model that is no video encoder we know, for frames or a pooler that it does not support, and
        for a face detector that is not there.
    """
    if config.face_detector is not None:
        model_file(config.face_detector)
    if found is None:
        from mer.features.video import frameseries, framestats

        width = frameseries.WIDTH if config.keeps_states else len(framestats.NAMES)
        return BackboneCard(SIGNAL, None, None, layers=1, width=width)
    backbone = resolve(config, found)
    return BackboneCard(
        found.name,
        found.revision,
        found.pinned_sha256,
        layers=backbone.layers,
        width=backbone.width,
        pooler=backbone.family.pooler,
    )


def open_encoder(config: VideoEncoderConfig, found: BackboneFolder | None) -> ClipEncoder:
    """Load the encoder.

    Raises: MerError when the folder cannot be loaded whole, or its preprocessing is not understood.
    """
    if found is None:
        from mer.features.video.frameseries import FrameSeries
        from mer.features.video.framestats import FrameStats

        return FrameSeries(config) if config.keeps_states else FrameStats(config)
    from mer.features.video.pretrained import VideoEncoder

    return VideoEncoder(config, found)


def preprocessing_words(config: VideoEncoderConfig, found: BackboneFolder | None) -> dict[str, Any]:
    """Say how a clip is prepared before the backbone, for the key of its features; 'auto' and null are resolved.

    The preprocessor's own file is left out, since the backbone's fingerprint covers it.
    Raises: MerError as `describe`.
    """
    from mer.features.video import frameseries, framestats, preprocessing

    if found is None:
        version = (frameseries if config.keeps_states else framestats).VERSION
        frames = config.frames or framestats.FRAMES
    else:
        version, frames = preprocessing.VERSION, resolve(config, found).frames
    detector = config.face_detector
    return {
        "version": version,
        "frames": frames,
        "max_seconds": config.max_seconds,
        "crops": config.crops,
        "face_detector_sha256": None if detector is None else sha256_file(model_file(detector)),
    }


def step_count(config: VideoEncoderConfig, found: BackboneFolder | None) -> int:
    """Count the steps of time of a clip."""
    if found is None:
        from mer.features.video.framestats import FRAMES

        return config.frames or FRAMES
    backbone = resolve(config, found)
    if backbone.family.per_frame:
        return backbone.frames
    from mer.features.video.pretrained import time_steps
    from mer.features.video.wiring import VideoWiring

    return time_steps(VideoWiring(config, found).config, backbone.frames)
