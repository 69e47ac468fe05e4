"""MELD, EmoryNLP and RAVDESS through the csv reader: the same ids, labels and texts as through their own readers."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from mer.config import AudioEncoderConfig, DataConfig, TextEncoderConfig
from mer.data import Corpus, load_corpus, open_corpus, windows
from mer.data.readers.labels import EMORYNLP_EMOTIONS, MELD_EMOTIONS, RAVDESS_EMOTIONS
from mer.features import ensure_features, load_features

pytestmark = pytest.mark.real
EMORYNLP_COLUMNS = {"dialogue": "s{Season:02d}e{Episode:02d}sc{Scene_ID:02d}", "start": "Start_Time", "end": "End_Time"}


def assert_equal(own: Corpus, theirs: Corpus, splits: tuple[str, ...]) -> None:
    assert own.label_names["emotion"] == theirs.label_names["emotion"]
    for split in splits:
        ours, others = own.utterances(split), theirs.utterances(split)
        assert [u.id for u in ours] == [u.id for u in others]
        assert np.array_equal(own.labels(split, "emotion"), theirs.labels(split, "emotion"))
        read = [windows(c.dialogues(split), past=4, future=0, speaker="name") for c in (own, theirs)]
        assert read[0] == read[1]
        assert [(u.start_s, u.end_s) for u in ours] == [(u.start_s, u.end_s) for u in others]


def as_csv(corpus: Corpus, path: Path, splits: tuple[str, ...]) -> None:
    """Write a corpus of clips as one table with a column of splits."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "actor", "emotion", "text", "split", "start", "end"])
        for split in splits:
            for u in corpus.utterances(split):
                writer.writerow([u.audio, u.speaker, u.emotion, u.text, split, u.start_s, u.end_s])


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
    data = DataConfig(dataset="csv", root=str(tmp_path), labels=EMORYNLP_EMOTIONS, columns=EMORYNLP_COLUMNS)
    assert_equal(open_corpus(data), load_corpus("emorynlp", tmp_path), ("train", "dev"))


def test_ravdess_with_a_column_of_splits(real_data, tmp_path):
    theirs = load_corpus("ravdess", real_data("ravdess"), ("train", "dev"))
    as_csv(theirs, tmp_path / "speech.csv", ("train", "dev"))
    own = open_corpus(DataConfig(dataset="csv", root=str(tmp_path), labels=RAVDESS_EMOTIONS))
    assert_equal(own, theirs, ("train", "dev"))


def assert_same_features(
    configs: list[DataConfig], encoder: TextEncoderConfig | AudioEncoderConfig, cache: Path
) -> None:
    tables = []
    for number, data in enumerate(configs):  # a cache for each: neither may find what the other has written
        done = ensure_features(data, encoder, ["train"], cache=cache / str(number), progress=False)
        tables.append(load_features(done.paths["train"]))
    assert tables[0].ids == tables[1].ids and np.array_equal(tables[0].features, tables[1].features)
    assert np.array_equal(tables[0].labels["emotion"], tables[1].labels["emotion"])
    assert tables[0].label_names["emotion"] == tables[1].label_names["emotion"]


def test_text_features_of_meld_are_bit_equal(real_data, tmp_path):
    shutil.copy(real_data("meld") / "dev_sent_emo.csv", tmp_path / "train_sent_emo.csv")
    configs = [DataConfig(dataset=name, root=str(tmp_path), labels=MELD_EMOTIONS) for name in ("csv", "meld")]
    assert_same_features(configs, TextEncoderConfig(context={"past": 1}, speaker="name"), tmp_path / "features")


def test_text_features_of_emorynlp_are_bit_equal(real_data, tmp_path):
    shutil.copy(real_data("emorynlp") / "emorynlp_dev_final.csv", tmp_path / "emorynlp_train_final.csv")
    own = DataConfig(dataset="csv", root=str(tmp_path), labels=EMORYNLP_EMOTIONS, columns=EMORYNLP_COLUMNS)
    theirs = DataConfig(dataset="emorynlp", root=str(tmp_path))
    assert_same_features([own, theirs], TextEncoderConfig(context={"past": 1}, speaker="name"), tmp_path / "features")


def test_sound_features_of_ravdess_are_bit_equal(real_data, tmp_path):
    corpus = load_corpus("ravdess", real_data("ravdess"), ("train",))
    shutil.copytree(real_data("ravdess"), tmp_path / "own")  # clips lie below the table
    as_csv(corpus, tmp_path / "own/speech.csv", ("train",))
    own = DataConfig(dataset="csv", root=str(tmp_path / "own/speech.csv"), labels=RAVDESS_EMOTIONS)
    theirs = DataConfig(dataset="ravdess", root=str(real_data("ravdess")))
    assert_same_features([own, theirs], AudioEncoderConfig(), tmp_path / "features")
