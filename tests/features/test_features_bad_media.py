"""Every kind of bad clip through the whole of `ensure_features`: a masked or mended row, one line, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clip_corpus import clip, clip_id, voice, write_csv, write_meld, write_ravdess, write_sound, write_video
from media_files import truncate

from mer.config import AudioEncoderConfig, ClipEncoderConfig, DataConfig, VideoEncoderConfig
from mer.features import ensure_features, load_features
from mer.features.audio.melstats import MelStats
from mer.features.cache.feature_file import FeatureTable
from mer.features.from_clips.extraction import VANISHED

# a header that promises no sample: rate, channels, bits and length are 16000, 1, 16 and 0
EMPTY_FLAC = b"fLaC" + bytes([0x80, 0, 0, 34, 16, 0, 16, 0, *[0] * 6, 0x03, 0xE8, 0x00, 0xF0, *[0] * 20])
READ = ""  # present, without a word
Said = tuple[str, str]  # "masked" or "mended" or READ, and how the reason begins


def name(number: int, suffix: str = ".wav") -> str:
    """A file of RAVDESS's training actors, the `number`-th."""
    return f"03-01-{1 + number % 8:02d}-01-{1 + number // 8 % 2:02d}-01-{1 + number // 16:02d}{suffix}"


# ---- sound: RAVDESS, whose metadata.csv names the files


def write_bad_sounds(root: Path) -> dict[str, Said]:
    """A corpus in which nearly every file has a fault of its own: file as metadata.csv names it -> what is said."""
    made: list[tuple[str, Said]] = []

    def add(said: Said, *, suffix: str = ".wav", prefix: str = "sounds/") -> Path:
        file = f"{prefix}{name(len(made), suffix)}"
        made.append((file, said))
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    write_sound(add((READ, "")), voice(0.5, hz=120))
    write_sound(add((READ, ""), suffix=".flac"), voice(0.6, hz=170))
    write_sound(add((READ, "")), voice(0.7, hz=210), subtype="PCM_U8")
    stereo = np.stack([voice(0.8, hz=130, rate=48000), voice(0.8, hz=260, rate=48000, seed=1)], axis=1)
    write_sound(add((READ, "")), stereo, rate=48000)
    write_video(add((READ, ""), suffix=".mp4"), 20, size=(64, 48))
    write_sound(add(("mended", "silent")), np.zeros(8000, np.float32))  # read, and said
    write_sound(add(("mended", "305.0 s long: cut to its first 20 s")), voice(305, rate=8000), rate=8000)
    write_sound(add(("mended", "shorter than 100 ms")), voice(0.02))
    cut = write_sound(add(("mended", "ends early: "), suffix=".flac"), voice(1.5))
    truncate(cut, 0.6)
    add(("masked", "0 bytes")).touch()
    write_sound(add(("masked", "no samples")), np.zeros(0, np.float32))
    add(("masked", "cannot be decoded: "), suffix=".flac").write_bytes(EMPTY_FLAC)
    poisoned = voice(0.5)
    poisoned[100] = np.nan
    write_sound(add(("masked", "NaN or infinite samples")), poisoned, subtype="FLOAT")
    write_video(add(("masked", "no sound track"), suffix=".mp4"), 10, sound=False)
    add(("masked", "cannot be decoded: ")).write_bytes(b"this is no sound" * 100)
    add(("masked", "no such file"))
    loop = add(("masked", "a loop of symbolic links"))
    loop.symlink_to(loop.name)
    add(("masked", "not a file")).mkdir()
    outside = root.parent / "outside"
    for prefix in ("../../outside/", "../outside/", f"{outside}/"):
        write_sound(outside / name(len(made)), voice(0.5))  # there, and readable: it must not be opened
        said = f"the path {prefix + name(len(made))!r} leaves the data folder: not opened"
        made.append((prefix + name(len(made)), ("masked", said)))
    write_ravdess(root, [file for file, _ in made])
    return dict(made)


def write_bad_videos(root: Path) -> dict[str, Said]:
    """The same for MELD's videos: id -> what is said."""
    told: dict[str, Said] = {}

    def add(said: Said) -> Path:
        row = len(told)
        told[clip_id("dev", row)] = said
        path = clip(root, "video", "dev", row)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    write_video(add((READ, "")), 12)
    write_video(add((READ, "")), 15, sound=False)
    write_video(add((READ, "")), 1)
    write_video(add((READ, "")), 9, size=(63, 47))
    write_video(add(("mended", "305.0 s long: cut to its first 20 s")), 305, fps=1, size=(32, 32), sound=False)
    # noise-free stripes compress to almost nothing: long enough that half of the bytes are not the header alone
    truncate(write_video(add(("mended", "ends early: ")), 150, faststart=True), 0.6)
    truncate(write_video(add(("masked", "cannot be decoded: ")), 40), 0.6)
    add(("masked", "0 bytes")).touch()
    add(("masked", "cannot be decoded: ")).write_bytes(b"this is no video" * 100)
    write_sound(add(("masked", "no video track")), voice(0.5), format="FLAC")
    add(("masked", "no such file"))
    loop = add(("masked", "a loop of symbolic links"))
    loop.symlink_to(loop.name)
    add(("masked", "not a file")).mkdir()
    write_csv(root, "dev", ["joy", "anger"] * (len(told) // 2) + ["joy"] * (len(told) % 2))
    return told


Case = tuple[DataConfig, ClipEncoderConfig, str, dict[str, Said]]


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    """A function: modality -> data, encoder, split, and what is said of each id."""
    made: dict[str, Case] = {}

    def get(modality: str) -> Case:
        if modality not in made:
            root = tmp_path_factory.mktemp("bad") / "in" / "corpus"
            root.mkdir(parents=True)
            if modality == "audio":
                said = {f"train/{Path(file).stem}_utt0": words for file, words in write_bad_sounds(root).items()}
                made[modality] = DataConfig(dataset="ravdess", root=str(root)), AudioEncoderConfig(), "train", said
            else:
                said = write_bad_videos(root)
                made[modality] = DataConfig(root=str(root)), VideoEncoderConfig(), "dev", said
        return made[modality]

    return get


def extracted(case: Case, cache: Path, progress: Any = None) -> FeatureTable:
    data, config, split, _ = case
    return load_features(ensure_features(data, config, [split], cache=cache, progress=progress).paths[split])


@pytest.mark.parametrize("modality", ["audio", "video"])
def test_each_bad_clip_is_one_row_and_one_line(
    modality: str, bad: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    case = bad(modality)
    said = case[-1]
    table = extracted(case, tmp_path)
    lines = capfd.readouterr().err.splitlines()
    assert list(table.ids) == list(said), "no utterance is dropped or moved"

    for row, (kind, reason) in said.items():
        about = [line for line in lines if f" {row} " in line or f" {row}:" in line]
        assert len(about) == (0 if kind == READ else 1), (row, about)
        if kind:
            title, words = about[0].split(f": {kind} {row}", 1)
            place, why = words.split(": ", 1) if not words.startswith(":") else ("", words[2:])
            assert title.startswith(case[0].dataset) and why.startswith(reason), (about, reason)
            assert not place or Path(place.strip(" ()")).is_relative_to(case[0].root)
    kinds = [kind for kind, _ in said.values()]
    masked, mended = kinds.count("masked"), kinds.count("mended")
    summary = f"{len(kinds) - masked} of {len(kinds)} clips read ({mended} of them mended), {masked} masked"
    assert [line for line in lines if line.endswith(summary)] == lines[-1:]
    progress = [line for line in lines if " clips, " in line and "/s" in line]
    start = next(place for place, line in enumerate(lines) if line.endswith("clips that could not be read, by reason:"))
    counts = [int(line.split(": ", 1)[1].split()[0]) for line in lines[start + 1 : -1]]
    assert sum(counts) == masked and counts == sorted(counts, reverse=True)
    assert len(lines) == masked + mended + 1 + len(progress) + 1 + len(counts), (
        "nothing else is said, by no library either"
    )

    present = np.array([said[row][0] != "masked" for row in table.ids])
    np.testing.assert_array_equal(table.present, present)
    assert not table.features[~present].any() and np.abs(table.features[present]).max(axis=(1, 2)).min() > 0
    for kind, noted in (("masked", table.card["masked"]), ("mended", table.card["mended"])):
        assert set(noted) == {row for row, words in said.items() if words[0] == kind}
        assert all(why.startswith(said[row][1]) for row, why in noted.items())
    assert table.card["clips_encoded"] == present.sum()
    sidecar = next(tmp_path.rglob(f"{case[2]}-*.json"))
    assert json.loads(sidecar.read_text())["masked"] == table.card["masked"]


@pytest.mark.parametrize("modality", ["audio", "video"])
def test_good_rows_are_those_of_a_corpus_without_the_bad_ones(modality: str, bad: Any, tmp_path: Path) -> None:
    data, config, split, _ = case = bad(modality)
    whole = extracted(case, tmp_path / "whole", progress=False)
    clean = tmp_path / "clean"
    good = [row for row, there in zip(whole.ids, whole.present, strict=True) if there]
    if modality == "audio":
        files = {path.stem: path for path in (Path(data.root) / "sounds").iterdir()}
        chosen = [files[row.split("/")[1].removesuffix("_utt0")] for row in good]
        (clean / "sounds").mkdir(parents=True)
        for path in chosen:
            (clean / "sounds" / path.name).hardlink_to(path.resolve())
        write_ravdess(clean, [f"sounds/{path.name}" for path in chosen])
    else:
        write_csv(clean, split, ["joy"] * len(good))
        (clean / "videos" / split).mkdir(parents=True)
        for row, one in enumerate(good):
            dialogue, number = one.split("/")[1].split("_utt")
            source = Path(data.root) / "videos" / split / f"{dialogue}_utt{number}.mp4"
            clip(clean, "video", split, row).symlink_to(source)
    alone = extracted((DataConfig(dataset=data.dataset, root=str(clean)), config, split, {}), tmp_path / "alone", False)
    assert alone.present.all() and len(alone.ids) == len(good)
    np.testing.assert_array_equal(alone.features, whole.features[whole.present])


def test_silence_of_the_log_is_complete(bad: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for modality in ("audio", "video"):
        extracted(bad(modality), tmp_path, progress=False)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("modality", ["audio", "video"])
def test_a_second_time_nothing_is_read_and_nothing_is_said(
    modality: str, bad: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data, config, split, _ = bad(modality)
    first = ensure_features(data, config, [split], cache=tmp_path, progress=False)
    capfd.readouterr()
    again = ensure_features(data, config, [split], cache=tmp_path)
    assert again.encoded == 0 and again.paths == first.paths and capfd.readouterr().err == ""


def test_statistics_of_odd_files_are_those_of_the_same_sound(tmp_path: Path) -> None:
    """8 bits, 48 kHz in stereo, and a film: read right, not only read."""
    plain = voice(1.0, hz=180)
    fast = np.interp(np.arange(48000) / 3, np.arange(16000), plain).astype(np.float32)
    write_sound(tmp_path / "r/a" / name(0), plain)
    write_sound(tmp_path / "r/a" / name(1), plain, subtype="PCM_U8")
    write_sound(tmp_path / "r/a" / name(2), np.stack([fast * 2, fast * 0], axis=1), rate=48000)
    write_ravdess(tmp_path / "r", [f"a/{name(number)}" for number in range(3)])
    data = DataConfig(dataset="ravdess", root=str(tmp_path / "r"))
    table = extracted((data, AudioEncoderConfig(), "train", {}), tmp_path / "cache", progress=False)
    assert table.present.all()
    from mer.features.audio.melstats import NAMES

    for number in (1, 2):
        for what, most in (("f0_semitones_mean", 0.2), ("energy_db_mean", 0.5), ("seconds", 0.02)):
            at = NAMES.index(what)
            assert abs(float(table.features[number, 0, at]) - float(table.features[0, 0, at])) < most, (number, what)


# ---- a file that goes away while others are read


@pytest.fixture
def meld(tmp_path: Path) -> DataConfig:
    return DataConfig(root=str(write_meld(tmp_path / "corpus", {"dev": 5}, video=False)))


def dev(meld: DataConfig, tmp_path: Path, progress: Any = False) -> tuple[FeatureTable, int]:
    done = ensure_features(meld, AudioEncoderConfig(), ["dev"], cache=tmp_path / "cache", progress=progress)
    return load_features(done.paths["dev"]), done.encoded


def test_a_file_removed_meanwhile_is_masked_and_taken_up_when_it_is_back(
    meld: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    target, load = clip(Path(meld.root), "audio", "dev", 3), MelStats.load
    content = target.read_bytes()

    def removing(self: MelStats, path: Path) -> Any:
        if path == target:
            path.unlink()
        return load(self, path)

    monkeypatch.setattr(MelStats, "load", removing)
    table, encoded = dev(meld, tmp_path, progress=None)
    lines = capfd.readouterr().err.splitlines()
    assert encoded == 4 and table.present.tolist() == [True, True, True, False, True]
    assert [line for line in lines if "masked dev/dia1_utt0" in line] == [
        f"meld/dev with melstats: masked dev/dia1_utt0 ({target}): {VANISHED}"
    ]
    assert lines[-1].endswith("4 of 5 clips read (0 of them mended), 1 masked")
    assert table.card["masked"] == {"dev/dia1_utt0": VANISHED} and not table.features[3].any()

    monkeypatch.setattr(MelStats, "load", load)
    same, encoded = dev(meld, tmp_path)
    assert encoded == 0 and same.key == table.key, "the key is that of the corpus without it"

    target.write_bytes(content)
    whole, encoded = dev(meld, tmp_path)
    assert encoded == 5 and whole.present.all() and whole.key != table.key
    assert whole.features[3].any()
    rest = [0, 1, 2, 4]
    np.testing.assert_array_equal(whole.features[rest], table.features[rest])
    assert not list((tmp_path / "cache").rglob(".*.parts"))


def test_a_file_removed_between_hashing_and_probing(
    meld: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, probe = clip(Path(meld.root), "audio", "dev", 0), MelStats.probe

    def removing(self: MelStats, path: Path) -> int:
        target.unlink(missing_ok=True)
        return probe(self, path)

    monkeypatch.setattr(MelStats, "probe", removing)
    monkeypatch.setattr("mer.features.from_clips.extraction._threads", lambda: 1)
    table, encoded = dev(meld, tmp_path)
    assert encoded == 4 and table.card["masked"] == {"dev/dia0_utt0": VANISHED}
    assert dev(meld, tmp_path)[1] == 0


def test_every_file_removed_meanwhile_masks_every_row(
    meld: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = MelStats.probe

    def removing(self: MelStats, path: Path) -> int:
        path.unlink()
        return probe(self, path)

    monkeypatch.setattr(MelStats, "probe", removing)
    table, encoded = dev(meld, tmp_path)
    assert encoded == 0 and not table.present.any() and not table.features.any()
    assert table.features.shape == (5, 1, 155)
