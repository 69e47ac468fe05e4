"""Build the pack that runs of one shape need, and train it to the end."""

from __future__ import annotations

from collections.abc import Sequence

from mer.errors import TrialFailed
from mer.training.packed.distillation import DistillationPack
from mer.training.packed.run import Ending, Pack
from mer.training.run import TrainingRun


def build_pack(runs: Sequence[TrainingRun]) -> Pack:
    """Join runs of one shape, on one device, over the same utterances. Raises: ValueError when they have no shape."""
    return Pack(runs) if runs[0].config.distill is None else DistillationPack(runs)


def pack_epochs(runs: Sequence[TrainingRun]) -> list[Ending]:
    """Train all runs to their ends as one pack, compacting it as members end. Returns each run's last ending."""
    endings: dict[int, Ending] = {}
    live = [run for run in runs if not run.finished]
    while live:
        pack = build_pack(live)
        while True:
            told = pack.train_epoch()
            endings |= {id(run): ending for run, ending in zip(live, told, strict=True)}
            still = [
                run for run, ending in zip(live, told, strict=True)
                if not isinstance(ending, TrialFailed) and not run.finished
            ]  # fmt: skip
            if len(still) != len(live):
                break
        live = still
    return [endings[id(run)] for run in runs]
