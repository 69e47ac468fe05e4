"""Name every file in a folder of studies, and say where it lies.

A name that has a module behind it in this tree belongs to that module; every other one is spelled here alone.

studies/
  mlflow.db, mlartifacts/       records and files of every study (mer.study.tracking.store)
  .store/                       weights, each distinct file once (mer.checkpoints.store)
  .replaced/                    studies put aside by --fresh
  .NAME.lock, .NAME.owner.json  the lock of a study, and who holds it
  NAME/                         one study
    journal.log                 the search state: Optuna's journal
    space.json, space.yaml      the search space, as it was read and as it was typed
    code.diff                   code that was not committed
    summary.json                counts, best trial, baseline, times, environment
    report.html, history.svg    page and picture, made at the end; report-tables/ beside them (analysis)
    mlflow.jsonl                what must be in MLflow, and what MLflow has confirmed
    .ray/                       scratch space of Ray Tune
    .proof/                     while it runs: that every node sees this folder (trainables.proof)
    trials/00042/               one trial
      best.safetensors, ...     files of the worker (trainables.trial_files)
      artifacts/                files of the driver for people, once the trial has ended
"""

from __future__ import annotations

from pathlib import Path

from mer.config import TargetKind
from mer.folder_kinds import STUDY_MARK

JOURNAL = STUDY_MARK
SPACE, SPACE_TYPED, CODE_DIFF, SUMMARY, OUTBOX = "space.json", "space.yaml", "code.diff", "summary.json", "mlflow.jsonl"
TEST, TEST_PREDICTIONS = "test.json", "test_predictions.csv"  # of a trial whose seed was scored on test
REPLACED, RAY = ".replaced", ".ray"
REPORT, PICTURE = "report.html", "history.svg"
TRIALS, ARTIFACTS = "trials", "artifacts"

# inside artifacts/
CONFIG, ENVIRONMENT, HISTORY = "config.json", "environment.json", "history.csv"
PER_CLASS, DEV_PREDICTIONS = "per_class.csv", "dev_predictions.csv"
CONFUSION_COUNTS, CONFUSION = "confusion.csv", "confusion.svg"
PER_TARGET, SCATTER = "per_target.csv", "scatter.svg"  # of a task of numbers, in their places


def tables_of(task: TargetKind) -> tuple[str, ...]:
    """Name the tables of a trial that has a model, by what it predicts; the predictions come last."""
    return (PER_TARGET, DEV_PREDICTIONS) if task == "regression" else (PER_CLASS, CONFUSION_COUNTS, DEV_PREDICTIONS)


def picture_of(task: TargetKind) -> str:
    """Name the picture of a trial, by what it predicts."""
    return SCATTER if task == "regression" else CONFUSION


def is_study(folder: Path) -> bool:
    """True when a search was begun in `folder`."""
    return (folder / JOURNAL).is_file()


def studies_in(studies: Path) -> list[str]:
    """Name the studies that were begun in a folder of studies, in alphabetical order."""
    return sorted(journal.parent.name for journal in studies.glob(f"*/{JOURNAL}"))


def lock_file(studies: Path, study: str) -> Path:
    """Return the lock of a study. It lies beside the study's folder, which `--fresh` moves while the lock is held."""
    return studies / f".{study}.lock"


def owner_file(studies: Path, study: str) -> Path:
    """Return the note of who holds the lock."""
    return studies / f".{study}.owner.json"


def trial_name(number: int) -> str:
    """Write a trial's number as folders, run names and titles have it: five digits at least."""
    return f"{number:05d}"


def trial_folder(study: Path, number: int) -> Path:
    """Return the folder of one trial.

    Args:
        study: the folder of the study.
        number: of the trial, from 0.
    """
    return study / TRIALS / trial_name(number)


def trial_numbers(study: Path) -> list[int]:
    """List the trials that have a folder, smallest number first."""
    return sorted(int(path.name) for path in (study / TRIALS).glob("[0-9]*"))


def artifacts_folder(study: Path, number: int) -> Path:
    """Return the folder of one trial's artifacts."""
    return trial_folder(study, number) / ARTIFACTS
