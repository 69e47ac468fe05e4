"""Video backbones: what their files say of them, how they are loaded, and the way from a clip to states."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from video_backbones import FAMILIES, FRAMES, moving_square, network, save_backbone, write_frames
from video_lab import OWN_FRAMES, POOLER, altered, clips_of

from mer.config import VideoEncoderConfig
from mer.data.media import MediaAbsent, MediaFault
from mer.errors import MerError
from mer.features import video
from mer.features.backbone.files import BackboneFolder, fingerprint, locate
from mer.features.modalities import describe_backbone
from mer.features.video.pretrained import VideoEncoder

# ---- what config.json says


@pytest.mark.parametrize("family", FAMILIES)
def test_describe_reads_config_only(family: str, saved: Any, tmp_path: Path) -> None:
    shutil.copy(saved(family).folder / "config.json", tmp_path)
    config = VideoEncoderConfig(backbone=str(tmp_path))
    card = describe_backbone(config)
    assert (card.layers, card.width, card.pooler) == (4, 24, POOLER[family])
    words = video.preprocessing_words(config, BackboneFolder("tiny", tmp_path))
    assert words == {
        "version": 1, "frames": OWN_FRAMES[family], "max_seconds": 20.0, "crops": None, "face_detector_sha256": None,
    }  # fmt: skip


def test_settings_left_out_are_the_family_s_own(tmp_path: Path) -> None:
    for kind, frames in [("timesformer", 8), ("videomae", 16), ("vivit", 32), ("clip", 8), ("clip_vision_model", 8)]:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, "vision_config": {}}))
        found = BackboneFolder("bare", tmp_path)
        card = video.describe(VideoEncoderConfig(backbone="bare"), found)
        assert (card.layers, card.width) == (13, 768)
        assert video.preprocessing_words(VideoEncoderConfig(backbone="bare"), found)["frames"] == frames


def test_what_is_no_video_encoder_is_refused(saved: Any, tmp_path: Path) -> None:
    config = VideoEncoderConfig(backbone="tiny")
    for change in ({"model_type": "roberta"}, {"model_type": None}, {"model_type": ["clip"]}):
        found = altered(saved("videomae"), tmp_path / str(change["model_type"]), **change)
        with pytest.raises(MerError, match="no video encoder we know") as caught:
            video.describe(config, found)
        assert all(name in caught.value.allowed for name in ("TimeSformer", "VideoMAE", "ViViT", "CLIP"))
    broken = [
        ("hidden_size", "wide", "hidden_size is 'wide'"), ("num_frames", 0, "num_frames is 0"),
        ("num_hidden_layers", True, "num_hidden_layers is true"), ("image_size", "224", "image_size is '224'"),
    ]  # fmt: skip
    for key, value, words in broken:
        with pytest.raises(MerError, match=words):
            video.describe(config, altered(saved("timesformer"), tmp_path / key, **{key: value}))
    with pytest.raises(MerError, match="space_only"):
        found = altered(saved("timesformer"), tmp_path / "space", attention_type="space_only")
        video.describe(config, found)
    with pytest.raises(MerError, match="vision_config"):
        video.describe(config, altered(saved("clip"), tmp_path / "vision", vision_config=[1]))


@pytest.mark.parametrize("family", ["videomae", "vivit"])
def test_another_number_of_frames_is_refused_where_it_cannot_be(family: str, saved: Any) -> None:
    config = VideoEncoderConfig(backbone=str(saved(family).folder), frames=FRAMES * 2)
    for ask in (video.describe, video.preprocessing_words, video.open_encoder):
        with pytest.raises(MerError, match=f"8 frames asked of '{family}', whose position table has a place for 4"):
            ask(config, saved(family))
    assert video.describe(config.model_copy(update={"frames": FRAMES}), saved(family)).layers == 4


def test_videomae_has_no_first_token(saved: Any) -> None:
    with pytest.raises(MerError, match="no summary token") as caught:
        video.describe(VideoEncoderConfig(backbone="x", pooler="first"), saved("videomae"))
    assert "'mean'" in caught.value.allowed


# ---- loading


@pytest.mark.parametrize("family", FAMILIES)
def test_all_weights_come_from_the_folder(family: str, opened: Any) -> None:
    """VideoMAE and ViViT name them differently in their checkpoints, and are covered too."""
    made = network(family)
    expected = (made.vision_model if family == "clip" else made).state_dict()
    loaded = opened(family).model
    assert not any(weight.requires_grad for weight in loaded.parameters())
    learned = dict(loaded.named_parameters())
    assert len(learned) > 40
    for name, weight in learned.items():
        assert torch.equal(weight, expected[name if name in expected else name.removeprefix("vision_model.")]), name


def test_half_precision_on_disk_is_float32_here(tmp_path: Path) -> None:
    found = save_backbone("clip_vision", tmp_path / "half")
    network("clip_vision").bfloat16().save_pretrained(found.folder)
    encoder = VideoEncoder(VideoEncoderConfig(backbone="x"), found)
    assert {weight.dtype for weight in encoder.model.parameters()} == {torch.float32}
    assert encoder.encode(clips_of(encoder)).dtype == np.float32


def test_only_clip_s_vision_part_is_loaded(opened: Any) -> None:
    for family in ("clip", "clip_vision"):
        assert type(opened(family).model) is transformers.CLIPVisionModel


def test_checkpoints_of_other_heads_are_fine(opened: Any) -> None:
    """VideoMAE with the decoder of its pre-training, ViViT of a classifier, which has no pooler."""
    for family in ("videomae_pretraining", "vivit_classifier"):
        encoder = opened(family)
        assert encoder.encode(clips_of(encoder)).shape == (3, 4, 24)


@pytest.mark.parametrize("family", FAMILIES)
def test_missing_weights_are_refused(family: str, saved: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    found = altered(saved(family), tmp_path / family)
    weights = load_file(found.folder / "model.safetensors")
    vision = [name for name in weights if "text" not in name and name.endswith("1.layer_norm1.weight")]
    gone = vision[0] if vision else next(name for name in weights if "layers.1." in name or "layer.1." in name)
    del weights[gone]
    save_file(weights, found.folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(MerError, match=r"1 weights of .* are not in the checkpoint"):
        video.open_encoder(VideoEncoderConfig(backbone=str(found.folder)), found)


def test_a_folder_that_cannot_be_loaded(saved: Any, tmp_path: Path) -> None:
    config = VideoEncoderConfig(backbone="x")
    cut = altered(saved("videomae"), tmp_path / "cut")
    (cut.folder / "model.safetensors").write_bytes((cut.folder / "model.safetensors").read_bytes()[:999])
    other = altered(saved("videomae"), tmp_path / "other", intermediate_size=48)
    none = altered(saved("videomae"), tmp_path / "none")
    (none.folder / "model.safetensors").unlink()
    for found in (cut, other, none):
        with pytest.raises(MerError, match=r"cannot be loaded|not in the checkpoint") as caught:
            video.open_encoder(config, found)
        assert "Traceback" not in caught.value.message and caught.value.then


def test_weights_and_preprocessor_of_two_models(saved: Any, tmp_path: Path) -> None:
    found = altered(saved("vivit"), tmp_path / "mixed", "preprocessor_config.json", crop_size=16)
    with pytest.raises(MerError, match=r"pictures of \(16, 16\) pixels, the backbone was made for \(32, 32\)"):
        video.open_encoder(VideoEncoderConfig(backbone="x"), found)


# ---- clips


def test_from_a_folder_of_frames_to_states(saved: Any, tmp_path: Path) -> None:
    """The whole way, as an extraction goes: locate, fingerprint, probe, load, encode."""
    config = VideoEncoderConfig(backbone=str(saved("clip").folder), frames=3)
    found = locate(config, weights=True)
    assert fingerprint(found, None).weights != fingerprint(saved("clip_vision"), None).weights
    encoder = video.open_encoder(config, found)
    images = moving_square(6, size=(80, 60))
    folder = write_frames(tmp_path / "clip", images)
    assert encoder.probe(folder) == 1 and encoder.batch_length >= 1
    clip = encoder.load(folder)
    assert clip.notes == ()
    torch.testing.assert_close(clip.inputs, encoder.prepare(images[[1, 3, 5]]), rtol=0, atol=0)
    assert encoder.encode([clip, clip]).shape == (2, 4, 24)
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(MediaFault, match="0 bytes"):
        encoder.probe(tmp_path / "empty.mp4")
    with pytest.raises(MediaAbsent):
        encoder.load(tmp_path / "none.mp4")


def test_faces_are_cropped_before_preprocessing(opened: Any, tmp_path: Path) -> None:
    class Faces:
        def crop(self, images: np.ndarray) -> tuple[list[np.ndarray], tuple[str, ...]]:
            return [image[:20, : 20 + index] for index, image in enumerate(images)], ("seen",)

    encoder = opened("clip", frames=2, max_seconds=5)
    encoder.reader.faces = Faces()
    images = moving_square(2, size=(80, 60))
    clip = encoder.load(write_frames(tmp_path / "clip", images))
    assert clip.notes == ("seen",)
    expected = torch.cat([encoder.prepare(images[:1, :20, :20]), encoder.prepare(images[1:, :20, :21])])
    torch.testing.assert_close(clip.inputs, expected, rtol=0, atol=0)
