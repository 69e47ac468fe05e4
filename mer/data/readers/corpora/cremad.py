"""CREMA-D (Cao et al. 2014): 91 actors say twelve sentences in six emotions."""

from __future__ import annotations

from mer.data.readers.derived import held_out, words_for
from mer.data.readers.description import Description
from mer.data.readers.layouts import FileNames

_SENTENCES = {
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}

CREMAD = Description(
    name="cremad",
    title="CREMA-D (Cao et al. 2014)",
    layouts=(
        FileNames(
            ("AudioWAV/*", "*"),
            r"(?P<speaker>1\d{3})_(?P<sentence>[A-Z]{3})_(?P<label>[A-Z]{3})_(?P<intensity>XX|X|LO|MD|HI)",
            "1001_DFA_ANG_XX.wav",
        ),
    ),
    columns={
        "id": "id",
        "speaker": "speaker",
        "label": "label",
        "text": "text",
        "split": "split",
        "audio": "path",
        "video": "VideoFlash/{id}.flv",
    },
    classes=("neutral", "happy", "sad", "angry", "fearful", "disgust"),
    called={
        "neutral": ("NEU",),
        "happy": ("HAP",),
        "sad": ("SAD",),
        "angry": ("ANG",),
        "fearful": ("FEA",),
        "disgust": ("DIS",),
    },
    derived={
        "text": words_for("sentence", _SENTENCES),
        "split": held_out(
            "speaker", dev=[str(actor) for actor in range(1064, 1078)], test=[str(n) for n in range(1078, 1092)]
        ),
    },
)
