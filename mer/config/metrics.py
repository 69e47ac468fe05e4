"""Which metrics there are of each task, which way they are better, and which one stands for a model.

`mer.training.metrics` and its neighbours compute them; a test holds that their names are these.
"""

from __future__ import annotations

import re
from typing import Literal

from mer.config.base import TargetKind

MAIN: dict[TargetKind, str] = {"class": "weighted_f1", "regression": "ccc", "multilabel": "macro_f1"}
# In the order in which tables show them.
USUAL: dict[TargetKind, tuple[str, ...]] = {
    "class": ("weighted_f1", "macro_f1", "accuracy", "unweighted_accuracy", "loss", "ece"),
    "regression": (
        "ccc", "pearson", "mae", "rmse", "loss",
        "acc2_has0", "f1_has0", "acc2_non0", "f1_non0", "acc2", "f1", "acc3", "acc5", "acc7",
    ),
    "multilabel": ("macro_f1", "micro_f1", "samples_f1", "jaccard", "accuracy", "loss"),
}  # fmt: skip
# Metrics that there are of each class, number or label by itself: f1_joy, mae_valence.
OF_EACH: dict[TargetKind, tuple[str, ...]] = {
    "class": ("f1", "recall"), "regression": ("ccc", "pearson", "mae", "rmse"), "multilabel": ("f1", "recall"),
}  # fmt: skip
_EACH_NAME: dict[TargetKind, str] = {"class": "class", "regression": "target", "multilabel": "label"}
_SMALLER = re.compile(r"(loss|ece|(mae|rmse)(_.+)?)")
NO_SHARES = re.compile(r"(loss|(ccc|pearson|mae|rmse)(_.+)?)")  # printed as they are, not in percent

_NAMES = dict.fromkeys(name for names in USUAL.values() for name in names)
_KINDS = dict.fromkeys(kind for kinds in OF_EACH.values() for kind in kinds)
PATTERN = f"^dev_({'|'.join(_NAMES)}|({'|'.join(_KINDS)})_.+)$"  # of the dev metrics of any task


def is_metric(metric: str, task: TargetKind) -> bool:
    """Tell whether trials of a task have a dev metric. Args: metric: "dev_weighted_f1"."""
    if not metric.startswith("dev_"):
        return False
    name = metric.removeprefix("dev_")
    return name in USUAL[task] or any(name.startswith(f"{kind}_") and name != f"{kind}_" for kind in OF_EACH[task])


def better(metric: str) -> Literal["max", "min"]:
    """Say which way a dev metric is better."""
    return "min" if _SMALLER.fullmatch(metric.removeprefix("dev_")) else "max"


def metric_words(task: TargetKind) -> str:
    """List the dev metrics of a task, for messages."""
    of_each = [f"dev_{kind}_<{_EACH_NAME[task]}>" for kind in OF_EACH[task]]
    return ", ".join([*(f"dev_{name}" for name in USUAL[task]), *of_each])
