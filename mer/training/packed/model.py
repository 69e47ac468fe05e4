"""Run the forward pass of several utterance classifiers as one.

Shape suffixes: P members, N utterances, L stored layers, D encoder width, H width of h, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mer.models import UtteranceClassifier
from mer.models.classifier import center_scores
from mer.models.dropout import Dropout
from mer.training.draws import Draws, thresholds
from mer.training.packed.stacked import Stacked


class _Linear(torch.autograd.Function):
    """Linear layers of several members; gradients of weights come in the layout of the weights, so none is copied."""

    @staticmethod
    def forward(ctx: Any, x_PND: Tensor, weight_POD: Tensor, bias_PO: Tensor) -> Tensor:
        ctx.save_for_backward(x_PND, weight_POD)
        return torch.baddbmm(bias_PO.unsqueeze(1), x_PND, weight_POD.mT)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad_PNO,), (x_PND, weight_POD) = grads, ctx.saved_tensors
        grad_x = torch.bmm(grad_PNO, weight_POD) if ctx.needs_input_grad[0] else None
        return grad_x, torch.bmm(grad_PNO.mT, x_PND), grad_PNO.sum(1)


def linear(x_PND: Tensor, weight_POD: Tensor, bias_PO: Tensor) -> Tensor:
    """Apply each member's own linear layer: (P, N, O)."""
    out: Tensor = _Linear.apply(x_PND, weight_POD, bias_PO)
    return out


class PackedClassifier:
    """Join P utterance classifiers of one structure; rates of dropout may differ.

    Args: models: share memory with the stack from now on.
    """

    def __init__(self, models: Sequence[UtteranceClassifier]) -> None:
        self.first = models[0]
        self.stack = Stacked(models)
        device = models[0].classifier.weight.device
        self.dropouts = {
            place: _Masks([layer.rate for layer in layers], device)
            for place, layers in _dropouts_by_place(models).items()
        }

    def represent(self, x_PNLD: Tensor, draws: Draws | None, present_N: Tensor | None = None) -> Tensor:
        """Compute h (P, N, H) of features at a common scale.

        Args:
            draws: where dropout masks come from, while training; None: eval mode.
            present_N: bool; a row that is not there is read as zeros.
        """
        h = self._mixed(x_PNLD)
        if present_N is not None:
            h = h.masked_fill(~present_N[:, None], 0.0)
        h = self._dropped(h, self.first.input_dropout, draws)
        for number, block in enumerate(self.first.blocks):
            if isinstance(block, nn.Linear):
                h = self.linear(h, f"blocks.{number}")
            elif isinstance(block, Dropout):
                h = self._dropped(h, block, draws)
            else:
                h = block(h)
        return h

    def classify(self, h_PNH: Tensor, draws: Draws | None) -> Tensor:
        """Compute class scores (P, N, C) of h."""
        h_PNH = h_PNH.detach() if self.first.probe else h_PNH
        return self.linear(self._dropped(h_PNH, self.first.dropout, draws), "classifier")

    def center_scores(self, h_PNH: Tensor, temperature: float) -> Tensor:
        """Compute the cosine to each class centre over `temperature`, (P, N, C)."""
        return center_scores(h_PNH, self.stack["class_centers_CH"], temperature)

    def linear(self, x_PND: Tensor, name: str) -> Tensor:
        """Apply each member's own linear layer of that name."""
        return linear(x_PND, self.stack[f"{name}.weight"], self.stack[f"{name}.bias"])

    def _mixed(self, x_PNLD: Tensor) -> Tensor:
        """Make one vector for each row (P, N, D): normalised where the norm is trained, layers mixed."""
        if self.first.input_norm.kind == "layernorm":
            norm = self.first.input_norm.norm
            gain, shift = (self.stack[f"input_norm.norm.{name}"][:, None, None] for name in ("weight", "bias"))
            x_PNLD = F.layer_norm(x_PNLD, norm.normalized_shape, eps=norm.eps) * gain + shift
        if self.first.layer_mix.kind == "concat":
            return x_PNLD.flatten(2)
        if self.first.layer_mix.kind == "mean":
            return x_PNLD.mean(dim=2)
        weights_PL = self.stack["layer_mix.layer_logits"].softmax(dim=1)
        mixed = [
            torch.einsum("nld,l->nd", x_NLD, weights_L) for x_NLD, weights_L in zip(x_PNLD, weights_PL, strict=True)
        ]
        return torch.stack(mixed)  # one by one: sums over rows add up alike in any pack

    def _dropped(self, x_PND: Tensor, layer: Dropout, draws: Draws | None) -> Tensor:
        masks = self.dropouts[layer.place]
        if draws is None or masks.none:
            return x_PND
        keep_PND = draws.keep(layer.place, masks.limit_P11, *x_PND.shape[1:])
        return x_PND * (keep_PND * masks.scale_P11.to(x_PND))


class _Masks:
    """Hold the rates of one dropout layer, one for each member, ready for use."""

    def __init__(self, rates: Sequence[float], device: torch.device) -> None:
        rates_P = torch.tensor(rates, dtype=torch.float64)
        self.none = not rates_P.any()
        self.limit_P11 = thresholds(rates_P).view(-1, 1, 1).to(device)
        self.scale_P11 = (1 / (1 - rates_P)).view(-1, 1, 1).to(device)


def _dropouts_by_place(models: Sequence[nn.Module]) -> dict[int, list[Dropout]]:
    found: dict[int, list[Dropout]] = {}
    for model in models:
        for module in model.modules():
            if isinstance(module, Dropout):
                found.setdefault(module.place, []).append(module)
    return found
