"""DailyDialog (Li et al. 2017): written everyday dialogues of two people, with its official splits."""

from __future__ import annotations

from mer.data.readers.description import Description
from mer.data.readers.layouts import Turns

_FOLDERS = {"train": "train", "dev": "validation", "test": "test"}

DAILYDIALOG = Description(
    name="dailydialog",
    title="DailyDialog (Li et al. 2017)",
    layouts=(
        Turns(
            {
                split: (f"{name}/dialogues_{name}.txt", f"{name}/dialogues_emotion_{name}.txt")
                for split, name in _FOLDERS.items()
            },
            "__eou__",
        ),
    ),
    columns={role: role for role in ("split", "dialogue", "turn", "speaker", "text", "label")},
    classes=("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise"),
    called={
        "neutral": ("0",),
        "anger": ("1",),
        "disgust": ("2",),
        "fear": ("3",),
        "happiness": ("4",),
        "sadness": ("5",),
        "surprise": ("6",),
    },
    is_told=True,
)
