"""Labels of single modalities, made while training: Yu et al. 2021 (Self-MM, arXiv 2102.04830).

An utterance has one label, and each of its modalities may say something else. A modality's label begins as the
utterance's. After every step of a later epoch it moves by how much nearer the modality's vector is to the positive
centre than to the negative one, beside the same of the fused vector:

    r_s = (d(f_s, n_s) - d(f_s, p_s)) / d(f_s, p_s);   centres p_s, n_s: means of the rows whose label is >= 0, < 0
    y' = y/2 * r_s / r_fused + (y + r_s - r_fused) / 2, at most H from 0
    y_s <- (e - 1) / (e + 1) * y_s + 2 / (e + 1) * y' in epoch e;  loss of s: mean of tanh|y_s - y| * |z_s - y_s|

The paper predicts one number. Ours: several numbers, each with centres of its own; a class or a label counts as a
number that is 1 or -1, and binary cross-entropy against (1 + y_s) / 2 stands for the absolute error.

Shape suffixes: N training rows, B rows of a batch, T numbers, D width of a vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mer.config import TargetKind
from mer.losses.geometry import full_precision
from mer.tensor_math import at_least_single, masked_mean

FUSED = "fused"  # stands for a modality's name
_TINY = 1e-8  # published


class Signed(NamedTuple):
    """What the training rows say, as numbers on both sides of 0.

    Args:
        y_NT: NaN where a row says nothing.
        bound_T: the largest magnitude that a made label may have.
        are_numbers: they are numbers, not classes or labels.
    """

    y_NT: Tensor
    bound_T: Tensor
    are_numbers: bool


def signed(labels: Tensor, task: TargetKind, names: int) -> Signed:
    """Turn labels into numbers on both sides of 0: 1 and -1 for classes and labels, deviations for numbers.

    Numbers are in standard deviations, from 0 where they lie on both sides of it (sentiments), else from their mean.

    Args:
        labels: class numbers (N,), -1 for none; or (N, T) with NaN for what a row does not say.
        names: T, the number of classes, numbers or labels.
    """
    if task == "class":
        y_NT = 2.0 * F.one_hot(labels.clamp(min=0), names).float() - 1
        return Signed(y_NT.masked_fill((labels < 0).unsqueeze(-1), torch.nan), torch.ones(names), False)
    y_NT = labels.float()
    if task == "multilabel":
        return Signed(2 * y_NT - 1, torch.ones(names), False)
    said_NT = ~y_NT.isnan()
    has_both_T = ((y_NT < 0) & said_NT).any(dim=0) & ((y_NT > 0) & said_NT).any(dim=0)
    count_T = said_NT.sum(dim=0).clamp(min=1)
    mean_T = y_NT.where(said_NT, 0.0).sum(dim=0) / count_T
    sd_T = ((y_NT - mean_T).square().where(said_NT, 0.0).sum(dim=0) / count_T).sqrt()
    y_NT = (y_NT - mean_T.where(~has_both_T, 0.0)) / sd_T.where(sd_T > 0, 1.0)
    return Signed(y_NT, y_NT.abs().where(said_NT, 0.0).amax(dim=0), True)


class Seen(NamedTuple):
    """What a step saw of one modality, or fused: vectors (B, D), and bool (B,), the rows that count."""

    vector_BD: Tensor
    there_B: Tensor


class UnimodalLabels:
    """Keep the labels that each modality of the training rows has by itself, and where its vectors lay last.

    Args:
        truth: what the rows say.
        widths: width of each modality's vector, and of the fused one under FUSED.
    """

    def __init__(self, truth: Signed, widths: Mapping[str, int]) -> None:
        self.are_numbers, self.bound_T = truth.are_numbers, truth.bound_T
        self.said_NT = ~truth.y_NT.isnan()
        self.truth_NT = truth.y_NT.nan_to_num()
        self.labels = {name: self.truth_NT.clone() for name in widths if name != FUSED}
        self.vectors = {name: truth.y_NT.new_zeros(len(truth.y_NT), width) for name, width in widths.items()}
        self.seen = {name: torch.zeros_like(self.said_NT[:, 0]) for name in widths}

    def loss(self, modality: str, rows_B: Tensor, said_BT: Tensor, there_B: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the loss of what one modality says, and how far its labels have moved: two scalars.

        Args:
            rows_B: numbers of the training rows.
            said_BT: its outputs; of numbers in the labels' unit.
            there_B: bool, the rows that count.
        """
        with full_precision(said_BT):
            said_BT = at_least_single(said_BT)
            y_BT = self.labels[modality][rows_B].to(said_BT)
            moved_BT = (y_BT - self.truth_NT[rows_B].to(said_BT)).abs()
            if self.are_numbers:
                error_BT = (said_BT - y_BT).abs()
            else:
                error_BT = F.binary_cross_entropy_with_logits(said_BT, (1 + y_BT) / 2, reduction="none")
            counts_BT = self.said_NT[rows_B] & there_B.unsqueeze(-1)
            loss = masked_mean((moved_BT.tanh() * error_BT).flatten(), counts_BT.flatten())
            return loss, masked_mean(moved_BT.flatten(), counts_BT.flatten())

    @torch.no_grad()
    def move(self, rows_B: Tensor, seen: Mapping[str, Seen], epoch: int) -> None:
        """Move the labels of the rows of a step, then keep their vectors.

        Args:
            seen: of every modality, and under FUSED.
            epoch: counted from 1. Labels rest in the first one: not every row has a vector yet.
        """
        if epoch > 1:
            y_BT, (fused_BD, _) = self.truth_NT[rows_B], seen[FUSED]
            whole_BT = self._nearness(FUSED, fused_BD, self.truth_NT)
            for name, labels_NT in self.labels.items():
                own_BD, there_B = seen[name]
                own_BT, old_BT = self._nearness(name, own_BD, labels_NT), labels_NT[rows_B]
                new_BT = 0.5 * own_BT / (whole_BT + _TINY) * y_BT + 0.5 * (y_BT + own_BT - whole_BT)
                new_BT = new_BT.clamp(-self.bound_T, self.bound_T)
                new_BT = (epoch - 1) / (epoch + 1) * old_BT + 2 / (epoch + 1) * new_BT
                moves_BT = self.said_NT[rows_B] & there_B.unsqueeze(-1) & new_BT.isfinite()
                labels_NT[rows_B] = new_BT.where(moves_BT, old_BT)
        for name, (vector_BD, there_B) in seen.items():
            self.vectors[name][rows_B[there_B]] = vector_BD[there_B].to(self.vectors[name])
            self.seen[name][rows_B[there_B]] = True

    def _nearness(self, name: str, vector_BD: Tensor, labels_NT: Tensor) -> Tensor:
        """Compute how much nearer each vector is to a number's positive centre, (B, T); NaN without a centre."""
        vectors_ND, kept_NT = self.vectors[name], self.said_NT & self.seen[name].unsqueeze(-1)
        positive_BT, negative_BT = (
            _distances(vector_BD.to(vectors_ND), _means(vectors_ND, kept_NT & of_NT))
            for of_NT in (labels_NT >= 0, labels_NT < 0)
        )
        return (negative_BT - positive_BT) / (positive_BT + _TINY)

    def tensors(self) -> dict[str, Tensor]:
        """Return all that training has made, by name."""
        kinds = {"label": self.labels, "vector": self.vectors, "seen": self.seen}
        return {f"{kind}_{name}": tensor for kind, of in kinds.items() for name, tensor in of.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy what `tensors` gave back."""
        for name, tensor in self.tensors().items():
            tensor.copy_(tensors[name])


def _distances(vector_BD: Tensor, centers_TD: Tensor) -> Tensor:
    """Compute the distance of each vector to each centre, (B, T)."""
    return torch.linalg.vector_norm(vector_BD.unsqueeze(-2) - centers_TD, dim=-1)


def _means(vectors_ND: Tensor, counts_NT: Tensor) -> Tensor:
    """Average the vectors that count for each number, (T, D); NaN where none does."""
    weight_NT = counts_NT.to(vectors_ND)
    return (weight_NT.T @ vectors_ND) / weight_NT.sum(dim=0).unsqueeze(-1)
