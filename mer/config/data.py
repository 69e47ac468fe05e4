"""Dataset, folder and label of a trial."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mer.config.base import Frozen, Task


class DataConfig(Frozen):
    """The utterances that a trial reads, and the label that it predicts."""

    dataset: Literal["meld", "emorynlp", "ravdess"] = Field(
        "meld", description="which reader reads the folder; the sample corpus is read as meld"
    )
    root: str = Field(
        "datasets/MELD", description="folder of the data; a relative path starts where the command is typed"
    )
    label: Task = Field(
        "emotion", description="label to predict: MELD has 7 emotions and 3 sentiments, other datasets emotions only"
    )
