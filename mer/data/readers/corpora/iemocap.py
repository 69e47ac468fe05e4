"""IEMOCAP (Busso et al. 2008): five sessions of two actors each, in the distributed folders or the widespread CSV."""

from __future__ import annotations

from dataclasses import replace

from mer.data.readers.derived import held_out
from mer.data.readers.description import Description
from mer.data.readers.layouts import Lines, OneTable

# Ses01F_impro01_F000: session 1, whose woman wears the markers, improvisation 1, her turn 000
_ID = r"(?P<id>(?P<dialogue>Ses0(?P<session>[1-5])[FM]_\w+)_(?P<gender>[FM])\w{3})"
_NUMBER = r"-?\d+(?:\.\d+)?"
_TRANSCRIPTS = Lines("Session*/dialog/transcriptions/Ses*.txt", rf"{_ID}\s*\[[\d.\s-]*\]:?\s*(?P<text>.*)")
_FOLDERS = Lines(
    "Session*/dialog/EmoEvaluation/Ses*.txt",
    rf"\[(?P<start>{_NUMBER}) - (?P<end>{_NUMBER})\]\s+{_ID}\s+(?P<label>\w+)\s+"
    rf"\[(?P<valence>{_NUMBER}), (?P<activation>{_NUMBER}), (?P<dominance>{_NUMBER})\]",
    beside=_TRANSCRIPTS,
    order="start",
)
_CSV = OneTable(("iemocap_full_dataset.csv",), ("emotion", "path"), parsed={"path": _ID})

IEMOCAP = Description(
    name="iemocap",
    title="IEMOCAP (Busso et al. 2008)",
    layouts=(_FOLDERS, _CSV),
    columns={
        "id": "id",
        "dialogue": "dialogue",
        "session": "session",
        "speaker": "Ses0{session}{gender}",
        "label": "label",
        "text": "text",
        "start": "start",
        "end": "end",
        "split": "split",
        "audio": "Session{session}/sentences/wav/{dialogue}/{id}.wav",
    },
    classes=("happy", "sad", "neutral", "angry", "excited", "frustrated"),
    called={
        "happy": ("hap",),
        "sad": ("sad",),
        "neutral": ("neu",),
        "angry": ("ang",),
        "excited": ("exc",),
        "frustrated": ("fru",),
    },
    derived={
        "label": lambda cells: cells.get("label") or cells.get("emotion", ""),
        "split": held_out("session", dev={"4"}, test={"5"}),
    },
    scores={"valence": "valence", "activation": "activation", "dominance": "dominance"},
    is_told=True,
)
IEMOCAP4 = replace(
    IEMOCAP,
    name="iemocap4",
    classes=("happy", "sad", "neutral", "angry"),
    called={"happy": ("hap", "exc"), "sad": ("sad",), "neutral": ("neu",), "angry": ("ang",)},
    is_told=False,
)
