"""Several modalities in one run: learning, masks, resuming, and the order of modalities."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from toy_data import CLASSES, split

from mer.config import TrialConfig
from mer.training import FusedSplit, SplitArrays, TrainingData, TrainingRun

KINDS = [
    "concat", "lmf", "self_attention", "cross_attention", "shifting", "tgmoe", "late", "mean", "tfn", "misa", "moe",
    "self_mm",
]  # fmt: skip
LAYERS = {"text": [0, 2], "audio": [1]}
RATES = {"misa": {"head_lr": 2e-3}, "self_mm": {"head_lr": 3e-2}}  # as many losses as subspaces; three layers to h


def fused(name: str, dialogues: int, absent: float = 0.0) -> FusedSplit:
    text, audio = split(name, dialogues, seed=0), split(name, dialogues, seed=0)
    there = np.random.default_rng(1).random(len(audio)) >= absent
    return FusedSplit({"text": text, "audio": SplitArrays(audio.ids, audio.features_NLD, audio.labels_N, there)})


def run(kind: str, absent: float = 0.3, **optim: Any) -> TrainingRun:
    config = TrialConfig.model_validate({
        "encoders": {"text": {"layers": [0, 2]}, "audio": {"layers": [1]}},
        "fusion": {"kind": kind, "width": 16, "modality_dropout": 0.2},
        "head": {"hidden": 0}, "optim": {"batch_size": 16, "head_lr": 1e-2, **optim}, "training": {"epochs": 6},
    })  # fmt: skip
    return TrainingRun(config, TrainingData(fused("train", 4, absent), fused("dev", 2, absent), CLASSES), LAYERS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_fusion_trains_says_what_each_modality_carries_and_resumes_exactly(kind: str):
    rate = RATES.get(kind, {})
    whole, cut = run(kind, **rate), run(kind, **rate)
    while not whole.finished:
        whole.train_epoch()
    for _ in range(3):
        cut.train_epoch()
    again = run(kind, **rate)
    again.load_state(*cut.state())
    while not again.finished:
        again.train_epoch()
    timeless = [{k: v for k, v in row.items() if k not in ("seconds", "timestamp_ms")} for row in whole.history]
    assert timeless == [{k: v for k, v in row.items() if k not in ("seconds", "timestamp_ms")} for row in again.history]
    loss = "train_loss_classification" if kind == "self_mm" else "train_loss"  # labels that move add a loss of theirs
    assert whole.history[-1][loss] < whole.history[0][loss]
    assert {"dev_weighted_f1_without_text", "dev_weighted_f1_without_audio"} <= whole.history[0].keys()


@pytest.mark.parametrize("kind", KINDS)
def test_a_modality_of_which_no_row_is_there_is_no_obstacle(kind: str):
    trained = run(kind, absent=1.0, **(RATES["self_mm"] if kind == "self_mm" else {}))
    while not trained.finished:
        row = trained.train_epoch()
    assert row["dev_weighted_f1"] == row["dev_weighted_f1_without_audio"] > row["dev_weighted_f1_without_text"]
    assert all(tensor.isfinite().all() for tensor in trained.weights().values())


def test_what_is_absent_does_not_matter():
    trained = run("self_attention")
    trained.train_epoch()
    dev = trained.data.dev
    assert isinstance(dev, FusedSplit)
    audio = dev.parts["audio"]
    assert audio.present_N is not None and not audio.present_N.all()
    other = audio.features_NLD.copy()
    other[~audio.present_N] = 7.0
    changed = FusedSplit({**dev.parts, "audio": replace(audio, features_NLD=other)})
    np.testing.assert_array_equal(trained.predict(changed), trained.predict(dev))
    silent = replace(dev, dropped=frozenset({"text"}))  # rows without both modalities are scored too
    assert np.isfinite(trained.predict(silent)).all() and len(trained.predict(silent)) == len(dev)


def test_modalities_have_one_order_and_the_same_rows():
    parts = fused("dev", 2).parts
    with pytest.raises(ValueError, match="in the order text, audio, video"):
        FusedSplit({"audio": parts["audio"], "text": parts["text"]})
    with pytest.raises(ValueError, match="not of the same utterances"):
        FusedSplit({"text": parts["text"], "audio": split("other", 2)})
