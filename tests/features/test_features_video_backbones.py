from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from video_backbones import FAMILIES, FRAMES, PICTURE, moving_square, network, processor, save_backbone, write_frames

from mer.config import VideoEncoderConfig
from mer.data.media import MediaAbsent, MediaFault
from mer.errors import MerError
from mer.features import video
from mer.features.backbone.clip_encoder import LoadedClip
from mer.features.backbone.files import BackboneFolder, fingerprint, locate
from mer.features.modalities import describe_backbone
from mer.features.video.families import FAMILIES as KNOWN
from mer.features.video.preprocessing import Preprocessing, read_preprocessing
from mer.features.video.pretrained import VideoEncoder

POOLER = {"timesformer": "first", "videomae": "mean", "vivit": "first", "clip": "first", "clip_vision": "first"}
MODEL_TYPE = {family: family for family in FAMILIES} | {"clip_vision": "clip_vision_model"}
OWN_FRAMES = {family: 8 if family.startswith("clip") else FRAMES for family in FAMILIES}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., BackboneFolder]:
    """A function: family (and settings of the model) -> tiny backbone, saved once."""
    made: dict[str, BackboneFolder] = {}

    def get(family: str, **settings: Any) -> BackboneFolder:
        key = f"{family} {settings}"
        if key not in made:
            made[key] = save_backbone(family, tmp_path_factory.mktemp("video") / family, **settings)
        return made[key]

    return get


@pytest.fixture(scope="module")
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


def test_videomae_has_no_first_token(saved: Any) -> None:
    with pytest.raises(MerError, match="no summary token") as caught:
        video.describe(VideoEncoderConfig(backbone="x", pooler="first"), saved("videomae"))
    assert "'mean'" in caught.value.allowed


# ---- preprocessing


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


# ---- hidden states


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
