"""A student in a pack becomes what it becomes alone: every kind of lesson, some rows absent, in any company."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from distill_data import LAYERS, distill_config, distill_data
from packed_law import (
    assert_breaks_change_nothing,
    assert_company_changes_nothing,
    assert_same_bits,
    in_double,
)
from test_training_packed import DoubleSplit
from tiers import slow_except

from mer.config import TrialConfig, flatten, nest, student_config
from mer.errors import TrialFailed
from mer.training import FusedSplit, Split, SplitArrays, TrainingData, build_run
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
    "walked": {"optim__swa__kind": "constant", "optim__swa__start": 0.3},
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
    return settings | ALL[kind]


# every way in which students and their fusion meet
SELF = {"distill__source": "fused", "distill__teacher": None, "distill__mode": "joint", "distill__feature": "none"}
MERGED: dict[str, dict[str, Any]] = {
    "parallel": {"loss__contrastive__kind": "supcon"},
    "joint": {"distill__mode": "joint", "fusion__kind": "lmf"},
    "joint-tgmoe": {"distill__mode": "joint", "fusion__kind": "tgmoe"},
    "self": SELF | {"fusion__kind": "self_attention"},
    "self-kl-late": SELF | {"distill__response": "kl", "fusion__kind": "late"},
    "late-probe": {"fusion__kind": "late", "loss__classification__probe": True, "distill__mode": "joint"},
    "shifting": {"fusion__kind": "shifting"},
    "tiny-cross": {"fusion__kind": "cross_attention", "optim__batch_size": 2, "loss__contrastive__kind": "apcl"},
    "averaged-concat": {"optim__ema_decay": 0.9},
}
ALL = KINDS | MERGED


def config_of(kind: str, k: int, **settings: Any) -> TrialConfig:
    """Several students and their fusion, or one alone, which may have settings that students beside others may not."""
    own = varied(kind, k) | settings
    if kind in MERGED:
        own |= {"distill__video__head_lr": [0.02, 0.001][k % 2], "fusion__modality_dropout": [0.2, 0.0, 0.4][k % 3]}
        if own.get("distill__mode") == "joint":
            own |= {"distill__warm_epochs": k % 3, "distill__fused_weight": [1.0, 0.3][k % 2]}
            own |= {"distill__audio__weight": [1.0, 2.0][k % 2]}
        return distill_config(**own)
    usual = flatten(student_config(distill_config(), "audio").model_dump(mode="json", exclude_unset=True))
    return TrialConfig.model_validate(nest(usual | {name.replace("__", "."): value for name, value in own.items()}))


def data_of(kind: str, absent: float = 0.3, double: bool = False) -> TrainingData:
    data = distill_data(None if kind in MERGED else "audio", absent, teaches="self" not in kind)

    def read(part: SplitArrays) -> SplitArrays:
        as_read = DoubleSplit if double else SplitArrays
        return as_read(part.ids, part.features_NLD, part.labels_N, part.present_N if absent else None)

    def whole(given: Split) -> Split:
        if isinstance(given, FusedSplit):
            return FusedSplit({modality: read(part) for modality, part in given.parts.items()})  # type: ignore[arg-type]
        return read(given)  # type: ignore[arg-type]

    return replace(data, train=whole(data.train), dev=whole(data.dev))


def run_of(kind: str, k: int, data: TrainingData, layers: list[int], **settings: Any) -> DistillationRun:
    read = {"audio": layers, "video": [k % 3]} if kind in MERGED else layers
    run = build_run(config_of(kind, k, **settings), data, read)
    assert isinstance(run, DistillationRun)
    return run


def double_run(kind: str, k: int, data: TrainingData) -> DistillationRun:
    return in_double(run_of(kind, k, data, [[0, 2], [1, 2], [0, 1]][k % 3]))


@pytest.mark.parametrize("kind", slow_except(ALL, "dist", "joint"))
@pytest.mark.parametrize("absent", [0.3, 0.0], ids=["absent", "whole"])
def test_a_student_becomes_what_it_becomes_alone(kind: str, absent: float) -> None:
    data = data_of(kind, absent, double=True)
    assert_company_changes_nothing(lambda k: double_run(kind, k, data))


@pytest.mark.parametrize("kind", slow_except(["dist", "tiny-apcl", "averaged", "joint-tgmoe", "self"], "joint-tgmoe"))
def test_cut_refilled_and_resumed_students_become_the_same(kind: str) -> None:
    data = data_of(kind, double=True)
    assert_breaks_change_nothing(lambda k: double_run(kind, k, data))


@pytest.mark.parametrize("kind", slow_except([kind for kind in ALL if kind != "linear"], "dist", "self"))
def test_on_a_cpu_a_student_has_the_same_bits_in_any_pack(kind: str) -> None:
    data = data_of(kind)
    wide: dict[str, Any] = {} if kind == "same-width" else {"head__hidden": 64}
    wide |= {"fusion__width": 64} if kind in MERGED else {}
    assert_same_bits(lambda k: run_of(kind, k, data, LAYERS["audio"], **wide, training__epochs=2))


@pytest.mark.parametrize("kind", ["dist", "joint"])
def test_gradients_agree_in_single_precision(kind: str) -> None:
    """Losses and gradient norms along the same trajectory."""
    data = data_of(kind)

    def run(k: int) -> DistillationRun:
        return run_of(kind, k, data, LAYERS["audio"], training__epochs=1, distill__audio__head_lr=1e-4)

    for k, row in enumerate(build_pack([run(k) for k in range(4)]).train_epoch()):
        other = run(k).train_epoch()
        assert not isinstance(row, TrialFailed) and row.keys() == other.keys()
        for key in [name for name in row if name.startswith("train_")]:
            assert row[key] == pytest.approx(other[key], rel=1e-5)


@pytest.mark.parametrize("kind", ["dist", "parallel"])
def test_a_student_that_turns_non_finite_fails_alone(kind: str) -> None:
    data = data_of(kind)

    def run(k: int) -> DistillationRun:
        wild = {"distill__audio__head_lr": 1e30, "optim__schedule": "constant", "optim__warmup_ratio": 0.0}
        return run_of(kind, k, data, LAYERS["audio"], **(wild if k == 1 else {}))

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


@pytest.mark.parametrize(
    ("settings", "shares"),
    [
        ({"distill__warm_epochs": 3, "distill__fused_weight": 0.5, "fusion__modality_dropout": 0.1}, True),
        ({"distill__video__weight": 2.0, "distill__video__head_lr": 0.5}, True),
        ({"distill__mode": "parallel"}, False),
        ({"fusion__width": 8}, False),
        (SELF, False),
    ],
)
def test_what_may_differ_in_a_pack_of_several_students(settings: dict[str, Any], shares: bool) -> None:
    shapes = [shape_of(distill_config(**{"distill__mode": "joint"} | own)) for own in ({}, settings)]
    assert all(shape.is_packable for shape in shapes) and (shapes[0] == shapes[1]) is shares
