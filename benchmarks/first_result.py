"""Time from the tune command to its first result, against a bare Ray Tune trial in the same kind of process.

    python -m benchmarks.first_result search_spaces/quickstart.yaml [--set ...]

Runs the tune command (features cached, studies in a temporary folder) and a stock Tuner whose function trainable
imports torch and reports once, in turn, three times each; prints medians and the ratio.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time

STOCK = """
import os
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray
from ray import tune
def train(config):
    import torch
    tune.report({"score": float(torch.ones(2).sum())})
ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="error")
class Say(tune.Callback):
    def on_trial_result(self, **info):
        print("FIRST", flush=True)
tune.Tuner(train, run_config=tune.RunConfig(callbacks=[Say()], verbose=0, storage_path=os.environ["STORE"])).fit()
"""


def seconds_until(command: list[str], mark: str, environment: dict[str, str]) -> float:
    """Return the wall time from starting `command` until it prints a line with `mark`."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    assert process.stdout is not None
    elapsed = next((time.monotonic() - started for line in process.stdout if mark in line), float("nan"))
    process.stdout.read()
    process.wait()
    return elapsed


def main(arguments: list[str]) -> None:
    import os

    ours, stock = [], []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "STORE": folder}
            command = [sys.executable, "-m", "mer.tune", *arguments, "--trials", "1", "--set", "budget.epochs=1"]
            command += ["--set", "scheduler.kind=none", "--studies", f"{folder}/studies"]
            ours.append(seconds_until(command, "00000 ", environment))
            stock.append(seconds_until([sys.executable, "-c", STOCK], "FIRST", environment))
    a, b = statistics.median(ours), statistics.median(stock)
    print(f"first result: mer.tune {a:.1f} s, stock Ray Tune {b:.1f} s, ratio {a / b:.2f} (medians of 3)")


if __name__ == "__main__":
    main(sys.argv[1:])
