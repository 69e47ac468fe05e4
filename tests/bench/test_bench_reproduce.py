"""Cards of claimed numbers: what they may say, and the verdict in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_protocol import write_corpus

from mer.config import TrialConfig
from mer.errors import MerError
from mer.study.bench.claim import SHIPPED_CARDS, Card, ClaimedProtocol
from mer.study.bench.reproduce import read_card, verdict_of
from mer.study.bench.yaml_models import shipped_names

CARD = """card: tiny
claim: {source: a paper, metric: weighted_f1, value: 60.0, sd: 0.5, runs: 5}
protocol: {dataset: csv, chosen_on: dev, encoders: {text: minilm}}
fixed:
  data: {dataset: csv, root: own}
  encoders: {text: {backbone: minilm}}
  optim: {head_lr: 1e-3}
epochs: 3
seeds: [0, 1]
"""


def card(**claim) -> Card:
    told = {"source": "a paper", "metric": "weighted_f1", "value": 60.0} | claim
    return Card.model_validate({"card": "x", "claim": told, "export": "exports/x"})


def of(values: list[float], *differences: str, **claim):
    return verdict_of(card(**claim), dict(enumerate(values)), differences)


def test_verdicts_in_words():
    near = of([0.598, 0.601, 0.604])
    assert near.finding == "reproduced" and near.says == "reproduced within its interval (± 0.75)"
    low = of([0.55, 0.551, 0.552])
    assert low.finding == "lower" and low.says == "lower by 4.90, outside"
    high = of([0.65, 0.651, 0.652])
    assert high.finding == "higher" and high.says == "higher by 5.10, outside"
    other = of([0.6, 0.6, 0.61], "chosen on test there, dev here")
    assert other.finding == "not comparable"
    assert other.says == "not comparable: other protocol (chosen on test there, dev here)"
    assert of([0.6]).says == "cannot be judged: one seed: no spread can be told from it"


def test_the_spread_of_the_claim_counts():
    values = [0.590, 0.591, 0.592]
    assert of(values).finding == "lower"
    assert of(values, sd=1.5, runs=3).finding == "reproduced"
    assert of(values, sd=0.1, runs=10).finding == "lower"


def test_what_is_printed():
    lines = of([0.59, 0.60, 0.61], sd=0.5, runs=5, table="Table 3").lines
    assert lines == [
        "claimed:    weighted_f1 60 ± 0.5, 5 runs: a paper, Table 3",
        "got:        60.00 ± 1.00, 3 seeds, 95 % over seeds 57.52 to 62.48",
        "by seed:    0: 59.00, 1: 60.00, 2: 61.00",
        lines[3],
        "verdict:    reproduced within its interval (± 2.14)",
    ]
    assert lines[3].startswith("difference: +0.00, 95 % -") and "taken as exact" not in lines[3]
    assert of([0.41, 0.43], metric="ccc", value=0.42).lines[1].startswith("got:        0.4200 ± 0.0141, 2 seeds")


def test_differences_of_the_protocol():
    config = TrialConfig.model_validate({"encoders": {"text": {"backbone": "minilm"}}})
    assert ClaimedProtocol(dataset="meld", label="emotion", folds=1, chosen_on="dev").differences(config) == []
    other = ClaimedProtocol(
        dataset="emorynlp", folds=5, chosen_on="test", encoders={"text": "roberta-large"}, remark="other labels"
    )
    assert other.differences(config) == [
        "dataset emorynlp there, meld here", "folds 5 there, 1 here", "chosen on test there, dev here",
        "text encoder roberta-large there, minilm here", "other labels",
    ]  # fmt: skip
    sound = ClaimedProtocol(encoders={"audio": "melstats"}).differences(config)
    assert sound == ["audio encoder melstats there, none here", "text is read here, and not there"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path / "own")
    return tmp_path


def written(folder: Path, *changes: tuple[str, str]) -> Path:
    text = CARD
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "card.yaml").write_text(text, encoding="utf-8")
    return folder / "card.yaml"


def test_a_card_is_a_study_of_one_trial(folder: Path):
    read, cell = read_card(written(folder), None, 1)
    assert cell is not None and cell.spec.study == "card-tiny" and cell.spec.budget.trials == 1
    assert cell.seeds == (0, 1) and read.own_seeds == (0, 1)
    assert cell.spec.trial_config({}).optim.head_lr == 1e-3
    _, moved = read_card(written(folder), "own/train.csv", None)
    assert moved is not None and moved.data_root == "own/train.csv"


def test_a_card_may_name_a_search_space(folder: Path):
    (folder / "space.yaml").write_text(
        "study: s\ntrainable: text\nbudget: {trials: 9, epochs: 4}\nfixed: {data: {dataset: csv, root: own},\n"
        "  encoders: {text: {backbone: minilm}}}\nparams: {optim.head_lr: {float: [1e-3, 1e-2], log: true}}\n"
    )
    start, end = CARD.index("fixed:"), CARD.index("epochs:")
    path = written(folder, (CARD[start:end], "space: space.yaml\ntrials: 4\n"), ("epochs: 3\n", ""))
    _, cell = read_card(path, None, None)
    assert cell is not None and (cell.spec.study, cell.spec.budget.trials) == ("card-tiny", 4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("value: 60.0", "value: 0.6"), "FILE:2: claim: value: got 0.6; weighted_f1 is written in percent, 60.85"),
        (("weighted_f1", "weighted_f"), "claim: metric: got 'weighted_f'. Did you mean 'weighted_f1'?"),
        (("sd: 0.5", "std: 0.5"), "FILE:2: claim.std: unknown key. Did you mean 'sd'?"),
        (("epochs: 3", "export: exports/x"), "fixed, space, export: give one of the three, got fixed and export"),
        (("head_lr: 1e-3", "head_rl: 1e-3"), "FILE:7: fixed.optim.head_rl: unknown key. Did you mean 'optim.head_lr'?"),
        (("seeds: [0, 1]", "seeds: []"), "FILE:9: seeds: got []"),
    ],
)  # fmt: skip
def test_bad_cards_in_one_message(folder: Path, change: tuple[str, str], words: str):
    path = written(folder, change)
    with pytest.raises(MerError) as caught:
        read_card(path, None, None)
    assert words in str(caught.value).replace(str(path), "FILE")


@pytest.mark.parametrize("name", shipped_names(SHIPPED_CARDS))
def test_shipped_cards_can_be_read(name: str):
    read, cell = read_card(SHIPPED_CARDS / f"{name}.yaml", None, None)
    assert cell is not None and read.card == name and read.own_seeds == (0, 42, 43, 114, 3407)
    differences = read.protocol.differences(cell.spec.trial_config({}))
    assert bool(differences) == (name == "meld_text_roberta"), differences
