"""MELD-shaped CSV text to write and to break."""

from __future__ import annotations

import csv
import io
from typing import Any

HEADER = [
    "Sr No.",
    "Utterance",
    "Speaker",
    "Emotion",
    "Sentiment",
    "Dialogue_ID",
    "Utterance_ID",
    "Season",
    "Episode",
    "StartTime",
    "EndTime",
]
DEFAULTS = {
    "Sr No.": 1,
    "Utterance": "Hi.",
    "Speaker": "Adira",
    "Emotion": "neutral",
    "Sentiment": "neutral",
    "Dialogue_ID": 0,
    "Utterance_ID": 0,
    "Season": 1,
    "Episode": 1,
    "StartTime": "00:00:01,000",
    "EndTime": "00:00:02,500",
}


def meld_csv(*rows: dict[str, Any]) -> str:
    """A MELD file as text; a row names only the cells that differ from DEFAULTS."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, HEADER)
    writer.writeheader()
    writer.writerows(DEFAULTS | row for row in rows)
    return text.getvalue()
