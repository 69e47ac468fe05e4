"""All that a study has left behind, as one flat dictionary, and what differs from the picture of another.

Times and random names are left out, so that a study that was killed and resumed has the picture of one that was not.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from benchmarks.faults.world.mlflow_server import Server, StoredRun
from benchmarks.faults.world.study import World
from mer.errors import MerError
from mer.study.paths import CODE_DIFF, CONFUSION, JOURNAL, OUTBOX, SPACE, SUMMARY
from mer.study.search.journal import readable_journal

Picture = dict[str, str]

_TIMES = ("seconds", "timestamp_ms")
_OF_THE_LAST_RUN = (JOURNAL, SUMMARY, OUTBOX)  # read as what they say, not as bytes
_LOCKS = (".lock", ".gate")
_PICTURES = (CONFUSION,)  # drawn for the best of every ending: who was interrupted has more of them


def picture_of(world: World) -> Picture:
    """Look at journal, folders, store and MLflow's record. Raises: MerError when the journal cannot be read."""
    unasked = _PICTURES if world.spec.keep_weights else ()
    files = {key: words for key, words in _files(world.studies).items() if not key.endswith(unasked)}
    return {**_journal(world), **files, **_record(world.server, world.spec.study, unasked)}


def differences(found: Picture, wanted: Picture) -> dict[str, str]:
    """Say what differs: key -> what is wrong with it."""
    wrong = {key: f"lost (was {wanted[key]})" for key in wanted.keys() - found.keys()}
    wrong |= {key: f"too much: {found[key]}" for key in found.keys() - wanted.keys()}
    both = found.keys() & wanted.keys()
    wrong |= {key: f"{found[key]}, should be {wanted[key]}" for key in both if found[key] != wanted[key]}
    return dict(sorted(wrong.items()))


def _journal(world: World) -> Picture:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with readable_journal(world.folder, world.spec.study) as study:
            trials = study.get_trials(deepcopy=False)
    except KeyError:
        raise MerError(world.folder / JOURNAL, "there is no study in it") from None
    found: Picture = {}
    for trial in trials:
        for name, value in _of_trial(trial).items():
            found[f"journal/{trial.number}/{name}"] = value
    return found


def _of_trial(trial: FrozenTrial) -> dict[str, str]:
    ending = trial.user_attrs.get("ending", {})
    return {
        "state": trial.state.name,
        "params": _words(trial.params),
        "values": _words(trial.values),
        "epochs": _words(sorted(trial.intermediate_values.items())),
        "ending": _words({key: _timeless(value) for key, value in ending.items()}),
    }


def _files(studies: Path) -> Picture:
    found: Picture = {}
    for path in sorted(studies.rglob("*")):
        name = path.relative_to(studies).as_posix()
        if path.is_symlink():
            found[f"files/{name}"] = f"link to {path.readlink().name}"
        elif path.is_file() and path.name not in _LOCKS:
            found[f"files/{name}"] = "" if path.name in _OF_THE_LAST_RUN else _content(path.name, path.read_bytes())
    return found


def _record(server: Server, study: str, unasked: tuple[str, ...]) -> Picture:
    found: Picture = {}
    experiments = [one for one in server.experiments.values() if one.name == study]
    found["mlflow/experiments"] = _words([one.lifecycle_stage for one in experiments])
    runs = [run for run in server.runs.values() if run.lifecycle_stage == "active"]
    parents = {run.run_id for run in runs if run.tags.get("mer.trial") == "study"}
    counts = Counter(run.tags.get("mer.trial", "?") for run in runs)
    for run in runs:
        number = run.tags.get("mer.trial", "?")
        found[f"mlflow/{number}/runs"] = str(counts[number])
        found |= {f"mlflow/{number}/{name}": value for name, value in _of_run(run, parents, number, unasked).items()}
    return found


def _of_run(run: StoredRun, parents: Iterable[str], number: str, unasked: tuple[str, ...]) -> Picture:
    found = {"name": run.name, "status": run.status}
    found |= {f"tag/{key}": value for key, value in run.tags.items() if key.startswith(("sampled.", "mer.outcome"))}
    found["reason"] = run.tags.get("mer.reason", "")
    found["parent"] = str(number == "study" or run.tags.get("mlflow.parentRunId") in parents)
    found["params"] = _words(sorted(run.params.items()))
    for key, points in run.metrics.items():
        if key not in _TIMES and number != "study":
            steps = sorted((step, value) for step, _, value in points)
            found[f"metric/{key}"] = _words(steps)  # an epoch that was logged twice is there twice
    found["files"] = _words(
        sorted((name, _content(name, data)) for name, data in run.files.items() if name not in unasked)
    )
    return found


def _content(name: str, data: bytes) -> str:
    """Describe a file: of its bytes, or of what it says without times."""
    if name in (SPACE, CODE_DIFF, SUMMARY):
        return ""
    try:
        if name == "history.csv":
            rows = list(csv.DictReader(io.StringIO(data.decode())))
            return _words([_timeless(row) for row in rows])
        if name.endswith(".json"):
            return _words(_timeless(json.loads(data)))
    except ValueError as fault:
        return f"damaged ({fault})"
    return hashlib.sha256(data).hexdigest()[:12]


def _timeless(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _timeless(one) for key, one in value.items() if key not in _TIMES}
    return value


def _words(value: Any) -> str:
    return json.dumps(value, default=str, sort_keys=True)
