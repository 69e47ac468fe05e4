"""Refuse models that read dialogues, or who speaks, where the data have neither; say which settings change nothing."""

from __future__ import annotations

from collections.abc import Sequence

from mer.config import TrialConfig
from mer.data import Corpus
from mer.errors import MerError
from mer.study.space.spec import StudySpec

_KIND, _SPEAKERS, _NONE, _GRAPH = "dialogue.kind", "dialogue.speakers", "none", "graph"
_COLUMN = "data.columns.speaker=COLUMN"
_OWN = "csv"  # the reader whose columns have names


def refuse_no_dialogues(spec: StudySpec, corpus: Corpus) -> None:
    """Refuse a dialogue encoder where every row of train is a dialogue of its own. Raises: MerError."""
    kinds = _searched(spec, _KIND)
    if not kinds:
        return
    if _has_dialogues(corpus):
        _refuse_no_speakers(kinds, spec, corpus)
        return
    column = (
        "; or name the column that tells them: --set data.columns.dialogue=COLUMN" if corpus.dataset == _OWN else ""
    )
    raise MerError(
        _KIND,
        f"the dataset {corpus.name} has no dialogues, every row stands alone: {', '.join(kinds)} would have no other "
        "turn to read",
        allowed=_NONE,
        then=f"--set {_KIND}={_NONE}{column}",
    )


def _refuse_no_speakers(kinds: Sequence[str], spec: StudySpec, corpus: Corpus) -> None:
    """Refuse to read who speaks where no dialogue of train has two speakers: all turns would look alike."""
    reads = {_KIND: [kind for kind in kinds if kind == _GRAPH], _SPEAKERS: _searched(spec, _SPEAKERS)}
    asked = next((key for key, found in reads.items() if found), None)
    speakers = ({turn.speaker for turn in dialogue.utterances} for dialogue in corpus.dialogues("train"))
    if asked is None or any(len(names) > 1 for names in speakers):
        return
    column = f"; or name the column that tells them: --set {_COLUMN}" if corpus.dataset == _OWN else ""
    others = "gru, attention" if asked == _KIND else _NONE
    raise MerError(
        asked,
        f"the dataset {corpus.name} does not say who speaks: no dialogue of train has two speakers, and "
        f"{', '.join(reads[asked])} would learn nothing of them",
        allowed=others,
        then=f"--set {asked}={others.split(',')[0]}{column}",
    )


def _searched(spec: StudySpec, key: str) -> list[str]:
    """List the values but 'none' that a key may have."""
    found = (drawn.get(key, spec.space.base.get(key, _NONE)) for drawn in spec.space.combinations(key))
    return [value for value in dict.fromkeys(found) if value != _NONE]


def idle_windows(configs: Sequence[TrialConfig], corpus: Corpus) -> list[str]:
    """Say where encoders read neighbouring turns that no row has: they cost time and change nothing."""
    contexts = [text.context for config in configs if (text := config.encoders.text) is not None]
    idle = [name for name in ("past", "future") if any(getattr(context, name) for context in contexts)]
    if not idle or _has_dialogues(corpus):
        return []
    options = " ".join(f"--set encoders.text.context.{name}=0" for name in idle)
    return [f"no dialogues: a text encoder finds no other turns to read, whatever the context; {options} saves time"]


def _has_dialogues(corpus: Corpus) -> bool:
    return any(len(dialogue.utterances) > 1 for dialogue in corpus.dialogues("train"))
