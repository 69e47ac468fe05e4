"""Time from the tune command to its first result, against a bare Ray Tune trial, and where the driver's time goes."""

from __future__ import annotations

import io
import os
import pstats
import subprocess
import sys
from pathlib import Path

import yaml

from benchmarks.first_result import STOCK, seconds_until
from benchmarks.measure import Ratio, Table, Values, alternate
from benchmarks.options import FIXED, Options, meld_features

_OURS, _STOCK = "ours", "stock Ray Tune, torch imported"
_LINES = 12


def measure(options: Options) -> list[Table]:
    meld_features(options)
    space = options.work / "space.yaml"
    fixed = {**FIXED, "data": {**FIXED["data"], "root": str(options.root)}}
    spec = {
        "study": "startup",
        "trainable": "text",
        "budget": {"trials": 1, "epochs": 1},
        "scheduler": {"kind": "none"},
        "resources": {"cpu": 1, "workers": 1},
        "fixed": fixed,
        "params": {"optim.head_lr": {"float": [1e-4, 3e-3], "log": True}},
    }
    space.write_text(yaml.safe_dump(spec))
    rounds = 0

    def place() -> Path:
        nonlocal rounds
        rounds += 1
        return options.work / f"round{rounds}"

    def tune(folder: Path) -> list[str]:
        return ["-m", "mer.tune", str(space), "--studies", str(folder), "--cache", str(options.cache)]

    def ours() -> Values:
        return {_OURS: seconds_until([sys.executable, *tune(place())], "00000 ", dict(os.environ))}

    def stock() -> Values:
        environment = {**os.environ, "STORE": str(place())}
        return {_STOCK: seconds_until([sys.executable, "-c", STOCK], "FIRST", environment)}

    measured = alternate({_OURS: ours, _STOCK: stock}, options.pairs, options.say, options.most_rounds)
    profile = options.work / "profile"
    subprocess.run(
        [sys.executable, "-m", "cProfile", "-o", str(profile), *tune(place())], check=True, capture_output=True
    )
    notes = ["profile of the whole command in the driver's main thread, cumulative seconds:", *most_costly(profile)]
    return [Table("command to first result", "s", measured, [Ratio(_OURS, _STOCK)], options.pairs, notes)]


def most_costly(profile: Path) -> list[str]:
    """The project's and Ray's functions with the largest cumulative time, one a line."""
    stream = io.StringIO()
    pstats.Stats(str(profile), stream=stream).sort_stats("cumulative").print_stats(r"mer/|trainables/|ray/", 200)
    lines = [line.split(None, 5) for line in stream.getvalue().splitlines() if ".py:" in line]
    shown = [f"  {parts[3]:>8}  {parts[5].split('site-packages/')[-1]}" for parts in lines if len(parts) == 6]
    return shown[:_LINES]
