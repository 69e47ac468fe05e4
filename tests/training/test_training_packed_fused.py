"""A member of a pack of fused models becomes what it would have become alone, for every fusion and every loss."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from packed_law import (
    assert_breaks_change_nothing,
    assert_company_changes_nothing,
    assert_equal,
    assert_same_bits,
    finished,
    in_double,
)
from test_training_packed import DoubleSplit, varied
from test_training_speed_guard import work_of
from tiers import slow_except
from toy_data import CLASSES, split, toy_config

from mer.errors import TrialFailed
from mer.training import FusedSplit, SplitArrays, TrainingData, TrainingRun
from mer.training.packed import Pack, pack_epochs, shape_of

KINDS: dict[str, dict[str, Any]] = {
    "concat": {"kind": "concat"},
    "deep": {"kind": "concat", "depth": 2},
    "lmf": {"kind": "lmf", "factor_width": 8, "rank": 3},
    "self_token": {"kind": "self_attention", "heads": 2},
    "self_mean": {"kind": "self_attention", "heads": 2, "layers": 2, "read": "mean"},
    "cross": {"kind": "cross_attention", "heads": 2, "layers": 2},
    "shifting": {"kind": "shifting", "heads": 2},
    "tgmoe": {"kind": "tgmoe", "heads": 2},
    "tgmoe_cv2": {"kind": "tgmoe", "heads": 2, "experts": 3, "top_k": 1, "balance": "cv2"},
    "tgmoe_quiet": {"kind": "tgmoe", "heads": 2, "noise": False, "balance": "none", "z_weight": 0.0},
    "mean": {"kind": "mean"},
    "tfn": {"kind": "tfn", "factor_width": 4},
    "misa": {"kind": "misa", "subspace_width": 8},
    "misa_quiet": {"kind": "misa", "subspace_width": 8, "reconstruction_weight": 0.0},
    "moe": {"kind": "moe", "experts": 3},
    "late": {"kind": "late"},
    "late_alone": {"kind": "late", "own_loss": 0.0},
    "met": {"kind": "self_attention", "heads": 2},  # with a contrast between modalities
    "met_late": {"kind": "late"},
}
LOSSES = ("focal-weighted", "supcon", "spcl", "spcl-probe", "spcl-spdcl-center", "apcl-polar", "apcl-none")
FORMS = ("concat-none", "mean-layernorm", "learned-standardize", "linear-probe", "nearest-center", "averaged")
TEXT, AUDIO, VIDEO = [[0, 2], [1, 2], [0, 1]], [[1], [0], [2]], [[2], [1], [1]]


def pairs() -> Iterator[tuple[str, str]]:
    """Every fusion with cross-entropy, every loss with two fusions, every way to read and to predict with one."""
    yield from ((kind, "none") for kind in KINDS)
    yield from (("shifting", loss) for loss in LOSSES)
    yield from (("tgmoe", loss) for loss in LOSSES)
    yield from (("misa", loss) for loss in ("focal-weighted", "spcl"))
    yield from (("concat", form) for form in FORMS)
    yield ("late", "focal-weighted")
    yield ("deep", "adversarial-spcl")
    yield from (("met", loss) for loss in ("none", "spcl"))
    yield ("met_late", "none")


def fused_data(exact: bool = True, modalities: int = 3) -> TrainingData:
    """Text of every row, sound of four in five, pictures of two in three; one text-less row would not be fused."""
    rng = np.random.default_rng(3)
    kind = DoubleSplit if exact else SplitArrays
    splits = {}
    for name, dialogues in (("train", 4), ("dev", 2)):
        parts = {}
        for m, absent in zip(("text", "audio", "video")[:modalities], (0.0, 0.2, 0.35), strict=False):
            own = split(name, dialogues, noise=0.5, seed=len(m))
            there = rng.random(len(own)) >= absent if absent else None
            parts[m] = kind(own.ids, own.features_NLD, own.labels_N, there)
        splits[name] = FusedSplit(parts)
    return TrainingData(splits["train"], splits["dev"], CLASSES)


def config_of(kind: str, loss: str, k: int, **dotted: Any) -> Any:
    """The configuration of member k: everything that members may differ in, differs."""
    fusion = {"width": 16, **KINDS[kind]}
    fusion |= {"dropout": [0.2, 0.0, 0.4][k % 3], "modality_dropout": [0.3, 0.0, 0.6][k % 3]}
    if kind == "shifting":
        fusion["threshold"] = [0.1, 0.5, 0.02][k % 3]
    if kind.startswith("misa"):
        fusion |= {"similarity_weight": [1.0, 0.2][k % 2], "difference_weight": [0.3, 1.0, 0.1][k % 3]}
    if kind in ("tgmoe", "tgmoe_cv2", "moe"):
        fusion |= {"balance_weight": [0.01, 0.5][k % 2], "z_weight": [1e-3, 0.1, 0.01][k % 3]}
    met = {}
    if kind.startswith("met"):
        met = {"weight": [0.5, 1.0, 0.1][k % 3], "temperature": [0.1, 0.5][k % 2]}
    if kind == "late":
        fusion["own_loss"] = [1.0, 0.3][k % 2]
    settings = {
        "encoders__text__layers": (0, 2),
        "encoders__audio__layers": (1,),
        "encoders__video__layers": (1,),
        **varied(loss, k),
        **{f"fusion__{name}": value for name, value in fusion.items()},
        **{f"loss__cross_modal__{name}": value for name, value in met.items()},
    }
    if settings.get("loss__contrastive__kind", "none") == "none" and loss != "mean-layernorm":
        settings |= {"head__hidden": 0}
    return toy_config(**settings | dotted)


def run_of(kind: str, loss: str, k: int, data: TrainingData, **dotted: Any) -> TrainingRun:
    layers = {"text": TEXT[k % 3], "audio": AUDIO[k % 3], "video": VIDEO[k % 3]}
    run = TrainingRun(config_of(kind, loss, k, **dotted), data, layers)
    return in_double(run) if isinstance(data.train.parts["text"], DoubleSplit) else run


@pytest.mark.parametrize(("kind", "loss"), slow_except(pairs(), ("tgmoe", "none"), ("late", "none"), ("misa", "none")))
def test_a_member_becomes_what_it_becomes_alone(kind: str, loss: str) -> None:
    data = fused_data()
    assert_company_changes_nothing(lambda k: run_of(kind, loss, k, data, training__epochs=2 + k % 2))


@pytest.mark.parametrize(("kind", "loss"), slow_except(pairs(), ("shifting", "spcl")))
def test_on_a_cpu_a_member_has_the_same_bits_in_any_pack(kind: str, loss: str) -> None:
    """The other members come from another corner: other seeds, rates and orders, and members that end earlier."""
    data = fused_data(exact=False)
    assert_same_bits(lambda k: run_of(kind, loss, k, data, fusion__width=32, training__epochs=2))


@pytest.mark.parametrize(("kind", "loss"), slow_except(pairs(), ("self_token", "none")))
def test_in_single_precision_the_first_epoch_agrees(kind: str, loss: str) -> None:
    """Losses, gradient norms and the first gradients along the same trajectory, at a rate that rounding survives."""
    data, slow = fused_data(exact=False), {"optim__head_lr": 1e-4, "training__epochs": 1}
    rows = Pack([run_of(kind, loss, k, data, **slow) for k in range(3)]).train_epoch()
    for k, row in enumerate(rows):
        other = run_of(kind, loss, k, data, **slow).train_epoch()
        for key in ("train_loss", "train_grad_norm"):
            assert row[key] == pytest.approx(other[key], rel=1e-5), key


@pytest.mark.parametrize(
    ("kind", "loss"), [("late", "none"), *slow_except([("tgmoe", "spcl"), ("lmf", "none"), ("concat", "averaged")])]
)
def test_cut_refilled_and_resumed_members_become_the_same(kind: str, loss: str) -> None:
    data = fused_data()
    assert_breaks_change_nothing(lambda k: run_of(kind, loss, k, data))


def test_two_modalities_and_a_split_without_sound() -> None:
    """Sound of no row: nothing of late fusion can be taken of it, and the row says nothing of it."""
    data = fused_data(modalities=2)

    def silent(whole: FusedSplit) -> FusedSplit:
        audio = replace(whole.parts["audio"], present_N=np.zeros(len(whole), dtype=bool))
        return replace(whole, parts={**whole.parts, "audio": audio})

    data = replace(data, train=silent(data.train), dev=silent(data.dev))

    def run(k: int) -> TrainingRun:
        made = TrainingRun(
            config_of("late", "none", k, encoders__video=None), data, {"text": TEXT[k % 3], "audio": AUDIO[k % 3]}
        )
        return in_double(made)

    runs = [run(k) for k in range(3)]
    pack_epochs(runs)
    for k, packed in enumerate(runs):
        assert_equal(packed, finished(run(k)))
        assert "train_loss_own_text" in packed.history[0] and "train_loss_own_audio" not in packed.history[0]


def test_a_member_that_turns_non_finite_fails_alone() -> None:
    data = fused_data(exact=False)
    wild = {"optim__head_lr": 1e30, "optim__schedule": "constant", "optim__warmup_ratio": 0.0}
    runs = [run_of("tgmoe", "none", k, data, **(wild if k == 1 else {})) for k in range(3)]
    told = pack_epochs(runs)
    assert isinstance(told[1], TrialFailed) and "became" in str(told[1]) and "epoch 1" in str(told[1])
    for k in (0, 2):
        assert runs[k].finished and all(math.isfinite(v) for row in runs[k].history for v in row.values())
        twin = run_of("tgmoe", "none", k, data)
        pack_epochs([twin])
        assert all(torch.equal(tensor, twin.weights()[name]) for name, tensor in runs[k].weights().items())


@pytest.mark.parametrize(
    ("settings", "shares"),
    [
        ({"fusion__dropout": 0.5, "fusion__modality_dropout": 0.5, "fusion__balance_weight": 0.3}, True),
        ({"seed": 9, "optim__head_lr": 1e-4, "fusion__z_weight": 0.5}, True),
        ({"fusion__z_weight": 0.0}, False),
        ({"fusion__balance_weight": 0.0}, False),
        ({"fusion__experts": 3}, False),
        ({"fusion__top_k": 1}, False),
        ({"fusion__noise": False}, False),
        ({"fusion__heads": 4}, False),
        ({"fusion__width": 32}, False),
        ({"encoders__video": None}, False),
        ({"encoders__audio__layers": (1, 2)}, False),
        ({"encoders__audio__layers": (2,)}, True),
    ],
)
def test_what_may_differ_in_a_pack(settings: dict[str, Any], shares: bool) -> None:
    one, other = config_of("tgmoe", "none", 0), config_of("tgmoe", "none", 0, **settings)
    assert (shape_of(one) == shape_of(other)) is shares


def test_models_that_read_dialogues_train_alone() -> None:
    shape = shape_of(config_of("concat", "none", 0, dialogue__kind="gru"))
    assert shape.reason == "it reads whole dialogues"


@pytest.mark.parametrize("kind", slow_except(["tgmoe", "late"], "late"))
def test_a_further_member_adds_no_work_but_its_own_optimiser_step(kind: str) -> None:
    """As for text: five operations, whatever the model; nothing is done member by member, or row by row."""

    def data_of(dialogues: int) -> TrainingData:
        parts = {m: split("train", dialogues, seed=len(m)) for m in ("text", "audio", "video")}
        return replace(fused_data(exact=False), train=FusedSplit(parts))

    def operations(members: int, dialogues: int) -> float:
        still = {"seed": 0, "optim__batch_size": 16, "optim__clip_norm": 1e-6, "training__epochs": 3}
        data = data_of(dialogues)
        runs = [run_of(kind, "none", 0, data, **still) for _ in range(members)]
        for run in runs:
            run.member.improves = lambda *_: False  # type: ignore[method-assign]
        return work_of(Pack(runs).train_epoch).operations

    few, many = ([operations(members, dialogues) for dialogues in (16, 32)] for members in (1, 5))
    assert ((many[1] - many[0]) - (few[1] - few[0])) / 9 / 4 <= 5.5  # 9 more steps, 4 more members
