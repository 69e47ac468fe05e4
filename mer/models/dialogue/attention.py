"""Attention over the turns of a dialogue (shape suffixes: see the folder)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mer.models.dialogue.layout import FAR, Layout, by_distance
from mer.models.dropout import Dropout
from mer.models.fusion.attention import FeedForward
from mer.models.layers import LayerNorm, Linear


class AttentionLayer(nn.Module):
    """Pre-norm transformer layer over the utterances of a dialogue, with a learned bias per head and distance.

    Args: speakers: keys and values know whether the turn that is read is of the reader's speaker or of another, by
        vectors that are learned from zeros (as the relative positions of Shaw et al. 2018).
    """

    def __init__(self, width: int, heads: int, dropout: float, *, online: bool, speakers: bool = False) -> None:
        super().__init__()
        self.heads, self.online = heads, online
        self.norm = LayerNorm(width)
        self.queries_keys_values = Linear(width, 3 * width)
        self.distance_bias = nn.Embedding.from_pretrained(neighbour_bias(heads, online=online), freeze=False)
        self.out = Linear(width, width)
        self.feed_forward = FeedForward(width, dropout)
        self.taken_dropout, self.dropout = Dropout(dropout), Dropout(dropout)
        self.speaker_keys = nn.Parameter(torch.zeros(2, width)) if speakers else None  # another speaker, the same one
        self.speaker_values = nn.Parameter(torch.zeros(2, width)) if speakers else None

    def forward(self, x_DUW: Tensor, layout: Layout) -> Tensor:
        x_DUW = x_DUW + self.taken_dropout(self.out(self._attend(self.norm(x_DUW), layout)))
        return x_DUW + self.dropout(self.feed_forward(x_DUW))

    def _attend(self, x_DUW: Tensor, layout: Layout) -> Tensor:
        """Attention written out, since the fused kernels take no bias with a gradient; dialogues are short."""
        split = self.queries_keys_values(x_DUW).unflatten(-1, (3, self.heads, -1))  # (D, U, 3, H, W / H)
        query, key, value = (part.transpose(-2, -3) for part in split.unbind(-3))  # (D, H, U, W / H)
        place_U = torch.arange(layout.there_DU.shape[-1], device=x_DUW.device)
        behind_UK = place_U[:, None] - place_U  # utterances from key to query; negative for a later key
        bias_UKH = by_distance(self.distance_bias.weight, behind_UK.clamp(-FAR, FAR) + FAR)
        bias_HUK = bias_UKH.movedim(-1, -3)
        if bias_HUK.ndim == 4:  # of several members, whose dialogues stand behind them
            bias_HUK = bias_HUK.unsqueeze(1)
        scores_DHUK = query @ key.mT / math.sqrt(query.shape[-1]) + bias_HUK
        same_DHUK: Tensor | None = None
        if self.speaker_keys is not None:
            same_DHUK = layout.same_DUK.unsqueeze(-3)
            to_each_DHU2 = query @ self._by_head(self.speaker_keys).mT / math.sqrt(query.shape[-1])
            scores_DHUK = scores_DHUK + torch.where(same_DHUK, to_each_DHU2[..., 1:], to_each_DHU2[..., :1])
        # padding reads itself: softmax over no key gives NaN
        read_DUK = layout.there_DU.unsqueeze(-2) | (behind_UK == 0)
        if self.online:
            read_DUK = read_DUK & (behind_UK >= 0)
        weights_DHUK = scores_DHUK.masked_fill(~read_DUK.unsqueeze(-3), -torch.inf).softmax(dim=-1)
        taken = weights_DHUK @ value
        if self.speaker_values is not None and same_DHUK is not None:
            same_DHU1 = weights_DHUK.where(same_DHUK, 0.0).sum(dim=-1, keepdim=True)
            taken = taken + torch.cat([1 - same_DHU1, same_DHU1], dim=-1) @ self._by_head(self.speaker_values)
        return taken.transpose(-2, -3).flatten(-2)

    def _by_head(self, vectors_2W: Tensor) -> Tensor:
        """Split the two vectors by heads, (1, H, 2, W / H)."""
        return vectors_2W.unflatten(-1, (self.heads, -1)).transpose(-2, -3).unsqueeze(-4)


def neighbour_bias(heads: int, *, online: bool) -> Tensor:
    """Initialise the distance bias so that each head prefers one neighbour, (F, H).

    From zeros all heads would start as the mean of the dialogue, and the few steps of a small corpus do not change
    that. Online the heads prefer the utterance 1, 2, 3, ... back; offline 1 back, 1 ahead, 2 back, ...
    """
    head_H = torch.arange(heads)
    preferred_H = head_H + 1 if online else (head_H // 2 + 1) * (1 - 2 * (head_H % 2))
    return -0.5 * (torch.arange(-FAR, FAR + 1)[:, None] - preferred_H).abs()
