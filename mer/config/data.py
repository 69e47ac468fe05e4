"""Which utterances, and which of their labels."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mer.config.base import Frozen, Task


class DataConfig(Frozen):
    """Which utterances, and which of their labels."""

    dataset: Literal["meld", "emorynlp", "ravdess"] = Field(
        "meld", description="reader; the sample corpus is MELD-shaped"
    )
    root: str = Field("datasets/MELD", description="folder of the CSV files, relative to where the command is typed")
    label: Task = Field("emotion", description="what is predicted: 7 emotions or 3 sentiments")
