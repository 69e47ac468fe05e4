"""Read the best epoch that a trial's worker wrote, for the whole model or for one student."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from mer.checkpoints.tensors import load_tensors
from mer.config import TrialConfig
from mer.errors import MerError
from mer.study.folder.read_study import StudyRecord
from mer.study.folder.standings import Standing
from trainables.trial_files import BEST, best_file


@dataclass(frozen=True)
class Trained:
    """The best epoch of a trial.

    Args:
        config: of the trial, or of the student alone.
        row: metrics of that epoch.
        tensors: weights and dev scores, by name.
    """

    config: TrialConfig
    class_names: tuple[str, ...]
    row: dict[str, float]
    tensors: dict[str, Tensor] = field(repr=False)

    @property
    def dev_logits_NC(self) -> np.ndarray:
        """Class scores of the dev split."""
        return self.tensors["dev_logits"].numpy()


def read_trained(record: StudyRecord, standing: Standing, student: str) -> Trained:
    """Read the best epoch of a trial.

    Args: student: modality of one student, or "" for the whole model.
    Raises: MerError when there is no such student, or an earlier version of mer wrote the file.
    """
    path = record.trial_folder(standing.number) / best_file(student)
    if student:
        _refuse_no_student(record, standing, student, path)
    tensors, card = load_tensors(path)
    wanted = ("config", "class_names", "row")
    if any(name not in card for name in wanted) or "dev_logits" not in tensors:
        raise MerError(
            path,
            "written by an earlier version of mer: it does not say configuration, classes and best epoch",
            then="run the study again with --fresh, or export with the version that made it",
        )
    config = TrialConfig.recorded(card["config"])
    return Trained(config, tuple(card["class_names"]), card["row"], tensors)


def _refuse_no_student(record: StudyRecord, standing: Standing, student: str, path: Path) -> None:
    """Refuse a student that is missing, or that could not be trained alone again. Raises: MerError."""
    where = f"--student {student}"
    if not path.exists():
        there = sorted(file.stem.removeprefix("best-") for file in path.parent.glob("best-*.safetensors"))
        raise MerError(
            where,
            f"trial {standing.number} of {record.name} has no such student",
            allowed=", ".join(there) or "a trial of a distillation of several encoders",
            then="" if there else "leave --student out: the whole model is exported",
        )
    whole = TrialConfig.recorded(load_tensors(path.with_name(BEST))[1]["config"])
    if whole.distill is not None and whole.distill.mode == "joint":
        raise MerError(
            where,
            "the students of a joint run learn from the fusion too: one alone could not be trained again over seeds",
            allowed="students of distill.mode: parallel",
            then="leave --student out: the whole model is exported",
        )
