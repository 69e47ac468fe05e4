"""Scores of seeds on another corpus: those of what is shared, by the metrics of the task; and how it is read."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mer.config import DataConfig
from mer.data.types import DIALOGUE
from mer.errors import MerError
from mer.study.evaluate.corpus_scores import scores_on
from mer.study.evaluate.label_map import label_map
from mer.study.evaluate.on_corpus import OtherCorpus, data_of
from mer.study.evaluate.report_on_corpus import print_scores
from mer.study.evaluate.target_map import target_map
from mer.training import Scores, SplitArrays
from mer.training.label_scores import MultilabelScores
from mer.training.number_scores import RegressionScores

ROWS, SEEDS = 40, 3
NAN = np.nan


def split_of(labels: np.ndarray) -> SplitArrays:
    ids = tuple(f"test/dia{row // 5}_utt{row % 5}" for row in range(ROWS))
    return SplitArrays(ids, np.zeros((ROWS, 1, 1), dtype=np.float32), labels)


def drawn(width: int) -> list[np.ndarray]:
    return [np.random.default_rng(seed).normal(size=(ROWS, width)) for seed in range(SEEDS)]


def printed(told: dict, task: str) -> str:
    console = Console(file=io.StringIO(), width=200)
    whole = {"trained_on": "a", "on": "b", "split": "test", "seeds": [0, 1, 2], "dev": 0.5, **told}
    print_scores(console, whole, task)  # type: ignore[arg-type]
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_classes_are_scored_among_the_shared_ones():
    labels = np.arange(ROWS) % 4 - 1
    mapped = label_map(("joy", "calm", "anger"), ("happy", "calm", "other"), "{happy: joy}")
    logits, own = drawn(3), DataConfig()
    told = scores_on(logits, split_of(labels), mapped, own, DIALOGUE, split="test")
    true_N = np.where(labels == 2, -1, labels)  # happy and calm are the first two classes; other is none
    direct = [Scores(one[:, :2], true_N, ("joy", "calm")) for one in logits]
    assert told["summary"]["weighted_f1"]["mean"] == pytest.approx(np.mean([one.weighted_f1 for one in direct]))
    free = [Scores(one, true_N, ("joy", "calm", "anger")).accuracy for one in logits]
    assert told["all_classes"]["accuracy"] == pytest.approx(np.mean(free)) and told["majority"]["accuracy"] == 0.5
    assert told["rows"] == {"scored": 20, "of": 40, "left_out": {"other": 10, "": 10}} and told["units"] == 8
    page = printed(told, "class")
    assert "labels: calm, happy as joy; the model chooses among these classes" in page
    assert "always the same class" in page and "classes without a label here: anger" in page


def test_numbers_are_scored_in_the_range_of_the_model():
    rng = np.random.default_rng(9)
    labels = rng.uniform(-1, 1, (ROWS, 2)).astype(np.float32)
    labels[3, 0] = NAN
    own = DataConfig(dataset="csv", task="regression", targets=("score", "power"), range=(-3, 3))
    names, spans = ("polarity", "age"), {"own": (-3.0, 3.0), "other": (-1.0, 1.0)}
    mapped = target_map("regression", ("score", "power"), names, "{polarity: score}", **spans)
    outputs = drawn(2)
    seen_N = np.arange(ROWS) < 10
    told = scores_on(outputs, split_of(labels), mapped, own, DIALOGUE, split="test", seen_N=seen_N)
    true = 3.0 * labels[:, :1].astype(float)
    direct = [RegressionScores(one[:, :1], true, ("score",), (-3.0, 3.0)) for one in outputs]
    for name in ("ccc", "pearson", "mae"):
        assert told["summary"][name]["mean"] == pytest.approx(np.mean([getattr(one, name) for one in direct]))
    assert told["summary"]["acc2_non0"]["mean"] == pytest.approx(
        np.mean([one.accuracies()["acc2_non0"] for one in direct])
    )
    low, high = told["summary"]["mae"]["bootstrap_interval"]
    assert low < told["summary"]["mae"]["mean"] < high and told["mean"]["ccc"] == pytest.approx(0, abs=1e-9)
    assert told["rows"] == {"scored": 39, "of": 40, "left_out": {"age": 40, "": 1}}
    assert told["texts_of_train"]["rows"] == 9 and told["targets"]["unused"] == ["power"]
    page = printed(told, "regression")
    assert "numbers: polarity as score; brought from [-1, 1] to the model's [-3, 3]" in page
    assert "always the mean" in page and "dev CCC on a: 0.5000" in page and "Acc-2 non0" in page


def test_labels_are_scored_at_one_half_and_at_the_thresholds_of_dev():
    labels = (np.random.default_rng(1).random((ROWS, 2)) < 0.4).astype(np.float32)
    labels[0] = NAN
    own = DataConfig(dataset="csv", task="multilabel", targets=("joy", "fear", "rage"))
    mapped = target_map("multilabel", ("joy", "fear", "rage"), ("fear", "joy"), None)
    outputs = drawn(3)
    above = [{"joy": 0.2, "fear": 0.7, "rage": 0.1}] * SEEDS
    told = scores_on(outputs, split_of(labels), mapped, own, DIALOGUE, split="test", above=above)
    direct = [MultilabelScores(one[:, :2], labels[:, ::-1], ("joy", "fear")) for one in outputs]
    assert told["summary"]["macro_f1"]["mean"] == pytest.approx(np.mean([one.macro_f1 for one in direct]))
    moved = [one[:, :2] - np.log([0.25, 7 / 3]) for one in outputs]
    at = [MultilabelScores(one, labels[:, ::-1], ("joy", "fear")).micro_f1 for one in moved]
    assert told["at_threshold"]["mean"]["micro_f1"] == pytest.approx(np.mean(at))
    assert set(told["each"]) == {"joy", "fear"} and "frequent" in told
    page = printed(told, "multilabel")
    assert "at dev's thresholds" in page and "labels of the model that are not here: rage" in page


def test_nothing_to_score_is_refused():
    own = DataConfig(dataset="csv", task="regression", targets=("score",))
    mapped = target_map("regression", ("score",), ("score",), None)
    with pytest.raises(MerError, match="--map: no row of test says a number of the model"):
        scores_on(drawn(1), split_of(np.full((ROWS, 1), NAN)), mapped, own, DIALOGUE, split="test")


# ---- how the other corpus is read


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "new.csv").write_text("text,score,polarity\nHi,1,2\nHo,0,1\n", encoding="utf-8")
    return tmp_path / "new.csv"


OWN = DataConfig(
    dataset="csv", root="own", task="regression", targets=("score",), range=(-3, 3), levels={"none": 0}
)  # fmt: skip


def test_a_table_is_read_as_the_models_own(table: Path):
    found = data_of(OWN, OtherCorpus(table))
    assert (found.task, found.targets, found.range) == ("regression", (("score", "score"),), (-3.0, 3.0))
    assert found.levels == (("none", 0.0),) and found.dataset == "csv"


def test_what_the_user_says_counts_more(table: Path):
    found = data_of(OWN, OtherCorpus(table, overrides=("data.targets={score: polarity}", "data.range=[0, 5]")))
    assert found.targets == (("score", "polarity"),) and found.range == (0.0, 5.0)
    assert data_of(OWN, OtherCorpus(table, overrides=("data.columns.label=polarity",))).targets == ()
    assert data_of(OWN, OtherCorpus(table, overrides=("data.task=class", "data.labels=[a, b]"))).task == "class"


def test_a_described_corpus_says_all_by_itself(table: Path):
    described = table.with_name("theirs.yaml")
    described.write_text("root: new.csv\ntask: regression\ntargets: [polarity]\n", encoding="utf-8")
    found = data_of(OWN, OtherCorpus(described))
    assert found.targets == (("polarity", "polarity"),) and found.range is None
    described.write_text("root: new.csv\n", encoding="utf-8")
    assert data_of(OWN, OtherCorpus(described)).task == "class"


def test_a_model_of_classes_takes_the_usual_task(table: Path):
    assert data_of(DataConfig(), OtherCorpus(table)).task == "class"
