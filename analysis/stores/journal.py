"""Read a study as its journal, its folder and MLflow have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial

from analysis.stores.files import BROKEN, inner, read_json
from analysis.stores.mlflow_record import MlflowRecord, read_mlflow
from analysis.stores.study import Study, Trial
from mer.errors import MerError, did_you_mean
from mer.folder_kinds import EXPORT_MARK
from mer.study.paths import JOURNAL, SPACE, SUMMARY, is_study, studies_in
from mer.study.search.journal import WholeLines
from mer.study.search.stored_trial import STATES, params_of
from mer.terminal.commands import command


def find_study(named: str, studies: Path) -> Path:
    """Find a study's folder by path or by name. Raises: MerError when there is none, or it has no journal."""
    folder = Path(named) if Path(named).is_dir() else studies / named
    if not folder.is_dir():
        known = studies_in(studies)
        listing = ", ".join(known) or f"none, in {studies}/"
        raise MerError(
            named,
            f"no such study.{did_you_mean(Path(named).name, known)}",
            allowed=f"studies there are: {listing}",
            then="give a folder, or a name with --studies FOLDER",
        )
    if (folder / EXPORT_MARK).is_file():
        raise MerError(
            folder,
            "is an export: its scores come from an evaluation",
            allowed="studies and evaluations",
            then=f"{command('mer.evaluate', folder)}, then give the folder that it names",
        )
    if not is_study(folder):
        raise MerError(
            folder,
            f"holds no {JOURNAL}: the study has not handed out a trial yet, or this is no study folder",
            then="wait for its first trial, or check the path",
        )
    return folder


def load_study(folder: Path, *, with_mlflow: bool = True) -> Study:
    """Read everything of a study but its tensors. Raises: MerError when the journal is empty or broken."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage = JournalStorage(WholeLines(folder / JOURNAL))
        loaded = storage.get_all_studies()
        study_id = storage.get_study_id_from_name(loaded[0].study_name) if loaded else None
        frozen = storage.get_all_trials(study_id, deepcopy=False) if study_id is not None else []
        attributes: dict[str, Any] = loaded[0].user_attrs if loaded else {}
        trials = [_trial(trial) for trial in frozen]
    except MerError:
        raise
    except Exception as fault:  # Optuna raises many kinds of error for a damaged file
        words = f"Optuna cannot read it ({type(fault).__name__})"
        raise MerError(folder / JOURNAL, words, then="restore it") from None
    if not inner(attributes, "identity"):
        raise MerError(folder / JOURNAL, "holds no study yet", then="wait for its first trial")
    summary, name = read_json(folder / SUMMARY), loaded[0].study_name
    generation = str(attributes.get("generation", ""))
    mlflow = read_mlflow(folder, name, generation, summary) if with_mlflow else MlflowRecord("not asked")
    study = Study(name, folder, attributes["identity"], trials, summary, read_json(folder / SPACE), mlflow, generation)
    try:
        _ = study.objectives, study.ranges, study.finished, study.identity["sampler"]["kind"]
        odd = [key for trial in trials for key in trial.params if not isinstance(key, str)]
        if odd or not isinstance(name, str):
            raise TypeError("a name that is no text")
    except BROKEN as fault:
        words = f"what it says of the search is nothing that mer.tune writes ({type(fault).__name__})"
        raise MerError(folder / JOURNAL, words, then="restore it") from None
    return study


def _trial(frozen: FrozenTrial) -> Trial:
    ending = frozen.user_attrs.get("ending", {})
    last = ending.get("last") or [0]
    epochs = max([int(last[0]), int((ending.get("best") or {}).get("epoch", 0)), *frozen.intermediate_values])
    return Trial(
        frozen.number,
        STATES[frozen.state],
        params_of(frozen),
        ending.get("best") or {},
        ending.get("reason", ""),
        epochs,
        frozen.datetime_start,
        frozen.datetime_complete,
        frozen,
    )
