"""What dev decides of an export beside its weights: the threshold of two classes, those of labels, the temperature."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mer.errors import MerError
from mer.training import AnyScores
from mer.training.calibration import COLDEST, HOTTEST, Temperature, at_temperature, fit_temperature
from mer.training.label_scores import MultilabelScores
from mer.training.label_thresholds import LabelThresholds, choose_label_thresholds
from mer.training.metrics import Scores
from mer.training.number_scores import RegressionScores
from mer.training.threshold import Threshold, choose_threshold


@dataclass(frozen=True)
class Decisions:
    """Numbers that were fitted to dev; None for what was not asked for, or is not of this task."""

    threshold: Threshold | None = None
    of_labels: LabelThresholds | None = None
    temperature: Temperature | None = None

    @property
    def provenance(self) -> dict[str, Any]:
        """All of them, for provenance.json and the card."""
        told = {"threshold": self.threshold, "thresholds": self.of_labels, "temperature": self.temperature}
        return {name: asdict(one) for name, one in told.items() if one is not None}

    @property
    def of_export(self) -> dict[str, Any]:
        """What prediction needs of them: the arguments of `Contents`."""
        return {
            "threshold": self.threshold.at_least if self.threshold else None,
            "thresholds": self.of_labels.above if self.of_labels else None,
            "temperature": self.temperature.value if self.temperature else None,
        }

    def lines(self) -> list[str]:
        """Say in the terminal what the temperature did to dev."""
        if (found := self.temperature) is None:
            return []
        told = (
            f"  calibrated on dev: temperature {found.value:.4g}; "
            f"ECE {100 * found.ece_before:.2f} -> {100 * found.ece_after:.2f} % ({found.bins} bins), "
            f"NLL {found.nll_before:.4f} -> {found.nll_after:.4f} nats"
        )
        end = f"  note: no temperature in {COLDEST:g} to {HOTTEST:g} is best: dev is too small, or all right, or wrong"
        return [told, end] if found.at_its_bound else [told]


def decide(scores: AnyScores, *, threshold: str, calibrate: bool) -> Decisions:
    """Fit to dev what was asked for; thresholds are of the probabilities that the temperature gives.

    Args:
        scores: of dev.
        threshold: dev metric by which the threshold of two classes is chosen; "": none.
        calibrate: whether a temperature is fitted.
    Raises: MerError for what this task cannot have.
    """
    if isinstance(scores, RegressionScores):
        if calibrate:
            raise MerError(
                "--calibrate",
                "it fits probabilities, and this model has data.task regression: it answers with numbers",
                allowed="a model of classes, or of several labels",
                then="leave it out",
            )
        _refuse_threshold(threshold, "regression", "")
        return Decisions()
    temperature = fit_temperature(scores) if calibrate else None
    told = scores if temperature is None else at_temperature(scores, temperature.value)
    if isinstance(told, MultilabelScores):
        _refuse_threshold(threshold, "multilabel", "; each label has its own, chosen on dev")
        return Decisions(of_labels=choose_label_thresholds(told), temperature=temperature)
    assert isinstance(told, Scores)
    chosen = choose_threshold(told, threshold.removeprefix("dev_")) if threshold else None
    return Decisions(threshold=chosen, temperature=temperature)


def _refuse_threshold(threshold: str, task: str, why: str) -> None:
    if threshold:
        raise MerError(
            "--threshold", f"it is of two classes, and this model has data.task {task}{why}", then="leave it out"
        )
