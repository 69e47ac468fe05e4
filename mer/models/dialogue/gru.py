"""A GRU over the turns of a dialogue (shape suffixes: see the folder)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mer.models.dialogue.layout import Layout
from mer.models.dropout import Dropout
from mer.models.layers import LayerNorm, Linear


class GRULayer(nn.Module):
    """x + Linear(GRU(norm x)). Offline two GRUs run, one from each end, each as wide as x.

    Args: speakers: the GRU is told whether the turn before is of the same speaker or of another, and offline the turn
        behind too, by vectors that are learned from zeros.
    """

    def __init__(self, width: int, dropout: float, *, online: bool, speakers: bool = False) -> None:
        super().__init__()
        self.norm = LayerNorm(width)
        self.gru = nn.GRU(width, width, batch_first=True, bidirectional=not online)
        self.out = Linear(width if online else 2 * width, width)
        self.dropout = Dropout(dropout)
        self.before = self.behind = None
        if speakers:
            self.before = nn.Parameter(torch.zeros(2, width))  # another speaker, the same one
            self.behind = None if online else nn.Parameter(torch.zeros(2, width))

    def forward(self, x_DUW: Tensor, layout: Layout) -> Tensor:
        given_DUW = self.norm(x_DUW)
        if self.before is not None:
            given_DUW = given_DUW + _of_neighbour(self.before, layout)
        if self.behind is not None:
            given_DUW = given_DUW + layout.backwards(_of_neighbour(self.behind, layout.turned()))
        lengths_D = layout.there_DU.sum(dim=1).cpu()
        packed = pack_padded_sequence(given_DUW, lengths_D, batch_first=True, enforce_sorted=False)
        read, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True)
        return x_DUW + self.dropout(self.out(read))


def _of_neighbour(vectors_2W: Tensor, layout: Layout) -> Tensor:
    """Say of every turn whether the one before it is of the same speaker: (D, U, W), zeros for a first turn."""
    same_DU = layout.same_DUK.diagonal(offset=-1, dim1=-2, dim2=-1).unsqueeze(-1)
    other_W, same_W = vectors_2W.unbind(-2)
    told_DUW = torch.where(same_DU, same_W[..., None, None, :], other_W[..., None, None, :])
    return nn.functional.pad(told_DUW, (0, 0, 1, 0)) * layout.there_DU.unsqueeze(-1)
