"""Published files handed in for prediction are read as their own readers read them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mer.config import DataConfig
from mer.data import load_corpus
from mer.data.inputs import from_table

FILES = {
    "meld": ("dev_sent_emo.csv", ("text", "audio")),
    "emorynlp": ("emorynlp_dev_final.csv", ("text",)),
    "ravdess": ("metadata.csv", ("audio",)),
}


@pytest.mark.real
@pytest.mark.parametrize("dataset", FILES)
def test_a_published_file_is_read_as_its_own_reader_reads_it(dataset: str, real_data: Callable[[str], Path]) -> None:
    root = real_data(dataset)
    name, reads = FILES[dataset]
    corpus = load_corpus(dataset, root, splits=("train", "dev") if dataset == "ravdess" else ("dev",))
    wanted = [utterance for split in corpus.splits for utterance in corpus.utterances(split)]
    inputs = from_table(
        root / name, DataConfig(), class_names=corpus.label_names["emotion"], reads=reads, speaker="Speaker"
    )
    found = dict(zip(range(len(inputs.rows)), zip(inputs.utterances, inputs.labels, strict=True), strict=True))
    if dataset == "ravdess":  # one utterance a dialogue, by actor in the file and by split in the corpus
        by_clip = {utterance.audio: (utterance.text, label) for utterance, label in found.values()}
        assert by_clip == {utterance.audio: (utterance.text, utterance.emotion) for utterance in wanted}
        return
    assert [(u.dialogue, u.number, u.speaker, u.text, label, u.audio) for u, label in found.values()] == [
        (u.dialogue, u.number, u.speaker, u.text, u.emotion, u.audio) for u in wanted
    ]
    assert len(inputs.dialogues) == len(corpus.dialogues("dev"))
