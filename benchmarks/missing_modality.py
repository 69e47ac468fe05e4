"""Measure dev weighted-F1 of a fused model over the share of rows that lack one of its modalities.

    python -m benchmarks.missing_modality exports/fusion --absent audio [--out curve.svg]

Takes the configuration of an export (or of a trial, studies/S/trials/00007) and trains it per seed and per value of
fusion.modality_dropout: once on complete rows, then scored on dev with the modality left out of more and more rows; and
once per share with that share left out of train and dev alike. Which rows lose it is drawn per seed and split; a larger
share takes the rows of a smaller one and more. The epoch is chosen on the dev split that the training saw: the complete
one, or the one with that share. Features come from the cache; test is not read; one thread.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch

from mer.config import TrialConfig, flatten, nest
from mer.study.preflight.feature_plan import SPLITS, ensure_config
from mer.training import FusedSplit, Scores, TrainingData, TrainingRun
from mer.training.data import Layers
from trainables.shared_table import as_training_data, read_table

SEEDS, RATES, DROPOUTS = (0, 42, 43, 114, 3407), (0, 10, 30, 50, 70, 90, 100), (0.0, 0.3)
COLOURS = ("#0b62a4", "#c2410c", "#18794e", "#8b3fa0", "#8a6d00")  # of analysis.pages
Curve = list[list[float]]  # dev weighted-F1 of every seed, by rate


def read_trial_config(place: Path, changes: dict[str, object]) -> TrialConfig:
    """Read the TrialConfig from an export's or a trial's folder and change dotted keys of it."""
    found = [path for path in (place, place / "config.json", place / "artifacts/config.json") if path.is_file()]
    if not found:
        raise SystemExit(
            f"{place}: no config.json here; an export (exports/fusion) or a trial (studies/S/trials/00007)"
        )
    return TrialConfig.model_validate(nest({**flatten(json.loads(found[0].read_text())), **changes}))


def without(split: FusedSplit, modality: str, percent: float, seed: tuple[int, ...]) -> FusedSplit:
    """Return the split with `modality` absent in the given percentage of its rows."""
    part = split.parts[modality]
    kept_N = np.random.default_rng(seed).permutation(len(part)) >= percent / 100 * len(part)
    present_N = kept_N if part.present_N is None else part.present_N & kept_N
    return replace(split, parts={**split.parts, modality: replace(part, present_N=present_N)})


def trained(config: TrialConfig, data: TrainingData, layers: Layers) -> TrainingRun:
    """Train a run to its end and load the weights of its best dev epoch."""
    run = TrainingRun(config, data, layers)
    while not run.finished:
        run.train_epoch()
    run.load_weights(run.best_tensors)
    return run


def weighted_f1(run: TrainingRun, dev: FusedSplit) -> float:
    return Scores(run.predict(dev), dev.labels_N, run.data.class_names).weighted_f1


def measure(
    config: TrialConfig, data: TrainingData, layers: Layers, modality: str, rates: Sequence[int], seeds: Sequence[int]
) -> tuple[Curve, Curve]:
    """Score both ways: the modality left out of dev only, and of train and dev."""
    at_dev: Curve = [[] for _ in rates]
    at_both: Curve = [[] for _ in rates]
    for seed in seeds:
        seeded = config.model_copy(update={"seed": seed})
        complete = trained(seeded, data, layers)
        for index, rate in enumerate(rates):
            train, dev = (
                without(split, modality, rate, (seed, number)) for number, split in enumerate((data.train, data.dev))
            )
            at_dev[index].append(weighted_f1(complete, dev))
            same = complete if rate == 0 else trained(seeded, replace(data, train=train, dev=dev), layers)
            at_both[index].append(weighted_f1(same, dev))
    return at_dev, at_both


def table(rates: Sequence[int], curves: dict[str, Curve]) -> str:
    """Write mean and sample sd over seeds, in percent, as Markdown."""
    lines = ["| % absent | " + " | ".join(curves) + " |", "| ---: |" + " ---: |" * len(curves)]
    for index, rate in enumerate(rates):
        cells = [f"{100 * mean(c[index]):.2f} ± {100 * spread(c[index]):.2f}" for c in curves.values()]
        lines.append(f"| {rate} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def spread(values: Sequence[float]) -> float:
    return stdev(values) if len(values) > 1 else 0.0


def draw(out: Path, title: str, modality: str, rates: Sequence[int], curves: dict[str, Curve]) -> None:
    """Draw one line per curve with whiskers of one sd over seeds; dashed lines: left out of dev only."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "mer", "font.size": 10})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.2, 4.2), layout="constrained")
    for number, (name, curve) in enumerate(curves.items()):
        axes.errorbar(
            [rate + 0.7 * (number - (len(curves) - 1) / 2) for rate in rates],  # whiskers side by side
            [100 * mean(values) for values in curve],
            [100 * spread(values) for values in curve],
            color=COLOURS[number // 2 % len(COLOURS)],
            linestyle="--" if "dev only" in name else "-",
            marker="o",
            markersize=4,
            linewidth=1.8,
            elinewidth=1,
            label=name,
        )
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel(f"rows without {modality}, %")
    axes.set_ylabel("dev weighted-F1, %")
    axes.set_xticks(list(rates))
    axes.grid(color="#dcdfda")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="export, or folder of a trial")
    parser.add_argument("--absent", default="audio", choices=("text", "audio", "video"))
    parser.add_argument("--rates", type=int, nargs="+", default=RATES, help="percent of rows")
    parser.add_argument("--dropout", type=float, nargs="+", default=DROPOUTS, help="values of fusion.modality_dropout")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--data-root", help="where the data are, if not where the configuration says")
    parser.add_argument("--cache", type=Path, default=Path("features"))
    parser.add_argument("--title", help="of the picture")
    parser.add_argument("--out", type=Path, help="picture, .svg or .png")
    asked = parser.parse_args()

    torch.set_num_threads(1)
    root = {"data.root": asked.data_root} if asked.data_root else {}
    config = read_trial_config(asked.config, root)
    if config.fusion is None or asked.absent not in config.encoders.present:
        parser.error(f"{asked.config}: not a fused model that reads {asked.absent}")
    paths = ensure_config(config, SPLITS, asked.cache)
    tables = {split: {m: read_table(path) for m, path in files.items()} for split, files in paths.items()}
    data, layers = as_training_data(config, tables["train"], tables["dev"])
    curves: dict[str, Curve] = {}
    for p in asked.dropout:
        changed = read_trial_config(asked.config, {**root, "fusion.modality_dropout": p})
        at_dev, at_both = measure(changed, data, layers, asked.absent, asked.rates, asked.seeds)
        curves[f"absent in dev only, dropout {p:g}"] = at_dev
        curves[f"in train and dev, dropout {p:g}"] = at_both
    title = asked.title or f"{config.data.dataset}, {'+'.join(config.encoders.present)}, {config.fusion.kind}"
    print(f"{title}: dev weighted-F1 in percent, mean ± sample sd over {len(asked.seeds)} seeds")
    print(table(asked.rates, curves))
    if asked.out:
        draw(asked.out, title, asked.absent, asked.rates, curves)
        print(f"picture: {asked.out}")


if __name__ == "__main__":
    main()
