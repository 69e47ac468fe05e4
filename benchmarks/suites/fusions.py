"""Throughput of packs of models that fuse three modalities, by their size K, for each fusion and for losses beside it.

Random features of MELD's size: text 384 wide, sound 320, pictures 256; one clip in ten is absent. Everything but what
is named is at its default. Needs the core only, as suite packs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Ratio, Table, Values, alternate
from benchmarks.options import Options, synthetic
from benchmarks.suites.packs import throughput

if TYPE_CHECKING:
    from mer.training import TrainingData, TrainingRun

KINDS = (
    "concat", "lmf", "self_attention", "cross_attention", "shifting", "tgmoe", "moe", "mean", "late", "tfn", "misa",
)  # fmt: skip
# What is measured, by name: the fusions, and losses and averages beside concat.
SETTINGS: dict[str, dict[str, Any]] = {kind: {"fusion": {"kind": kind}} for kind in KINDS} | {
    "cross_modal": {"loss": {"cross_modal": {"weight": 0.1}}},
    "adversarial": {"loss": {"adversarial": {"weight": 1.0}}},
    "apcl": {"loss": {"contrastive": {"kind": "apcl"}}},
    "prototypes": {"loss": {"contrastive": {"kind": "apcl", "prototypes": 4}}},
    "ema": {"optim": {"ema_decay": 0.99}},
}
WIDTHS = {"text": 384, "audio": 320, "video": 256}
_SIZES = {"cpu": (1, 8), "cuda": (1, 8, 64)}
_SECONDS = 2.0
_ENDLESS = 10**6


def measure(options: Options) -> list[Table]:
    import torch

    torch.set_num_threads(1)
    data = three_modalities(options.tiny)
    names = options.fusions or (("concat",) if options.tiny else tuple(SETTINGS))
    return [_table(options, data, name) for name in names]


def three_modalities(tiny: bool) -> TrainingData:
    """Train and dev with three modalities; text is always there."""
    import numpy as np

    from mer.training import FusedSplit, SplitArrays, TrainingData

    made = {m: synthetic(tiny, width) for m, width in WIDTHS.items()}
    rng = np.random.default_rng(1)

    def fused(split: str) -> FusedSplit:
        parts: dict[str, SplitArrays] = {}
        for modality, data in made.items():
            one = getattr(data, split)
            there = None if modality == "text" else rng.random(len(one)) >= 0.1
            parts[modality] = SplitArrays(one.ids, one.features_NLD, one.labels_N, there)
        return FusedSplit(parts)

    return TrainingData(fused("train"), fused("dev"), made["text"].class_names)


def member(name: str, seed: int, data: TrainingData, device: str) -> TrainingRun:
    """One run of what the name stands for."""
    from mer.config import TrialConfig
    from mer.training import TrainingRun

    settings = {
        "seed": seed,
        "encoders": {modality: {"layers": "last"} for modality in WIDTHS},
        "fusion": {"kind": "concat"},
        "training": {"epochs": _ENDLESS},
    } | SETTINGS[name]
    layers = {modality: [0] for modality in WIDTHS}
    return TrainingRun(TrialConfig.model_validate(settings), data, layers, device=device)


def _table(options: Options, data: TrainingData, name: str) -> Table:
    members = sorted(options.members) or list((1, 2) if options.tiny else _SIZES[options.device])
    runs = [member(name, seed, data, options.device) for seed in range(members[-1])]
    seconds = 0.05 if options.tiny else _SECONDS

    def pack(size: int) -> Callable[[], Values]:
        return lambda: {f"K={size:03d}": throughput(runs[:size], data, seconds, options.device)}

    rounds = alternate({f"K={k}": pack(k) for k in members}, options.pairs, options.say, options.most_rounds)
    ratios = [Ratio(f"K={k:03d}", f"K={members[0]:03d}") for k in members[1:]]
    config, what = runs[0].config, f"fusion {name}" if name in KINDS else f"concat with {name}"
    title = f"packs on {options.device}, {what}, width {config.fusion.width}, batch {config.optim.batch_size}"
    return Table(title, "member-steps/s", rounds, ratios, options.pairs, [])
