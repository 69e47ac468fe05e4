"""States of tokens or steps of time (pooler none), padded to a batch.

Shape suffixes: B rows, T states of the longest row, D width.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mer.models.sequence_batch import SequenceBatch


class States(NamedTuple):
    """The states of each row, in time: x_BTD float32, and there_BT bool, False behind the last one.

    A row of an absent clip has none.
    """

    x_BTD: Tensor
    there_BT: Tensor

    def average_for(self, rows_B1: Tensor) -> States:
        """Give the chosen rows (bool) one state of zeros, which is the average of scaled states."""
        first_T = torch.arange(self.there_BT.shape[-1], device=self.there_BT.device) == 0
        x_BTD = self.x_BTD.masked_fill(rows_B1.unsqueeze(-1), 0.0)
        return States(x_BTD, torch.where(rows_B1, first_T, self.there_BT))


def padded(batch: SequenceBatch) -> States:
    """Give each row of a ragged batch the length of the longest one; zeros fill up."""
    device, width = batch.values.device, batch.values.shape[-1]
    lengths, longest = batch.lengths, max(1, int(batch.lengths.max(initial=0)))
    real = np.arange(longest) < lengths[:, None]
    there_BT = torch.from_numpy(real).to(device)
    if not len(batch.values):
        return States(batch.values.new_zeros((*real.shape, width), dtype=torch.float32), there_BT)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    index = torch.from_numpy(np.where(real, starts[:, None] + np.arange(longest), 0)).to(device)
    return States(torch.where(there_BT.unsqueeze(-1), batch.values[index].float(), 0.0), there_BT)
