"""Pictures as a video backbone's own processor makes them, and settings that are not understood."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from video_backbones import FAMILIES, PICTURE, moving_square, processor
from video_lab import MODEL_TYPE

from mer.data.media import MediaFault
from mer.errors import MerError
from mer.features.video.families import FAMILIES as KNOWN
from mer.features.video.preprocessing import Preprocessing, read_preprocessing


@pytest.mark.parametrize("size", [(80, 60), (31, 97), (PICTURE, PICTURE), (36, 36), (5, 7), (640, 360)])
@pytest.mark.parametrize("family", FAMILIES)
def test_preprocessing_equals_the_processor_s(family: str, size: tuple[int, int], saved: Any) -> None:
    """To one grey level: Pillow, which the processors use here, rounds between its two passes in its own way."""
    prepare = read_preprocessing(saved(family).folder, KNOWN[MODEL_TYPE[family]])
    noise = np.random.default_rng(1).integers(0, 256, (2, size[1], size[0], 3)).astype(np.uint8)
    frames = np.concatenate([noise, moving_square(2, size=size)])
    expected = processor(family)(list(frames), return_tensors="pt")["pixel_values"].reshape(4, 3, PICTURE, PICTURE)
    ours = prepare(frames)
    assert ours.dtype == torch.float32 and ours.shape == expected.shape
    levels = (ours - expected).abs() / torch.tensor(prepare.factor).view(-1, 1, 1)
    assert levels.max() < 1.01 and levels.mean() < 0.1


def test_vivit_s_offset(saved: Any) -> None:
    prepare = read_preprocessing(saved("vivit").folder, KNOWN["vivit"])
    black, white = (prepare(np.full((1, 40, 40, 3), level, np.uint8)) for level in (0, 255))
    assert torch.allclose(black, torch.tensor(-3.0)) and torch.allclose(white, torch.tensor(1.0))  # (+-1 - .5) / .5


def test_pictures_of_differing_sizes_are_prepared_one_by_one(opened: Any) -> None:
    prepare = opened("clip").prepare
    images = [moving_square(1, size=size)[0] for size in [(80, 60), (40, 40)]]
    torch.testing.assert_close(prepare(images), torch.cat([prepare(image[None]) for image in images]), rtol=0, atol=0)


def test_files_as_the_hub_has_them(tmp_path: Path) -> None:
    """The oldest files say numbers for sizes and leave out what their class does anyway."""

    def read(kind: str, **given: Any) -> Preprocessing:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(given))
        return read_preprocessing(tmp_path, KNOWN[kind])

    mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    clip = read(
        "clip", crop_size=224, do_center_crop=True, do_normalize=True, do_resize=True, image_mean=mean, image_std=std,
        feature_extractor_type="CLIPFeatureExtractor", resample=3, size=224,
    )  # fmt: skip
    assert (clip.resize, clip.size, clip.mode) == (224, (224, 224), "bicubic")
    np.testing.assert_allclose(clip.factor, 1 / 255 / np.array(std))
    np.testing.assert_allclose(clip.shift, -np.array(mean) / std)
    timesformer = read(
        "timesformer", crop_size={"height": 224, "width": 224}, image_mean=[0.45] * 3, image_std=[0.225] * 3,
        resample=2, image_processor_type="VideoMAEFeatureExtractor", size={"shortest_edge": 224}, do_rescale=True,
        rescale_factor=0.00392156862745098,
    )  # fmt: skip
    assert (timesformer.mode, timesformer.resize) == ("bilinear", 224)
    np.testing.assert_allclose(timesformer.shift, -2)
    assert read("vivit").resize == 256 and read("vivit").factor[0] == 1 / 127.5 / 0.5
    assert read("clip", image_processor_type="CLIPImageProcessorFast").mode == "bicubic"
    exact = read("videomae", size={"height": 20, "width": 30, "shortest_edge": None}, do_center_crop=False)
    assert exact.resize == exact.size == (20, 30)
    plain = read("videomae", do_normalize=False, do_rescale=False, size=40, crop_size=32)
    assert (plain.factor, plain.shift, plain.size) == ((1, 1, 1), (0, 0, 0), (32, 32))
    assert read("videomae", image_mean=0, image_std=1).shift == (0, 0, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"resample": 1}, {"resample": [2]}, {"size": {"longest_edge": 224}},
        {"size": {"height": 0, "width": 224}}, {"size": 10**6},
        {"crop_size": 225}, {"crop_size": {"shortest_edge": 224}}, {"do_center_crop": False}, {"do_resize": False},
        {"do_pad": True}, {"image_processor_type": "ViTImageProcessor"}, {"image_std": [0.5, 0, 0.5]},
        {"image_mean": [0.5, 0.5]}, {"image_mean": "half"},
        {"rescale_factor": None, "offset": True, "do_rescale": False},
    ],
    ids=lambda wrong: next(iter(wrong)),
)  # fmt: skip
def test_what_is_not_understood_is_refused(wrong: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(wrong))
    with pytest.raises(MerError, match="which is not done here") as caught:
        read_preprocessing(tmp_path, KNOWN["videomae"])
    assert "preprocessor_config.json" in caught.value.where and caught.value.allowed and caught.value.then


def test_no_preprocessor(tmp_path: Path) -> None:
    with pytest.raises(MerError, match=r"no preprocessor_config\.json") as caught:
        read_preprocessing(tmp_path, KNOWN["videomae"])
    assert "copy the file" in caught.value.then
    for text, words in [("{", "not JSON"), ("[]", "is a list")]:
        (tmp_path / "preprocessor_config.json").write_text(text)
        with pytest.raises(MerError, match=words):
            read_preprocessing(tmp_path, KNOWN["videomae"])


def test_a_thin_strip_is_a_fault_of_the_clip(opened: Any) -> None:
    prepare = opened("videomae").prepare
    assert prepare(np.zeros((1, 2, 32, 3), np.uint8)).shape == (1, 3, PICTURE, PICTURE)
    with pytest.raises(MediaFault, match="33x2 pixels"):
        prepare(np.zeros((1, 2, 33, 3), np.uint8))
