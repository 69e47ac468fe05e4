"""A whole study, from command to summary, against the same study without this project.

MELD text, frozen 384-wide MiniLM features that lie on the disk before anything is timed, cross-entropy and SPCL (pool
512, support 64), a head of depth 2 and width 128, 256 or 512, 10 epochs, no early stopping, two workers. All train the
same configurations, handed over by each tool's own way to try given points first; so nobody profits from a sampler that
happens to propose small heads. Ours also keeps weights, predictions and tables of every trial, and can be killed.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.measure import Ratio, Table, Values, alternate
from benchmarks.options import CONTESTANTS, FIXED, Options, command, meld_features
from mer.errors import MerError

BARE, OPTUNA, RAY = "bare loop, 2 processes", "plain Optuna, MLflow by hand", "stock Ray Tune"
UNPACKED, PACKED = "ours, one at a time", "ours, packed"
TRIALS, EPOCHS = (24, 200), 10
_AIMS = {24: (0.65, 0.45, 0.27), 200: (0.45, 0.3, 0.2)}  # ours packed against bare loop, Optuna, Ray
_KEYS = {
    "hidden": "head.hidden",
    "lr": "optim.head_lr",
    "weight_decay": "optim.weight_decay",
    "dropout": "head.dropout",
    "temperature": "loss.contrastive.temperature",
    "weight": "loss.contrastive.weight",
}


def measure(options: Options) -> list[Table]:
    _refuse_without_packs()
    train, dev = meld_features(options)
    return [_table(options, train, dev, n) for n in options.trials or ((2,) if options.tiny else TRIALS)]


def _refuse_without_packs() -> None:
    from mer.study.space.spec import Resources

    if "pack" not in Resources.model_fields:
        raise MerError("suite study", "this version has no key resources.pack, so ours cannot be run packed")


def _table(options: Options, train: Path, dev: Path, trials: int) -> Table:
    epochs = 1 if options.tiny else EPOCHS
    configs = configurations(trials)
    task = {"train": str(train), "dev": str(dev), "epochs": epochs, "configs": configs}
    best: dict[str, float] = {}

    def timed(name: str, run: Callable[[Path], dict[str, Any]]) -> Callable[[], Values]:
        def action() -> Values:
            folder = options.work / "round"
            folder.mkdir()
            started = time.monotonic()
            said = run(folder)
            seconds = time.monotonic() - started
            if said["trials"] != trials:
                raise MerError(f"suite study: {name}", f"{said['trials']} trials ended", allowed=f"{trials} trials")
            best[name] = said["best"]
            shutil.rmtree(folder)
            return {name: seconds}

        return action

    def peer(module: str) -> Callable[[Path], dict[str, Any]]:
        def run(folder: Path) -> dict[str, Any]:
            (folder / "task.json").write_text(json.dumps({**task, "folder": str(folder)}))
            said: dict[str, Any] = json.loads(
                command([f"benchmarks.peers.{module}", str(folder / "task.json")]).splitlines()[-1]
            )
            return said

        return run

    runs: dict[str, Callable[[Path], dict[str, Any]]] = {
        BARE: peer("bare_loop"),
        OPTUNA: peer("plain_optuna"),
        RAY: peer("stock_ray"),
        UNPACKED: lambda folder: ours(folder, options, configs, epochs, pack=1),
        PACKED: lambda folder: ours(folder, options, configs, epochs, pack="auto"),
    }
    if options.contestants:
        asked = dict(zip(CONTESTANTS, runs, strict=True))
        runs = {asked[word]: runs[asked[word]] for word in options.contestants}
    rounds = alternate(
        {name: timed(name, run) for name, run in runs.items()}, options.pairs, options.say, options.most_rounds
    )
    aims = _AIMS.get(trials, (None, None, None))
    ratios = [Ratio(PACKED, peer_, aim) for peer_, aim in zip((BARE, OPTUNA, RAY), aims, strict=True)]
    ratios += [Ratio(UNPACKED, BARE, 1.0 if trials in _AIMS else None), Ratio(PACKED, UNPACKED)]
    ratios = [ratio for ratio in ratios if {ratio.of, ratio.to} <= runs.keys()]
    notes = ["best dev weighted-F1 of the last round: " + ", ".join(f"{n} {v:.4f}" for n, v in best.items())]
    return Table(f"study of {trials} trials x {epochs} epochs, 2 workers", "s", rounds, ratios, options.pairs, notes)


def configurations(count: int) -> list[dict[str, Any]]:
    """The configurations that all train: widths equally often, the rest drawn at random, the same in every call."""
    rng = np.random.default_rng(0)
    widths = rng.permutation(np.resize([128, 256, 512], count))

    def log_uniform(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    return [
        {
            "hidden": int(width),
            "lr": log_uniform(1e-4, 3e-3),
            "weight_decay": log_uniform(1e-3, 0.3),
            "dropout": float(rng.uniform(0.0, 0.6)),
            "temperature": log_uniform(0.03, 0.3),
            "weight": log_uniform(0.03, 3.0),
            "seed": 0,
        }
        for width in widths
    ]


def ours(folder: Path, options: Options, configs: list[dict[str, Any]], epochs: int, pack: int | str) -> dict[str, Any]:
    """Run the study with `python -m mer.tune`; what its summary says."""
    fixed = {
        **FIXED,
        "data": {**FIXED["data"], "root": str(options.root)},
        "head": {"depth": 2, "input_dropout": 0.2},
        "loss": {"contrastive": {"kind": "spcl", "pool_size": 512, "support_size": 64}},
    }
    spec = {
        "study": "benchmark",
        "trainable": "text",
        "objective": {"metric": "dev_weighted_f1", "mode": "max"},
        "budget": {"trials": len(configs), "epochs": epochs},
        "sampler": {"kind": "tpe", "seed": 0},
        "scheduler": {"kind": "none"},
        "resources": {"cpu": 1, "workers": 2, "pack": pack},
        "fixed": fixed,
        "params": {
            "head.hidden": {"choice": [128, 256, 512]},
            "optim.head_lr": {"float": [1e-4, 3e-3], "log": True},
            "optim.weight_decay": {"float": [1e-3, 0.3], "log": True},
            "head.dropout": {"float": [0.0, 0.6]},
            "loss.contrastive.temperature": {"float": [0.03, 0.3], "log": True},
            "loss.contrastive.weight": {"float": [0.03, 3.0], "log": True},
        },
        "points": [{key: config[name] for name, key in _KEYS.items()} for config in configs],
    }
    (folder / "space.yaml").write_text(yaml.safe_dump(spec))
    studies = folder / "studies"
    command(["mer.tune", str(folder / "space.yaml"), "--studies", str(studies), "--cache", str(options.cache)])
    summary = json.loads((studies / "benchmark" / "summary.json").read_text())
    return {"trials": summary["trials"]["finished"], "best": summary["best"]["best"]["dev_weighted_f1"]}
