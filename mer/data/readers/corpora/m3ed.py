"""M3ED (Zhao et al. 2022): dialogues of 56 Chinese TV series, with its official splits by series."""

from __future__ import annotations

from mer.data.readers.derived import cell_of
from mer.data.readers.description import Description
from mer.data.readers.layouts import Tree

_SPLITS = {"train": "train", "dev": "val", "test": "test"}

M3ED = Description(
    name="m3ed",
    title="M3ED (Zhao et al. 2022)",
    layouts=(
        Tree(
            "annotation.json",
            ("show", "dialogue"),
            "Dialog",
            {split: f"splitInfo/movie_list_{name}.txt" for split, name in _SPLITS.items()},
        ),
    ),
    columns={
        "id": "id",
        "dialogue": "dialogue",
        "session": "show",
        "speaker": "{show} {speaker}",
        "label": "EmoAnnotation.final_main_emo",
        "text": "Text",
        "split": "split",
        "audio": "modality_speech/{Speaker}_{id}.wav",
    },
    classes=("Neutral", "Happy", "Sad", "Anger", "Surprise", "Disgust", "Fear"),
    derived={"speaker": cell_of("SpeakerInfo.{Speaker}.Name", "Speaker")},
    is_told=True,
)
