"""Tiny backbones and a small corpus (tests/text_backbones.py, video_lab.py), and how features are asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clip_cases import clip_encoder, clips_root, many, meld, own_root, stand_in
from one_thread import one_thread
from text_backbones import backbone, data, meld_root
from video_lab import opened, saved

from mer.config import ContextConfig, TextEncoderConfig

__all__ = [
    "backbone", "clip_encoder", "clips_root", "data", "many", "meld", "meld_root", "one_thread", "opened",
    "own_root", "saved", "stand_in",
]  # fmt: skip


@pytest.fixture
def encoder_config(backbone: Callable[[str], Path]) -> Callable[..., TextEncoderConfig]:
    """A function: options -> configuration of the tiny RoBERTa (or another family)."""

    def make(
        family: str = "roberta", past: Any = 0, future: int = 0, max_tokens: int = 128, **options: Any
    ) -> TextEncoderConfig:
        context = ContextConfig(past=past, future=future, max_tokens=max_tokens)
        return TextEncoderConfig(backbone=str(backbone(family)), context=context, **options)

    return make


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # read once, when the library is imported
