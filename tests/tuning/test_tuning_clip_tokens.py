"""Inputs of tuned encoders from clips: rows of any length, empty for absent clips; finished shards outlive a kill."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_lab import DEPTH, ClipLab
from tiers import slow_except
from tuning_lab import interrupted_after

from mer.config import DataConfig
from mer.data.media import MediaFault
from mer.errors import MerError
from mer.features import disk_space as rooms
from mer.features import ensure_features, load_features
from mer.features.audio import pretrained
from mer.features.cache.feature_file import verify_features
from mer.features.from_clips import extraction as clip_extraction
from mer.features.from_clips import states as clip_states
from mer.features.from_clips.live import LiveClipSequences
from mer.features.from_clips.pooled import ClipReading
from mer.features.from_clips.sequences import ClipSequenceReading
from mer.features.partial import PartialBackbone

sys.path.append(str(Path(__file__).parents[1] / "features"))

from clip_corpus import clip, write_meld

ROWS = {"train": 7, "dev": 3}
TUNED = {"mode": "lora", "layers": "last"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return ClipLab(tmp_path_factory.mktemp("backbones"))


@pytest.fixture(scope="module")
def whole_root(tmp_path_factory):
    """A corpus that all tests share; none may change it."""
    return write_meld(tmp_path_factory.mktemp("clips") / "corpus", ROWS)


@pytest.fixture
def root(whole_root, tmp_path):
    """Lacks one clip, and another is no clip at all."""
    copy = Path(shutil.copytree(whole_root, tmp_path / "corpus"))
    for modality in ("audio", "video"):
        clip(copy, modality, "train", 2).unlink()
        clip(copy, modality, "train", 4).write_bytes(b"no clip")
    return copy


def ensured(config, root, cache, splits=("train",)):
    done = ensure_features(DataConfig(root=str(root)), config, list(splits), cache=cache, progress=False)
    return done, load_features(done.paths["train"])


def prepared(reading, root, cache):
    from mer.data import load_corpus

    data = DataConfig(root=str(root))
    return reading.prepare(load_corpus("meld", str(root), splits=("train",)), data, "train", cache)


CASES = [
    *((family, 0, True) for family in ("wav2vec2_layer", "hubert", "wavlm", "timesformer", "videomae", "clip")),
    *((family, 1, split_cache) for family in ("wavlm_layer", "whisper", "clip") for split_cache in (True, False)),
]


@pytest.mark.parametrize(
    ("family", "frozen", "split_cache"), slow_except(CASES, ("hubert", 0, True), ("clip", 1, True))
)
def test_the_part_above_makes_of_a_row_what_the_frozen_encoder_makes_of_the_clip(
    lab, family, frozen, split_cache, root, tmp_path
):
    settings = {"freeze_layers": frozen, "split_cache": split_cache, **TUNED}
    config, frozen_config = lab.config(family, **settings), lab.config(family)
    done, table = ensured(config, root, tmp_path)
    _, expected = ensured(frozen_config, root, tmp_path)
    tokens = table.sequences
    assert done.encoded == 5 and table.present.tolist() == expected.present.tolist()
    assert np.flatnonzero(~table.present).tolist() == [2, 4] and tokens.values.dtype == np.float16
    assert (tokens.lengths[[2, 4]] == 0).all() and (tokens.spans[[2, 4]] == 0).all()
    assert set(table.card["masked"]) == {table.ids[2], table.ids[4]} and table.hidden_states == DEPTH + 1
    assert verify_features(done.paths["train"]).sequences.fault(table.present) == ""

    start = config.first_tuned
    upper = PartialBackbone(config, lab.found(family), lab.base(family), start=start, reads=[2, 3]).eval()
    for row in np.flatnonzero(table.present):
        given = torch.from_numpy(tokens.values[tokens.offsets[row] : tokens.offsets[row + 1]].astype(np.float32))[None]
        with torch.inference_mode():
            states = upper(given, torch.ones(given.shape[:2], dtype=torch.long))
        span = slice(*tokens.spans[row])
        found = torch.stack([state[0, span].mean(0) for state in states]).numpy()
        far = np.abs(found - expected.features[row, 2:].astype(np.float32)).max()
        assert far < 1e-2 * np.abs(expected.features[row]).max(), f"row {row}: {far}"


@pytest.mark.parametrize("family", ["hubert", "whisper", "vivit", "clip"])
@pytest.mark.parametrize("split_cache", [True, False])
def test_the_size_of_a_table_is_known_beforehand(lab, family, split_cache, whole_root, tmp_path):
    config = lab.config(family, split_cache=split_cache, **TUNED)
    done, _ = ensured(config, whole_root, tmp_path)
    reading = ClipSequenceReading(config, tmp_path)
    size = done.paths["train"].stat().st_size
    assert 0 <= size - reading.bytes_for(prepared(reading, whole_root, tmp_path)) < 8192


@pytest.mark.parametrize("family", ["wavlm", "clip"])
@pytest.mark.parametrize("frozen", [0, 1])
def test_live_rows_are_the_cached_ones(lab, family, frozen, root, tmp_path):
    config = lab.config(family, freeze_layers=frozen, **TUNED)
    _, table = ensured(config, root, tmp_path)
    modality = "audio" if family == "wavlm" else "video"
    live = LiveClipSequences(config, lab.found(family))
    done = live.encode([clip(root, modality, "train", row) for row in range(ROWS["train"])])
    for name, array in table.sequences.arrays().items():
        np.testing.assert_array_equal(array, done.features_NLD.arrays()[name])
    assert np.array_equal(done.present_N, table.present) and not done.truncated_N.any()
    assert [row for row, fault in enumerate(done.faults_N) if fault] == [2, 4]
    assert live.base.keys() == lab.base(family).keys()
    nothing = live.encode([MediaFault("never recorded")])
    assert len(nothing.features_NLD) == 1 and nothing.features_NLD.fault(nothing.present_N) == ""


@pytest.mark.parametrize("family", ["wavlm_layer", "hubert", "whisper", "clip", "videomae"])
def test_clips_that_share_a_batch_change_nothing(lab, family, whole_root):
    """Batches as on a GPU: where padding would change the result, only clips of equal length share one."""
    config = lab.config(family, freeze_layers=1, **TUNED)
    modality = config.modality
    states = clip_states.ClipStates(config, lab.found(family))
    rows = [states._raw(states.reader.load(clip(whole_root, modality, "train", row))) for row in (0, 1, 5, 0)]
    for one, row in zip(states._states(rows), rows, strict=True):
        (alone,) = states._states([row])
        assert one.span == alone.span and one.values.shape == alone.values.shape
        np.testing.assert_allclose(one.values, alone.values, atol=5e-5)


def test_trials_share_a_file_unless_they_read_something_else(lab, whole_root, tmp_path):
    def path(family="wavlm", **settings):
        reading = ClipSequenceReading(lab.config(family, **{**TUNED, **settings}), tmp_path)
        return prepared(reading, whole_root, tmp_path).path

    same = path(freeze_layers=1)
    assert path(freeze_layers=1, lora={"rank": 2}) == path(freeze_layers=1, mode="full", layers=[2, 3]) == same
    others = [path(freeze_layers=k) for k in (0, 2)] + [path(freeze_layers=1, max_seconds=2.0)]
    raw = path(split_cache=False)
    assert len({same, raw, *others}) == 5 and raw == path(split_cache=False, freeze_layers=2)
    assert raw == path(mode="full", full={"embeddings": True}) == path(split_cache=False, dtype="bfloat16")
    usual = ClipReading(lab.config("wavlm"), tmp_path)
    assert (
        prepared(usual, whole_root, tmp_path).path.parent.parent.name == "audio" and same.parent.parent.name == "tokens"
    )


def test_an_interrupted_extraction_goes_on(lab, whole_root, tmp_path, monkeypatch):
    monkeypatch.setattr(clip_extraction, "SHARD_CLIPS", 2)
    monkeypatch.setattr(pretrained.AudioReader, "batch_length", 16_000)
    config = lab.config("hubert", freeze_layers=1, **TUNED)
    with interrupted_after(monkeypatch, clip_states.ClipStates, "encode", 4):
        ensured(config, whole_root, tmp_path / "killed")
    done, _ = ensured(config, whole_root, tmp_path / "killed")
    assert 0 < done.encoded < ROWS["train"]
    whole, _ = ensured(config, whole_root, tmp_path / "whole")
    assert whole.encoded == ROWS["train"]
    assert done.paths["train"].read_bytes() == whole.paths["train"].read_bytes()


def test_a_file_that_goes_away_is_said_in_the_key(lab, whole_root, tmp_path, monkeypatch):
    root = Path(shutil.copytree(whole_root, tmp_path / "corpus"))
    config = lab.config("hubert", **TUNED)
    expected = prepared(ClipSequenceReading(config, tmp_path), root, tmp_path).path
    usual = ClipSequenceReading.extract

    def late(self, item, **options):
        clip(root, "audio", "train", 1).unlink()
        return usual(self, item, **options)

    monkeypatch.setattr(ClipSequenceReading, "extract", late)
    done, table = ensured(config, root, tmp_path)
    assert done.paths["train"] != expected and table.present.tolist() == [True, False, *[True] * 5]


def test_values_beyond_float16_widen_the_table(lab, whole_root, tmp_path, monkeypatch):
    monkeypatch.setattr(clip_extraction, "SHARD_CLIPS", 2)
    monkeypatch.setattr(pretrained.AudioReader, "batch_length", 16_000)
    usual, seen = clip_states.ClipStates._run, []

    def large(self, raw):
        seen.append(len(raw))
        return [state * (1e6 if len(seen) == 4 else 1) for state in usual(self, raw)]

    monkeypatch.setattr(clip_states.ClipStates, "_run", large)
    _, table = ensured(lab.config("hubert", freeze_layers=1, **TUNED), whole_root, tmp_path)
    assert table.sequences.values.dtype == np.float32 and np.abs(table.sequences.values).max() > 1e5


def test_layers_that_do_not_compose_are_refused(lab, monkeypatch):
    from mer.features.audio.wiring import SpeechWiring

    usual = SpeechWiring.enter

    def wrong(self, model, layers, start):  # positions are added twice
        positions = model.encoder.pos_conv_embed
        usual(self, model, layers, start)
        model.encoder.pos_conv_embed = positions

    monkeypatch.setattr(SpeechWiring, "enter", wrong)
    config = lab.config("data2vec", freeze_layers=1, **TUNED)
    with pytest.raises(MerError, match="its layers above 1 do not continue what those below give") as refused:
        clip_states.ClipStates(config, lab.found("data2vec"))
    assert "encoders.audio.split_cache: false" in refused.value.message


@pytest.mark.parametrize(
    ("family", "modality", "helps"),
    [
        ("hubert", "audio", {"max_seconds"}),  # states of a tiny one are smaller than its samples
        ("vivit", "video", set()),
        ("clip", "video", {"frames"}),
    ],
)
def test_no_room_is_said_with_figures_before_anything_is_read(
    lab, family, modality, helps, whole_root, tmp_path, monkeypatch
):
    wanted = [(DataConfig(root=str(whole_root)), lab.config(family, freeze_layers=k, **TUNED)) for k in (0, 1)]
    rooms.refuse_no_room(wanted, list(ROWS), tmp_path)
    monkeypatch.setattr(clip_states.ClipStates, "load", lambda *_: pytest.fail("nothing may be read"))
    monkeypatch.setattr(rooms, "free_bytes", lambda place: 15_000 if place == tmp_path else None)
    with pytest.raises(MerError, match=r"cached tokens of 2 encoder settings would take 0.00 GB here") as refused:
        rooms.refuse_no_room(wanted, list(ROWS), tmp_path)
    said = refused.value.message
    ways = {"split_cache: false", "max_seconds", "frames"}
    assert {way for way in ways if f"encoders.{modality}.{way}" in said} == helps
    assert f"search fewer values of encoders.{modality}.freeze_layers" in said
    assert f"{modality}, train after layer 0" in said
    monkeypatch.setattr(rooms, "free_bytes", lambda place: 10_000 if place == rooms.SHARED_MEMORY else None)
    with pytest.raises(MerError, match="/dev/shm: cached tokens and weights of 2 encoder settings"):
        rooms.refuse_no_room(wanted, list(ROWS), tmp_path)


def test_layers_that_nobody_trains_are_refused(lab, tmp_path):
    with pytest.raises(MerError, match="the head reads hidden state 3, which is not tuned") as refused:
        ClipSequenceReading(lab.config("clip", freeze_layers=3, **TUNED), tmp_path)
    assert "encoders.video.layers" in refused.value.message and "freeze_layers below 3" in refused.value.message


def test_the_table_of_the_cache_lists_them(lab, whole_root, tmp_path):
    from typer.testing import CliRunner

    from mer.features.__main__ import app

    ensured(lab.config("clip", freeze_layers=0, **TUNED), whole_root, tmp_path)
    ensured(lab.config("hubert", split_cache=False, **TUNED), whole_root, tmp_path)
    listed = CliRunner().invoke(app, ["list", "--cache", str(tmp_path)], env={"COLUMNS": "220"})
    assert listed.exit_code == 0, listed.output
    assert "tokens, 0 x 24" in listed.output and "raw input" in listed.output and "8 frames" in listed.output
