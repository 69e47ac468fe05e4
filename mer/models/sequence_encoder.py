"""Ragged rows through a pretrained encoder, or a part of it, to pooled hidden states.

Shape suffixes: B rows, T inputs of the longest row (tokens, samples, frames), D width, L hidden states that are read,
P parts of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mer.config import EncoderConfig
from mer.features.backbone.arithmetic import half_precision
from mer.features.backbone.files import BackboneFolder
from mer.features.cache.shards import plan_batches
from mer.features.partial import BaseWeights, PartialBackbone
from mer.models.sequence_batch import SequenceBatch, cheapest_groups

_FORWARD_COSTS = {"cpu": 96, "cuda": 4096}  # hidden states: fixed cost of starting a forward pass
_STATES_AT_ONCE = 4096  # per forward pass without gradient, padding included


class SequenceEncoder(PartialBackbone):
    """From tokens, samples, frames or hidden states to pooled hidden states (B, L, D), as a feature file holds them.

    Args:
        config: of the encoder.
        found, base, start, reads: as for `PartialBackbone`.
        micro_batch: rows of a forward pass that keeps gradients; None: all.
    """

    def __init__(
        self,
        config: EncoderConfig,
        found: BackboneFolder,
        base: BaseWeights,
        *,
        start: int | None,
        reads: Sequence[int],
        micro_batch: int | None = None,
    ) -> None:
        super().__init__(config, found, base, start=start, reads=reads)
        self.micro_batch, self.arithmetic = micro_batch, config.dtype

    def pooled(self, batch: SequenceBatch) -> Tensor:
        """Encode a batch: (B, L, D) float32; zeros for absent rows.

        Rows of similar length are read together. With a micro-batch each group is recomputed in the backward pass, so
        that memory holds the activations of one group at a time. The gradient is that of the whole batch.
        """
        return self._encoded(batch, 0)

    def staged(self, batch: SequenceBatch, parts: int) -> tuple[Tensor, Tensor]:
        """`pooled`, and the hidden states averaged over equal parts of time: (B, L, P, D).

        A row of fewer inputs than parts has inputs that are in several of them (as in torch's adaptive pooling).
        """
        both = self._encoded(batch, parts)
        return both[:, :, 0], both[:, :, 1:]

    def _encoded(self, batch: SequenceBatch, parts: int) -> Tensor:
        training = self.training and torch.is_grad_enabled()
        groups = self._groups(batch, training)
        again = training and self.micro_batch is not None and len(groups) > 1
        starts = np.concatenate([[0], np.cumsum(batch.lengths)])
        pieces = []
        for group in groups:
            padded: tuple[Any, ...] = self._padded(batch, starts, group)
            padded = (*padded, parts) if parts else padded
            pieces.append(checkpoint(self._read, *padded, use_reentrant=False) if again else self._read(*padded))
        absent = np.flatnonzero(batch.lengths == 0).tolist()
        shape = (len(absent), len(self.reads), *([1 + parts] if parts else []), self.width)
        pieces += [torch.zeros(shape, device=batch.values.device)] if absent else []
        rows = [row for group in groups for row in group] + absent
        return torch.cat(pieces)[torch.tensor(rows, device=batch.values.device).argsort()]

    def _groups(self, batch: SequenceBatch, training: bool) -> list[list[int]]:
        """Group the rows of the batch that are read together."""
        there = np.flatnonzero(batch.lengths)
        lengths = batch.lengths[there]
        costs = np.array([self.cost(int(length)) for length in lengths], dtype=np.int64)
        most = (self.micro_batch or len(there)) if training else max(1, _STATES_AT_ONCE // max(costs, default=1))
        if self.equal_lengths:
            alike = [np.flatnonzero(lengths == length) for length in np.unique(lengths)]
            found = [rows[at : at + most].tolist() for rows in alike for at in range(0, len(rows), most)]
        elif training:
            found = cheapest_groups(costs, most, _FORWARD_COSTS.get(batch.values.device.type, 0))
        else:
            found = plan_batches(costs.tolist(), _STATES_AT_ONCE)
        return [there[group].tolist() for group in found]

    def _padded(self, batch: SequenceBatch, starts: np.ndarray, group: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Pad a group: inputs (B, T, ...), the mask of real ones (B, T), and the pooler's spans [start, end) (B, 2)."""
        values, device = batch.values, batch.values.device
        rows, longest = np.array(group), int(max(batch.lengths[row] for row in group))
        place_T = np.arange(longest)
        real = place_T < batch.lengths[rows, None]
        index = torch.from_numpy(np.where(real, starts[rows, None] + place_T, 0)).to(device)
        real_BT = torch.from_numpy(real).to(device)
        given = values[index]
        are_ids = not given.is_floating_point()
        fill = real_BT.reshape(*real_BT.shape, *(1 for _ in given.shape[2:]))
        given = torch.where(fill, given, self.pad if are_ids else 0)
        spans_B2 = torch.from_numpy(batch.spans[rows].astype(np.int64)).to(device)
        return given.long() if are_ids else given.float(), real_BT.long(), spans_B2

    def _read(self, given: Tensor, real_BT: Tensor, spans_B2: Tensor, parts: int = 0) -> Tensor:
        with half_precision(self.arithmetic, given.device.type):
            states = self(given, real_BT)
        place_T = torch.arange(states[0].shape[1], device=given.device)
        weights_BT = _share((place_T >= spans_B2[:, :1]) & (place_T < spans_B2[:, 1:]))
        if not parts:
            return torch.stack([(weights_BT[:, None] @ state.float())[:, 0] for state in states], dim=1)
        weights_BPT = torch.cat([weights_BT[:, None], _share(_in_parts(place_T, spans_B2, parts))], dim=1)
        return torch.stack([weights_BPT @ state.float() for state in states], dim=1)


def _share(inside: Tensor) -> Tensor:
    """Give each input that is inside an equal share of 1."""
    weights = inside.float()
    return weights / weights.sum(dim=-1, keepdim=True)


def _in_parts(place_T: Tensor, spans_B2: Tensor, parts: int = 0) -> Tensor:
    """Say which inputs are in which part of their row, bool (B, P, T)."""
    start_B1, end_B1 = spans_B2[:, :1], spans_B2[:, 1:]
    part_P, length_B1 = torch.arange(parts, device=place_T.device), end_B1 - start_B1
    first_BP = start_B1 + part_P * length_B1 // parts
    after_BP = start_B1 + ((part_P + 1) * length_B1 + parts - 1) // parts
    return (place_T >= first_BP[:, :, None]) & (place_T < after_BP[:, :, None])
