"""Inputs of the fusions: absent rows replaced, the others brought to a common scale and width."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor, nn

from mer.models.dropout import Dropout
from mer.models.layers import LayerNorm, Linear

PLACEHOLDER_SD = 0.02


class ModalityInput(nn.Module):
    """Apply `path` to the rows where a modality is present; the others become a learned placeholder, or zeros.

    Args:
        path: (B, D_m) -> (B, width); finite for rows of zeros.
        width: of the output.
        placeholder: learn a vector for absent rows.
    """

    def __init__(self, path: nn.Module, width: int, *, placeholder: bool) -> None:
        super().__init__()
        self.path = path
        self.placeholder_D = nn.Parameter(PLACEHOLDER_SD * torch.randn(width)) if placeholder else None

    def forward(self, x_BD: Tensor, present_B: Tensor) -> Tensor:
        there_B1 = present_B.unsqueeze(-1)
        # `where` before the path too: with the second one alone, a NaN input would give a NaN gradient
        out_BD = self.path(torch.where(there_B1, x_BD, 0.0))
        return torch.where(there_B1, out_BD, 0.0 if self.placeholder_D is None else self.placeholder_D.unsqueeze(-2))


class Tokens(nn.Module):
    """One token per modality: LayerNorm, Dropout, Linear to `width`. The Linear's bias is its modality embedding.

    Args:
        widths: modality -> D_m, in the order of the tokens.
        width: of every token.
        dropout: on the normalised features.
        placeholders: modalities whose absent rows become a learned vector; absent rows of the others become zeros.
        after: makes the module behind the Linear; nothing by default.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        width: int,
        dropout: float,
        *,
        placeholders: Collection[str] = (),
        after: Callable[[], nn.Module] = nn.Identity,
    ) -> None:
        super().__init__()
        self.inputs = nn.ModuleDict(
            {
                modality: ModalityInput(
                    nn.Sequential(LayerNorm(wide), Dropout(dropout), Linear(wide, width), after()),
                    width,
                    placeholder=modality in placeholders,
                )
                for modality, wide in widths.items()
            }
        )

    def forward(self, parts: Mapping[str, Tensor], present_BM: Tensor) -> Tensor:
        """Make the tokens, (B, M, width)."""
        read = [module(parts[modality], present_BM[..., i]) for i, (modality, module) in enumerate(self.inputs.items())]
        return torch.stack(read, dim=-2)


def mean_of_present(tokens_BMD: Tensor, present_BM: Tensor) -> Tensor:
    """Average the tokens that are present, (B, D); zeros for a row without any."""
    there_BM1 = present_BM.unsqueeze(-1)
    return torch.where(there_BM1, tokens_BMD, 0.0).sum(dim=-2) / there_BM1.sum(dim=-2).clamp(min=1)
