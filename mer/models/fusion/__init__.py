"""How modalities meet: one vector per modality goes in, one fused vector comes out (methods 5).

    contract   what every fusion takes and gives; modality dropout
    inputs     normalised tokens of one width per modality; placeholders for absent rows
    concat     side by side: the baseline
    low_rank   low-rank multimodal fusion (Liu et al. 2018)
    attention  self-attention and cross-attention over modality tokens
    shifting   TelME's attention-based modality shifting
    experts    text-guided mixture of experts
    router     the router of the experts, and its balancing losses
    late       one classifier per modality, averaged

`build_fusion` makes the one that a configuration names.
"""

from __future__ import annotations

from collections.abc import Mapping

from mer import config as configs
from mer.models.fusion.attention import CrossAttention, SelfAttention
from mer.models.fusion.concat import Concat
from mer.models.fusion.contract import MODALITIES, Fused, Fusion, keep_modalities
from mer.models.fusion.experts import GuidedExperts
from mer.models.fusion.late import Late
from mer.models.fusion.low_rank import LowRank
from mer.models.fusion.shifting import Shifting

__all__ = ["MODALITIES", "Fused", "Fusion", "build_fusion", "keep_modalities"]


def build_fusion(
    config: configs.Fusion, widths: Mapping[str, int], classes: int, task: configs.TargetKind = "class"
) -> Fusion:
    """Build the fusion that `config` describes, initialised from torch's global generator.

    It takes any one, two or three modalities. Cross-attention, shifting and TGMoE are guided by text; in a model
    without text by the first modality in the order text, audio, video.

    Args:
        widths: modality -> width of its features.
        classes: C; read by late fusion, which classifies by itself.
        task: what these C are; read by late fusion.
    Raises: ValueError if there is no modality, or an unknown one.
    """
    match config:
        case configs.ConcatFusion():
            return Concat(config, widths)
        case configs.LMFFusion():
            return LowRank(config, widths)
        case configs.SelfAttentionFusion():
            return SelfAttention(config, widths)
        case configs.CrossAttentionFusion():
            return CrossAttention(config, widths)
        case configs.ShiftingFusion():
            return Shifting(config, widths)
        case configs.TGMoEFusion():
            return GuidedExperts(config, widths)
        case configs.LateFusion():
            return Late(config, widths, classes, task)
