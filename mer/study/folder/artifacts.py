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
from mer.files import write_json, write_text
from mer.study.folder.confusion_svg import confusion_svg
from mer.study.folder.recorded import read_scores
from mer.study.paths import ARTIFACTS, CONFIG, CONFUSION, CONFUSION_COUNTS, DEV_PREDICTIONS, HISTORY, PER_CLASS
from mer.terminal.spreadsheet import csv_text
from mer.training import Row
from mer.training.metrics import Scores
from trainables.trial_files import BEST


def write_artifacts(
    trial_folder: Path,
    *,
    config: Mapping[str, Any],
    rows: list[Row],
    ids: tuple[str, ...],
    labels_N: np.ndarray,
) -> Path:
    """Write the artifacts folder of one trial and return it. Without a best epoch: configuration and history only.

    Args:
        trial_folder: of the trial; may hold `best.safetensors`.
        config: the resolved configuration as JSON data.
        rows: one per epoch.
        ids: utterances of dev, N of them.
        labels_N: their true labels.
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
        scores = Scores(logits, labels_N, tuple(card["class_names"]))
        write_text(folder / PER_CLASS, per_class_csv(scores))
        write_text(folder / CONFUSION_COUNTS, confusion_csv(scores))
        write_text(folder / DEV_PREDICTIONS, predictions_csv(scores, ids))  # last: it proves that the rest is there
    return folder


def draw_confusion(trial_folder: Path, title: str, epoch: int) -> Path | None:
    """Draw the confusion matrix of a trial's predictions into its artifacts. Returns the picture; None without any.

    Args:
        title: above the picture, before the score.
        epoch: the one that dev chose.
    """
    predictions = trial_folder / ARTIFACTS / DEV_PREDICTIONS
    if not predictions.exists():
        return None
    scores = read_scores(predictions)
    caption = f"{title}: dev weighted-F1 {100 * scores.weighted_f1:.2f} at epoch {epoch}"
    picture = predictions.with_name(CONFUSION)
    write_text(picture, confusion_svg(scores.confusion_CC, scores.class_names, caption))
    return picture


def history_csv(rows: list[Row]) -> str:
    """Write a header and one line per epoch, at full precision."""
    header = list(dict.fromkeys(key for row in rows for key in row)) or ["epoch"]
    return csv_text([header, *([repr(float(row[key])) if key in row else "" for key in header] for row in rows)])


def per_class_csv(scores: Scores) -> str:
    """Write precision, recall, F1 and counts of every class."""
    rows = scores.per_class()
    return csv_text([list(rows[0]), *(list(row.values()) for row in rows)])


def confusion_csv(scores: Scores) -> str:
    """Write the confusion matrix: a line for each true class, a column for each predicted one."""
    lines = [[name, *counts] for name, counts in zip(scores.class_names, scores.confusion_CC.tolist(), strict=True)]
    return csv_text([["true", *scores.class_names], *lines])


def predictions_csv(scores: Scores, ids: tuple[str, ...]) -> str:
    """Write utterance id, true and predicted label, then the class scores at full float32 precision.

    Rows without a label are left out: nothing is scored there.
    """
    names = scores.class_names
    header = ["id", "true", "predicted", *(f"logit_{name}" for name in names)]
    rows = [
        [utterance, names[true], names[predicted], *map(str, logits)]
        for utterance, true, predicted, logits in zip(
            ids, scores.labels_N, scores.predicted_N, scores.logits_NC, strict=True
        )
        if true >= 0
    ]
    return csv_text([header, *rows])
