"""Students of several modalities, and the fusion that joins what they represent (methods 4.6).

Shape suffixes: B rows, M modalities, H width of a student's h, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from mer.config import Fusion, HeadConfig, NoDialogue
from mer.models.classifier import UtteranceClassifier
from mer.models.fused import Joined


class StudentsClassifier(Joined):
    """Every modality has a whole classifier of its own; the fused head reads their h.

    Args:
        config: of the head; the fused vector goes straight into the classifier.
        fusion: how the students' h meet.
        students: modality -> its classifier, in the order text, audio, video.
        classes: C.
        probe: as in UtteranceClassifier.
    """

    def __init__(
        self,
        config: HeadConfig,
        fusion: Fusion,
        *,
        students: Mapping[str, UtteranceClassifier],
        classes: int,
        probe: bool = False,
    ) -> None:
        widths = {modality: student.width for modality, student in students.items()}
        straight = config.model_copy(update={"hidden": 0, "input_dropout": 0.0})
        super().__init__(straight, fusion, NoDialogue(), widths=widths, classes=classes, probe=probe)
        self.students = nn.ModuleDict(dict(students))

    @property
    def tuned(self) -> dict[str, Any]:
        """Those of the students."""
        return {modality: encoder for m in self.students for modality, encoder in self.student(m).tuned.items()}

    def fit_norm(self, split: Any, layers: Mapping[str, list[int]], rows_N: np.ndarray) -> None:
        """Take the statistics of each student's input norm from the training rows where its modality is there."""
        for modality, part in split.parts.items():
            self.student(modality).fit_norm(part, layers[modality], part.present_rows)

    def student(self, modality: str) -> UtteranceClassifier:
        found = self.students[modality]
        assert isinstance(found, UtteranceClassifier)
        return found

    def read(self, x: Any) -> dict[str, Tensor]:
        """h (B, H) of every student; a row that is not there is read as an average one."""
        return {
            modality: self.student(modality).represent(features, x.present_BM[:, i])
            for i, (modality, features) in enumerate(x.parts.items())
        }
