"""MELD (methods 7.1-7.5). Dialogue ids restart in every split, and utterance ids have gaps.

A joint speaker ("Joey and Ross") stays one name.
"""

from __future__ import annotations

from mer.data.readers.csv_dataset import Dataset
from mer.data.readers.labels import MELD_EMOTIONS, MELD_SENTIMENTS
from mer.data.tables import Row
from mer.data.tables.times import interval_s
from mer.data.types import Utterance
from mer.terminal.commands import command


def meld_clips(split: str, dialogue: str, number: int) -> tuple[str, str]:
    """Return the paths of an utterance's sound and video, relative to the root (methods 7.6)."""
    return f"audios/{split}/{dialogue}_utt{number}.flac", f"videos/{split}/{dialogue}_utt{number}.mp4"


def _parse(row: Row, split: str) -> Utterance:
    start_s, end_s = interval_s(row.cells["StartTime"], row.cells["EndTime"])
    dialogue, number = row.dialogue("Dialogue_ID"), row.integer("Utterance_ID")
    audio, video = meld_clips(split, dialogue, number)
    return Utterance(
        split=split,
        dialogue=dialogue,
        number=number,
        speaker=row.text("Speaker").strip(),
        text=row.text("Utterance"),
        emotion=row.label("Emotion", MELD_EMOTIONS),
        sentiment=row.label("Sentiment", MELD_SENTIMENTS),
        start_s=start_s,
        end_s=end_s,
        audio=audio,
        video=video,
    )


MELD = Dataset(
    name="meld",
    file_pattern="{split}_sent_emo.csv",
    columns=(
        "Utterance",
        "Speaker",
        "Emotion",
        "Sentiment",
        "Dialogue_ID",
        "Utterance_ID",
        "StartTime",
        "EndTime",
    ),
    label_names={"emotion": MELD_EMOTIONS, "sentiment": MELD_SENTIMENTS},
    parse=_parse,
    get=f"`{command('mer.data', 'get', 'meld', '--root')} {{root}}`",
    sha256={
        "train": "d2fa2d6529cf03cac2989efec05c9b27d8fd2f4c8fc5974c7ae88aa537fa02db",
        "dev": "2e89c6f8aa182d6f62f8c6331aece905ac7273ca4999660bfb5213e1d0370c1c",
        "test": "8d37103938f7067600839fe29d5a114a6cd1bcdafb75bec101e06464c5006888",
    },
)
