"""Knowledge distillation: what students learn from a teacher (methods 4)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    PositiveFloat,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    model_serializer,
    model_validator,
)

from mer.config.base import CountOrNone, Frozen, is_recorded


class StudentConfig(Frozen):
    """Settings of one student."""

    head_lr: PositiveFloat | None = Field(None, description="learning rate of this student's head; null: optim.head_lr")
    weight: PositiveFloat = Field(
        1.0, description="weight of this student's losses in the sum; must be 1 with mode parallel"
    )


class DistillConfig(Frozen):
    """Knowledge distillation into the heads of all encoders in one run (methods 4).

    Every encoder gets a student, which minimises
    L_m = ce_weight L_cls + response_weight L_response + feature_weight L_feature.
    The fusion joins the students' h and minimises its own classification loss.
    """

    source: Literal["teacher", "fused"] = Field(
        "teacher",
        description="teacher: an exported model | fused: the fused head of the same model (self-distillation)",
    )
    teacher: str | None = Field(
        None, description="folder of the exported teacher; it is run once, before the first trial"
    )
    mode: Literal["parallel", "joint"] = Field(
        "parallel",
        description="parallel: the fusion's loss does not reach the students, so they train as in separate runs | "
        "joint: it does",
    )
    warm_epochs: CountOrNone = Field(
        0, description="with mode joint: first epochs in which the fusion's loss does not reach the students"
    )
    ce_weight: Annotated[float, Field(ge=0.0)] = Field(1.0, description="weight of each student's classification loss")
    response: Literal["dist", "kl", "mse", "none"] = Field(
        "dist",
        description="loss on class scores: dist (DIST, Huang et al. 2022) | kl (Hinton et al. 2015) | mse: squared "
        "differences of the outputs, also of numbers (in standard deviations of train) and of several labels",
    )
    response_weight: Annotated[float, Field(ge=0.0)] = Field(
        1.0, description="weight of the response loss; TelME: 1 on MELD, 0.1 on IEMOCAP"
    )
    temperature: PositiveFloat = Field(
        4.0, description="softens the class scores of the response loss, which is multiplied by its square"
    )
    inter_weight: Annotated[float, Field(ge=0.0)] = Field(
        1.0, description="DIST's beta: correlation over classes within a row"
    )
    intra_weight: Annotated[float, Field(ge=0.0)] = Field(
        1.0, description="DIST's gamma: correlation over rows within a class"
    )
    feature: Literal["similarity", "review", "mse", "none"] = Field(
        "similarity",
        description="similarity: match the teacher's similarities between rows of the batch (TelME) | review: match "
        "hidden states of its encoder (knowledge review), of tuned students | mse: squared differences of h (FitNets, "
        "Romero et al. 2015)",
    )
    review_levels: Annotated[int, Field(ge=1, le=4)] = Field(
        3, description="resolutions in time at which a review compares hidden states: 3 = quarters, halves, the whole"
    )
    feature_weight: Annotated[float, Field(ge=0.0)] = Field(1.0, description="weight of the feature loss")
    feature_temperature: PositiveFloat = Field(
        1.0, description="temperature of the similarities; 1 gives nearly equal targets, smaller values sharper ones"
    )
    kd_filter: Literal["none", "correct_only"] = Field(
        "none", description="rows that the teacher teaches: none = all | correct_only = those whose label it predicts"
    )
    warmup_steps: CountOrNone = Field(
        200, description="steps over which the response and feature losses rise from 0 to full weight"
    )
    fused_weight: PositiveFloat = Field(
        1.0,
        description="weight of the fused head's classification loss; mode parallel: 1 unless the fusion adds losses",
    )
    other_context: bool = Field(
        False, description="allow a teacher that reads other turns of the dialogue than its students do"
    )
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
    def _settings_are_of_the_feature_loss(self, info: ValidationInfo) -> Self:
        fields = type(self).model_fields
        dead = {"review_levels": "review", "feature_temperature": "similarity"}
        for name, kind in dead.items():
            found = getattr(self, name)
            if found == fields[name].default or self.feature == kind or is_recorded(info):
                continue
            if name == "review_levels" or self.feature == "review":
                raise ValueError(
                    f"distill.{name} has no meaning with distill.feature '{self.feature}', got {found:g}: remove it, "
                    f"or set distill.feature: {kind}"
                )
        return self

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what only a review reads, so that older configurations keep their hashes."""
        return {
            name: value for name, value in dump(self).items() if name != "review_levels" or self.feature == "review"
        }

    @property
    def review_parts(self) -> int:
        """Equal parts of time over which hidden states are averaged; 0 where none are compared."""
        return 2 ** (self.review_levels - 1) if self.feature == "review" else 0

    @model_validator(mode="after")
    def _students_of_parallel_runs_are_apart(self, info: ValidationInfo) -> Self:
        """In mode parallel each student is trained by its own losses alone, and AdamW ignores the scale of a loss."""
        if is_recorded(info):
            return self
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
        """Settings of the student of a modality."""
        own: StudentConfig = getattr(self, modality)
        return own
