"""`python -m mer.extract` in one process, and what a spread over nodes refuses; with Ray: tests/ray/test_ray_spread."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mer.config import AudioEncoderConfig
from mer.errors import MerError
from mer.extract import app
from mer.features.backbone.files import Fingerprint
from mer.features.from_clips.extraction import VANISHED
from mer.features.reading import ClipRow, ShardResult
from mer.study.cluster import clip_worker
from mer.study.cluster import clip_workers as spread
from mer.study.cluster.clip_worker import ShardReader
from mer.study.cluster.clip_workers import RaySpread

sys.path.append(str(Path(__file__).parents[1] / "features"))

from audio_backbones import save_backbone, voice, write_wav

SPACE = """
study: spoken
trainable: audio
fixed: {data: {dataset: ravdess, root: CORPUS}, encoders: {audio: {backbone: melstats}}}
params: {encoders.audio.max_seconds: {choice: [0.5, 20.0]}, optim.head_lr: {choice: [0.001, 0.01]}}
"""


@pytest.fixture
def space(tmp_path: Path) -> Path:
    """A search space with two encoder settings over a RAVDESS of 3 clips."""
    for actor in (1, 2, 17):
        (tmp_path / f"Actor_{actor:02d}").mkdir()
        write_wav(tmp_path / f"Actor_{actor:02d}" / f"03-01-05-01-01-01-{actor:02d}.wav", voice(0.7, seed=actor))
    (tmp_path / "space.yaml").write_text(SPACE.replace("CORPUS", str(tmp_path)))
    return tmp_path / "space.yaml"


def run(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_every_file_of_the_space_and_the_next_command(space: Path, tmp_path: Path) -> None:
    cache = tmp_path / "my features"
    out = run(space, "--cache", cache, "--set", "optim.batch_size=2")
    *files, summary, then = out.splitlines()
    assert sorted(map(Path, files)) == sorted(cache.rglob("[!.]*.safetensors")) and len(files) == 4
    assert summary.startswith("4 files, 6 inputs encoded in ")
    assert then == f"next: python -m mer.tune {space} --set optim.batch_size=2 --cache '{cache}'"
    assert "4 files, all cached, nothing encoded" in run(space, "--cache", cache)
    assert "2 files, all cached" in run(space, "--cache", cache, "--set", "encoders.audio.max_seconds=20.0")


def test_ray_is_not_started_for_nothing(space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(space, "--cache", tmp_path / "features")
    monkeypatch.setattr(RaySpread, "_start", lambda self: pytest.fail("there is nothing to read"))
    assert "all cached" in run(space, "--cache", tmp_path / "features", "--workers", "2")
    assert list(RaySpread(2)(AudioEncoderConfig(), [], [])) == []


def test_an_address_without_a_cluster_is_refused(space: Path) -> None:
    with pytest.raises(MerError, match=r"--address 127.0.0.1:1: no Ray cluster answers there"):
        run(space, "--address", "127.0.0.1:1")


def test_a_worker_with_other_weights_is_refused(tmp_path: Path) -> None:
    """Its features would go under the key of the driver's weights."""
    found = save_backbone("hubert", tmp_path / "hubert")
    config = AudioEncoderConfig(backbone=str(found.folder))
    ShardReader().open(config, spread._expected(config))
    with pytest.raises(MerError, match=r"(?s)other weights.*'hubert' than on the driver's machine.*revision"):
        ShardReader().open(config, Fingerprint("other", "", ""))


def test_a_node_without_the_data_masks_nothing(tmp_path: Path) -> None:
    here = tmp_path / "here.wav"
    here.write_bytes(b"sound")
    rows = [ClipRow("a", here, "1"), ClipRow("b", tmp_path / "gone.wav", "2"), ClipRow("c", here, "3")]
    features = np.zeros((3, 1, 2), dtype=np.float16)
    gone = ShardResult(features, {"b": VANISHED, "c": "no sound track"}, {})
    spread._require_same_files(rows, [[0, 1], [2]], gone, "node7")  # it is gone here as well
    unseen = ShardResult(features, {"a": VANISHED}, {})
    with pytest.raises(MerError, match=r"(?s)here.wav: is here, but not on node7.*same path"):
        spread._require_same_files(rows, [[0, 1], [2]], unseen, "node7")


def test_local_folders_are_named_so_that_every_node_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("mine", "melstats"):
        Path(folder).mkdir()
    assert clip_worker._absolute(AudioEncoderConfig(backbone="mine")).backbone == str(tmp_path / "mine")
    for name in ("melstats", "some/hub-id"):  # a folder of that name does not make it another backbone
        assert clip_worker._absolute(AudioEncoderConfig(backbone=name)).backbone == name
