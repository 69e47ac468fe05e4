"""What a readable clip does not hold: typed notices, so that no answer is made of nothing without a word.

The media layer puts them among a clip's notes, or raises them as a MediaFault. Both travel as words, through feature
files and manifests too; `notices_in` finds the notices again:

    for notice in notices_in(prediction_note or fault):   # a row of predict
        row["note"] = notice.value
    counts[Notice.SILENT] += Notice.SILENT in notices_in(clip.words)   # mer.data check
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import numpy as np

SHORTEST_S = 0.1  # s; no syllable is shorter, so nothing can be heard from less
SILENCE = 2 / 32768  # peak to peak, of a full scale of 2: one step of 16 bits to each side, which dither makes
SEPARATOR = "; "  # between the notes of one clip where they are one text


class Notice(StrEnum):
    """A kind of clip from which an answer would be made of nothing; the value is how it is said."""

    NO_SOUND_TRACK = "no sound track"
    NO_SAMPLES = "no samples"
    SILENT = "silent"
    SHORT = f"shorter than {1000 * SHORTEST_S:g} ms"


def sound_notices(samples: np.ndarray, seconds: float) -> tuple[Notice, ...]:
    """Judge decoded sound (S,), S >= 1, float in [-1, 1] or int16, by what is in it and by its length.

    A constant, such as a recorder's offset, is silence too.
    """
    spread = float(samples.max()) - float(samples.min())
    silent = spread <= (SILENCE * 32768 if np.issubdtype(samples.dtype, np.integer) else SILENCE)
    return (*((Notice.SILENT,) if silent else ()), *length_notices(seconds))


def length_notices(seconds: float) -> tuple[Notice, ...]:
    """Judge sound by its length alone, as a header names it."""
    if seconds <= 0:
        return (Notice.NO_SAMPLES,)
    return (Notice.SHORT,) if seconds < SHORTEST_S else ()


def notices_in(words: str | Iterable[str]) -> tuple[Notice, ...]:
    """Find the notices in a clip's fault, in its notes, or in its notes as one text; each once, in the enum's order."""
    said = {part for text in ([words] if isinstance(words, str) else words) for part in text.split(SEPARATOR)}
    return tuple(notice for notice in Notice if notice.value in said)
