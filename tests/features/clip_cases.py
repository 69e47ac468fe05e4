"""Encoders of clips by name, corpora for them, and what their tests share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import audio_backbones
import numpy as np
import pytest
import video_backbones
from clip_corpus import StandIn, write_meld

from mer.config import AudioEncoderConfig, ClipEncoderConfig, DataConfig, VideoEncoderConfig
from mer.features.from_clips import pooled as clip_reading

AUDIO = {f"audio-{family}": family for family in (*audio_backbones.FAMILIES, "melstats")}
VIDEO = {f"video-{family}": family for family in (*video_backbones.FAMILIES, *video_backbones.FROZEN, "framestats")}


@pytest.fixture(scope="session")
def clips_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of clips that all tests share; none may change it."""
    return write_meld(tmp_path_factory.mktemp("clips") / "corpus")


@pytest.fixture
def meld(clips_root: Path) -> DataConfig:
    return DataConfig(root=str(clips_root))


@pytest.fixture(scope="session")
def clip_encoder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ClipEncoderConfig]:
    """A function: "audio-wavlm" (or another family) and options -> configuration; backbones are saved once."""
    made: dict[str, Path] = {}

    def get(name: str, **options: Any) -> ClipEncoderConfig:
        modality, family = name.split("-")
        config = AudioEncoderConfig if modality == "audio" else VideoEncoderConfig
        if family in ("melstats", "framestats"):
            return config(**options)
        if name not in made:
            backbones: Any = audio_backbones if modality == "audio" else video_backbones
            made[name] = backbones.save_backbone(family, tmp_path_factory.mktemp("clip_backbones") / family).folder
        return config(backbone=str(made[name]), **options)

    return get


@pytest.fixture
def own_root(clips_root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clips_root, tmp_path / "own"))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_meld(tmp_path_factory.mktemp("many"), {"train": 20}, video=False)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., StandIn]:
    """A function: options -> a StandIn that every extraction uses from then on."""

    def use(**options: Any) -> StandIn:
        encoder = StandIn(**options)
        monkeypatch.setattr(clip_reading, "open_clip_encoder", lambda config, found: encoder)
        return encoder

    return use


def far(a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference, in units of the largest value (at least 1)."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(np.abs(a - b).max() / max(1.0, np.abs(b).max()))


def with_(config: ClipEncoderConfig, **changes: Any) -> ClipEncoderConfig:
    return type(config).model_validate({**config.model_dump(), **changes})
