"""MELD, EmoryNLP and RAVDESS through the csv reader: the same ids, labels and texts as through their own readers."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest

from mer.config import DataConfig, TextEncoderConfig
from mer.data import Corpus, load_corpus, open_corpus, windows
from mer.data.readers.labels import EMORYNLP_EMOTIONS, MELD_EMOTIONS, RAVDESS_EMOTIONS
from mer.features import ensure_features, load_features

pytestmark = pytest.mark.real


def assert_equal(own: Corpus, theirs: Corpus, splits: tuple[str, ...]) -> None:
    assert own.label_names["emotion"] == theirs.label_names["emotion"]
    for split in splits:
        ours, others = own.utterances(split), theirs.utterances(split)
        assert [u.id for u in ours] == [u.id for u in others]
        assert np.array_equal(own.labels(split, "emotion"), theirs.labels(split, "emotion"))
        read = [windows(c.dialogues(split), past=4, future=0, speaker="name") for c in (own, theirs)]
        assert read[0] == read[1]
        assert [(u.start_s, u.end_s) for u in ours] == [(u.start_s, u.end_s) for u in others]


def test_meld(real_data, tmp_path):
    for split in ("train", "dev", "test"):
        shutil.copy(real_data("meld") / f"{split}_sent_emo.csv", tmp_path)
    splits = ("train", "dev", "test")
    own = open_corpus(DataConfig(dataset="csv", root=str(tmp_path), labels=MELD_EMOTIONS), splits)
    theirs = load_corpus("meld", tmp_path, splits)
    assert_equal(own, theirs, splits)
    assert set(own.label_names["sentiment"]) == set(theirs.label_names["sentiment"])


def test_emorynlp(real_data, tmp_path):
    for split in ("train", "dev"):
        shutil.copy(real_data("emorynlp") / f"emorynlp_{split}_final.csv", tmp_path)
    columns = {"dialogue": "s{Season:02d}e{Episode:02d}sc{Scene_ID:02d}", "start": "Start_Time", "end": "End_Time"}
    data = DataConfig(dataset="csv", root=str(tmp_path), labels=EMORYNLP_EMOTIONS, columns=columns)
    assert_equal(open_corpus(data), load_corpus("emorynlp", tmp_path), ("train", "dev"))


def test_ravdess_with_a_column_of_splits(real_data, tmp_path):
    theirs = load_corpus("ravdess", real_data("ravdess"), ("train", "dev"))
    with (tmp_path / "speech.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "actor", "emotion", "text", "split", "start", "end"])
        for split in ("train", "dev"):
            for u in theirs.utterances(split):
                writer.writerow([u.audio, u.speaker, u.emotion, u.text, split, u.start_s, u.end_s])
    own = open_corpus(DataConfig(dataset="csv", root=str(tmp_path), labels=RAVDESS_EMOTIONS))
    assert_equal(own, theirs, ("train", "dev"))


def test_text_features_are_bit_equal(real_data, tmp_path):
    shutil.copy(real_data("meld") / "dev_sent_emo.csv", tmp_path / "train_sent_emo.csv")
    tables = []
    for dataset in ("csv", "meld"):
        data = DataConfig(dataset=dataset, root=str(tmp_path), labels=MELD_EMOTIONS)
        encoder = TextEncoderConfig(context={"past": 1}, speaker="name")
        done = ensure_features(data, encoder, ["train"], cache=tmp_path / "features", progress=False)
        tables.append(load_features(done.paths["train"]))
    assert tables[0].ids == tables[1].ids and np.array_equal(tables[0].features, tables[1].features)
    assert np.array_equal(tables[0].labels["emotion"], tables[1].labels["emotion"])
    assert tables[0].label_names["emotion"] == tables[1].label_names["emotion"]
