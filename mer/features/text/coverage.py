"""How much of a text a backbone reads: tokens that it does not know, and tokens beyond its limit.

Prediction, `mer.data check` and the dry run ask here, so that all three say the same. Loads no weights.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mer.config import TextEncoderConfig
from mer.data import Dialogue, windows
from mer.data.text import normalise
from mer.features.backbone.files import locate
from mer.features.text.turn_tokenizer import TurnTokenizer, readable

EMPTY = "its text is empty"
READS_OTHERS = (
    "a multilingual one: python -m mer.features multilingual backbones/e5-small, then "
    "--set encoders.text.backbone=backbones/e5-small (docs/own_data.md names others)"
)
_WORTH_SAYING = 0.05  # share of a corpus' tokens; MELD has 0.0 % with MiniLM and RoBERTa
_SPACES = ("▁", "Ġ")  # tokens for the space before a word, which share the place of its first character
_NAMES = {"CJK": "Chinese", "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "HANGUL": "Korean"}


@dataclass(frozen=True, slots=True)
class TextCoverage:
    """What a backbone reads of one utterance's own text, without speaker and context.

    Args:
        tokens: of the text.
        unknown: of them, those that the backbone has no entry for; all of these look the same to it.
        fragments: of them, those that are a part of one character (bytes): the backbone has no entry for the character.
        script: what most unknown or fragmented characters are, e.g. 'Chinese' or 'emoji'; '' if there are none.
        cut: the text, with its speaker, is longer than the backbone reads, and loses its beginning.
    """

    tokens: int
    unknown: int
    fragments: int
    script: str
    cut: bool

    @property
    def fault(self) -> str:
        """Why an answer to this text would be an answer from nothing; '' if it would not."""
        if not self.tokens:
            return EMPTY
        if self.unknown < self.tokens:
            return ""
        kind = f" ({self.script})" if self.script else ""
        return f"the backbone knows none of its tokens{kind}"


@dataclass(frozen=True, slots=True)
class CorpusCoverage:
    """What a backbone reads of many texts; the fields count as those of `TextCoverage` do.

    Args:
        backbone: its name.
        texts: all of them.
        empty: texts without a token.
        unread: texts with tokens, of which the backbone knows none.
        cut: texts that are longer than the backbone reads.
        limit: most tokens of an input.
    """

    backbone: str
    texts: int
    empty: int
    unread: int
    cut: int
    limit: int
    tokens: int
    unknown: int
    fragments: int
    script: str

    @property
    def unknown_share(self) -> float:
        """Share of unknown tokens, in [0, 1]."""
        return self.unknown / max(1, self.tokens)

    def words(self) -> list[str]:
        """Say what a user should know before a study, one line each; nothing when all is in order."""
        what, lines = self.script or "these characters", []
        if self.unknown_share >= _WORTH_SAYING:
            lines.append(
                f"{100 * self.unknown_share:.0f} % of tokens are unknown: backbone {self.backbone!r} does not read "
                f"{what}; use {READS_OTHERS}"
            )
        elif (share := self.fragments / max(1, self.tokens)) >= _WORTH_SAYING:
            lines.append(
                f"{100 * share:.0f} % of tokens are parts of single characters: backbone {self.backbone!r} was not "
                f"made for {what}; use {READS_OTHERS}"
            )
        if self.unread:
            kind = f" ({self.script})" if self.script else ""
            lines.append(f"{_texts(self.unread)} no token that backbone {self.backbone!r} knows{kind}")
        if self.empty:
            lines.append(f"{_texts(self.empty)} no words at all")
        if self.cut:
            lines.append(f"{_texts(self.cut)} more tokens than are read ({self.limit}); their beginnings are left out")
        return lines


def corpus_coverage(dialogues: Iterable[Dialogue], config: TextEncoderConfig) -> CorpusCoverage:
    """Count over all utterances what a backbone reads of them, as a configuration uses it.

    Raises: MerError when the backbone is not to be had.
    """
    from mer.features.text.pretrained import turn_tokenizer  # torch and transformers: seconds

    found = locate(config, weights=True)
    tokenizer = turn_tokenizer(found, config)
    return summarise(found.name, tokenizer.limit, coverage_of(list(dialogues), config, tokenizer))


def coverage_of(
    dialogues: Sequence[Dialogue], config: TextEncoderConfig, tokenizer: TurnTokenizer
) -> list[TextCoverage]:
    """Say of every utterance, dialogue after dialogue, what the backbone reads of its own text."""
    context = config.context
    rows = windows(dialogues, past=context.past, future=context.future, speaker=config.speaker)
    texts = [normalise(utterance.text) for dialogue in dialogues for utterance in dialogue.utterances]
    known = {text: _counts(readable(text), tokenizer) for text in dict.fromkeys(texts)}
    return [TextCoverage(*known[text], tokenizer.is_cut(row)) for text, row in zip(texts, rows, strict=True)]


def summarise(backbone: str, limit: int, rows: Sequence[TextCoverage]) -> CorpusCoverage:
    """Add up the coverage of many texts."""
    scripts: Counter[str] = Counter()
    for row in rows:
        scripts[row.script] += row.unknown + row.fragments
    return CorpusCoverage(
        backbone=backbone,
        texts=len(rows),
        empty=sum(not row.tokens for row in rows),
        unread=sum(bool(row.tokens) and row.unknown == row.tokens for row in rows),
        cut=sum(row.cut for row in rows),
        limit=limit,
        tokens=sum(row.tokens for row in rows),
        unknown=sum(row.unknown for row in rows),
        fragments=sum(row.fragments for row in rows),
        script=_commonest(scripts),
    )


def _counts(text: str, tokenizer: TurnTokenizer) -> tuple[int, int, int, str]:
    """Count tokens, unknown tokens and fragments of characters, and name the script of those."""
    ids, spans = tokenizer.spans(text)
    unknown_id = tokenizer.tokenizer.unk_token_id
    is_unknown = [token == unknown_id for token in ids]
    whole = [piece not in _SPACES for piece in tokenizer.tokenizer.convert_ids_to_tokens(ids)]
    shared = Counter(span for span, counts in zip(spans, whole, strict=True) if counts)
    fragments = [
        counts and not unknown and end - start == 1 and shared[start, end] > 1
        for counts, unknown, (start, end) in zip(whole, is_unknown, spans, strict=True)
    ]
    scripts: Counter[str] = Counter()
    for bad, other, (start, end) in zip(is_unknown, fragments, spans, strict=True):
        if bad or other:
            scripts.update(_script(character) for character in text[start:end])
    if scripts["Chinese"] and any(_script(character) == "Japanese" for character in text):
        scripts["Japanese"] += scripts.pop("Chinese")  # Japanese is written with both
    return len(ids), sum(is_unknown), sum(fragments), _commonest(scripts)


def _script(character: str) -> str:
    """Name the script of a letter, 'emoji' for other signs; '' for spaces, digits, punctuation and joiners."""
    kind = unicodedata.category(character)[0]
    if kind == "S":
        return "emoji"
    if kind != "L":
        return ""
    first = unicodedata.name(character, "").split(" ")[0].split("-")[0]
    return _NAMES.get(first, first.title())


def _commonest(scripts: Counter[str]) -> str:
    named = Counter({name: count for name, count in scripts.items() if name and count})
    return named.most_common(1)[0][0] if named else ""


def _texts(count: int) -> str:
    return "1 text has" if count == 1 else f"{count} texts have"
