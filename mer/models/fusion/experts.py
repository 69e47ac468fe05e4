"""Mixtures of experts: guided by text, as we define it, or with a router for every modality (methods 5.5)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mer.config import MoEFusion, TGMoEFusion
from mer.models.dropout import Dropout
from mer.models.fusion.attention import Attention
from mer.models.fusion.contract import Fused, Fusion, mean_of_rows
from mer.models.fusion.inputs import PLACEHOLDER_SD, Tokens, mean_of_present
from mer.models.fusion.router import Router, Routing, cv2_balance, expert_load, switch_balance, z_loss
from mer.models.layers import Linear, Number


class Experts(Fusion):
    """Experts, their router, and its losses. Subclasses say what experts and router read.

    Every expert computes every row: with rows sorted by expert, a row's last digits would depend on how many others
    chose the same one (D6), and experts are small.
    """

    varies = ("balance_weight", "z_weight")

    def __init__(self, config: MoEFusion | TGMoEFusion, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        self.balance = config.balance if config.balance_weight else "none"
        self.keeps_small = config.z_weight > 0
        self.balance_weight: Number = config.balance_weight
        self.z_weight: Number = config.z_weight
        self.tokens = Tokens(
            {m: widths[m] for m in self.modalities},
            self.width,
            config.dropout,
            placeholders=self.modalities if len(self.modalities) > 1 else (),
        )

    def add_experts(self, config: MoEFusion | TGMoEFusion, gate_width: int) -> None:
        """Create router and experts. Args: gate_width: of what the router reads."""
        self.router = Router(gate_width, config.experts, top_k=config.top_k, noise=config.noise)
        wide = len(self.modalities) * self.width
        self.experts = nn.ModuleList(
            nn.Sequential(Linear(wide, self.width), nn.GELU(), Dropout(config.dropout), Linear(self.width, self.width))
            for _ in range(config.experts)
        )

    def mixed(self, x_BD: Tensor, gate_BD: Tensor, counted_B: Tensor | None) -> Fused:
        """Let the router read `gate_BD`, the experts `x_BD`, and add the answers up."""
        routing = self.router(gate_BD)
        answers_BED = torch.stack([expert(x_BD) for expert in self.experts], dim=-2)
        h_BD = (routing.gates_BE.unsqueeze(-1) * answers_BED).sum(dim=-2)
        losses = self._losses(routing, counted_B) if self.training else {}
        return Fused(h_BD, losses=losses, monitors=_monitors(routing, counted_B))

    def _losses(self, routing: Routing, counted_B: Tensor | None) -> dict[str, Tensor]:
        losses = {}
        if self.balance == "switch":
            probability_BE = routing.logits_BE.softmax(dim=-1)
            balance = switch_balance(routing.chosen_BE, probability_BE, counted_B)
            losses["expert_balance"] = self.balance_weight * balance
        elif self.balance == "cv2":
            losses["expert_balance"] = self.balance_weight * cv2_balance(routing, counted_B)
        if self.keeps_small:
            losses["router_z"] = self.z_weight * z_loss(routing.logits_BE, counted_B)
        return losses


class RoutedExperts(Experts):
    """Every modality has a router; the scores of those that are present are added, and experts read all modalities.

    One linear router over all tokens side by side, absent ones zero, is the sum of one for each modality. Experts read
    a learned placeholder for an absent modality.
    """

    def __init__(self, config: MoEFusion, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        self.add_experts(config, gate_width=len(self.modalities) * self.width)

    def fuse(self, parts: Mapping[str, Tensor], present_BM: Tensor, counted_B: Tensor | None) -> Fused:
        tokens_BMD = self.tokens(parts, present_BM)
        heard_BMD = torch.where(present_BM.unsqueeze(-1), tokens_BMD, 0.0)
        return self.mixed(tokens_BMD.flatten(-2), heard_BMD.flatten(-2), counted_B)


class GuidedExperts(Experts):
    """The guide (text, or the first modality) attends to each other modality, and chooses the experts that read all.

        t_m = CrossAttention(guide, m);  x = [guide; t_m ...];  h = sum_e gate_e(guide) Expert_e(x)

    Each stream has a single key, so its attention may take nothing; otherwise the guide would have no influence. A
    learned placeholder stands for an absent guide and for the key of an absent modality. For a row without the guide
    the router reads the mean of the others plus a learned vector.
    """

    def __init__(self, config: TGMoEFusion, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        self.streams = nn.ModuleDict(
            {m: Attention(self.width, config.heads, may_take_nothing=True) for m in self.modalities[1:]}
        )
        self.no_guide_D = nn.Parameter(PLACEHOLDER_SD * torch.randn(self.width)) if self.modalities[1:] else None
        self.add_experts(config, gate_width=self.width)

    def fuse(self, parts: Mapping[str, Tensor], present_BM: Tensor, counted_B: Tensor | None) -> Fused:
        tokens_BMD = self.tokens(parts, present_BM)
        return self.mixed(self._streams(tokens_BMD), self._gate_input(tokens_BMD, present_BM), counted_B)

    def _streams(self, tokens_BMD: Tensor) -> Tensor:
        guide_B1D = tokens_BMD[..., :1, :]
        there_B1 = torch.ones_like(guide_B1D[..., 0], dtype=torch.bool)  # an absent modality's key is its placeholder
        streams = [
            attention(guide_B1D, tokens_BMD[..., i : i + 1, :], there_B1)
            for i, attention in enumerate(self.streams.values(), 1)
        ]
        return torch.cat([guide_B1D, *streams], dim=-2).flatten(-2)

    def _gate_input(self, tokens_BMD: Tensor, present_BM: Tensor) -> Tensor:
        if self.no_guide_D is None:
            return tokens_BMD[..., 0, :]
        instead_BD = mean_of_present(tokens_BMD[..., 1:, :], present_BM[..., 1:]) + self.no_guide_D.unsqueeze(-2)
        return torch.where(present_BM[..., :1], tokens_BMD[..., 0, :], instead_BD)


def _monitors(routing: Routing, counted_B: Tensor | None) -> dict[str, Tensor]:
    """Compute each expert's share of the choices, and the mean entropy (nats) of the router's probabilities."""
    log_probability_BE = routing.logits_BE.detach().log_softmax(dim=-1)
    entropy = mean_of_rows(-(log_probability_BE.exp() * log_probability_BE).sum(dim=-1), counted_B)
    load_E = expert_load(routing.chosen_BE, counted_B, entropy.dtype)
    load = {f"expert_load_{e}": share for e, share in enumerate(load_E.unbind(-1))}
    return {**load, "gate_entropy": entropy}
