"""EmoryNLP as declare-lab/MELD publishes it: a dialogue is a scene, a speaker cell is a Python list of names."""

from __future__ import annotations

from mer.data.readers.csv_dataset import Dataset
from mer.data.readers.labels import EMORYNLP_EMOTIONS
from mer.data.tables import Row
from mer.data.tables.row import names_in, shortened
from mer.data.tables.times import interval_s
from mer.data.types import Utterance


def _speaker(row: Row) -> str:
    """Join the names of a cell: "['Joey Tribbiani', 'Ross Geller']" -> "Joey Tribbiani and Ross Geller"."""
    cell = row.text("Speaker")
    names = names_in(cell)
    if names is None:
        raise row.fault(f"Speaker is {shortened(cell)}", "a list of names, such as ['Joey Tribbiani']")
    return " and ".join(names)


def _parse(row: Row, split: str) -> Utterance:
    start_s, end_s = interval_s(row.cells["Start_Time"], row.cells["End_Time"])
    season, episode, scene = (row.integer(column) for column in ("Season", "Episode", "Scene_ID"))
    return Utterance(
        split=split,
        dialogue=f"s{season:02d}e{episode:02d}sc{scene:02d}",
        number=row.integer("Utterance_ID"),
        speaker=_speaker(row),
        text=row.text("Utterance"),
        emotion=row.label("Emotion", EMORYNLP_EMOTIONS),
        sentiment=None,
        start_s=start_s,
        end_s=end_s,
    )


EMORYNLP = Dataset(
    name="emorynlp",
    file_pattern="emorynlp_{split}_final.csv",
    columns=(
        "Utterance",
        "Speaker",
        "Emotion",
        "Scene_ID",
        "Utterance_ID",
        "Season",
        "Episode",
        "Start_Time",
        "End_Time",
    ),
    label_names={"emotion": EMORYNLP_EMOTIONS},
    parse=_parse,
    get="copy data/emorynlp of https://github.com/declare-lab/MELD to {root}",
)
