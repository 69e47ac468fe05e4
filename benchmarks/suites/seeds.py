"""Five seeds of one configuration, trained as one pack and one after another: what `mer.evaluate` does, in the core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.measure import Ratio, Table, Values, alternate
from benchmarks.options import Options, training_data

if TYPE_CHECKING:
    from mer.training import TrainingRun

SEEDS = (0, 42, 43, 114, 3407)


def measure(options: Options) -> list[Table]:
    import torch

    from benchmarks.suites.packs import LOSSES, member
    from mer.training.packed import pack_epochs

    torch.set_num_threads(1)
    data = training_data(options)
    epochs = 1 if options.tiny else 10

    def runs(loss: str) -> list[TrainingRun]:
        return [member(loss, 16 if options.tiny else 256, seed, data, options.device, epochs) for seed in SEEDS]

    def one_by_one(loss: str) -> Values:
        for run in runs(loss):
            while not run.finished:
                run.train_epoch()
        return {}

    def as_a_pack(loss: str) -> Values:
        pack_epochs(runs(loss))
        return {}

    tables = []
    for loss in options.losses or (("spcl",) if options.tiny else LOSSES):
        contestants = {"single runs": lambda loss=loss: one_by_one(loss), "one pack": lambda loss=loss: as_a_pack(loss)}
        rounds = alternate(contestants, options.pairs, options.say, options.most_rounds)
        title = f"5 seeds x {epochs} epochs on {options.device}, loss {loss}, width 256"
        tables.append(Table(title, "s", rounds, [Ratio("one pack", "single runs")], options.pairs))
    return tables
