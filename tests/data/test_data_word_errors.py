"""Word errors of a recogniser: which words count, how many are wrong, their rate over a split."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from meld_files import meld_csv
from transcribe_lab import root, run

from mer.data.transcribe.word_errors import word_errors, words

__all__ = ["root", "run"]


def test_words_are_counted_without_case_and_punctuation():
    assert words("Don’t -- I'm WELL-known; 10 % of them, señor_!") == [
        *("dont", "im", "well", "known", "10", "of", "them", "señor")
    ]


@pytest.mark.parametrize(
    ("gold", "heard", "errors"),
    [
        ("the cat sat on the mat", "the cat sat on the mat", 0),
        ("the cat sat on the mat", "a cat sat the mat now", 3),  # one substituted, one deleted, one inserted
        ("a b c", "", 3),
        ("", "a b", 2),
        ("a b c d", "b c d a", 2),
    ],
)
def test_word_errors(gold, heard, errors):
    assert word_errors(gold.split(), heard.split()) == errors


def test_word_errors_are_the_literal_edit_distance():
    @functools.cache
    def distance(gold, heard):
        if not gold or not heard:
            return len(gold) + len(heard)
        kept = distance(gold[1:], heard[1:]) + (gold[0] != heard[0])
        return min(kept, distance(gold[1:], heard) + 1, distance(gold, heard[1:]) + 1)

    rng = np.random.default_rng(0)
    for _ in range(300):
        gold, heard = (tuple(rng.choice(["a", "ab", "señor", "10"], rng.integers(0, 9))) for _ in range(2))
        assert word_errors(gold, heard) == distance(gold, heard), (gold, heard)


def test_word_error_rate_pools_the_words_of_a_split(run, root):
    (root / "train_sent_emo.csv").write_text(
        meld_csv(
            {"Utterance": "Heard three!"},  # heard "heard 3": one of two
            {"Utterance": "I HEARD 4, too.", "Utterance_ID": 1},  # two deleted of four
            {"Utterance": "?!", "Utterance_ID": 3},  # no words to get wrong
            {"Utterance": "No clip at all.", "Utterance_ID": 9},  # not the recogniser's fault
        )
    )
    tally = run()["train"]
    assert (tally.errors, tally.gold_words, tally.word_error_rate) == (3, 6, 0.5)
    assert "word error rate 50.00% of 6 words" in str(tally)


def test_chinese_characters_are_counted_one_by_one():
    assert words("你好，世界！ OK 3号") == ["你", "好", "世", "界", "ok", "3", "号"]
    assert word_errors(words("今天天气很好"), words("今天天汽很好")) == 1
    assert words("ありがとう") == list("ありがとう") and words("안녕 세상") == ["안녕", "세상"]
