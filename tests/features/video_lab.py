"""Tiny video backbones, saved and opened once for all tests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from video_backbones import FAMILIES, FRAMES, moving_square, save_backbone

from mer.config import VideoEncoderConfig
from mer.features.backbone.clip_encoder import LoadedClip
from mer.features.backbone.files import BackboneFolder
from mer.features.video.pretrained import VideoEncoder

POOLER = {"timesformer": "first", "videomae": "mean", "vivit": "first", "clip": "first", "clip_vision": "first"}
MODEL_TYPE = {family: family for family in FAMILIES} | {"clip_vision": "clip_vision_model"}
OWN_FRAMES = {family: 8 if family.startswith("clip") else FRAMES for family in FAMILIES}


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., BackboneFolder]:
    """A function: family (and settings of the model) -> tiny backbone, saved once."""
    made: dict[str, BackboneFolder] = {}

    def get(family: str, **settings: Any) -> BackboneFolder:
        key = f"{family} {settings}"
        if key not in made:
            made[key] = save_backbone(family, tmp_path_factory.mktemp("video") / family, **settings)
        return made[key]

    return get


@pytest.fixture(scope="session")
def opened(saved: Callable[..., BackboneFolder]) -> Callable[..., VideoEncoder]:
    """A function: family and options -> encoder, opened once."""
    made: dict[str, VideoEncoder] = {}

    def get(family: str, **options: Any) -> VideoEncoder:
        key = f"{family} {options}"
        if key not in made:
            made[key] = VideoEncoder(VideoEncoderConfig(backbone=str(saved(family).folder), **options), saved(family))
        return made[key]

    return get


def clips_of(encoder: VideoEncoder, count: int = 3) -> list[LoadedClip]:
    frames = encoder.backbone.frames
    return [LoadedClip(encoder.prepare(moving_square(frames, size=(80, 60), seed=seed))) for seed in range(count)]


def altered(found: BackboneFolder, to: Path, name: str = "config.json", **changes: Any) -> BackboneFolder:
    """A copy whose JSON file says something else; None takes a key away."""
    shutil.copytree(found.folder, to)
    values = {**json.loads((to / name).read_text()), **changes}
    (to / name).write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
    return BackboneFolder(to.name, to)
