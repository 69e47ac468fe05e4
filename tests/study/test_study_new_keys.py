"""Each key of folds, of tasks, and of features of others: a bad value is one message that names key and way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from mer.errors import MerError
from mer.study.space.load import load_spec

SPACE = """study: keys
trainable: text
budget: {trials: 1, epochs: 1}
scheduler: {kind: none}
fixed:
  data.dataset: csv
  data.root: own.csv
  encoders.text.backbone: minilm
  KEYS
params:
  optim.head_lr: {float: [1e-4, 1e-2], log: true}
"""
BAD = [
    ("class", "data.task: regresion", "data.task: got 'regresion'"),
    ("class", "data.folds: speekers", "Did you mean 'speaker'?"),
    ("class", "data.folds: 2", "data.folds.k: got 2"),
    ("class", "data.folds: {by: row}", "folds by row need a number: {by: row, k: 5}"),
    ("class", "data.folds: {k: 4, sed: 1}", "unknown key 'sed'. Did you mean 'seed'?"),
    ("class", "data.folds: {k: 4, seed: -1}", "data.folds.seed: got -1"),
    ("class", "data.folds: {k: 4, search_folds: 0}", "data.folds.search_folds: got 0"),
    ("class", "data.folds: {k: 4, mixed_speakers: maybe}", "data.folds.mixed_speakers: got 'maybe'"),
    ("class", "data.targets: [valence]", "data.targets is of data.task regression and multilabel"),
    ("class", "data.range: [1, 5]", "data.range is of data.task regression"),
    ("class", "data.levels: {low: 1}", "data.levels is of data.task regression"),
    ("class", "data.separator: '|'", "data.separator is of data.task multilabel"),
    ("class", "loss.regression.kind: mae", "loss.regression is for data.task 'regression'"),
    ("class", "loss.multilabel.pos_weight_exponent: 0.5", "loss.multilabel is for data.task 'multilabel'"),
    ("regression", "data.targets: valence", "write [valence, arousal], or {valence: COLUMN}"),
    ("regression", "data.targets: [valence, valence]", "the name 'valence' is there twice"),
    ("regression", "data.range: [3, -3]", "the smaller number comes first"),
    ("regression", "data.range: 3", "write two numbers, [-3, 3]"),
    ("regression", "data.levels: {low: none at all}", "write {normal: 1, strong: 2}"),
    ("regression", "loss.regression.kind: mean", "loss.regression.kind: got 'mean'"),
    ("regression", "loss.regression.huber_delta: 0", "loss.regression.huber_delta: got 0"),
    ("regression", "loss.contrastive.kind: supcon", "has no classes: set it to none"),
    ("regression", "training.prediction: nearest_center", "reads classes, and data.task 'regression' has none"),
    ("multilabel", "data.targets: [happy]", "'happy' alone is not several labels"),
    ("multilabel", "data.separator: ''", "data.separator: got ''"),
    ("multilabel", "loss.multilabel.pos_weight_exponent: 2", "loss.multilabel.pos_weight_exponent: got 2"),
    ("class", "encoders.text.max_states: 8", "max_states has no meaning without pooler: none"),
]


@pytest.mark.parametrize(("task", "key", "words"), BAD)
def test_a_bad_value_is_one_message(tmp_path: Path, task: str, key: str, words: str) -> None:
    others = [] if task == "class" else [f"data.task: {task}"]
    text = SPACE.replace("KEYS", "\n  ".join([*others, key]))
    path = tmp_path / "space.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(MerError) as caught:
        load_spec(path)
    said = str(caught.value)
    assert words in said and str(path) in said and "Traceback" not in said
    assert len([line for line in said.splitlines() if line.startswith(str(path))]) == 1, "one fault, one message"
