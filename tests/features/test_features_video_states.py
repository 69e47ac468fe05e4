"""Hidden states of video backbones: those that transformers gives, whatever else is in the batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from video_backbones import FAMILIES, FRAMES, PICTURE, moving_square
from video_lab import POOLER, altered, clips_of

from mer.config import VideoEncoderConfig
from mer.features import video
from mer.features.backbone.clip_encoder import LoadedClip
from mer.features.video.pretrained import VideoEncoder


@pytest.mark.parametrize("family", FAMILIES)
def test_alone_in_a_batch_and_in_order(family: str, opened: Any) -> None:
    encoder = opened(family)
    clips = clips_of(encoder, 4)
    out = encoder.encode(clips)
    assert out.shape == (4, encoder.layers, encoder.width) and out.dtype == np.float32
    np.testing.assert_allclose(out, np.concatenate([encoder.encode([clip]) for clip in clips]), rtol=0, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(clips[::-1]), out[::-1], rtol=0, atol=1e-5)
    apart = np.abs(out[0] - out[1])[1 if POOLER[family] == "first" else 0 :]  # embedded, first tokens are all one
    assert apart.max(axis=1).min() > 1e-3


@pytest.mark.parametrize("pooler", ["auto", "mean", "first"])
@pytest.mark.parametrize("family", FAMILIES)
def test_states_and_pooling_literally(family: str, pooler: str, opened: Any, saved: Any) -> None:
    if (family, pooler) == ("videomae", "first"):
        return
    encoder = opened(family, pooler=pooler)
    images = moving_square(encoder.backbone.frames, size=(80, 60))
    network = encoder.model
    tokens_of = []
    with torch.no_grad():
        pixels = encoder.prepare(images)
        parts = [frame[None] for frame in pixels] if family.startswith("clip") else [pixels[None]]
        for part in parts:  # CLIP: frame by frame
            out = network(pixel_values=part, output_hidden_states=True)
            tokens_of.append([*(state[0] for state in out.hidden_states[:-1]), out.last_hidden_state[0]])
            if family in ("timesformer", "vivit"):  # the last of hidden_states is before their last norm
                assert (out.hidden_states[-1] - out.last_hidden_state).abs().max() > 0.1
    way = POOLER[family] if pooler == "auto" else pooler
    start = 0 if family == "videomae" else 1
    patches = (PICTURE // 8) ** 2
    times = {"timesformer": FRAMES, "videomae": FRAMES // 2, "vivit": FRAMES // 2}.get(family, 1)
    expected = np.zeros((4, 24))
    for layer in range(4):
        for tokens in tokens_of:
            states = tokens[layer].double().numpy()
            assert len(states[layer]) == 24 and len(tokens[layer]) == start + patches * times
            pooled = states[0] if way == "first" else sum(states[start:]) / len(states[start:])
            expected[layer] += pooled / len(tokens_of)
    np.testing.assert_allclose(encoder.encode([LoadedClip(pixels)])[0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_is_close_and_not_the_same(family: str, opened: Any) -> None:
    exact, fast = opened(family), opened(family, dtype="bfloat16")
    clips = clips_of(exact)
    out, expected = fast.encode(clips), exact.encode(clips)
    assert out.dtype == np.float32 and 0 < np.abs(out - expected).max() < 0.05


@pytest.mark.parametrize("family", ["timesformer", "clip", "clip_vision"])
@pytest.mark.parametrize("frames", [1, 3, 8])
def test_another_number_of_frames_is_read_where_it_can_be(family: str, frames: int, opened: Any, saved: Any) -> None:
    encoder = opened(family, frames=frames)
    words = video.preprocessing_words(VideoEncoderConfig(backbone="x", frames=frames), saved(family))
    assert encoder.reader.count == words["frames"] == frames
    out = encoder.encode(clips_of(encoder, 2))
    assert out.shape == (2, 4, 24) and np.isfinite(out).all()


@pytest.mark.parametrize("frames", [2, 8])
def test_timesformer_attends_along_the_right_tokens(frames: int, opened: Any, saved: Any, tmp_path: Path) -> None:
    """It equals a model built for that number of frames with the stretched table of positions in time."""
    from safetensors.torch import load_file, save_file

    made_for = altered(saved("timesformer"), tmp_path / "made_for", num_frames=frames)
    weights = load_file(made_for.folder / "model.safetensors")
    times = "embeddings.time_embeddings"
    weights[times] = weights[times][:, torch.arange(frames) * FRAMES // frames].contiguous()
    save_file(weights, made_for.folder / "model.safetensors", metadata={"format": "pt"})
    encoder = opened("timesformer", frames=frames)
    expected = VideoEncoder(VideoEncoderConfig(backbone="x"), made_for).encode(clips_of(encoder))
    np.testing.assert_allclose(encoder.encode(clips_of(encoder)), expected, rtol=0, atol=1e-5)
