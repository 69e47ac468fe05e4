"""DAG-ERC as its authors' code computes it (shenwzh3/DAG-ERC, DAGERC_fushion with attn_type rgcn), one dialogue, loops.

Written anew after reading model.py, model_utils.py and dataset.py at b1d813f3; the names of its parts are theirs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def get_adj_v1(speakers: list[int], windowp: int) -> list[list[int]]:
    """The turns that each turn reads: back to the `windowp`-th of its own speaker, that one included."""
    read: list[list[int]] = []
    for i, speaker in enumerate(speakers):
        own, found = 0, []
        for j in range(i - 1, -1, -1):
            found.append(j)
            own += speakers[j] == speaker
            if own == windowp:
                break
        read.append(sorted(found))
    return read


class PublishedLayer(nn.Module):
    """gather (linear of query and key, Wr0 for the same speaker, Wr1 for others), grus_c, grus_p; their sum."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * hidden, 1)
        self.Wr0, self.Wr1 = nn.Linear(hidden, hidden, bias=False), nn.Linear(hidden, hidden, bias=False)
        self.gru_c, self.gru_p = nn.GRUCell(hidden, hidden), nn.GRUCell(hidden, hidden)

    def forward(self, features: Tensor, speakers: list[int], windowp: int) -> Tensor:
        adjacent, after = get_adj_v1(speakers, windowp), []
        for i, turn in enumerate(features):
            if i == 0:
                message = torch.zeros_like(turn)
                current = self.gru_c(turn[None])[0]
            else:
                alpha = torch.stack([self.linear(torch.cat([turn, after[j]]))[0] for j in adjacent[i]]).softmax(0)
                values = [(self.Wr0 if speakers[j] == speakers[i] else self.Wr1)(after[j]) for j in adjacent[i]]
                message = sum(a * value for a, value in zip(alpha, values, strict=True))
                current = self.gru_c(turn[None], message[None])[0]
            after.append(current + self.gru_p(message[None], turn[None])[0])
        return torch.stack(after)
