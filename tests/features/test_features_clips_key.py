"""The key of cached clip features: what is in it, and what must not be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import video_backbones
from clip_cases import with_
from clip_corpus import ROWS, clip, voice, write_csv, write_sound

from mer.config import AudioEncoderConfig, ClipEncoderConfig, DataConfig, VideoEncoderConfig
from mer.data import load_corpus
from mer.features.from_clips.pooled import ClipReading


@pytest.fixture
def key(tmp_path: Path) -> Callable[..., str]:
    """A function: root, configuration -> the key that the features of a split would have."""

    def get(root: Path, config: ClipEncoderConfig, split: str = "dev", **data: Any) -> str:
        settings, cache = DataConfig(root=str(root), **data), tmp_path / "keys"
        corpus = load_corpus(settings.dataset, root, splits=(split,))
        return ClipReading(config, cache, progress=False).prepare(corpus, settings, split, cache).key

    return get


def test_what_does_not_decide_the_numbers_does_not_change_the_key(
    key: Any, clips_root: Path, own_root: Path, clip_encoder: Any, tmp_path: Path
) -> None:
    for name, own_way in (("audio-hubert", "mean"), ("video-videomae", "mean"), ("video-timesformer", "first")):
        config = clip_encoder(name)
        before = key(clips_root, config)
        assert key(own_root, config) == before, "the same clips elsewhere"
        for other in (with_(config, layers="all"), with_(config, layers=(0, 2)), with_(config, pooler=own_way)):
            assert key(clips_root, other) == before
        assert key(clips_root, config, label="sentiment") == before
        moved = shutil.copytree(config.backbone, tmp_path / name / Path(config.backbone).name)
        assert key(clips_root, with_(config, backbone=str(moved))) == before, "the same backbone elsewhere"
    video = clip_encoder("video-videomae")
    assert key(clips_root, with_(video, frames=video_backbones.FRAMES)) == key(clips_root, video)
    assert key(clips_root, clip_encoder("video-framestats", frames=16)) == key(clips_root, VideoEncoderConfig())


def test_every_ingredient_changes_the_key(
    key: Any, clips_root: Path, own_root: Path, clip_encoder: Any, tmp_path: Path
) -> None:
    for name in ("audio-melstats", "audio-hubert", "video-framestats", "video-videomae", "video-clip"):
        config = clip_encoder(name)
        changes: dict[str, dict[str, Any]] = {"max_seconds": {"max_seconds": 5.0}, "dtype": {"dtype": "bfloat16"}}
        if name.endswith(("hubert", "clip")):
            changes["pooler"] = {"pooler": "first" if name.endswith("hubert") else "mean"}
        if name.endswith(("framestats", "clip")):
            changes["frames"] = {"frames": 3}
        found = {what: key(clips_root, with_(config, **change)) for what, change in changes.items()}
        found |= {"as it is": key(clips_root, config), "split": key(clips_root, config, "train")}
        assert len(set(found.values())) == len(found), name


def test_content_and_labels_change_the_key(key: Any, own_root: Path) -> None:
    config = AudioEncoderConfig()
    seen = [key(own_root, config)]
    one = clip(own_root, "audio", "dev", 2)
    write_sound(one, voice(0.6, seed=99))
    seen.append(key(own_root, config))
    one.unlink()
    seen.append(key(own_root, config))
    write_csv(own_root, "dev", ["joy", *["anger"] * (ROWS["dev"] - 1)])
    seen.append(key(own_root, config))
    write_csv(own_root, "dev", ["surprise", *["anger"] * (ROWS["dev"] - 1)])
    seen.append(key(own_root, config))
    assert len(set(seen)) == len(seen)
    clip(own_root, "audio", "train", 0).unlink()
    assert key(own_root, config) == seen[-1], "another split's clips are its own affair"


def test_crops_change_the_key_and_so_does_what_is_in_them(key: Any, own_root: Path) -> None:
    config = VideoEncoderConfig()
    plain = key(own_root, config)
    shutil.copytree(own_root / "videos", own_root / "faces")
    seen = [plain, key(own_root, with_(config, crops="faces"))]
    target = own_root / "faces/dev/dia0_utt0.mp4"
    shutil.copy(own_root / "videos/dev/dia0_utt1.mp4", target)
    seen.append(key(own_root, with_(config, crops="faces")))
    target.unlink()
    video_backbones.write_frames(target.with_suffix(""), video_backbones.moving_square(3))
    seen.append(key(own_root, with_(config, crops="faces")))
    picture = target.with_suffix("") / "001.png"
    picture.write_bytes(picture.read_bytes() + b"\0")
    seen.append(key(own_root, with_(config, crops="faces")))
    picture.rename(picture.with_name("007.png"))
    seen.append(key(own_root, with_(config, crops="faces")))
    assert len(set(seen)) == len(seen)
    assert key(own_root, config) == plain


@pytest.mark.parametrize("name", ["audio-hubert", "audio-whisper", "video-clip"])
@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "preprocessor_config.json"])
def test_every_file_of_a_backbone_changes_the_key(
    name: str, file: str, key: Any, clips_root: Path, clip_encoder: Any, tmp_path: Path
) -> None:
    config = clip_encoder(name)
    folder = Path(shutil.copytree(config.backbone, tmp_path / Path(config.backbone).name))
    own = with_(config, backbone=str(folder))
    before = key(clips_root, own)
    if file.endswith(".json"):
        words = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps({**words, "note": "another"}))
    else:
        content = bytearray((folder / file).read_bytes())
        content[-1] ^= 1
        (folder / file).write_bytes(content)
    assert key(clips_root, own) != before


def test_a_tokenizer_does_not_hide_the_preprocessor(
    key: Any, clips_root: Path, clip_encoder: Any, tmp_path: Path
) -> None:
    """Checkpoints of CLIP, Whisper and wav2vec2 carry a tokenizer too."""
    config = clip_encoder("video-clip")
    folder = Path(shutil.copytree(config.backbone, tmp_path / "clip"))
    (folder / "tokenizer_config.json").write_text("{}")
    own = with_(config, backbone=str(folder))
    before = key(clips_root, own)
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "image_mean": [0.1, 0.2, 0.3]}))
    assert key(clips_root, own) != before
