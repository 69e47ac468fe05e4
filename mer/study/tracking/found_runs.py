"""Find a study's experiment and runs in a store, however slowly it answers.

A server loads every run that it lists with all its metrics, parameters and tags, so it is asked for few at a time, and
only in the study's own experiment where that is known.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from mer.study.tracking.store import TAG_DIGEST, TAG_GENERATION, TAG_OUTCOME, TAG_TRIAL

_FIRST, _FEWEST, _MOST = 100, 10, 1000  # runs of an answer
_QUICK_S, _SLOW_S = 1.0, 4.0  # an answer so quick may be larger, one so slow has to be smaller
_EXPERIMENTS = 50  # that are searched by one question

Answered = Callable[[], None]


@dataclass(frozen=True)
class Looking:
    """How a study's experiment is looked for.

    Args:
        known: id of the one that held its runs before; "" when nobody has noted it.
        everywhere: search all experiments for one that was renamed, where none is known.
        answered: told after every answer, of what is read later too.
    """

    known: str = ""
    everywhere: bool = True
    answered: Answered = lambda: None


class FoundRun(NamedTuple):
    """A run of a study, as far as its identity goes.

    Args:
        trial: number as text, or `STUDY`.
        status: MLflow's word.
        outcome, digest: ours; "" while it has none.
        deleted: it lies in MLflow's trash.
    """

    run_id: str
    trial: str
    status: str
    outcome: str
    digest: str
    deleted: bool
    start_ms: int


def find_experiment(client: Any, study: str, generation: str, looking: Looking = Looking()) -> Any:
    """Find the experiment that holds a study's runs, also when somebody renamed it; None when there is none.

    Without any runs, it is the one that has the study's name.

    Args: client: an MlflowClient.
    """
    from mlflow.exceptions import MlflowException

    known, answered = looking.known, looking.answered
    named = client.get_experiment_by_name(study)
    answered()
    if named is not None and (str(named.experiment_id) == known or _holder(client, [named.experiment_id], generation)):
        return named
    if known:
        try:
            if _holder(client, [known], generation):
                return client.get_experiment(known)
        except MlflowException:  # it is gone for good
            pass
        return named
    if not looking.everywhere:
        return named
    for some in _experiments(client):
        answered()
        if holder := _holder(client, some, generation):
            return client.get_experiment(holder)
    return named


def _experiments(client: Any) -> Iterator[list[str]]:
    """Yield the ids of all experiments, some at a time."""
    from mlflow.entities import ViewType

    token = None
    while True:
        page = client.search_experiments(view_type=ViewType.ALL, max_results=_EXPERIMENTS, page_token=token)
        yield [experiment.experiment_id for experiment in page]
        if not (token := page.token):
            return


def _holder(client: Any, experiments: list[str], generation: str) -> str:
    """Return which of some experiments holds runs of a study; "" for none."""
    from mlflow.entities import ViewType

    mine = f"tags.`{TAG_GENERATION}` = '{generation}'"
    found = client.search_runs(experiments, mine, ViewType.ALL, max_results=1) if experiments else ()
    return str(found[0].info.experiment_id) if found else ""


def find_runs(client: Any, experiment_id: str, generation: str, answered: Answered = lambda: None) -> list[FoundRun]:
    """Find all runs of a study, its own and its trials', deleted ones too.

    Of MLflow's SQL store only what is asked for is read: its search loads all of every run, milliseconds each.

    Args:
        client: an MlflowClient.
        answered: told after every answer.
    """
    store = getattr(getattr(client, "_tracking_client", None), "store", None)
    if (sessions := getattr(store, "ManagedSessionMaker", None)) is not None:
        return _find_in_sql(sessions, experiment_id, generation)
    from mlflow.entities import ViewType

    mine = f"tags.`{TAG_GENERATION}` = '{generation}'"

    def ask(size: int, token: str | None) -> Any:
        return client.search_runs([experiment_id], mine, ViewType.ALL, max_results=size, page_token=token)

    found = []
    for run in _pages(ask, answered):
        info, tags = run.info, run.data.tags
        said = tags.get(TAG_TRIAL, ""), info.status, tags.get(TAG_OUTCOME, ""), tags.get(TAG_DIGEST, "")
        found.append(FoundRun(info.run_id, *said, info.lifecycle_stage == "deleted", info.start_time or 0))
    return found


def _pages(ask: Callable[[int, str | None], Any], answered: Answered) -> Iterator[Any]:
    """Yield what a server lists. An answer that does not come in time is asked for again, smaller.

    Raises: whatever `ask` raises at once, or of the smallest answer.
    """
    size, token = _FIRST, None
    while True:
        asked = time.monotonic()
        try:
            page = ask(size, token)
        except Exception:
            if size == _FEWEST or time.monotonic() - asked < _SLOW_S:
                raise
            size = max(_FEWEST, size // 4)
            continue
        took_s = time.monotonic() - asked
        answered()
        yield from page
        if not (token := page.token):
            return
        size = min(_MOST, 2 * size) if took_s < _QUICK_S else max(_FEWEST, size // 2) if took_s > _SLOW_S else size


def _find_in_sql(sessions: Any, experiment_id: str, generation: str) -> list[FoundRun]:
    from mlflow.store.tracking.dbmodels.models import SqlRun, SqlTag

    with sessions(read_only=True) as session:
        mine = session.query(SqlTag.run_uuid).filter(SqlTag.key == TAG_GENERATION, SqlTag.value == generation)
        here = SqlRun.run_uuid.in_(mine), SqlRun.experiment_id == int(experiment_id)
        runs = session.query(SqlRun.run_uuid, SqlRun.status, SqlRun.lifecycle_stage, SqlRun.start_time).filter(*here)
        infos = runs.all()

        def tag(key: str) -> dict[str, str]:
            asked = session.query(SqlTag.run_uuid, SqlTag.value).filter(SqlTag.key == key, SqlTag.run_uuid.in_(mine))
            return dict(asked.all())

        trials, outcomes, digests = tag(TAG_TRIAL), tag(TAG_OUTCOME), tag(TAG_DIGEST)
    return [
        FoundRun(
            run,
            trials.get(run, ""),
            status,
            outcomes.get(run, ""),
            digests.get(run, ""),
            stage == "deleted",
            start or 0,
        )
        for run, status, stage, start in infos
    ]


def one_for_each(found: Iterable[FoundRun]) -> tuple[dict[str, FoundRun], list[FoundRun]]:
    """Choose one run for each trial, and return the superfluous ones that are not deleted.

    A run that is there is chosen before a deleted one, one that was proven before one that was not, the older before
    the younger. Runs without a trial's tag are somebody else's.
    """
    chosen: dict[str, FoundRun] = {}
    extra = []
    for run in sorted(found, key=lambda run: (run.deleted, not run.digest, run.start_ms, run.run_id)):
        if not run.trial:
            continue
        if chosen.setdefault(run.trial, run) is not run and not run.deleted:
            extra.append(run)
    return chosen, extra
