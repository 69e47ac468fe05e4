"""Fused runs that read dialogues: batches and chunks of whole ones, schedule and resume, what context is good for."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from toy_data import CLASSES, LAYERS, WIDTH, outcome, split

from mer.config import TrialConfig, nest
from mer.data.types import dialogue_numbers
from mer.errors import MerError
from mer.training import FusedSplit, SplitArrays, TrainingData, TrainingRun
from mer.training.batches import DialogueBatches
from mer.training.optimizer import rate_multiplier
from trainables.shared_table import SharedTable, as_split

READS = {"text": [0, 2], "audio": [1]}
KINDS = ["gru", "attention", "graph"]
SETTINGS = ["online", "offline"]


def config(kind: str, **dotted: Any) -> TrialConfig:
    settings = {
        "encoders": {"text": {"layers": [0, 2]}, "audio": {"layers": [1]}},
        "fusion.kind": "concat", "fusion.width": 16, "fusion.dropout": 0.1,
        "dialogue.kind": kind, "head.hidden": 8, "head.dropout": 0.1,
        "optim.batch_size": 16, "optim.head_lr": 1e-2, "training.epochs": 4,
    }  # fmt: skip
    return TrialConfig.model_validate(nest(settings | {k.replace("__", "."): v for k, v in dotted.items()}))


def fused(name: str, dialogues: int, absent: float = 0.0) -> FusedSplit:
    """Dialogues of nine utterances. `absent`: share of rows without text, and (the same ones) mostly without audio."""
    text, audio = split(name, dialogues, seed=0), split(name, dialogues, seed=1)
    draw = np.random.default_rng(1).random(len(text))
    text, audio = replace(text, present_N=draw >= absent), replace(audio, present_N=draw >= absent / 2)
    return FusedSplit(
        {"text": text, "audio": audio}, dialogue_N=dialogue_numbers(text.ids), speaker_N=speakers(text.ids)
    )


def speakers(ids: tuple[str, ...]) -> np.ndarray:
    """Two people and a third, some of them twice in a row."""
    return np.arange(len(ids)) % 5 % 3


def data(absent: float = 0.4) -> TrainingData:
    return TrainingData(fused("train", 7, absent), fused("dev", 3, absent), CLASSES)


def finished(run: TrainingRun) -> TrainingRun:
    while not run.finished:
        run.train_epoch()
    return run


# -- whole dialogues


def test_numbers_come_from_ids():
    ids = ("train/dia0_utt0", "train/dia0_utt3", "train/dia12_utt0", "train/a_utt_b_utt1")
    assert dialogue_numbers(ids).tolist() == [0, 0, 1, 2] and dialogue_numbers(ids).dtype == np.int64
    assert dialogue_numbers(()).tolist() == []
    with pytest.raises(ValueError, match="not dialogue after dialogue"):
        dialogue_numbers((*ids, "train/dia0_utt4"))


def test_a_split_reads_its_dialogues_where_the_configuration_does():
    table = {"labels": {"emotion": np.zeros(3, np.int64)}, "label_names": {}, "label_text": {}, "present_N": None}
    shared = SharedTable(("dev/d1_utt0", "dev/d1_utt1", "dev/d0_utt0"), np.zeros((3, 1, 2), np.float16), **table)
    both = {"text": shared, "audio": shared}
    with_dialogue, without = as_split(config("gru"), both), as_split(config("none"), both)
    assert isinstance(with_dialogue, FusedSplit) and isinstance(without, FusedSplit)
    assert with_dialogue.dialogue_N is not None and with_dialogue.dialogue_N.tolist() == [0, 0, 1]
    assert without.dialogue_N is None and without.batch(np.array([0, 2]), {"text": [0], "audio": [0]})[0][2] is None
    mixed = replace(shared, ids=("dev/d1_utt0", "dev/d0_utt0", "dev/d1_utt1"))
    with pytest.raises(MerError, match="features: utterances are not dialogue after dialogue"):
        as_split(config("gru"), {"text": mixed, "audio": mixed})


@pytest.mark.parametrize("wrong", [[0, 0], [0, 1, 0]])
def test_numbers_that_do_not_fit_are_refused(wrong: list[int]):
    arrays = SplitArrays(("a", "b", "c"), np.zeros((3, 1, 2), np.float16), np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="one dialogue number for each row expected"):
        FusedSplit({"text": arrays, "audio": arrays}, dialogue_N=np.array(wrong))


@pytest.mark.parametrize("rows", [1, 4, 10, 2048])
@pytest.mark.parametrize("lengths", [[3, 1, 5, 2, 9], [30], [1] * 6])
def test_chunks_do_not_cut_a_dialogue(rows: int, lengths: list[int], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("mer.training.data.CHUNK_ROWS", rows)
    count, number_N = sum(lengths), np.repeat(np.arange(len(lengths)), lengths)
    features = np.arange(count, dtype=np.float16).reshape(-1, 1, 1)
    arrays = SplitArrays(tuple(map(str, range(count))), features, np.zeros(count, np.int64))
    whole = FusedSplit({"text": arrays, "audio": arrays}, dialogue_N=number_N)
    chunks = [chunk for chunk, _ in whole.chunks({"text": [0], "audio": [0]})]
    assert torch.cat([chunk.parts["audio"].flatten() for chunk in chunks]).tolist() == list(range(count))
    met = [chunk.dialogue_B.tolist() for chunk in chunks]
    assert [number for some in met for number in some] == number_N.tolist()
    for before, after in itertools.pairwise(met):
        assert before[-1] != after[0]
    assert all(len(some) < rows + max(lengths) for some in met), "memory stays small"
    apart = replace(whole, dialogue_N=None)
    sizes = [len(chunk.present_BM) for chunk, _ in apart.chunks({"text": [0], "audio": [0]})]
    assert sizes == [min(rows, count - start) for start in range(0, count, rows)]


@pytest.mark.parametrize(("size", "steps"), [(2, 4), (5, 3), (7, 2), (100, 1)])
def test_a_step_has_whole_dialogues_and_an_epoch_always_as_many_steps(size: int, steps: int):
    lengths, silent = [3, 1, 5, 2, 4], [0, 1, 9]  # rows that are not trained on: a dialogue's first, another's only
    number_N = np.repeat([2, 3, 5, 8, 9], lengths)
    trained_N = np.setdiff1d(np.arange(15), [*silent, 3])
    batches = DialogueBatches(number_N, trained_N, size)
    assert batches.steps == steps == min(4, math.ceil(len(trained_N) / size))
    orders = set()
    for seed in range(6):
        torch.manual_seed(seed)
        drawn = batches.draw()
        assert len(drawn) == steps and all(np.isin(rows, trained_N).any() for rows in drawn)
        rows = np.concatenate(drawn)
        assert sorted(rows.tolist()) == [row for row in range(15) if row != 3], "but for one without a trained row"
        for batch in drawn:
            for number in np.unique(number_N[batch]):
                assert batch[number_N[batch] == number].tolist() == np.flatnonzero(number_N == number).tolist()
            assert len(np.flatnonzero(np.diff(number_N[batch]))) == len(np.unique(number_N[batch])) - 1
        orders.add(tuple(rows.tolist()))
    assert len(orders) > 3


@pytest.mark.parametrize(("size", "steps"), [(16, 4), (4, 7)])
def test_the_learning_rate_ends_where_the_schedule_does(size: int, steps: int, monkeypatch: pytest.MonkeyPatch):
    """A step has at least one whole dialogue: 7 dialogues make at most 7 steps (by 4 utterances it would be 13)."""
    run, seen = TrainingRun(config("gru", optim__batch_size=size), data(), READS), []
    step = run._step
    monkeypatch.setattr(
        run, "_step", lambda rows_B: (step(rows_B), seen.append(run.optimizer.param_groups[0]["lr"]))[0]
    )
    finished(run)
    assert run.step_count == run.total_steps == len(seen)
    assert run.total_steps == 4 * steps == 4 * min(7, math.ceil(len(run.data.train.present_rows) / size))
    assert seen == [1e-2 * rate_multiplier(step, run.total_steps, run.config.optim) for step in range(len(seen))]
    assert seen[-1] < 0.1 * max(seen)


def test_data_without_dialogues_are_refused():
    whole = data()
    assert isinstance(whole.train, FusedSplit)
    with pytest.raises(MerError, match="dialogue: the data do not say which dialogue a row is of"):
        TrainingRun(config("gru"), replace(whole, train=replace(whole.train, dialogue_N=None)), READS)


# -- training


VARIANTS: dict[str, dict[str, Any]] = {
    "gru-online": {"kind": "gru"},
    "gru-offline-two": {"kind": "gru", "dialogue__setting": "offline", "dialogue__layers": 2},
    "attention-online-two": {"kind": "attention", "dialogue__layers": 2, "fusion__modality_dropout": 0.2},
    "attention-offline": {"kind": "attention", "dialogue__setting": "offline"},
    "gru-speakers": {"kind": "gru", "dialogue__speakers": "relative", "dialogue__setting": "offline"},
    "attention-speakers": {"kind": "attention", "dialogue__speakers": "relative"},
    "graph-online": {"kind": "graph", "dialogue__reach": 2},
    "graph-offline-two": {"kind": "graph", "dialogue__setting": "offline", "dialogue__layers": 2},
    "experts": {"kind": "gru", "fusion__kind": "tgmoe"},
    "supcon": {"kind": "gru", "loss__contrastive__kind": "supcon"},
    "spcl": {"kind": "attention", "loss__contrastive": {"kind": "spcl", "pool_size": 16, "support_size": 4}},
    "apcl": {"kind": "gru", "loss__contrastive__kind": "apcl", "training__prediction": "nearest_center"},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_it_learns_and_resumes_exactly(name: str):
    variant = VARIANTS[name]
    whole = TrainingRun(config(**variant), data(), READS)
    states = []
    while not whole.finished:
        whole.train_epoch()
        states.append(whole.state())
    assert whole.history[-1]["train_loss"] < whole.history[0]["train_loss"]
    assert {"dev_weighted_f1_without_text", "dev_weighted_f1_without_audio"} <= whole.history[0].keys()
    for state in states:
        resumed = TrainingRun(config(**variant), data(), READS)
        resumed.load_state(*state)
        assert outcome(finished(resumed)) == outcome(whole)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_which_nothing_is_there_have_no_loss(kind: str):
    """Whatever label they have; but they are read by the others, so they may not be taken out."""
    clean = data()
    train = clean.train
    assert isinstance(train, FusedSplit)
    nothing_N = np.setdiff1d(np.arange(len(train)), train.present_rows)
    assert 0 < len(nothing_N) < len(train) / 3
    labels_N = train.labels_N.copy()
    labels_N[nothing_N] = (labels_N[nothing_N] + 1) % 3
    parts = {modality: replace(part, labels_N=labels_N) for modality, part in train.parts.items()}
    relabelled = replace(clean, train=replace(train, parts=parts))
    runs = [finished(TrainingRun(config(kind), some, READS)) for some in (clean, relabelled)]
    assert outcome(runs[0]) == outcome(runs[1])
    kept_N = train.present_rows
    shorter = {
        modality: SplitArrays(
            tuple(np.array(part.ids)[kept_N]), part.features_NLD[kept_N], part.labels_N[kept_N], part.present_N[kept_N]
        )
        for modality, part in train.parts.items()
        if part.present_N is not None
    }
    assert train.dialogue_N is not None
    without = replace(
        clean, train=FusedSplit(shorter, dialogue_N=train.dialogue_N[kept_N], speaker_N=speakers(train.ids)[kept_N])
    )
    assert outcome(finished(TrainingRun(config(kind), without, READS))) != outcome(runs[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("setting", SETTINGS)
def test_scores_do_not_depend_on_the_chunks(kind: str, setting: str, monkeypatch: pytest.MonkeyPatch):
    run = TrainingRun(config(kind, dialogue__setting=setting), data(), READS)
    run.train_epoch()
    whole = run.predict(run.data.dev)
    monkeypatch.setattr("mer.training.data.CHUNK_ROWS", 9)
    np.testing.assert_allclose(run.predict(run.data.dev), whole, rtol=1e-4, atol=1e-5)


# -- what it is for


def told_by_a_neighbour(name: str, dialogues: int, step: int) -> FusedSplit:
    """Features are noise but for three of them; an utterance has the label that the one `step` before it shows."""
    rng = np.random.default_rng([len(name), 3])
    lengths = rng.integers(2, 9, dialogues)
    number_N = np.repeat(np.arange(dialogues), lengths)
    shown_N = rng.integers(0, 3, len(number_N))
    labels_N = np.roll(shown_N, step)
    first_or_last = np.roll(number_N, step) != number_N
    labels_N[first_or_last] = 0  # of a dialogue's end nobody tells
    features = 0.1 * rng.standard_normal((len(number_N), LAYERS, WIDTH))
    features[np.arange(len(number_N)), :, shown_N] += 2.0
    ids = tuple(f"{name}/dia{number}_utt{row}" for row, number in enumerate(number_N))
    arrays = SplitArrays(ids, features.astype(np.float16), labels_N)
    return FusedSplit({"text": arrays, "audio": arrays}, dialogue_N=number_N, speaker_N=speakers(ids))


def accuracy(kind: str, step: int, **dotted: Any) -> float:
    whole = TrainingData(told_by_a_neighbour("train", 80, step), told_by_a_neighbour("dev", 40, step), CLASSES)
    epochs = 12 if kind == "gru" else 40
    settings = {"fusion__width": 32, "training__epochs": epochs, "head__hidden": 0, "optim__batch_size": 32, **dotted}
    run = TrainingRun(config(kind, **settings), whole, READS)
    return max(row["dev_accuracy"] for row in finished(run).history)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_context_learns_what_only_the_previous_utterance_tells(kind: str):
    assert accuracy(kind, 1) > 0.9
    assert accuracy("none", 1) < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_only_offline_learns_what_the_next_utterance_tells(kind: str):
    assert accuracy(kind, -1, dialogue__setting="offline") > 0.9
    assert accuracy(kind, -1) < 0.6
