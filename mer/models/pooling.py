"""From states of tokens or steps of time to one vector, learned in the trial (`head.pool`).

A row without a state gives zeros. Shape suffixes: B rows, T states of the longest row, D width, K hops.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mer.config import HeadConfig
from mer.models.inputs import LayerMix
from mer.models.layers import Linear
from mer.models.states import States

_SCORE_WIDTH = 64


class AttentivePool(nn.Module):
    """Weighted means of a row's states, Lin et al. 2017: weights = softmax over T of W2 tanh(W1 x).

    Each hop has weights of its own; the hops stand side by side, (B, K D).
    """

    def __init__(self, width: int, hops: int) -> None:
        super().__init__()
        self.hops = hops
        self.hidden = Linear(width, _SCORE_WIDTH)
        self.score = Linear(_SCORE_WIDTH, hops, bias=False)  # a bias would cancel in the softmax

    def width(self, layers: int, width: int) -> int:
        return self.hops * width

    def forward(self, states: States) -> Tensor:
        none_B1 = ~states.there_BT.any(dim=-1, keepdim=True)
        read_BT1 = (states.there_BT | none_B1).unsqueeze(-1)  # a softmax over nothing gives NaN
        score_BTK = self.score(self.hidden(states.x_BTD).tanh())
        weights_BTK = score_BTK.masked_fill(~read_BT1, -torch.inf).softmax(dim=-2)
        pooled_BW = (weights_BTK.mT @ states.x_BTD).flatten(-2)
        return torch.where(none_B1, 0.0, pooled_BW)


class MeanPool(nn.Module):
    """The mean of a row's states."""

    def width(self, layers: int, width: int) -> int:
        return width

    def forward(self, states: States) -> Tensor:
        there_BT1 = states.there_BT.unsqueeze(-1)
        counts_B1 = states.there_BT.sum(dim=-1, keepdim=True).clamp(min=1)
        return torch.where(there_BT1, states.x_BTD, 0.0).sum(dim=-2) / counts_B1


class NoPool(nn.Module):
    """States as they are, for a fusion that reads sequences."""

    def width(self, layers: int, width: int) -> int:
        return width

    def forward(self, states: States) -> States:
        return states


def build_mix(config: HeadConfig, layers: int, width: int, *, keeps_states: bool, pools: bool = True) -> Any:
    """Build what makes a vector of the scaled features of one modality: a layer mix, or a pooler of states.

    Args:
        layers, width: hidden states that are read, and their width.
        keeps_states: states of tokens or steps of time are given instead.
        pools: False leaves these for a fusion that reads them.
    """
    if not keeps_states:
        return LayerMix(config.layer_mix, layers)
    if not pools:
        return NoPool()
    return MeanPool() if config.pool == "mean" else AttentivePool(width, config.pool_hops)
