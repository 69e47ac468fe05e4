"""Memory of each worker while a study trains, and the driver's growth by the number of trials.

PSS divides a page that several processes map by their number; private memory is what one worker alone costs.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import yaml

from benchmarks.machine import OwnTime, processes
from benchmarks.measure import Table, Values, once
from benchmarks.options import FIXED, Options, meld_features
from benchmarks.suites.ray import Release, ends, growth_kb, run


def measure(options: Options) -> list[Table]:
    meld_features(options)
    workers = once(lambda: _workers(options), options.say, "memory of workers")
    trials = 20 if options.tiny else 1000
    driver = once(lambda: _driver(options, trials), options.say, "memory of the driver")
    return [
        Table("memory of the two workers of a study on MELD text", "MiB, largest seen", [workers], wanted=1),
        Table(f"growth of the driver over {trials} trials that do no work", "KB per trial", [driver], wanted=1),
    ]


def _workers(options: Options) -> Values:
    space = options.work / "space.yaml"
    spec = {
        "study": "memory",
        "trainable": "text",
        "budget": {"trials": 2 if options.tiny else 24, "epochs": 2 if options.tiny else 10},
        "scheduler": {"kind": "none"},
        "resources": {"cpu": 1, "workers": 2},
        "fixed": {
            **FIXED,
            "data": {**FIXED["data"], "root": str(options.root)},
            "loss": {"contrastive": {"kind": "spcl"}},
        },
        "params": {"optim.head_lr": {"float": [1e-4, 3e-3], "log": True}, "head.hidden": {"choice": [128, 256, 512]}},
    }
    space.write_text(yaml.safe_dump(spec))
    words = [sys.executable, "-m", "mer.tune", str(space), "--cache", str(options.cache)]
    process = subprocess.Popen(
        [*words, "--studies", str(options.work / "studies")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    own = OwnTime(os.getpid(), processes())
    most = {"PSS of a worker": 0.0, "private memory of a worker": 0.0, "PSS of the driver": 0.0}
    while process.poll() is None:
        own.look(processes())
        for number in {identity[0] for identity in own.seen}:
            with contextlib.suppress(OSError):
                called = Path(f"/proc/{number}/cmdline").read_bytes()
                is_worker = called.startswith(b"ray::") and b"Trainable" in called
                if is_worker or number == process.pid:
                    pss, private = _memory_mib(number)
                    name = "PSS of a worker" if is_worker else "PSS of the driver"
                    most[name] = max(most[name], pss)
                    if is_worker:
                        most["private memory of a worker"] = max(most["private memory of a worker"], private)
        time.sleep(0.5)
    return most


def _memory_mib(number: int) -> tuple[float, float]:
    """PSS and private memory of a process."""
    lines = Path(f"/proc/{number}/smaps_rollup").read_text(encoding="utf-8").splitlines()[1:]
    fields = {name: int(rest.split()[0]) / 1024 for name, _, rest in (line.partition(":") for line in lines)}
    return fields["Pss"], fields["Private_Dirty"] + fields["Private_Clean"]


def _driver(options: Options, trials: int) -> Values:
    folder = options.work / "driver"
    said = run(options, Release("driver", trials, results=10, results_per_s=0), folder)
    return {"growth of the driver": growth_kb(said["memory_mib"], ends(folder / "studies" / "no-work"))}
