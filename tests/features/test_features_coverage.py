"""How much of a text a backbone reads, as prediction, the check and the dry run say it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mer.config import ContextConfig, TextEncoderConfig
from mer.data.types import Dialogue, Utterance
from mer.features.text.coverage import EMPTY, CorpusCoverage, corpus_coverage, coverage_of
from mer.features.text.pretrained import turn_tokenizer


def spoken(*texts: str) -> list[Dialogue]:
    turns = [Utterance("new", "d", n, "Ross", text, "", None, None, None) for n, text in enumerate(texts)]
    return [Dialogue("new/d", tuple(turns))]


def covered(*texts: str, backbone: object = "minilm", **settings: object) -> CorpusCoverage:
    return corpus_coverage(spoken(*texts), TextEncoderConfig(backbone=str(backbone), **settings))


@pytest.mark.parametrize(
    ("text", "script"),
    [("😂😂😂", "emoji"), ("❤️", "emoji"), ("开难", "Chinese"), ("嬉", "Chinese"), ("สวัสดี", "Thai"), ("ខ្ញុំ", "Khmer")],
)
def test_a_text_of_unknown_tokens_alone_is_named(text: str, script: str) -> None:
    found = covered(text)
    assert (found.unread, found.unknown, found.script) == (1, found.tokens, script)
    first, second = found.words()
    assert first.startswith(f"100 % of tokens are unknown: backbone 'minilm' does not read {script}; use ")
    assert second == f"1 text has no token that backbone 'minilm' knows ({script})"


def test_the_share_counts_tokens_not_texts() -> None:
    found = covered("我今天很开心", "他很难过")
    assert (found.tokens, found.unknown, found.unread) == (10, 7, 1)  # MiniLM's vocabulary has 我, 天, 心
    assert found.words()[0].startswith("70 % of tokens are unknown")


def test_kana_beside_an_unknown_kanji_is_japanese() -> None:
    assert covered("今日はとても嬉しい").script == "Japanese"


def test_letters_that_fall_into_pieces_are_said_for_every_kind_of_tokenizer(backbone: Callable[..., Path]) -> None:
    assert "parts of single characters" in covered("안녕하세요").words()[0]  # WordPiece spells Korean in jamo
    found = covered("我很开心", backbone=backbone("roberta"))  # bytes
    assert (found.unknown, found.fragments, found.script) == (0, 12, "Chinese")
    assert "was not made for Chinese" in found.words()[0]
    assert covered("Oh my God!", backbone=backbone("roberta")).words() == []


@pytest.mark.parametrize("text", ["Oh my God!", "mañana, señor: naïve café", "...", "3.5 %", "“Well—”"])
def test_ordinary_english_has_nothing_to_say(text: str) -> None:
    assert covered(text).words() == []


def test_every_row_says_why_it_is_an_answer_from_nothing() -> None:
    config = TextEncoderConfig(backbone="minilm", speaker="name", context=ContextConfig(past=2))
    from mer.features.backbone.files import locate

    tokenizer = turn_tokenizer(locate(config, weights=True), config)
    rows = coverage_of(spoken("Hi!", "", "\u200b \ufeff", "😂", "Hi 😂"), config, tokenizer)
    known = "the backbone knows none of its tokens (emoji)"  # neither the speaker nor the context makes it known
    assert [row.fault for row in rows] == ["", EMPTY, EMPTY, known, ""]


def test_a_text_over_the_limit_counts_its_speaker_but_not_its_context() -> None:
    short = ContextConfig(past=3, max_tokens=8)
    assert covered("a b c", "a b c", "a b c", context=short).cut == 0
    assert covered("a b c d e f", context=short).cut == 0  # 6 and the two special tokens
    assert covered("a b c d e f g", context=short).cut == 1
    assert covered("a b c d e f", context=short, speaker="name").cut == 1
    line = covered("a b c d e f g", "a", context=short).words()
    assert line == ["1 text has more tokens than are read (8); their beginnings are left out"]
