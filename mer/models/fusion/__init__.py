"""How modalities meet: one vector per modality goes in, of `unaligned` a sequence; one fused vector comes out.

    contract         what every fusion takes and gives; modality dropout
    inputs           normalised tokens of one width per modality; placeholders for absent rows
    concat           side by side: the baseline
    mean             the mean of the modalities
    low_rank         low-rank multimodal fusion (Liu et al. 2018)
    tensor           tensor fusion (Zadeh et al. 2017)
    attention        self-attention and cross-attention over modality tokens
    shifting         TelME's attention-based modality shifting
    subspaces        MISA: shared and private subspaces (Hazarika et al. 2020)
    subspace_losses  the losses between them
    self_supervised  Self-MM: a classifier per modality, whose labels are made in training (Yu et al. 2021)
    experts          mixtures of experts: guided by text, or with a router per modality
    router           the router of the experts, and its balancing losses
    late             one classifier per modality, averaged
    unaligned        MulT: sequences of modalities that read each other (Tsai et al. 2019)

`build_fusion` makes the one that a configuration names.
"""

from __future__ import annotations

from collections.abc import Mapping

from mer import config as configs
from mer.models.fusion.attention import CrossAttention, SelfAttention
from mer.models.fusion.concat import Concat
from mer.models.fusion.contract import MODALITIES, Fused, Fusion, keep_modalities
from mer.models.fusion.experts import GuidedExperts, RoutedExperts
from mer.models.fusion.late import Late
from mer.models.fusion.low_rank import LowRank
from mer.models.fusion.mean import Mean
from mer.models.fusion.self_supervised import SelfSupervised
from mer.models.fusion.shifting import Shifting
from mer.models.fusion.subspaces import Subspaces
from mer.models.fusion.tensor import TensorFusion
from mer.models.fusion.unaligned import Unaligned

__all__ = ["MODALITIES", "Fused", "Fusion", "build_fusion", "keep_modalities"]


def build_fusion(
    config: configs.Fusion, widths: Mapping[str, int], classes: int, task: configs.TargetKind = "class"
) -> Fusion:
    """Build the fusion that `config` describes, initialised from torch's global generator.

    It takes any one, two or three modalities. Cross-attention, shifting and TGMoE are guided by text; in a model
    without text by the first modality in the order text, audio, video.

    Args:
        widths: modality -> width of its features.
        classes: C; read by late fusion and Self-MM, whose modalities have classifiers of their own.
        task: what these C are; read by late fusion.
    Raises: ValueError if there is no modality, or an unknown one.
    """
    match config:
        case configs.ConcatFusion():
            return Concat(config, widths)
        case configs.MeanFusion():
            return Mean(config, widths)
        case configs.TFNFusion():
            return TensorFusion(config, widths)
        case configs.MISAFusion():
            return Subspaces(config, widths)
        case configs.SelfMMFusion():
            return SelfSupervised(config, widths, classes)
        case configs.MoEFusion():
            return RoutedExperts(config, widths)
        case configs.MulTFusion():
            return Unaligned(config, widths)
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
