"""How modalities meet (methods 5), and how fused utterances of a dialogue read each other."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from mer.config.base import Frozen


class _Fusion(Frozen):
    """What all fusions have in common (methods 5): every modality is normalised and projected, then they meet."""

    width: PositiveInt = Field(256, description="width of the fused representation")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.2
    modality_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.0, description="chance that a modality other than text is left out of a training row; never all of a row's"
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        heads = getattr(self, "heads", 1)
        if self.width % heads:
            raise ValueError(f"width must be a multiple of heads, got width={self.width} with heads={heads}")
        return self

    @property
    def adds_losses(self) -> bool:
        """True when the fusion adds loss terms of its own to the classification loss."""
        return False


class ConcatFusion(_Fusion):
    """Side by side, then Linear blocks: the bar for every other fusion. depth 1 is the plain linear layer."""

    kind: Literal["concat"] = "concat"
    depth: Annotated[int, Field(ge=1, le=6)] = Field(
        1, description="1 = one Linear; more = Linear-LayerNorm-GELU blocks"
    )


class LMFFusion(_Fusion):
    """Low-rank multimodal fusion, Liu et al. 2018 (methods 5.2)."""

    kind: Literal["lmf"] = "lmf"
    rank: PositiveInt = 4
    factor_width: PositiveInt = Field(64, description="width each modality is reduced to before the product")


class SelfAttentionFusion(_Fusion):
    """Pre-norm transformer layers over modality tokens (methods 5.4)."""

    kind: Literal["self_attention"] = "self_attention"
    layers: Annotated[int, Field(ge=1, le=4)] = 1
    heads: PositiveInt = 4
    read: Literal["token", "mean"] = Field("token", description="a [FUSE] token | the mean of the present tokens")


class CrossAttentionFusion(_Fusion):
    """Text asks, the others answer; residual on text (methods 5.4)."""

    kind: Literal["cross_attention"] = "cross_attention"
    layers: Annotated[int, Field(ge=1, le=4)] = 1
    heads: PositiveInt = 4


class ShiftingFusion(_Fusion):
    """TelME's attention-based modality shifting, over modality tokens, never over the batch (methods 5.3)."""

    kind: Literal["shifting"] = "shifting"
    heads: PositiveInt = 4
    threshold: PositiveFloat = Field(0.1, description="theta: largest shift relative to the norm of text")


class TGMoEFusion(_Fusion):
    """Text-guided mixture of experts, as we define it (methods 5.5)."""

    kind: Literal["tgmoe"] = "tgmoe"
    heads: PositiveInt = 4
    experts: Annotated[int, Field(ge=1, le=64)] = 4
    top_k: PositiveInt = Field(2, description="experts a row is sent to; at most `experts`")
    noise: bool = Field(True, description="noisy gate in training")
    balance: Literal["switch", "cv2", "none"] = Field("switch", description="load balancing: Switch form | CV squared")
    balance_weight: Annotated[float, Field(ge=0.0)] = 0.01
    z_weight: Annotated[float, Field(ge=0.0)] = Field(1e-3, description="of the router z-loss")

    @model_validator(mode="after")
    def _enough_experts(self) -> Self:
        if self.top_k > self.experts:
            raise ValueError(f"top_k must be at most experts, got top_k={self.top_k} with experts={self.experts}")
        return self

    @property
    def adds_losses(self) -> bool:
        return self.z_weight > 0 or (self.balance != "none" and self.balance_weight > 0)


class LateFusion(_Fusion):
    """One head per modality; their log-probabilities are averaged with learned weights (methods 5.6)."""

    kind: Literal["late"] = "late"
    own_loss: Annotated[float, Field(ge=0.0)] = Field(1.0, description="weight of each modality's own cross-entropy")

    @property
    def adds_losses(self) -> bool:
        return self.own_loss > 0


Fusion = Annotated[
    ConcatFusion | LMFFusion | SelfAttentionFusion | CrossAttentionFusion | ShiftingFusion | TGMoEFusion | LateFusion,
    Field(discriminator="kind"),
]


class NoDialogue(Frozen):
    kind: Literal["none"] = "none"


class _Dialogue(Frozen):
    """What a fused utterance is told of the others of its dialogue: layers that add to it, as wide as the fusion."""

    setting: Literal["online", "offline"] = Field(
        "online", description="online: reads earlier utterances | offline: later ones too, which a live model cannot"
    )
    layers: Annotated[int, Field(ge=1, le=4)] = 1
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.2, description="on what each layer adds")


class GRUDialogue(_Dialogue):
    """Recurrent: reads the dialogue from its first utterance; offline also from its last."""

    kind: Literal["gru"] = "gru"


class AttentionDialogue(_Dialogue):
    """Pre-norm transformer layers over the utterances, which know how far apart they are."""

    kind: Literal["attention"] = "attention"
    heads: PositiveInt = 4


Dialogue = Annotated[NoDialogue | GRUDialogue | AttentionDialogue, Field(discriminator="kind")]
