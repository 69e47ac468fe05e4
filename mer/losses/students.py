"""Objectives of distillation: of one student, and of several beside their fusion."""

# Suffixes: N batch rows, C classes, D width of h.

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from mer.config import DistillConfig
from mer.losses.distillation import Distillation
from mer.losses.objective import Objective, Outputs


class StudentObjective(Objective):
    """ce_weight L_supervised + contrastive + response_weight L_response + feature_weight L_feature.

    Args:
        base: supervised and contrastive loss.
        distillation: the losses against the teacher.
    """

    def __init__(self, base: Objective, distillation: Distillation) -> None:
        nn.Module.__init__(self)
        self.base, self.distillation = base, distillation
        self.weights = dict(base.weights)
        self.weights[base.supervised] *= distillation.config.ce_weight

    def parts(self, outputs: Outputs, y_N: Tensor) -> dict[str, Tensor]:
        lesson, config = outputs.lesson, self.distillation.config
        assert lesson is not None
        self.weights |= {
            "response": lesson.share * config.response_weight,
            "feature": lesson.share * config.feature_weight,
        }
        taught = self.distillation(outputs.h_ND, outputs.logits_NC, lesson, y_N, outputs.states_NSPD)
        return {**self.base.parts(outputs, y_N), **taught}

    def after_step(self, outputs: Outputs, y_N: Tensor) -> None:
        self.base.after_step(outputs, y_N)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        projection = list(self.distillation.parameters())
        return {**self.base.parameter_groups(), **({"projection": projection} if projection else {})}


class StudentsObjective(Objective):
    """fused_weight L_fused + sum over students of weight L_m. L_fused is a classification loss alone.

    Parts of a student are named `part_modality`.

    Args:
        fused: objective of the fused head.
        students: modality -> its objective.
    """

    def __init__(self, config: DistillConfig, fused: Objective, students: Mapping[str, StudentObjective]) -> None:
        nn.Module.__init__(self)
        self.config, self.fused = config, fused
        self.students = nn.ModuleDict(dict(students))
        self.weights = {name: config.fused_weight * weight for name, weight in fused.weights.items()}

    def parts(self, outputs: Outputs, y_N: Tensor) -> dict[str, Tensor]:
        parts = self.fused.parts(outputs, y_N)
        for modality, (there_N, own) in outputs.students.items():
            objective, weight = self.student(modality), self.config.student(modality).weight
            own_parts = objective.parts(own, y_N[there_N])
            parts |= {f"{name}_{modality}": part for name, part in own_parts.items()}
            self.weights |= {f"{name}_{modality}": weight * objective.weights[name] for name in own_parts}
        return parts

    def after_step(self, outputs: Outputs, y_N: Tensor) -> None:
        for modality, (there_N, own) in outputs.students.items():
            self.student(modality).after_step(own, y_N[there_N])

    def student(self, modality: str) -> StudentObjective:
        found = self.students[modality]
        assert isinstance(found, StudentObjective)
        return found
