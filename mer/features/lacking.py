"""Refuse an encoder of what the data do not have: texts, sound, pictures."""

from __future__ import annotations

from mer.data import Corpus
from mer.errors import MerError
from mer.terminal.commands import command

_SPACES = {"text": "search_spaces/ce.yaml", "audio": "search_spaces/audio.yaml", "video": "search_spaces/video.yaml"}
OWN = "csv"  # the reader whose columns have names


def lacking(modality: str, corpus: Corpus, split: str) -> MerError:
    """Word the refusal of a modality that no utterance of a split has."""
    has = [name for name in _SPACES if _has(name, corpus, split)]
    what = "texts" if modality == "text" else f"{modality} clips"
    ways = [f"name its column, --set data.columns.{modality}=COLUMN"] if corpus.dataset == OWN else []
    ways += [f"read the {name}, {command('mer.tune', _SPACES[name])}" for name in has]
    ways.append(f"leave encoders.{modality} out of the search space, or choose another data.root")
    return MerError(
        f"encoders.{modality}",
        f"the dataset {corpus.name} has no {what}",
        allowed=f"encoders of what it has: {', '.join(has) or 'nothing'}",
        then="; or ".join(ways),
    )


def refuse_no_text(corpus: Corpus, split: str) -> None:
    """Refuse a text encoder where not one utterance of a split has a word. Raises: MerError."""
    if not _has("text", corpus, split):
        raise lacking("text", corpus, split)


def _has(modality: str, corpus: Corpus, split: str) -> bool:
    utterances = corpus.utterances(split)
    if modality == "text":
        return any(utterance.text.strip() for utterance in utterances)
    return any(any(utterance.clip_names(modality)) for utterance in utterances)
