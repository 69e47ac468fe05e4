"""Models that read states (pooler none): they learn, miss modalities, resume exactly, and train alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from distill_data import teacher
from state_data import as_states
from target_data import with_targets
from tiers import slow_except
from toy_data import CLASSES, split

from mer.config import TrialConfig, nest
from mer.data.types import dialogue_numbers
from mer.models.sequence_batch import SequenceBatch
from mer.training import FusedSplit, SplitArrays, TrainingData, TrainingRun, build_run
from mer.training.packed import shape_of
from trainables.fold_data import take_rows
from trainables.shared_table import SharedTable

_TEXT, _AUDIO, _VIDEO = ({f"encoders.{m}.pooler": "none"} for m in ("text", "audio", "video"))
_MULT = {"fusion.kind": "mult", "fusion.stream_width": 8, "fusion.heads": 2, "fusion.layers": 1}
KINDS: dict[str, dict[str, Any]] = {
    "text": _TEXT,
    "text-mean": _TEXT | {"head.pool": "mean"},
    "text-dialogues": _TEXT | {"dialogue.kind": "gru", "head.pool_hops": 2},
    "concat": _TEXT | _AUDIO | {"fusion.kind": "concat", "head.pool_hops": 2},
    "misa": _TEXT | _AUDIO | _VIDEO | {"fusion.kind": "misa", "fusion.subspace_width": 8},
    "mult": _TEXT | _AUDIO | _VIDEO | _MULT,
    "mult-vector": _TEXT | _AUDIO | _MULT | {"encoders.video.layers": [1], "fusion.read": "mean"},
    "mult-dialogues": _TEXT | _AUDIO | _MULT | {"dialogue.kind": "attention", "dialogue.heads": 2},
    "students": _TEXT | _AUDIO | {"fusion.kind": "concat", "distill.teacher": "exports/t", "distill.warmup_steps": 2},
}
SMALL: dict[str, Any] = {
    "head.hidden": 16, "head.dropout": 0.1, "optim.batch_size": 16, "optim.head_lr": 1e-2, "training.epochs": 6,
}  # fmt: skip


def config_of(kind: str, **dotted: Any) -> TrialConfig:
    given = SMALL | KINDS[kind] | {key.replace("__", "."): value for key, value in dotted.items()}
    if "fusion.kind" in given:
        given |= {"fusion.width": 16, "fusion.modality_dropout": 0.2}
    return TrialConfig.model_validate(nest(given))


def data_of(config: TrialConfig, absent: float = 0.25) -> tuple[TrainingData, Any]:
    splits: dict[str, Any] = {}
    modalities = list(config.encoders.present)
    for name, dialogues in (("train", 12), ("dev", 4)):
        parts: dict[str, Any] = {}
        for number, modality in enumerate(modalities):
            part: SplitArrays = split(name, dialogues, seed=number)
            if number:
                there = np.random.default_rng([number, dialogues]).random(len(part)) >= absent
                part = replace(part, present_N=there)
            parts[modality] = as_states(part) if config.encoders.present[modality].keeps_states else part
        whole = FusedSplit(parts)
        if config.reads_dialogues:
            whole = replace(whole, dialogue_N=dialogue_numbers(whole.ids))
        splits[name] = whole if config.reads_tables_together else parts[modalities[0]]
    taught = config.distill is not None
    says = {name: teacher(one.labels_N) for name, one in splits.items()} if taught else {}
    layers: Any = {m: [1] if m == "video" and not config.encoders.present[m].keeps_states else [0] for m in modalities}
    data = TrainingData(splits["train"], splits["dev"], CLASSES, teacher=says)
    if config.data.task != "class":
        data = with_targets(data, config.data.task)
    return data, layers if config.reads_tables_together else [0]


def run_of(kind: str, absent: float = 0.25, **dotted: Any) -> TrainingRun:
    config = config_of(kind, **dotted)
    return build_run(config, *data_of(config, absent))


def finished(run: TrainingRun) -> TrainingRun:
    while not run.finished:
        run.train_epoch()
    return run


def timeless(run: TrainingRun) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k not in ("seconds", "timestamp_ms")} for row in run.history]


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_and_resumes_exactly(kind: str) -> None:
    whole, cut = finished(run_of(kind)), run_of(kind)
    for _ in range(3):
        cut.train_epoch()
    again = run_of(kind)
    again.load_state(*cut.state())
    assert timeless(finished(again)) == timeless(whole)
    assert all(torch.equal(tensor, again.weights()[name]) for name, tensor in whole.weights().items())
    assert whole.history[-1]["train_loss"] < whole.history[0]["train_loss"]
    assert max(row["dev_weighted_f1"] for row in whole.history) > 0.4  # always neutral: 0.27


@pytest.mark.parametrize("kind", slow_except(["concat", "misa", "mult", "mult-vector"], "mult"))
def test_a_modality_of_which_no_row_is_there_is_no_obstacle(kind: str) -> None:
    run = finished(run_of(kind, absent=1.0, training__epochs=2))
    row = run.history[-1]
    assert row["dev_weighted_f1"] == row["dev_weighted_f1_without_audio"]
    assert all(tensor.isfinite().all() for tensor in run.weights().values())
    assert np.isfinite(run.predict(run.data.dev)).all()


@pytest.mark.parametrize("kind", ["text", "mult", "misa", "text-dialogues"])
@pytest.mark.parametrize("task", slow_except(["regression", "multilabel"], "regression"))
def test_numbers_and_labels_are_learned_too(kind: str, task: str) -> None:
    run = finished(run_of(kind, data__task=task))
    assert run.history[-1]["train_loss"] < run.history[0]["train_loss"]


@pytest.mark.parametrize("kind", ["text", "concat", "mult"])
def test_a_row_is_scored_alike_in_any_batch(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither other rows nor the padding that they bring matter, only the order of rounding."""
    run = run_of(kind)
    run.train_epoch()
    whole = run.predict(run.data.dev)
    for name in ("_CHUNK_STATES", "CHUNK_ROWS"):
        monkeypatch.setattr(f"mer.training.data.{name}", 1)
    np.testing.assert_allclose(run.predict(run.data.dev), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["text", "concat", "mult", "mult-vector", "students"])
def test_such_trials_train_alone_and_say_why(kind: str) -> None:
    assert shape_of(config_of(kind)).reason == "it reads states of tokens or frames (pooler none)"


def test_the_norm_counts_every_state_of_the_training_rows() -> None:
    run = run_of("text")
    part = run.data.train
    values = part.sequences.values.astype(np.float64)  # type: ignore[union-attr]
    norm = run.model.input_norm
    np.testing.assert_allclose(norm.mean_LD[0], values.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(1 / norm.scale_LD[0], np.maximum(values.std(axis=0), 1e-3), rtol=1e-4)


def test_attention_finds_the_state_that_tells() -> None:
    """Each row says its class in one of its states: the learned weights are highest there."""
    run = finished(run_of("text", training__epochs=12))
    part, pool, norm = run.data.dev, run.model.layer_mix, run.model.input_norm
    batch, _ = part.batch(np.arange(len(part)), [0])
    assert isinstance(batch, SequenceBatch)
    run.model.eval()
    states = norm(run.model.encoded("text", batch))
    with torch.no_grad():
        score_BT = pool.score(pool.hidden(states.x_BTD).tanh())[..., 0].masked_fill(~states.there_BT, -torch.inf)
    told_B = states.x_BTD.square().sum(dim=-1).masked_fill(~states.there_BT, -1).argmax(dim=1)
    several_B = states.there_BT.sum(dim=1) > 1
    assert (score_BT.argmax(dim=1) == told_B)[several_B].float().mean() > 0.7


def test_rows_of_a_fold_are_cut_from_a_table_of_states() -> None:
    part = as_states(split("train", 2))
    pooled = np.empty((len(part), 0, part.width), np.float16)
    whole = SharedTable(
        part.ids, pooled, {"emotion": part.labels_N}, {"emotion": CLASSES}, {}, None, sequences=part.sequences,
        encoder_states=1, keeps_states=True,
    )  # fmt: skip
    rows = np.array([5, 2, 9])
    some = take_rows(whole, rows).split("emotion")
    assert some.are_states and some.ids == tuple(part.ids[row] for row in rows)  # type: ignore[union-attr]
    expected = part.sequences.gather(rows)
    np.testing.assert_array_equal(some.sequences.values, expected.values)  # type: ignore[union-attr]
    np.testing.assert_array_equal(some.sequences.lengths, part.sequences.lengths[rows])  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"fusion.kind": "mult", "encoders.text": {}, "encoders.audio": {}}, "mult' reads sequences: set encoders"),
        (KINDS["mult"] | {"distill.teacher": "t"}, "with distill it would join the students' vectors"),
        (KINDS["mult"] | {"loss.cross_modal.weight": 1.0}, "loss.cross_modal contrasts one vector of each modality"),
        (KINDS["mult"] | {"head.pool": "mean"}, "head.pool has no meaning here, got mean: fusion.kind 'mult' reads"),
        (KINDS["mult"] | {"fusion.heads": 3}, "stream_width must be a multiple of heads, got stream_width=8"),
        (KINDS["misa"] | {"fusion.heads": 3}, "subspace_width must be a multiple of heads"),
    ],
)
def test_what_does_not_go_together_is_refused(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        TrialConfig.model_validate(nest(settings))
