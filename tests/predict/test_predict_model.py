"""An exported model on texts: the same numbers as the feature pipeline, whatever way the text comes in."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

import mer
from mer.config import DataConfig
from mer.data import load_corpus
from mer.data.inputs import from_table, from_texts
from mer.data.types import Dialogue
from mer.errors import MerError
from mer.features import load_features
from mer.predict import score_line
from mer.training.metrics import Scores


@pytest.fixture(scope="module")
def model(exported):
    return mer.load(exported.folder)


@pytest.fixture(scope="module")
def dev_rows(small_study):
    return list(csv.DictReader(small_study.dev_csv.open(newline="", encoding="utf-8")))


def chances(predictions):
    return np.array([list(prediction.probabilities.values()) for prediction in predictions])


def json_lines(folder, rows):
    path = folder / "rows.jsonl"
    said = [{"dialogue": row["Dialogue_ID"], "speaker": row["Speaker"], "text": row["Utterance"]} for row in rows]
    path.write_text("".join(json.dumps(line) + "\n" for line in said), encoding="utf-8")
    return path


def test_the_dev_file_gives_the_cards_scores_exactly(model, small_study):
    inputs = from_table(
        small_study.dev_csv, DataConfig(), class_names=model.class_names, reads=("text",), speaker="Speaker"
    )
    found = model.predict_dialogues(inputs.dialogues)
    run = small_study.runs[0]
    stored = Scores(run.member.best.logits_NC, run.data.dev.labels_N, run.data.class_names)
    assert [p.label for p in found] == [model.class_names[i] for i in stored.predicted_N]
    assert np.abs(chances(found) - np.exp(stored.log_probabilities_NC)).max() < 1e-6
    card = (model.export.folder / "README.md").read_text()
    line = score_line(inputs.labels, found, model.class_names)
    for name, value in (("accuracy", stored.accuracy), ("weighted_f1", stored.weighted_f1)):
        assert f"| dev_{name} | {100 * value:.2f} |" in card
        assert f"{name.replace('_f1', '-F1')} {100 * value:.2f}" in line


def test_live_features_equal_the_cached_ones(model, small_study):
    corpus = load_corpus("meld", small_study.corpus, splits=("dev",))
    live = model.encoders["text"].encode(corpus.dialogues("dev"))
    dev = load_features(next(iter(small_study.plan.files.values()))["dev"])
    assert live.features_NLD.dtype == dev.features.dtype and np.array_equal(live.features_NLD, dev.features)
    assert not live.truncated_N.any()


@pytest.mark.slow
def test_csv_json_lines_and_turns_have_the_same_windows(model, small_study, dev_rows, tmp_path):
    corpus = load_corpus("meld", small_study.corpus, splits=("dev",)).dialogues("dev")
    how = {"class_names": model.class_names, "reads": ("text",), "speaker": "Speaker"}
    table = from_table(small_study.dev_csv, DataConfig(), **how)
    from_lines = from_table(json_lines(tmp_path, dev_rows), DataConfig(), **how)
    spoken = [[(u.speaker, u.text) for u in dialogue.utterances] for dialogue in corpus]
    for inputs in (table, from_lines):
        assert [[(u.speaker, u.text) for u in d.utterances] for d in inputs.dialogues] == spoken
    whole = model.predict_dialogues(table.dialogues)
    assert chances(model.predict_dialogues(from_lines.dialogues)) == pytest.approx(chances(whole))
    one_by_one = [p for turns in spoken for p in model.predict_dialogue(turns)]
    assert chances(one_by_one) == pytest.approx(chances(whole), abs=5e-3)


@pytest.mark.slow
def test_a_row_does_not_depend_on_its_batch(model, small_study):
    dialogues = load_corpus("meld", small_study.corpus, splits=("dev",)).dialogues("dev")
    whole = chances(model.predict_dialogues(dialogues))
    for batch_tokens in (1, 64, 100_000):  # half-precision features round the last bits of another sum
        assert chances(model.predict_dialogues(dialogues, batch_tokens=batch_tokens)) == pytest.approx(whole, abs=5e-3)


def test_context_is_read_and_ends_with_the_dialogue(model):
    turns = [("Ross", "I lost my job."), ("Monica", "Oh no!"), ("Ross", "Yeah.")]
    together, alone = model.predict_dialogue(turns), model.predict_dialogue(turns[2:])
    assert np.abs(chances(together[2:]) - chances(alone)).max() > 1e-3
    assert chances(together[:1]) == pytest.approx(chances(model.predict_dialogue(turns[:1])), abs=5e-3)
    two = [Dialogue("a", ()), *from_texts(["Yeah.", "Yeah."], speaker="Ross").dialogues]
    assert chances(model.predict_dialogues(two)) == pytest.approx(np.repeat(chances(alone), 2, axis=0), abs=5e-3)


def test_probabilities_labels_and_nothing(model):
    found = model.predict(["Oh my God!", "fine"])
    assert chances(found).sum(axis=1) == pytest.approx(1)
    assert all(p.label == max(p.probabilities, key=p.probabilities.get) for p in found)
    assert tuple(found[0].probabilities) == model.class_names
    assert model.predict([]) == [] and model.predict_dialogue([]) == [] and model.predict_dialogues([]) == []
    assert model.logits(np.empty((0, 7, 384), np.float16)).shape == (0, 7)


def test_what_it_refuses(model):
    with pytest.raises(TypeError, match="a list of texts"):
        model.predict("Oh my God!")
    with pytest.raises(MerError, match="text 1: turn 0 is empty"):
        model.predict(["fine", " \n"])
    with pytest.raises(MerError, match=r"features of shape \(2, 3, 384\)"):
        model.logits(np.zeros((2, 3, 384), np.float16))


def test_a_very_long_utterance_is_cut_and_marked(model):
    long, short = model.predict(["word " * 10_000, "word"])
    assert long.truncated and not short.truncated
    context = model.predict_dialogue([("Ross", "word " * 400), ("Monica", "fine")])
    assert [p.truncated for p in context] == [True, False], "lost context is the model's rule, not a loss of the text"
