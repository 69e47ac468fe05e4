"""How MLflow's page of a study opens: which trials and columns, in which order, with which charts.

MLflow keeps such a view as a tag of the experiment, and opens it where an address names it. Written for MLflow 3.17; a
page that does not know the tag shows its usual table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from mer.study.tracking.content import StudyIdentity
from mer.study.tracking.store import STUDY, TAG_GENERATION, TAG_OUTCOME, TAG_TRIAL, metric_name

_KEY = "mer"
WITHOUT_FAILED = "attributes.status != 'FAILED'"
TAG_VIEW = f"mlflow.sharedViewState.{_KEY}"
_MOST_COLUMNS, _MOST_AXES = 12, 8  # of parameters
_SECTION = "mer"


def view_of(study: StudyIdentity, params: Mapping[str, Any]) -> str:
    """Write the view of a study's trials, best first: the JSON that MLflow's page reads.

    Args:
        study: trials of an earlier search of the same name are left out; failed ones, too, for the epoch before a
            failure may have been the best of all.
        params: of the search space, by dotted key, as `space.json` has them.
    """
    scores = [metric_name(f"best_{metric}") for metric in study.metrics]
    first = metric_name(study.metrics[0])
    wanted = f"tags.`{TAG_GENERATION}` = '{study.generation}' and tags.`{TAG_TRIAL}` != '{STUDY}'"
    columns = [*(f"metrics.`{score}`" for score in scores), f"tags.`{TAG_OUTCOME}`", "metrics.`best_epoch`"]
    columns += [f"params.`{key}`" for key in list(params)[:_MOST_COLUMNS]]
    always = [key for key, param in params.items() if not (isinstance(param, Mapping) and param.get("when"))]
    state = {
        "searchFilter": f"{wanted} and {WITHOUT_FAILED}",
        "orderByKey": f"metrics.`{scores[0]}`",
        "orderByAsc": study.mode == "min",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runListHidden": False,
        "viewMaximized": False,
        "hideEmptyCharts": True,
        "useGroupedValuesInCharts": True,
        "isAccordionReordered": False,
        "compareRunSections": [
            {"uuid": _SECTION, "name": "Trials", "display": True, "isReordered": False, "columns": 1, "cardHeight": 340}
        ],
        "compareRunCharts": [_curves(first), _parallel(always[:_MOST_AXES], scores)],
        "globalLineChartConfig": {"lineSmoothness": 0, "selectedXAxisMetricKey": "", "xAxisKey": "step"},
    }
    return json.dumps(state, separators=(",", ":"))


def pages_of(experiment_id: str, view: str) -> list[str]:
    """Return what follows a server's address on the pages of that view: its charts beside the trials, and its table.

    The address says nothing of an order or a search: MLflow passes over the view when it does.
    """
    query = {"workflowType": "machine_learning", **({"viewStateShareKey": _KEY} if view else {})}
    table = f"/#/experiments/{experiment_id}/runs?{urlencode(query, quote_via=quote)}"
    return [f"{table}&compareRunsMode=CHART", table]


def _curves(metric: str) -> dict[str, Any]:
    """Learning curves of the best trials, epoch by epoch."""
    axes = {"xMin": None, "xMax": None, "yMin": None, "yMax": None}
    return {
        **_card("curves", "LINE", 10),
        "displayName": f"{metric}, epoch by epoch",
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "xAxisKey": "step",
        "lineSmoothness": 0,
        "scaleType": "linear",
        "xAxisScaleType": "linear",
        "range": axes,
    }


def _parallel(params: list[str], scores: list[str]) -> dict[str, Any]:
    """Every trial as a line through its parameters. A trial that lacks one would be left out: conditional ones are."""
    return {
        **_card("parallel", "PARALLEL", 100),
        "selectedParams": params,
        "selectedMetrics": scores,
        "showAllRuns": True,
    }


def _card(name: str, kind: str, runs: int) -> dict[str, Any]:
    return {
        "type": kind,
        "uuid": name,
        "runsCountToCompare": runs,
        "metricSectionId": _SECTION,
        "isGenerated": False,
        "deleted": False,
    }
