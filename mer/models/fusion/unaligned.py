"""MulT: every modality's sequence reads those of the others, Tsai et al. 2019 (arXiv 1906.00295).

Sequences need not be aligned, nor equally long. Shape suffixes: T and K states of two sequences; others as in the
contract.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mer.config import MulTFusion
from mer.models.dropout import Dropout
from mer.models.fusion.attention import Attention
from mer.models.fusion.contract import Fused, Fusion
from mer.models.fusion.inputs import PLACEHOLDER_SD
from mer.models.layers import LayerNorm, Linear
from mer.models.states import States

_WAVELENGTH = 10_000
_FEED_FORWARD = 4  # hidden width, as a factor of the width


class Unaligned(Fusion):
    """For every modality m: streams m <- o over each other modality o, side by side; a memory over them; one state.

        z_mo = Stack(m, reads o);  z_m = Stack([z_mo ...], reads itself);  y = the last state of every z_m, side by side
        h = Linear(y + Linear(Dropout(ReLU(Linear(y)))))

    A modality of one vector is a sequence of one state. An absent modality is read by nobody, and a learned vector
    stands for its z_m. In a model of one modality there is its memory alone.
    """

    def __init__(self, config: MulTFusion, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        inner, dropout = config.stream_width, config.dropout
        self.reads_mean = config.read == "mean"
        self.project = nn.ModuleDict(
            {
                m: nn.Sequential(LayerNorm(widths[m]), Dropout(dropout), Linear(widths[m], inner))
                for m in self.modalities
            }
        )
        pairs = [(m, other) for m in self.modalities for other in self.modalities if m != other]
        self.streams = nn.ModuleDict(
            {f"{m}_reads_{other}": Stack(inner, config.heads, config.layers, dropout) for m, other in pairs}
        )
        wide = inner * max(1, len(self.modalities) - 1)
        self.memories = nn.ModuleDict(
            {m: Stack(wide, config.heads, config.memory_layers, dropout) for m in self.modalities}
        )
        absent = self.modalities if pairs else ()
        self.absent = nn.ParameterDict({m: nn.Parameter(PLACEHOLDER_SD * torch.randn(wide)) for m in absent})
        total = wide * len(self.modalities)
        self.block = nn.Sequential(Linear(total, total), nn.ReLU(), Dropout(dropout), Linear(total, total))
        self.out = Linear(total, self.width)

    def fuse(self, parts: Mapping[str, Any], present_BM: Tensor, counted_B: Tensor | None) -> Fused:
        steps = {m: self._steps(m, parts[m], present_BM[..., i]) for i, m in enumerate(self.modalities)}
        read = []
        for m, (x_BTD, there_BT) in steps.items():
            others = [other for other in self.modalities if other != m]
            streams = [self.streams[f"{m}_reads_{other}"](steps[m], steps[other]) for other in others]
            z_BTD = self.memories[m](States(torch.cat(streams, dim=-1) if streams else x_BTD, there_BT))
            read.append(self._read(z_BTD, there_BT, self.absent[m] if others else None))
        y_BD = torch.cat(read, dim=-1)
        return Fused(self.out(y_BD + self.block(y_BD)))

    def _steps(self, modality: str, part: Tensor | States, present_B: Tensor) -> States:
        """Project a modality's states to the streams' width; rows where it is absent have none."""
        if not isinstance(part, States):
            part = States(part.unsqueeze(-2), torch.ones_like(present_B).unsqueeze(-1))
        there_BT = part.there_BT & present_B.unsqueeze(-1)
        x_BTD = torch.where(there_BT.unsqueeze(-1), part.x_BTD, 0.0)  # it may be NaN
        return States(self.project[modality](x_BTD), there_BT)

    def _read(self, z_BTD: Tensor, there_BT: Tensor, absent_D: Tensor | None) -> Tensor:
        """Read the last state of each row, or the mean of its states."""
        count_B1 = there_BT.sum(dim=-1, keepdim=True)
        if self.reads_mean:
            read_BD = torch.where(there_BT.unsqueeze(-1), z_BTD, 0.0).sum(dim=-2) / count_B1.clamp(min=1)
        else:
            last_B11 = (count_B1 - 1).clamp(min=0).unsqueeze(-1)
            read_BD = z_BTD.take_along_dim(last_B11, dim=-2).squeeze(-2)
        return torch.where(count_B1 > 0, read_BD, torch.zeros_like(read_BD) if absent_D is None else absent_D)


class Stack(nn.Module):
    """Pre-norm transformer layers over states that know their place, and a last norm."""

    def __init__(self, width: int, heads: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList(Layer(width, heads, dropout) for _ in range(layers))
        self.norm = LayerNorm(width)

    def forward(self, states: States, others: States | None = None) -> Tensor:
        """Return the states after all layers, (B, T, D). Args: others: are read in place of the states themselves."""
        x_BTD = self._placed(states.x_BTD)
        keys_BKD = None if others is None else self._placed(others.x_BTD)
        there_BK = (others or states).there_BT
        for layer in self.layers:
            x_BTD = layer(x_BTD, keys_BKD, there_BK)
        normed: Tensor = self.norm(x_BTD)
        return normed

    def _placed(self, x_BTD: Tensor) -> Tensor:
        length, width = x_BTD.shape[-2:]
        placed: Tensor = self.dropout(math.sqrt(width) * x_BTD + places(length, width).to(x_BTD))
        return placed


class Layer(nn.Module):
    """x + attention(norm x, norm keys), then + feed-forward; one norm is for both sides of the attention."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.forward_norm = LayerNorm(width), LayerNorm(width)
        self.attention = Attention(width, heads)
        wide = _FEED_FORWARD * width
        self.feed_forward = nn.Sequential(Linear(width, wide), nn.ReLU(), Dropout(dropout), Linear(wide, width))
        self.taken_dropout, self.dropout = Dropout(dropout), Dropout(dropout)

    def forward(self, x_BTD: Tensor, keys_BKD: Tensor | None, there_BK: Tensor) -> Tensor:
        query_BTD = self.norm(x_BTD)
        read_BKD = query_BTD if keys_BKD is None else self.norm(keys_BKD)
        x_BTD = x_BTD + self.taken_dropout(self.attention(query_BTD, read_BKD, there_BK))
        moved: Tensor = x_BTD + self.dropout(self.feed_forward(self.forward_norm(x_BTD)))
        return moved


def places(length: int, width: int) -> Tensor:
    """Return sines, then cosines, of the places 1, 2, ... at falling frequencies: (length, width), as tensor2tensor."""
    half = width // 2
    rate_H = torch.exp(torch.arange(half) * (-math.log(_WAVELENGTH) / max(1, half - 1)))
    angle_TH = torch.arange(1, length + 1)[:, None] * rate_H
    return nn.functional.pad(torch.cat([angle_TH.sin(), angle_TH.cos()], dim=-1), (0, width % 2))
