"""Rows without a label are context: they change no weight and count in no score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from mer.config import TrialConfig
from mer.training import Scores, SplitArrays, TrainingData, build_run
from mer.training.data import FusedSplit, only_labelled

NAMES = ("a", "b", "c")


def rows(count: int, seed: int) -> SplitArrays:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    return SplitArrays(
        tuple(f"t/d{i // 4}_utt{i % 4}" for i in range(count)), rng.normal(size=(count, 1, 8)).astype("f4"), labels
    )


def with_some_unlabelled(split: SplitArrays) -> tuple[SplitArrays, SplitArrays]:
    """The split with rows in between that have no label, and without them."""
    count = len(split)
    place = np.sort(np.random.default_rng(1).choice(count + 5, count, replace=False))
    features = np.full((count + 5, 1, 8), 100.0, dtype="f4")
    labels = np.full(count + 5, -1)
    features[place], labels[place] = split.features_NLD, split.labels_N
    return SplitArrays(tuple(f"t/d{i // 4}_utt{i % 4}" for i in range(count + 5)), features, labels), split


def test_training_and_scores_are_those_of_the_labelled_rows() -> None:
    config = TrialConfig.model_validate({"training": {"epochs": 2}, "optim": {"batch_size": 8}})
    histories = []
    for which in (0, 1):
        train, dev = (with_some_unlabelled(rows(n, s))[which] for n, s in ((30, 0), (12, 3)))
        run = build_run(config, TrainingData(only_labelled(train), dev, NAMES), [0])
        histories.append([{k: v for k, v in run.train_epoch().items() if k[:3] in ("dev", "tra")} for _ in range(2)])
    assert histories[0] == histories[1]


def test_scores_skip_rows_without_a_label() -> None:
    logits = np.random.default_rng(0).normal(size=(6, 3))
    labels = np.array([0, -1, 2, 1, -1, 0])
    some, all_ = Scores(logits, labels, NAMES), Scores(logits[labels >= 0], labels[labels >= 0], NAMES)
    assert some.as_metrics("dev") == all_.as_metrics("dev") and some.per_class() == all_.per_class()


def test_a_model_of_dialogues_reads_them_and_learns_from_the_others() -> None:
    data = {"encoders": {"text": {}, "audio": {}}, "fusion": {"kind": "concat"}, "dialogue": {"kind": "gru"}}
    config = TrialConfig.model_validate({**data, "training": {"epochs": 1}, "optim": {"batch_size": 8}})

    def joined(split: SplitArrays) -> FusedSplit:
        return FusedSplit({"text": split, "audio": split}, dialogue_N=np.arange(len(split)) // 4)

    def trained(scale: float) -> torch.Tensor:
        train, dev = with_some_unlabelled(rows(35, 0))[0], rows(12, 3)
        features = np.where((train.labels_N < 0)[:, None, None], scale, train.features_NLD).astype("f4")
        data = TrainingData(only_labelled(joined(replace(train, features_NLD=features))), joined(dev), NAMES)
        run = build_run(config, data, {"text": [0], "audio": [0]})
        assert np.isfinite(list(run.train_epoch().values())).all()
        return torch.cat([p.detach().flatten() for p in run.model.parameters()])

    assert not torch.equal(trained(0.0), trained(1.0))  # what they say reaches their neighbours


def test_rows_without_a_label_are_in_no_loss_of_a_fusion_that_reads_dialogues() -> None:
    given = {
        "encoders": {"text": {}, "audio": {}}, "dialogue": {"kind": "gru"}, "optim": {"batch_size": 8},
        "head": {"input_dropout": 0.0},
        "fusion": {"kind": "tgmoe", "width": 16, "heads": 2, "dropout": 0.0, "noise": False, "z_weight": 0.1},
    }  # fmt: skip
    config = TrialConfig.model_validate(given)

    def losses(which: int) -> dict[str, float]:
        train, dev = with_some_unlabelled(rows(30, 0))[which], rows(12, 3)
        splits = [FusedSplit({"text": s, "audio": s}, dialogue_N=np.arange(len(s)) // 4) for s in (train, dev)]
        run = build_run(config, TrainingData(only_labelled(splits[0]), splits[1], NAMES), {"text": [0], "audio": [0]})
        run.model.train()
        outputs, labels = run._answer(np.arange(len(train)))
        assert outputs is not None and len(outputs.h_ND) == len(labels) == 30
        _, shown = run.model.auxiliary(labels)
        return {name: round(value.item(), 5) for name, value in shown.items()}

    with_context, alone = losses(0), losses(1)
    assert set(with_context) >= {"loss_router_z", "loss_expert_balance", "gate_entropy"}
    assert with_context == alone
