"""Take the losses of one student of all members at once: those of its labels, and those against its teacher.

Shape suffixes: P members, B batch rows, C classes, H width of the student's h, K of the teacher's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mer.losses import Lesson, StudentObjective
from mer.losses.distillation import FEWEST_ROWS, dist, response_kl, similarity_kl, squared_gap
from mer.models.layers import linear
from mer.training.draws import Draws
from mer.training.packed.contrastive import pack_objectives
from mer.training.packed.objective import Answers
from mer.training.packed.stacked import Stacked


class PackedStudentObjective:
    """Join the objectives of one student. A part that a member lacks in a step, for want of rows, is NaN in its record.

    Args: objectives: the members' own, of one structure.
    """

    def __init__(self, objectives: Sequence[StudentObjective], device: str) -> None:
        configs = [objective.distillation.config for objective in objectives]
        self.base = pack_objectives([objective.base for objective in objectives], device)
        self.stack = Stacked([objective.distillation for objective in objectives])
        self.response, self.feature = configs[0].response, configs[0].feature
        each = self.base.each
        names = objectives[0].base.weights
        self.weights = {name: each([objective.weights[name] for objective in objectives], 1) for name in names}
        self.weights["response"] = each([config.response_weight for config in configs], 1)
        self.weights["feature"] = each([config.feature_weight for config in configs], 1)
        self.temperature = each([config.temperature for config in configs], 3)
        self.feature_temperature = each([config.feature_temperature for config in configs], 3)
        self.inter, self.intra = (
            each([getattr(config, f"{name}_weight") for config in configs], 1) for name in ("inter", "intra")
        )

    def __call__(
        self, answers: Answers, lesson: Lesson, share_P: Tensor, draws: Draws
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of each member (P,), and its unweighted parts by name (P,), detached.

        Args:
            answers: for rows that the student can read; a member without any has the loss 0.
            lesson: outputs of the teacher for these rows, and which of them it teaches.
            share_P: warm-up factors of the distillation losses.
        """
        assert lesson.there_N is not None
        rows_P = torch.ones_like(share_P, dtype=torch.int64)
        rows_P = rows_P if answers.there_PB is None else answers.there_PB.sum(dim=1)
        taught_P = lesson.there_N.sum(dim=1)
        parts = {name: (part, rows_P > 0, self.weights[name]) for name, part in self.base.parts(answers, draws).items()}
        for name, part in self._taught(answers, lesson).items():
            fewest = FEWEST_ROWS if name == "feature" else 1
            parts[name] = (part, taught_P >= fewest, share_P.to(self.weights[name]) * self.weights[name])
        total_P = torch.stack([weight * part.where(valid, 0.0) for part, valid, weight in parts.values()], dim=1).sum(1)
        return total_P, {name: part.detach().where(valid, torch.nan) for name, (part, valid, _) in parts.items()}

    def _taught(self, answers: Answers, lesson: Lesson) -> dict[str, Tensor]:
        """Compute the losses against the teacher, over the rows that it teaches."""
        taught, there_PB = {}, lesson.there_N
        if self.response == "mse":
            scale_PC = self.stack["scale_C"] if "scale_C" in self.stack.constants else None
            taught["response"] = squared_gap(answers.logits_PBC, lesson.logits_NC, scale_PC, there_N=there_PB)
        elif self.response == "kl":
            taught["response"] = response_kl(answers.logits_PBC, lesson.logits_NC, self.temperature, there_N=there_PB)
        elif self.response == "dist":
            taught["response"] = dist(
                answers.logits_PBC, lesson.logits_NC, self.temperature,
                inter=self.inter, intra=self.intra, there_N=there_PB,
            )  # fmt: skip
        if self.feature != "none" and lesson.h_NK is not None:
            h_PBK = self._projected(answers.h_PBH)
            if self.feature == "mse":
                taught["feature"] = squared_gap(h_PBK, lesson.h_NK, there_N=there_PB)
            else:
                taught["feature"] = similarity_kl(h_PBK, lesson.h_NK, self.feature_temperature, there_N=there_PB)
        return taught

    def _projected(self, h_PBH: Tensor) -> Tensor:
        """Bring h to the width of the teacher's, where they differ: (P, B, K)."""
        if "projection.weight" not in self.stack.weights:
            return h_PBH
        return linear(h_PBH, self.stack["projection.weight"], self.stack["projection.bias"])
