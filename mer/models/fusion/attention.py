"""Attention between the modalities of one utterance, and the two fusions that are nothing but attention (methods 5.4).

Tokens are (B, M, D) with batch first. Public code hands (B, D) to the same layer, which reads it as one sequence of B
tokens: every utterance then attends to the rest of its batch (D6).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mer.config import CrossAttentionFusion, SelfAttentionFusion
from mer.models.fusion.contract import Fused, Fusion
from mer.models.fusion.inputs import PLACEHOLDER_SD, Tokens, mean_of_present

_FEED_FORWARD = 2  # times the width


class Attention(nn.Module):
    """Multi-head attention in which absent keys are masked; zeros where a row has no key at all.

    Attention weights have no dropout: among one to three tokens it would be modality dropout, which is set elsewhere.

    Args:
        may_take_nothing: adds a key and a value of zeros, so that the query decides per head how much it takes. Without
            it a query with a single key takes all of it, whatever the query says.
    """

    def __init__(self, width: int, heads: int, *, may_take_nothing: bool = False) -> None:
        super().__init__()
        self.multihead = nn.MultiheadAttention(width, heads, batch_first=True, add_zero_attn=may_take_nothing)

    def forward(self, query_BQD: Tensor, keys_BKD: Tensor, present_BK: Tensor) -> Tensor:
        """What the queries take from the keys, (B, Q, D)."""
        none_B1 = ~present_BK.any(dim=1, keepdim=True)
        masked_BK = ~(present_BK | none_B1)  # all keys of a row masked: NaN from some kernels
        taken_BQD, _ = self.multihead(query_BQD, keys_BKD, keys_BKD, key_padding_mask=masked_BK, need_weights=False)
        return torch.where(none_B1[:, :, None], 0.0, taken_BQD)


class FeedForward(nn.Sequential):
    def __init__(self, width: int, dropout: float) -> None:
        wide = _FEED_FORWARD * width
        super().__init__(
            nn.LayerNorm(width), nn.Linear(width, wide), nn.GELU(), nn.Dropout(dropout), nn.Linear(wide, width)
        )


class SelfLayer(nn.Module):
    """Pre-norm transformer layer: x + attention(norm x), then + feed-forward(norm x)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.feed_forward = FeedForward(width, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BMD: Tensor, present_BM: Tensor) -> Tensor:
        normed_BMD = self.norm(x_BMD)
        x_BMD = x_BMD + self.dropout(self.attention(normed_BMD, normed_BMD, present_BM))
        return x_BMD + self.dropout(self.feed_forward(x_BMD))


class CrossLayer(nn.Module):
    """Pre-norm transformer layer in which x asks and other tokens answer."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.keys_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, may_take_nothing=True)
        self.feed_forward = FeedForward(width, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BQD: Tensor, keys_BKD: Tensor, present_BK: Tensor) -> Tensor:
        taken_BQD = self.attention(self.norm(x_BQD), self.keys_norm(keys_BKD), present_BK)
        x_BQD = x_BQD + self.dropout(taken_BQD)
        return x_BQD + self.dropout(self.feed_forward(x_BQD))


class SelfAttention(Fusion):
    """Transformer layers over the modality tokens; h is a [FUSE] token, or the mean of the present tokens.

    Absent: the token is masked as a key and left out of the mean, so it needs no placeholder.
    """

    def __init__(self, config: SelfAttentionFusion, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        self.tokens = Tokens({m: widths[m] for m in self.modalities}, self.width, config.dropout)
        reads_token = config.read == "token"
        self.fuse_token_D = nn.Parameter(PLACEHOLDER_SD * torch.randn(self.width)) if reads_token else None
        self.layers = nn.ModuleList(SelfLayer(self.width, config.heads, config.dropout) for _ in range(config.layers))
        self.norm = nn.LayerNorm(self.width)

    def fuse(self, parts: Mapping[str, Tensor], present_BM: Tensor) -> Fused:
        x_BMD = self.tokens(parts, present_BM)
        if self.fuse_token_D is not None:
            x_BMD = torch.cat([self.fuse_token_D.expand(len(x_BMD), 1, -1), x_BMD], dim=1)
            present_BM = torch.cat([present_BM.new_ones(len(present_BM), 1), present_BM], dim=1)
        for layer in self.layers:
            x_BMD = layer(x_BMD, present_BM)
        read_BD = mean_of_present(x_BMD, present_BM) if self.fuse_token_D is None else x_BMD[:, 0]
        return Fused(self.norm(read_BD))


class CrossAttention(Fusion):
    """The guide (text, or the first modality there is) asks, the others answer; residual on the guide.

    Absent: the guide is a learned placeholder; another is masked as a key, and with all of them absent nothing is added
    to the guide. A model of one modality has nothing to ask: its h is the normalised token.
    """

    def __init__(self, config: CrossAttentionFusion, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        alone = len(self.modalities) == 1
        self.tokens = Tokens(
            {m: widths[m] for m in self.modalities},
            self.width,
            config.dropout,
            placeholders=() if alone else self.modalities[:1],
        )
        self.layers = nn.ModuleList(
            CrossLayer(self.width, config.heads, config.dropout) for _ in range(0 if alone else config.layers)
        )
        self.norm = nn.LayerNorm(self.width)

    def fuse(self, parts: Mapping[str, Tensor], present_BM: Tensor) -> Fused:
        tokens_BMD = self.tokens(parts, present_BM)
        guide_B1D, others_BKD = tokens_BMD[:, :1], tokens_BMD[:, 1:]
        for layer in self.layers:
            guide_B1D = layer(guide_B1D, others_BKD, present_BM[:, 1:])
        return Fused(self.norm(guide_B1D[:, 0]))
