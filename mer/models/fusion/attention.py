"""Attention between the modalities of one utterance, and two fusions made of it alone (methods 5.4).

Tokens are (B, M, D), batch first. Public code passes (B, D) to the same layer, which takes it for one sequence of B
tokens, so that every utterance attends to the rest of its batch (decision D6).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mer.config import CrossAttentionFusion, SelfAttentionFusion
from mer.models.dropout import Dropout
from mer.models.fusion.contract import Fused, Fusion
from mer.models.fusion.inputs import PLACEHOLDER_SD, Tokens, mean_of_present
from mer.models.layers import LayerNorm, Linear, linear

_FEED_FORWARD = 2  # hidden width, as a factor of the width


class Attention(nn.Module):
    """Multi-head attention that masks absent keys and returns zeros for a row without any key.

    It is written out, so that one definition serves one model and several, whose weights have a member axis in front.
    Weights are held, named and initialised by nn.MultiheadAttention.

    Attention weights have no dropout: with one to three tokens it would act as modality dropout, a setting of its own.

    Args:
        may_take_nothing: adds a key and a value of zeros, so that the query decides per head how much it takes. Without
            it a query with a single key takes that value in full, whatever the query is.
    """

    def __init__(self, width: int, heads: int, *, may_take_nothing: bool = False) -> None:
        super().__init__()
        self.multihead = nn.MultiheadAttention(width, heads, batch_first=True, add_zero_attn=may_take_nothing)

    def forward(self, query_BQD: Tensor, keys_BKD: Tensor, present_BK: Tensor) -> Tensor:
        """Compute what the queries (B, Q, D) take from the keys (B, K, D): (B, Q, D)."""
        query, key, value = (self._by_head(x) for x in self._projected(query_BQD, keys_BKD))  # (B, H, Q or K, D / H)
        none_B1 = ~present_BK.any(dim=-1, keepdim=True)
        read_BK = present_BK | none_B1  # softmax over no key gives NaN
        if self.multihead.add_zero_attn:
            key, value = (F.pad(x, (0, 0, 0, 1)) for x in (key, value))
            read_BK = F.pad(read_BK, (0, 1), value=True)
        scores_BHQK = (query / math.sqrt(query.shape[-1])) @ key.mT
        weights_BHQK = scores_BHQK.masked_fill(~read_BK[..., None, None, :], -torch.inf).softmax(dim=-1)
        taken_BQD = (weights_BHQK @ value).transpose(-2, -3).flatten(-2)
        out = self.multihead.out_proj
        return torch.where(none_B1.unsqueeze(-1), 0.0, linear(taken_BQD, out.weight, out.bias))

    def _projected(self, query_BQD: Tensor, keys_BKD: Tensor) -> Iterable[Tensor]:
        """Project to query, key and value; in one product where tokens attend to each other."""
        width = query_BQD.shape[-1]
        weight, bias = self.multihead.in_proj_weight, self.multihead.in_proj_bias
        if query_BQD is keys_BKD:
            return linear(query_BQD, weight, bias).chunk(3, dim=-1)
        weights, biases = weight.split([width, 2 * width], dim=-2), bias.split([width, 2 * width], dim=-1)
        return linear(query_BQD, weights[0], biases[0]), *linear(keys_BKD, weights[1], biases[1]).chunk(2, dim=-1)

    def _by_head(self, x_BTD: Tensor) -> Tensor:
        return x_BTD.unflatten(-1, (self.multihead.num_heads, -1)).transpose(-2, -3)


class FeedForward(nn.Sequential):
    """LayerNorm, Linear to twice the width, GELU, Dropout, Linear back."""

    def __init__(self, width: int, dropout: float) -> None:
        wide = _FEED_FORWARD * width
        super().__init__(LayerNorm(width), Linear(width, wide), nn.GELU(), Dropout(dropout), Linear(wide, width))


class SelfLayer(nn.Module):
    """Pre-norm transformer layer: x + attention(norm x), then + feed-forward(norm x)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm = LayerNorm(width)
        self.attention = Attention(width, heads)
        self.feed_forward = FeedForward(width, dropout)
        self.taken_dropout, self.dropout = Dropout(dropout), Dropout(dropout)

    def forward(self, x_BMD: Tensor, present_BM: Tensor) -> Tensor:
        normed_BMD = self.norm(x_BMD)
        x_BMD = x_BMD + self.taken_dropout(self.attention(normed_BMD, normed_BMD, present_BM))
        return x_BMD + self.dropout(self.feed_forward(x_BMD))


class CrossLayer(nn.Module):
    """Pre-norm transformer layer with queries from x and keys from other tokens."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.keys_norm = LayerNorm(width), LayerNorm(width)
        self.attention = Attention(width, heads, may_take_nothing=True)
        self.feed_forward = FeedForward(width, dropout)
        self.taken_dropout, self.dropout = Dropout(dropout), Dropout(dropout)

    def forward(self, x_BQD: Tensor, keys_BKD: Tensor, present_BK: Tensor) -> Tensor:
        taken_BQD = self.attention(self.norm(x_BQD), self.keys_norm(keys_BKD), present_BK)
        x_BQD = x_BQD + self.taken_dropout(taken_BQD)
        return x_BQD + self.dropout(self.feed_forward(x_BQD))


class SelfAttention(Fusion):
    """Transformer layers over the modality tokens; h is a [FUSE] token, or the mean of the present tokens.

    An absent modality is masked as a key and left out of the mean, so it needs no placeholder.
    """

    def __init__(self, config: SelfAttentionFusion, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        self.tokens = Tokens({m: widths[m] for m in self.modalities}, self.width, config.dropout)
        reads_token = config.read == "token"
        self.fuse_token_D = nn.Parameter(PLACEHOLDER_SD * torch.randn(self.width)) if reads_token else None
        self.layers = nn.ModuleList(SelfLayer(self.width, config.heads, config.dropout) for _ in range(config.layers))
        self.norm = LayerNorm(self.width)

    def fuse(self, parts: Mapping[str, Tensor], present_BM: Tensor, counted_B: Tensor | None) -> Fused:
        x_BMD = self.tokens(parts, present_BM)
        if self.fuse_token_D is not None:
            token_BMD = self.fuse_token_D[..., None, None, :].expand(*x_BMD.shape[:-2], 1, -1)
            x_BMD = torch.cat([token_BMD, x_BMD], dim=-2)
            present_BM = F.pad(present_BM, (1, 0), value=True)
        for layer in self.layers:
            x_BMD = layer(x_BMD, present_BM)
        read_BD = mean_of_present(x_BMD, present_BM) if self.fuse_token_D is None else x_BMD[..., 0, :]
        return Fused(self.norm(read_BD))


class CrossAttention(Fusion):
    """Attention from the guide (text, or the first modality) to the others, added to the guide.

    An absent guide is replaced by a learned placeholder; another absent modality is masked as a key, and if all others
    are absent nothing is added to the guide. In a model of one modality h is its normalised token.
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
        self.norm = LayerNorm(self.width)

    def fuse(self, parts: Mapping[str, Tensor], present_BM: Tensor, counted_B: Tensor | None) -> Fused:
        tokens_BMD = self.tokens(parts, present_BM)
        guide_B1D, others_BKD = tokens_BMD[..., :1, :], tokens_BMD[..., 1:, :]
        for layer in self.layers:
            guide_B1D = layer(guide_B1D, others_BKD, present_BM[..., 1:])
        return Fused(self.norm(guide_B1D[..., 0, :]))
