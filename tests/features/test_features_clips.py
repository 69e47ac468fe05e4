"""Rows of clips: cached ones equal live ones and the plain way of transformers, and absent clips are said."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from clip_cases import AUDIO, VIDEO, far
from clip_corpus import ROWS, clip, clip_id
from tiers import slow_except

from mer.config import AudioEncoderConfig, DataConfig
from mer.data import Corpus, Dialogue, Utterance, load_corpus
from mer.errors import MerError
from mer.features import ensure_features, load_features
from mer.features.from_clips import pooled as clip_reading
from mer.features.from_clips.live import LiveClips
from mer.features.from_clips.pooled import ClipReading

QUICK = ("audio-wavlm_layer", "audio-melstats", "video-videomae", "video-clip", "video-framestats")


# ---- cached equals live


@pytest.mark.parametrize("name", slow_except([*AUDIO, *VIDEO], *QUICK))
def test_cached_equals_live_for_every_family(name: str, meld: DataConfig, clip_encoder: Any, tmp_path: Path) -> None:
    """Live: every clip alone. Cached: batched by length, so that padding and neighbours would show."""
    config = clip_encoder(name)
    done = ensure_features(meld, config, ["train", "dev"], cache=tmp_path, progress=False)
    assert done.encoded == sum(ROWS.values())
    live = LiveClips(config, clip_reading.locate_clip_backbone(config))
    for split, count in ROWS.items():
        table = load_features(done.paths[split])
        paths = [clip(Path(meld.root), config.modality, split, row) for row in range(count)]
        alone = np.concatenate([live.encode([path]).features_NLD for path in paths])
        assert table.present.all() and len(table.features) == count
        spread = float(np.abs(table.features - table.features[:1]).max())
        assert spread > 0.01, "an encoder that hears no difference would pass anything"
        assert far(table.features, alone) < 1e-3
        backwards = live.encode(paths[::-1]).features_NLD[::-1]
        assert far(table.features, backwards) < 1e-3
        assert np.array_equal(live.encode(paths).features_NLD, table.features), "the same clips in the same batches"


def test_rows_ids_and_labels(meld: DataConfig, clip_encoder: Any, tmp_path: Path) -> None:
    corpus = load_corpus("meld", meld.root, splits=("train", "dev"))
    done = ensure_features(meld, clip_encoder("audio-melstats"), ["train", "dev"], cache=tmp_path, progress=False)
    for split, count in ROWS.items():
        table = load_features(done.paths[split])
        assert table.ids == tuple(clip_id(split, row) for row in range(count))
        assert table.label_names == dict(corpus.label_names)
        for task in ("emotion", "sentiment"):
            np.testing.assert_array_equal(table.labels[task], corpus.labels(split, task))
        assert table.label_text == {} and table.features.shape == (count, 1, 155)
        assert table.present.dtype == bool and table.card["masked"] == {} and table.card["mended"] == {}
        assert table.card["clips_encoded"] == count


def literal_audio(folder: Path, path: Path) -> np.ndarray:
    """Encode a clip as the manual of transformers says: (L, D)."""
    import torch
    from transformers import AutoFeatureExtractor, AutoModel

    samples, rate = soundfile.read(path, dtype="float32")
    extractor, model = AutoFeatureExtractor.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    inputs = extractor(samples, sampling_rate=rate, return_tensors="pt", return_attention_mask=True)
    with torch.inference_mode():
        if "input_features" in inputs:
            out = model.get_encoder()(inputs["input_features"], output_hidden_states=True)
            frames = int(inputs["attention_mask"].sum()) // 2
        else:
            out, frames = model(inputs["input_values"], output_hidden_states=True), None
    states = torch.stack([*out.hidden_states[:-1], out.last_hidden_state])[:, 0]
    return states[:, :frames].mean(dim=1).numpy()


def literal_video(folder: Path, path: Path, *, count: int, first: bool) -> np.ndarray:
    """All frames read, those at the centres of equal bins taken; transformers' own processor: (L, D)."""
    import cv2
    import torch
    from transformers import AutoImageProcessor, AutoModel

    capture, frames = cv2.VideoCapture(str(path)), []
    while (got := capture.read())[0]:
        frames.append(cv2.cvtColor(got[1], cv2.COLOR_BGR2RGB))
    chosen = [frames[int((i + 0.5) * len(frames) / count)] for i in range(count)]
    pixels = AutoImageProcessor.from_pretrained(folder)(chosen, return_tensors="pt")["pixel_values"]
    model = AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        if first:  # pictures one by one, their summary token, the mean over pictures
            out = model.vision_model(pixels.flatten(0, pixels.dim() - 4), output_hidden_states=True)
            states = torch.stack([*out.hidden_states[:-1], out.last_hidden_state])[:, :, 0].mean(dim=1)
        else:
            out = model(pixels.reshape(1, count, *pixels.shape[-3:]), output_hidden_states=True)
            states = torch.stack([*out.hidden_states[:-1], out.last_hidden_state])[:, 0].mean(dim=1)
    return states.numpy()


@pytest.mark.parametrize(
    "name", ["audio-wav2vec2_group", "audio-wavlm_layer", "audio-whisper", "video-videomae", "video-clip"]
)
def test_cached_equals_the_plain_way(name: str, meld: DataConfig, clip_encoder: Any, tmp_path: Path) -> None:
    config = clip_encoder(name)
    table = load_features(ensure_features(meld, config, ["dev"], cache=tmp_path, progress=False).paths["dev"])
    paths = [clip(Path(meld.root), config.modality, "dev", row) for row in range(ROWS["dev"])]
    folder = Path(config.backbone)
    if config.modality == "audio":
        expected = np.stack([literal_audio(folder, path) for path in paths])
    else:
        settings = {"count": 8, "first": True} if name == "video-clip" else {"count": 4, "first": False}
        expected = np.stack([literal_video(folder, path, **settings) for path in paths])
    assert far(table.features, expected) < 1e-3


# ---- no clips


@pytest.mark.parametrize("name", ["audio-melstats", "video-framestats"])
def test_no_clip_at_all_is_said_before_anything_is_read(
    name: str, own_root: Path, clip_encoder: Any, tmp_path: Path
) -> None:
    shutil.rmtree(own_root / "audios")
    shutil.rmtree(own_root / "videos")
    config, data = clip_encoder(name), DataConfig(root=str(own_root))
    folder, suffix = ("audios", "flac") if name.startswith("audio") else ("videos", "mp4")
    with pytest.raises(MerError) as caught:
        ensure_features(data, config, ["dev"], cache=tmp_path / "cache", progress=False)
    assert str(caught.value) == (
        f"{own_root}: no {config.modality} clip of split 'dev' is there: looked for "
        f"{folder}/dev/dia0_utt0.{suffix} (any ending) and 4 more (no such file)\n"
        "  allowed: clips where the reader expects them; `python -m mer.data check ROOT` says what is there\n"
        "  next: MELD's raw archive: python -m mer.data prepare RAW --out ROOT; to try things: "
        "python -m mer.data sample datasets/sample, then --set data.root=datasets/sample"
    )
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_a_root_with_some_clips_missing_works(own_root: Path, tmp_path: Path) -> None:
    data, config = DataConfig(root=str(own_root)), AudioEncoderConfig()
    whole = load_features(ensure_features(data, config, ["dev"], cache=tmp_path, progress=False).paths["dev"])
    for row in (0, 3):
        clip(own_root, "audio", "dev", row).unlink()
    some = load_features(ensure_features(data, config, ["dev"], cache=tmp_path, progress=False).paths["dev"])
    assert some.present.tolist() == [False, True, True, False, True]
    assert some.key != whole.key and some.ids == whole.ids
    assert not some.features[[0, 3]].any()
    np.testing.assert_array_equal(some.features[[1, 2, 4]], whole.features[[1, 2, 4]])
    assert some.card["masked"] == {"dev/dia0_utt0": "no such file", "dev/dia1_utt0": "no such file"}
    assert some.card["clips_encoded"] == 3


def test_a_dataset_without_such_clips_is_said_to_have_none(tmp_path: Path) -> None:
    utterance = Utterance("train", "dia0", 0, "Ann", "Well.", "joy", None, None, None)
    corpus = Corpus("emorynlp", tmp_path, {"train": (Dialogue("train/dia0", (utterance,)),)}, {"emotion": ("joy",)})
    reading = ClipReading(AudioEncoderConfig(), tmp_path, progress=False)
    with pytest.raises(MerError) as caught:
        reading.prepare(corpus, DataConfig(dataset="emorynlp", root=str(tmp_path)), "train", tmp_path)
    assert str(caught.value).splitlines() == [
        "encoders.audio: the dataset emorynlp has no audio clips",
        "  allowed: encoders of what it has: text",
        "  next: read the text, python -m mer.tune search_spaces/ce.yaml; or leave encoders.audio out of the search "
        "space, or choose another data.root",
    ]
