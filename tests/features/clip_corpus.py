"""Small corpora of clips, in MELD's and in RAVDESS's shape, and an encoder that does what a test wants to see."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from mer.data.media import MediaAbsent
from mer.data.media.files import require_content
from mer.features.backbone.clip_encoder import LoadedClip

sys.path.append(str(Path(__file__).parents[1] / "data"))

from media_files import write_video

EMOTIONS = ("neutral", "joy", "anger", "sadness", "surprise", "fear", "disgust")
SENTIMENTS = {"neutral": "neutral", "joy": "positive", "surprise": "positive"}
COLUMNS = (
    "Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "StartTime", "EndTime",
)  # fmt: skip
PER_DIALOGUE = 3
ROWS = {"train": 7, "dev": 5}


def write_meld(root: Path, rows: dict[str, int] | None = None, *, video: bool = True) -> Path:
    """CSV files with a FLAC and an MP4 of its own length for each utterance, none as long as its neighbours."""
    for number, (split, count) in enumerate((rows or ROWS).items()):
        write_csv(root, split, [EMOTIONS[row % 7] for row in range(count)])
        for row in range(count):
            emotion = row % 7
            length_s = 0.35 + 0.11 * ((row * 3 + number) % 5)
            write_sound(clip(root, "audio", split, row), voice(length_s, hz=100 + 40 * emotion, seed=10 * number + row))
            if video:
                frames = 5 + 3 * ((row * 2 + number) % 4)
                write_video(clip(root, "video", split, row), frames, size=(64, 48), hz=200 + 50 * row)
    return root


def write_csv(root: Path, split: str, emotions: Sequence[str]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    with (root / f"{split}_sent_emo.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for row, emotion in enumerate(emotions):
            labels = [emotion, SENTIMENTS.get(emotion, "negative")]
            place = divmod(row, PER_DIALOGUE)
            writer.writerow([row + 1, f"Line {row}.", "Ross", *labels, *place, "00:00:01,000", "00:00:02,000"])


def clip(root: Path, modality: str, split: str, row: int) -> Path:
    """Return the path of a row's clip."""
    dialogue, number = divmod(row, PER_DIALOGUE)
    folder, suffix = ("audios", "flac") if modality == "audio" else ("videos", "mp4")
    return root / folder / split / f"dia{dialogue}_utt{number}.{suffix}"


def clip_id(split: str, row: int) -> str:
    dialogue, number = divmod(row, PER_DIALOGUE)
    return f"{split}/dia{dialogue}_utt{number}"


def voice(seconds: float, *, hz: float = 150.0, rate: int = 16000, seed: int = 0) -> np.ndarray:
    """float32 (S,): harmonics that swell, and a little noise."""
    rng, at = np.random.default_rng(seed), np.arange(round(seconds * rate)) / rate
    tones = sum(np.sin(2 * np.pi * hz * k * at) / k for k in range(1, 6))
    return (0.1 * tones * (0.6 + 0.4 * np.sin(9 * at)) + 0.01 * rng.normal(size=len(at))).astype(np.float32)


def write_sound(path: Path, samples: np.ndarray, *, rate: int = 16000, **settings: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **settings)
    return path


def write_ravdess(root: Path, files: Sequence[str]) -> Path:
    """A metadata.csv that names these files, in this order."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "metadata.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["file"], *([file] for file in files)])
    return root


class StandIn:
    """A ClipEncoder of two "hidden states" of width 3: length, mean size and first sample of a sound.

    Args:
        before_load: called with the path, in a decode thread.
        before_encode: called with the clips of a batch.
        seconds: how long a batch takes.
    """

    layers, width = 2, 3
    batch_length = 16000

    def __init__(
        self,
        before_load: Callable[[Path], None] = lambda path: None,
        before_encode: Callable[[Sequence[LoadedClip]], None] = lambda clips: None,
        seconds: float = 0.0,
    ) -> None:
        self.before_load, self.before_encode, self.seconds = before_load, before_encode, seconds
        self.batches: list[int] = []

    def probe(self, path: Path) -> int:
        try:
            return int(soundfile.info(path).frames)
        except soundfile.LibsndfileError as fault:
            raise MediaAbsent("no such file") from fault

    def load(self, path: Path) -> LoadedClip:
        self.before_load(path)
        require_content(path)
        return LoadedClip(soundfile.read(path, dtype="float32")[0])

    def encode(self, clips: Sequence[LoadedClip]) -> np.ndarray:
        self.before_encode(clips)
        time.sleep(self.seconds)
        self.batches.append(len(clips))
        rows = [[len(one.inputs) / 1e4, np.abs(one.inputs).mean(), one.inputs[0]] for one in clips]
        values = np.array(rows, dtype=np.float32)
        return np.stack([values, values * 3], axis=1)
