"""Read what a trial recorded: its configuration, its surroundings, its epochs, its predictions.

A folder of studies is copied, edited and sent about: what is not as it was written is refused by name.
"""

from __future__ import annotations

import contextlib
import csv
import io
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mer.checkpoints.proven import trusted
from mer.config import TrialConfig
from mer.errors import MerError
from mer.read_files import Unreadable, complaint, read_bytes, read_json, read_model, shown
from mer.study.paths import ARTIFACTS, CONFIG, ENVIRONMENT, HISTORY
from mer.terminal.spreadsheet import text_of_cell
from mer.training import AnyScores, Row
from mer.training.label_scores import MultilabelScores
from mer.training.member import identity_of
from mer.training.metrics import Scores
from mer.training.number_scores import RegressionScores
from trainables.trial_files import LAST

_LARGEST_BYTES = 2**28
_FIRST = ["id", "true", "predicted"]
LOGIT, OUTPUT, TRUE = "logit_", "output_", "true_"  # before the name of a class, number or label in a header


class Environment(BaseModel):
    """Code, packages and machine of a trial, as environment.json has them."""

    model_config = ConfigDict(strict=True)
    git_sha: str | None = None
    code_diff_sha256: str | None = None
    python: str | None = None
    device: str | None = None
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    packages: dict[str, Any] = {}
    machine: dict[str, Any] = {}
    features: list[str] = []


def read_config(trial_folder: Path) -> TrialConfig:
    """Read the configuration of a trial. Raises: OSError; Unreadable for one that this version does not know."""
    path = trial_folder / ARTIFACTS / CONFIG
    try:
        return TrialConfig.recorded(read_json(path))
    except ValidationError as fault:
        found, allowed = complaint(fault)
        raise Unreadable(path, found, allowed=allowed) from None


def read_environment(trial_folder: Path) -> Environment:
    """Read the code, packages and machine of a trial. Raises: OSError; Unreadable."""
    return read_model(trial_folder / ARTIFACTS / ENVIRONMENT, Environment)


def read_history(trial_folder: Path, config: TrialConfig | None = None) -> list[Row]:
    """Read the epochs of a trial, with their first timestamps: from its last sound checkpoint, else the artifacts.

    Artifacts that know more than the checkpoint before the last one count: of a trial that has ended, that one can be
    what a disk did not remove.

    Args: config: of the trial; a checkpoint of another one is passed over.
    Raises: OSError; Unreadable.
    """
    for path, state in trusted(trial_folder / LAST):
        card = {} if isinstance(state, MerError) else state[1]
        if "history" in card and (config is None or card.get("config_sha256") in (None, identity_of(config))):
            saved: list[Row] = list(card["history"])
            if path.name == LAST:
                return saved
            with contextlib.suppress(Unreadable):
                return max(saved, _written_history(trial_folder), key=len)
            return saved
    return _written_history(trial_folder)


def _written_history(trial_folder: Path) -> list[Row]:
    path = trial_folder / ARTIFACTS / HISTORY
    if not path.exists():
        return []
    header, *rows = _read_csv(path) or [[]]
    return [
        {name: _number(path, line, name, cell) for name, cell in zip(header, row, strict=False) if cell}
        for line, row in enumerate(rows, start=2)
    ]


def read_predictions(path: Path) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Read what `predictions_csv` wrote: utterance ids, labels (N,) or (N, C), class scores or outputs (N, C).

    Raises: OSError; Unreadable.
    """
    ids, scores = _read_predictions(path)
    return ids, scores.labels_N, scores.logits_NC


def read_scores(path: Path) -> AnyScores:
    """Read the scores of what `predictions_csv` wrote. Raises: OSError; Unreadable."""
    return _read_predictions(path)[1]


def _read_predictions(path: Path) -> tuple[tuple[str, ...], AnyScores]:
    """Utterance ids, and their scores."""
    header, *rows = _read_csv(path) or [[]]
    if header[:1] == ["id"] and len(header) > 1 and header[1].startswith(TRUE):
        return _read_targets(path, header, rows)
    names = [column.removeprefix(LOGIT) for column in header[3:]]
    if header[:3] != _FIRST or not names or len(set(names)) < len(names):
        raise Unreadable(path, "is no file of predictions", allowed=f"{', '.join(_FIRST)} and a column for each class")
    if not rows:
        raise Unreadable(path, "holds no prediction", allowed="one for each utterance")
    known = {name: number for number, name in enumerate(names)}
    labels_N = np.zeros(len(rows), dtype=np.int64)
    logits_NC = np.zeros((len(rows), len(names)), dtype=np.float32)
    for place, row in enumerate(rows):
        if len(row) != len(header):
            raise Unreadable(f"{path}:{place + 2}", f"the row has {len(row)} cells", allowed=f"{len(header)}")
        if row[1] not in known:
            raise Unreadable(f"{path}:{place + 2}", f"the label is {shown(row[1])}", allowed="one of the header's")
        labels_N[place] = known[row[1]]
        logits_NC[place] = [_number(path, place + 2, "a class score", cell) for cell in row[3:]]
    return tuple(row[0] for row in rows), Scores(logits_NC, labels_N, tuple(names))


def _read_targets(path: Path, header: list[str], rows: list[list[str]]) -> tuple[tuple[str, ...], AnyScores]:
    """Read predictions of numbers, or of several labels."""
    names = tuple(column.removeprefix(TRUE) for column in header if column.startswith(TRUE))
    said = header[1 + len(names) :]
    prefix = OUTPUT if said and said[0].startswith(OUTPUT) else LOGIT
    if len(set(names)) < len(names) or said != [f"{prefix}{name}" for name in names] or not rows:
        raise Unreadable(path, "is no file of predictions", allowed=f"id, {TRUE}... and {prefix}... for each name")
    values = np.zeros((len(rows), 2 * len(names)), dtype=np.float32)
    for place, row in enumerate(rows):
        if len(row) != len(header):
            raise Unreadable(f"{path}:{place + 2}", f"the row has {len(row)} cells", allowed=f"{len(header)}")
        cells = ["nan" if not cell and column < len(names) else cell for column, cell in enumerate(row[1:])]
        values[place] = [_number(path, place + 2, "a number", cell) for cell in cells]
    kind = RegressionScores if prefix == OUTPUT else MultilabelScores
    return tuple(row[0] for row in rows), kind(values[:, len(names) :], values[:, : len(names)], names)


def _read_csv(path: Path) -> list[list[str]]:
    try:
        text = read_bytes(path, largest=_LARGEST_BYTES).decode()
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as fault:
        raise Unreadable(path, "is no CSV file") from fault
    return [[text_of_cell(cell) for cell in row] for row in rows if row]


def _number(path: Path, line: int, name: str, cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise Unreadable(f"{path}:{line}", f"{shown(name)[1:-1]} is {shown(cell)}", allowed="a number") from None
