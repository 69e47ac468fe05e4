"""A step may not grow slower unseen: the work of one training step is counted, alone and in a pack.

Counted are torch's operations, and the numbers that they write. Counts are the same on every machine and under any
load, unlike times. On small tensors a step's time is nearly proportional to its operations, on large ones to the
numbers written. Limits are counts plus a small margin. Who needs more for good reason raises a limit in the same
change, with a measurement (`python -m benchmarks.run --suite packs`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from toy_data import CLASSES, loss, split, toy_config, toy_data

from mer.training import TrainingData, TrainingRun
from mer.training.packed import Pack
from mer.training.packed.optimizer import PackedAdamW

LOSSES = {
    "none": loss("none"),
    "supcon": loss("supcon"),
    "spcl": loss("spcl", pool_size=512, support_size=8),
    "apcl": loss("apcl"),
    "eacl": loss("eacl"),
}
BATCH, MEMBERS = 64, 8
# by loss: most operations of a step alone, in a pack of one, and that each further member adds; most numbers written by
# a step alone, and for each member of a pack. Counts of 2026-11-27, rounded up by 6 operations, by 0.5, and by 1 %.
LIMITS = {
    "none": (160, 195, 2.5, 68_100, 73_100),
    "supcon": (238, 279, 2.5, 145_100, 136_100),
    "spcl": (372, 416, 2.5, 242_000, 235_900),
    "apcl": (293, 344, 10.5, 157_900, 159_800),  # its polar decomposition takes one matrix after another
    "eacl": (477, 574, 2.5, 191_800, 321_200),
}


class Work(NamedTuple):
    """What one step costs, all members together.

    Args: written: numbers in the tensors that operations return; a view writes none.
    """

    operations: float
    written: float


class Count(TorchDispatchMode):
    """Counts the work of torch inside the block."""

    def __init__(self) -> None:
        super().__init__()
        self.operations, self.written = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.operations += 1
        if not func.is_view:
            self.written += sum(t.numel() for t in tree_leaves(result) if isinstance(t, torch.Tensor))
        return result


def data_of(dialogues: int) -> TrainingData:
    """Nine utterances a dialogue; dev and label words are the same for any number of dialogues."""
    whole = toy_data()
    return TrainingData(split("train", dialogues), whole.dev, CLASSES, whole.label_text_CLD)


def runs_of(kind: str, data: TrainingData, members: int) -> list[TrainingRun]:
    """Runs that always clip, and in which no epoch is the best: what depends on chance is not counted."""
    settings = LOSSES[kind] | {"head__depth": 2, "training__epochs": 3}
    settings |= {"optim__batch_size": BATCH, "optim__clip_norm": 1e-6}
    runs = [TrainingRun(toy_config(**settings, seed=k), data, [0, 2]) for k in range(members)]
    for run in runs:
        run.member.improves = lambda *_: False  # type: ignore[method-assign]
    return runs


def work_of(epoch: Callable[[], object]) -> Work:
    """Work of the second epoch: the first makes what later ones find, such as the optimiser's moments."""
    epoch()
    with Count() as count:
        epoch()
    return Work(count.operations, count.written)


def per_step(begin: Callable[[TrainingData], Callable[[], object]]) -> Work:
    """Work of one step: what an epoch of more steps has more than one of fewer, over the number of these steps."""
    few, many = data_of(64), data_of(128)  # 576 and 1 152 rows: 9 and 18 full batches
    steps = (len(many.train) - len(few.train)) // BATCH
    less, more = work_of(begin(few)), work_of(begin(many))
    return Work((more.operations - less.operations) / steps, (more.written - less.written) / steps)


def alone(kind: str) -> Work:
    return per_step(lambda data: runs_of(kind, data, 1)[0].train_epoch)


def packed(kind: str, members: int) -> Work:
    return per_step(lambda data: Pack(runs_of(kind, data, members)).train_epoch)


@pytest.mark.parametrize("kind", LOSSES)
def test_the_work_of_a_step_alone_is_limited(kind: str) -> None:
    operations, _, _, written, _ = LIMITS[kind]
    work = alone(kind)
    assert (work.operations <= operations, work.written <= written) == (True, True), work


@pytest.mark.parametrize("kind", LOSSES)
def test_a_pack_does_the_work_of_a_step_once_for_all_members(kind: str) -> None:
    _, operations, member, _, written = LIMITS[kind]
    one, several = packed(kind, 1), packed(kind, MEMBERS)
    assert one.operations <= operations
    assert (several.operations - one.operations) / (MEMBERS - 1) <= member
    assert several.written / MEMBERS <= written


def test_a_loop_over_members_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest slow-down of a pack: one operation on a single number for each member in every step."""
    step = PackedAdamW.step

    def slower(self: PackedAdamW, *how: Any) -> torch.Tensor:
        norm_P = step(self, *how)
        return torch.stack([norm_P[k].clone() for k in range(len(norm_P))])

    monkeypatch.setattr(PackedAdamW, "step", slower)
    with pytest.raises(AssertionError):
        test_a_pack_does_the_work_of_a_step_once_for_all_members("spcl")


def test_a_draw_over_whole_pools_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few operations, much work: random keys and an order for all places of the pools."""
    step = TrainingRun._step

    def slower(self: TrainingRun, rows_B: Any) -> dict[str, float]:
        torch.rand(len(CLASSES), 512).topk(8)
        torch.rand(len(CLASSES), 512).argsort()
        return step(self, rows_B)

    monkeypatch.setattr(TrainingRun, "_step", slower)
    with pytest.raises(AssertionError):
        test_the_work_of_a_step_alone_is_limited("spcl")
