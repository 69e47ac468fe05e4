"""The generated corpus: same bytes for a seed, MELD's shape, learnable in part, and a plan that modalities share."""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from meld_files import HEADER
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import f1_score
from sklearn.naive_bayes import MultinomialNB

from mer.data import load_corpus
from mer.data.readers.labels import SENTIMENT_OF_EMOTION
from mer.data.sample import plan as sample_plan
from mer.data.sample.corpus import write_sample
from mer.data.sample.plan import EMOTION_SHARES, MODALITIES, SHOWN, generator, plan
from mer.data.sample.text import LINES, words
from mer.errors import MerError

SMALL = {"train": 6, "dev": 3}


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_sample(tmp_path / name, dialogues_per_split=SMALL, seed=seed)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert (tmp_path / "a/train_sent_emo.csv").read_bytes() != (tmp_path / "c/train_sent_emo.csv").read_bytes()


def test_bytes_are_pinned_so_that_other_machines_and_versions_make_the_same(tmp_path):
    """A deliberate change of the corpus raises SAMPLE_VERSION and pins the new hash here."""
    write_sample(tmp_path)
    pinned = "e8bc39d6a1b7be2719f543407d55c55524df21093de2299f4e61fa8fa82897f5"
    assert hashlib.sha256((tmp_path / "train_sent_emo.csv").read_bytes()).hexdigest() == pinned


def test_a_dialogue_does_not_depend_on_how_many_there_are(tmp_path):
    write_sample(tmp_path / "few", dialogues_per_split={"train": 3})
    write_sample(tmp_path / "many", dialogues_per_split={"train": 9, "test": 2})
    few = (tmp_path / "few/train_sent_emo.csv").read_bytes()
    assert (tmp_path / "many/train_sent_emo.csv").read_bytes().startswith(few)


def test_default_corpus_has_melds_shape_and_reads_as_meld(tmp_path):
    write_sample(tmp_path)
    assert sorted(contents(tmp_path)) == [
        "LICENSE",
        "README.md",
        "dev_sent_emo.csv",
        "sample.json",
        "test_sent_emo.csv",
        "train_sent_emo.csv",
    ]
    with (tmp_path / "train_sent_emo.csv").open(newline="", encoding="utf-8") as stream:
        assert next(csv.reader(stream)) == HEADER
    corpus = load_corpus("meld", tmp_path, ["train", "dev", "test"])
    assert {split: len(dialogues) for split, dialogues in corpus.splits.items()} == {
        "train": 120,
        "dev": 40,
        "test": 40,
    }
    for split in corpus.splits:
        for dialogue in corpus.dialogues(split):
            assert 4 <= len(dialogue.utterances) <= 9
            assert [u.number for u in dialogue.utterances] == list(range(len(dialogue.utterances)))
            times = [time for u in dialogue.utterances for time in (u.start_s, u.end_s)]
            assert None not in times and times == sorted(times)
        assert set(corpus.labels(split, "emotion")) == set(range(7))
        assert all(u.sentiment == SENTIMENT_OF_EMOTION.get(u.emotion, u.sentiment) for u in corpus.utterances(split))
    surprised = Counter(u.sentiment for u in corpus.utterances("train") if u.emotion == "surprise")
    assert set(surprised) == {"positive", "negative"} and min(surprised.values()) > 0.3 * surprised.total()
    train, dev = ({u.text for u in corpus.utterances(split)} for split in ("train", "dev"))
    assert len(train & dev) < 0.15 * len(dev)


def test_shares_and_showing_are_as_stated():
    utterances = list(plan(0, {"train": 3000}))
    counts = Counter(u.emotion for u in utterances)
    assert sum(EMOTION_SHARES.values()) == pytest.approx(1.0)
    for emotion, share in EMOTION_SHARES.items():
        assert counts[emotion] / len(utterances) == pytest.approx(share, abs=0.02)
    shown = np.array([[modality in u.shows for modality in MODALITIES] for u in utterances], dtype=float)
    assert shown.mean(axis=0) == pytest.approx(SHOWN, abs=0.02)
    correlation = np.corrcoef(shown.T) - np.eye(len(MODALITIES))
    assert np.abs(correlation).max() < 0.04  # independent: 0 +- 0.007 (1 sd)


def test_another_modality_changes_no_other_draw(monkeypatch):
    before = list(plan(5, {"train": 20}))
    monkeypatch.setattr(sample_plan, "MODALITIES", ("smell", *MODALITIES))
    after = list(plan(5, {"train": 20}))
    assert any("smell" in u.shows for u in after)
    assert [replace(u, shows=u.shows - {"smell"}) for u in after] == before


def _emotions_of(text: str) -> set[str]:
    """The emotions with a line that could have become this text."""
    slot = re.compile(r"\\{\w+\\}")
    plain = text.replace("’", "'").lower()
    return {
        emotion
        for emotion, lines in LINES.items()
        for line in lines
        if re.fullmatch(r"(\w+( \w+)?, )?" + slot.sub(".+", re.escape(line.lower())), plain)
    }


def test_text_shows_its_emotion_or_is_a_neutral_line():
    for utterance in plan(0, {"train": 30}):
        text = words(utterance, generator(0, "train", utterance.dialogue, f"words {utterance.number}"))
        assert _emotions_of(text) == {utterance.emotion if "text" in utterance.shows else "neutral"}, text


def test_text_does_not_look_at_the_other_modalities():
    for utterance in plan(0, {"train": 5}):
        alone, together = (replace(utterance, shows=frozenset(shown)) for shown in (("text",), MODALITIES))
        said = [words(version, generator(0, "train", 0, "words")) for version in (alone, together)]
        assert said[0] == said[1]


def test_words_tell_much_but_not_all(tmp_path):
    """A bag-of-words model beats the majority by far and cannot beat an oracle that reads which lines show."""
    write_sample(tmp_path)
    corpus = load_corpus("meld", tmp_path)
    texts = {split: [u.text for u in corpus.utterances(split)] for split in corpus.splits}
    labels = {split: corpus.labels(split, "emotion") for split in corpus.splits}
    vectors = CountVectorizer(ngram_range=(1, 2)).fit(texts["train"])
    model = MultinomialNB(alpha=0.1).fit(vectors.transform(texts["train"]), labels["train"])
    score = f1_score(labels["dev"], model.predict(vectors.transform(texts["dev"])), average="weighted")
    majority = f1_score(labels["dev"], np.zeros_like(labels["dev"]), average="weighted")
    assert majority < 0.25
    assert 0.55 < score < 0.80


def test_its_own_folder_is_written_again_and_stale_splits_go(tmp_path):
    write_sample(tmp_path, dialogues_per_split={**SMALL, "test": 2}, seed=3)
    write_sample(tmp_path, dialogues_per_split=SMALL, seed=4)
    write_sample(tmp_path / "fresh", dialogues_per_split=SMALL, seed=4)
    assert (
        contents(tmp_path / "fresh").items()
        <= {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}.items()
    )
    assert not (tmp_path / "test_sent_emo.csv").exists()


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(MerError) as caught:
        write_sample(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: the folder holds files that are not a sample corpus: thesis.tex\n"
        "  allowed: nothing is overwritten\n"
        "  next: choose a new or an empty folder"
    )
    assert contents(tmp_path) == {"thesis.tex": b"years of work"}


def test_a_file_and_impossible_sizes_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MerError, match="file: this is a file\n  allowed: a folder"):
        write_sample(tmp_path / "file")
    with pytest.raises(MerError, match="dialogues_per_split: unknown split 'val'"):
        write_sample(tmp_path / "new", dialogues_per_split={"val": 3})
    with pytest.raises(MerError, match=r"dialogues_per_split\.dev: 0 dialogues\n  allowed: 1 or more"):
        write_sample(tmp_path / "new", dialogues_per_split={"dev": 0})
    assert not (tmp_path / "new").exists()
