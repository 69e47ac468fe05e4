"""Dialogues read by one modality alone, and by every student: learning, resuming, masks, bits of merged runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from distill_data import LAYERS as STUDENTS
from distill_data import distill_config, distill_data
from test_training_dialogue import speakers
from toy_data import CLASSES, outcome, split, told, toy_config, toy_data

from mer.config import TrialConfig, student_config
from mer.data.types import dialogue_numbers
from mer.errors import MerError
from mer.training import FusedSplit, SplitArrays, TrainingData, TrainingRun, build_run
from mer.training.distillation import DistillationRun
from trainables.shared_table import SharedTable, as_split, layers_of

READS = {"audio": [0, 2]}


def in_dialogues(parts: dict[str, SplitArrays]) -> FusedSplit:
    ids = next(iter(parts.values())).ids
    return FusedSplit(parts, dialogue_N=dialogue_numbers(ids), speaker_N=speakers(ids))


def config(**dotted: Any) -> TrialConfig:
    return toy_config(**{"encoders__audio": {}, "head__hidden": 8, "training__epochs": 4, **dotted})


def data(absent: float = 0.3, modality: str = "audio") -> TrainingData:
    def one(name: str, dialogues: int) -> FusedSplit:
        arrays = split(name, dialogues, seed=1)
        there_N = np.random.default_rng(2).random(len(arrays)) >= absent
        return in_dialogues({modality: replace(arrays, present_N=there_N)})

    return TrainingData(one("train", 7), one("dev", 3), CLASSES)


def finished(run: TrainingRun) -> TrainingRun:
    while not run.finished:
        run.train_epoch()
    return run


def build(data: TrainingData, **dotted: Any) -> TrainingRun:
    return build_run(config(**dotted), data, READS)


VARIANTS: dict[str, dict[str, Any]] = {
    "gru": {"dialogue__kind": "gru"},
    "gru-offline-speakers": {"dialogue": {"kind": "gru", "setting": "offline", "speakers": "relative"}},
    "attention": {"dialogue": {"kind": "attention", "layers": 2}},
    "attention-offline-speakers": {"dialogue": {"kind": "attention", "setting": "offline", "speakers": "relative"}},
    "graph": {"dialogue": {"kind": "graph", "reach": 2}},
    "graph-offline": {"dialogue": {"kind": "graph", "setting": "offline"}},
    "spcl": {"dialogue__kind": "graph", "loss__contrastive": {"kind": "spcl", "pool_size": 16, "support_size": 4}},
    "fgm": {"dialogue__kind": "gru", "loss__adversarial": {"weight": 1.0, "epsilon": 0.5}},
    "apcl-centers": {
        "dialogue__kind": "gru", "loss__contrastive__kind": "apcl", "training__prediction": "nearest_center",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_one_modality_learns_in_its_dialogues_and_resumes_exactly(name: str):
    whole, states = build(data(), **VARIANTS[name]), []
    while not whole.finished:
        whole.train_epoch()
        states.append(whole.state())
    assert whole.history[-1]["train_loss"] < whole.history[0]["train_loss"]
    assert not any(key.startswith("dev_weighted_f1_without") for key in whole.history[0]), "there is nothing else"
    for state in states:
        resumed = build(data(), **VARIANTS[name])
        resumed.load_state(*state)
        assert outcome(finished(resumed)) == outcome(whole)


@pytest.mark.parametrize("absent", [0.0, 0.3])
def test_moves_of_h_follow_the_whole_loss_of_the_rows_that_have_one(absent: float):
    """Before, they followed the contrastive loss alone, and without one the trial failed."""
    contrastive = {"kind": "supcon", "weight": 0.1}
    loss = {"contrastive": contrastive, "adversarial": {"weight": 1.0}}
    run = build(data(absent), dialogue__kind="gru", loss=loss, head__dropout=0.0)
    run.model.train()
    outputs, y_B = run._answer(np.arange(len(run.data.train)))
    assert outputs is not None and len(outputs.h_ND) == len(y_B) == len(run.train_rows)
    (felt,) = torch.autograd.grad(run.objective(outputs, y_B)[0], outputs.h_ND)
    h_BH = outputs.h_ND.detach().requires_grad_()
    alone = run.objective(outputs._replace(h_ND=h_BH, logits_NC=run.model.classify(h_BH)), y_B)[0]
    torch.testing.assert_close(felt, torch.autograd.grad(alone, h_BH)[0])


@pytest.mark.parametrize("kind", ["gru", "attention", "graph"])
def test_absent_and_unlabelled_rows_are_read_and_have_no_loss(kind: str):
    clean = data()
    part = clean.train.parts["audio"]
    silent_N, nameless_N = np.flatnonzero(~part.present_N), np.arange(0, len(part), 7)

    def run(change: dict[str, Any]) -> TrainingRun:
        labels_N = part.labels_N.copy()
        labels_N[nameless_N] = -1
        features = part.features_NLD.copy()
        for what, (rows, value) in change.items():
            (labels_N if what == "labels" else features)[rows] = value
        changed = in_dialogues({"audio": replace(part, labels_N=labels_N, features_NLD=features)})
        return finished(build(replace(clean, train=changed), dialogue__kind=kind))

    reference = outcome(run({}))
    assert outcome(run({"labels": (silent_N, 2)})) == reference
    assert outcome(run({"features": (silent_N, 7.0)})) == reference, "what an absent clip's row holds is not read"
    assert outcome(run({"features": (np.setdiff1d(nameless_N, silent_N), 7.0)})) != reference, (
        "a turn without a label is context"
    )


@pytest.mark.parametrize("kind", ["gru", "attention", "graph"])
def test_scores_do_not_depend_on_the_chunks(kind: str, monkeypatch: pytest.MonkeyPatch):
    run = build(data(), dialogue__kind=kind)
    run.train_epoch()
    whole = run.predict(run.data.dev)
    monkeypatch.setattr("mer.training.data.CHUNK_ROWS", 9)
    np.testing.assert_allclose(run.predict(run.data.dev), whole, rtol=1e-4, atol=1e-5)


def test_label_words_are_dialogues_of_their_own():
    words = toy_data().label_text_CLD
    of_text = replace(data(modality="text"), label_text_CLD=words)
    settings = {
        "encoders__audio": None,
        "encoders__text": {},
        "dialogue__kind": "graph",
        "loss__contrastive__kind": "eacl",
    }
    run = finished(build_run(config(**settings), of_text, {"text": [0, 2]}))
    assert run.history[-1]["train_loss"] < run.history[0]["train_loss"]
    with torch.no_grad():
        together = run.model.represent(run.words_CLD)
        apart = torch.cat([run.model.represent(word[None]) for word in run.words_CLD])
    torch.testing.assert_close(together, apart)


def test_a_split_of_one_modality_has_its_dialogues_and_layers_by_name():
    table = {"labels": {"emotion": np.zeros(3, np.int64)}, "label_names": {}, "label_text": {}, "present_N": None}
    shared = SharedTable(("d0_utt0", "d0_utt1", "d1_utt0"), np.zeros((3, 1, 2), np.float16), **table)
    who = replace(shared, features_NLD=np.array([0, 1, 0], np.float32)[:, None, None])
    reads = config(dialogue__kind="graph")
    made = as_split(reads, {"audio": shared, "speakers": who})
    assert isinstance(made, FusedSplit) and list(made.parts) == ["audio"]
    assert made.dialogue_N.tolist() == [0, 0, 1] and made.speaker_N.tolist() == [0, 1, 0]
    assert layers_of(reads, {"audio": 1}) == {"audio": [0]} and layers_of(config(), {"audio": 1}) == [0]
    with pytest.raises(MerError, match="the speakers are of other utterances"):
        as_split(reads, {"audio": shared, "speakers": replace(who, ids=("d0_utt0", "d1_utt0", "d1_utt1"))})


# -- students


def taught(modality: str | None = None) -> TrainingData:
    """The data of the merged distillation, or of one student, in dialogues; some rows have no label."""
    made = distill_data()

    def one(whole: FusedSplit) -> FusedSplit:
        labels_N = whole.labels_N.copy()
        labels_N[::11] = -1
        parts = {m: replace(part, labels_N=labels_N) for m, part in whole.parts.items()}
        return in_dialogues(parts if modality is None else {modality: parts[modality]})

    return replace(made, train=one(made.train), dev=in_dialogues(dict(made.dev.parts)) if modality is None
                   else in_dialogues({modality: made.dev.parts[modality]}))  # fmt: skip


def students(modality: str | None = None, **dotted: Any) -> DistillationRun:
    whole = distill_config(**{"dialogue__kind": "gru", **dotted})
    own = whole if modality is None else student_config(whole, modality)
    layers = STUDENTS if modality is None else {modality: STUDENTS[modality]}
    run = build_run(own, taught(modality), layers)
    assert isinstance(run, DistillationRun)
    return run


KINDS: dict[str, dict[str, Any]] = {
    "gru": {},
    "attention-speakers": {"dialogue": {"kind": "attention", "speakers": "relative", "setting": "offline"}},
    "graph-supcon": {"dialogue__kind": "graph", "loss__contrastive__kind": "supcon"},
    "small-batches": {"dialogue__kind": "graph", "optim__batch_size": 2},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("modality", STUDENTS)
def test_a_student_in_dialogues_has_the_bits_of_its_own_run(kind: str, modality: str):
    together, alone = students(**KINDS[kind]), students(modality, **KINDS[kind])
    for _ in range(together.config.training.epochs):
        row, own = together.train_epoch(), alone.train_epoch()
        assert row[f"dev_weighted_f1_{modality}"] == own["dev_weighted_f1"]
        mine, lone = together.student(modality).state_dict(), alone.model.state_dict()
        assert [name for name in lone if not torch.equal(mine[name], lone[name])] == []
    assert together.member.bests[modality].row["epoch"] == alone.member.best.row["epoch"]


@pytest.mark.parametrize("variant", [
    {}, {"distill__mode": "joint"}, {"dialogue__kind": "graph", "fusion__kind": "tgmoe"}, {"fusion__kind": "late"},
], ids=["parallel", "joint", "tgmoe", "late"])  # fmt: skip
def test_students_in_dialogues_resume_exactly_and_learn(variant: dict[str, Any]):
    whole, cut = students(**variant), students(**variant)
    finished(whole)
    cut.train_epoch()
    again = students(**variant)
    again.load_state(*cut.state())
    assert outcome(finished(again)) == outcome(whole)
    assert whole.history[-1]["train_loss_classification"] < whole.history[0]["train_loss_classification"]
    assert told(whole.history[0]) != told(distilled_without_dialogues().train_epoch())


def distilled_without_dialogues() -> TrainingRun:
    return build_run(distill_config(), distill_data(), STUDENTS)
