"""Fusion of modalities (methods 5)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from mer.config.base import Count, Frozen, Width


class _Fusion(Frozen):
    """Settings that all fusions share (methods 5): each modality is normalised and projected, then they are joined."""

    width: Width = Field(256, description="width of the fused representation")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.2, description="dropout on the normalised features of each modality and inside the fusion"
    )
    modality_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.0,
        description="probability that a modality other than text is left out of a training row; at least one stays",
    )

    split_width: ClassVar[str] = "width"  # the setting that heads divide

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        heads, name = getattr(self, "heads", 1), self.split_width
        if (width := getattr(self, name)) % heads:
            raise ValueError(f"{name} must be a multiple of heads, got {name}={width} with heads={heads}")
        return self

    @property
    def adds_losses(self) -> bool:
        """True when the fusion adds loss terms of its own to the classification loss."""
        return False

    @property
    def reads_sequences(self) -> bool:
        """True when the fusion reads the states of an encoder with pooler none, instead of one vector of them."""
        return False


class ConcatFusion(_Fusion):
    """Modalities side by side, then Linear blocks: the baseline for every other fusion."""

    kind: Literal["concat"] = "concat"
    depth: Annotated[int, Field(ge=1, le=6)] = Field(
        1, description="1: one Linear; more: so many blocks of Linear, LayerNorm, GELU"
    )


class LMFFusion(_Fusion):
    """Low-rank multimodal fusion, Liu et al. 2018 (methods 5.2)."""

    kind: Literal["lmf"] = "lmf"
    rank: Width = Field(4, description="number of rank-one terms of the product")
    factor_width: Width = Field(64, description="width to which each modality is reduced before the product")


class SelfAttentionFusion(_Fusion):
    """Pre-norm transformer layers over modality tokens (methods 5.4)."""

    kind: Literal["self_attention"] = "self_attention"
    layers: Annotated[int, Field(ge=1, le=4)] = Field(1, description="number of transformer layers")
    heads: Count = Field(4, description="attention heads; width must be a multiple")
    read: Literal["token", "mean"] = Field(
        "token", description="what becomes h: token = an added [FUSE] token | mean = the mean of the present modalities"
    )


class CrossAttentionFusion(_Fusion):
    """Attention from text to the other modalities, added to text (methods 5.4)."""

    kind: Literal["cross_attention"] = "cross_attention"
    layers: Annotated[int, Field(ge=1, le=4)] = Field(1, description="number of attention layers")
    heads: Count = Field(4, description="attention heads; width must be a multiple")


class ShiftingFusion(_Fusion):
    """TelME's attention-based modality shifting, over modality tokens, never over the batch (methods 5.3)."""

    kind: Literal["shifting"] = "shifting"
    heads: Count = Field(
        4, description="attention heads; width must be a multiple. Changes nothing with two modalities"
    )
    threshold: PositiveFloat = Field(0.1, description="largest shift of text, as a factor of its norm (theta)")


class _Experts(_Fusion):
    """Settings of the mixtures of experts."""

    experts: Annotated[int, Field(ge=1, le=64)] = Field(4, description="number of experts")
    top_k: Count = Field(2, description="experts that a row is sent to; at most `experts`")
    noise: bool = Field(True, description="add learned noise to the router's scores in training")
    balance: Literal["switch", "cv2", "none"] = Field(
        "switch",
        description="load-balancing loss: switch (Switch Transformer) | cv2 (squared coefficient of variation)",
    )
    balance_weight: Annotated[float, Field(ge=0.0)] = Field(0.01, description="weight of the load-balancing loss")
    z_weight: Annotated[float, Field(ge=0.0)] = Field(
        1e-3, description="weight of the z-loss, which keeps the router's scores small"
    )

    @model_validator(mode="after")
    def _enough_experts(self) -> Self:
        if self.top_k > self.experts:
            raise ValueError(f"top_k must be at most experts, got top_k={self.top_k} with experts={self.experts}")
        return self

    @property
    def adds_losses(self) -> bool:
        return self.z_weight > 0 or (self.balance != "none" and self.balance_weight > 0)


class TGMoEFusion(_Experts):
    """Text-guided mixture of experts, as we define it (methods 5.5)."""

    kind: Literal["tgmoe"] = "tgmoe"
    heads: Count = Field(4, description="heads of the attention from text; width must be a multiple")


class MoEFusion(_Experts):
    """Mixture of experts with a router for every modality, whose scores are added (methods 5.5)."""

    kind: Literal["moe"] = "moe"


class MeanFusion(_Fusion):
    """The mean of the modalities that are present, each projected: none of them counts more than another."""

    kind: Literal["mean"] = "mean"


class TFNFusion(_Fusion):
    """Tensor fusion, Zadeh et al. 2017: the outer product of all modalities."""

    kind: Literal["tfn"] = "tfn"
    factor_width: Annotated[int, Field(ge=1, le=64)] = Field(
        16,
        description="width to which each modality is reduced; of three there are (factor_width + 1) ** 3 products",
    )


class MISAFusion(_Fusion):
    """Shared and private subspaces, Hazarika et al. 2020, with losses of similarity, difference, reconstruction."""

    kind: Literal["misa"] = "misa"
    split_width: ClassVar[str] = "subspace_width"
    subspace_width: Width = Field(128, description="width of each modality's shared and of its private vector")
    heads: Count = Field(2, description="heads of the layer that joins them; subspace_width must be a multiple")
    similarity_weight: Annotated[float, Field(ge=0.0)] = Field(
        1.0, description="weight of the distance between moments of the shared vectors of two modalities (CMD)"
    )
    difference_weight: Annotated[float, Field(ge=0.0)] = Field(
        0.3, description="weight of the loss that keeps private vectors orthogonal to shared and to other private ones"
    )
    reconstruction_weight: Annotated[float, Field(ge=0.0)] = Field(
        1.0, description="weight of the error with which both vectors together give the modality back"
    )

    @property
    def adds_losses(self) -> bool:
        return max(self.similarity_weight, self.difference_weight, self.reconstruction_weight) > 0


class SelfMMFusion(_Fusion):
    """Self-MM, Yu et al. 2021: modalities side by side; each has a classifier of its own, for which labels are made."""

    kind: Literal["self_mm"] = "self_mm"
    own_width: Width = Field(
        32,
        description="width of each modality's own vector; where it lies among those of the training rows makes labels",
    )
    unimodal_weight: Annotated[float, Field(ge=0.0)] = Field(
        1.0, description="weight of what each modality by itself says of the labels made for it; 0: none are made"
    )

    @property
    def adds_losses(self) -> bool:
        return self.unimodal_weight > 0


class MulTFusion(_Fusion):
    """MulT, Tsai et al. 2019: cross-modal attention over sequences that need not be aligned (pooler none)."""

    kind: Literal["mult"] = "mult"
    split_width: ClassVar[str] = "stream_width"
    stream_width: Width = Field(32, description="width of the sequences that read each other")
    heads: Count = Field(4, description="attention heads; stream_width must be a multiple")
    layers: Annotated[int, Field(ge=1, le=4)] = Field(2, description="layers in which a modality reads another one")
    memory_layers: Annotated[int, Field(ge=1, le=4)] = Field(
        1, description="layers in which what was read is read once more, modality by modality; published: 3"
    )
    read: Literal["last", "mean"] = Field("last", description="what becomes h: each sequence's last state | its mean")

    @property
    def reads_sequences(self) -> bool:
        return True


class LateFusion(_Fusion):
    """One classifier per modality; their log-probabilities are averaged with learned weights (methods 5.6)."""

    kind: Literal["late"] = "late"
    own_loss: Annotated[float, Field(ge=0.0)] = Field(1.0, description="weight of each modality's own cross-entropy")

    @property
    def adds_losses(self) -> bool:
        return self.own_loss > 0


Fusion = Annotated[
    ConcatFusion
    | MeanFusion
    | LMFFusion
    | TFNFusion
    | SelfAttentionFusion
    | CrossAttentionFusion
    | ShiftingFusion
    | MISAFusion
    | SelfMMFusion
    | TGMoEFusion
    | MoEFusion
    | LateFusion
    | MulTFusion,
    Field(discriminator="kind"),
]
