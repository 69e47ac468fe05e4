"""A window of dialogue turns becomes token ids, with the span that the pooler averages (methods 6.2, 7.7).

    [CLS] turn turn ... target ... turn [SEP]                                 without prompt
    [CLS] turn turn ... target ... turn [SEP] Now {speaker} feels <mask> [SEP]  with prompt

Every turn is tokenised by itself, so the places of the target and of the mask are known and need no search. Each turn
but the first gets a leading space, as inside running text. A single turn gives exactly the tokenizer's own ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from mer.errors import MerError

PREPROCESSING_VERSION = 1  # raise it whenever the same window would give other ids or another span
PROMPT = "Now {speaker} feels"  # followed by the mask; part of the key as words
Pooler = Literal["mean", "target", "mask", "first", "last", "none"]
LONGEST_TEXT = 2**18  # characters; a cell of a table has half as many at most


def readable(text: str) -> str:
    """Return a text, or beginning and end of one that is longer than any tokenizer should be given."""
    half = LONGEST_TEXT // 2
    return text if len(text) <= LONGEST_TEXT else f"{text[:half]} {text[-half:]}"


class TurnWindow(Protocol):
    """The part of `mer.data.Window` that the tokenizer reads."""

    @property
    def id(self) -> str: ...
    @property
    def turns(self) -> tuple[str, ...]: ...
    @property
    def target(self) -> int: ...
    @property
    def speaker(self) -> str: ...


@dataclass(frozen=True)
class TokenInput:
    """The ids of one input, and the span [start, end) of the tokens whose hidden states are averaged, or kept."""

    ids: tuple[int, ...]
    start: int
    end: int


class TurnTokenizer:
    """Turns windows into ids.

    Args:
        tokenizer: a Hugging Face tokenizer.
        limit: most tokens of an input, specials and prompt included.
        prompt: whether the prompt with its mask is appended.
        pooler: which span is averaged; none: kept, the target's own.
        name: the backbone's, for messages.
    Raises: MerError when a mask is needed and the tokenizer has none.
    """

    def __init__(self, tokenizer: Any, *, limit: int, prompt: bool, pooler: Pooler, name: str) -> None:
        self.tokenizer, self.limit, self.prompt, self.pooler, self.name = tokenizer, limit, prompt, pooler, name
        if (prompt or pooler == "mask") and tokenizer.mask_token_id is None:
            raise MerError(
                f"backbone {name!r}",
                "its tokenizer has no mask token, which the prompt ends with",
                allowed="prompt: true and pooler: mask with masked language models only (BERT, RoBERTa, DeBERTa ...)",
                then="set prompt: false and pooler: mean, or choose another backbone",
            )
        self.before, self.after = self._specials()
        self._marks = [token for token in tokenizer.all_special_tokens if token != tokenizer.unk_token]
        self._forbidden = set(tokenizer.convert_tokens_to_ids(self._marks))
        self._known: dict[str, tuple[int, ...]] = {}

    def window(self, window: TurnWindow) -> TokenInput:
        """Tokenise a window and cut it to the limit: first the past, then the future, then the target's beginning.

        Raises: MerError when the prompt alone does not fit.
        """
        turns = [self._ids(text if i == 0 or not text else f" {text}") for i, text in enumerate(window.turns)]
        start = sum(len(turn) for turn in turns[: window.target])
        end = start + len(turns[window.target])
        body = [token for turn in turns for token in turn]

        tail = self._tail(window)
        room = self.limit - len(self.before) - len(tail)
        if room < 1:
            raise MerError(
                f"utterance {window.id}",
                f"{self.limit} tokens leave no room for the text beside the prompt ({len(tail)} tokens)",
                then="raise encoders.text.context.max_tokens",
            )
        body, start, end = _cut(body, start, end, room)
        ids = (*self.before, *body, *tail) or self._nothing()
        shift = len(self.before)
        if self.pooler in ("target", "none") and end > start:
            return TokenInput(ids, start + shift, end + shift)
        if self.pooler == "mask":
            mask = len(ids) - len(self.after) - 1
            return TokenInput(ids, mask, mask + 1)
        if self.pooler == "last":
            return TokenInput(ids, len(ids) - 1, len(ids))
        # A target without tokens (an empty utterance) leaves the first token, the one that stands for the input.
        return TokenInput(ids, 0, len(ids) if self.pooler == "mean" else 1)

    def is_cut(self, window: TurnWindow) -> bool:
        """True when the target alone, as it is rendered, has more tokens than fit; lost context does not count."""
        text = window.turns[window.target]
        needed = len(self.before) + len(self._ids(text)) + len(self._tail(window))
        return needed > self.limit or len(text) > LONGEST_TEXT

    def spans(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the ids of a text alone, and the characters [start, end) that each stands for.

        A tokenizer written in Python knows no places: each of its tokens is then said to stand for the whole text.
        """
        options = {"add_special_tokens": False, "split_special_tokens": True}
        if not self.tokenizer.is_fast:
            ids = list(self.tokenizer(text, **options)["input_ids"])
            return ids, [(0, len(text))] * len(ids)
        found = self.tokenizer(text, return_offsets_mapping=True, **options)
        return list(found["input_ids"]), [(int(start), int(end)) for start, end in found["offset_mapping"]]

    def word(self, text: str) -> TokenInput:
        """Tokenise a label word; all tokens are averaged, specials included (methods 2.4)."""
        ids = (*self.before, *self._ids(text)[: self.limit - len(self.before) - len(self.after)], *self.after)
        ids = ids or self._nothing()
        return TokenInput(ids, 0, len(ids))

    def _nothing(self) -> tuple[int, ...]:
        """Return the token that stands for an empty input, of a tokenizer that puts none around a text."""
        marks = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, self.tokenizer.unk_token_id)
        return (next((mark for mark in marks if mark is not None), 0),)

    def _tail(self, window: TurnWindow) -> list[int]:
        """Return the ids after the turns: the prompt, where there is one, and the special tokens."""
        tail = list(self.after)
        if self.prompt:
            prompt = self._ids(PROMPT.format(speaker=window.speaker))
            tail += [*prompt, self.tokenizer.mask_token_id, *self.after]
        return tail

    def _ids(self, text: str) -> tuple[int, ...]:
        key = text = readable(text)
        if key not in self._known:
            ids = self._tokenise(text)
            if self._forbidden.intersection(ids):  # some vocabularies hold '<mask>' as an ordinary piece too
                for token in self._marks:
                    text = text.replace(token, f"{token[0]} {token[1:]}")
                ids = self._tokenise(text)
            self._known[key] = tuple(ids)
        return self._known[key]

    def _tokenise(self, text: str) -> list[int]:
        # split_special_tokens: '<mask>' typed in an utterance is text, not a second mask.
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    def _specials(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Find the ids that the tokenizer puts before and after a text, by an example, since families differ."""
        plain = self.tokenizer("a", add_special_tokens=False)["input_ids"]
        full = self.tokenizer("a")["input_ids"]
        for at in range(len(full) - len(plain) + 1):
            if full[at : at + len(plain)] == plain:
                return tuple(full[:at]), tuple(full[at + len(plain) :])
        raise MerError(f"backbone {self.name!r}", "its tokenizer changes a text when it adds special tokens")


def _cut(body: list[int], start: int, end: int, room: int) -> tuple[list[int], int, int]:
    """Cut `body` to `room` tokens, first from the left, then from the far right, and keep the target [start, end)."""
    dropped = min(max(0, len(body) - room), start)
    body, start, end = body[dropped:], start - dropped, end - dropped
    if len(body) > room and end <= room:
        return body[:room], start, end  # all of the past is gone and the target fits: the far future goes
    if len(body) > room:
        body = body[:end][-room:]  # the target alone is too long: its end stays
        return body, 0, len(body)
    return body, start, end
