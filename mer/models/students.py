"""Students of several modalities, and the fusion that joins their h (methods 4.6).

Shape suffixes: B rows, M modalities, H width of a student's h, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from mer.config import CrossModalConfig, Fusion, HeadConfig, NoDialogue, TargetKind
from mer.models.classifier import UtteranceClassifier
from mer.models.fused import Joined


class StudentsClassifier(Joined):
    """A complete classifier per modality, and a fused head that reads their h.

    Args:
        config: of the students' heads; the fused vector goes straight into its classifier.
        fusion: how the students' h are joined.
        students: modality -> its classifier, in the order text, audio, video.
        classes: C.
        probe, task: as in UtteranceClassifier.
        cross_modal: as in Joined; the students' h are contrasted.
    """

    def __init__(
        self,
        config: HeadConfig,
        fusion: Fusion,
        *,
        students: Mapping[str, UtteranceClassifier],
        classes: int,
        probe: bool = False,
        cross_modal: CrossModalConfig | None = None,
        task: TargetKind = "class",
    ) -> None:
        widths = {modality: student.width for modality, student in students.items()}
        straight = config.model_copy(update={"hidden": 0, "input_dropout": 0.0})
        super().__init__(
            straight,
            fusion,
            NoDialogue(),
            widths=widths,
            classes=classes,
            probe=probe,
            cross_modal=cross_modal,
            task=task,
        )
        self.students = nn.ModuleDict(dict(students))

    @property
    def tuned(self) -> dict[str, Any]:
        """Encoders that the students train, by modality."""
        return {modality: encoder for m in self.students for modality, encoder in self.student(m).tuned.items()}

    def fit_norm(self, split: Any, layers: Mapping[str, list[int]], rows_N: np.ndarray) -> None:
        """Set the statistics of each student's input norm from the training rows that have its modality and a label."""
        for modality, part in split.parts.items():
            self.student(modality).fit_norm(part, layers[modality], part.labelled_rows)

    def student(self, modality: str) -> UtteranceClassifier:
        found = self.students[modality]
        assert isinstance(found, UtteranceClassifier)
        return found

    def read(self, x: Any) -> dict[str, Tensor]:
        """Compute h (B, H) of every student; an absent row is read as the average of its features."""
        return {modality: self.student(modality).represent(x.only(modality)) for modality in x.parts}
