"""What must hold of a member of a pack, whatever it trains.

Each check takes `build`, which makes the untrained run of the member with the given number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest
import torch

from mer.training import TrainingRun
from mer.training.packed import build_pack, pack_epochs

R = TypeVar("R", bound=TrainingRun)
Build = Callable[[int], TrainingRun]

_ROUNDED = {"dev_loss", "dev_ece"}  # of class scores in float32


def in_double(run: R) -> R:
    """Set a run to float64, so that the order of additions shows in the last digits only."""
    run.model.double()
    run.objective.double()
    if run.words_CLD is not None:
        run.words_CLD = run.words_CLD.double()
    if run.average is not None:
        run.average.restart()
    return run


def finished(run: R) -> R:
    """Train a run to its end without a pack."""
    while not run.finished:
        run.train_epoch()
    return run


def assert_equal(run: TrainingRun, reference: TrainingRun) -> None:
    assert len(run.history) == len(reference.history) > 0
    for mine, other in zip(run.history, reference.history, strict=True):
        assert mine.keys() == other.keys()
        for key in mine.keys() - {"seconds", "timestamp_ms"}:
            near = 1e-6 if key in _ROUNDED else 1e-9
            assert mine[key] == pytest.approx(other[key], rel=near, abs=near), key
    assert run.member.best.row["epoch"] == reference.member.best.row["epoch"]
    weights, expected = run.weights(), reference.weights()
    assert weights.keys() == expected.keys()
    for key, tensor in weights.items():
        torch.testing.assert_close(tensor, expected[key], rtol=1e-8, atol=1e-9, msg=key)


def assert_company_changes_nothing(build: Build) -> None:
    """Alone, and in packs of 1, 2, 3 and 8 with the members in another order; members may end at different epochs."""
    references = {k: finished(build(k)) for k in range(8)}
    for members in ([0], [1, 0], [2, 0, 1], [5, 3, 7, 0, 6, 1, 4, 2]):
        runs = {k: build(k) for k in members}
        pack_epochs(list(runs.values()))
        for k, run in runs.items():
            assert_equal(run, references[k])


def assert_breaks_change_nothing(build: Build) -> None:
    """Member 0 is cut after an epoch, 3 takes its place, all are saved, and go on in packs of another size or alone."""
    first = [build(k) for k in (0, 1, 2)]
    build_pack(first).train_epoch()
    joined = [first[1], build(3), first[2]]
    build_pack(joined).train_epoch()
    resumed = {}
    for k, run in zip((1, 3, 2), joined, strict=True):
        resumed[k] = build(k)
        resumed[k].load_state(*run.state())
    pack_epochs([resumed[2], resumed[3]])
    finished(resumed[1])  # unpacked
    for k in (1, 2, 3):
        assert_equal(resumed[k], finished(build(k)))


def assert_same_bits(build: Build) -> None:
    """Compare member 0's weights, in float32 on a CPU, alone and in packs of 2, 3 and 8."""

    def trained(members: list[int]) -> dict[str, torch.Tensor]:
        runs = [build(k) for k in members]
        pack_epochs(runs)
        return runs[members.index(0)].weights()

    alone = trained([0])
    for members in ([1, 0], [2, 0, 1], [3, 5, 1, 4, 0, 6, 2, 7]):
        weights = trained(members)
        assert [key for key in alone if not torch.equal(alone[key], weights[key])] == []
