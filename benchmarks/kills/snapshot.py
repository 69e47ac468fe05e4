"""What is left of a study: its journal, histories, records in MLflow, files.

MLflow's database is read as SQL: a client of MLflow's takes a second to open one, and it would hide runs that nobody
expects.
"""

from __future__ import annotations

import csv
import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import optuna

from mer.study.search.journal import readable_journal
from mer.study.search.operations import parse_line

VARYING = ("seconds", "timestamp_ms")  # of a row; everything else is decided by configuration, data and seed
PARENT = -1  # stands for the study's own run among those of trials
_STATE, _FINISHED = 6, {1, 2, 3}  # Optuna's operation that sets a trial's state; states that are final


@dataclass(frozen=True)
class Trial:
    """A trial as the journal tells it."""

    state: str
    values: tuple[float, ...] | None
    intermediate: Mapping[int, float]
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """A run as MLflow's database tells it.

    Args:
        number: of its trial; PARENT for the study's run.
        points: metric and step -> its values, one for each time stamp.
        artifacts: folder in which the database says that its files are.
    """

    number: int
    status: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    points: Mapping[tuple[str, int], list[float]]
    artifacts: Path


class Kept(Protocol):
    """Where an MLflow server keeps runs and files."""

    database: Path
    files: Path


@dataclass(frozen=True)
class Snapshot:
    """One study, whole.

    Args:
        trials: by number, from the journal.
        histories: by number, rows of artifacts/history.csv without times.
        runs: every active run of the experiment.
        weights: by number, the store's name of its best checkpoint.
        files: paths below the study's folder.
        beside: names in the folder of all studies.
    """

    trials: dict[int, Trial]
    histories: dict[int, list[dict[str, str]]]
    runs: list[Run]
    weights: dict[int, str]
    files: frozenset[str]
    beside: frozenset[str]

    @classmethod
    def of(cls, studies: Path, name: str, server: Kept | None = None) -> Snapshot:
        """Read a study. Args: server: the MLflow server it wrote to; None: the database is in the studies folder."""
        study = studies / name
        inside = [path.relative_to(study) for path in study.rglob("*") if path.is_file() or path.is_symlink()]
        return cls(
            {t.number: _told(t) for t in optuna_trials(study)} if journal_lines(study) else {},
            histories(study),
            runs_of(server.database, name, server.files) if server else runs_of(studies / "mlflow.db", name),
            {int(link.parent.name): link.resolve().stem for link in study.glob("trials/*/best.safetensors")},
            frozenset(str(path) for path in inside if path.parts[0] != ".ray"),
            frozenset(path.name for path in studies.iterdir()),
        )


def optuna_trials(study: Path) -> list[optuna.trial.FrozenTrial]:
    """Read the trials of a study's journal, which may be in use."""
    with readable_journal(study, study.name) as found:
        return found.get_trials()


def _told(trial: optuna.trial.FrozenTrial) -> Trial:
    values = tuple(trial.values) if trial.values is not None else None
    return Trial(trial.state.name, values, trial.intermediate_values, trial.params)


def journal_lines(study: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a study's journal; [] before there is one."""
    journal = study / "journal.log"
    whole = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []
    return [operation for line in whole if (operation := parse_line(line)) is not None]


def trials_ended(lines: list[dict[str, Any]]) -> int:
    """Count the trials that have ended by the lines of a journal."""
    return sum(line["op_code"] == _STATE and line["state"] in _FINISHED for line in lines)


def histories(study: Path) -> dict[int, list[dict[str, str]]]:
    """Trial number -> its epochs as written in artifacts/history.csv, without times."""
    found = {}
    for file in sorted(study.glob("trials/*/artifacts/history.csv")):
        with file.open(newline="") as stream:
            rows = [{k: v for k, v in row.items() if k not in VARYING} for row in csv.DictReader(stream)]
        found[int(file.parts[-3])] = rows
    return found


def runs_of(database: Path, experiment: str, files: Path = Path("/")) -> list[Run]:
    """Read the active runs of an experiment; [] when there is no database.

    Args: files: where an MLflow server keeps what it is given.
    """
    if not database.exists():
        return []
    named = "select experiment_id from experiments where name = ?"
    active = f"select run_uuid from runs where lifecycle_stage = 'active' and experiment_id in ({named})"

    def read(columns: str, table: str) -> list[tuple[Any, ...]]:
        return sql.execute(f"select {columns} from {table} where run_uuid in ({active})", [experiment]).fetchall()

    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as sql:
        runs = read("run_uuid, status, artifact_uri", "runs")
        texts: dict[str, dict[str, dict[str, str]]] = {"tags": defaultdict(dict), "params": defaultdict(dict)}
        for table, of_run in texts.items():
            for run, key, value in read("run_uuid, key, value", table):
                of_run[run][key] = value
        points: dict[str, dict[tuple[str, int], list[float]]] = defaultdict(dict)
        for run, key, step, value in read("run_uuid, key, step, value", "metrics"):
            points[run].setdefault((key, step), []).append(value)
    return [
        Run(
            _number(texts["tags"][run].get("mer.trial", "")), status, texts["tags"][run], texts["params"][run],
            points[run], files / unquote(urlsplit(uri).path).lstrip("/"),
        )
        for run, status, uri in runs
    ]  # fmt: skip


def _number(said: str) -> int:
    return PARENT if said == "study" else int(said)


def as_json(snapshot: Snapshot) -> str:
    """Write what a person needs to see of a study that is not as it should be."""
    shown = {
        "trials": {number: vars(trial) for number, trial in snapshot.trials.items()},
        "runs": [[run.number, run.status, run.tags.get("mer.outcome", "")] for run in snapshot.runs],
        "files": sorted(snapshot.files),
    }
    return json.dumps(shown, indent=1, default=str)
