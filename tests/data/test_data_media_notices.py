"""Clips from which an answer would be made of nothing carry a notice, whatever the format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from media_files import sine, write_video, write_wav

from mer.data.media import MediaFault
from mer.data.media.audio import read_audio
from mer.data.media.notices import Notice, length_notices, notices_in, sound_notices

DITHER = np.random.default_rng(0).integers(-1, 2, 16000) / 32768


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.zeros(16000), (Notice.SILENT,)),
        (np.full(16000, 0.25), (Notice.SILENT,)),
        (DITHER, (Notice.SILENT,)),
        (sine(0.006), (Notice.SHORT,)),
        (np.zeros(96), (Notice.SILENT, Notice.SHORT)),
        (sine(0.1), ()),
        (sine(1, level=3e-4), ()),
    ],
    ids=["zeros", "offset", "dither", "6 ms", "6 ms of zeros", "100 ms", "very quiet"],
)
def test_sound_that_says_nothing(tmp_path: Path, samples: np.ndarray, expected: tuple[Notice, ...]) -> None:
    path = write_wav(tmp_path / "a.wav", samples=samples)
    assert notices_in(read_audio(path, max_seconds=20).notes) == expected
    assert (
        sound_notices(np.round(samples * 32768).clip(-32768, 32767).astype(np.int16), len(samples) / 16000) == expected
    )


def test_a_length_alone() -> None:
    assert length_notices(0.0) == (Notice.NO_SAMPLES,)
    assert length_notices(0.006) == (Notice.SHORT,)
    assert length_notices(0.1) == ()


def test_faults_and_joined_notes_are_found_again(tmp_path: Path) -> None:
    with pytest.raises(MediaFault) as caught:
        read_audio(write_video(tmp_path / "a.mp4", 5, sound=False), max_seconds=20)
    assert notices_in(str(caught.value)) == (Notice.NO_SOUND_TRACK,)
    with pytest.raises(MediaFault) as caught:
        read_audio(write_wav(tmp_path / "a.wav", 0), max_seconds=20)
    assert notices_in(str(caught.value)) == (Notice.NO_SAMPLES,)
    assert notices_in("ends early: 1.0 of 2.0 s; silent") == (Notice.SILENT,)
    assert notices_in("a silent film") == notices_in("") == ()
