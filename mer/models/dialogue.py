"""Dialogue encoders: layers through which fused utterances read others of their dialogue.

Shape suffixes: N utterances, W width, D dialogues, U places of the longest dialogue (query) and K the same (key),
H heads, P distances from FAR ahead to FAR behind.

Rows come dialogue after dialogue and are laid out as (D, U, W). Padding is never read, neither as an attention key nor
by the GRU, which ends where the dialogue does. So no utterance reads another dialogue, and in setting online none reads
a later utterance.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mer.config import AttentionDialogue, GRUDialogue
from mer.models.dropout import Dropout
from mer.models.fusion.attention import FeedForward

FAR = 16  # utterances; attention treats all larger distances alike


class DialogueEncoder(nn.Module):
    """Residual layers: each adds to an utterance what it reads from the others of its dialogue.

    Args:
        config: kind, direction, depth.
        width: of the fused vectors, and of the outputs.
    """

    def __init__(self, config: GRUDialogue | AttentionDialogue, width: int) -> None:
        super().__init__()
        online = config.setting == "online"
        self.layers = nn.ModuleList(
            GRULayer(width, config.dropout, online=online)
            if isinstance(config, GRUDialogue)
            else AttentionLayer(width, config.heads, config.dropout, online=online)
            for _ in range(config.layers)
        )

    def forward(self, x_NW: Tensor, dialogue_N: Tensor | None) -> Tensor:
        """Let each utterance (N, W) read its dialogue; returns (N, W).

        Args: dialogue_N: int64, dialogue number of each row; rows of one dialogue are neighbours.
        Raises: ValueError without `dialogue_N`.
        """
        if dialogue_N is None:
            raise ValueError("a dialogue encoder reads dialogues; the batch does not say which (FusedSplit.dialogue_N)")
        there_DU = places(dialogue_N)
        x_DUW = x_NW.new_zeros(*there_DU.shape, x_NW.shape[1])
        x_DUW[there_DU] = x_NW  # row after row, dialogue after dialogue: the order of N
        for layer in self.layers:
            x_DUW = layer(x_DUW, there_DU)
        return x_DUW[there_DU]


def places(dialogue_N: Tensor) -> Tensor:
    """Mark the places of (D, U) that hold an utterance, bool; the others are padding at the end."""
    counts_D = torch.unique_consecutive(dialogue_N, return_counts=True)[1]
    return torch.arange(int(counts_D.max()), device=dialogue_N.device) < counts_D[:, None]


class GRULayer(nn.Module):
    """x + Linear(GRU(norm x)). Offline two GRUs run, one from each end, each as wide as x."""

    def __init__(self, width: int, dropout: float, *, online: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gru = nn.GRU(width, width, batch_first=True, bidirectional=not online)
        self.out = nn.Linear(width if online else 2 * width, width)
        self.dropout = Dropout(dropout)

    def forward(self, x_DUW: Tensor, there_DU: Tensor) -> Tensor:
        lengths_D = there_DU.sum(dim=1).cpu()
        packed = pack_padded_sequence(self.norm(x_DUW), lengths_D, batch_first=True, enforce_sorted=False)
        read, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True)
        return x_DUW + self.dropout(self.out(read))


class AttentionLayer(nn.Module):
    """Pre-norm transformer layer over the utterances of a dialogue, with a learned bias per head and distance."""

    def __init__(self, width: int, heads: int, dropout: float, *, online: bool) -> None:
        super().__init__()
        self.heads, self.online = heads, online
        self.norm = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.distance_bias = nn.Embedding.from_pretrained(neighbour_bias(heads, online=online), freeze=False)
        self.out = nn.Linear(width, width)
        self.feed_forward = FeedForward(width, dropout)
        self.taken_dropout, self.dropout = Dropout(dropout), Dropout(dropout)

    def forward(self, x_DUW: Tensor, there_DU: Tensor) -> Tensor:
        x_DUW = x_DUW + self.taken_dropout(self.out(self._attend(self.norm(x_DUW), there_DU)))
        return x_DUW + self.dropout(self.feed_forward(x_DUW))

    def _attend(self, x_DUW: Tensor, there_DU: Tensor) -> Tensor:
        """Attention written out, since the fused kernels take no bias with a gradient; dialogues are short."""
        split = self.queries_keys_values(x_DUW).unflatten(2, (3, self.heads, -1))  # (D, U, 3, H, W / H)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        place_U = torch.arange(there_DU.shape[1], device=x_DUW.device)
        behind_UK = place_U[:, None] - place_U  # utterances from key to query; negative for a later key
        bias_UKH = self.distance_bias(behind_UK.clamp(-FAR, FAR) + FAR)
        scores_DHUK = query @ key.mT / math.sqrt(query.shape[-1]) + bias_UKH.permute(2, 0, 1)
        read_DUK = there_DU[:, None] | (behind_UK == 0)  # padding reads itself: softmax over no key gives NaN
        if self.online:
            read_DUK = read_DUK & (behind_UK >= 0)
        taken = scores_DHUK.masked_fill(~read_DUK[:, None], -torch.inf).softmax(dim=-1) @ value
        return taken.transpose(1, 2).flatten(2)


def neighbour_bias(heads: int, *, online: bool) -> Tensor:
    """Initialise the distance bias so that each head prefers one neighbour, (P, H).

    From zeros all heads would start as the mean of the dialogue, and the few steps of a small corpus do not change
    that. Online the heads prefer the utterance 1, 2, 3, ... back; offline 1 back, 1 ahead, 2 back, ...
    """
    head_H = torch.arange(heads)
    preferred_H = head_H + 1 if online else (head_H // 2 + 1) * (1 - 2 * (head_H % 2))
    return -0.5 * (torch.arange(-FAR, FAR + 1)[:, None] - preferred_H).abs()
