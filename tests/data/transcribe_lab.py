"""A small data folder and a stand-in for the model, for tests of transcripts."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from media_files import write_flac
from meld_files import meld_csv

from mer.data.registry import load_corpus
from mer.data.transcribe.corpus import transcribe_corpus
from mer.data.transcribe.recogniser import Recogniser
from mer.errors import MerError

CPU = Recogniser(device="cpu")


@dataclass
class Segment:
    text: str
    no_speech_prob: float = 0.1
    compression_ratio: float = 1.0


class StandIn:
    """Has WhisperModel's `transcribe`; hears a clip's length in tenths of a second, or what `says` has for it."""

    def __init__(self, says: dict[int, list[Segment]] | None = None, dies_at: int | None = None) -> None:
        self.says, self.dies_at = says or {}, dies_at
        self.heard: list[int] = []
        self.options: dict[str, Any] = {}

    def transcribe(self, audio: np.ndarray, **options: Any) -> tuple[Iterator[Segment], object]:
        assert audio.dtype == np.float32 and audio.ndim == 1
        self.options, tenths = options, round(len(audio) / 1600)

        def segments() -> Iterator[Segment]:  # the work is done when they are consumed, as in the library
            if len(self.heard) == self.dies_at:
                raise KeyboardInterrupt
            self.heard.append(tenths)
            yield from self.says.get(tenths, [Segment(f" heard {tenths}")])

        return segments(), SimpleNamespace(language="en")


ROWS = [
    {"Utterance": "Heard three!", "Sr No.": 7, "Season": 4, "Utterance_ID": 0},
    {"Utterance": "", "Utterance_ID": 1},
    {"Utterance": "  ", "Utterance_ID": 3, "Speaker": "Bo, and \x92Al"},
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Clips of 0.3, 0.4 and 0.5 s in train, of 0.6 s in dev, a test file that must not be opened."""
    folder = tmp_path / "data"
    for index, row in enumerate(ROWS):
        write_flac(folder / f"audios/train/dia0_utt{row['Utterance_ID']}.flac", 0.3 + index / 10)
    write_flac(folder / "audios/dev/dia0_utt0.flac", 0.6)
    (folder / "train_sent_emo.csv").write_bytes(b"\xef\xbb\xbf" + meld_csv(*ROWS).encode())
    (folder / "dev_sent_emo.csv").write_text(meld_csv({"Utterance": "Heard 6, did you?"}), newline="")
    (folder / "test_sent_emo.csv").write_bytes(b"\xff")
    return folder


@pytest.fixture
def run(root, tmp_path):
    """run(model=..., ...) -> tallies; writes tmp_path/out with the cache tmp_path/cache."""

    def go(**settings: Any):
        settings = {"recogniser": CPU, "cache": tmp_path / "cache", "model": StandIn()} | settings
        return transcribe_corpus(root, settings.pop("out", tmp_path / "out"), **settings)

    return go


def cells(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def texts(folder: Path, split: str = "train") -> list[str]:
    return [utterance.text for utterance in load_corpus("meld", folder, [split]).utterances(split)]


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(MerError) as fault:
        call()
    return fault.value.message


def put_library(monkeypatch: pytest.MonkeyPatch, build: Callable[..., object]) -> None:
    """Put a library in the place of faster-whisper. Args: build: makes its model."""
    monkeypatch.setitem(sys.modules, "faster_whisper", SimpleNamespace(WhisperModel=build))
