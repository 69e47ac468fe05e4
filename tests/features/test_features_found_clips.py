"""Clips of a corpus under other endings than the layout says: the same features, or the sound of the videos."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mer.config import AudioEncoderConfig, DataConfig
from mer.errors import MerError
from mer.features import ensure_features, load_features


def features(root: Path, cache: Path):
    done = ensure_features(DataConfig(root=str(root)), AudioEncoderConfig(), ["dev"], cache=cache, progress=False)
    return load_features(done.paths["dev"]), done.encoded


def test_other_endings_are_the_same_clips(own_root: Path, tmp_path: Path) -> None:
    table, _ = features(own_root, tmp_path)
    for number, path in enumerate(sorted((own_root / "audios/dev").iterdir())):
        path.rename(path.with_suffix((".WAV", ".Flac", ".ogg", ".MP4")[number % 4]))
    again, encoded = features(own_root, tmp_path)
    assert encoded == 0 and np.array_equal(again.features, table.features), "the content is the key, not the name"


def test_without_audio_files_the_sound_of_the_videos_is_read(own_root: Path, tmp_path: Path) -> None:
    shutil.rmtree(own_root / "audios")
    table, encoded = features(own_root, tmp_path)
    assert encoded == len(table.ids) and table.present.all()


def test_a_choice_between_two_files_is_in_the_sidecar(own_root: Path, tmp_path: Path) -> None:
    first = sorted((own_root / "audios/dev").iterdir())[0]
    shutil.copy(first, first.with_suffix(".wav"))
    table, _ = features(own_root, tmp_path)
    (said,) = table.card["mended"].values()
    assert said.startswith(f"2 files of one id ({first.name}, {first.stem}.wav): {first.name} is read")


def test_links_in_a_csv_corpus_may_not_leave_its_folder(own_root: Path, tmp_path: Path) -> None:
    """The data file names the paths, so the folder's owner has not vouched for where they lead."""
    root, outside = tmp_path / "csv", own_root / "audios/dev"
    root.mkdir()
    names = [path.name for path in sorted(outside.iterdir())]
    for name in names[:2]:
        shutil.copy(outside / name, root / name)
    (root / names[2]).symlink_to(outside / names[2])
    (root / "away").symlink_to(outside)
    paths = [*names[:3], f"away/{names[3]}", "../own/audios/dev/" + names[4]]
    for split in ("train", "dev"):
        rows = "".join(f"hello {row},{'joy' if row % 2 else 'anger'},{path}\n" for row, path in enumerate(paths))
        (root / f"{split}.csv").write_text("text,label,audio\n" + rows)
    data = DataConfig(dataset="csv", root=str(root))
    done = ensure_features(data, AudioEncoderConfig(), ["dev"], cache=tmp_path / "cache", progress=False)
    table = load_features(done.paths["dev"])
    assert table.present.tolist() == [True, True, False, False, False]
    said = sorted(set(table.card["masked"].values()))
    assert said[0] == "a link that leads out of csv: not opened" and "leaves the data folder" in said[1]
    for name in names[:2]:
        (root / name).unlink()
        (root / name).symlink_to(outside / name)
    with pytest.raises(MerError) as caught:
        ensure_features(data, AudioEncoderConfig(), ["dev"], cache=tmp_path / "cache", progress=False)
    assert "a link that leads out of csv" in caught.value.message and "hard links" in caught.value.message
