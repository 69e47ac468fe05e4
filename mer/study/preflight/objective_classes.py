"""Refuse an objective of a class that dev cannot score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mer.errors import MerError, did_you_mean
from mer.study.space.spec import StudySpec

_KINDS = ("dev_f1_", "dev_recall_")


def refuse_unscored_classes(spec: StudySpec, class_names: Sequence[str], dev_labels_N: np.ndarray) -> None:
    """Refuse objectives `dev_f1_<class>` and `dev_recall_<class>` that would be 0 in every trial.

    Args:
        class_names: those of the data, in the order of their numbers.
        dev_labels_N: label numbers of dev.
    Raises: MerError for a class that the data do not know, or that no utterance of dev has.
    """
    present = [name for number, name in enumerate(class_names) if (dev_labels_N == number).any()]
    for objective in spec.objective:
        kind = next((kind for kind in _KINDS if objective.metric.startswith(kind)), None)
        name = objective.metric.removeprefix(kind or "")
        if kind is None or name in present:
            continue
        known = name in class_names
        found = f"no utterance of dev is {name!r}: it would be 0 in every trial" if known else "no such class"
        raise MerError(
            "objective.metric",
            f"{objective.metric!r}: {found}.{did_you_mean(objective.metric, [kind + one for one in present])}",
            allowed=", ".join(kind + one for one in present),
        )
