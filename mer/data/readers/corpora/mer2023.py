"""MER2023 (Lian et al. 2023), and later tables of its form: a list of clips with emotion and valence for each part."""

from __future__ import annotations

from mer.data.readers.description import Description
from mer.data.readers.layouts import Part, PartTables

MER2023 = Description(
    name="mer2023",
    title="MER2023 (Lian et al. 2023)",
    layouts=(
        PartTables(
            (
                Part("train-label.csv", "train", {"folder": "train"}),
                Part("dev-label.csv", "dev", {"folder": "dev"}),
                Part("test1-label.csv", "test", {"folder": "test1"}),
            ),
            ("name", "discrete"),
            beside=("transcription-engchi-polish.csv", "name"),
        ),
    ),
    columns={
        "id": "name",
        "label": "discrete",
        "text": "chinese",
        "split": "split",
        "audio": "{folder}/{name}.mp4",
        "video": "{folder}/{name}.mp4",
    },
    classes=("neutral", "angry", "happy", "sad", "worried", "surprise"),
    scores={"valence": "valence"},
    is_told=True,
)
