"""Throughput of packs by their size K, for each loss and width of the head, and how near it is to pure arithmetic.

Throughput is in member-steps per second: K members that make one step each are K. Whole epochs are timed, with the
scoring of dev that belongs to each. The arithmetic limit is what one large matrix product reaches on the same device in
the same round; a member's arithmetic is that of its linear layers, forward and backward, and of scoring dev. Losses,
dropout and the optimiser are not in it, so a ratio of 1 cannot be reached.

Needs the core only: torch, numpy, pydantic, safetensors.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Ratio, Table, Values, alternate
from benchmarks.options import Options, training_data

if TYPE_CHECKING:
    from mer.training import TrainingData, TrainingRun

LOSSES = ("none", "supcon", "spcl", "apcl", "eacl")
WIDTHS = (128, 256, 512)
BATCH, DEPTH = 64, 2
_SECONDS = 2.0  # at least so long is one measurement
_ENDLESS = 10**6


def measure(options: Options) -> list[Table]:
    import torch

    torch.set_num_threads(1)
    data = training_data(options)
    tables = []
    for loss in options.losses or (("none", "spcl") if options.tiny else LOSSES):
        for width in options.widths or ((16,) if options.tiny else WIDTHS):
            tables.append(_table(options, data, loss, width))
    return tables


def sizes(options: Options) -> list[int]:
    """Pack sizes: 1, 2, 4, ... up to 64 on a CPU and 512 on a GPU."""
    most = 4 if options.tiny else 64 if options.device == "cpu" else 512
    return sorted(options.members) or [2**i for i in range(most.bit_length())]


def _table(options: Options, data: TrainingData, loss: str, width: int) -> Table:
    members = sizes(options)
    runs = [member(loss, width, seed, data, options.device) for seed in range(members[-1])]
    seconds = 0.05 if options.tiny else _SECONDS
    shapes = [tuple(p.shape) for p in runs[0].model.parameters() if p.ndim == 2]
    flops = flops_per_step(shapes, data)

    def pack(size: int) -> Callable[[], Values]:
        return lambda: {f"K={size:03d}": throughput(runs[:size], data, seconds, options.device)}

    contestants = {f"K={size}": pack(size) for size in members}
    contestants["matmul"] = lambda: {"limit": matmul_flops_per_s(options.device, options.tiny) / flops}
    rounds = alternate(contestants, options.pairs, options.say, options.most_rounds)
    names = [f"K={size:03d}" for size in members]
    ratios = [Ratio(name, names[0]) for name in names[1:]] + [Ratio(name, "limit") for name in names]
    title = f"packs on {options.device}, loss {loss}, width {width}, depth {DEPTH}, batch {BATCH}"
    notes = [f"limit: one large float32 matrix product per second over {flops / 1e6:.1f} MFLOP of a member-step"]
    return Table(title, "member-steps/s", rounds, ratios, options.pairs, notes)


def member(loss: str, width: int, seed: int, data: TrainingData, device: str, epochs: int = _ENDLESS) -> TrainingRun:
    """One run of the given loss; SPCL with pools of 512 and a support of 64."""
    from mer.config import TrialConfig
    from mer.training import TrainingRun

    contrastive: dict[str, Any] = {"kind": loss} | ({"pool_size": 512, "support_size": 64} if loss == "spcl" else {})
    settings = {
        "seed": seed,
        "encoders": {"text": {"layers": "last"}},
        "loss": {"contrastive": contrastive},
        "head": {"hidden": width, "depth": DEPTH, "dropout": 0.3, "input_dropout": 0.2},
        "optim": {"batch_size": BATCH, "head_lr": 1e-3, "schedule": "constant"},
        "training": {"epochs": epochs},
    }
    return TrainingRun(TrialConfig.model_validate(settings), data, [0], device=device)


def throughput(runs: list[TrainingRun], data: TrainingData, seconds: float, device: str) -> float:
    """Member-steps per second of a pack of these runs; its first epoch, in which memory is had, is not timed."""
    from mer.training.packed import Pack

    pack = Pack(runs)
    pack.train_epoch()
    before, epochs, started = runs[0].step_count, 0, _now(device)
    while epochs == 0 or _now(device) - started < seconds:
        pack.train_epoch()
        epochs += 1
    return len(runs) * (runs[0].step_count - before) / (_now(device) - started)


def flops_per_step(shapes: list[tuple[int, ...]], data: TrainingData) -> float:
    """Arithmetic of one member-step with its share of scoring dev.

    A linear layer costs 2 x rows x in x out forward, and as much again for each gradient; nobody needs the gradient of
    the features, so the first layer has only that of its weights.
    """
    steps = -(-len(data.train) // BATCH)
    sizes_ = [a * b for a, b in shapes]
    train = 2 * BATCH * (3 * sum(sizes_) - sizes_[0])
    return train + 2 * len(data.dev) * sum(sizes_) / steps


def matmul_flops_per_s(device: str, tiny: bool) -> float:
    """FLOP per second of one large float32 matrix product, best of several, at torch's precision settings."""
    import torch

    side = 256 if tiny else 2048 if device == "cpu" else 8192
    a, b = (torch.randn(side, side, device=device) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        started = _now(device)
        torch.mm(a, b)
        best = min(best, _now(device) - started)
    return 2 * side**3 / best


def _now(device: str) -> float:
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
    return time.perf_counter()
