"""The head, and the losses that training minimises (methods 1-3)."""

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

from mer.config.base import Count, CountOrNone, Depth, Frozen, Probability, is_recorded


class HeadConfig(Frozen):
    """Layers from encoder features to the representation h, and from h to class scores."""

    hidden: Annotated[int, Field(ge=0, le=2**14)] = Field(
        256, description="width of h; 0: no block, the classifier reads the features themselves"
    )
    depth: Depth = Field(
        1, description="number of Linear-GELU blocks between features and classifier; unused with hidden 0"
    )
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.3, description="dropout before the classifier and between blocks"
    )
    input_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.0, description="dropout on the encoder features")
    layer_mix: Literal["concat", "mean", "learned"] = Field(
        "concat",
        description="how several hidden states become one vector: side by side | mean | weighted mean (learned)",
    )
    input_norm: Literal["standardize", "layernorm", "none"] = Field(
        "standardize", description="scaling of the features: by mean and sd of the training split | LayerNorm | none"
    )
    pool: Literal["attentive", "mean"] = Field(
        "attentive",
        description="how states of an encoder with pooler none become one vector: attentive (Lin et al. 2017): by "
        "weights that the trial learns, for each modality | mean",
    )
    pool_hops: Annotated[int, Field(ge=1, le=16)] = Field(
        1, description="used by pool attentive: weighted means of a row, side by side"
    )

    @model_validator(mode="after")
    def _hops_are_attentive(self) -> Self:
        if self.pool != "attentive" and self.pool_hops != 1:
            raise ValueError(f"pool_hops has no meaning with pool '{self.pool}', got {self.pool_hops}: remove it")
        return self

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave poolers out where they are as usual, so that older configurations keep their hashes."""
        usual = {"pool": "attentive", "pool_hops": 1}
        return {name: value for name, value in dump(self).items() if value != usual.get(name)}


class ClassificationLossConfig(Frozen):
    """Supervised loss on the class scores (methods 3.1-3.3)."""

    kind: Literal["ce", "focal"] = Field("ce", description="cross-entropy | focal loss (Lin et al. 2017)")
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.0, description="share of the target spread over all classes; must be 0 with kind focal"
    )
    focal_gamma: Annotated[float, Field(ge=0.0)] = Field(
        2.0, description="exponent of the focal loss; used by kind focal only, where 0 equals ce"
    )
    class_weight: Literal["none", "power", "effective"] = Field(
        "none",
        description="weight of a class: power = (N / (C n_c)) ** class_weight_exponent | effective = Cui et al. 2019",
    )
    class_weight_exponent: Probability = Field(
        0.5, description="used by class_weight power: 0 = no weights, 0.5 = square root, 1 = inverse frequency"
    )
    logit_adjustment: Annotated[float, Field(ge=0.0)] = Field(
        0.0, description="t in scores + t log prior, in training only (Menon et al. 2021)"
    )
    probe: bool = Field(
        False, description="the classification loss trains the classifier only, not h (as SPCL's reference code)"
    )

    @model_validator(mode="after")
    def _smoothing_is_for_ce(self) -> Self:
        if self.kind == "focal" and self.label_smoothing > 0:
            raise ValueError("label_smoothing is defined for kind 'ce' only; set it to 0 with 'focal'")
        return self


class RegressionLossConfig(Frozen):
    """Loss on numbers (`data.task: regression`), in standard deviations of the training split, so that numbers of any
    scale weigh alike; rows without a number leave it out."""

    kind: Literal["mse", "mae", "huber", "ccc"] = Field(
        "mse",
        description="mean squared error | mean absolute error | Huber's: squared up to huber_delta, then absolute | "
        "1 - concordance correlation over the rows of a batch",
    )
    huber_delta: PositiveFloat = Field(1.0, description="used by kind huber only; in standard deviations of train")


class MultilabelLossConfig(Frozen):
    """Binary cross-entropy of each label (`data.task: multilabel`), averaged over labels."""

    pos_weight_exponent: Probability = Field(
        0.0,
        description="a in (rows without / rows with the label) ** a, the weight of a row that has it: 0 = no weights, "
        "1 = as much as those without",
    )


class NoContrastive(Frozen):
    kind: Literal["none"] = "none"


class _Contrastive(Frozen):
    weight: Annotated[float, Field(ge=0.0)] = Field(
        1.0, description="w in L = L_cls + w L_contrast; must be 1 with loss.classification.probe"
    )
    temperature: PositiveFloat = Field(0.1, description="divides the similarities; smaller is sharper")


class SupConConfig(_Contrastive):
    """Khosla et al. 2020 (methods 3.4)."""

    kind: Literal["supcon"] = "supcon"
    temperature: PositiveFloat = Field(0.07, description="divides the cosine; smaller is sharper")


class SPCLConfig(_Contrastive):
    """Song et al. 2022, supervised prototypical contrastive learning (methods 1)."""

    kind: Literal["spcl"] = "spcl"
    temperature: PositiveFloat = Field(
        0.08, description="divides (1 + cos) / 2, so 0.08 here equals 0.16 for the plain cosine"
    )
    pool_size: Count = Field(512, description="newest features kept per class")
    support_size: Count = Field(
        64, description="random members of the pool whose mean is the prototype; at most pool_size"
    )
    form: Literal["spcl", "spdcl"] = Field(
        "spcl", description="spcl: positives in the denominator too | spdcl: negatives only (decoupled form)"
    )
    hinge: Annotated[float, Field(ge=0.0)] = Field(
        0.0, description="anchors whose loss is at or below it are left out of the mean"
    )
    small_pool: Literal["available", "center"] = Field(
        "available", description="for a pool smaller than support_size: average what is there | use the class centre"
    )
    curriculum: bool = Field(
        False, description="train on about half of the samples per epoch, easy ones first, hard ones last"
    )
    earlier_share: Probability = Field(
        0.0,
        description="share of turns whose window is read once more in an epoch, asked about an earlier turn in it; "
        "published: 0.2",
    )

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave the share of earlier turns out where it is 0, so that older configurations keep their hashes."""
        return {name: value for name, value in dump(self).items() if name != "earlier_share" or value}

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
    temperature: PositiveFloat = Field(0.08, description="divides (1 + cos) / 2; smaller is sharper")
    beta: PositiveFloat = Field(0.1, description="step size of the prototypes towards the class means")
    gamma: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.1, description="momentum of the prototypes")
    orthogonalize: Literal["polar", "qr_signed", "none"] = Field(
        "polar", description="how prototypes stay orthogonal: nearest orthonormal rows | Gram-Schmidt | not at all"
    )
    proto_init: Literal["orthogonal", "label_text"] = Field(
        "orthogonal", description="first prototypes: random orthonormal vectors | the label words, encoded (text only)"
    )
    anchors: Literal["batch", "all"] = Field(
        "batch", description="where the loss is taken: at the utterances | at the prototypes too"
    )
    hinge: Annotated[float, Field(ge=0.0)] = Field(
        0.0, description="subtracted from each anchor's loss, which is at least 0 then"
    )
    prototypes: Annotated[int, Field(ge=1, le=16)] = Field(
        1, description="prototypes of each class; an utterance moves, and is pulled to, one of its class"
    )

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave the number of prototypes out where it is 1, so that older configurations keep their hashes."""
        return {name: value for name, value in dump(self).items() if name != "prototypes" or value != 1}

    @model_validator(mode="after")
    def _words_are_one_each(self) -> Self:
        if self.prototypes > 1 and self.proto_init == "label_text":
            raise ValueError(
                f"proto_init 'label_text' has one vector for each class, got prototypes={self.prototypes}: set it to "
                "orthogonal"
            )
        return self

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
    temperature: PositiveFloat = Field(0.1, description="divides (1 + cos) / 2; smaller is sharper")
    ce_weight: Probability = Field(
        0.1, description="lambda in lambda L_cls + (1 - lambda) (L_con + angle_weight L_angle)"
    )
    angle_weight: Annotated[float, Field(ge=0.0)] = Field(
        0.1, description="weight of the angle loss, which spreads the anchors (eta)"
    )
    stage_two_epochs: CountOrNone = Field(
        0, description="number of last epochs that train the anchors only; needs prediction nearest_anchor"
    )
    stage_two_lr: PositiveFloat = Field(1e-4, description="learning rate of the anchors in these epochs")


Contrastive = Annotated[
    NoContrastive | SupConConfig | SPCLConfig | APCLConfig | EACLConfig, Field(discriminator="kind")
]


class AdversarialConfig(Frozen):
    """The loss once more, at an h that is moved a little to make it worse (FGM, Miyato et al. 2017)."""

    weight: Annotated[float, Field(ge=0.0)] = Field(
        0.0, description="weight of the loss at the moved h, beside the loss itself; 0: it is not computed"
    )
    epsilon: PositiveFloat = Field(1.0, description="how far each h is moved, along the gradient of its loss")


class CrossModalConfig(Frozen):
    """Contrast between the modalities of an utterance, both ways (Radford et al. 2021, CLIP); no teacher, no label."""

    weight: Annotated[float, Field(ge=0.0)] = Field(
        0.0, description="weight of the contrast between modalities, mean over their pairs; 0: there is none"
    )
    temperature: PositiveFloat = Field(0.07, description="divides the cosine; smaller is sharper")


class LossConfig(Frozen):
    classification: ClassificationLossConfig = ClassificationLossConfig()
    contrastive: Contrastive = NoContrastive()
    adversarial: AdversarialConfig = AdversarialConfig()
    cross_modal: CrossModalConfig = CrossModalConfig()
    regression: RegressionLossConfig = RegressionLossConfig()
    multilabel: MultilabelLossConfig = MultilabelLossConfig()

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out losses that are off, or came later and are as by default, so that older configurations keep their
        hashes."""
        off = {name for name in ("adversarial", "cross_modal") if not getattr(self, name).weight}
        usual = {"regression": RegressionLossConfig(), "multilabel": MultilabelLossConfig()}
        off |= {name for name, default in usual.items() if getattr(self, name) == default}
        return {name: value for name, value in dump(self).items() if name not in off}

    @model_validator(mode="after")
    def _settings_of_what_is_on(self, info: ValidationInfo) -> Self:
        for name, setting in (("adversarial", "epsilon"), ("cross_modal", "temperature")):
            part = getattr(self, name)
            found = getattr(part, setting)
            if not part.weight and found != type(part).model_fields[setting].default and not is_recorded(info):
                raise ValueError(
                    f"loss.{name}.{setting} has no meaning with loss.{name}.weight 0, got {found:g}: remove it, or set "
                    "the weight above 0"
                )
        return self
