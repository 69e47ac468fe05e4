"""Build the pack that runs of one shape need, and train it to the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mer.errors import TrialFailed
from mer.training.folds import FoldedRun
from mer.training.packed.distillation import DistillationPack
from mer.training.packed.folds import FoldsPack, share_a_program
from mer.training.packed.run import Ending, Pack
from mer.training.packed.shape import shape_of
from mer.training.run import TrainingRun

Run = TrainingRun | FoldedRun
Program = Callable[[], Sequence[Ending]]  # trains one epoch of its runs


def build_pack(runs: Sequence[TrainingRun]) -> Pack:
    """Join runs of one shape, on one device, over the same utterances. Raises: ValueError when they have no shape."""
    return Pack(runs) if runs[0].config.distill is None else DistillationPack(runs)


def build_program(runs: Sequence[Run]) -> Program:
    """Return what trains an epoch of runs of one shape. A run that cannot be packed comes alone.

    Runs over folds share a pack for each fold, with its rows; where they are few, all folds share one program.
    """
    if not shape_of(runs[0].config).is_packable:
        (run,) = runs
        return lambda: [run.train_epoch()]
    folded = [run for run in runs if isinstance(run, FoldedRun)]
    if not folded:
        return build_pack([run for run in runs if isinstance(run, TrainingRun)]).train_epoch
    folds = [list(parts) for parts in zip(*(run.parts for run in folded), strict=True)]
    if share_a_program(folds):
        together = FoldsPack(folds)
        return lambda: _over_folds(folded, together.train_epoch())
    packs = [build_pack(parts) for parts in folds]
    return lambda: _over_folds(folded, [pack.train_epoch() for pack in packs])


def _over_folds(runs: Sequence[FoldedRun], told: Sequence[Sequence[Ending]]) -> list[Ending]:
    """Return each run's row over its folds, or why it failed. Args: told: endings of each fold's members."""
    endings: list[Ending] = []
    for run, of_folds in zip(runs, zip(*told, strict=True), strict=True):
        faults = [(fold, one) for fold, one in enumerate(of_folds, start=1) if isinstance(one, TrialFailed)]
        rows = [one for one in of_folds if not isinstance(one, TrialFailed)]
        endings.append(TrialFailed(f"fold {faults[0][0]}: {faults[0][1]}") if faults else run.end_epoch(rows))
    return endings


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
