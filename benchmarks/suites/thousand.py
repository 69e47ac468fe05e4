"""1 000 trials of search_spaces/spcl.yaml (TPE, ASHA, 20 epochs), killed once by SIGKILL in the middle and resumed.

Features are extracted before. The driver is killed when half of the trials have been begun; the time between the kill
and the resumed command is not counted, its start is. Afterwards every trial must have ended and have an MLflow run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measure import Ratio, Table, Values, once
from benchmarks.options import Options, command
from mer.errors import MerError

SPACE = Path(__file__).parents[2] / "search_spaces" / "spcl.yaml"
STUDY = "spcl-meld-text"
_WALL, _AIM = "wall, minutes", "aim, minutes"
_AIM_MINUTES = 20.0
_AFTER_KILL_S = 5.0  # Ray's processes notice that their driver has gone


def measure(options: Options) -> list[Table]:
    trials = options.trials[0] if options.trials else 6 if options.tiny else 1000
    words = [str(SPACE), "--set", f"data.root={options.root}", "--cache", str(options.cache)]
    words += ["--set", "budget.epochs=2", "--set", "scheduler.grace_epochs=1"] if options.tiny else []
    command(["mer.extract", *words])
    round_ = once(lambda: _killed_once(options, words, trials), options.say, f"{trials} trials")
    ratios = [Ratio(_WALL, _AIM, 1.0)] if trials == 1000 else []
    return [Table(f"{trials} trials of spcl.yaml, killed once and resumed", "as named", [round_], ratios, wanted=1)]


def _killed_once(options: Options, words: list[str], trials: int) -> Values:
    studies = options.work / "studies"
    tune = ["mer.tune", *words, "--studies", str(studies), "--trials", str(trials)]
    started = time.monotonic()
    _kill_when(studies / STUDY / "trials", trials // 2, [sys.executable, "-m", *tune])
    first = time.monotonic() - started
    time.sleep(_AFTER_KILL_S)
    started = time.monotonic()
    command([*tune, "--resume"])
    second = time.monotonic() - started
    _check(studies, trials)
    both = (first + second) / 60
    return {_WALL: both, "until the kill, s": first, "resumed, s": second, _AIM: _AIM_MINUTES}


def _kill_when(folder: Path, begun: int, words: list[str]) -> None:
    """Start the command and SIGKILL it with all it has started once so many trials have a folder."""
    with subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        while process.poll() is None:
            if folder.is_dir() and sum(1 for _ in folder.iterdir()) >= begun:
                os.killpg(process.pid, signal.SIGKILL)
                return
            time.sleep(0.2)
    raise MerError("suite thousand", f"the study ended with code {process.returncode} before it could be killed")


def _check(studies: Path, trials: int) -> None:
    """Refuse a study that lost a trial or an MLflow run. Raises: MerError."""
    from mlflow import MlflowClient

    from benchmarks.suites.ray import ends
    from mer.study.tracking.store import TrackingStore

    client = MlflowClient(TrackingStore.under(studies, os.environ.get("MLFLOW_TRACKING_URI")).uri)
    experiment = client.get_experiment_by_name(STUDY).experiment_id
    statuses: list[str] = []
    token = None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=token)
        statuses += [run.info.status for run in page]
        if not (token := page.token):
            break
    ended = len(ends(studies / STUDY))
    if ended != trials or len(statuses) != trials + 1 or "RUNNING" in statuses:
        found = f"{ended} trials ended, {len(statuses)} MLflow runs, {statuses.count('RUNNING')} still open"
        raise MerError("suite thousand", found, allowed=f"{trials} trials and {trials + 1} runs, none open")
