"""Pooler none: one hidden state for each token or step of time, of which the pooled features are the means."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import video_backbones
from clip_cases import AUDIO, VIDEO
from clip_corpus import clip
from tiers import slow_except

from mer.config import AudioEncoderConfig, DataConfig, TextEncoderConfig, TrialConfig, VideoEncoderConfig, nest
from mer.data import Dialogue, open_corpus
from mer.errors import MerError
from mer.features import disk_space, ensure_features, load_features
from mer.features.cache.sequences import condensed
from mer.features.disk_space import refuse_no_room
from mer.features.from_clips.live import LiveClipSteps
from mer.features.from_clips.unpooled import ClipStepReading
from mer.features.from_text.live import LiveTokens
from mer.features.from_text.unpooled import TokenReading, TokenStates
from mer.features.modalities import locate_clip_backbone
from mer.features.video.families import resolve
from mer.features.video.pretrained import VideoEncoder

HALF = {"rtol": 2e-3, "atol": 2e-3}  # of numbers that were rounded to float16 and averaged
ENCODERS = [*AUDIO, *VIDEO]


def rows_of(table: Any) -> list[np.ndarray]:
    bounds = table.sequences.offsets
    return [table.sequences.values[a:b].astype(np.float32) for a, b in itertools.pairwise(bounds)]


class TestCondensed:
    def test_a_short_row_stays(self) -> None:
        row = np.arange(6.0, dtype=np.float32).reshape(3, 2)
        assert condensed(row, 3) is row

    @pytest.mark.parametrize(("length", "most"), [(5, 2), (7, 3), (100, 64), (64, 1)])
    def test_a_long_one_is_averaged_over_equal_parts(self, length: int, most: int) -> None:
        row = np.random.default_rng(0).normal(size=(length, 3)).astype(np.float32)
        cuts = [part * length // most for part in range(most + 1)]
        wanted = [row[a:b].mean(axis=0) for a, b in itertools.pairwise(cuts)]
        got = condensed(row, most)
        assert got.dtype == np.float32 and got.shape == (most, 3)
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layer", ["last", (1,)])
def test_tokens_of_the_utterance_are_kept_and_average_to_its_pooled_features(
    layer: Any, backbone: Any, data: DataConfig, tmp_path: Path
) -> None:
    own: dict[str, Any] = {"backbone": str(backbone("roberta")), "context": {"past": 2}, "layers": layer}
    states = TextEncoderConfig.model_validate(own | {"pooler": "none", "max_states": 500})
    pooled = TextEncoderConfig.model_validate(own | {"pooler": "target"})
    kept, whole = (
        load_features(ensure_features(data, encoder, ["dev"], cache=tmp_path, progress=False).paths["dev"])
        for encoder in (states, pooled)
    )
    number = -1 if layer == "last" else layer[0]
    means = [row.mean(axis=0) for row in rows_of(kept)]
    np.testing.assert_allclose(means, whole.features[:, number].astype(np.float32), **HALF)
    assert kept.sequences.values.dtype == np.float16 and kept.keeps_states
    assert kept.hidden_states == whole.hidden_states and kept.ids == whole.ids
    assert len({len(row) for row in rows_of(kept)}) > 3


def test_the_longest_row_is_a_setting_and_part_of_the_key(backbone: Any, data: DataConfig, tmp_path: Path) -> None:
    def kept(**settings: Any) -> Any:
        encoder = TextEncoderConfig(backbone=str(backbone("roberta")), pooler="none", **settings)
        return load_features(ensure_features(data, encoder, ["dev"], cache=tmp_path, progress=False).paths["dev"])

    long, short, lower = kept(max_states=500), kept(max_states=3), kept(max_states=500, layers=(1,))
    assert len({long.key, short.key, lower.key}) == 3
    assert kept(max_states=500, layers=(-1,)).key == long.key, "another name of the same hidden state"
    for whole, cut in zip(rows_of(long), rows_of(short), strict=True):
        assert len(cut) == min(3, len(whole))
        np.testing.assert_allclose(cut, condensed(whole, 3), **HALF)


@pytest.mark.parametrize("name", slow_except(ENCODERS, "audio-wavlm", "audio-melstats", "video-clip"))
def test_steps_of_clips_average_to_their_pooled_features(name: str, clip_encoder, meld: DataConfig, tmp_path: Path):
    """Of statistics the pooled features say other things."""
    settings = {} if name in ("video-framestats", "audio-melstats") else {"layers": (2,)}
    kept = _ensured(clip_encoder(name, pooler="none", max_states=4096, **settings), meld, tmp_path)
    assert len({len(row) for row in rows_of(kept)} - {0}) >= (2 if name in AUDIO and name != "audio-whisper" else 1)
    assert (kept.present == (kept.sequences.lengths > 0)).all()
    if name in ("video-framestats", "audio-melstats"):
        return
    pooler = "first" if name.startswith(("video-clip", "video-dinov2")) else "mean"
    pooled = _ensured(clip_encoder(name, pooler=pooler), meld, tmp_path)
    there = np.flatnonzero(pooled.present)
    assert len(there) and (pooled.present == kept.present).all()
    means = [rows_of(kept)[row].mean(axis=0) for row in there]
    np.testing.assert_allclose(means, pooled.features[there, 2].astype(np.float32), **HALF)


def _ensured(encoder: Any, data: DataConfig, cache: Path) -> Any:
    return load_features(ensure_features(data, encoder, ["dev"], cache=cache, progress=False).paths["dev"])


@pytest.mark.parametrize("family", video_backbones.FAMILIES)
def test_a_step_is_that_of_its_frames(family: str, clip_encoder) -> None:
    """At the embeddings (of CLIP anywhere) no frame has read another: a changed one changes its step alone."""
    layer = 2 if family.startswith("clip") else 0
    config = clip_encoder(f"video-{family}", pooler="none", layers=(layer,))
    found = locate_clip_backbone(config)
    assert found is not None
    encoder = VideoEncoder(config, found)
    frames = resolve(config, found).frames
    images = video_backbones.moving_square(frames)
    other = images.copy()
    other[-1] = 255 - other[-1]
    before, after = (encoder.steps([_loaded(encoder, some)], layer)[0] for some in (images, other))
    changed = np.flatnonzero(np.abs(before - after).max(axis=1) > 1e-4)
    assert len(before) == (frames // 2 if family in ("videomae", "vivit") else frames)
    assert changed.tolist() == [len(before) - 1]


def _loaded(encoder: Any, images: np.ndarray) -> Any:
    from mer.features.backbone.clip_encoder import LoadedClip

    return LoadedClip(encoder.prepare(images))


@pytest.mark.parametrize("name", ["audio-wavlm", "audio-melstats", "video-framestats"])
def test_live_clips_are_read_as_cached_ones(name: str, clip_encoder, meld: DataConfig, tmp_path: Path) -> None:
    config = clip_encoder(name, pooler="none", max_states=5)
    kept = _ensured(config, meld, tmp_path)
    paths = [clip(Path(meld.root), config.modality, "dev", row) for row in range(len(kept.ids))]
    live = LiveClipSteps(config, locate_clip_backbone(config)).encode(paths)
    np.testing.assert_array_equal(live.features_NLD.offsets, kept.sequences.offsets)
    np.testing.assert_allclose(live.features_NLD.values, kept.sequences.values, atol=1e-3)


def test_live_texts_are_read_as_cached_ones(backbone: Any, data: DataConfig, tmp_path: Path) -> None:
    encoder = TextEncoderConfig(backbone=str(backbone("roberta")), pooler="none", max_states=4)
    kept = _ensured(encoder, data, tmp_path)
    dialogues: list[Dialogue] = list(open_corpus(data, ("dev",)).dialogues("dev"))
    from mer.features.backbone.files import locate

    live = LiveTokens(encoder, locate(encoder, weights=True)).encode(dialogues)
    np.testing.assert_array_equal(live.features_NLD.offsets, kept.sequences.offsets)
    np.testing.assert_allclose(live.features_NLD.values, kept.sequences.values, atol=2e-3)


def test_a_killed_extraction_goes_on_and_gives_the_same_bits(
    backbone: Any, data: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mer.features.cache import shards

    monkeypatch.setattr(shards, "SHARD_ROWS", 4)
    encoder = TextEncoderConfig(backbone=str(backbone("roberta")), pooler="none", max_states=6)
    whole = ensure_features(data, encoder, ["dev"], cache=tmp_path / "a", progress=False).paths["dev"].read_bytes()
    usual, given = TokenStates._encode, []

    def failing(self: Any, batch: Any) -> Any:
        given.append(len(batch))
        if len(given) > 2:
            raise KeyboardInterrupt
        return usual(self, batch)

    monkeypatch.setattr(shards, "TOKENS_PER_BATCH", 60)
    with monkeypatch.context() as patch:
        patch.setattr(TokenStates, "_encode", failing)
        with pytest.raises(KeyboardInterrupt):
            ensure_features(data, encoder, ["dev"], cache=tmp_path / "b", progress=False)
    done = ensure_features(data, encoder, ["dev"], cache=tmp_path / "b", progress=False)
    uncut = ensure_features(data, encoder, ["dev"], cache=tmp_path / "c", progress=False)
    assert 0 < done.encoded < uncut.encoded
    assert done.paths["dev"].read_bytes() == uncut.paths["dev"].read_bytes()
    assert len(whole) == done.paths["dev"].stat().st_size


@pytest.mark.parametrize("name", ["text", "audio-wavlm", "audio-whisper", "audio-melstats", "video-timesformer"])
def test_its_size_is_known_before_anything_is_encoded(
    name: str, clip_encoder, backbone: Any, data: DataConfig, meld: DataConfig, tmp_path: Path
) -> None:
    """Of clips at most that large: silence and padding are cut later."""
    if name == "text":
        encoder: Any = TextEncoderConfig(backbone=str(backbone("roberta")), pooler="none", max_states=5)
        reading: Any = TokenReading(encoder, tmp_path)
    else:
        data, encoder = meld, clip_encoder(name, pooler="none", max_states=5)
        reading = ClipStepReading(encoder, tmp_path)
    corpus = open_corpus(data, ("dev",))
    told = reading.bytes_for(reading.prepare(corpus, data, "dev", tmp_path))
    kept = _ensured(encoder, data, tmp_path)
    held = sum(array.nbytes for array in kept.sequences.arrays().values())
    assert held - 8 <= told <= held * 1.4


@pytest.mark.parametrize("place", ["disk", "store"])
def test_states_that_fit_nowhere_are_refused_before_anything_is_encoded(
    place: str, backbone: Any, data: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = TextEncoderConfig(backbone=str(backbone("roberta")), pooler="none", max_states=7)
    full = disk_space.SHARED_MEMORY if place == "store" else tmp_path
    monkeypatch.setattr(disk_space, "free_bytes", lambda at: 100 if at == full else 10**12)
    with pytest.raises(
        MerError, match=r"(?s)cached tokens of 1 encoder settings .* encoders\.text\.max_states lower \(it is 7\)"
    ):
        refuse_no_room([(data, encoder)], ("train", "dev"), tmp_path)
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"encoders.text.max_states": 9}, "max_states has no meaning without pooler: none, got 9"),
        ({"encoders.text.pooler": "none", "encoders.text.mode": "lora"}, "keeps the states of a frozen encoder"),
        ({"encoders.text.pooler": "none", "encoders.text.layers": "all"}, "layers must be last or one number, got all"),
        ({"encoders.audio.pooler": "none", "encoders.audio.layers": [1, 2]}, r"one number, got \[1, 2\]"),
        ({"head.pool": "mean", "encoders.text.pooler": "mean"}, "head.pool has no meaning here, got mean: no encoder"),
        ({"head.pool_hops": 2, "encoders.text.pooler": "mean"}, "head.pool_hops has no meaning here, got 2"),
        ({"encoders.text.pooler": "none", "head.pool": "mean", "head.pool_hops": 2}, "no meaning with pool 'mean'"),
        ({"encoders.text.pooler": "none", "loss.contrastive.kind": "eacl"}, "reads the label words"),
        (
            {"encoders.text.pooler": "none", "encoders.text.prompt": True, "encoders.text.context.past": 2,
             "loss.contrastive.kind": "spcl", "loss.contrastive.earlier_share": 0.2},
            "earlier_share needs encoders.text.pooler target",
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        TrialConfig.model_validate(nest(settings))


def test_older_configurations_keep_their_words() -> None:
    dumped = TrialConfig.model_validate(nest({"encoders.text.backbone": "minilm", "encoders.audio.layers": "last"}))
    words = dumped.model_dump(mode="json")
    assert "max_states" not in words["encoders"]["text"] and not {"pool", "pool_hops"} & words["head"].keys()
    for made in (TextEncoderConfig, AudioEncoderConfig, VideoEncoderConfig):
        assert made(pooler="none").model_dump()["max_states"] == 64
    assert torch.get_default_dtype() == torch.float32
