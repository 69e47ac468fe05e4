"""Clips read by several processes: the same bits as in this one, whoever dies on the way."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from one_thread import one_thread

from mer.config import AudioEncoderConfig, DataConfig
from mer.errors import MerError
from mer.features import ensure_features, load_features
from mer.features.cache.shards import Shard
from mer.features.from_clips import extraction as clip_extraction
from mer.features.from_clips.extraction import encode_shards, plan_clips
from mer.features.modalities import locate_clip_backbone, open_clip_encoder
from mer.features.reading import ClipRow, ShardResult
from mer.study.cluster.clip_workers import RaySpread

sys.path.append(str(Path(__file__).parents[1] / "features"))

from audio_backbones import save_backbone, voice, write_wav

__all__ = ["one_thread"]
pytestmark = pytest.mark.ray

SPACE = """
study: spoken
trainable: audio
fixed: {data: {dataset: ravdess, root: CORPUS}, encoders: {audio: {backbone: melstats}}}
params: {optim.head_lr: {choice: [0.001, 0.01]}}
"""


@pytest.fixture(scope="session")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RAVDESS in small: 14 clips of train, one of them broken, and 6 of dev."""
    root = tmp_path_factory.mktemp("spoken")
    for actor, clips in {1: 7, 2: 7, 17: 6}.items():
        folder = root / f"Actor_{actor:02d}"
        folder.mkdir()
        for n in range(clips):
            sound = voice(0.4 + 0.13 * (n * 3 % 5), hz=90 + 30 * n, seed=100 * actor + n)
            write_wav(folder / f"03-01-{n + 1:02d}-01-01-01-{actor:02d}.wav", sound)
    (root / "Actor_02" / "03-01-03-01-01-01-02.wav").write_bytes(b"RIFF, or so it says")
    return root


@pytest.fixture(scope="session")
def melstats() -> AudioEncoderConfig:
    return AudioEncoderConfig()


@pytest.fixture(scope="session")
def wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> AudioEncoderConfig:
    found = save_backbone("wav2vec2_group", tmp_path_factory.mktemp("tiny") / "wav2vec2")
    return AudioEncoderConfig(backbone=str(found.folder))


@pytest.fixture(scope="module")
def spread() -> Iterator[RaySpread]:
    with RaySpread(2) as two_workers:
        yield two_workers


def rows_of(root: Path) -> list[ClipRow]:
    return [ClipRow(path.stem, path, "") for path in sorted(root.rglob("*.wav"))]


def work(config: AudioEncoderConfig, root: Path) -> tuple[list[ClipRow], dict[int, Shard], dict[int, ShardResult]]:
    """Rows, one shard for each of the usable ones, and what this process makes of them."""
    rows, encoder = rows_of(root), open_clip_encoder(config, locate_clip_backbone(config))
    usable = [row for shard in plan_clips(rows, encoder)[0].values() for batch in shard for row in batch]
    shards: dict[int, Shard] = {number: [[row]] for number, row in enumerate(sorted(usable))}
    return rows, shards, dict(encode_shards(encoder, rows, shards.items()))


def assert_same(results: dict[int, ShardResult], expected: dict[int, ShardResult]) -> None:
    assert results.keys() == expected.keys()
    for number, result in results.items():
        assert np.array_equal(result.features_NLD, expected[number].features_NLD)
        assert (result.faults, result.notes) == (expected[number].faults, expected[number].notes)


def workers() -> list[psutil.Process]:
    family = psutil.Process().children(recursive=True)
    return [member for member in family if any("ShardReader" in word for word in cmdline(member))]


def cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.parametrize("kind", ["melstats", "wav2vec2"])
def test_files_equal_those_of_this_process_byte_for_byte(
    kind: str, spread: RaySpread, spoken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: Any
) -> None:
    monkeypatch.setattr(clip_extraction, "SHARD_CLIPS", 3)
    encoder: AudioEncoderConfig = request.getfixturevalue(kind)
    monkeypatch.chdir(spoken.parent)  # a relative root: a worker does not start in this folder
    data = DataConfig(dataset="ravdess", root=spoken.name)
    here = ensure_features(data, encoder, ["train", "dev"], cache=tmp_path / "here", progress=False)
    told: list[tuple[int, int]] = []
    there = ensure_features(
        data, encoder, ["train", "dev"], cache=tmp_path / "there", progress=lambda *at: told.append(at), spread=spread
    )
    assert there.encoded == here.encoded == 19 and told[-1] == (6, 6)
    for split, path in here.paths.items():
        assert path.relative_to(tmp_path / "here") == there.paths[split].relative_to(tmp_path / "there")
        assert path.read_bytes() == there.paths[split].read_bytes()
    train = load_features(there.paths["train"])
    assert list(train.present).count(False) == 1 and float(np.abs(train.features).max()) > 0.05


@pytest.mark.faults
def test_shards_of_killed_workers_are_read_by_others(
    spread: RaySpread, spoken: Path, melstats: AudioEncoderConfig
) -> None:
    rows, shards, expected = work(melstats, spoken)
    results: dict[int, ShardResult] = {}
    killed: list[int] = []
    for number, result in spread(melstats, rows, shards.items()):
        assert number not in results
        results[number] = result
        if not killed:
            killed = [worker.pid for worker in workers()]
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
    assert killed, "no worker of ours was found"
    family = psutil.Process().children(recursive=True)
    open_doors = {c.laddr.ip for member in family for c in member.net_connections("inet") if c.status == "LISTEN"}
    assert open_doors <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}, "Ray listens beyond this machine"
    assert_same(results, expected)
    assert not {worker.pid for worker in workers()} & set(killed)


def test_a_fault_in_a_worker_is_the_same_fault_here(spread: RaySpread, spoken: Path, tmp_path: Path) -> None:
    found = save_backbone("wav2vec2_group", tmp_path / "broken")
    (found.folder / "model.safetensors").write_bytes(b"no weights")
    config = AudioEncoderConfig(backbone=str(found.folder))
    with pytest.raises(MerError, match="cannot be loaded") as here:
        open_clip_encoder(config, locate_clip_backbone(config))
    with pytest.raises(MerError) as there:
        list(spread(config, rows_of(spoken), [(0, [[0]])]))
    assert type(there.value) is MerError and there.value.message == here.value.message


def test_the_same_workers_go_on_and_others_come_for_another_encoder(
    spread: RaySpread, spoken: Path, melstats: AudioEncoderConfig
) -> None:
    rows, shards, expected = work(melstats, spoken)
    assert_same(dict(spread(melstats, rows, shards.items())), expected)
    first = {worker.pid for worker in workers()}
    assert_same(dict(spread(melstats, rows, shards.items())), expected)
    assert {worker.pid for worker in workers()} == first, "an encoder may take half a minute to load"
    short = melstats.model_copy(update={"max_seconds": 0.2})
    _, _, cut = work(short, spoken)
    assert not np.array_equal(cut[0].features_NLD, expected[0].features_NLD)
    assert_same(dict(spread(short, rows, shards.items())), cut)


@pytest.mark.faults
def test_workers_that_die_again_and_again_end_it(spread: RaySpread, spoken: Path) -> None:
    config, over = AudioEncoderConfig(max_seconds=3.0), threading.Event()

    def kill() -> None:
        while not over.wait(0.02):
            for worker in workers():
                worker.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(MerError, match=r"(?s)workers: 3 died before they had opened the encoder.*out of memory"):
            list(spread(config, rows_of(spoken), [(n, [[n]]) for n in range(6)]))
    finally:
        over.set()
        killer.join()


def test_the_command(spoken: Path, tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(SPACE.replace("CORPUS", str(spoken)))
    command = [sys.executable, "-m", "mer.extract", "space.yaml", "--workers", "2", "--cache", "here"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    files = [line for line in done.stdout.splitlines() if line.endswith(".safetensors")]
    assert len(files) == 2 and all((tmp_path / file).is_file() for file in files)
    assert re.search(r"^2 files, 19 inputs encoded in [\d.]+ s \([\d.]+/s\)$", done.stdout, re.MULTILINE)
    assert done.stdout.endswith("next: python -m mer.tune space.yaml --cache here\n")
    assert "Traceback" not in done.stderr and "1 masked" in done.stderr
