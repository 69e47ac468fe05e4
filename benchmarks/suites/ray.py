"""Ray Tune's own release tests, under their names, through our engine, searcher and tracker, with MLflow on.

result_throughput_single_node   96 trials that report 500 results a second in all, for 100 s
bookkeeping_overhead            10 000 trials of one result each
long_running                    16 trials that report for 20 minutes

Trials do no work (`benchmarks.no_work`), so what is measured is what search, record and Ray cost. Two workers host
all trials, where Ray's tests start a process for each. The sampler is `random`, as in Ray's tests.
"""

from __future__ import annotations

import datetime
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measure import Ratio, Table, once
from benchmarks.options import FIXED, Options, command

WORKERS = 2
_FIRST, _LAST = "ms per trial, first tenth", "ms per trial, last tenth"
_KB_PER_TRIAL = "driver growth, KB per trial"


@dataclass(frozen=True)
class Release:
    """One of Ray's release tests.

    Args:
        results_per_s: of all trials together; 0: as fast as it goes.
    """

    name: str
    trials: int
    results: int
    results_per_s: float
    opened: bool = False  # also time the report, and --resume when nothing is left to do


TESTS = (
    Release("result_throughput_single_node", trials=96, results=520, results_per_s=500),
    Release("bookkeeping_overhead", trials=10_000, results=1, results_per_s=0, opened=True),
    Release("long_running", trials=16, results=1200, results_per_s=16),
)
_TINY = (
    Release("result_throughput_single_node", trials=4, results=20, results_per_s=40),
    Release("bookkeeping_overhead", trials=20, results=1, results_per_s=0, opened=True),
)


def measure(options: Options) -> list[Table]:
    tests = _TINY if options.tiny else TESTS
    return [_table(options, test) for test in tests if not options.trials or test.trials in options.trials]


def _table(options: Options, test: Release) -> Table:
    folder = options.work / test.name
    round_ = once(lambda: values(options, test, folder), options.say, test.name)
    ratios = [Ratio(_LAST, _FIRST, 1.5)] if test.trials >= 20 else []
    title = f"{test.name}: {test.trials} trials x {test.results} results, MLflow on"
    return Table(title, "as named", [round_], ratios, wanted=1)


def values(options: Options, test: Release, folder: Path) -> dict[str, float]:
    """Run one test; its costs by name."""
    said = run(options, test, folder)
    results = test.trials * test.results
    ended = ends(folder / "studies" / "no-work")
    found = {
        "wall, s": said["seconds"],
        "results per s, start included": results / (ended[-1] - said["started"]),
        "controller, ms per result": said["controller"]["mean"] * said["controller"]["reports"] / results,
        "tracker CPU, ms per result": 1000 * said["tracker_cpu_s"] / results,
        "driver CPU, ms per result": 1000 * said["driver_cpu_s"] / results,
        "record complete after last trial, s": said["started"] + said["seconds"] - ended[-1],
    }
    tenth = len(ended) // 10
    if tenth:
        found |= {
            _FIRST: 1000 * (ended[tenth] - ended[0]) / tenth,
            _LAST: 1000 * (ended[-1] - ended[-tenth - 1]) / tenth,
        }
        found[_KB_PER_TRIAL] = growth_kb(said["memory_mib"], ended)
    if test.opened:
        found |= _opened(options, test, folder)
    return found


def run(options: Options, test: Release, folder: Path, resume: bool = False) -> dict[str, Any]:
    """Run the study in a process of its own; what `benchmarks.no_work` says of it."""
    folder.mkdir(exist_ok=True)
    space = folder / "space.yaml"
    spec = {
        "study": "no-work",
        "trainable": "text",
        "objective": {"metric": "dev_weighted_f1", "mode": "max"},
        "budget": {"trials": test.trials, "epochs": test.results},
        "sampler": {"kind": "random", "seed": 0},
        "scheduler": {"kind": "none"},
        "resources": {"cpu": 1, "workers": WORKERS},
        "fixed": {**FIXED, "data": {**FIXED["data"], "root": str(options.root)}},
        "params": {
            "optim.head_lr": {"float": [1e-4, 3e-3], "log": True},
            "head.dropout": {"float": [0.0, 0.6]},
        },
    }
    space.write_text(yaml.safe_dump(spec))
    words = ["benchmarks.no_work", str(space), "--studies", str(folder / "studies"), "--cache", str(options.cache)]
    words += ["--pace", str(test.results_per_s / WORKERS)] + (["--resume"] if resume else [])
    said: dict[str, Any] = json.loads(command(words).splitlines()[-1])
    return said


def _opened(options: Options, test: Release, folder: Path) -> dict[str, float]:
    resumed = run(options, test, folder, resume=True)
    started = time.monotonic()
    page = folder / "report.html"
    command(["analysis.report", str(folder / "studies" / "no-work"), "--out", str(page)])
    return {"--resume, nothing to do, s": resumed["seconds"], "report, s": time.monotonic() - started}


def ends(study: Path) -> list[float]:
    """When each trial ended, seconds of the clock, sorted; from Optuna's journal."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    from mer.study.paths import JOURNAL

    storage = JournalStorage(JournalFileBackend(str(study / JOURNAL)))
    trials = storage.get_all_trials(storage.get_all_studies()[0]._study_id, deepcopy=False)
    stamps = [trial.datetime_complete for trial in trials if trial.datetime_complete is not None]
    return sorted(datetime.datetime.timestamp(stamp) for stamp in stamps)


def growth_kb(memory_mib: list[tuple[float, float]], ended: list[float]) -> float:
    """Growth of the driver's memory per trial from the end of the first tenth of the trials to that of the last."""
    tenth = len(ended) // 10

    def at(moment: float) -> float:
        return min(memory_mib, key=lambda seen: abs(seen[0] - moment))[1]

    return 1024 * (at(ended[-1]) - at(ended[tenth])) / (len(ended) - 1 - tenth)
