"""Refuse models that read dialogues where the data have none, and say which settings then change nothing."""

from __future__ import annotations

from collections.abc import Sequence

from mer.config import TrialConfig
from mer.data import Corpus
from mer.errors import MerError
from mer.study.space.spec import StudySpec

_KIND, _NONE = "dialogue.kind", "none"
_OWN = "csv"  # the reader whose columns have names


def refuse_no_dialogues(spec: StudySpec, corpus: Corpus) -> None:
    """Refuse a dialogue encoder where every row of train is a dialogue of its own. Raises: MerError."""
    found = (drawn.get(_KIND, spec.space.base.get(_KIND, _NONE)) for drawn in spec.space.combinations(_KIND))
    kinds = [kind for kind in dict.fromkeys(found) if kind != _NONE]
    if not kinds or _has_dialogues(corpus):
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
