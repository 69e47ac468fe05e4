"""The router of the experts, and the losses that keep its choices balanced (methods 5.5). All in float32."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mer.models.dropout import Noise
from mer.models.fusion.contract import mean_of_rows
from mer.models.layers import Linear
from mer.tensor_math import at_least_single

_SMALLEST_NOISE_SD = 1e-2  # the smooth load divides by the sd: this keeps it and its gradient finite
_NO_ZERO_DIVISION = 1e-10


@dataclass(frozen=True)
class Routing:
    """The router's choices for a batch.

    Args:
        gates_BE: weight of each expert; zero for experts that were not chosen.
        chosen_BE: bool, top_k True per row.
        logits_BE: scores by which the choice was made, noise included.
        smooth_load_BE: probability that the expert is chosen when its noise is drawn again; None without noise.
    """

    gates_BE: Tensor
    chosen_BE: Tensor
    logits_BE: Tensor
    smooth_load_BE: Tensor | None


class Router(nn.Module):
    """Linear gate with the `top_k` largest logits chosen; noise with a learned sd in training.

    Gates are a softmax over the chosen experts. With top_k 1 that would always be 1 and give the router no gradient, so
    the gate is the softmax over all experts then (Switch Transformer). With one expert it is 1 either way.
    """

    def __init__(self, width: int, experts: int, *, top_k: int, noise: bool) -> None:
        super().__init__()
        self.top_k = top_k
        self.gate = Linear(width, experts, bias=False)
        self.noise = Linear(width, experts, bias=False) if noise else None
        self.drawn = Noise(place=0)

    def forward(self, x_BD: Tensor) -> Routing:
        with torch.autocast(x_BD.device.type, enabled=False):
            x_BD = at_least_single(x_BD)
            clean_BE = logits_BE = self.gate(x_BD)
            load_BE = None
            if self.noise is not None and self.training:
                sd_BE = F.softplus(self.noise(x_BD)) + _SMALLEST_NOISE_SD
                logits_BE = clean_BE + self.drawn(clean_BE) * sd_BE
                load_BE = smooth_load(clean_BE, logits_BE, sd_BE, self.top_k)
            best_BK = logits_BE.topk(self.top_k, dim=-1).indices
            chosen_BE = torch.zeros_like(logits_BE, dtype=torch.bool).scatter(-1, best_BK, True)
            if self.top_k == 1:
                gates_BE = torch.where(chosen_BE, logits_BE.softmax(dim=-1), 0.0)
            else:
                gates_BE = logits_BE.masked_fill(~chosen_BE, -torch.inf).softmax(dim=-1)
        return Routing(gates_BE, chosen_BE, logits_BE, load_BE)


def smooth_load(clean_BE: Tensor, noisy_BE: Tensor, sd_BE: Tensor, top_k: int) -> Tensor:
    """Compute the probability that an expert is among the top k when its noise is drawn again (Shazeer et al. 2017)."""
    experts = clean_BE.shape[-1]
    if top_k == experts:
        return torch.ones_like(clean_BE)
    ranked = noisy_BE.topk(top_k + 1, dim=-1).values
    last_in_B1, first_out_B1 = ranked[..., top_k - 1 : top_k], ranked[..., top_k:]
    to_beat_BE = torch.where(noisy_BE >= last_in_B1, first_out_B1, last_in_B1)
    return torch.special.ndtr((clean_BE - to_beat_BE) / sd_BE)


def switch_balance(chosen_BE: Tensor, probability_BE: Tensor, counted_B: Tensor | None = None) -> Tensor:
    """Compute E sum_e f_e P_e: share of the choices times mean probability; 1 if both are uniform.

    Args: counted_B: here and below, bool, the rows that count; None: all.
    """
    share_E = expert_load(chosen_BE, counted_B, probability_BE.dtype).detach()
    rows = chosen_BE.shape[-2] if counted_B is None else counted_B.sum(dim=-1, keepdim=True).clamp(min=1)
    mean_E = _counted(probability_BE, counted_B).sum(dim=-2) / rows
    return chosen_BE.shape[-1] * (share_E * mean_E).sum(dim=-1)


def squared_variation(total_E: Tensor) -> Tensor:
    """Compute the squared coefficient of variation with the population variance; 0 if all are equal."""
    return total_E.var(dim=-1, correction=0) / (total_E.mean(dim=-1) ** 2 + _NO_ZERO_DIVISION)


def cv2_balance(routing: Routing, counted_B: Tensor | None = None) -> Tensor:
    """Add the squared variation of the importance (sum of gates) and, with noise, that of the smooth load."""
    loss = squared_variation(_counted(routing.gates_BE, counted_B).sum(dim=-2))
    if routing.smooth_load_BE is not None:
        loss = loss + squared_variation(_counted(routing.smooth_load_BE, counted_B).sum(dim=-2))
    return loss


def z_loss(logits_BE: Tensor, counted_B: Tensor | None = None) -> Tensor:
    """Average the squared log-sum-exp; minimising it keeps the logits small."""
    return mean_of_rows(logits_BE.logsumexp(dim=-1).square(), counted_B)


def expert_load(chosen_BE: Tensor, counted_B: Tensor | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
    """Compute each expert's share of all choices, (E,); sums to 1."""
    chosen_E = _counted(chosen_BE.to(dtype), counted_B).sum(dim=-2)
    return chosen_E / chosen_E.sum(dim=-1, keepdim=True).clamp(min=1)


def _counted(values_BE: Tensor, counted_B: Tensor | None) -> Tensor:
    return values_BE if counted_B is None else torch.where(counted_B.unsqueeze(-1), values_BE, 0.0)
