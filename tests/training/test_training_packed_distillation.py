"""A student in a pack becomes what it becomes alone: every kind of lesson, some rows absent, in any company."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from distill_data import LAYERS, distill_config, distill_data
from test_training_packed import DoubleSplit, assert_equal
from tiers import slow_except

from mer.config import TrialConfig, flatten, nest, student_config
from mer.errors import TrialFailed
from mer.training import TrainingData, build_run
from mer.training.distillation import DistillationRun
from mer.training.packed import build_pack, pack_epochs, shape_of

# every kind of lesson and of what is lacking in a batch
KINDS: dict[str, dict[str, Any]] = {
    "dist": {},
    "kl": {"distill__response": "kl", "distill__feature": "none"},
    "feature": {"distill__response": "none"},
    "same-width": {"head__hidden": 10},
    "supcon": {"loss__contrastive__kind": "supcon"},
    "apcl": {"loss__contrastive__kind": "apcl"},
    "probe": {"loss__classification__probe": True},
    "probe-supcon": {"loss__classification__probe": True, "loss__contrastive__kind": "supcon"},
    "linear": {"head__hidden": 0, "distill__feature": "none", "head__layer_mix": "learned"},
    "tiny-batches": {"optim__batch_size": 2},
    "tiny-apcl": {"optim__batch_size": 2, "loss__contrastive__kind": "apcl"},
    "averaged": {"optim__ema_decay": 0.9},
    "patience": {"training__patience": 1},
}


def varied(kind: str, k: int) -> dict[str, Any]:
    """Settings of member k: everything that members may differ in, differs."""
    settings: dict[str, Any] = {
        "seed": k,
        "distill__audio__head_lr": [0.01, 0.002, 0.03][k % 3],
        "distill__temperature": [4.0, 1.0, 2.0][k % 3],
        "distill__response_weight": [1.0, 0.1, 3.0][k % 3],
        "distill__feature_weight": [1.0, 0.3, 2.0][k % 3],
        "distill__feature_temperature": [1.0, 0.1, 0.3][k % 3],
        "distill__inter_weight": [1.0, 0.5][k % 2],
        "distill__intra_weight": [1.0, 2.0][k % 2],
        "distill__ce_weight": [1.0, 0.5][k % 2],
        "distill__warmup_steps": [6, 0, 30][k % 3],
        "distill__kd_filter": ["none", "correct_only"][k % 2],
        "optim__clip_norm": [0.05, 1.0, 50.0][k % 3],
        "optim__weight_decay": [0.01, 0.0, 0.3][k % 3],
        "head__dropout": [0.2, 0.0, 0.5][k % 3],
        "loss__classification__class_weight": ["none", "power"][k % 2],
        "training__epochs": 3 + k % 2,
    }
    return settings | KINDS[kind]


def config_of(kind: str, k: int, **settings: Any) -> TrialConfig:
    """One student alone, which may have settings that students beside others may not."""
    usual = flatten(student_config(distill_config(), "audio").model_dump(mode="json", exclude_unset=True))
    own = {name.replace("__", "."): value for name, value in (varied(kind, k) | settings).items()}
    return TrialConfig.model_validate(nest(usual | own))


def double_data(absent: float) -> TrainingData:
    data = distill_data("audio", absent)
    train, dev = (
        DoubleSplit(part.ids, part.features_NLD, part.labels_N, part.present_N if absent else None)  # type: ignore[union-attr]
        for part in (data.train, data.dev)
    )
    return replace(data, train=train, dev=dev)


def double_run(kind: str, k: int, data: TrainingData) -> DistillationRun:
    run = build_run(config_of(kind, k), data, [[0, 2], [1, 2], [0, 1]][k % 3])
    assert isinstance(run, DistillationRun)
    run.model.double()
    run.objective.double()
    if run.average is not None:
        run.average.restart()
    return run


def alone(kind: str, k: int, data: TrainingData) -> DistillationRun:
    run = double_run(kind, k, data)
    while not run.finished:
        run.train_epoch()
    return run


@pytest.mark.parametrize("kind", slow_except(KINDS, "dist"))
@pytest.mark.parametrize("absent", [0.3, 0.0], ids=["absent", "whole"])
def test_a_student_becomes_what_it_becomes_alone(kind: str, absent: float) -> None:
    """Alone, and in packs of 1, 2, 3 and 8 with the members in another order; members end at different epochs."""
    data = double_data(absent)
    references = {k: alone(kind, k, data) for k in range(8)}
    for members in ([0], [1, 0], [2, 0, 1], [5, 3, 7, 0, 6, 1, 4, 2]):
        runs = {k: double_run(kind, k, data) for k in members}
        pack_epochs(list(runs.values()))
        for k, run in runs.items():
            assert_equal(run, references[k])


@pytest.mark.parametrize("kind", slow_except(["dist", "tiny-apcl", "averaged"], "dist"))
def test_cut_refilled_and_resumed_students_become_the_same(kind: str) -> None:
    """Member 0 is cut after an epoch, 3 takes its place, all are saved, and go on in packs of another size or alone."""
    data = double_data(0.3)
    first = [double_run(kind, k, data) for k in (0, 1, 2)]
    build_pack(first).train_epoch()
    joined = [first[1], double_run(kind, 3, data), first[2]]
    build_pack(joined).train_epoch()
    resumed = {}
    for k, run in zip((1, 3, 2), joined, strict=True):
        resumed[k] = double_run(kind, k, data)
        resumed[k].load_state(*run.state())
    pack_epochs([resumed[2], resumed[3]])
    while not resumed[1].finished:  # unpacked
        resumed[1].train_epoch()
    for k in (1, 2, 3):
        assert_equal(resumed[k], alone(kind, k, data))


@pytest.mark.parametrize("kind", slow_except([kind for kind in KINDS if kind != "linear"], "dist", "apcl"))
def test_on_a_cpu_a_student_has_the_same_bits_in_any_pack(kind: str) -> None:
    data = distill_data("audio")

    def trained(members: list[int]) -> dict[int, dict[str, torch.Tensor]]:
        wide = {} if kind == "same-width" else {"head__hidden": 64}
        runs = [build_run(config_of(kind, k, **wide, training__epochs=2), data, LAYERS["audio"]) for k in members]
        pack_epochs(runs)
        return {k: run.weights() for k, run in zip(members, runs, strict=True)}

    alone = trained([0])[0]
    for members in ([1, 0], [2, 0, 1], [3, 5, 1, 4, 0, 6, 2, 7]):
        weights = trained(members)[0]
        assert [key for key in alone if not torch.equal(alone[key], weights[key])] == []


def test_gradients_agree_in_single_precision() -> None:
    """Losses and gradient norms along the same trajectory."""
    data = distill_data("audio")

    def run(k: int) -> DistillationRun:
        config = config_of("dist", k, training__epochs=1, distill__audio__head_lr=1e-4)
        return build_run(config, data, LAYERS["audio"])  # type: ignore[return-value]

    for k, row in enumerate(build_pack([run(k) for k in range(4)]).train_epoch()):
        other = run(k).train_epoch()
        assert not isinstance(row, TrialFailed) and row.keys() == other.keys()
        for key in ("train_loss", "train_grad_norm", "train_loss_response", "train_loss_feature"):
            assert row[key] == pytest.approx(other[key], rel=1e-5)


def test_a_student_that_turns_non_finite_fails_alone() -> None:
    data = distill_data("audio")

    def run(k: int) -> DistillationRun:
        wild = {"distill__audio__head_lr": 1e30, "optim__schedule": "constant", "optim__warmup_ratio": 0.0}
        config = config_of("dist", k, **(wild if k == 1 else {}))
        return build_run(config, data, LAYERS["audio"])  # type: ignore[return-value]

    runs = [run(k) for k in range(3)]
    told = pack_epochs(runs)
    with pytest.raises(TrialFailed) as caught:
        run(1).train_epoch()
    assert isinstance(told[1], TrialFailed) and str(caught.value) == str(told[1])
    assert runs[0].finished and runs[2].finished


@pytest.mark.parametrize(
    ("settings", "shares"),
    [
        ({"distill__temperature": 1.0, "distill__warmup_steps": 9, "distill__kd_filter": "correct_only"}, True),
        ({"distill__response_weight": 0.1, "distill__audio__head_lr": 0.5}, True),
        ({"distill__response": "kl"}, False),
        ({"distill__feature": "none"}, False),
        ({"distill__teacher": "exports/other"}, False),
    ],
)
def test_what_may_differ_in_a_pack_of_students(settings: dict[str, Any], shares: bool) -> None:
    shapes = [shape_of(student_config(distill_config(**own), "audio")) for own in ({}, settings)]
    assert all(shape.is_packable for shape in shapes) and (shapes[0] == shapes[1]) is shares
