"""What a head does to encoder features first: scaling them, and making one vector of several hidden states.

Shape suffixes: N utterances, L stored layers, D encoder width, T states of all rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from mer.models.layers import LayerNorm
from mer.models.states import States

if TYPE_CHECKING:
    from mer.models.tuned import TunedEncoder

_CHUNK_ROWS, _CHUNK_OF_STATES = 2048, 128
_SMALLEST_SD = 1e-3  # relative to max(|mean|, 1): features are half precision, so a smaller spread is rounding


class InputNorm(nn.Module):
    """Scale features by mean and sd of the training split, by LayerNorm, or not at all.

    Attributes: is_given_scaled: features come by mean and sd already, so nothing is left to do.
    """

    is_given_scaled = False

    def __init__(self, kind: str, layers: int, width: int) -> None:
        super().__init__()
        self.kind = kind
        if kind == "standardize":
            self.register_buffer("mean_LD", torch.zeros(layers, width))
            self.register_buffer("scale_LD", torch.ones(layers, width))
        elif kind == "layernorm":
            self.norm = LayerNorm(width)

    def fit(self, features_NLD: np.ndarray, layers: list[int], rows_N: np.ndarray | None = None) -> None:
        """Compute mean and sd of training features, in chunks, since the array is shared and must not be copied whole.

        Args:
            features_NLD: features of the training split.
            layers: hidden states that are read.
            rows_N: numbers of the rows to use; None: all. An empty list leaves the scale at 1.
        """
        rows = np.arange(len(features_NLD)) if rows_N is None else rows_N
        if self.kind != "standardize" or not len(rows):
            return
        starts = range(0, len(rows), _CHUNK_ROWS)
        self._fit(features_NLD[rows[start : start + _CHUNK_ROWS, None], layers] for start in starts)

    def fit_states(self, sequences: Any, rows_N: np.ndarray) -> None:
        """`fit` to all states of the given rows, each counting alike. Args: sequences: a `Sequences` of states."""
        if self.kind == "standardize" and len(rows_N):
            starts = range(0, len(rows_N), _CHUNK_OF_STATES)
            self._fit(sequences.gather(rows_N[at : at + _CHUNK_OF_STATES]).values[:, None] for at in starts)

    def _fit(self, chunks: Iterable[np.ndarray]) -> None:
        """Set mean and sd over chunks (n, L, D)."""
        total, squares, count = 0.0, 0.0, 0
        for given in chunks:
            chunk = given.astype(np.float64)
            total, squares, count = total + chunk.sum(axis=0), squares + (chunk**2).sum(axis=0), count + len(chunk)
        mean = total / count
        sd = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
        self.mean_LD = torch.as_tensor(mean, dtype=torch.float32)
        smallest = _SMALLEST_SD * np.maximum(np.abs(mean), 1.0)
        self.scale_LD = torch.as_tensor(1.0 / np.maximum(sd, smallest), dtype=torch.float32)

    def forward(self, x_NLD: Any) -> Any:
        """Scale features (N, L, D), or States of one hidden state."""
        if isinstance(x_NLD, States):
            return x_NLD._replace(x_BTD=self(x_NLD.x_BTD.unsqueeze(-2)).squeeze(-2))
        if self.kind == "standardize" and not self.is_given_scaled:
            return (x_NLD - self.mean_LD) * self.scale_LD
        return self.norm(x_NLD) if self.kind == "layernorm" else x_NLD


class LayerMix(nn.Module):
    """Make one vector of several hidden states: side by side, averaged, or averaged with learned weights."""

    def __init__(self, kind: str, layers: int) -> None:
        super().__init__()
        self.kind = kind
        if kind == "learned":
            self.layer_logits = nn.Parameter(torch.zeros(layers))

    def width(self, layers: int, width: int) -> int:
        return layers * width if self.kind == "concat" else width

    def forward(self, x_NLD: Tensor) -> Tensor:
        if self.kind == "concat":
            return x_NLD.flatten(-2)
        if self.kind == "mean":
            return x_NLD.mean(dim=-2)
        weights_L = self.layer_logits.softmax(dim=-1)
        if weights_L.ndim == 1:
            return torch.einsum("nld,l->nd", x_NLD, weights_L)
        # several models one by one: sums over rows add up alike in any pack
        return torch.stack([torch.einsum("nld,l->nd", *own) for own in zip(x_NLD, weights_L, strict=True)])


def fit_norm(norm: InputNorm, split: Any, layers: list[int], rows_N: np.ndarray, encoder: TunedEncoder | None) -> None:
    """Set one modality's input norm. For a tuned encoder from its outputs before training; they are not updated."""
    if encoder is None and hasattr(split, "sequences"):
        norm.fit_states(split.sequences, rows_N)
    elif encoder is None:
        norm.fit(split.features_NLD, layers, rows_N)
    elif norm.kind == "standardize" and len(rows_N):
        encoder.eval()
        norm.fit(encoder.sample(split, rows_N), list(range(len(layers))))
