"""Which settings a task of numbers or of several labels (`data.task`) has no meaning for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mer.config.base import TargetKind
from mer.config.distill import DistillConfig
from mer.config.losses import ClassificationLossConfig, LossConfig, MultilabelLossConfig, RegressionLossConfig
from mer.config.metrics import MAIN, better, is_metric, metric_words
from mer.config.training import TrainingConfig


def with_metric_of_task(said: Any) -> Any:
    """Add the usual metric of the task to a configuration that names none."""
    data = said.get("data") if isinstance(said, Mapping) else None
    task = data.get("task") if isinstance(data, Mapping) else getattr(data, "task", None)
    if task not in MAIN or task == "class":
        return said
    training = said.get("training", {})
    if not isinstance(training, Mapping) or "metric" in training:
        return said
    metric = f"dev_{MAIN[task]}"
    return {**said, "training": {"metric": metric, "mode": better(metric), **training}}


def unfit_for_task(task: TargetKind, loss: LossConfig, distill: DistillConfig | None, training: TrainingConfig) -> str:
    """Say what of a configuration has no meaning for its task, with the way out; "" when all of it has."""
    what = f"data.task '{task}'"
    if not is_metric(training.metric, task):
        return f"training.metric {training.metric!r} is none of {what}: choose of {metric_words(task)}"
    if task != "regression" and loss.regression != RegressionLossConfig():
        return f"loss.regression is for data.task 'regression', and here it is '{task}': remove it"
    if task != "multilabel" and loss.multilabel != MultilabelLossConfig():
        return f"loss.multilabel is for data.task 'multilabel', and here it is '{task}': remove it"
    if task == "class":
        return ""
    if loss.contrastive.kind != "none":
        return (
            f"loss.contrastive.kind '{loss.contrastive.kind}' pulls rows of one class together, and {what} has no "
            "classes: set it to none"
        )
    if loss.classification.model_copy(update={"probe": False}) != ClassificationLossConfig():
        return f"loss.classification is a loss on classes, and {what} has none: remove it (loss.{task} is its place)"
    if loss.classification.probe:
        return f"loss.classification.probe leaves h to a contrastive loss, and {what} has none: set it to false"
    if training.prediction != "head":
        return f"training.prediction '{training.prediction}' reads classes, and {what} has none: set it to head"
    if distill is not None and distill.response in ("dist", "kl"):
        return (
            f"distill.response '{distill.response}' compares probabilities of classes, and {what} has none: set it to "
            "mse (or none)"
        )
    if distill is not None and distill.kd_filter != "none":
        return f"distill.kd_filter '{distill.kd_filter}' asks for right classes, and {what} has none: set it to none"
    return ""
