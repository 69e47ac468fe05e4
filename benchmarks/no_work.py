"""A trial that trains nothing and reports at a given pace: what is left is the cost of search, tracking and Ray.

    python -m benchmarks.no_work SPACE.yaml --studies DIR --cache DIR [--pace RESULTS_PER_S] [--resume]

Runs the study as `python -m mer.tune` does, with the worker's class replaced. Its trials leave no weights, so the
driver is told not to look for any when they end. Prints one line of JSON: times, CPU time of the driver's threads, and
the driver's memory every second.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import threading
import time
from pathlib import Path
from typing import Any

from ray import tune

from trainables.wire import MemberTask, Report, Slot

PACE = "MER_NO_WORK_PACE"  # results per second of one worker; 0: as fast as it goes. Workers inherit it


class NoWork(tune.Trainable):
    """Hosts a slot as MerTrainable does; the rows of its members are made up."""

    def setup(self, config: dict[str, Any], features: Any = None) -> None:
        self.pace = float(os.environ.get(PACE, "0"))
        self._take(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._take(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Report what is due of every member; without a pace, all of it."""
        if self.pace:
            left = max(self._epochs(task) - self.told[task.number] for task in self.slot.members)
            time.sleep(min(self.slot.report_interval_s, left * len(self.slot.members) / self.pace))
        return {"reports": [self._report(task).wire() for task in self.slot.members]}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        return None

    def load_checkpoint(self, checkpoint: Any) -> None:
        return None

    def _take(self, wire: dict[str, Any]) -> None:
        self.slot, self.started = Slot.read(wire), time.monotonic()
        self.told = {task.number: 0 for task in self.slot.members}

    def _report(self, task: MemberTask) -> Report:
        epochs, told = self._epochs(task), self.told[task.number]
        each = self.pace / len(self.slot.members)
        due = min(epochs, int(each * (time.monotonic() - self.started) + 0.5)) if self.pace else epochs
        self.told[task.number] = max(told, due)
        rows = [_row(task.number, epoch) for epoch in range(told + 1, due + 1)]
        return Report(task.number, rows, "finished" if self.told[task.number] == epochs else "running")

    def _epochs(self, task: MemberTask) -> int:
        return int(task.config["training"]["epochs"])


def _row(number: int, epoch: int) -> dict[str, float]:
    score = 0.5 + 0.1 * ((number * 7919) % 101) / 101 + 0.0001 * epoch
    names = ("dev_weighted_f1", "dev_macro_f1", "dev_accuracy")
    losses = {"dev_loss": 1.0, "train_loss": 1 / epoch, "learning_rate": 1e-3, "seconds": 0.0}
    return {
        "epoch": float(epoch),
        **dict.fromkeys(names, score),
        **losses,
        "timestamp_ms": float(int(time.time() * 1e3)),
    }


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("space", type=Path)
    parser.add_argument("--studies", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--pace", type=float, default=0.0)
    parser.add_argument("--resume", action="store_true")
    asked = parser.parse_args(words)

    from rich.console import Console

    import trainables
    from mer.console import quiet_libraries
    from mer.study.cluster import trials as hosting
    from mer.study.preflight.run_options import RunOptions
    from mer.study.runner import run_study
    from mer.study.space.load import load_spec

    quiet_libraries()
    os.environ[PACE] = str(asked.pace)
    trainables.TRAINABLES["text"] = "benchmarks.no_work:NoWork"
    hosting.lacking_file = lambda *_: ""  # type: ignore[assignment]
    cpu_s = _time_threads()
    memory, over = [], threading.Event()

    def look() -> None:
        while True:
            memory.append((time.time(), _resident_mib()))
            if over.wait(1.0):
                return

    watcher = threading.Thread(target=look, name="memory")
    watcher.start()
    spec, started = load_spec(asked.space, (), {}), time.time()
    try:
        summary = run_study(spec, RunOptions(asked.studies, asked.cache, resume=asked.resume), Console(quiet=True))
    finally:
        over.set()
        watcher.join()
    used = resource.getrusage(resource.RUSAGE_SELF)
    said = {
        "started": started,
        "seconds": time.time() - started,
        "trials": summary["trials"],
        "controller": summary["controller_ms_per_report"],
        "driver_cpu_s": used.ru_utime + used.ru_stime,
        "tracker_cpu_s": cpu_s.get("mer-tracker", 0.0) + cpu_s.get("mer-mlflow", 0.0),
        "memory_mib": memory,
    }
    print(json.dumps(said), flush=True)


def _time_threads() -> dict[str, float]:
    """Note the CPU time of every thread of this process when it ends, by its name."""
    cpu_s: dict[str, float] = {}
    inner = threading.Thread.run

    def run(self: threading.Thread) -> None:
        try:
            inner(self)
        finally:
            cpu_s[self.name] = time.thread_time()

    threading.Thread.run = run  # type: ignore[method-assign]
    return cpu_s


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
