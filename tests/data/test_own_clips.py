"""Folders of clips without a table (case A: CREMA-D)."""

from __future__ import annotations

import pytest

from mer.config import DataConfig
from mer.data import keep_splits, open_corpus
from mer.data.registry import detect_dataset
from mer.errors import MerError


def clips(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def own(root, splits=("train", "dev"), **keys):
    corpus = open_corpus(DataConfig(dataset="csv", root=str(root), **keys), splits)
    keep_splits(corpus)
    return corpus


def test_crema_d_is_read_and_split_by_speaker(tmp_path):
    names = [f"{1001 + n}_DFA_{label}_XX.wav" for n in range(10) for label in ("ANG", "HAP", "SAD")]
    root = clips(tmp_path / "AudioWAV", *names)
    assert detect_dataset(root) == "csv"
    corpus = own(root, ("train", "dev", "test"), split={"dev": 0.2})
    assert corpus.label_names["emotion"] == ("ANG", "HAP", "SAD")
    speakers = [{u.speaker for u in corpus.utterances(split)} for split in corpus.splits]
    assert [len(found) for found in speakers] == [7, 2, 1] and not speakers[0] & speakers[1]
    first = corpus.utterances("train")[0]
    assert first.audio and first.id == f"train/{first.audio.removesuffix('.wav')}_utt0"
    assert (tmp_path / "AudioWAV.splits.json").is_file()


@pytest.mark.parametrize("splits", [True, False])
def test_a_folder_for_each_label(tmp_path, splits):
    places = ("train/", "valid/") if splits else ("",)
    root = clips(tmp_path / "x", *(f"{p}{label}/{n}.MP3" for p in places for label in ("sad", "glad") for n in "ab"))
    corpus = own(root) if splits else own(root, ["train"])
    assert corpus.label_names["emotion"] == ("glad", "sad") and len(corpus.utterances("train")) == 4


@pytest.mark.parametrize("names", [("a.wav", "b.wav"), ("videos/train/dia0_utt0.mp4", "videos/dev/dia0_utt0.mp4")])
def test_names_that_tell_nothing(tmp_path, names):
    root = clips(tmp_path / "x", *names)
    assert detect_dataset(root) == "meld"
    with pytest.raises(MerError, match="tell no labels"):
        own(root, ["train"])
