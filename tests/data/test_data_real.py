"""The real files against the published numbers (methods 7.1, 7.2)."""

from __future__ import annotations

from collections import Counter

import pytest

from mer.data import load_corpus, windows
from mer.data.check.summary import check
from mer.data.readers.labels import SENTIMENT_OF_EMOTION

pytestmark = pytest.mark.real
SPLITS = ("train", "dev", "test")

MELD = {
    #         train dev test
    "utterances": (9989, 1109, 2610),
    "dialogues": (1038, 114, 280),
    "longest_dialogue": (24, 23, 33),
    "speakers": (260, 47, 100),
    "gapped_dialogues": (72, 2, 2),
    "untimed": (0, 0, 1),  # test dia155_utt3 ends when it starts
    "official": (True, True, True),
}
LABELS = {
    "neutral": (4710, 470, 1256),
    "surprise": (1205, 150, 281),
    "fear": (268, 40, 50),
    "sadness": (683, 111, 208),
    "joy": (1743, 163, 402),
    "disgust": (271, 22, 68),
    "anger": (1109, 153, 345),
}
SENTIMENTS = {"neutral": (4710, 470, 1256), "positive": (2334, 233, 521), "negative": (2945, 406, 833)}


@pytest.fixture
def meld(real_data):
    return load_corpus("meld", real_data("meld"), SPLITS)


def test_meld_has_the_published_numbers(meld):
    summaries = check(meld)
    assert [summary.split for summary in summaries] == list(SPLITS)
    for field, expected in MELD.items():
        assert tuple(getattr(summary, field) for summary in summaries) == expected, field
    for task, table in (("emotion", LABELS), ("sentiment", SENTIMENTS)):
        for label, expected in table.items():
            assert tuple(summary.label_counts[task][label] for summary in summaries) == expected, label


def test_melds_sentiment_follows_from_its_emotion_except_for_surprise(meld):
    utterances = [utterance for split in SPLITS for utterance in meld.utterances(split)]
    assert all(u.sentiment == SENTIMENT_OF_EMOTION[u.emotion] for u in utterances if u.emotion != "surprise")
    surprised = Counter(u.sentiment for u in meld.utterances("train") if u.emotion == "surprise")
    assert surprised == {"positive": 591, "negative": 614}
    assert len({u.id for u in utterances}) == 9989 + 1109 + 2610


def test_meld_details(meld):
    train = {u.id: u for u in meld.utterances("train")}
    assert not any(dialogue.id == "train/dia60" for dialogue in meld.dialogues("train"))
    assert train["train/dia437_utt2"].end_s == pytest.approx(407.28)  # written 00:06:47,28
    lengths = [len(dialogue.utterances) for dialogue in meld.dialogues("train")]
    assert (lengths.count(1), sum(length > 9 for length in lengths)) == (70, 487)
    assert "Joey and Chandler" in {u.speaker for split in SPLITS for u in meld.utterances(split)}


@pytest.mark.parametrize("style", ["name", "local"])
def test_meld_windows_are_ascii_quotes_and_stay_in_their_dialogue(meld, style):
    dialogues = meld.dialogues("train")
    made = windows(dialogues, past="all", future=0, speaker=style)
    assert [window.id for window in made] == [u.id for u in meld.utterances("train")]
    assert [len(window.turns) for window in made] == [
        number for dialogue in dialogues for number in range(1, len(dialogue.utterances) + 1)
    ]
    rest = {char for window in made for turn in window.turns for char in turn if ord(char) > 127}
    assert rest == {"é", "ó"}
    if style == "local":
        assert {window.turns[0].split()[0] for window in made} == {"<s1>"}
        assert max(int(window.speaker[2:-1]) for window in made) == 9  # most speakers of a train dialogue


def test_emorynlp_has_the_published_numbers(real_data):
    corpus = load_corpus("emorynlp", real_data("emorynlp"))
    train, dev = check(corpus)
    assert (train.utterances, dev.utterances) == (7551, 954)
    # Counted in the files with a plain csv.DictReader, not with this package.
    assert (train.dialogues, dev.dialogues) == (659, 89)
    assert train.label_counts["emotion"] == {
        "neutral": 2485,
        "joyful": 1677,
        "scared": 941,
        "mad": 785,
        "peaceful": 638,
        "powerful": 551,
        "sad": 474,
    }
    assert dev.label_counts == {
        "emotion": {
            "neutral": 322,
            "joyful": 205,
            "scared": 127,
            "mad": 97,
            "peaceful": 82,
            "powerful": 70,
            "sad": 51,
        }
    }
    joint = [u for u in corpus.utterances("train") if " and " in u.speaker]
    assert len(joint) == 50
