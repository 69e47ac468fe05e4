"""Read what was said in dev, for pages that are asked to show it: the licence of the data decides who may see them."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import ValidationError

from analysis.stores.files import inner
from analysis.stores.study import Study
from mer.config import DataConfig
from mer.errors import MerError


class Turn(NamedTuple):
    """What was said, and by whom ("" where the data do not tell)."""

    speaker: str
    text: str


def dev_texts(study: Study) -> dict[str, Turn]:
    """Return utterance id -> turn of the study's dev split. Raises: MerError when the data are not where they were."""
    from mer.data.registry import open_corpus  # readers of all datasets

    try:
        data = DataConfig.model_validate(inner(study.config(), "data"))
    except ValidationError:
        raise MerError(study.folder, "no trial has kept where its data lie", then="leave --texts out") from None
    corpus = open_corpus(data, ("dev",))
    return {one.id: Turn(one.speaker, one.text) for one in corpus.utterances("dev")}
