"""Write and read what an ended trial leaves for people: configuration, history, tables, predictions.

The driver makes these files from the trial's `best.safetensors`; the worker writes tensors only. Pictures are drawn at
the end of a study, for its best trials: while it runs, the workers want the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from mer.checkpoints import read_card
from mer.config import DataConfig
from mer.files import write_json, write_text
from mer.study.folder.confusion_svg import confusion_svg
from mer.study.folder.recorded import LOGIT, OUTPUT, TRUE, read_scores
from mer.study.folder.scatter_svg import scatter_svg
from mer.study.paths import (
    ARTIFACTS,
    CONFIG,
    CONFUSION_COUNTS,
    DEV_PREDICTIONS,
    HISTORY,
    PER_CLASS,
    PER_TARGET,
    picture_of,
)
from mer.terminal.spreadsheet import csv_text
from mer.training import AnyScores, Row, scores_of
from mer.training.label_scores import MultilabelScores
from mer.training.metrics import Scores
from mer.training.number_scores import RegressionScores
from trainables.trial_files import BEST

_CLASSES = DataConfig()


def write_artifacts(
    trial_folder: Path,
    *,
    config: Mapping[str, Any],
    rows: list[Row],
    ids: tuple[str, ...],
    labels_N: np.ndarray,
    data: DataConfig = _CLASSES,
) -> Path:
    """Write the artifacts folder of one trial and return it. Without a best epoch: configuration and history only.

    Args:
        trial_folder: of the trial; may hold `best.safetensors`.
        config: the resolved configuration as JSON data.
        rows: one per epoch.
        ids: utterances of dev, N of them.
        labels_N: their true labels.
        data: says what is predicted.
    """
    folder = trial_folder / ARTIFACTS
    if not (folder / CONFIG).exists():  # the driver that began the trial has written it
        write_json(folder / CONFIG, config)
    write_text(folder / HISTORY, history_csv(rows))
    best = trial_folder / BEST
    if best.exists():
        card = read_card(best)
        with safe_open(best, framework="np") as file:
            logits = file.get_tensor("dev_logits")
        scores = scores_of(data, logits, labels_N, tuple(card["class_names"]))
        for name, text in tables(scores, ids).items():  # predictions last: they prove that the rest is there
            write_text(folder / name, text)
    return folder


def tables(scores: AnyScores, ids: tuple[str, ...]) -> dict[str, str]:
    """Write the tables of a trial (`tables_of`): file name -> text."""
    made: dict[str, str] = {}
    if isinstance(scores, RegressionScores):
        made[PER_TARGET] = per_class_csv(scores)
    else:
        made |= {PER_CLASS: per_class_csv(scores), CONFUSION_COUNTS: confusion_csv(scores)}
    return made | {DEV_PREDICTIONS: predictions_csv(scores, ids)}


def draw_picture(trial_folder: Path, title: str, epoch: int, data: DataConfig = _CLASSES) -> Path | None:
    """Draw a trial's predictions into its artifacts: confusion, or numbers against outputs.

    Args:
        title: above the picture, before the score.
        epoch: the one that dev chose.
    Returns: the picture; None without any predictions.
    """
    predictions = trial_folder / ARTIFACTS / DEV_PREDICTIONS
    if not predictions.exists():
        return None
    scores = read_scores(predictions)
    picture = predictions.with_name(picture_of(data.task))
    write_text(picture, picture_svg(scores, f"{title}: {main_words(scores)} at epoch {epoch}"))
    return picture


def picture_svg(scores: AnyScores, title: str) -> str:
    """Draw the predictions of a split."""
    if isinstance(scores, RegressionScores):
        return scatter_svg(scores.labels_N, scores.logits_NC, scores.class_names, title)
    if isinstance(scores, MultilabelScores):
        return confusion_svg(given_together(scores), scores.class_names, title, support_C=scores.support_C)
    return confusion_svg(scores.confusion_CC, scores.class_names, title)


def main_words(scores: AnyScores) -> str:
    """Word the score that stands for a model: "dev weighted-F1 61.20"."""
    value = float(getattr(scores, scores.main))
    names = {"weighted_f1": "weighted-F1", "macro_f1": "macro-F1", "ccc": "CCC"}
    shown = f"{value:.4f}" if isinstance(scores, RegressionScores) else f"{100 * value:.2f}"
    return f"dev {names[scores.main]} {shown}"


def given_together(scores: MultilabelScores) -> np.ndarray:
    """Count the rows that have one label and are given another, or the same, (C true, C given)."""
    return scores.true_NC.astype(int).T @ scores.given_NC.astype(int)


def history_csv(rows: list[Row]) -> str:
    """Write a header and one line per epoch, at full precision."""
    header = list(dict.fromkeys(key for row in rows for key in row)) or ["epoch"]
    return csv_text([header, *([repr(float(row[key])) if key in row else "" for key in header] for row in rows)])


def per_class_csv(scores: AnyScores) -> str:
    """Write precision, recall, F1 and counts of every class or label; CCC, errors and counts of every number."""
    rows = scores.per_class()
    return csv_text([list(rows[0]), *(list(row.values()) for row in rows)])


def confusion_csv(scores: Scores | MultilabelScores) -> str:
    """Write the confusion matrix: a line for each true class or label, a column for each predicted one."""
    counts_CC = scores.confusion_CC if isinstance(scores, Scores) else given_together(scores)
    lines = [[name, *counts] for name, counts in zip(scores.class_names, counts_CC.tolist(), strict=True)]
    return csv_text([["true", *scores.class_names], *lines])


def predictions_csv(scores: AnyScores, ids: tuple[str, ...]) -> str:
    """Write utterance id, true and predicted label, then the class scores at full float32 precision.

    Of numbers and of several labels: what is true of each (empty where the data do not say), then the output or the
    score of each. Rows without a label are left out: nothing is scored there.
    """
    names = scores.class_names
    if not isinstance(scores, Scores):
        return _targets_csv(scores, ids)
    header = ["id", "true", "predicted", *(f"{LOGIT}{name}" for name in names)]
    rows = [
        [utterance, names[true], names[predicted], *map(str, logits)]
        for utterance, true, predicted, logits in zip(
            ids, scores.labels_N, scores.predicted_N, scores.logits_NC, strict=True
        )
        if true >= 0
    ]
    return csv_text([header, *rows])


def _targets_csv(scores: RegressionScores | MultilabelScores, ids: tuple[str, ...]) -> str:
    numbers = isinstance(scores, RegressionScores)
    said = [f"{OUTPUT if numbers else LOGIT}{name}" for name in scores.class_names]
    header = ["id", *(f"{TRUE}{name}" for name in scores.class_names), *said]
    write = str if numbers else lambda value: f"{value:.0f}"
    rows = [
        [ids[row], *("" if value != value else write(value) for value in scores.labels_N[row]),
         *map(str, scores.logits_NC[row])]
        for row in scores.scored_N
    ]  # fmt: skip
    return csv_text([header, *rows])
