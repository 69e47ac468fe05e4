"""Throughput of packs of models that fuse three modalities, by their size K, for each fusion.

Random features of MELD's size: text 384 wide, sound 320, pictures 256; one clip in ten is absent. Everything but the
fusion's kind is at its default. Needs the core only, as suite packs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from benchmarks.measure import Ratio, Table, Values, alternate
from benchmarks.options import Options, synthetic
from benchmarks.suites.packs import throughput

if TYPE_CHECKING:
    from mer.training import TrainingData, TrainingRun

KINDS = (
    "concat",
    "lmf",
    "self_attention",
    "cross_attention",
    "shifting",
    "tgmoe",
    "moe",
    "mean",
    "late",
    "tfn",
    "misa",
)
WIDTHS = {"text": 384, "audio": 320, "video": 256}
_SIZES = {"cpu": (1, 8), "cuda": (1, 8, 64)}
_SECONDS = 2.0
_ENDLESS = 10**6


def measure(options: Options) -> list[Table]:
    import torch

    torch.set_num_threads(1)
    data = three_modalities(options.tiny)
    kinds = options.fusions or (("concat",) if options.tiny else KINDS)
    return [_table(options, data, kind) for kind in kinds]


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


def member(kind: str, seed: int, data: TrainingData, device: str) -> TrainingRun:
    """One run of the given fusion."""
    from mer.config import TrialConfig
    from mer.training import TrainingRun

    settings = {
        "seed": seed,
        "encoders": {modality: {"layers": "last"} for modality in WIDTHS},
        "fusion": {"kind": kind},
        "training": {"epochs": _ENDLESS},
    }
    layers = {modality: [0] for modality in WIDTHS}
    return TrainingRun(TrialConfig.model_validate(settings), data, layers, device=device)


def _table(options: Options, data: TrainingData, kind: str) -> Table:
    members = sorted(options.members) or list((1, 2) if options.tiny else _SIZES[options.device])
    runs = [member(kind, seed, data, options.device) for seed in range(members[-1])]
    seconds = 0.05 if options.tiny else _SECONDS

    def pack(size: int) -> Callable[[], Values]:
        return lambda: {f"K={size:03d}": throughput(runs[:size], data, seconds, options.device)}

    rounds = alternate({f"K={k}": pack(k) for k in members}, options.pairs, options.say, options.most_rounds)
    ratios = [Ratio(f"K={k:03d}", f"K={members[0]:03d}") for k in members[1:]]
    batch = runs[0].config.optim.batch_size
    title = f"packs on {options.device}, fusion {kind}, width {runs[0].config.fusion.width}, batch {batch}"
    return Table(title, "member-steps/s", rounds, ratios, options.pairs, [])
