"""DINOv2 frame by frame: its states are those of transformers, its table of positions is stretched; it is not tuned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from video_backbones import PICTURE, moving_square, processor, save_backbone

from mer.config import VideoEncoderConfig
from mer.errors import MerError
from mer.features.backbone.clip_encoder import LoadedClip
from mer.features.modalities import describe_backbone, wiring_of
from mer.features.video.families import FAMILIES
from mer.features.video.preprocessing import read_preprocessing
from mer.features.video.pretrained import VideoEncoder


@pytest.mark.parametrize("pooler", ["auto", "mean"])
def test_states_are_those_of_transformers(pooler: str, tmp_path: Path) -> None:
    found = save_backbone("dinov2", tmp_path / "dinov2")
    config = VideoEncoderConfig(backbone=str(found.folder), frames=3, pooler=pooler)
    card = describe_backbone(config)
    assert (card.layers, card.width) == (4, 24)
    frames = moving_square(3, size=(80, 60))
    encoder = VideoEncoder(config, found)
    ours = encoder.encode([LoadedClip(encoder.prepare(frames))])[0]
    pixels = encoder.prepare(frames)
    assert pixels.shape[-2:] == (PICTURE, PICTURE), "smaller than the pictures that the model was made for"
    with torch.inference_mode():
        out = transformers.AutoModel.from_pretrained(found.folder).eval()(pixels, output_hidden_states=True)
    states = torch.stack([*out.hidden_states[:-1], out.last_hidden_state])  # (L, frames, tokens, D)
    expected = (states[:, :, 0] if pooler == "auto" else states[:, :, 1:].mean(dim=2)).mean(dim=1)
    np.testing.assert_allclose(ours, expected.numpy(), atol=1e-4)


def test_its_own_processor_is_followed(tmp_path: Path) -> None:
    found = save_backbone("dinov2", tmp_path / "dinov2")
    frames = moving_square(2, size=(80, 60))
    prepare = read_preprocessing(found.folder, FAMILIES["dinov2"])
    expected = processor("dinov2")(list(frames), return_tensors="pt")["pixel_values"]
    levels = (prepare(frames) - expected).abs() / torch.tensor(prepare.factor).view(-1, 1, 1)
    assert levels.max() < 1.01 and levels.mean() < 0.1


def test_tuning_is_refused(tmp_path: Path) -> None:
    found = save_backbone("dinov2", tmp_path / "dinov2")
    with pytest.raises(MerError, match="a DINOv2 is read as it is"):
        wiring_of(VideoEncoderConfig(backbone=str(found.folder), mode="lora"), found)
