"""Clips decoded ahead and encoded side by side: order, bounds, and the same bits on any number of threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clip_corpus import clip

from mer.config import AudioEncoderConfig, DataConfig
from mer.features import ensure_features, load_features
from mer.features.from_clips import extraction as clip_extraction
from mer.features.from_clips import pooled as clip_reading
from mer.features.from_clips.decode_ahead import ahead_of
from mer.features.from_clips.live import LiveClips

# ---- decoding ahead


def decoders() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("decode")]


class Counter:
    """Loads numbers in no particular pace, and knows how many were loaded and not yet taken."""

    def __init__(self) -> None:
        self.lock, self.loaded, self.taken, self.most = threading.Lock(), 0, 0, 0

    def load(self, item: int) -> int:
        time.sleep(0.001 * (item * 7 % 3))
        with self.lock:
            self.loaded += 1
            self.most = max(self.most, self.loaded - self.taken)
        return item * item

    def take(self, values: Iterator[int]) -> Iterator[int]:
        for value in values:
            with self.lock:
                self.taken += 1
            yield value


@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (4, 3), (4, 10), (2, 1000)])
def test_ahead_of_keeps_order_and_its_bound(threads: int, ahead: int) -> None:
    counter, got = Counter(), []
    for value in counter.take(ahead_of(range(60), counter.load, threads=threads, ahead=ahead)):
        got.append(value)
        time.sleep(0.002)  # a slow consumer, so that only the bound stops the loaders
    assert got == [i * i for i in range(60)]
    assert counter.most <= min(60, ahead + 1), "`ahead` waiting, and the one that is being handed over"
    assert counter.most >= min(ahead, 60) / 2, "it does load ahead"
    assert not decoders()


def test_ahead_of_stops_when_its_consumer_does() -> None:
    counter = Counter()
    values = ahead_of(range(1000), counter.load, threads=3, ahead=5)
    assert [next(values), next(values)] == [0, 1]
    assert decoders()
    values.close()  # type: ignore[attr-defined]
    assert counter.loaded <= 2 + 5 + 3 and not decoders()


def test_ahead_of_hands_on_an_exception_in_its_place() -> None:
    def load(item: int) -> int:
        if item == 4:
            raise ZeroDivisionError("four")
        return item

    got: list[int] = []
    with pytest.raises(ZeroDivisionError, match="four"):
        for value in ahead_of(range(50), load, threads=3, ahead=5):
            got.append(value)
    assert got == [0, 1, 2, 3] and not decoders()


def test_an_extraction_holds_few_clips_and_leaves_no_thread(
    many: Path, tmp_path: Path, stand_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip_extraction, "_threads", lambda: 2)
    counter, batch = Counter(), 3

    def loaded(path: Path) -> None:
        counter.load(0)

    def taken(clips: Any) -> None:
        counter.taken += len(clips)
        time.sleep(0.01)

    encoder = stand_in(before_load=loaded, before_encode=taken)
    monkeypatch.setattr(encoder, "batch_length", batch * 16000, raising=False)
    ensure_features(DataConfig(root=str(many)), AudioEncoderConfig(), ["train"], cache=tmp_path, progress=False)
    longest = max(encoder.batches)
    assert sum(encoder.batches) == 20 and 1 < longest < 10
    assert counter.most <= longest + 2 * longest + 2 + 1, "the batch in hand, two more, and one clip per thread"
    assert not decoders()

    def broken(clips: Any) -> None:
        raise ZeroDivisionError

    stand_in(before_encode=broken)
    with pytest.raises(ZeroDivisionError):
        ensure_features(
            DataConfig(root=str(many)), AudioEncoderConfig(), ["train"], cache=tmp_path / "b", progress=False
        )
    assert not decoders()


# ---- side by side


@pytest.fixture
def two_processors() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["audio-wav2vec2_layer", "video-videomae"])
def test_on_a_cpu_each_clip_has_a_thread_of_its_own(
    name: str,
    meld: DataConfig,
    clip_encoder: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    two_processors: None,
) -> None:
    import torch

    config, calls = clip_encoder(name), []
    encoder = clip_reading.open_clip_encoder(config, clip_reading.locate_clip_backbone(config))
    encode, both = encoder.encoder.encode, threading.Barrier(2, timeout=60)

    def watched(clips: Any) -> np.ndarray:
        if len(calls) < 2:
            calls.append((threading.current_thread().name, len(clips), torch.get_num_threads()))
            both.wait()  # only when two are at it at once
        calls.append((threading.current_thread().name, len(clips), torch.get_num_threads()))
        return encode(clips)

    monkeypatch.setattr(encoder.encoder, "encode", watched)
    monkeypatch.setattr(clip_reading, "open_clip_encoder", lambda config, found: encoder)
    ensure_features(meld, config, ["train"], cache=tmp_path, progress=False)
    assert len({thread for thread, _, _ in calls}) == 2
    assert {(thread.startswith("decode"), clips, torch_threads) for thread, clips, torch_threads in calls} == {
        (True, 1, 1)
    }
    seen: list[int] = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert [torch.get_num_threads(), *seen] == [2, 2], "nothing is left behind for others"


@pytest.mark.parametrize("name", ["audio-wav2vec2_layer", "audio-whisper", "video-clip"])
def test_a_row_has_the_same_bits_alone_and_on_more_processors(
    name: str, meld: DataConfig, clip_encoder: Any, tmp_path: Path, two_processors: None
) -> None:
    import torch

    config = clip_encoder(name)
    two = ensure_features(meld, config, ["train"], cache=tmp_path / "two", progress=False).paths["train"]
    torch.set_num_threads(1)
    one = ensure_features(meld, config, ["train"], cache=tmp_path / "one", progress=False).paths["train"]
    assert one.read_bytes() == two.read_bytes()
    live = LiveClips(config, clip_reading.locate_clip_backbone(config))
    path = clip(Path(meld.root), config.modality, "train", 4)
    np.testing.assert_array_equal(live.encode([path]).features_NLD[0], load_features(two).features[4])


def test_as_many_threads_as_this_process_has_processors(two_processors: None) -> None:
    """A worker of Ray has one, whatever its machine has."""
    import torch

    from mer.study.cluster.clip_worker import ShardReader

    assert clip_extraction._threads() == 2
    torch.set_num_threads(64)
    assert clip_extraction._threads() == clip_extraction.MOST_THREADS
    ShardReader().open(AudioEncoderConfig(), None)
    assert clip_extraction._threads() == 1
