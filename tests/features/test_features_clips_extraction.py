"""Extraction of clips in shards: safe from kills, torn shards, full disks; rows assembled on disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clip_corpus import StandIn, clip, clip_id

from mer.config import AudioEncoderConfig, DataConfig
from mer.data import load_corpus
from mer.features import ensure_features
from mer.features.from_clips import extraction as clip_extraction
from mer.features.from_clips import pooled as clip_reading
from mer.features.from_clips.pooled import ClipReading

# ---- kills


KILLED = """
    import os, signal, sys
    from pathlib import Path
    sys.path.append(sys.argv[4])
    from clip_corpus import StandIn
    from mer.config import AudioEncoderConfig, DataConfig
    from mer.features import ensure_features
    from mer.features.from_clips import extraction as clip_extraction
    from mer.features.from_clips import pooled as clip_reading
    clip_extraction.SHARD_CLIPS, clip_extraction._threads = 3, lambda: int(sys.argv[3])
    def die(clips):
        if sum(encoder.batches) >= 8:
            os.kill(os.getpid(), signal.SIGKILL)
    encoder = StandIn(before_encode=die, seconds=0.02)
    clip_reading.open_clip_encoder = lambda config, found: encoder
    data = DataConfig(root=sys.argv[1])
    ensure_features(data, AudioEncoderConfig(), ["train"], cache=Path(sys.argv[2]), progress=False)
"""


@pytest.mark.faults
def test_a_killed_extraction_goes_on_where_it_was(
    many: Path, tmp_path: Path, stand_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip_extraction, "SHARD_CLIPS", 3)
    monkeypatch.setattr(clip_extraction, "_threads", lambda: 5)
    killed, data = tmp_path / "killed", DataConfig(root=str(many))
    arguments = [str(many), str(killed), "2", str(Path(__file__).parent)]
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), *arguments],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        timeout=120,
    )
    assert ended.returncode == -9
    parts = next(killed.rglob(".*.parts"))
    saved = sum(len(clip_extraction.tensors.read(file)["features"]) for file in parts.glob("*.safetensors"))
    assert 3 <= saved < 20 and not list(killed.rglob("train-*.safetensors"))

    def features(cache: Path) -> Any:
        return ensure_features(data, AudioEncoderConfig(), ["train"], cache=cache, progress=False)

    encoder = stand_in()
    resumed = features(killed)
    assert resumed.encoded == 20 - saved == sum(encoder.batches)
    whole = features(tmp_path / "whole")
    assert whole.encoded == 20
    assert resumed.paths["train"].read_bytes() == whole.paths["train"].read_bytes()
    assert not parts.exists()
    assert not [file for file in killed.rglob(".*") if file.suffix != ".lock"], "nothing but the lock stays"


def test_torn_and_foreign_shards_are_made_again(
    many: Path, tmp_path: Path, stand_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip_extraction, "SHARD_CLIPS", 3)
    stand_in()
    corpus, config = load_corpus("meld", many, splits=("train",)), AudioEncoderConfig()
    prepared = ClipReading(config, tmp_path, progress=False).prepare(
        corpus, DataConfig(root=str(many)), "train", tmp_path
    )

    def run(key: str = "k") -> tuple[int, np.ndarray]:
        done = clip_extraction.extract_clips(
            prepared.rows, config, StandIn(), parts=tmp_path / "p", key=key, step=lambda *_: None
        )
        return done.encoded, done.features_NLD

    count, whole = run()
    assert (count, run()[0]) == (20, 0)
    first, *_, last = sorted((tmp_path / "p").iterdir())
    last.write_bytes(last.read_bytes()[:-1])
    lost = sum(len(clip_extraction.tensors.read(file)["features"]) for file in [first])
    first.unlink()
    count, again = run()
    assert lost < count < 20 and np.array_equal(whole, again)
    assert run("another")[0] == 20


def test_the_number_of_decode_threads_changes_nothing(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real statistics, real decoding; who is quicker must not matter."""
    files = []
    for threads in (1, 7):
        monkeypatch.setattr(clip_extraction, "_threads", lambda threads=threads: threads)
        done = ensure_features(
            DataConfig(root=str(many)), AudioEncoderConfig(), ["train"], cache=tmp_path / f"{threads}", progress=False
        )
        files.append(done.paths["train"].read_bytes())
    assert files[0] == files[1]


# ---- memory


def extract_many(root: Path, parts: Path, encoder: StandIn) -> Any:
    rows = [clip_reading.ClipRow(clip_id("train", row), clip(root, "audio", "train", row), "") for row in range(20)]
    return clip_extraction.extract_clips(
        rows, AudioEncoderConfig(), encoder, parts=parts, key="k", step=lambda *_: None
    )


def test_the_assembled_rows_lie_on_disk_and_nowhere_by_name(many: Path, tmp_path: Path) -> None:
    done = extract_many(many, tmp_path, StandIn())
    assert isinstance(done.features_NLD, np.memmap)
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors"}
    shutil.rmtree(tmp_path)
    rows = clip_extraction.read_clips(
        [clip_reading.ClipRow(clip_id("train", 3), clip(many, "audio", "train", 3), "")], StandIn(), lambda *_: None
    )
    np.testing.assert_array_equal(done.features_NLD[3], rows.features_NLD[0])


def test_one_value_beyond_float16_widens_all_rows(many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Loud(StandIn):
        def encode(self, clips: Any) -> np.ndarray:
            rows = super().encode(clips)
            return np.where(rows == rows[..., :1].max(), 1e5, rows) if sum(self.batches) > 10 else rows

    monkeypatch.setattr(clip_extraction, "SHARD_CLIPS", 3)
    done, plain = (extract_many(many, tmp_path / kind.__name__, kind()) for kind in (Loud, StandIn))
    loud = done.features_NLD == 1e5
    assert done.features_NLD.dtype == np.float32 and plain.features_NLD.dtype == np.float16
    assert 0 < loud.sum() < 20
    np.testing.assert_allclose(done.features_NLD[~loud], plain.features_NLD[~loud], rtol=1e-3)


def test_a_disk_without_room_for_the_result_is_said_and_the_shards_stay(many: Path, tmp_path: Path) -> None:
    """The disk is asked for room before the result is mapped: writing to a map on a full disk is a bus error."""
    import resource

    extract_many(many, tmp_path, StandIn())
    shards = {path: path.read_bytes() for path in tmp_path.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        with pytest.raises(OSError):
            extract_many(many, tmp_path, StandIn())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == shards
