"""How many trials a worker takes: as the user says, or by shape, memory and what is left to do."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from study_helpers import make_spec

from mer.config import TrialConfig, nest
from mer.study.preflight.pack_plan import plan_packs
from mer.study.preflight.timed_trial import TrialOnMadeUpRows, seconds_in_packs
from mer.study.search.pack_sizes import PackSizes, learning_size, queue_room
from mer.study.space.spec import Resources, Sampler
from mer.training.packed.size import (
    MOST_ON_CPU,
    MOST_ON_GPU,
    Reads,
    auto_size,
    member_bytes,
    model_of,
    row_bytes,
    weight_count,
)

TEXT = {"text": Reads(384, 1)}
WIDTHS = ("head.hidden: {int: [8, 64]}", "head.hidden: {choice: [32, 64]}")


def config(**dotted: Any) -> TrialConfig:
    dotted = {"encoders__text__backbone": "minilm"} | dotted
    return TrialConfig.model_validate(nest({key.replace("__", "."): value for key, value in dotted.items()}))


def sizes(pack: Any = "auto", workers: int = 2, unfinished: int = 1000, gpu: float = 0) -> PackSizes:
    return PackSizes(Resources(pack=pack, gpu=gpu), workers, lambda: unfinished)


def test_the_user_decides() -> None:
    assert sizes(pack=5, unfinished=1)(config()) == 5
    assert sizes(pack=1)(config()) == 1


def test_what_cannot_be_packed_is_alone() -> None:
    assert sizes(pack=5)(config(loss__contrastive__kind="spcl", loss__contrastive__curriculum=True)) == 1


@pytest.mark.parametrize(
    ("unfinished", "workers", "size"),
    [(6, 2, 3), (5, 2, 3), (1, 2, 1), (0, 2, 1), (24, 2, 8), (13, 2, 7), (1000, 2, 8)],
)
def test_no_worker_idles_while_another_has_a_full_pack(unfinished: int, workers: int, size: int) -> None:
    assert sizes(workers=workers, unfinished=unfinished)(config(head__hidden=128)) == size


@pytest.mark.parametrize(
    ("kind", "trials", "most"),
    [("tpe", 24, 4), ("tpe", 60, 4), ("tpe", 200, 12), ("gp", 1000, 62), ("random", 24, None)],
)
def test_a_sampler_that_learns_has_an_eighth_of_its_trials_in_training(kind: Any, trials: int, most: int) -> None:
    assert learning_size(Sampler(kind=kind), trials, 1, 2) == most
    assert learning_size(Sampler(kind=kind), trials, trials, 2) is None, "nothing is left to propose"
    capped = PackSizes(Resources(), 2, lambda: trials, most)
    assert capped(config(head__hidden=128)) == min(most or MOST_ON_CPU, MOST_ON_CPU)
    assert PackSizes(Resources(pack=7), 2, lambda: trials, most)(config()) == 7, "the user decides"


def test_wide_heads_make_smaller_packs_on_a_cpu() -> None:
    by_width = [auto_size(config(head__hidden=hidden, head__depth=2), TEXT, "cpu") for hidden in (128, 512, 2048, 8192)]
    assert by_width[0] == MOST_ON_CPU and by_width == sorted(by_width, reverse=True)
    assert by_width[-1] == 1 and by_width[2] < by_width[1]


def test_a_gpu_is_filled_by_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    spcl = config(loss__contrastive__kind="spcl")
    one = member_bytes(spcl, TEXT)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for free, share, size in ((100.5 * one, 0.5, 40), (2.0**45, 1.0, MOST_ON_GPU), (1.0, 1.0, 1)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda free=free: (int(free), int(2 * free)))
        assert auto_size(spcl, TEXT, "cuda", share) == size


@pytest.mark.parametrize(
    ("settings", "weights"),
    [
        ({"head__hidden": 0}, 384 * 8 + 8),
        ({"head__hidden": 64, "head__depth": 2}, 384 * 64 + 64 + 64 * 64 + 64 + 64 * 8 + 8),
        ({"head__hidden": 64, "head__layer_mix": "concat"}, 3 * 384 * 64 + 64 + 64 * 8 + 8),
    ],
)
def test_weights_are_counted_as_the_model_has_them(settings: dict[str, Any], weights: int) -> None:
    plain = {"head__input_norm": "standardize", "head__layer_mix": "mean"} | settings
    assert weight_count(model_of(config(**plain), {"text": Reads(384, 3)})) == weights


SEVERAL = {"text": Reads(384, 3), "audio": Reads(160, 1), "video": Reads(24, 1)}
FUSED = {"encoders__audio__backbone": "melstats", "encoders__video__backbone": "framestats", "head__hidden": 0}


@pytest.mark.parametrize("kind", ["concat", "lmf", "self_attention", "cross_attention", "shifting", "tgmoe", "late"])
def test_every_fusion_has_a_size(kind: str) -> None:
    small, large = (config(**FUSED, fusion__kind=kind, fusion__width=width) for width in (64, 512))
    assert 0 < member_bytes(small, SEVERAL) < member_bytes(large, SEVERAL)
    assert auto_size(small, SEVERAL, "cpu") == MOST_ON_CPU


def test_what_a_fusion_s_step_keeps_is_counted() -> None:
    """More experts keep more of every row; a batch twice as large keeps twice as much."""
    few, many = (config(**FUSED, fusion__kind="tgmoe", fusion__experts=experts) for experts in (2, 16))
    rows = [row_bytes(one, model_of(one, SEVERAL), SEVERAL) for one in (few, many)]
    assert rows[1] - rows[0] >= 14 * 2 * 256 * 4  # of each expert what its activation and its answer are made of
    twice = config(**FUSED, fusion__kind="tgmoe", fusion__experts=2, optim__batch_size=2 * few.optim.batch_size)
    assert member_bytes(twice, SEVERAL) - member_bytes(few, SEVERAL) == 2 * few.optim.batch_size * rows[0]


def test_a_study_of_fusions_says_who_shares_a_worker() -> None:
    one = config(**FUSED, fusion__kind="concat", fusion__width=64)
    assert sizes(unfinished=1000)(one) == MOST_ON_CPU
    assert sizes(pack=5)(config(**FUSED, fusion__kind="concat", dialogue__kind="gru")) == 1


def test_the_dry_run_says_who_shares_a_worker(tmp_path) -> None:
    (line,) = plan_packs(make_spec(tmp_path, WIDTHS, overrides=("budget.trials=64",)), workers=2).words
    assert line.startswith("a worker trains about 7.1 trials of one shape at once, at most 8; 128 draws have 2 shapes")
    (line,) = plan_packs(make_spec(tmp_path, WIDTHS, overrides=("budget.trials=4",)), workers=2).words
    assert ", at most 2; " in line


def test_a_queue_is_long_only_where_nothing_is_learned(tmp_path) -> None:
    """Trials of 57 shapes: who may ask far ahead finds pairs, who learns from results does not."""
    long, short = (
        plan_packs(make_spec(tmp_path, overrides=("budget.trials=64", f"sampler.kind={kind}")), 2).mean
        for kind in ("random", "tpe")
    )
    assert short < 1.2 < long


@pytest.mark.parametrize(
    ("kind", "trials", "room"), [("tpe", 60, 3), ("tpe", 1000, 62), ("gp", 10_000, 128), ("random", 10, 128)]
)
def test_the_queue_grows_with_the_study(kind: Any, trials: int, room: int) -> None:
    assert queue_room(Sampler(kind=kind), trials) == room


def test_the_dry_run_says_who_cannot_and_why(tmp_path) -> None:
    some = (
        "params:\n",
        "params:\n  loss.contrastive.curriculum: {choice: [true, false]}\n",
    )
    first, second = plan_packs(make_spec(tmp_path, WIDTHS, some), workers=2).words
    assert "a worker trains about" in first
    assert second.endswith("% of the trials train alone: its curriculum chooses the rows of each epoch")
    alone = ("{contrastive: {kind: spcl}}", "{contrastive: {kind: spcl, curriculum: true}}")
    (only,) = plan_packs(make_spec(tmp_path, alone), workers=2).words
    assert only == "100 % of the trials train alone: its curriculum chooses the rows of each epoch"


class Timed(TrialOnMadeUpRows):
    """Notes which packs were timed; a member of one takes a quarter of the time."""

    asked: ClassVar[list[tuple[int, int]]] = []

    def in_pack(self, config: TrialConfig, members: int) -> float:
        self.asked.append((config.head.hidden, members))
        return 1.0


def test_the_cost_of_a_study_is_that_of_its_packs(monkeypatch) -> None:
    monkeypatch.setattr(Timed, "asked", [])
    curriculum = config(loss__contrastive__kind="spcl", loss__contrastive__curriculum=True)
    widths = [32, 32, 64, 16, 8, 128]
    alone = [(config(head__hidden=width), 4.0) for width in widths] + [(curriculum, 8.0)]
    size_of = lambda one: 1 if one is curriculum else 12 if one.head.hidden == 32 else 3  # noqa: E731
    seconds = seconds_in_packs(alone, size_of, Timed({"train": 10, "dev": 5}, 3, {}))
    assert seconds == [1.0] * 6 + [8.0], "the last shape is not timed: it saves as much; who is alone saves nothing"
    assert Timed.asked == [(32, 8), (64, 3), (16, 3), (8, 3)]


def test_a_pack_on_made_up_rows_is_timed_for_each_of_its_members() -> None:
    trial = TrialOnMadeUpRows({"train": 40, "dev": 20}, 3, {})
    one = config(head__hidden=8)
    weights, seconds = trial.alone(one)
    assert weights == pytest.approx(weight_count(model_of(one, TEXT)), rel=0.1) and 0 < seconds < 60
    assert 0 < trial.in_pack(one, 4) < 60


def test_a_plan_knows_the_pack_of_each_shape(tmp_path) -> None:
    plan = plan_packs(make_spec(tmp_path, WIDTHS, overrides=("budget.trials=64", "resources.pack=4")), workers=2)
    assert plan.are_there and {round(size) for size in plan.by_shape.values()} <= {3, 4}
    assert plan.size_of(config(loss__contrastive__kind="spcl", loss__contrastive__curriculum=True)) == 1
    single = plan_packs(make_spec(tmp_path, WIDTHS, overrides=("resources.pack=1",)), workers=2)
    assert not single.are_there and single.mean == 1
