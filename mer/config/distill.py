"""What the heads of the encoders learn from a teacher (methods 4)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from mer.config.base import Frozen


class StudentConfig(Frozen):
    """What is one student's own in a distillation."""

    head_lr: PositiveFloat | None = Field(None, description="its learning rate; null: optim.head_lr")
    weight: PositiveFloat = Field(1.0, description="of its losses in the sum; must be 1 with mode parallel")


class DistillConfig(Frozen):
    """Knowledge distillation into the heads of all encoders in one run (methods 4).

    Every encoder has a student: L_m = ce_weight L_cls + response_weight L_response + feature_weight L_feature. The
    fusion joins the students' h, and has a classification loss of its own.
    """

    source: Literal["teacher", "fused"] = Field(
        "teacher", description="an exported model | the fused head of this very model (self-distillation)"
    )
    teacher: str | None = Field(None, description="folder of an export, read once, never in a trial")
    mode: Literal["parallel", "joint"] = Field(
        "parallel", description="the fusion reads detached h: as in separate runs | its loss reaches the students too"
    )
    warm_epochs: Annotated[int, Field(ge=0)] = Field(0, description="joint: first epochs in which h is detached")
    ce_weight: Annotated[float, Field(ge=0.0)] = Field(1.0, description="of the students' classification loss")
    response: Literal["dist", "kl", "none"] = Field("dist", description="DIST (Huang et al. 2022) | Hinton's KL")
    response_weight: Annotated[float, Field(ge=0.0)] = Field(1.0, description="a; TelME: 1 (MELD), 0.1 (IEMOCAP)")
    temperature: PositiveFloat = Field(4.0, description="tau of the response, whose square multiplies it")
    inter_weight: Annotated[float, Field(ge=0.0)] = Field(1.0, description="beta of DIST: over classes, per row")
    intra_weight: Annotated[float, Field(ge=0.0)] = Field(1.0, description="gamma of DIST: over rows, per class")
    feature: Literal["similarity", "none"] = Field(
        "similarity", description="TelME's feature term: the teacher's similarities between rows of the batch"
    )
    feature_weight: Annotated[float, Field(ge=0.0)] = Field(1.0, description="b")
    feature_temperature: PositiveFloat = Field(1.0, description="kappa; 1 gives flat targets, smaller sharpens them")
    kd_filter: Literal["none", "correct_only"] = Field("none", description="correct_only: rows the teacher has right")
    warmup_steps: Annotated[int, Field(ge=0)] = Field(200, description="steps in which response and feature fade in")
    fused_weight: PositiveFloat = Field(1.0, description="w_F, of the fused head's classification loss")
    other_context: bool = Field(False, description="allow a teacher that reads other turns than its students")
    text: StudentConfig = StudentConfig()
    audio: StudentConfig = StudentConfig()
    video: StudentConfig = StudentConfig()

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        if self.source == "teacher" and self.teacher is None:
            raise ValueError("distill.teacher is missing: the folder of an export (or source: fused)")
        if self.source == "fused":
            if self.teacher is not None:
                raise ValueError("distill.source 'fused' teaches from the fused head: remove teacher")
            if self.mode != "joint" or self.feature != "none":
                raise ValueError("distill.source 'fused' needs mode: joint and feature: none")
        if self.response == "none" and self.feature == "none":
            raise ValueError("distill.response and distill.feature are both 'none': nothing is distilled")
        return self

    @model_validator(mode="after")
    def _students_of_parallel_runs_are_apart(self) -> Self:
        """In mode parallel each student is trained by its own losses alone, and AdamW ignores the scale of a loss."""
        for modality in ("text", "audio", "video") if self.mode == "parallel" else ():
            if (weight := self.student(modality).weight) != 1.0:
                raise ValueError(
                    f"distill.{modality}.weight must be 1 with distill.mode 'parallel', got {weight:g}: this student's "
                    "losses alone train it, and AdamW ignores their scale. Remove it, or set distill.mode: joint"
                )
        if self.mode == "parallel" and self.warm_epochs:
            raise ValueError(
                f"distill.warm_epochs must be 0 with distill.mode 'parallel', got {self.warm_epochs}: h is detached in "
                "every epoch there. Remove it, or set distill.mode: joint"
            )
        return self

    def student(self, modality: str) -> StudentConfig:
        """The own settings of one student."""
        own: StudentConfig = getattr(self, modality)
        return own
