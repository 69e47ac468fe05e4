"""Evaluations and studies, compared in pairs: by seed, by dialogue, by speaker as far as the files tell them."""

from __future__ import annotations

import json

import pytest
from small_evaluation import make_evaluation
from small_study import Ending, make_study

from analysis.comparison_page.pairs import evaluation_verdicts, study_verdicts
from analysis.stores.evaluation import load_evaluation
from analysis.stores.journal import load_study
from mer.statistics import paired_by_seed, paired_by_unit


def test_evaluations_are_paired_by_seed_and_dialogue(tmp_path):
    good = load_evaluation(make_evaluation(tmp_path / "a", strength=2.0, method="good"))
    bad = load_evaluation(make_evaluation(tmp_path / "b", strength=0.3, method="bad"))
    (told,) = evaluation_verdicts([good, bad], ["good", "bad"])
    seeds = paired_by_seed(good.values("weighted_f1"), bad.values("weighted_f1"))
    assert told.difference == pytest.approx(seeds.difference) and told.says.startswith("good is above bad by")
    assert "seeds and dialogues both support it" in told.says
    assert evaluation_verdicts([good], ["good"]) == []


@pytest.mark.parametrize(("of_row", "says"), [
    ("0 1", "seeds and speakers both support it"),
    ("", "results.json does not say the speaker of an utterance, `mer.evaluate --against` pairs them"),
    ("0", "results.json does not say the speaker of an utterance, `mer.evaluate --against` pairs them"),
])  # fmt: skip
def test_evaluations_over_speakers_are_paired_as_far_as_the_file_tells_them(tmp_path, of_row, says):
    found = []
    for name, strength in (("good", 2.0), ("bad", 0.3)):
        path = make_evaluation(tmp_path / name, strength=strength, method=name)
        told = json.loads(path.read_text(encoding="utf-8"))
        rows = told["test_utterances"] // 2 if len(of_row) > 1 else 1
        told |= {"unit": "speaker", "unit_of_row": " ".join([of_row] * rows)}
        path.write_text(json.dumps(told), encoding="utf-8")
        found.append(load_evaluation(path))
    (told,) = evaluation_verdicts(found, ["good", "bad"])
    assert says in told.says


def test_studies_are_paired_by_dialogue(tmp_path):
    one = load_study(
        make_study(tmp_path, [Ending("finished", seed=index) for index in range(4)], name="one"), with_mlflow=False
    )
    two = load_study(make_study(tmp_path, [Ending("finished", seed=9)], name="two"), with_mlflow=False)
    (told,) = study_verdicts([one, two], ["one", "two"])
    ours, theirs = one.predictions(one.best), two.predictions(two.best)
    by_hand = paired_by_unit(
        "weighted_f1", [ours.scores_NC], [theirs.scores_NC], ours.true_N, ours.dialogues, resamples=4000
    )
    assert (told.difference, told.p) == (by_hand.difference, by_hand.p)
