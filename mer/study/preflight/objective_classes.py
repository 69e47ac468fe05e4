"""Refuse an objective of a class, a number or a label that dev cannot score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mer.config import TargetKind
from mer.config.metrics import OF_EACH, USUAL
from mer.errors import MerError, did_you_mean
from mer.study.space.spec import StudySpec

_NOUNS: dict[TargetKind, tuple[str, str]] = {
    "class": ("is", "class"), "regression": ("has a number for", "number"), "multilabel": ("has the label", "label"),
}  # fmt: skip


def refuse_unscored_classes(
    spec: StudySpec, task: TargetKind, class_names: Sequence[str], dev_labels_N: np.ndarray
) -> None:
    """Refuse objectives such as `dev_f1_<class>` and `dev_ccc_<number>` that would be 0 in every trial.

    Args:
        class_names: those of the data, in the order of their numbers.
        dev_labels_N: labels of dev, as `mer.training.labels` says.
    Raises: MerError for a class that the data do not know, or that no utterance of dev has; and for a dev split in
        which nothing can be scored.
    """
    if task != "class" and np.isnan(dev_labels_N).all():
        raise MerError("data", f"no utterance of dev {_NOUNS[task][0]} {class_names[0]!r}: nothing can be scored")
    present = [name for name, said in zip(class_names, _has(class_names, task, dev_labels_N), strict=True) if said]
    kinds = [f"dev_{kind}_" for kind in OF_EACH[task]]
    usual = {f"dev_{name}" for name in USUAL[task]}
    for objective in spec.objective:
        kind = next((kind for kind in kinds if objective.metric.startswith(kind)), None)
        name = objective.metric.removeprefix(kind or "")
        if kind is None or name in present or objective.metric in usual:
            continue
        known, (has, noun) = name in class_names, _NOUNS[task]
        found = f"no utterance of dev {has} {name!r}: it would be 0 in every trial" if known else f"no such {noun}"
        raise MerError(
            "objective.metric",
            f"{objective.metric!r}: {found}.{did_you_mean(objective.metric, [kind + one for one in present])}",
            allowed=", ".join(kind + one for one in present),
        )


def _has(class_names: Sequence[str], task: TargetKind, labels: np.ndarray) -> Sequence[bool]:
    """Say which classes, numbers or labels some row has."""
    if task == "class":
        return [bool((labels == number).any()) for number in range(len(class_names))]
    said = ~np.isnan(labels) if task == "regression" else labels > 0.5
    return list(map(bool, np.atleast_1d(said.any(axis=0))))
