"""The head, and what training minimises (methods 1-3)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from mer.config.base import Frozen, Probability


class HeadConfig(Frozen):
    """From encoder features to the representation h, and from h to class scores."""

    hidden: Annotated[int, Field(ge=0)] = Field(256, description="width of h; 0 = linear probe on the features")
    depth: PositiveInt = Field(1, description="Linear-GELU-Dropout blocks before h's classifier")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.3, description="before the classifier and each block")
    input_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.0, description="on the encoder features")
    layer_mix: Literal["concat", "mean", "learned"] = Field("concat", description="how several layers become one")
    input_norm: Literal["standardize", "layernorm", "none"] = Field(
        "standardize", description="standardize: by mean and sd of the training split"
    )


class ClassificationLossConfig(Frozen):
    """Supervised loss on the class scores (methods 3.1-3.3)."""

    kind: Literal["ce", "focal"] = "ce"
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    focal_gamma: Annotated[float, Field(ge=0.0)] = Field(2.0, description="used by kind 'focal'; 0 equals ce")
    class_weight: Literal["none", "power", "effective"] = Field(
        "none", description="power: (N / (C n_c)) ** class_weight_exponent; effective: effective number of samples"
    )
    class_weight_exponent: Probability = Field(0.5, description="0 = none, 0.5 = square root, 1 = inverse frequency")
    logit_adjustment: Annotated[float, Field(ge=0.0)] = Field(0.0, description="t in z + t log prior, training only")
    probe: bool = Field(False, description="train the classifier on detached h (SPCL's reference code)")

    @model_validator(mode="after")
    def _smoothing_is_for_ce(self) -> Self:
        if self.kind == "focal" and self.label_smoothing > 0:
            raise ValueError("label_smoothing is defined for kind 'ce' only; set it to 0 with 'focal'")
        return self


class NoContrastive(Frozen):
    kind: Literal["none"] = "none"


class _Contrastive(Frozen):
    weight: Annotated[float, Field(ge=0.0)] = Field(1.0, description="w in L = L_cls + w L_contrast")
    temperature: PositiveFloat = 0.1


class SupConConfig(_Contrastive):
    """Khosla et al. 2020 (methods 3.4)."""

    kind: Literal["supcon"] = "supcon"
    temperature: PositiveFloat = 0.07


class SPCLConfig(_Contrastive):
    """Song et al. 2022, supervised prototypical contrastive learning (methods 1)."""

    kind: Literal["spcl"] = "spcl"
    temperature: PositiveFloat = Field(0.08, description="of (1 + cos) / 2, so 0.08 here is 0.16 in plain cosine")
    pool_size: PositiveInt = Field(512, description="features kept per class")
    support_size: PositiveInt = Field(64, description="random members a prototype is the mean of")
    form: Literal["spcl", "spdcl"] = Field("spcl", description="spdcl: the decoupled form")
    hinge: Annotated[float, Field(ge=0.0)] = Field(0.0, description="anchors with a loss at or under it are left out")
    small_pool: Literal["available", "center"] = Field(
        "available", description="pool smaller than support_size: use what is there | use the class centre"
    )
    curriculum: bool = Field(False, description="easy samples first, hard ones last")

    @model_validator(mode="after")
    def _support_fits_pool(self) -> Self:
        if self.support_size > self.pool_size:
            raise ValueError(
                f"support_size must be at most pool_size, got support_size={self.support_size} with "
                f"pool_size={self.pool_size}"
            )
        return self


class APCLConfig(_Contrastive):
    """Adaptive prototypical contrastive learning, as we define it (methods 2.3)."""

    kind: Literal["apcl"] = "apcl"
    temperature: PositiveFloat = 0.08
    beta: PositiveFloat = Field(0.1, description="step gain of the prototypes")
    gamma: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.1, description="momentum decay of the prototypes")
    orthogonalize: Literal["polar", "qr_signed", "none"] = "polar"
    proto_init: Literal["orthogonal", "label_text"] = "orthogonal"
    anchors: Literal["batch", "all"] = "batch"
    hinge: Annotated[float, Field(ge=0.0)] = 0.0

    @model_validator(mode="after")
    def _prototypes_are_stable(self) -> Self:
        if self.beta >= 2 * (1 + self.gamma):
            raise ValueError(
                f"prototypes diverge unless beta < 2 (1 + gamma), got beta={self.beta} with gamma={self.gamma}"
            )
        return self


class EACLConfig(Frozen):
    """Yu et al. 2024, emotion-anchored contrastive learning (methods 2.4)."""

    kind: Literal["eacl"] = "eacl"
    temperature: PositiveFloat = 0.1
    ce_weight: Probability = Field(0.1, description="lambda in lambda CE + (1 - lambda) (L_con + eta L_angle)")
    angle_weight: Annotated[float, Field(ge=0.0)] = Field(0.1, description="eta")
    stage_two_epochs: Annotated[int, Field(ge=0)] = Field(0, description="last epochs that adapt the anchors only")
    stage_two_lr: PositiveFloat = 1e-4


Contrastive = Annotated[
    NoContrastive | SupConConfig | SPCLConfig | APCLConfig | EACLConfig, Field(discriminator="kind")
]


class LossConfig(Frozen):
    classification: ClassificationLossConfig = ClassificationLossConfig()
    contrastive: Contrastive = NoContrastive()
