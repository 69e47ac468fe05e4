from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mer.errors import MerError
from mer.features.text.turn_tokenizer import TurnTokenizer

TURNS = ("What do you mean, you lost the keys?", "I know.", "No, I was not there when it happened.", "Okay.")
FAMILIES = ["roberta", "bert", "deberta"]


@dataclass(frozen=True)
class Turns:
    turns: tuple[str, ...]
    target: int
    speaker: str = "Ross"
    id: str = "dev/dia0_utt0"


@cache
def _loaded(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(params=FAMILIES)
def tokenizer(request: pytest.FixtureRequest, backbone: Any) -> Any:
    return _loaded(backbone(request.param))


def _turns(tokenizer: Any, *, limit: int = 64, prompt: bool = False, pooler: Any = "target") -> TurnTokenizer:
    return TurnTokenizer(tokenizer, limit=limit, prompt=prompt, pooler=pooler, name="tiny")


def test_one_turn_gives_what_the_tokenizer_gives(tokenizer: Any) -> None:
    for text in TURNS:
        assert list(_turns(tokenizer).window(Turns((text,), 0)).ids) == tokenizer(text)["input_ids"]


def test_several_turns_read_as_running_text(tokenizer: Any) -> None:
    assert list(_turns(tokenizer).window(Turns(TURNS, 2)).ids) == tokenizer(" ".join(TURNS))["input_ids"]


@pytest.mark.parametrize("target", range(4))
def test_target_span_is_the_targets_characters(tokenizer: Any, target: int) -> None:
    """Independent of how the span is built: the tokenizer's own character offsets in the joined text."""
    item = _turns(tokenizer).window(Turns(TURNS, target))
    first = len(" ".join(TURNS[:target]))  # from the space before it, which byte-level BPE counts to the word
    last = first + (target > 0) + len(TURNS[target])
    offsets = tokenizer(" ".join(TURNS), return_offsets_mapping=True)["offset_mapping"]
    inside = [i for i, (a, b) in enumerate(offsets) if b > a and b > first and a < last]
    assert list(range(item.start, item.end)) == inside


def test_mask_is_there_once_and_is_the_span(tokenizer: Any) -> None:
    turns = Turns((f"He typed {tokenizer.mask_token} into {tokenizer.sep_token} the box", *TURNS), 1)
    item = _turns(tokenizer, limit=256, prompt=True, pooler="mask").window(turns)
    assert item.ids.count(tokenizer.mask_token_id) == 1
    assert item.ids[item.start : item.end] == (tokenizer.mask_token_id,)
    assert item.ids.count(tokenizer.sep_token_id) == 2, "one after the turns, one after the prompt"


@pytest.mark.parametrize("prompt", [False, True])
def test_truncation_is_on_the_left_and_keeps_target_and_mask(tokenizer: Any, prompt: bool) -> None:
    whole = _turns(tokenizer, limit=500, prompt=prompt).window(Turns(TURNS, 3))
    limit = len(whole.ids) - 5
    cut = _turns(tokenizer, limit=limit, prompt=prompt).window(Turns(TURNS, 3))
    assert len(cut.ids) == limit
    assert cut.ids == (whole.ids[0], *whole.ids[6:])
    assert cut.ids[cut.start : cut.end] == whole.ids[whole.start : whole.end]


def test_future_turns_go_before_the_target_does(tokenizer: Any) -> None:
    whole = _turns(tokenizer, limit=500).window(Turns(TURNS, 1))
    target = whole.ids[whole.start : whole.end]
    for limit in range(len(target) + 2, len(whole.ids)):
        item = _turns(tokenizer, limit=limit).window(Turns(TURNS, 1))
        assert len(item.ids) == limit
        assert item.ids[item.start : item.end] == target


def test_a_target_longer_than_the_limit_keeps_its_end(tokenizer: Any) -> None:
    whole = tokenizer(TURNS[0])["input_ids"]
    item = _turns(tokenizer, limit=6).window(Turns((TURNS[0], "Okay."), 0))
    assert list(item.ids) == [whole[0], *whole[-5:]]
    assert (item.start, item.end) == (1, 5)


def test_a_prompt_that_leaves_no_room_is_refused(tokenizer: Any) -> None:
    with pytest.raises(MerError) as caught:
        _turns(tokenizer, limit=8, prompt=True).window(Turns(TURNS, 1, speaker="Joey and Chandler and Phoebe"))
    assert caught.value.where == "utterance dev/dia0_utt0"
    assert "8 tokens leave no room" in caught.value.found
    assert caught.value.then == "raise encoders.text.context.max_tokens"


def test_spans_of_the_other_poolers(tokenizer: Any) -> None:
    window = Turns(TURNS, 2)
    mean = _turns(tokenizer, prompt=True, pooler="mean", limit=256).window(window)
    assert (mean.start, mean.end) == (0, len(mean.ids))
    first = _turns(tokenizer, pooler="first", limit=256).window(window)
    assert (first.start, first.end) == (0, 1)
    empty = _turns(tokenizer).window(Turns(("Okay.", ""), 1))
    assert (empty.start, empty.end) == (0, 1), "an utterance without tokens leaves the first token"


def test_no_mask_token_is_refused(backbone: Any) -> None:
    class NoMask:
        mask_token_id = None

    with pytest.raises(MerError, match="no mask token") as caught:
        _turns(NoMask(), prompt=True, pooler="mask")
    assert "set prompt: false" in caught.value.then
