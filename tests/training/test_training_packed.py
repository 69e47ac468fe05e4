"""A member of a pack becomes what it would have become alone: in any company, at any size, cut, refilled or resumed."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
from tiers import slow_except
from toy_data import LAYERS, VARIANTS, toy_config, toy_data

from mer.errors import TrialFailed
from mer.training import SplitArrays, TrainingData, TrainingRun
from mer.training.packed import Pack, pack_epochs, shape_of
from mer.training.packed.optimizer import PackedAdamW

ALONE = {"spcl-curriculum", "spcl-nearest-center", "eacl-two-stages", "averaged-eacl-two-stages"}
PACKED = [name for name in VARIANTS if name not in ALONE]


class DoubleSplit(SplitArrays):
    """Features as float64, so that the order of additions shows in the last digits only."""

    def batch(self, rows: np.ndarray, layers: list[int], device: str = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
        x, y = super().batch(rows, layers, device)
        return x.double(), y


def double_data(masked: bool = False) -> TrainingData:
    data = toy_data()
    rng = np.random.default_rng(1)
    splits = {}
    for name in ("train", "dev"):
        split = getattr(data, name)
        there = rng.random(len(split)) > 0.2 if masked else None
        splits[name] = DoubleSplit(split.ids, split.features_NLD, split.labels_N, there)
    return replace(data, **splits)


def varied(name: str, k: int) -> dict[str, Any]:
    """Settings of member k: everything that members may differ in, differs."""
    settings = {"training__epochs": 3} | VARIANTS[name]
    settings |= {
        "seed": k,
        "optim__head_lr": [0.02, 0.003, 0.01, 0.05][k % 4],
        "optim__weight_decay": [0.01, 0.0, 0.3][k % 3],
        "optim__warmup_ratio": [0.06, 0.0, 0.3][k % 3],
        "optim__schedule": ["cosine", "constant", "linear"][k % 3],
        "optim__clip_norm": [1.0, 0.05, 50.0][k % 3],
        "head__dropout": [0.2, 0.0, 0.5][k % 3],
        "head__input_dropout": [0.1, 0.3, 0.0, 0.2][k % 4],
        "training__epochs": settings["training__epochs"] + k % 2,
        "loss__classification__logit_adjustment": [0.0, 0.5][k % 2],
        "loss__classification__class_weight": ["none", "power", "effective"][k % 3],
    }
    if settings.get("loss__classification__kind") == "focal":
        settings["loss__classification__focal_gamma"] = [2.0, 0.5, 0.0][k % 3]
    else:
        settings["loss__classification__label_smoothing"] = [0.0, 0.1, 0.3][k % 3]
    kind = settings.get("loss__contrastive__kind", "none")
    if kind != "none":
        settings["loss__contrastive__temperature"] = [0.08, 0.2, 0.5][k % 3]
    if kind == "spcl":
        settings["loss__contrastive__support_size"] = [4, 2, 8][k % 3]
        settings["loss__contrastive__pool_size"] = [16, 9, 24, 12][k % 4]
        settings["loss__contrastive__hinge"] = [0.0, 0.05][k % 2]
    if kind == "apcl":
        settings["loss__contrastive__beta"], settings["loss__contrastive__gamma"] = [(0.1, 0.1), (0.5, 0.6)][k % 2]
    if kind in ("supcon", "spcl", "apcl") and not settings.get("loss__classification__probe"):
        settings["loss__contrastive__weight"] = [1.0, 0.3, 2.0][k % 3]
    if "loss__adversarial__weight" in settings:
        settings["loss__adversarial__weight"] = [0.5, 1.0, 0.2][k % 3]
        settings["loss__adversarial__epsilon"] = [0.3, 1.0, 2.0][k % 3]
    if "optim__ema_decay" in settings:
        settings["optim__ema_decay"] = [0.9, 0.5][k % 2]
    if "optim__swa__kind" in settings:
        settings["optim__swa__rate"] = [0.5, 1.0, 0.2][k % 3]
        settings["optim__swa__start"] = [0.3, 0.6][k % 2]
    return settings


def double_run(name: str, k: int, data: TrainingData) -> TrainingRun:
    layers = [[0, 2], [1, 2], [0, 1]][k % 3]
    return in_double(TrainingRun(toy_config(**varied(name, k)), data, layers))


def alone(name: str, k: int, data: TrainingData) -> TrainingRun:
    return finished(double_run(name, k, data))


@pytest.mark.parametrize("name", slow_except(PACKED, "none", "spcl"))
def test_a_member_becomes_what_it_becomes_alone(name: str) -> None:
    data = double_data()
    assert_company_changes_nothing(lambda k: double_run(name, k, data))


@pytest.mark.parametrize("name", ["none", "spcl", "learned-standardize"])
def test_rows_that_are_absent_are_masked_alike(name: str) -> None:
    data = double_data(masked=True)
    runs = [double_run(name, k, data) for k in (0, 1, 2)]
    pack_epochs(runs)
    for k, run in enumerate(runs):
        assert_equal(run, alone(name, k, data))


@pytest.mark.parametrize("name", ["spcl", "apcl-polar", "averaged", "walked"])
def test_cut_refilled_and_resumed_members_become_the_same(name: str) -> None:
    data = double_data()
    assert_breaks_change_nothing(lambda k: double_run(name, k, data))


def test_in_single_precision_the_first_epoch_agrees() -> None:
    """Losses and gradient norms along the same trajectory; ten steps in float32."""
    settings = [VARIANTS["spcl"] | {"seed": k, "training__epochs": 1, "optim__head_lr": 1e-3} for k in range(4)]
    runs = [TrainingRun(toy_config(**own), toy_data(), [0, 2]) for own in settings]
    rows = Pack(runs).train_epoch()
    for own, row in zip(settings, rows, strict=True):
        other = TrainingRun(toy_config(**own), toy_data(), [0, 2]).train_epoch()
        for key in ("train_loss", "train_grad_norm", "train_loss_contrastive"):
            assert row[key] == pytest.approx(other[key], rel=1e-5)
        assert row["dev_weighted_f1"] == other["dev_weighted_f1"]


@pytest.mark.parametrize(
    "name",
    slow_except(
        [name for name in PACKED if name not in ("linear-probe", "min-linear", "patience")], "spcl", "apcl-polar"
    ),
)
def test_on_a_cpu_a_member_has_the_same_bits_in_any_pack(name: str) -> None:
    """Batches of 8 rows and a rest of 4, widths of whole lanes; the other members come from another corner."""
    data = toy_data()
    own = {"head__hidden": 64, "training__epochs": 2}
    assert_same_bits(lambda k: TrainingRun(toy_config(**varied(name, k) | own), data, [0, 2]))


def test_a_pack_repeats_itself_bit_for_bit() -> None:
    def trained() -> list[TrainingRun]:
        runs = [TrainingRun(toy_config(**VARIANTS["spcl"], seed=k), toy_data(), [0, 2]) for k in range(3)]
        pack_epochs(runs)
        return runs

    for one, other in zip(trained(), trained(), strict=True):
        assert all(torch.equal(tensor, other.weights()[name]) for name, tensor in one.weights().items())


def test_a_member_that_turns_non_finite_fails_alone() -> None:
    data = toy_data()

    def run(k: int) -> TrainingRun:
        wild = {"optim__head_lr": 1e30, "optim__schedule": "constant", "optim__warmup_ratio": 0.0} if k == 1 else {}
        return TrainingRun(toy_config(**VARIANTS["spcl"], seed=k, **wild), data, [0, 2])

    runs = [run(k) for k in range(3)]
    told = pack_epochs(runs)
    assert isinstance(told[1], TrialFailed) and "became" in str(told[1]) and "epoch 1" in str(told[1])
    lone = run(1)
    with pytest.raises(TrialFailed) as caught:
        lone.train_epoch()
    assert str(caught.value).split(" at step")[1] == str(told[1]).split(" at step")[1]
    for k in (0, 2):
        assert runs[k].finished and all(math.isfinite(v) for row in runs[k].history for v in row.values())


def test_a_gradient_that_is_not_finite_leaves_the_others_clipped() -> None:
    """Comparisons with NaN are false, wherever in the pack it stands."""
    for wrong in range(3):
        weight = torch.ones(3, 4, 2).requires_grad_()
        optimizers = [torch.optim.AdamW([{"name": "head", "params": [torch.zeros(4, 2)]}]) for _ in range(3)]
        packed = PackedAdamW([weight], optimizers, [1.0] * 3)
        weight.grad = torch.full((3, 4, 2), 100.0)
        weight.grad[wrong] = math.nan
        packed.step(torch.full((3,), 0.1, dtype=torch.float64))
        others = [k for k in range(3) if k != wrong]
        clipped = torch.full((2, 4, 2), 0.1 / 8**0.5)  # a tenth of a gradient of norm 1 enters the first moment
        torch.testing.assert_close(packed.moments[0][0][others], clipped)


def test_macro_f1_is_over_the_classes_that_occur() -> None:
    """A dataset may have fewer classes than its reader knows."""
    data = replace(toy_data(), class_names=("neutral", "joy", "anger", "never"))
    alone, packed = (TrainingRun(toy_config(), data, [0, 2]) for _ in range(2))
    (row,) = Pack([packed]).train_epoch()
    assert not isinstance(row, TrialFailed)
    assert row["dev_macro_f1"] == pytest.approx(alone.train_epoch()["dev_macro_f1"])


def test_step_counts_and_moments_are_those_of_an_ordinary_optimiser() -> None:
    runs = [TrainingRun(toy_config(seed=k), toy_data(), [0, 2]) for k in range(2)]
    Pack(runs).train_epoch()
    reference = TrainingRun(toy_config(seed=0), toy_data(), [0, 2])
    reference.train_epoch()
    mine, other = (run.optimizer.state_dict()["state"] for run in (runs[0], reference))
    assert mine.keys() == other.keys()
    for index, entries in other.items():
        assert mine[index].keys() == entries.keys() and mine[index]["step"] == entries["step"] == 5
        torch.testing.assert_close(mine[index]["exp_avg_sq"], entries["exp_avg_sq"], rtol=1e-4, atol=1e-9)


def optimised(on_device: bool, steps: int = 4) -> Sequence[torch.Tensor]:
    torch.manual_seed(0)
    weights = [torch.randn(3, 5, 4, dtype=torch.float64).requires_grad_(), torch.randn(3, 5, dtype=torch.float64)]
    weights[1].requires_grad_()
    own = [[torch.nn.Parameter(w.data[k]) for w in weights] for k in range(3)]
    for k in range(3):
        for parameter, weight in zip(own[k], weights, strict=True):
            parameter.data = weight.data[k]
    groups = [
        [{"params": p[:1], "weight_decay": 0.1 * k}, {"params": p[1:], "weight_decay": 0.0}] for k, p in enumerate(own)
    ]
    packed = PackedAdamW(weights, [torch.optim.AdamW(g) for g in groups], [1.0, 0.1, 100.0])
    if on_device:
        packed.is_cpu = False
        packed.place_on(torch.device("cpu"))
    for _ in range(steps):
        for weight in weights:
            weight.grad = torch.randn_like(weight) * 3
        packed.step(torch.tensor([0.1, 0.01, 0.3], dtype=torch.float64))
    return [weight.detach() for weight in weights]


def test_both_ways_to_step_do_the_same() -> None:
    for fused, stacked in zip(optimised(False), optimised(True), strict=True):
        torch.testing.assert_close(fused, stacked, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "shares"),
    [
        ({"seed": 5, "optim__head_lr": 1e-4, "head__dropout": 0.6, "training__epochs": 9}, True),
        ({"loss__classification__label_smoothing": 0.2, "optim__ema_decay": 0.9}, True),
        ({"head__hidden": 32}, False),
        ({"head__depth": 2}, False),
        ({"optim__batch_size": 16}, False),
        ({"loss__contrastive__kind": "supcon"}, False),
        ({"loss__classification__kind": "focal"}, False),
        ({"training__prediction": "nearest_center"}, False),
        ({"data__root": "elsewhere"}, False),
        ({"loss__adversarial__weight": 1.0}, False),
    ],
)
def test_what_may_differ_in_a_pack(settings: dict[str, Any], shares: bool) -> None:
    assert (shape_of(toy_config(**settings)) == shape_of(toy_config())) is shares


@pytest.mark.parametrize(
    ("modality", "settings", "shares"),
    [
        ("text", {"context__past": 4, "pooler": "target", "layers": "last"}, True),
        ("text", {"layers": (1, 2)}, False),
        ("text", {"backbone": "elsewhere"}, False),
        ("audio", {"max_seconds": 5.0}, False),  # which clips are masked may differ
    ],
)
def test_which_features_may_differ_in_a_pack(modality: str, settings: dict[str, Any], shares: bool) -> None:
    usual = {f"encoders__{modality}__layers": (3,)}
    other = usual | {f"encoders__{modality}__{name}": value for name, value in settings.items()}
    assert (shape_of(toy_config(**other)) == shape_of(toy_config(**usual))) is shares


def test_members_that_read_different_files_become_what_they_become_alone() -> None:
    config = toy_config(**VARIANTS["spcl"])
    alone, packed = ([TrainingRun(config, toy_data(noise), [0, 2]) for noise in (0.3, 1.0)] for _ in range(2))
    pack_epochs(packed)
    for run, twin in zip(packed, alone, strict=True):
        pack_epochs([twin])
        assert [row["dev_weighted_f1"] for row in run.history] == [row["dev_weighted_f1"] for row in twin.history]
        assert run.history[-1]["train_loss"] == pytest.approx(twin.history[-1]["train_loss"], rel=1e-4)
    assert packed[0].history[-1]["train_loss"] != pytest.approx(packed[1].history[-1]["train_loss"], rel=1e-2)


@pytest.mark.parametrize("name", sorted(ALONE))
def test_what_cannot_be_packed_says_why(name: str) -> None:
    shape = shape_of(toy_config(**VARIANTS[name]))
    assert not shape.is_packable and shape.reason
    with pytest.raises(ValueError, match="one shape that can be packed"):
        Pack([TrainingRun(toy_config(**VARIANTS[name]), toy_data(), list(range(LAYERS)))])


def test_runs_of_two_shapes_are_refused() -> None:
    runs = [TrainingRun(toy_config(head__hidden=width), toy_data(), [0, 2]) for width in (8, 16)]
    with pytest.raises(ValueError, match="one shape"):
        Pack(runs)
