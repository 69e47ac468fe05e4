"""A directed acyclic graph of turns, Shen et al. 2021 (DAG-ERC, arXiv 2105.12907); shape suffixes: see the folder.

A turn reads the turns back to the so-manieth earlier one of its own speaker, as they are after this layer: what was
read is passed on. Two things are ours: a learned bias per distance and speaker, which starts at zero, and in setting
offline a second graph from the last turn back.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mer.models.dialogue.layout import FAR, Layout, by_distance
from mer.models.dropout import Dropout
from mer.models.layers import LayerNorm, Linear, linear

_UNREAD = -1e30  # a score whose share of a softmax is exactly 0


class GraphLayer(nn.Module):
    """x + Linear(graph(norm x)). Offline two graphs are read, one from each end.

    Args: reach: earlier turns of the same speaker up to which all turns are read.
    """

    def __init__(self, width: int, reach: int, dropout: float, *, online: bool) -> None:
        super().__init__()
        self.reach = reach
        self.norm = LayerNorm(width)
        self.ways = nn.ModuleList(TurnGraph(width) for _ in range(1 if online else 2))
        self.out = Linear(len(self.ways) * width, width)
        self.dropout = Dropout(dropout)

    def forward(self, x_DUW: Tensor, layout: Layout) -> Tensor:
        given_DUW = self.norm(x_DUW)
        told = [self._read(self.ways[0], given_DUW, layout)]
        if len(self.ways) == 2:
            back_DUW = self._read(self.ways[1], layout.backwards(given_DUW), layout.turned())
            told.append(layout.backwards(back_DUW))
        return x_DUW + self.dropout(self.out(torch.cat(told, dim=-1)))

    def _read(self, way: nn.Module, x_DUW: Tensor, layout: Layout) -> Tensor:
        same_DUK = layout.same_DUK
        told: Tensor = way(x_DUW, edges(same_DUK, layout.there_DU, self.reach), same_DUK)
        return told


def edges(same_DUK: Tensor, there_DU: Tensor, reach: int) -> Tensor:
    """Say which earlier turns (K) a turn (U) reads: all back to the `reach`-th of its own speaker, bool (D, U, K)."""
    both_DUK = there_DU.unsqueeze(-1) & there_DU.unsqueeze(-2)
    earlier_UK = torch.ones_like(both_DUK).tril(-1)
    own_DUK = (same_DUK & earlier_UK & both_DUK).to(torch.int64)
    between_DUK = own_DUK.sum(dim=-1, keepdim=True) - own_DUK.cumsum(dim=-1)  # own turns later than K
    return earlier_UK & both_DUK & (between_DUK < reach)


class TurnGraph(nn.Module):
    """One layer of DAG-ERC: turn by turn, attention over its edges, then two gated sums of the turn and what it read.

    The published score of an edge has a term of the reading turn too, which a softmax over its edges cancels: it is
    left out.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = Linear(width, 1, bias=False)
        self.distance_bias = nn.Parameter(torch.zeros(FAR, 2))  # for another speaker, for the same one
        self.values_other, self.values_same = Linear(width, width, bias=False), Linear(width, width, bias=False)
        self.turn_cell, self.read_cell = nn.GRUCell(width, width), nn.GRUCell(width, width)

    def forward(self, x_DUW: Tensor, edge_DUK: Tensor, same_DUK: Tensor) -> Tensor:
        """Compute every turn after this layer, (D, U, W).

        Args:
            edge_DUK: bool, which earlier turns a turn reads.
            same_DUK: bool, whether they are of its speaker.
        """
        turn, read = self.turn_cell, self.read_cell
        of_turn = linear(x_DUW, turn.weight_ih, turn.bias_ih).unbind(-2)  # U times (D, 3 W)
        of_state = linear(x_DUW, read.weight_hh, read.bias_hh).unbind(-2)
        weight = torch.cat([turn.weight_hh, read.weight_ih], dim=-2)  # of what was read, for both cells at once
        bias = torch.cat([turn.bias_hh, read.bias_ih], dim=-1)
        told = torch.cat([self.values_other.weight, self.values_same.weight, self.score.weight], dim=-2)
        bias_DUK = self._bias(same_DUK)
        by_speaker_DUK2 = torch.stack([edge_DUK & ~same_DUK, edge_DUK & same_DUK], dim=-1)
        read_DW = torch.zeros_like(x_DUW[..., 0, :])
        after: list[Tensor] = []
        values: list[Tensor] = []
        scores: list[Tensor] = []
        for at, x_DW in enumerate(x_DUW.unbind(-2)):
            if at:
                score_DK = torch.cat(scores, dim=-1) + bias_DUK[..., at, :at]
                share_DK = score_DK.masked_fill(~edge_DUK[..., at, :at], _UNREAD).softmax(dim=-1)
                share_DK2 = share_DK.unsqueeze(-1) * by_speaker_DUK2[..., at, :at, :]
                read_DW = (share_DK2.flatten(-2).unsqueeze(-2) @ torch.cat(values, dim=-2)).squeeze(-2)
            by_turn, by_read = linear(read_DW, weight, bias).chunk(2, dim=-1)
            state_DW = _gated(of_turn[at], by_turn, read_DW) + _gated(by_read, of_state[at], x_DW)
            after.append(state_DW)
            width = x_DW.shape[-1]
            value_D, score_D1 = linear(state_DW, told, None).split([2 * width, 1], dim=-1)
            values.append(value_D.unflatten(-1, (2, width)))
            scores.append(score_D1)
        return torch.stack(after, dim=-2)

    def _bias(self, same_DUK: Tensor) -> Tensor:
        """Look up the bias of every pair of turns, (D, U, K)."""
        place_U = torch.arange(same_DUK.shape[-1], device=same_DUK.device)
        behind_UK = (place_U[:, None] - place_U).clamp(1, FAR) - 1
        bias_UK2 = by_distance(self.distance_bias, behind_UK)
        if bias_UK2.ndim == 4:  # of several members, whose dialogues stand behind them
            bias_UK2 = bias_UK2.unsqueeze(1)
        return torch.where(same_DUK, bias_UK2[..., 1], bias_UK2[..., 0])


def _gated(of_input: Tensor, of_state: Tensor, state_DW: Tensor) -> Tensor:
    """Return a GRU cell's next state, from the projections (D, 3 W) of its input and of its state."""
    (reset_x, update_x, new_x), (reset_h, update_h, new_h) = of_input.chunk(3, dim=-1), of_state.chunk(3, dim=-1)
    update = torch.sigmoid(update_x + update_h)
    new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
    return (1 - update) * new + update * state_DW
