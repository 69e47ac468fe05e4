"""Time per training step with the layer-split cache and without it, for several numbers of frozen layers.

    python -m benchmarks.layer_split datasets/MELD [--backbone minilm] [--frozen 0 3 5] [--mode lora]

The same rows in the same order, on one thread; the ways take turns, and the fastest of a few rounds counts, since other
processes can only slow a round down. Also says how far the losses of the first steps are apart.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from mer.config import TrialConfig
from mer.console import quiet_libraries
from mer.study.preflight.feature_plan import SPLITS, ensure_config
from mer.training import build_run
from mer.training.tuning import TuningRun
from trainables.shared_table import as_training_data, read_table

STEPS, ROUNDS, CHECKED = 16, 4, 3


def main() -> None:
    quiet_libraries()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root")
    parser.add_argument("--backbone", default="minilm")
    parser.add_argument("--frozen", type=int, nargs="+", default=[0, 3, 5])
    parser.add_argument("--mode", default="lora", choices=["lora", "full"])
    parser.add_argument("--cache", type=Path, default=Path("features"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    ways = [(frozen, cached) for frozen in given.frozen for cached in ((True, False) if frozen else (True,))]
    runs = {way: build(given, *way) for way in ways}
    losses = {way: [step(run, number)[0] for number in range(CHECKED)] for way, run in runs.items()}
    seconds: dict[tuple[int, bool], list[float]] = {way: [] for way in ways}
    for turn in range(ROUNDS):
        for way, run in runs.items():
            taken = [step(run, CHECKED + turn * STEPS + number)[1] for number in range(STEPS)]
            seconds[way].append(sum(taken) / STEPS)
    whole = min(seconds[0, True]) if (0, True) in seconds else None
    print(f"{given.backbone}, {given.mode}, batches of {next(iter(runs.values())).config.optim.batch_size}, one thread")
    for (frozen, cached), taken in seconds.items():
        steps = -(-len(runs[frozen, cached].data.train) // runs[frozen, cached].config.optim.batch_size)
        line = f"frozen {frozen}, {'cached' if cached else 'live  '}: {1000 * min(taken):7.1f} ms/step"
        line += f", {steps * min(taken):6.1f} s for the {steps} steps of an epoch"
        if whole is not None:
            line += f", {whole / min(taken):.2f} x the speed of none frozen"
        if cached and frozen:
            apart = np.abs(np.array(losses[frozen, True]) - losses[frozen, False]) / losses[frozen, False]
            line += (
                f", {min(seconds[frozen, False]) / min(taken):.2f} x that of live; losses apart by {apart.max():.1e}"
            )
        print(line)


def build(given: argparse.Namespace, frozen: int, cached: bool) -> TuningRun:
    text = {"backbone": given.backbone, "mode": given.mode, "freeze_layers": frozen, "split_cache": cached}
    optim = {"batch_size": 32}
    config = TrialConfig.model_validate({"data": {"root": given.root}, "encoders": {"text": text}, "optim": optim})
    paths = ensure_config(config, SPLITS, given.cache)
    train, dev = ({name: read_table(path) for name, path in paths[split].items()} for split in SPLITS)
    run = build_run(config, *as_training_data(config, train, dev))
    assert isinstance(run, TuningRun)
    run._begin_epoch()
    return run


def step(run: TuningRun, number: int) -> tuple[float, float]:
    """Return loss and seconds of one step. The step's number decides its rows and its dropout."""
    rows = np.random.default_rng(number).integers(0, len(run.data.train), run.config.optim.batch_size)
    torch.manual_seed(number)
    started = time.perf_counter()
    values = run._step(rows)
    return values["loss"], time.perf_counter() - started


if __name__ == "__main__":
    main()
