"""Throughput of the folds of one trial and of two: as one program, and one fold after another.

Four folds of random features of a small corpus of speech (960 rows of 155 numbers, no two folds of one size). Needs the
core only, as suite packs.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.measure import Ratio, Table, Values, alternate
from benchmarks.options import Options

if TYPE_CHECKING:
    from mer.training import TrainingData, TrainingRun

_FOLDS, _WIDTH, _CLASSES = 4, 155, 8
_SECONDS = 2.0
_ENDLESS = 10**6
_TOGETHER, _APART = "one program", "one after another"


def measure(options: Options) -> list[Table]:
    import torch

    torch.set_num_threads(1)
    return [_table(options, trials) for trials in (1, 2)]


def _table(options: Options, trials: int) -> Table:
    def contestant(together: bool) -> Values:
        from mer.training.packed import Pack
        from mer.training.packed.folds import FoldsPack

        folds = [[_run(seed, fold, options) for seed in range(trials)] for fold in range(_FOLDS)]
        programs = [FoldsPack(folds)] if together else [Pack(runs) for runs in folds]
        for program in programs:  # the first epoch, in which memory is had, is not timed
            program.train_epoch()
        epochs, started = 0, time.perf_counter()
        while epochs == 0 or time.perf_counter() - started < (0.05 if options.tiny else _SECONDS):
            for program in programs:
                program.train_epoch()
            epochs += 1
        return {_TOGETHER if together else _APART: trials * epochs / (time.perf_counter() - started)}

    both = {_APART: lambda: contestant(False), _TOGETHER: lambda: contestant(True)}
    rounds = alternate(both, options.pairs, options.say, options.most_rounds)
    title = f"{_FOLDS} folds of {trials} trial{'s' if trials > 1 else ''}, width 256, batch 64"
    return Table(title, "epochs of a trial/s", rounds, [Ratio(_TOGETHER, _APART)], options.pairs, [])


def _run(seed: int, fold: int, options: Options) -> TrainingRun:
    from mer.config import TrialConfig
    from mer.training import TrainingRun

    settings = {
        "seed": seed,
        "encoders": {"audio": {"backbone": "melstats", "layers": "last"}},
        "optim": {"batch_size": 64},
        "training": {"epochs": _ENDLESS},
    }
    return TrainingRun(TrialConfig.model_validate(settings), _data(fold, options.tiny), [0])


def _data(fold: int, tiny: bool) -> TrainingData:
    import numpy as np

    from mer.training import SplitArrays, TrainingData

    rng = np.random.default_rng(fold)
    sizes = {"train": (200 if tiny else 720) + 8 * fold, "dev": (64 if tiny else 240) - 8 * fold}
    splits = [
        SplitArrays(
            tuple(f"{name}{row}" for row in range(rows)),
            rng.standard_normal((rows, 1, _WIDTH)).astype(np.float16),
            np.arange(rows) % _CLASSES,
        )
        for name, rows in sizes.items()
    ]
    return TrainingData(*splits, tuple(f"class{index}" for index in range(_CLASSES)))
