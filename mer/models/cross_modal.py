"""A contrast between the modalities of an utterance, without labels (Radford et al. 2021, CLIP).

Shape suffixes: N utterances, M modalities, W width.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mer.config import CrossModalConfig
from mer.models.layers import Number, each
from mer.tensor_math import at_least_single, masked_mean

_FAR = -1e30  # a score whose share of a softmax is exactly 0


class CrossModal(nn.Module):
    """Let the vectors of an utterance find each other among those of the batch, from each modality to each other.

    For each pair of modalities, over the rows that have both: cross-entropy of cosine / temperature, with the own row
    as the right one, averaged over both directions. A pair that fewer than two rows have has the loss 0.
    """

    varies = ("weight", "temperature")  # numbers that may differ between the members of a pack

    def __init__(self, config: CrossModalConfig) -> None:
        super().__init__()
        self.weight: Number = config.weight
        self.temperature: Number = config.temperature

    def forward(self, parts: Mapping[str, Tensor], there_NM: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, scalar or of members (P,), and whether any pair was compared.

        Args:
            parts: modality -> vectors (N, W), of one width.
            there_NM: bool, rows that have a modality and count.
        """
        first = next(iter(parts.values()))
        with torch.autocast(first.device.type, enabled=False):
            unit = [F.normalize(at_least_single(part), dim=-1) for part in parts.values()]
            losses, compared = [], []
            for a, b in combinations(range(len(unit)), 2):
                both_N = there_NM[..., a] & there_NM[..., b]
                scores_NN = unit[a] @ unit[b].mT / each(self.temperature, unit[a])
                own_N = scores_NN.diagonal(dim1=-2, dim2=-1)
                others_NN = ~both_N.unsqueeze(-2)
                ways = [
                    scores.masked_fill(others_NN, _FAR).logsumexp(dim=-1) - own_N
                    for scores in (scores_NN, scores_NN.mT)
                ]
                losses.append(masked_mean((ways[0] + ways[1]) / 2, both_N))
                compared.append(both_N.sum(dim=-1) > 1)
            return torch.stack(losses).mean(dim=0), torch.stack(compared).any(dim=0)
