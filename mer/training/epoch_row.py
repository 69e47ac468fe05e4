"""What the row of an epoch says beside its scores, and the failures of an epoch that has no row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mer.errors import TrialFailed
from mer.training.member import Row
from mer.training.scores import AnyScores


def mean_of_steps(told: Mapping[str, np.ndarray]) -> Row:
    """Average each number over the steps that have it: the others hold NaN. A number that no step has is left out.

    Args: told: name -> numbers of the steps of an epoch.
    """
    present = {name: values[~np.isnan(values)] for name, values in told.items()}
    return {f"train_{name}": float(values.mean()) for name, values in present.items() if len(values)}


def by_name(steps: Sequence[Mapping[str, float]]) -> dict[str, np.ndarray]:
    """Put the numbers of an epoch's steps together: name -> those of the steps that have it."""
    names = dict.fromkeys(name for step in steps for name in step)
    return {name: np.array([step[name] for step in steps if name in step]) for name in names}


def scores_without(scores: Mapping[str, AnyScores]) -> Row:
    """Say what dev scores with each modality left out.

    Args: scores: modality -> scores without it.
    """
    return {f"dev_{of.main}_without_{modality}": float(getattr(of, of.main)) for modality, of in scores.items()}


def non_finite(name: str, number: float, *, step: int, epoch: int) -> TrialFailed:
    """Build the failure of a trial whose loss or gradient norm is not finite; step and epoch count from 1."""
    return TrialFailed(f"the {name} became {number} at step {step} (epoch {epoch})")


def non_finite_scores(*, step: int, epoch: int) -> TrialFailed:
    """Build the failure of a trial whose class scores of dev are not finite."""
    return TrialFailed(f"class scores of the dev split are not finite after step {step} (epoch {epoch})")
