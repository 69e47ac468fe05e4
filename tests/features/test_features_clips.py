"""Clips to cached features: equal to live ones, named by what they are made of, and safe from kills."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import audio_backbones
import numpy as np
import pytest
import soundfile
import video_backbones
from clip_corpus import ROWS, StandIn, clip, clip_id, voice, write_csv, write_meld, write_sound

from mer.config import AudioEncoderConfig, ClipEncoderConfig, DataConfig, VideoEncoderConfig
from mer.data import Corpus, Dialogue, Utterance, load_corpus
from mer.errors import MerError
from mer.features import ensure_features, load_features
from mer.features.from_clips import extraction as clip_extraction
from mer.features.from_clips import pooled as clip_reading
from mer.features.from_clips.decode_ahead import ahead_of
from mer.features.from_clips.live import LiveClips
from mer.features.from_clips.pooled import ClipReading

AUDIO = {f"audio-{family}": family for family in (*audio_backbones.FAMILIES, "melstats")}
VIDEO = {f"video-{family}": family for family in (*video_backbones.FAMILIES, "framestats")}


@pytest.fixture(scope="session")
def clips_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed."""
    return write_meld(tmp_path_factory.mktemp("clips") / "corpus")


@pytest.fixture
def meld(clips_root: Path) -> DataConfig:
    return DataConfig(root=str(clips_root))


@pytest.fixture(scope="session")
def clip_encoder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ClipEncoderConfig]:
    """A function: "audio-wavlm" (or another family) and options -> configuration; backbones are saved once."""
    made: dict[str, Path] = {}

    def get(name: str, **options: Any) -> ClipEncoderConfig:
        modality, family = name.split("-")
        config = AudioEncoderConfig if modality == "audio" else VideoEncoderConfig
        if family in ("melstats", "framestats"):
            return config(**options)
        if name not in made:
            backbones: Any = audio_backbones if modality == "audio" else video_backbones
            made[name] = backbones.save_backbone(family, tmp_path_factory.mktemp("clip_backbones") / family).folder
        return config(backbone=str(made[name]), **options)

    return get


def modality_of(config: ClipEncoderConfig) -> str:
    return "audio" if isinstance(config, AudioEncoderConfig) else "video"


def far(a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference, in units of the largest value (at least 1)."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(np.abs(a - b).max() / max(1.0, np.abs(b).max()))


# ---- cached equals live


@pytest.mark.parametrize("name", [*AUDIO, *VIDEO])
def test_cached_equals_live_for_every_family(name: str, meld: DataConfig, clip_encoder: Any, tmp_path: Path) -> None:
    """Live: every clip alone. Cached: batched by length, so that padding and neighbours would show."""
    config = clip_encoder(name)
    done = ensure_features(meld, config, ["train", "dev"], cache=tmp_path, progress=False)
    assert done.encoded == sum(ROWS.values())
    live = LiveClips(config, clip_reading.locate_clip_backbone(config))
    for split, count in ROWS.items():
        table = load_features(done.paths[split])
        paths = [clip(Path(meld.root), modality_of(config), split, row) for row in range(count)]
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
    """As a reader of the transformers manual would do it: (L, D)."""
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
    paths = [clip(Path(meld.root), modality_of(config), "dev", row) for row in range(ROWS["dev"])]
    folder = Path(config.backbone)
    if modality_of(config) == "audio":
        expected = np.stack([literal_audio(folder, path) for path in paths])
    else:
        settings = {"count": 8, "first": True} if name == "video-clip" else {"count": 4, "first": False}
        expected = np.stack([literal_video(folder, path, **settings) for path in paths])
    assert far(table.features, expected) < 1e-3


# ---- the key


@pytest.fixture
def key(tmp_path: Path) -> Callable[..., str]:
    """A function: root, configuration -> the key that the features of a split would have."""

    def get(root: Path, config: ClipEncoderConfig, split: str = "dev", **data: Any) -> str:
        settings, cache = DataConfig(root=str(root), **data), tmp_path / "keys"
        corpus = load_corpus(settings.dataset, root, splits=(split,))
        return ClipReading(config, cache, progress=False).prepare(corpus, settings, split, cache).key

    return get


@pytest.fixture
def own_root(clips_root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clips_root, tmp_path / "own"))


def with_(config: ClipEncoderConfig, **changes: Any) -> ClipEncoderConfig:
    return type(config).model_validate({**config.model_dump(), **changes})


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


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., StandIn]:
    """A function: options -> a StandIn that every extraction uses from then on."""

    def use(**options: Any) -> StandIn:
        encoder = StandIn(**options)
        monkeypatch.setattr(clip_reading, "open_clip_encoder", lambda config, found: encoder)
        return encoder

    return use


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_meld(tmp_path_factory.mktemp("many"), {"train": 20}, video=False)


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
    path = clip(Path(meld.root), modality_of(config), "train", 4)
    np.testing.assert_array_equal(live.encode([path]).features_NLD[0], load_features(two).features[4])


def test_as_many_threads_as_this_process_has_processors(two_processors: None) -> None:
    """A worker of Ray has one, whatever its machine has."""
    import torch

    from mer.study.cluster.clip_workers import ShardReader

    assert clip_extraction._threads() == 2
    torch.set_num_threads(64)
    assert clip_extraction._threads() == clip_extraction.MOST_THREADS
    ShardReader().open(AudioEncoderConfig(), None)
    assert clip_extraction._threads() == 1


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
    """Not found out on writing to the map: that would be a bus error."""
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
        f"{own_root}: no {modality_of(config)} clip of split 'dev' is there: looked for "
        f"{folder}/dev/dia0_utt0.{suffix} and 4 more (no such file)\n"
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
        "  next: leave encoders.audio out, or choose another data.dataset",
    ]
