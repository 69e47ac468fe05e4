"""Rows whose clip could not be read: never trained on, always scored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from toy_data import CLASSES, SUPPORT, VARIANTS, loss, outcome, read_only, split, told, toy_config, toy_data

from mer.errors import MerError
from mer.features import select_layers
from mer.training import Scores, SplitArrays, TrainingData, TrainingRun

WITHOUT_WORDS = [name for name in VARIANTS if "eacl" not in name and "label-text" not in name]
GARBAGE = {"zeros": 0.0, "huge": 60000.0, "nan": np.nan}


def sprinkled(arrays: SplitArrays, value: float, every: int = 3) -> SplitArrays:
    """The same rows with a masked one in front of each third, of wrong label and with worthless features."""
    total = len(arrays) + len(arrays) // every
    present = np.ones(total, dtype=bool)
    present[:: every + 1] = False
    assert present.sum() == len(arrays)
    features = np.full((total, *arrays.features_NLD.shape[1:]), value, arrays.features_NLD.dtype)
    features[present] = arrays.features_NLD
    labels = np.zeros(total, dtype=np.int64)
    labels[present] = arrays.labels_N
    ids = np.array([f"masked {row}" for row in range(total)], dtype=object)
    ids[present] = arrays.ids
    return read_only(SplitArrays(tuple(ids), features, labels, present))


def run_of(data: TrainingData, **dotted: Any) -> TrainingRun:
    return TrainingRun(toy_config(**dotted), data, [0, 2])


def trained(data: TrainingData, **dotted: Any) -> TrainingRun:
    run = run_of(data, **dotted)
    while not run.finished:
        run.train_epoch()
    return run


@pytest.fixture(scope="module")
def whole() -> TrainingData:
    """Rows that a chunk holds one way with masked rows among them and another way without."""
    return replace(toy_data(), train=split("train", 12), label_text_CLD=None)


@pytest.mark.parametrize(
    ("name", "garbage"), [(name, "nan") for name in WITHOUT_WORDS] + [("none", "huge"), ("spcl", "zeros")]
)
def test_masked_training_rows_leave_no_trace(name: str, garbage: str, whole: TrainingData) -> None:
    """Every weight, every optimiser moment, every reported number: bit for bit."""
    masked = replace(whole, train=sprinkled(whole.train, GARBAGE[garbage]))
    assert outcome(trained(masked, **VARIANTS[name])) == outcome(trained(whole, **VARIANTS[name]))


def test_an_epoch_visits_the_present_rows_once(whole: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    masked = replace(whole, train=sprinkled(whole.train, 0.0))
    run, seen = run_of(masked), []
    step = run._step
    monkeypatch.setattr(run, "_step", lambda rows_B: (seen.extend(rows_B.tolist()), step(rows_B))[1])
    run.train_epoch()
    assert sorted(seen) == np.flatnonzero(masked.train.present_N).tolist()
    assert run.total_steps == 3 * -(-len(whole.train) // 8), "the schedule counts rows that are there"


def test_input_norm_and_class_counts_come_from_present_rows(whole: TrainingData) -> None:
    masked = replace(whole, train=sprinkled(whole.train, 500.0))
    weighted = {"loss__classification__class_weight": "power", "loss__classification__logit_adjustment": 1.0}
    plain, other = run_of(whole, **weighted), run_of(masked, **weighted)
    for name, tensor in plain.weights().items():
        assert torch.equal(tensor, other.weights()[name]), name
    x_NLD = whole.train.features_NLD[:, [0, 2]].astype(np.float64)
    np.testing.assert_allclose(other.model.input_norm.mean_LD, x_NLD.mean(axis=0), atol=1e-5)


@pytest.mark.parametrize(
    ("norm", "mix", "garbage"),
    [("standardize", "concat", "nan"), ("standardize", "mean", "zeros"), ("layernorm", "learned", "huge"),
     ("layernorm", "concat", "nan"), ("none", "mean", "nan")],
)  # fmt: skip
def test_a_masked_dev_row_is_scored_as_zeros_behind_the_norm(
    norm: str, mix: str, garbage: str, whole: TrainingData
) -> None:
    """Zeros there are the average utterance, where features are standardised."""
    data = replace(whole, dev=sprinkled(whole.dev, GARBAGE[garbage]))
    run = trained(data, head__input_norm=norm, head__layer_mix=mix)
    logits, present = run.predict(data.dev), data.dev.present_N
    assert present is not None and np.isfinite(logits).all()
    width = run.model.blocks[0].in_features
    with torch.no_grad():
        run.model.eval()
        expected = run.model.classifier(run.model.blocks(torch.zeros(1, width)))
    np.testing.assert_allclose(logits[~present], np.repeat(expected.numpy(), (~present).sum(), axis=0), atol=1e-6)
    plain = trained(whole, head__input_norm=norm, head__layer_mix=mix)
    np.testing.assert_allclose(logits[present], plain.predict(whole.dev), atol=1e-5)
    assert len(np.unique(logits.round(4), axis=0)) > 3
    if norm == "standardize":
        mean = SplitArrays(("mean",), whole.train.features_NLD.astype(np.float32).mean(axis=0)[None], np.zeros(1, int))
        np.testing.assert_allclose(run.predict(mean), logits[:1], atol=1e-3)


@pytest.mark.parametrize("prediction", ["head", "nearest_center"])
def test_dev_metrics_are_over_all_rows(prediction: str, whole: TrainingData) -> None:
    """A split whose hard clips are dropped would look better than it is."""
    data = replace(whole, dev=sprinkled(whole.dev, 0.0))
    run = run_of(data, training__prediction=prediction)
    row = run.train_epoch()
    scores = Scores(run.predict(data.dev), data.dev.labels_N, CLASSES)
    assert len(scores.labels_N) == len(whole.dev) + len(whole.dev) // 3
    assert {name: row[name] for name in scores.as_metrics("dev")} == scores.as_metrics("dev")
    right = (scores.predicted_N == data.dev.labels_N).mean()
    assert row["dev_accuracy"] == pytest.approx(right)
    assert run.member.best.logits_NC.shape == (len(data.dev), len(CLASSES))


def test_a_mask_without_masked_rows_changes_nothing(whole: TrainingData) -> None:
    full = {name: replace(arrays, present_N=np.ones(len(arrays), bool)) for name, arrays in
            (("train", whole.train), ("dev", whole.dev))}  # fmt: skip
    assert outcome(trained(replace(whole, **full))) == outcome(trained(whole))


def test_a_split_without_any_clip_is_refused(whole: TrainingData) -> None:
    nothing = replace(whole.train, present_N=np.zeros(len(whole.train), bool))
    with pytest.raises(MerError) as caught:
        run_of(replace(whole, train=nothing))
    assert str(caught.value) == (
        "training split: not one of its clips could be read\n  next: python -m mer.data check ROOT"
    )


def test_a_dev_split_without_any_clip_is_scored_as_one_average_row(whole: TrainingData) -> None:
    data = replace(whole, dev=replace(whole.dev, present_N=np.zeros(len(whole.dev), bool)))
    run = trained(data)
    assert len(np.unique(run.predict(data.dev), axis=0)) == 1 and np.isfinite(run.history[-1]["dev_loss"])


RESUMED = {
    "spcl": loss("spcl", **SUPPORT, curriculum=True),
    "apcl": loss("apcl"),
    "center": {"training__prediction": "nearest_center", "head__layer_mix": "learned"},
}


@pytest.mark.parametrize("name", RESUMED)
def test_resume_with_masked_rows_is_exact(name: str, whole: TrainingData) -> None:
    data = TrainingData(sprinkled(whole.train, np.nan), sprinkled(whole.dev, np.nan), CLASSES)
    uninterrupted = trained(data, **RESUMED[name])
    first = run_of(data, **RESUMED[name])
    first.train_epoch()
    second = run_of(data, **RESUMED[name])
    second.load_state(*first.state())
    while not second.finished:
        second.train_epoch()
    assert outcome(second) == outcome(uninterrupted)
    assert [told(row) for row in second.history] == [told(row) for row in uninterrupted.history]


@pytest.mark.parametrize("size", [1, 7, 2048])
def test_chunks_carry_their_own_part_of_the_mask(
    size: int, whole: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = sprinkled(whole.dev, 3.0)
    monkeypatch.setattr("mer.training.data.CHUNK_ROWS", size)
    chunks = list(arrays.chunks(select_layers((0, 2), 3, "layers")))
    assert arrays.present_N is not None
    np.testing.assert_array_equal(torch.cat([present for _, present in chunks]), arrays.present_N)
    np.testing.assert_array_equal(torch.cat([x for x, _ in chunks]), arrays.features_NLD[:, [0, 2]].astype(np.float32))
    run = trained(replace(whole, dev=arrays))
    logits = run.predict(arrays)
    monkeypatch.setattr("mer.training.data.CHUNK_ROWS", 2048)
    np.testing.assert_allclose(run.predict(arrays), logits, atol=1e-6)
