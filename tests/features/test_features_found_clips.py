"""Clips of a corpus under other endings than the layout says: the same features, or the sound of the videos."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from mer.config import AudioEncoderConfig, DataConfig
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
